package httpserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/api/httpserver"
	"github.com/taskgrove/taskgrove/coordinator"
)

// believe takes the token "of-NAME" for that of NAME.
func believe(_ context.Context, given api.Credentials) (coordinator.Caller, error) {
	name, ok := strings.CutPrefix(given.Token, "of-")
	if !ok {
		return coordinator.Caller{}, errors.New("it is not believed")
	}
	return coordinator.Caller{Name: name, User: name}, nil
}

// asking is a server that asks who callers are, and answers with that.
func asking(t *testing.T) (url string) {
	url, _, _ = start(t, httpserver.Config{
		API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, api.CallerOf(r.Context(), coordinator.SurfaceJSONRPC, r.RemoteAddr).Name)
		}),
		Metrics:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "metrics") }),
		Identify: believe, Public: func(r *http.Request) bool { return r.URL.Path == "/docs" },
		Signed:  func(r *http.Request) bool { return r.URL.Path == "/link" },
		Origins: []string{"https://page.example"}, AnyOrigin: true,
	})
	return url
}

func TestWhereATokenIs(t *testing.T) {
	t.Parallel()
	url := asking(t)
	const typed, page = "Content-Type: application/json|", "Origin: https://page.example|"
	for _, row := range []struct {
		fact    string
		method  string
		path    string
		headers string // name: value, separated by |
		want    string // who, or data of the refusal
	}{
		{"bearer", "POST", "/", "Authorization: Bearer of-amy", "amy"},
		{"bearer in other letters", "POST", "/", "authorization: bEARER  of-amy ", "amy"},
		{"bare", "POST", "/", "Authorization: of-amy", "amy"},
		{"another scheme", "POST", "/", "Authorization: Basic of-amy", api.InvalidToken},
		{"none", "POST", "/", "", api.MissingToken},
		{"none, by GET", "GET", "/", "", api.MissingToken},
		{"an empty header", "POST", "/", "Authorization: ", api.MissingToken},
		{"a scheme alone", "POST", "/", "Authorization: Bearer ", api.InvalidToken},
		{"one that is not believed", "POST", "/", "Authorization: Bearer nope", api.InvalidToken},
		{"two headers", "POST", "/", "Authorization: of-amy|Authorization: of-bob", api.InvalidToken},
		{"a cookie", "GET", "/", "Cookie: auth_token=of-amy", "amy"},
		{"a cookie in capitals", "GET", "/", "Cookie: Authorization=of-amy", "amy"},
		{"a cookie in small letters", "GET", "/", "Cookie: authorization=of-amy", "amy"},
		{"a cookie with the scheme", "GET", "/", "Cookie: authorization=Bearer%20of-amy", "amy"},
		{"another cookie", "GET", "/", "Cookie: session=of-amy", api.MissingToken},
		{"cookies in order", "GET", "/", "Cookie: auth_token=of-bob; Authorization=of-amy", "amy"},
		{"the header first", "GET", "/", "Authorization: of-amy|Cookie: Authorization=of-bob", "amy"},
		{"the header first, though wrong", "GET", "/", "Authorization: nope|Cookie: Authorization=of-bob", api.InvalidToken},
		{"an empty header and a cookie", "GET", "/", "Authorization: |Cookie: Authorization=of-bob", "bob"},
		{"a cookie of a listed page", "POST", "/", typed + page + "Cookie: auth_token=of-amy", "amy"},
		{"a cookie of our own page", "POST", "/", typed + "Origin: " + url + "|Cookie: auth_token=of-amy", "amy"},
		{"a cookie that a stranger's page makes the browser send", "POST", "/", typed + "Origin: https://evil.example|Cookie: auth_token=of-amy", api.MissingToken},
		{"a cookie that a page without origin makes it send", "POST", "/", typed + "Origin: null|Cookie: auth_token=of-amy", api.MissingToken},
		{"a cookie that comes with a stranger's image", "GET", "/", "Sec-Fetch-Site: cross-site|Cookie: auth_token=of-amy", api.MissingToken},
		{"a cookie of a form", "POST", "/", "Content-Type: text/plain|Cookie: auth_token=of-amy", api.MissingToken},
		{"a cookie of a client", "POST", "/", typed + "Cookie: auth_token=of-amy", "amy"},
		{"a header of a stranger's page", "POST", "/", typed + "Origin: https://evil.example|Authorization: of-amy", "amy"},
		{"a document", "GET", "/docs", "", coordinator.AnonymousName},
		{"a document by POST", "POST", "/docs", "", api.MissingToken},
		{"a link", "GET", "/link", "Authorization: nope", coordinator.AnonymousName},
		{"a link's form of our own page", "POST", "/link", "Content-Type: application/x-www-form-urlencoded|Sec-Fetch-Site: same-origin|Origin: " + url, coordinator.AnonymousName},
		{"a link's form of a client", "POST", "/link", "Content-Type: application/x-www-form-urlencoded", coordinator.AnonymousName},
		{"health", "GET", "/health", "", `{"status":"ok"}`},
		{"readiness", "GET", "/ready", "", `{"status":"ready"}`},
		{"metrics", "GET", "/metrics", "", "metrics"},
	} {
		req, err := http.NewRequest(row.method, url+row.path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(row.headers, "|") {
			if name, value, ok := strings.Cut(line, ": "); ok {
				req.Header.Add(name, value)
			}
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if refused := row.want == api.MissingToken || row.want == api.InvalidToken; !refused {
			if res.StatusCode != 200 || strings.TrimSpace(string(body)) != row.want {
				t.Errorf("%s: got HTTP %d %s, want %s", row.fact, res.StatusCode, body, row.want)
			}
			continue
		}
		want := map[string]any{"jsonrpc": "2.0", "error": map[string]any{"code": -32001.0, "message": "Unauthorized", "data": row.want}}
		var got map[string]any
		if err := json.Unmarshal(body, &got); err != nil || fmt.Sprint(got) != fmt.Sprint(want) || res.StatusCode != 401 || res.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: got HTTP %d %s, want 401 and %v", row.fact, res.StatusCode, body, want)
		}
	}
}

// TestPagesReadRefusals: a page of an allowed origin is told that it needs a token (spec W24), and may ask beforehand without one.
func TestPagesReadRefusals(t *testing.T) {
	t.Parallel()
	url := asking(t)
	for _, row := range []struct {
		origin, credentials string
	}{{"https://page.example", "true"}, {"https://other.example", ""}} {
		for method, want := range map[string]int{"POST": 401, "OPTIONS": 204} {
			req, err := http.NewRequest(method, url+"/tasks", strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range map[string]string{"Origin": row.origin, "Content-Type": "application/json", "Access-Control-Request-Method": "DELETE",
				"Access-Control-Request-Headers": "authorization,x-odd"} {
				req.Header.Set(name, value)
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			h := res.Header
			if res.StatusCode != want || h.Get("Access-Control-Allow-Origin") != row.origin || h.Get("Access-Control-Allow-Credentials") != row.credentials {
				t.Errorf("%s of %s: got %s, %v", method, row.origin, res.Status, h)
			}
			if method == "OPTIONS" && (h.Get("Access-Control-Allow-Headers") != "authorization,x-odd" || !strings.Contains(h.Get("Access-Control-Allow-Methods"), "DELETE")) {
				t.Errorf("a question of %s: got %v", row.origin, h)
			}
		}
	}
}

// TestConnectReadsRefusals: a client of Connect finds the code and the text where its protocol has them.
func TestConnectReadsRefusals(t *testing.T) {
	t.Parallel()
	res, err := http.Post(asking(t)+"/taskgrove.v1.Taskgrove/GetTask", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got struct{ Code, Message string }
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || res.StatusCode != 401 || got.Code != "unauthenticated" || got.Message != api.MissingToken {
		t.Errorf("got HTTP %d %+v (%v)", res.StatusCode, got, err)
	}
}
