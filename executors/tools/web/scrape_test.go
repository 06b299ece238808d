package web_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/network/networktest"
	"github.com/taskgrove/taskgrove/executors/tools"
	"github.com/taskgrove/taskgrove/executors/tools/web"
)

type quiet struct{}

func (quiet) Log(string, string)       {}
func (quiet) Progress(float64, string) {}

// open is a network that reaches this machine.
func open() *network.Network {
	return network.New(network.Config{Guard: network.Guard{Loopback: true}})
}

// use makes a tool as a task's list names it, and uses it once.
func use(t testing.TB, cfg web.Config, n *network.Network, text, arguments string) tools.Answer {
	t.Helper()
	session := tools.NewRegistry(web.Kinds(cfg, n)...).Session(&executors.Call{Reporter: quiet{}})
	list, _ := json.Marshal([]string{text})
	set, faults := session.Resolve(t.Context(), "tools", list)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	answer, err := set.Use(t.Context(), model.ToolCall{Name: set.Specs()[0].Name, Arguments: json.RawMessage(arguments)})
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func scrape(t testing.TB, url, more string) tools.Answer {
	t.Helper()
	return use(t, web.Config{}, open(), "LimitedScrapeWebsiteTool()", fmt.Sprintf(`{"website_url":%q%s}`, url, more))
}

// site serves pages by their paths: type, a line, body.
func site(t testing.TB, pages map[string]string) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := pages[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		kind, body, _ := strings.Cut(text, "\n")
		if to, is := strings.CutPrefix(kind, "to "); is {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		w.Header()["Content-Type"] = []string{kind}
		fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return s
}

const shop = "text/html; charset=utf-8\n" + `<!doctype html><html><head><title> The  Shop &amp; more </title><meta name="Description" content="All we sell">
<style>p { color: red }</style><script>var secret = "not text"</script></head><body>
<header>Logo</header><nav><ul><li>Home<nav>inner</nav></li></ul></nav>
<p>Welcome to <b>the</b>
   shop.</p>
<h1>Products</h1><p>We sell</p><ul><li>pears</li><li>plums</li></ul>
<h2>Prices</h2><table><tr><td>pear</td><td>1</td></tr></table>
<h3>Discounts</h3><p>none</p>
<h1>Jobs <small>open</small></h1><p>Two.</p>
<h2>Prices of parking</h2><p>free</p>
<footer>imprint</footer><noscript>enable it</noscript></body></html>`

func TestPagesBecomeText(t *testing.T) {
	t.Parallel()
	s := site(t, map[string]string{
		"/":       shop,
		"/plain":  "text/plain\n a\n  b\x00\x07 ",
		"/json":   "application/json\n{\"a\": 1}",
		"/latin":  "text/html; charset=iso-8859-1\n<p>caf\xe9",
		"/meta":   "text/html\n<meta charset=shift_jis><p>\x83\x65\x83\x58\x83\x67",
		"/png":    "image/png\n\x89PNG",
		"/none":   "\n<html><p>sniffed</p></html>",
		"/hidden": "text/html; charset=utf-8\n<p>a\u200b\u202e\U000E0041\U000E0042b</p>",
		"/moved":  "to /latin",
		"/loop":   "to /loop",
		"/ftp":    "to ftp://example.org/x",
		"/user":   "to http://u:p@example.org/x",
	})
	whole := "Title: The Shop & more\nDescription: All we sell\n\nWelcome to the shop.\n\n# Products\nWe sell\npears\nplums\n\n## Prices\npear 1\n\n### Discounts\nnone\n\n" +
		"# Jobs open\nTwo.\n\n## Prices of parking\nfree"
	for name, tt := range map[string]struct{ path, more, want string }{
		"everything":          {"/", ``, whole},
		"no metadata":         {"/", `,"extract_metadata":false,"max_chars":7`, "Welcome\n[Content truncated to 7 characters]"},
		"focus":               {"/", `,"focus_sections":["PRODUCTS"],"extract_metadata":false`, "# Products\nWe sell\npears\nplums\n\n## Prices\npear 1\n\n### Discounts\nnone"},
		"focus on two":        {"/", `,"focus_sections":["prices"],"extract_metadata":false`, "## Prices\npear 1\n\n### Discounts\nnone\n\n## Prices of parking\nfree"},
		"exclude":             {"/", `,"exclude_sections":["products","parking"],"extract_metadata":false`, "Welcome to the shop.\n\n# Jobs open\nTwo."},
		"focus and exclude":   {"/", `,"focus_sections":["products"],"exclude_sections":["discounts"],"extract_metadata":false`, "# Products\nWe sell\npears\nplums\n\n## Prices\npear 1"},
		"focus on nothing":    {"/", `,"focus_sections":["x"],"extract_metadata":false`, "[No section fits. The page has: Products; Prices; Discounts; Jobs open; Prices of parking]"},
		"empty filters":       {"/", `,"focus_sections":[""],"exclude_sections":[" "]`, whole},
		"plain text":          {"/plain", ``, "a\nb"},
		"JSON":                {"/json", ``, `{"a": 1}`},
		"Latin-1":             {"/latin", ``, "café"},
		"charset of the page": {"/meta", ``, "テスト"},
		"no type":             {"/none", ``, "sniffed"},
		"what nobody sees":    {"/hidden", ``, "ab"},
		"redirect":            {"/moved", ``, "café"},
		"characters":          {"/latin", `,"max_chars":3`, "caf\n[Content truncated to 3 characters]"},

		"an image":             {"/png", ``, `Error fetching website URL: it is of type "image/png", not text`},
		"not there":            {"/x", ``, `Error fetching website URL: the site answered 404 Not Found`},
		"redirects for ever":   {"/loop", ``, `Error fetching website URL: more than 10 redirects`},
		"redirect to a scheme": {"/ftp", ``, `Error fetching website URL: it redirects to an address that is not read: only http:// and https:// URLs are read`},
		"redirect with a user": {"/user", ``, `Error fetching website URL: it redirects to an address that is not read: the URL must hold no user and password`},
		"a forbidden header":   {"/", `,"headers":{"cookie":"a=b"}`, `Error fetching website URL: header "cookie": only the task's author may set it`},
		"too many characters":  {"/", `,"max_chars":1000000`, `Error: [limited_website_scraper] Input validation failed for limited_website_scraper: max_chars: must be at most 50000`},
	} {
		url := s.URL + tt.path
		want := strings.ReplaceAll(tt.want, "URL:", url+":")
		if answer := scrape(t, url, tt.more); answer.Text != want || answer.Failed != strings.HasPrefix(want, "Error") {
			t.Errorf("%s: got  %q\nwant %q", name, answer.Text, want)
		}
	}
	for url, want := range map[string]string{
		"file:///etc/passwd": "only http:// and https:// URLs are read", "//example.org": "only http", "http://": "has no host", "javascript:1": "only http",
		"http://a:b@example.org/": "must hold no user", "http://[::1": "it is no URL", "http://example.org/" + strings.Repeat("x", 5000): "longer than 4096 bytes",
	} {
		if answer := scrape(t, url, ``); !strings.HasPrefix(answer.Text, "Error fetching website ") || !strings.Contains(answer.Text, want) {
			t.Errorf("%.40s: got %s, want %s", url, answer.Text, want)
		}
	}
}

// TestHostilePagesCostLittle: whatever is in them, the answer is bounded and soon there.
func TestHostilePagesCostLittle(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(bytes.Repeat([]byte("<p>bomb</p>"), 10<<20/11))
	_ = z.Close()
	bodies := map[string]string{
		"/deep":      strings.Repeat("<div><b>", 200_000),
		"/tables":    strings.Repeat("<table><tr><td><a>", 100_000),
		"/comment":   "<!--" + strings.Repeat("x", 2<<20),
		"/attribute": `<p title="` + strings.Repeat("x", 2<<20) + `">`,
		"/headings":  strings.Repeat("<h1>x</h1>", 200_000),
		"/entities":  strings.Repeat("&amp;&#x41;&bogus;", 100_000),
		"/title":     "<title>" + strings.Repeat("t ", 1<<20),
		"/open":      "<p>seen</p><nav>" + strings.Repeat("never closed ", 1000),
		"/invalid":   "<p>\xff\xfe\xfd" + strings.Repeat("\x80", 1000),
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if r.URL.Path == "/bomb" {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(zipped.Bytes())
			return
		}
		fmt.Fprint(w, bodies[r.URL.Path])
	}))
	t.Cleanup(s.Close)
	bodies["/bomb"] = ""
	for path := range bodies {
		answer := scrape(t, s.URL+path, `,"max_chars":50000`)
		if answer.Failed || len(answer.Text) > 64<<10 {
			t.Errorf("%s: %d bytes, failed: %v, %.200s", path, len(answer.Text), answer.Failed, answer.Text)
		}
	}
	if answer := scrape(t, s.URL+"/open", ""); answer.Text != "seen" {
		t.Errorf("got %q", answer.Text)
	}
}

