package rest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/network/networktest"
	"github.com/taskgrove/taskgrove/executors/rest"
)

// connected runs an attempt whose task names a connection: its fields are in the inputs already. The worker's network has no allowances.
func connected(t *testing.T, inputs object) (*rest.Result, error) {
	t.Helper()
	n := network.New(network.Config{})
	e := rest.New(rest.Config{}, n)
	t.Cleanup(func() { _ = e.Close() })
	call, _ := conformance.Call(t, inputs)
	call.Connection = "api"
	got, err := e.Run(t.Context(), call)
	result, _ := got.Value().(*rest.Result)
	return result, err
}

func TestURLIsBelowTheBase(t *testing.T) {
	server := echo(t)
	for _, row := range []struct{ base, url, path, query string }{
		{"", "/a", "/a", ""},
		{"/v2", "/a/b?x=1", "/v2/a/b", "x=1"},
		{"/v2/", "a", "/v2/a", ""},
		{"/v2?key=k", "a?x=1", "/v2/a", "key=k&x=1"},
		{"/v2", "?x=1", "/v2", "x=1"},
		{"/v2", "/", "/v2/", ""},
		{"/v2", "a%2Fb", "/v2/a/b", ""},
		{"/v2", server.URL + "/other?x=1", "/other", "x=1"},
		{"/v2", strings.TrimPrefix(server.URL, "http:") + "/other", "/other", ""},
		{"/v2", "a//b/http:", "/v2/a//b/http:", ""},
		{"/v2", `\\evil.test/x`, `/v2/\\evil.test/x`, ""},
		{"/v2", "/@evil.test", "/v2/@evil.test", ""},
	} {
		got, err := connected(t, object{"base_url": server.URL + row.base, "url": row.url})
		if err != nil {
			t.Errorf("%s with %s: %v", row.base, row.url, err)
			continue
		}
		var seen struct{ Path, Query string }
		if err := json.Unmarshal(got.JSON, &seen); err != nil || seen.Path != row.path || seen.Query != row.query {
			t.Errorf("%s with %s: got %+v, want %s?%s", row.base, row.url, seen, row.path, row.query)
		}
	}
}

// TestConnectionsCredentialsGoNowhereElse: each row tries to send them to another service, which listens on another port of this machine.
func TestConnectionsCredentialsGoNowhereElse(t *testing.T) {
	var seen []*http.Request
	evil := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = append(seen, r) }))
	defer evil.Close()
	var lead string // where a redirect leads
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status := r.URL.Query().Get("redirect"); status != "" {
			w.Header().Set("Location", lead)
			var code int
			_, _ = fmt.Sscan(status, &code)
			w.WriteHeader(code)
		}
	}))
	defer api.Close()
	host := strings.TrimPrefix(evil.URL, "http://")
	credentials := func(more object) object {
		all := object{"base_url": api.URL, "auth": object{"type": "apikey", "key": "X-Key", "value": "hunter2"},
			"auth_headers": object{"Authorization": "Bearer hunter2", "Accept-Language": "hunter2", "Cookie": "s=hunter2"}}
		for k, v := range more {
			all[k] = v
		}
		return all
	}
	for name, inputs := range map[string]object{
		"another URL":                 {"url": evil.URL},
		"without a scheme":            {"url": "//" + host + "/"},
		"another scheme":              {"url": strings.Replace(api.URL, "http", "https", 1)},
		"a scheme without a host":     {"url": "http:" + host},
		"another name of the machine": {"url": strings.Replace(api.URL, "127.0.0.1", "localhost", 1)},
		"a user that looks like it":   {"url": strings.Replace(evil.URL, "://", "://"+strings.TrimPrefix(api.URL, "http://")+"@", 1)},
		"a user of the task's own":    {"url": strings.Replace(api.URL, "://", "://ann:x@", 1)},
		"the header Host":             {"url": "/", "headers": object{"host": host}},
		"an answer that repeats it":   {"url": "/", "method": "trace"},
		"a connection without a base": {"url": evil.URL, "base_url": nil},
		"a base that is none":         {"url": "/", "base_url": "ftp://x"},
	} {
		if got, err := connected(t, credentials(inputs)); !executors.IsPermanent(err) || !strings.HasPrefix(err.Error(), "[rest_executor] ") || len(seen) > 0 {
			t.Errorf("%s: got %+v, %v, and the other service %d requests; want a permanent refusal", name, got, err, len(seen))
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: a secret shows: %v", name, err)
		}
	}
	// Redirects, from a network that may go to loopback anyhow.
	for _, lead = range []string{evil.URL, "//" + host, strings.Replace(evil.URL, "127.0.0.1", "localhost", 1)} {
		for _, status := range []string{"301", "302", "303", "307", "308"} {
			seen = nil
			e := rest.New(rest.Config{}, loopback)
			call, _ := conformance.Call(t, credentials(object{"url": "/?redirect=" + status, "method": "POST", "json": 1}))
			call.Connection = "api"
			if _, err := e.Run(t.Context(), call); err != nil || len(seen) != 1 {
				t.Errorf("%s to %s: %v, %d requests, want 1", status, lead, err, len(seen))
			}
			for _, r := range seen {
				if text := fmt.Sprint(r.Header, r.URL, r.Host); strings.Contains(text, "hunter2") {
					t.Errorf("%s to %s: the credentials went along: %s", status, lead, text)
				}
			}
		}
	}
}

