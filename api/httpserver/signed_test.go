package httpserver_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/api/httpserver"
)

// TestFormsOfSignedPaths: what is signed may be a form, of a page of our own only.
func TestFormsOfSignedPaths(t *testing.T) {
	t.Parallel()
	url, _, _ := start(t, httpserver.Config{API: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
		Signed: func(r *http.Request) bool { return r.URL.Path == "/link" }})
	for _, row := range []struct {
		fact, path, headers string
		want                int
	}{
		{"of our own page", "/link", "Sec-Fetch-Site: same-origin|Origin: " + url, 200},
		{"of our own page, elsewhere", "/tasks", "Sec-Fetch-Site: same-origin|Origin: " + url, 415},
		{"of a stranger's page", "/link", "Sec-Fetch-Site: cross-site|Origin: https://evil.example", 403},
		{"of a page without origin", "/link", "Origin: null", 403},
		{"of a client", "/link", "", 200},
	} {
		req, err := http.NewRequest(http.MethodPost, url+row.path, strings.NewReader("choice=approve"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for line := range strings.SplitSeq(row.headers, "|") {
			if name, value, ok := strings.Cut(line, ": "); ok {
				req.Header.Set(name, value)
			}
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != row.want {
			t.Errorf("a form %s: got HTTP %d, want %d", row.fact, res.StatusCode, row.want)
		}
	}
}
