package signin_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/api/identity"
	"github.com/taskgrove/taskgrove/api/signin"
	"github.com/taskgrove/taskgrove/coordinator"
)

// double is an issuer that gives whoever comes with the right verifier a token that names the nonce, and sessions in memory. The real issuer is that of
// tests/hostile; this one has faults.
type double struct {
	t        *testing.T
	issuer   *httptest.Server
	base     string // of the handler
	mu       sync.Mutex
	codes    map[string]url.Values // what was asked for, by code; each counts once
	sessions []string
	asked    []url.Values // of the token endpoint
	fault    error        // of SignedIn
	nonce    string       // that SignedIn was given
}

func start(t *testing.T) *double {
	t.Helper()
	d := &double{t: t, codes: map[string]url.Values{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": d.issuer.URL, "jwks_uri": d.issuer.URL + "/keys", "authorization_endpoint": d.issuer.URL + "/auth", "token_endpoint": d.issuer.URL + "/token"})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		_ = r.ParseForm()
		d.asked = append(d.asked, r.Form)
		_, known := d.codes[r.Form.Get("code")]
		delete(d.codes, r.Form.Get("code"))
		w.Header().Set("Content-Type", "application/json")
		if !known {
			w.WriteHeader(400)
			_, _ = w.Write([]byte(`{"error":"invalid_grant","error_description":"CANARY"}`))
			return
		}
		_, _ = w.Write([]byte(`{"access_token":"a","token_type":"Bearer","id_token":"an ID token"}`))
	})
	d.issuer = httptest.NewServer(mux)
	t.Cleanup(d.issuer.Close)
	server := httptest.NewUnstartedServer(nil)
	d.base = "http://" + server.Listener.Addr().String()
	server.Config.Handler = signin.New(signin.Config{Base: d.base, Issuers: []signin.Issuer{{URL: d.issuer.URL, ClientID: "page", HTTP: identity.HTTPClient(nil)}},
		SignedIn: d.signedIn, Sessions: d, Log: slog.New(slog.DiscardHandler)})
	server.Start()
	t.Cleanup(server.Close)
	return d
}

func (d *double) signedIn(_ context.Context, issuer, token, client, nonce string) (coordinator.Caller, error) {
	d.nonce = nonce
	if issuer != d.issuer.URL || token != "an ID token" || client != "page" {
		return coordinator.Caller{}, errors.New("another token")
	}
	return coordinator.Caller{User: "amy"}, d.fault
}

func (d *double) BeginSession(_ context.Context, who coordinator.Caller, life time.Duration) (string, error) {
	if who.User != "amy" || life != signin.SessionLife {
		return "", errors.New("another session")
	}
	d.sessions = append(d.sessions, "tgs_"+strings.Repeat("x", len(d.sessions)+1))
	return d.sessions[len(d.sessions)-1], nil
}

func (d *double) EndSession(_ context.Context, secret string) error {
	for i, s := range d.sessions {
		if s == secret {
			d.sessions[i] = ""
		}
	}
	return nil
}

