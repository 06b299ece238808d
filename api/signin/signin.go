// Package signin lets people sign in with a browser, at an issuer of OpenID Connect, by an authorization code with PKCE.
//
// It owns the way to the issuer and back, and the cookies on it. It must not know which tokens are believed, nor how sessions are kept.
package signin

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/api/identity"
	"github.com/taskgrove/taskgrove/coordinator"
)

// Paths of a [Handler]. The first two are for browsers that are not signed in.
const (
	LoginPath    = "GET /login"
	CallbackPath = "GET /callback"
	LogoutPath   = "POST /logout"
)

// Bounds.
const (
	flowTime     = 10 * time.Minute // from /login to /callback
	exchangeTime = 15 * time.Second
	maxReturn    = 512  // bytes of where somebody goes on
	maxCode      = 4096 // bytes of an issuer's answer in the query
	knownFor     = 5 * time.Minute
	unknownFor   = 10 * time.Second
	// SessionLife is how long somebody stays signed in.
	SessionLife = 8 * time.Hour
)

// Issuer is where people sign in.
type Issuer struct {
	URL      string
	ClientID string
	Secret   string   // empty: a public client
	Scopes   []string // empty: openid profile email
	HTTP     *http.Client
}

// Sessions keeps who is signed in.
type Sessions interface {
	BeginSession(ctx context.Context, who coordinator.Caller, life time.Duration) (string, error)
	EndSession(ctx context.Context, secret string) error
}

// Config is what a [Handler] needs. All is required.
type Config struct {
	Base    string // our own URL, as browsers have it: https, or http on this machine
	Issuers []Issuer
	// SignedIn is who an ID token is of; see [identity.Callers.SignedIn].
	SignedIn func(ctx context.Context, issuer, token, client, nonce string) (coordinator.Caller, error)
	Sessions Sessions
	Log      *slog.Logger
}

// Handler serves the paths. Safe for concurrent use.
type Handler struct {
	cfg    Config
	secure bool // cookies go over TLS alone

	mu    sync.Mutex
	known map[string]answer // by issuer
}

// answer is what an issuer says of itself, and until when that counts.
type answer struct {
	provider *identity.Provider
	err      error
	until    time.Time
}

// New makes a handler.
func New(cfg Config) *Handler {
	cfg.Base = strings.TrimSuffix(cfg.Base, "/")
	return &Handler{cfg: cfg, secure: strings.HasPrefix(cfg.Base, "https://"), known: map[string]answer{}}
}

// ServeHTTP serves a path.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Cache-Control", "no-store")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("X-Content-Type-Options", "nosniff")
	switch r.URL.Path {
	case "/login":
		h.login(w, r)
	case "/callback":
		h.callback(w, r)
	default:
		h.logout(w, r)
	}
}

// login sends a browser to the issuer.
func (h *Handler) login(w http.ResponseWriter, r *http.Request) {
	issuer, ok := h.issuer(r.URL.Query().Get("issuer"))
	back := r.URL.Query().Get("return_to")
	if back == "" {
		back = "/"
	}
	if !ok || !ours(back) {
		http.Error(w, "the issuer, or the place to return to, is none of this server's", http.StatusBadRequest)
		return
	}
	client, err := h.client(r.Context(), issuer)
	if err != nil {
		h.cfg.Log.WarnContext(r.Context(), "nobody can sign in at an issuer", "issuer", issuer.URL, "error", err)
		w.Header().Set("Retry-After", "10")
		http.Error(w, "the issuer can't be reached just now, try again", http.StatusServiceUnavailable)
		return
	}
	f := newFlow(issuer.URL, back)
	h.set(w, h.name("login"), f.cookie(), flowTime)
	http.Redirect(w, r, client.AuthCodeURL(f.state(), oauth2.SetAuthURLParam("nonce", f.nonce()), oauth2.S256ChallengeOption(f.verifier())), http.StatusSeeOther)
}

