package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
)

// JWKS is where an issuer publishes its keys.
type JWKS struct {
	URL string // https, or http on this machine; empty: where the issuer's discovery document says
	// Refresh is after how long the keys are fetched again, and so for how long a key that the issuer has removed still counts; 0: 5 min.
	Refresh time.Duration
	// Keep is for how long keys count while the issuer can't be reached; 0: 24 h.
	Keep time.Duration
	// HTTP fetches; nil: [HTTPClient] without authorities of its own.
	HTTP *http.Client
}

// Bounds of fetching.
const (
	fetchTime    = 5 * time.Second
	fetchBytes   = 256 << 10
	fetchAgain   = 10 * time.Second // between two fetches because of keys that nobody knows
	fetchFailed  = time.Second      // after a first failure; doubled with each further one, up to Refresh
	defaultFresh = 5 * time.Minute
	defaultKeep  = 24 * time.Hour
)

// keySet are the keys that an issuer publishes. A fetch is made by whoever needs it; others wait for its end.
type keySet struct {
	cfg    JWKS
	issuer string

	mu      sync.Mutex
	keys    []key
	fetched time.Time     // when keys were; zero: never
	tried   time.Time     // when the last fetch began
	flight  chan struct{} // closed at the end of the fetch that is in hand; nil: none is
	fault   error         // of the last fetch
}

func newKeySet(cfg JWKS, issuer string) *keySet {
	if cfg.Refresh == 0 {
		cfg.Refresh = defaultFresh
	}
	if cfg.Keep == 0 {
		cfg.Keep = defaultKeep
	}
	if cfg.HTTP == nil {
		cfg.HTTP = HTTPClient(nil)
	}
	return &keySet{cfg: cfg, issuer: issuer}
}

// get are the keys, fetched anew if none has the name; an empty name is any's. How often strangers can bring that about is bounded.
func (s *keySet) get(ctx context.Context, id string) ([]key, error) {
	keys, flight, err := s.look(id)
	if flight == nil {
		return keys, err
	}
	select {
	case <-flight:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", coordinator.ErrUnavailable, context.Cause(ctx))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known()
}

// state is until when the keys count that are known, and why the last fetch failed; zero: none are known; nil: it did not fail.
func (s *keySet) state() (until time.Time, fault error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.fetched.IsZero() {
		until = s.fetched.Add(s.cfg.Keep)
	}
	return until, s.fault
}

// look are the keys, or the fetch to wait for.
func (s *keySet) look(id string) ([]key, chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys, err := s.known()
	if err == nil && (id == "" || hasKey(keys, id)) {
		return keys, nil, nil
	}
	again := fetchAgain
	if err != nil {
		again = fetchFailed
	}
	if s.flight == nil && time.Since(s.tried) >= again {
		s.begin()
	}
	return keys, s.flight, err
}

// known are the keys as they are now. The caller holds mu.
func (s *keySet) known() ([]key, error) {
	if s.fetched.IsZero() || time.Since(s.fetched) > s.cfg.Keep {
		return nil, fmt.Errorf("%w: the keys of issuer %s are not known: %w", coordinator.ErrUnavailable, s.issuer, errors.Join(s.fault))
	}
	return s.keys, nil
}

func hasKey(keys []key, id string) bool {
	for _, k := range keys {
		if k.id == id || k.id == "" {
			return true
		}
	}
	return false
}

// begin begins a fetch, which ends by itself. The caller holds mu, and none is in hand.
func (s *keySet) begin() {
	s.tried, s.flight = time.Now(), make(chan struct{})
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
		defer cancel()
		keys, err := s.fetch(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.fault = err; err == nil {
			s.keys, s.fetched = keys, time.Now()
		}
		close(s.flight)
		s.flight = nil
	}()
}

// run fetches the keys every so often until ctx ends.
func (s *keySet) run(ctx context.Context, log *slog.Logger) {
	failed, failures := "", 0
	for {
		s.mu.Lock()
		if s.flight == nil {
			s.begin()
		}
		flight := s.flight
		s.mu.Unlock()
		<-flight // it is bounded
		s.mu.Lock()
		fault, keys := s.fault, len(s.keys)
		s.mu.Unlock()
		pause := s.cfg.Refresh
		switch {
		case fault == nil && (failed != "" || failures == 0):
			log.Info("the keys of an issuer were fetched", "issuer", s.issuer, "keys", keys)
			failed, failures = "", 1
		case fault != nil:
			pause = min(fetchFailed<<min(max(failures-1, 0), 16), s.cfg.Refresh)
			failures++
			if failed != fault.Error() {
				log.Warn("the keys of an issuer can't be fetched; those before count for a while", "issuer", s.issuer, "error", fault, "for", s.cfg.Keep.String())
				failed = fault.Error()
			}
		default:
			failures = 1
		}
		select {
		case <-time.After(pause - rand.N(pause/10+1)):
		case <-ctx.Done():
			return
		}
	}
}

// fetch asks the issuer.
func (s *keySet) fetch(ctx context.Context) ([]key, error) {
	at := s.cfg.URL
	if at == "" {
		document, err := Discover(ctx, s.cfg.HTTP, s.issuer)
		if err != nil {
			return nil, err
		}
		at = document.Keys
	}
	text, err := Fetch(ctx, s.cfg.HTTP, at)
	if err != nil {
		return nil, err
	}
	keys, err := parseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return keys, nil
}

// Provider is what an issuer of OpenID Connect says of itself (OpenID Connect Discovery 1.0, 3).
type Provider struct {
	Issuer    string `json:"issuer"`
	Keys      string `json:"jwks_uri"`
	Authorize string `json:"authorization_endpoint"`
	Token     string `json:"token_endpoint"`
	Device    string `json:"device_authorization_endpoint"`
}

// Discover reads what an issuer says of itself. Its addresses are under the same rules as the issuer's own.
func Discover(ctx context.Context, by *http.Client, issuer string) (*Provider, error) {
	text, err := Fetch(ctx, by, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return nil, err
	}
	p := &Provider{}
	if json.Unmarshal(text, p) != nil {
		return nil, fmt.Errorf("issuer %s: its discovery document is no JSON", issuer)
	}
	if p.Issuer != issuer {
		return nil, fmt.Errorf("issuer %s: its discovery document is of %.200q", issuer, p.Issuer)
	}
	for name, at := range map[string]string{"jwks_uri": p.Keys, "authorization_endpoint": p.Authorize, "token_endpoint": p.Token, "device_authorization_endpoint": p.Device} {
		if at == "" && name != "jwks_uri" {
			continue
		}
		if err := CheckURL(at); err != nil {
			return nil, fmt.Errorf("issuer %s: %s: %w", issuer, name, err)
		}
	}
	return p, nil
}

// Fetch is the answer to a GET, of bounded size.
func Fetch(ctx context.Context, by *http.Client, at string) ([]byte, error) {
	if err := CheckURL(at); err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	answer, err := by.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers HTTP %d", at, answer.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, fetchBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", at, err)
	case len(text) > fetchBytes:
		return nil, fmt.Errorf("%s answers more than %d bytes", at, fetchBytes)
	}
	return text, nil
}

// CheckURL says what is wrong with an address of an issuer: all but those on this machine are encrypted.
func CheckURL(at string) error {
	u, err := url.Parse(at)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "":
		return errors.New("want an https:// URL without a user or fragment")
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return errors.New("want an https:// URL (http:// only on this machine)")
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
