package identity_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/api/identity"
	"github.com/taskgrove/taskgrove/coordinator"
)

// published is an issuer that publishes keys, which a test may change.
type published struct {
	t    *testing.T
	URL  string
	asks atomic.Int32

	mu      sync.Mutex
	keys    []map[string]any
	answer  func(http.ResponseWriter, *http.Request) // nil: the keys
	private map[string]crypto.Signer
}

func publish(t *testing.T) *published {
	t.Helper()
	p := &published{t: t, private: map[string]crypto.Signer{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asks.Add(1)
		switch {
		case p.answer != nil:
			p.answer(w, r)
		case r.URL.Path == "/.well-known/openid-configuration":
			_ = json.NewEncoder(w).Encode(map[string]string{"issuer": p.URL, "jwks_uri": p.URL + "/keys"})
		default:
			_ = json.NewEncoder(w).Encode(map[string]any{"keys": p.keys})
		}
	}))
	t.Cleanup(server.Close)
	p.URL = server.URL
	return p
}

// with changes what is published.
func (p *published) with(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func b64(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// rsaKey is shared: making one takes long.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// add publishes a new key of a kind, and keeps its private part.
func (p *published) add(id, kind string, more ...string) {
	p.t.Helper()
	one := map[string]any{"kid": id, "use": "sig"}
	switch kind {
	case "RSA":
		k := rsaKey()
		p.private[id], one["kty"] = k, "RSA"
		one["n"], one["e"] = b64(k.N.Bytes()), "AQAB"
	case "Ed25519":
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			p.t.Fatal(err)
		}
		p.private[id], one["kty"], one["crv"], one["x"] = private, "OKP", kind, b64(public)
	default:
		curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[kind]
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			p.t.Fatal(err)
		}
		point, err := k.PublicKey.Bytes()
		if err != nil {
			p.t.Fatal(err)
		}
		half := len(point) / 2
		p.private[id], one["kty"], one["crv"], one["x"], one["y"] = k, "EC", kind, b64(point[1:1+half]), b64(point[1+half:])
	}
	for i := 0; i+1 < len(more); i += 2 {
		one[more[i]] = more[i+1]
	}
	p.with(func() { p.keys = append(p.keys, one) })
}

// token is one of the issuer's, signed by a key of it.
func (p *published) token(alg, id string, more jwt.MapClaims) string {
	all := jwt.MapClaims{"iss": p.URL, "aud": "grove", "sub": "amy"}
	for name, value := range more {
		all[name] = value
	}
	return signed(p.t, jwt.GetSigningMethod(alg), p.private[id], all, "kid", id)
}