// TestRedirectsOfAConnectionAreGuarded: the operator chose the first address, and nobody the one that it leads to.
func TestRedirectsOfAConnectionAreGuarded(t *testing.T) {
	canary := networktest.StartCanary(t)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/same" {
			http.Redirect(w, r, "/end", http.StatusFound)
		} else if r.URL.Path != "/end" {
			http.Redirect(w, r, fmt.Sprintf("http://127.0.0.1:%d/", canary.Port), http.StatusFound)
		}
	}))
	defer api.Close()
	if got, err := connected(t, object{"base_url": api.URL, "url": "/same"}); err != nil || !got.Success {
		t.Errorf("the same origin: got %+v, %v", got, err)
	}
	if _, err := connected(t, object{"base_url": api.URL, "url": "/"}); !executors.IsPermanent(err) || canary.Reached() > 0 {
		t.Errorf("got %v, want a permanent refusal", err)
	}
}

func TestConnectionSaysWhoCallsAndWhetherToCheck(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(r.Header)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	base := strings.Replace(server.URL, "://", "://ann:hunter2@", 1)
	if _, err := connected(t, object{"base_url": base, "url": "/"}); !executors.IsPermanent(err) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v, want a permanent error about the certificate", err)
	}
	got, err := connected(t, object{"base_url": base, "url": server.URL + "/x", "verify": false, "headers": object{"X-Own": "1", "X-Key": "mine"},
		"auth_headers": object{"X-Key": "theirs"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"Authorization":["Basic YW5uOmh1bnRlcjI="]`, `"X-Own":["1"]`, `"X-Key":["theirs"]`, `"Idempotency-Key":["key-1"]`} {
		if !strings.Contains(got.Body, want) {
			t.Errorf("got %s, want %s", got.Body, want)
		}
	}
	if strings.Contains(got.URL, "hunter2") {
		t.Errorf("a secret shows: %s", got.URL)
	}
	d := rest.New(rest.Config{}, nil).Describe()
	for _, field := range []string{"base_url", "auth", "auth_headers", "verify"} {
		if !slices.Contains(d.Connection.Fields, field) {
			t.Errorf("a task that names a connection may set %s", field)
		}
	}
}

func TestDemoLooksLikeAnAnswerAndShowsNoCredentials(t *testing.T) {
	e := rest.New(rest.Config{}, nil)
	call, _ := conformance.Call(t, object{"url": "https://ann:hunter2@api.example/x", "method": "post", "auth": object{"type": "apikey", "key": "k", "value": "hunter2", "location": "query"}})
	got, takes := e.Demo(call)
	demo := got.(*rest.Result)
	if demo.URL != "https://***@api.example/x?k=***" || demo.Method != "POST" || demo.StatusCode != 200 || !demo.Success || takes.Seconds() != 0.3 {
		t.Errorf("got %+v, %v", demo, takes)
	}
}

func TestAnAPIKeyGoesToNoOtherHost(t *testing.T) {
	var got http.Header
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() }))
	defer other.Close()
	first := httptest.NewServer(http.RedirectHandler(strings.Replace(other.URL, "127.0.0.1", "localhost", 1), http.StatusTemporaryRedirect))
	defer first.Close()
	for _, auth := range []object{
		{"type": "apikey", "key": "X-Key", "value": "hunter2"},
		{"type": "apikey", "key": "k", "value": "hunter2", "location": "query"},
		{"type": "bearer", "token": "hunter2"},
	} {
		got = nil
		if _, err := run(t, object{"url": first.URL, "method": "POST", "json": 1, "auth": auth}); err != nil || got == nil {
			t.Fatalf("got %v, %v", got, err)
		}
		if text := fmt.Sprint(got); strings.Contains(text, "hunter2") {
			t.Errorf("%v: sent to another host: %s", auth, text)
		}
	}
	if !slices.Equal(got["Idempotency-Key"], []string{"key-1"}) {
		t.Errorf("the idempotency key was lost: %v", got)
	}
}