// issuer is the one of a name; empty: the first.
func (h *Handler) issuer(name string) (Issuer, bool) {
	i := slices.IndexFunc(h.cfg.Issuers, func(i Issuer) bool { return name == "" || i.URL == name })
	if i < 0 {
		return Issuer{}, false
	}
	return h.cfg.Issuers[i], true
}

// client is what an issuer knows us as.
func (h *Handler) client(ctx context.Context, issuer Issuer) (*oauth2.Config, error) {
	h.mu.Lock()
	defer h.mu.Unlock() // one asks, others wait: it is bounded
	known := h.known[issuer.URL]
	if time.Now().After(known.until) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exchangeTime)
		defer cancel()
		known.provider, known.err = identity.Discover(ctx, issuer.HTTP, issuer.URL)
		if known.err == nil && (known.provider.Authorize == "" || known.provider.Token == "") {
			known.err = errors.New("it has no way for browsers")
		}
		known.until = time.Now().Add(knownFor)
		if known.err != nil {
			known.until = time.Now().Add(unknownFor)
		}
		h.known[issuer.URL] = known
	}
	if known.err != nil {
		return nil, known.err
	}
	scopes := issuer.Scopes
	if len(scopes) == 0 {
		scopes = []string{"openid", "profile", "email"}
	}
	return &oauth2.Config{ClientID: issuer.ClientID, ClientSecret: issuer.Secret, Scopes: scopes, RedirectURL: h.cfg.Base + "/callback",
		Endpoint: oauth2.Endpoint{AuthURL: known.provider.Authorize, TokenURL: known.provider.Token}}, nil
}

// callback is where the issuer sends the browser back to. Whatever is wrong is told by one text, and to the log.
func (h *Handler) callback(w http.ResponseWriter, r *http.Request) {
	f, found := h.flow(r)
	h.set(w, h.name("login"), "", -1) // it counts once
	session, err := "", errors.New("no sign-in began in this browser, or too long ago")
	if found {
		session, err = h.finish(r.Context(), f, r.URL.Query())
	}
	if err != nil {
		h.cfg.Log.InfoContext(r.Context(), "somebody could not sign in", "error", err)
		status, text := http.StatusUnauthorized, "signing in failed; begin again at /login"
		if errors.Is(err, coordinator.ErrUnavailable) {
			status, text = http.StatusServiceUnavailable, api.Unproven
		}
		http.Error(w, text, status)
		return
	}
	h.set(w, h.name("session"), session, SessionLife)
	http.Redirect(w, r, f.back, http.StatusSeeOther)
}

// flow is the sign-in that the browser began.
func (h *Handler) flow(r *http.Request) (f flow, ok bool) {
	cookies := r.CookiesNamed(h.name("login"))
	if len(cookies) != 1 {
		return f, false
	}
	return readFlow(cookies[0].Value)
}

// finish is a session of whom the issuer names.
func (h *Handler) finish(ctx context.Context, f flow, query url.Values) (string, error) {
	issuer, ok := h.issuer(f.issuer)
	code := query.Get("code")
	switch {
	case !ok || f.issuer == "":
		return "", errors.New("its issuer is none of ours")
	case len(query["state"]) != 1 || subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(f.state())) != 1:
		return "", errors.New("the state is not that of the sign-in which began in this browser")
	case query.Has("iss") && query.Get("iss") != issuer.URL: // RFC 9207
		return "", errors.New("another issuer answers than was asked")
	case query.Has("error"):
		return "", fmt.Errorf("the issuer says %.60q", query.Get("error"))
	case len(query["code"]) != 1 || code == "" || len(code) > maxCode:
		return "", errors.New("there is no code")
	}
	client, err := h.client(ctx, issuer)
	if err != nil {
		return "", fmt.Errorf("%w: %w", coordinator.ErrUnavailable, err)
	}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, oauth2.HTTPClient, issuer.HTTP), exchangeTime)
	defer cancel()
	got, err := client.Exchange(ctx, code, oauth2.VerifierOption(f.verifier()))
	if err != nil {
		return "", fmt.Errorf("the issuer does not take the code: %w", withoutBody(err))
	}
	token, _ := got.Extra("id_token").(string)
	who, err := h.cfg.SignedIn(ctx, issuer.URL, token, issuer.ClientID, f.nonce())
	if err != nil {
		return "", err
	}
	return h.cfg.Sessions.BeginSession(ctx, who, SessionLife)
}