// TestRobotsAreRespected: by default, at each address on the way.
func TestRobotsAreRespected(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	rules := "User-agent: *\nDisallow: /private\n\nUser-agent: Taskgrove\nDisallow: /closed\nDisallow: /*?secret="
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/robots.txt":
			asked.Add(1)
			fmt.Fprint(w, rules)
		case "/moved":
			http.Redirect(w, r, "/closed/x", http.StatusFound)
		default:
			fmt.Fprintf(w, "page for %s %q", r.UserAgent(), r.Header["Cookie"])
		}
	}))
	t.Cleanup(s.Close)
	session := tools.NewRegistry(web.Kinds(web.Config{}, open())...).Session(&executors.Call{Reporter: quiet{}})
	set, _ := session.Resolve(t.Context(), "t", json.RawMessage(`["LimitedScrapeWebsiteTool()"]`))
	const closed = "robots.txt of the site closes it to programs"
	for path, want := range map[string]string{
		"/closed/a": closed, "/moved": closed, "/a?secret=1": closed, "/private": `page for Taskgrove (+https://github.com/taskgrove/taskgrove) []`, "/": "page for",
	} {
		answer, err := set.Use(t.Context(), model.ToolCall{Name: "limited_website_scraper", Arguments: fmt.Appendf(nil, `{"website_url":%q}`, s.URL+path)})
		if err != nil || !strings.Contains(answer.Text, want) {
			t.Errorf("%s: got %s, %v", path, answer.Text, err)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("robots.txt was fetched %d times", n)
	}
	if answer := use(t, web.Config{IgnoreRobots: true}, open(), "ScrapeWebsiteTool", fmt.Sprintf(`{"website_url":%q}`, s.URL+"/closed")); answer.Failed {
		t.Errorf("got %s", answer.Text)
	}
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	t.Cleanup(broken.Close)
	if answer := scrape(t, broken.URL, ""); !strings.Contains(answer.Text, closed) {
		t.Errorf("got %s", answer.Text)
	}
}