// verifier believes the issuer's tokens.
func (p *published) verifier(change func(*identity.Config)) *identity.Verifier {
	p.t.Helper()
	cfg := identity.Config{Issuer: p.URL, Audiences: []string{"grove"}, Algorithms: identity.Public, JWKS: &identity.JWKS{URL: p.URL + "/keys"}}
	if change != nil {
		change(&cfg)
	}
	v, err := identity.New(cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	return v
}

// reason is why a token is refused; empty: it is not.
func reason(err error) identity.Reason {
	if err == nil {
		return ""
	}
	return identity.WhyRefused(err)
}

func TestKeysThatIssuersPublish(t *testing.T) {
	t.Parallel()
	p := publish(t)
	p.add("rsa", "RSA")
	p.add("rs256", "RSA", "alg", "RS256")
	p.add("p256", "P-256")
	p.add("p384", "P-384")
	p.add("p521", "P-521")
	p.add("ed", "Ed25519")
	p.add("encrypts", "RSA", "use", "enc")
	p.add("wrong", "RSA", "alg", "ES256")
	p.add("wraps", "RSA", "alg", "RSA-OAEP")
	p.with(func() {
		p.keys = append(p.keys, map[string]any{"kid": "secret", "kty": "oct", "k": b64([]byte(secret)), "alg": "HS256"},
			map[string]any{"kid": "weak", "kty": "RSA", "n": b64([]byte(strings.Repeat("\xff", 128))), "e": "AQAB"},
			map[string]any{"kid": "off", "kty": "EC", "crv": "P-256", "x": b64(make([]byte, 32)), "y": b64(make([]byte, 32))},
			map[string]any{"kid": 7, "kty": "RSA"})
	})
	p.private["secret"] = nil
	v := p.verifier(nil)
	for _, row := range []struct {
		alg, key string
		want     identity.Reason
	}{
		{"RS256", "rsa", ""}, {"RS512", "rsa", ""}, {"PS256", "rsa", ""}, {"RS256", "rs256", ""}, {"PS256", "rs256", identity.Algorithm}, {"ES256", "p256", ""},
		{"ES384", "p384", ""}, {"ES512", "p521", ""}, {"EdDSA", "ed", ""}, {"RS256", "encrypts", identity.UnknownKey}, {"RS256", "wrong", identity.UnknownKey},
		{"RS256", "wraps", identity.UnknownKey},
	} {
		who, err := v.Caller(t.Context(), p.token(row.alg, row.key, nil))
		if reason(err) != row.want || err == nil && (who.User != "amy" || who.Kind != coordinator.UserCaller || who.Issuer != p.URL) {
			t.Errorf("%s by %s: got %+v, %v, want %q", row.alg, row.key, who, err, row.want)
		}
	}
	forged := signed(t, jwt.SigningMethodHS256, []byte(secret), claims{"iss": p.URL, "aud": "grove", "sub": "amy"}, "kid", "secret")
	if _, err := v.Caller(t.Context(), forged); reason(err) != identity.Algorithm {
		t.Errorf("a secret that an issuer publishes: got %v", err)
	}
	nameless := signed(t, jwt.SigningMethodES384, p.private["p384"], claims{"iss": p.URL, "aud": "grove", "sub": "amy"})
	if _, err := v.Caller(t.Context(), nameless); err != nil {
		t.Errorf("a token that names no key: %v", err)
	}
	if got := p.asks.Load(); got > 2 { // one of the unknown keys may have made it look again
		t.Errorf("the issuer was asked %d times", got)
	}
}

// TestKeysChange: a new key counts at once, and one that the issuer has removed does not after a bounded time.
func TestKeysChange(t *testing.T) {
	t.Parallel()
	p := publish(t)
	p.add("old", "P-256")
	v := p.verifier(func(c *identity.Config) { c.JWKS = &identity.JWKS{Refresh: 20 * time.Millisecond} }) // found by discovery
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() { v.Run(ctx, slog.New(slog.DiscardHandler)); close(over) }()
	defer func() { cancel(); <-over }()
	old := p.token("ES256", "old", nil)
	if _, err := v.Caller(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	p.with(func() { p.keys = nil })
	p.add("new", "P-256")
	until(t, "the new key counts", func() bool { _, err := v.Caller(t.Context(), p.token("ES256", "new", nil)); return err == nil })
	until(t, "the removed one does not", func() bool { _, err := v.Caller(t.Context(), old); return reason(err) == identity.UnknownKey })
}

// until waits for something that comes about by itself.
func until(t *testing.T, what string, yes func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !yes(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not in time", what)
		}
	}
}

// TestANewKeyIsLookedFor when a token names it, without waiting for the next round; tokens with names that nobody knows bring that about once in
// a while only.
func TestANewKeyIsLookedFor(t *testing.T) {
	t.Parallel()
	p := publish(t)
	p.add("first", "P-256")
	v := p.verifier(nil)
	for i := range 200 {
		forged := signed(t, jwt.SigningMethodES256, p.private["first"], claims{"iss": p.URL, "aud": "grove", "sub": "amy"}, "kid", "../../etc/passwd' or 1=1 --"+strings.Repeat("x", i))
		if _, err := v.Caller(t.Context(), forged); reason(err) != identity.UnknownKey {
			t.Fatalf("got %v", err)
		}
	}
	if got := p.asks.Load(); got > 2 {
		t.Errorf("200 guesses asked the issuer %d times", got)
	}
}

// TestAnIssuerThatIsAway: its keys count for a while; before they were ever had, its callers are told to try again.
func TestAnIssuerThatIsAway(t *testing.T) {
	t.Parallel()
	p := publish(t)
	p.add("key", "P-256")
	away := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }
	p.with(func() { p.answer = away })
	v := p.verifier(func(c *identity.Config) { c.JWKS.Keep = 300 * time.Millisecond })
	token := p.token("ES256", "key", nil)
	if _, err := v.Caller(t.Context(), token); !errors.Is(err, coordinator.ErrUnavailable) || errors.Is(err, identity.ErrToken) {
		t.Errorf("before the keys were had: got %v", err)
	}
	p.with(func() { p.answer = nil })
	until(t, "the keys are had", func() bool { _, err := v.Caller(t.Context(), token); return err == nil })
	p.with(func() { p.answer = away })
	if _, err := v.Caller(t.Context(), token); err != nil {
		t.Errorf("while it is away: %v", err)
	}
	until(t, "the keys no longer count", func() bool { _, err := v.Caller(t.Context(), token); return errors.Is(err, coordinator.ErrUnavailable) })
}

