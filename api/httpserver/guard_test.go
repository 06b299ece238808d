package httpserver_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/api/httpserver"
)

// TestStrangersPagesAreRefused: what a browser sends for a page of another origin never reaches a handler, on any route.
func TestStrangersPagesAreRefused(t *testing.T) {
	reached := false
	url, _, _ := start(t, httpserver.Config{
		API:     http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached = true; _, _ = io.Copy(io.Discard, r.Body) }),
		Metrics: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }),
		Hosts:   []string{"grove.example", "proxy.example:444"}, Origins: []string{"https://page.example"},
	})
	own := strings.TrimPrefix(url, "http://")
	_, port, _ := net.SplitHostPort(own)
	const form, plain, typed = "application/x-www-form-urlencoded", "text/plain", "application/json"
	for _, row := range []struct {
		fact    string
		method  string
		host    string
		headers string // name: value, separated by |
		want    int
	}{
		{"curl -d", "POST", own, "Content-Type: " + form, 200},
		{"a client without a type", "POST", own, "", 200},
		{"curl", "GET", own, "", 200},
		{"localhost by another port", "GET", "localhost:1", "", 200},
		{"a name below localhost", "GET", "me.localhost:" + port, "", 200},
		{"IPv6 loopback", "GET", "[::1]:" + port, "", 200},
		{"a probe without Host", "GET", "", "", 200},
		{"a rebound name", "GET", "evil.example:" + port, "", 403},
		{"a rebound name posts JSON", "POST", "evil.example", "Content-Type: " + typed, 403},
		{"a name that begins like ours", "GET", "localhost.evil.example", "", 403},
		{"a name that ends like ours", "GET", "evillocalhost", "", 403},
		{"another address", "GET", "192.0.2.1:" + port, "", 403},
		{"a configured name", "GET", "GROVE.example:99", "", 200},
		{"a configured name with its port", "GET", "proxy.example:444", "", 200},
		{"a configured name with another port", "GET", "proxy.example:445", "", 403},
		{"a stranger's form", "POST", own, "Content-Type: " + plain + "|Origin: https://evil.example", 403},
		{"a stranger's JSON", "POST", own, "Content-Type: " + typed + "|Origin: https://evil.example", 403},
		{"a page of no origin", "POST", own, "Content-Type: " + typed + "|Origin: null", 403},
		{"another port of this host", "POST", own, "Content-Type: " + typed + "|Origin: http://127.0.0.1:1", 403},
		{"two origins", "POST", own, "Content-Type: " + typed + "|Origin: " + url + "|Origin: https://evil.example", 403},
		{"a stranger reads", "GET", own, "Origin: https://evil.example", 403},
		{"a stranger's image", "GET", own, "Sec-Fetch-Site: cross-site|Sec-Fetch-Mode: no-cors|Sec-Fetch-Dest: image", 403},
		{"a neighbour's script", "GET", own, "Sec-Fetch-Site: same-site|Sec-Fetch-Mode: no-cors|Sec-Fetch-Dest: script", 403},
		{"a stranger's frame", "GET", own, "Sec-Fetch-Site: cross-site|Sec-Fetch-Mode: navigate|Sec-Fetch-Dest: iframe", 403},
		{"a link from elsewhere", "GET", own, "Sec-Fetch-Site: cross-site|Sec-Fetch-Mode: navigate|Sec-Fetch-Dest: document", 200},
		{"a form that navigates", "POST", own, "Content-Type: " + typed + "|Sec-Fetch-Site: cross-site|Sec-Fetch-Mode: navigate|Sec-Fetch-Dest: document", 403},
		{"an address that was typed", "GET", own, "Sec-Fetch-Site: none|Sec-Fetch-Mode: navigate|Sec-Fetch-Dest: document", 200},
		{"a site value from the future", "GET", own, "Sec-Fetch-Site: other", 403},
		{"our own page", "POST", own, "Content-Type: " + typed + "; charset=utf-8|Origin: " + url + "|Sec-Fetch-Site: same-origin", 200},
		{"our own page without a type", "POST", own, "Origin: " + url, 415},
		{"our own page with a form", "POST", own, "Content-Type: " + form + "|Origin: " + url, 415},
		{"a browser without Origin", "POST", own, "Content-Type: " + plain + "|Sec-Fetch-Site: same-origin", 415},
		{"two types", "POST", own, "Content-Type: " + typed + "|Content-Type: " + plain + "|Origin: " + url, 415},
		{"a DELETE by a browser", "DELETE", own, "Origin: " + url, 415},
		{"an allowed page", "POST", own, "Content-Type: " + typed + "|Origin: https://page.example|Sec-Fetch-Site: cross-site", 200},
		{"an allowed page with a form", "POST", own, "Content-Type: " + plain + "|Origin: https://page.example", 415},
		{"an allowed page by a rebound name", "POST", "evil.example", "Content-Type: " + typed + "|Origin: https://page.example", 403},
		{"an allowed page asks first", "OPTIONS", own, "Origin: https://page.example|Access-Control-Request-Method: POST", 204},
		{"a stranger asks first", "OPTIONS", own, "Origin: https://evil.example|Access-Control-Request-Method: POST", 403},
		{"a stranger's WebSocket", "GET", own, "Origin: https://evil.example|Upgrade: websocket|Connection: Upgrade|Sec-Fetch-Site: cross-site|Sec-Fetch-Mode: websocket", 403},
	} {
		for _, path := range []string{"/tasks", "/system", "/health", "/ready", "/metrics", "/elsewhere"} {
			reached = false
			res := send(t, own, row.method, path, row.host, row.headers)
			if row.want == 200 && (path == "/health" || path == "/ready" || path == "/metrics") && row.method != "GET" {
				continue // 405 is those routes' own answer
			}
			if res.StatusCode != row.want || reached && row.want != 200 {
				t.Errorf("%s, %s: got %s, reached %v; want %d", row.fact, path, res.Status, reached, row.want)
			}
			allowed := res.Header.Get("Access-Control-Allow-Origin")
			if page := strings.Contains(row.headers, "page.example") && row.want != 403; page != (allowed == "https://page.example") {
				t.Errorf("%s, %s: got Access-Control-Allow-Origin %q", row.fact, path, allowed)
			}
		}
	}
}

// send writes a request as a browser would, header by header.
func send(t *testing.T, addr, method, path, host, headers string) *http.Response {
	t.Helper()
	text := method + " " + path + " HTTP/1.1\r\nHost: " + host + "\r\n"
	for line := range strings.SplitSeq(headers, "|") {
		if line != "" {
			text += line + "\r\n"
		}
	}
	return exchange(t, addr, text+"Content-Length: 2\r\n\r\n{}")
}

func exchange(t *testing.T, addr, text string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res
}

// TestStrangersBodyIsNotWaitedFor: the refusal comes although the body does not.
func TestStrangersBodyIsNotWaitedFor(t *testing.T) {
	url, _, _ := start(t, httpserver.Config{API: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("reached") })})
	res := exchange(t, strings.TrimPrefix(url, "http://"),
		"POST /tasks HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\n")
	if res.StatusCode != http.StatusForbidden || !res.Close {
		t.Errorf("got %s, close %v; want 403 and the connection's end", res.Status, res.Close)
	}
}