// get asks the handler as a browser with cookies, and follows nothing.
func (d *double) get(path string, cookies ...*http.Cookie) (*http.Response, string) {
	d.t.Helper()
	r, err := http.NewRequestWithContext(d.t.Context(), "GET", d.base+path, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, c := range cookies {
		r.AddCookie(c)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return answer, string(text)
}

// begin begins a sign-in, and answers the cookie, what the issuer is asked, and a code that it gives.
func (d *double) begin() (*http.Cookie, url.Values, string) {
	d.t.Helper()
	answer, text := d.get("/login?return_to=/docs/x?y=1")
	to, err := answer.Location()
	if err != nil || answer.StatusCode != 303 || len(answer.Cookies()) != 1 {
		d.t.Fatalf("got HTTP %d %s, %v", answer.StatusCode, text, err)
	}
	asked := to.Query()
	d.mu.Lock()
	defer d.mu.Unlock()
	code := "code-" + asked.Get("state")
	d.codes[code] = asked
	return answer.Cookies()[0], asked, code
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	d := start(t)
	cookie, asked, code := d.begin()
	if asked.Get("redirect_uri") != d.base+"/callback" || asked.Get("code_challenge_method") != "S256" || asked.Get("response_type") != "code" || asked.Get("client_id") != "page" ||
		len(asked.Get("state")) < 40 || len(asked.Get("nonce")) < 40 || len(asked.Get("code_challenge")) != 43 || asked.Get("state") == asked.Get("nonce") {
		t.Errorf("the issuer is asked %v", asked)
	}
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || strings.Contains(cookie.Value, asked.Get("state")) {
		t.Errorf("the cookie is %v", cookie)
	}
	planted := &http.Cookie{Name: "taskgrove_session", Value: "tgs_planted"}
	answer, text := d.get("/callback?code="+code+"&state="+asked.Get("state"), cookie, planted)
	if answer.StatusCode != 303 || answer.Header.Get("Location") != "/docs/x?y=1" {
		t.Fatalf("got HTTP %d %s to %s", answer.StatusCode, text, answer.Header.Get("Location"))
	}
	got := map[string]*http.Cookie{}
	for _, c := range answer.Cookies() {
		got[c.Name] = c
	}
	if s := got["taskgrove_session"]; s == nil || s.Value != d.sessions[0] || !s.HttpOnly || s.SameSite != http.SameSiteLaxMode || s.MaxAge != 8*3600 || got["taskgrove_login"].MaxAge >= 0 {
		t.Errorf("the cookies are %v", answer.Cookies())
	}
	if len(d.asked) != 1 || len(d.asked[0].Get("code_verifier")) != 43 || d.asked[0].Get("redirect_uri") != d.base+"/callback" || d.nonce != asked.Get("nonce") {
		t.Errorf("for the code it is asked %v, nonce %s", d.asked, d.nonce)
	}
}

// TestAttacksOnSignIn: each is answered by one text, and begins no session.
func TestAttacksOnSignIn(t *testing.T) {
	t.Parallel()
	d := start(t)
	cookie, asked, code := d.begin()
	other, _, _ := d.begin()
	state := asked.Get("state")
	if answer, _ := d.get("/callback?code="+code+"&state="+state, cookie); answer.StatusCode != 303 {
		t.Fatalf("the right one: HTTP %d", answer.StatusCode)
	}
	for fact, tt := range map[string]struct {
		query   string
		cookies []*http.Cookie
	}{
		"a code that was used":       {"code=" + code + "&state=" + state, []*http.Cookie{cookie}},
		"a code that nobody gave":    {"code=none&state=" + state, []*http.Cookie{cookie}},
		"another browser":            {"code=" + code + "&state=" + state, nil},
		"another's sign-in":          {"code=" + code + "&state=" + state, []*http.Cookie{other}},
		"two cookies":                {"code=" + code + "&state=" + state, []*http.Cookie{other, cookie}},
		"another state":              {"code=" + code + "&state=x", []*http.Cookie{cookie}},
		"no state":                   {"code=" + code, []*http.Cookie{cookie}},
		"two states":                 {"code=" + code + "&state=" + state + "&state=x", []*http.Cookie{cookie}},
		"another issuer":             {"code=" + code + "&state=" + state + "&iss=https://evil.example", []*http.Cookie{cookie}},
		"the issuer refuses":         {"error=access_denied&state=" + state, []*http.Cookie{cookie}},
		"no code":                    {"state=" + state, []*http.Cookie{cookie}},
		"a huge code":                {"code=" + strings.Repeat("x", 5000) + "&state=" + state, []*http.Cookie{cookie}},
		"a cookie that is no flow":   {"code=" + code + "&state=" + state, []*http.Cookie{{Name: "taskgrove_login", Value: "a.b.c"}}},
		"a cookie that leads away":   {"code=" + code + "&state=" + state, []*http.Cookie{{Name: "taskgrove_login", Value: strings.Join(append(strings.Split(cookie.Value, ".")[:2], "aHR0cHM6Ly9ldmls"), ".")}}},
		"a cookie of no issuer":      {"code=" + code + "&state=" + state, []*http.Cookie{{Name: "taskgrove_login", Value: strings.Split(cookie.Value, ".")[0] + "..Lw"}}},
		"a cookie of a wrong issuer": {"code=" + code + "&state=" + state, []*http.Cookie{{Name: "taskgrove_login", Value: strings.Split(cookie.Value, ".")[0] + ".eA.Lw"}}},
	} {
		answer, text := d.get("/callback?"+tt.query, tt.cookies...)
		if answer.StatusCode != 401 || text != "signing in failed; begin again at /login\n" {
			t.Errorf("%s: got HTTP %d %s", fact, answer.StatusCode, text)
		}
		for _, c := range answer.Cookies() {
			if c.Value != "" {
				t.Errorf("%s: it sets %v", fact, c)
			}
		}
	}
	d.fault = errors.New("the token is not believed")
	cookie, asked, code = d.begin()
	if answer, _ := d.get("/callback?code="+code+"&state="+asked.Get("state"), cookie); answer.StatusCode != 401 {
		t.Errorf("a token that is not believed: HTTP %d", answer.StatusCode)
	}
	if len(d.sessions) != 1 {
		t.Errorf("%d sessions began", len(d.sessions))
	}
	for _, back := range []string{"https://evil.example", "//evil.example", "/\\evil.example", "/a b", "\\/evil", "javascript:alert(1)", "/" + strings.Repeat("x", 600), "/%0d%0aSet-Cookie:%20x"} {
		answer, _ := d.get("/login?return_to=" + url.QueryEscape(back))
		if answer.StatusCode == 303 && back != "/%0d%0aSet-Cookie:%20x" { // which is a path, letter by letter
			t.Errorf("%q: may be returned to", back)
		}
	}
	if answer, _ := d.get("/login?issuer=https://evil.example"); answer.StatusCode != 400 {
		t.Errorf("another issuer: HTTP %d", answer.StatusCode)
	}
}

// TestAnIssuerThatIsAway: whoever wants to sign in is told to try again, and the issuer is asked once in a while.
func TestAnIssuerThatIsAway(t *testing.T) {
	t.Parallel()
	d := start(t)
	d.issuer.Close()
	for range 3 {
		if answer, _ := d.get("/login"); answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" {
			t.Errorf("got HTTP %d", answer.StatusCode)
		}
	}
}

// TestCookiesOverTLS: they go to this host alone.
func TestCookiesOverTLS(t *testing.T) {
	t.Parallel()
	h := signin.New(signin.Config{Base: "https://grove.example/"})
	if got := h.SessionCookie(); got != "__Host-taskgrove_session" {
		t.Errorf("the session is kept in %s", got)
	}
}

// TestSignOut ends the session of the cookie.
func TestSignOut(t *testing.T) {
	t.Parallel()
	d := start(t)
	d.sessions = []string{"tgs_x"}
	r, err := http.NewRequestWithContext(t.Context(), "POST", d.base+"/logout", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: "taskgrove_session", Value: "tgs_x"})
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != 204 || d.sessions[0] != "" || len(answer.Cookies()) != 1 || answer.Cookies()[0].MaxAge >= 0 {
		t.Errorf("got HTTP %d, %v, %v", answer.StatusCode, d.sessions, answer.Cookies())
	}
}