// withoutBody is an error without what the issuer answered, which may hold what is secret.
func withoutBody(err error) error {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return fmt.Errorf("HTTP %d %.60q", refused.Response.StatusCode, refused.ErrorCode)
	}
	return err
}

// logout ends the session of the browser. The server has looked where the request comes from.
func (h *Handler) logout(w http.ResponseWriter, r *http.Request) {
	for _, c := range r.CookiesNamed(h.name("session")) {
		if err := h.cfg.Sessions.EndSession(r.Context(), c.Value); err != nil {
			h.cfg.Log.WarnContext(r.Context(), "a session could not be ended", "error", err)
			http.Error(w, "the session could not be ended, try again", http.StatusServiceUnavailable)
			return
		}
	}
	h.set(w, h.name("session"), "", -1)
	w.WriteHeader(http.StatusNoContent)
}

// SessionCookie is the name of the cookie with the session.
func (h *Handler) SessionCookie() string { return h.name("session") }

// name is that of a cookie. With __Host-, browsers take it only over TLS, from this host, for all of it (RFC 6265bis, 4.1.3.2).
func (h *Handler) name(of string) string {
	if h.secure {
		return "__Host-taskgrove_" + of
	}
	return "taskgrove_" + of
}

// set gives the browser a cookie; a negative life takes it away.
func (h *Handler) set(w http.ResponseWriter, name, value string, life time.Duration) {
	age := int(life.Seconds())
	if life < 0 {
		age = -1
	}
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: h.secure, SameSite: http.SameSiteLaxMode})
}

// ours reports whether a browser may go on there: a path of this server.
func ours(back string) bool {
	return len(back) <= maxReturn && strings.HasPrefix(back, "/") && !strings.HasPrefix(back, "//") &&
		!strings.ContainsFunc(back, func(c rune) bool { return c <= ' ' || c > '~' || c == '\\' })
}

// flow is a sign-in that has begun: a random number in a cookie, of which what the issuer is shown is made.
type flow struct {
	random       []byte
	issuer, back string
}

func newFlow(issuer, back string) flow {
	f := flow{make([]byte, 32), issuer, back}
	_, _ = rand.Read(f.random) // never fails
	return f
}

var text64 = base64.RawURLEncoding

func (f flow) cookie() string {
	return text64.EncodeToString(f.random) + "." + text64.EncodeToString([]byte(f.issuer)) + "." + text64.EncodeToString([]byte(f.back))
}

func readFlow(cookie string) (f flow, ok bool) {
	parts := strings.Split(cookie, ".")
	if len(parts) != 3 || len(cookie) > 4096 {
		return f, false
	}
	var raw [3][]byte
	for i, part := range parts {
		var err error
		if raw[i], err = text64.DecodeString(part); err != nil {
			return f, false
		}
	}
	f = flow{raw[0], string(raw[1]), string(raw[2])}
	return f, len(f.random) == 32 && ours(f.back)
}

func (f flow) derive(what string) string {
	mac := hmac.New(sha256.New, f.random)
	mac.Write([]byte(what))
	return text64.EncodeToString(mac.Sum(nil))
}

func (f flow) state() string    { return f.derive("state") }
func (f flow) nonce() string    { return f.derive("nonce") }
func (f flow) verifier() string { return f.derive("verifier") }
