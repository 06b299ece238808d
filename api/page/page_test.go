package page_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/api/page"
)

func serve(t *testing.T) *httptest.Server {
	t.Helper()
	mux, h := http.NewServeMux(), page.New(page.Settings{Version: "1.2.3", Issuers: []string{"https://login.example"}})
	for _, path := range page.Paths {
		mux.Handle(path, h)
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func get(t *testing.T, url, encoding string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", encoding)
	res, err := http.DefaultTransport.RoundTrip(req) // follows nothing, unpacks nothing
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, body
}

// TestViews: each view is the document, whatever ids its path has, under a policy that lets nothing run which is not a file of the page.
func TestViews(t *testing.T) {
	s := serve(t)
	_, document := get(t, s.URL+"/", "identity")
	for _, path := range []string{"/", "/?status=failed", "/t/one", "/t/one/two", "/t/a%2F%2Fb/~..", "/t/%3Cscript%3E", "/pools", "/inbox", "/schedules", "/flows", "/runs/r1", "/doctor"} {
		res, body := get(t, s.URL+path, "identity")
		if res.StatusCode != 200 || !bytes.Equal(body, document) || res.Header.Get("Content-Type") != "text/html; charset=utf-8" || res.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: got %d %v %.80s", path, res.StatusCode, res.Header, body)
		}
		policy := res.Header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'", "base-uri 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s: the policy %q lacks %q", path, policy, part)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") || strings.Contains(policy, "data:") {
			t.Errorf("%s: the policy %q lets in too much", path, policy)
		}
	}
	if found := regexp.MustCompile(`<style|style=|<script(?:[^>]*)>[^<]|https?://| on[a-z]+=`).Find(document); found != nil {
		t.Errorf("the document has %q, which the policy forbids", found)
	}
	for _, path := range []string{"/elsewhere", "/t", "/pools/x", "/page/", "/page/index.html", "/page/../page.go", "/page/assets/", "/page/assets/none.js"} {
		if res, body := get(t, s.URL+path, "identity"); res.StatusCode == 200 {
			t.Errorf("%s: got %.80s", path, body)
		}
	}
}

// TestFiles: what the document and its scripts name is there, packed for those who take it, and kept by browsers for as long as its name stays.
func TestFiles(t *testing.T) {
	s := serve(t)
	_, document := get(t, s.URL+"/", "identity")
	names := regexp.MustCompile(`"(/page/[^"]+)"`).FindAllSubmatch(document, -1)
	if len(names) < 3 {
		t.Fatalf("the document names %d files", len(names))
	}
	for _, name := range names {
		path := string(name[1])
		plain, whole := get(t, s.URL+path, "identity")
		if plain.StatusCode != 200 || plain.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Fatalf("%s: got %d %v", path, plain.StatusCode, plain.Header)
		}
		if kept := strings.Contains(plain.Header.Get("Cache-Control"), "immutable"); kept != strings.HasPrefix(path, "/page/assets/") {
			t.Errorf("%s: Cache-Control is %q", path, plain.Header.Get("Cache-Control"))
		}
		packed, data := get(t, s.URL+path, "br, gzip;q=0.5")
		if packed.Header.Get("Content-Encoding") != "gzip" {
			if len(whole) > 2000 {
				t.Errorf("%s: %d bytes are not packed", path, len(whole))
			}
			continue
		}
		r, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, whole) {
			t.Errorf("%s: unpacks to something else: %v", path, err)
		}
		if refused, _ := get(t, s.URL+path, "gzip;q=0"); refused.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: is packed for who does not take it", path)
		}
	}
	if _, body := get(t, s.URL+"/page/settings.json", "identity"); string(body) != `{"version":"1.2.3","issuers":["https://login.example"]}` {
		t.Errorf("the settings are %s", body)
	}
}

// TestSize holds the page to what it may weigh: 90 KB of packed script until the largest view has all it needs, and half a megabyte in the binary.
func TestSize(t *testing.T) {
	document, err := os.ReadFile("static/index.html")
	if err != nil {
		t.Fatal(err)
	}
	first, later, all := 0, 0, 0 // packed script of the document and the worker; the largest part that comes when it is asked for; bytes of all
	err = fs.WalkDir(os.DirFS("static"), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile("static/" + name)
		if err != nil {
			return err
		}
		all += len(data)
		if !strings.HasSuffix(name, ".js") {
			return nil
		}
		var b bytes.Buffer
		w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // as it is served
		_, _ = w.Write(data)                                  // into memory
		_ = w.Close()
		if bytes.Contains(document, []byte(name)) || strings.Contains(name, "worker") {
			first += b.Len()
		} else {
			later = max(later, b.Len())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if first == 0 || later == 0 || first+later > 90_000 || all > 500_000 {
		t.Errorf("%d bytes of packed script at first and %d later, %d bytes in all; at most 90000 together and 500000 may be", first, later, all)
	}
}