// TestWhatIssuersMayAnswer: what is too large, no document, elsewhere or another's is no keys.
func TestWhatIssuersMayAnswer(t *testing.T) {
	t.Parallel()
	for fact, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"too large":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) },
		"no document": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"elsewhere":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) },
		"no keys":     func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"keys":[]}`)) },
		"too many keys": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"keys":[` + strings.Repeat(`{},`, 64) + `{}]}`))
		},
		"another issuer": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"issuer":"https://evil.example","jwks_uri":"https://evil.example"}`))
		},
	} {
		p := publish(t)
		p.add("key", "P-256")
		token := p.token("ES256", "key", nil)
		p.with(func() { p.answer = answer })
		v := p.verifier(func(c *identity.Config) { c.JWKS.URL = map[string]string{"another issuer": ""}[fact] })
		if fact != "another issuer" {
			v = p.verifier(nil)
		}
		if _, err := v.Caller(t.Context(), token); !errors.Is(err, coordinator.ErrUnavailable) {
			t.Errorf("%s: got %v", fact, err)
		}
	}
	for at, good := range map[string]bool{
		"https://id.example/keys": true, "http://127.0.0.1:8/keys": true, "http://localhost/keys": true, "http://[::1]/k": true,
		"http://id.example/keys": false, "http://localhost.evil.example/keys": false, "file:///etc/passwd": false, "https://u:p@id.example": false, "https://": false, "": false,
	} {
		if err := identity.CheckURL(at); (err == nil) != good {
			t.Errorf("%q: got %v", at, err)
		}
	}
}

func TestClaimsOfIssuers(t *testing.T) {
	t.Parallel()
	in := func(roles ...string) (out []coordinator.RoleIn) {
		for _, r := range roles {
			namespace, role, _ := strings.Cut(r, ":")
			out = append(out, coordinator.RoleIn{Role: role, Namespace: namespace})
		}
		return out
	}
	for fact, tt := range map[string]struct {
		cfg    identity.Claims
		claims claims
		user   string // empty: refused
		groups []string
		roles  []coordinator.RoleIn
	}{
		"as they are by default": {identity.Claims{}, claims{"sub": "amy", "groups": []string{"a", "b"}, "roles": []string{"operator", "team-a:viewer", "admin"}}, "amy",
			[]string{"a", "b"}, in("default:operator", "team-a:viewer", "*:admin")},
		"namespaces": {identity.Claims{}, claims{"sub": "amy", "roles": []string{"admin", "x:viewer"}, "namespaces": []string{"one", "two"}}, "amy", nil,
			in("one:admin", "two:admin", "x:viewer")},
		"prefixes": {identity.Claims{UserPrefix: "corp:", GroupPrefix: "corp/"}, claims{"sub": "amy", "groups": "g"}, "corp:amy", []string{"corp/g"}, nil},
		"roles of groups": {identity.Claims{GroupRoles: map[string][]string{"ops": {"operator", "*:viewer"}}}, claims{"sub": "amy", "groups": []string{"ops", "other"}}, "amy",
			[]string{"ops", "other"}, in("default:operator", "*:viewer")},
		"other names":        {identity.Claims{User: "email", Groups: "teams", Roles: "realm_access.roles"}, claims{"email": "a@b.example", "email_verified": true, "teams": []string{"t"}, "roles": []string{"admin"}, "realm_access": map[string]any{"roles": []string{"viewer"}}}, "a@b.example", []string{"t"}, in("default:viewer")},
		"no roles":           {identity.Claims{Roles: identity.NoClaim}, claims{"sub": "amy", "roles": []string{"admin"}, "role": "admin"}, "amy", nil, nil},
		"an unproven email":  {identity.Claims{User: "email"}, claims{"sub": "amy", "email": "a@b.example", "email_verified": false}, "", nil, nil},
		"another user's sub": {identity.Claims{User: "email"}, claims{"sub": "amy"}, "", nil, nil},
		"groups of numbers":  {identity.Claims{}, claims{"sub": "amy", "groups": []int{1}}, "", nil, nil},
		"too many groups":    {identity.Claims{}, claims{"sub": "amy", "groups": make([]string, 501)}, "", nil, nil},
		"a group of a line":  {identity.Claims{}, claims{"sub": "amy", "groups": []string{"a\nb"}}, "", nil, nil},
	} {
		v := verifier(t, identity.Config{Claims: tt.cfg})
		who, err := v.Caller(t.Context(), signed(t, jwt.SigningMethodHS256, []byte(secret), tt.claims))
		if who.User != tt.user || !slices.Equal(who.Groups, tt.groups) || !slices.Equal(who.Roles, tt.roles) || reason(err) != map[bool]identity.Reason{true: identity.WrongClaims}[tt.user == ""] {
			t.Errorf("%s: got %+v, %v", fact, who, err)
		}
	}
}

// given is a token as a surface gives it.
func given(token string) api.Credentials { return api.Credentials{Token: token} }