// TestAuthorsFixArguments: the model neither sees nor sets them, and headers of theirs go to the first site alone.
func TestAuthorsFixArguments(t *testing.T) {
	t.Parallel()
	other := site(t, map[string]string{"/": "text/plain\nother"})
	seen := make(chan http.Header, 10)
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header
		fmt.Fprint(w, "elsewhere")
	}))
	t.Cleanup(echo.Close)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/robots.txt":
			http.NotFound(w, r)
		case r.URL.Path == "/away":
			http.Redirect(w, r, echo.URL, http.StatusFound)
		default:
			fmt.Fprintf(w, "key %s, language %s", r.Header.Get("X-Key"), r.Header.Get("Accept-Language"))
		}
	}))
	t.Cleanup(s.Close)
	if answer := use(t, web.Config{}, open(), fmt.Sprintf(`LimitedScrapeWebsiteTool(%q, headers={'X-Key': 'k'}, max_chars=8)`, s.URL), `{}`); answer.Text != "key k, l\n[Content truncated to 8 characters]" {
		t.Errorf("got %q", answer.Text)
	}
	if answer := use(t, web.Config{}, open(), fmt.Sprintf(`LimitedScrapeWebsiteTool(%q)`, s.URL), fmt.Sprintf(`{"website_url":%q}`, other.URL)); !answer.Failed {
		t.Errorf("got %q", answer.Text)
	}
	if answer := scrape(t, s.URL, `,"headers":{"accept-language":"de"}`); answer.Text != "key , language de" {
		t.Errorf("got %q", answer.Text)
	}
	if answer := use(t, web.Config{IgnoreRobots: true}, open(), `LimitedScrapeWebsiteTool(headers={'X-Key': 'k'})`, fmt.Sprintf(`{"website_url":%q}`, s.URL+"/away")); answer.Text != "elsewhere" {
		t.Errorf("got %q", answer.Text)
	}
	if got := <-seen; got.Get("X-Key") != "" || got.Get("Referer") != "" {
		t.Errorf("the other site got %v", got)
	}
	for url, want := range map[string]string{s.URL: "key", strings.Replace(other.URL, "127.0.0.1", "localhost", 1): "is none of those that the task allows"} {
		if answer := use(t, web.Config{}, open(), `LimitedScrapeWebsiteTool(hosts=['127.0.0.1'])`, fmt.Sprintf(`{"website_url":%q}`, url)); !strings.Contains(answer.Text, want) {
			t.Errorf("%s: got %q", url, answer.Text)
		}
	}
	if answer := use(t, web.Config{}, open(), `LimitedScrapeWebsiteTool(hosts=['localhost'])`, fmt.Sprintf(`{"website_url":%q}`, strings.Replace(s.URL, "127.0.0.1", "localhost", 1)+"/away")); !strings.Contains(answer.Text, "is none of those") {
		t.Errorf("got %q", answer.Text)
	}
	for text, want := range map[string]string{
		`LimitedScrapeWebsiteTool('file:///x')`:                "website_url: only http:// and https:// URLs are read",
		`LimitedScrapeWebsiteTool(headers={'a b': 'x'})`:       `headers: "a b" can't be sent`,
		`LimitedScrapeWebsiteTool(headers={'a': 'x\r\nb: c'})`: `headers: "a" can't be sent`,
		`LimitedScrapeWebsiteTool(hosts=[])`:                   "hosts: ",
	} {
		session := tools.NewRegistry(web.Kinds(web.Config{}, open())...).Session(&executors.Call{Reporter: quiet{}})
		list, _ := json.Marshal([]string{text})
		if _, faults := session.Resolve(t.Context(), "t", list); len(faults) != 1 || !strings.Contains(faults[0].Error(), want) || !executors.IsPermanent(faults[0]) {
			t.Errorf("%s: got %v", text, faults)
		}
	}
	session := tools.NewRegistry(web.Kinds(web.Config{Off: true}, open())...).Session(&executors.Call{Reporter: quiet{}})
	if _, faults := session.Resolve(t.Context(), "t", json.RawMessage(`["GitHubAnalysisTool()"]`)); len(faults) != 1 || !strings.Contains(faults[0].Error(), "TASKGROVE_AGENT_WEB") {
		t.Errorf("got %v", faults)
	}
}

