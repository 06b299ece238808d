package kubeapi

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// refuse answers as the API does.
func refuse(w http.ResponseWriter, code int, reason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": code})
}

// serve is an API, and a client of it whose token is in the file that is returned.
func serve(t *testing.T, handle http.HandlerFunc) (c *Client, token string) {
	t.Helper()
	server := httptest.NewTLSServer(handle)
	t.Cleanup(server.Close)
	token = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("first\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	c = New(&Access{Server: server.URL, Authority: pool, TokenFile: token})
	t.Cleanup(c.Close)
	return c, token
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for code, row := range map[int]struct {
		reason, text string
		temporary    bool
	}{
		http.StatusNotFound:            {"NotFound", `secrets "x" not found`, false},
		http.StatusConflict:            {"Conflict", "the object has been modified", false},
		http.StatusForbidden:           {"Forbidden", "cannot get resource", false},
		http.StatusUnauthorized:        {"Unauthorized", "Unauthorized", false},
		http.StatusTooManyRequests:     {"TooManyRequests", "try again later", true},
		http.StatusInternalServerError: {"InternalError", "etcd is away", true},
		http.StatusBadGateway:          {"", "status 502", true},
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			c, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "7")
				if row.reason == "" {
					http.Error(w, "<html>a proxy's page</html>", code)
					return
				}
				refuse(w, code, row.reason, row.text)
			})
			err := c.Call(t.Context(), http.MethodGet, "/api/v1/namespaces/n/secrets/x", nil, nil, nil)
			refused, ok := errors.AsType[*StatusError](err)
			if !ok || CodeOf(err) != code || !strings.Contains(err.Error(), row.text) || Temporary(err) != row.temporary || refused.After != 7*time.Second {
				t.Errorf("got %v (%+v), temporary %v", err, refused, Temporary(err))
			}
		})
	}
}

// TestTokensAreReadAgain: a pod's token is replaced while the process runs.
func TestTokensAreReadAgain(t *testing.T) {
	t.Parallel()
	var got []string
	c, token := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = append(got, r.Header.Get("Authorization")) })
	for _, text := range []string{"first", "second"} {
		if err := os.WriteFile(token, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := c.Call(t.Context(), http.MethodGet, "/", nil, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(got) != "[Bearer first Bearer second]" {
		t.Errorf("got %s", got)
	}
	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	if err := c.Call(t.Context(), http.MethodGet, "/", nil, nil, nil); err == nil || !strings.Contains(err.Error(), "token: ") {
		t.Errorf("no token: got %v", err)
	}
}

func TestPatchesAreMergePatches(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_ = json.NewEncoder(w).Encode(map[string]string{"got": r.Header.Get("Content-Type") + " " + string(body)})
	})
	for method, want := range map[string]string{http.MethodPatch: "application/merge-patch+json", http.MethodPost: "application/json"} {
		var out struct{ Got string }
		if err := c.Call(t.Context(), method, "/", nil, map[string]int{"a": 1}, &out); err != nil || out.Got != want+` {"a":1}` {
			t.Errorf("%s: got %q, %v", method, out.Got, err)
		}
	}
}

// TestHostileAnswers: what is endless is cut off, and a redirect, which would carry the token elsewhere, is not followed.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the redirect was followed, with %q", r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/endless":
			_, _ = io.WriteString(w, `{"a":"`)
			for chunk := strings.Repeat("x", 1<<16); r.Context().Err() == nil; {
				if _, err := io.WriteString(w, chunk); err != nil {
					return
				}
			}
		case "/redirect":
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		default:
			_, _ = io.WriteString(w, "<html>")
		}
	})
	for path, in := range map[string]any{"/endless": nil, "/page": nil} {
		var out map[string]any
		if err := c.Call(t.Context(), http.MethodGet, path, nil, in, &out); err == nil {
			t.Errorf("%s: got no error", path)
		}
	}
	if err := c.Call(t.Context(), http.MethodGet, "/redirect", nil, nil, nil); CodeOf(err) != http.StatusFound {
		t.Errorf("redirect: got %v", err)
	}
}

// TestInsist repeats what may pass, as late as the API asks for, and nothing else.
func TestInsist(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch n := calls.Add(1); {
		case r.URL.Path == "/never":
			refuse(w, http.StatusServiceUnavailable, "", "starting")
		case r.URL.Path == "/conflict":
			refuse(w, http.StatusConflict, "Conflict", "modified")
		case n == 1:
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusTooManyRequests, "TooManyRequests", "later")
		case n == 2: // the connection breaks
			panic(http.ErrAbortHandler)
		}
	})
	began := time.Now()
	if err := c.Insist(t.Context(), http.MethodGet, "/", nil, nil, nil); err != nil || calls.Load() < 3 || time.Since(began) < time.Second {
		t.Errorf("got %v after %d calls and %s", err, calls.Load(), time.Since(began))
	}
	calls.Store(0)
	if err := c.Insist(t.Context(), http.MethodPost, "/conflict", nil, nil, nil); CodeOf(err) != http.StatusConflict || calls.Load() != 1 {
		t.Errorf("conflict: got %v after %d calls", err, calls.Load())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := c.Insist(ctx, http.MethodGet, "/never", nil, nil, nil); !errors.Is(err, context.DeadlineExceeded) || CodeOf(err) != http.StatusServiceUnavailable {
		t.Errorf("never: got %v", err)
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("watch") != "true" || r.URL.Query().Get("resourceVersion") != "5" {
			refuse(w, http.StatusBadRequest, "BadRequest", r.URL.RawQuery)
			return
		}
		_, _ = io.WriteString(w, `{"type":"ADDED","object":{"a":1}}`+"\n"+`{"type":"ERROR","object":{"code":410,"message":"too old resource version"}}`+"\n")
	})
	var seen []string
	err := c.Watch(t.Context(), "/pods", nil, "5", func(e Event) bool {
		seen = append(seen, e.Type+string(e.Object))
		return false
	})
	if CodeOf(err) != http.StatusGone || fmt.Sprint(seen) != `[ADDED{"a":1}]` {
		t.Errorf("got %v, %v", seen, err)
	}
	if err := c.Watch(t.Context(), "/pods", nil, "5", func(Event) bool { return true }); err != nil {
		t.Errorf("enough: got %v", err)
	}
}

func TestServiceAccounts(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	if _, err := Find("", dir); !errors.Is(err, ErrNone) {
		t.Errorf("no pod: got %v", err)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
	t.Setenv("KUBERNETES_SERVICE_PORT", "443")
	if _, err := Find("", dir); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "automountServiceAccountToken") {
		t.Errorf("no token: got %v", err)
	}
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	for name, text := range map[string]string{"token": "x", "namespace": "n\n", "ca.crt": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Find("", dir); err == nil || !strings.Contains(err.Error(), "no certificate in PEM") {
		t.Errorf("no authority: got %v", err)
	}
}