// TestPagesGoThroughTheGuard: at the first address, behind each redirect, for robots.txt, and for names that change their mind. Without the
// guard each row reaches the canary.
func TestPagesGoThroughTheGuard(t *testing.T) {
	t.Parallel()
	canary := networktest.StartCanary(t)
	dns := networktest.StartDNS(t)
	dns.Set("rebinds.example", []string{"127.0.0.2"}, []string{"127.0.0.1"})
	dns.Set("inner.example", []string{"127.0.0.1"})
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.2:%d", canary.Port)) // a public site, as far as the guard knows
	if err != nil {
		t.Skip("127.0.0.2 can't be listened on:", err)
	}
	public := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // ends with the test
		w.Header().Set("Connection", "close") // so that each request looks the name up
		if r.URL.Path == "/robots.txt" {
			fmt.Fprint(w, "User-agent: *\nAllow: /")
			return
		}
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
	})}
	go func() { _ = public.Serve(l) }()
	t.Cleanup(func() { _ = public.Close() })
	inner := fmt.Sprintf("http://127.0.0.1:%d/", canary.Port)
	for name, url := range map[string]string{
		"loopback":              inner,
		"loopback by name":      fmt.Sprintf("http://inner.example:%d/", canary.Port),
		"redirect":              fmt.Sprintf("http://127.0.0.2:%d/?to=%s", canary.Port, inner),
		"redirect to a name":    fmt.Sprintf("http://127.0.0.2:%d/?to=http://inner.example:%d/", canary.Port, canary.Port),
		"rebinding":             fmt.Sprintf("http://rebinds.example:%d/", canary.Port),
		"mapped":                fmt.Sprintf("http://[::ffff:127.0.0.1]:%d/", canary.Port),
		"decimal":               fmt.Sprintf("http://2130706433:%d/", canary.Port),
		"localhost with a dot":  fmt.Sprintf("http://localhost.:%d/", canary.Port),
		"redirect, IPv6 and so": fmt.Sprintf("http://127.0.0.2:%d/?to=http://[::1]:%d/", canary.Port, canary.Port),
	} {
		guarded := network.New(network.Config{Guard: network.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}}, Resolver: dns.Resolver()})
		answer := use(t, web.Config{}, guarded, "LimitedScrapeWebsiteTool()", fmt.Sprintf(`{"website_url":%q}`, url))
		if n := canary.Reached(); !answer.Failed || n > 0 {
			t.Errorf("%s: reached %d times: %s", name, n, answer.Text)
		}
	}
	for _, url := range []string{inner, fmt.Sprintf("http://127.0.0.2:%d/?to=%s", canary.Port, inner)} { // the attack works where the guard is open
		if answer := use(t, web.Config{}, open(), "LimitedScrapeWebsiteTool()", fmt.Sprintf(`{"website_url":%q}`, url)); canary.Reached() == 0 || answer.Text != "canary" {
			t.Errorf("%s: got %s", url, answer.Text)
		}
	}
	for _, url := range []string{"http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://metadata.google.internal/", "http://100.100.100.200/"} {
		dns.Set("metadata.google.internal", []string{"169.254.169.254"})
		n := network.New(network.Config{Guard: network.Guard{Loopback: true}, Resolver: dns.Resolver()})
		if answer := use(t, web.Config{}, n, "LimitedScrapeWebsiteTool()", fmt.Sprintf(`{"website_url":%q}`, url)); !answer.Failed || !strings.Contains(answer.Text, "metadata") {
			t.Errorf("%s: got %s", url, answer.Text)
		}
	}
}

// TestAPageEndsWithItsAttempt: a site that says nothing is not waited for.
func TestAPageEndsWithItsAttempt(t *testing.T) {
	t.Parallel()
	began := make(chan struct{})
	ended := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(ended)
	}))
	t.Cleanup(s.Close)
	session := tools.NewRegistry(web.Kinds(web.Config{IgnoreRobots: true}, open())...).Session(&executors.Call{Reporter: quiet{}})
	set, _ := session.Resolve(t.Context(), "t", json.RawMessage(`["LimitedScrapeWebsiteTool()"]`))
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-began; cancel(executors.ErrCancelled) }()
	if _, err := set.Use(ctx, model.ToolCall{Name: "limited_website_scraper", Arguments: fmt.Appendf(nil, `{"website_url":%q}`, s.URL)}); err != executors.ErrCancelled { //nolint:errorlint // itself
		t.Errorf("got %v", err)
	}
	<-ended
}

func (quiet) Checkpoint(data json.RawMessage) error { return nil }
