package builtin_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"github.com/taskgrove/taskgrove/executors/conformance"
)

// websocketFeatures are those of websocket_executor, with a server that ends with the test.
func websocketFeatures(t *testing.T, secret string) conformance.Features {
	var open atomic.Int64 // connections
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" {
			http.Error(w, "no such key: "+secret, http.StatusForbidden)
			return
		}
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		open.Add(1)
		defer open.Add(-1)
		defer c.CloseNow()
		for {
			typ, text, err := c.Read(r.Context())
			if err != nil {
				return
			}
			switch r.URL.Path {
			case "/slow":
				continue
			case "/large":
				text = []byte(strings.Repeat("x", 8<<20))
			}
			_ = c.Write(r.Context(), typ, text)
		}
	}))
	t.Cleanup(server.Close)
	where := "ws" + strings.TrimPrefix(server.URL, "http")
	return conformance.Features{
		Quick:    `{"url": "` + where + `/quick", "message": {"a": 1}}`,
		Slow:     `{"url": "` + where + `/slow", "message": "a", "timeout": 600}`,
		Missing:  map[string]string{`{"message": "a"}`: "[websocket_executor] url is required in inputs"},
		Large:    `{"url": "` + where + `/large", "message": "a"}`,
		TimesOut: map[string]string{`{"url": "` + where + `/slow", "message": "a", "timeout": 2}`: "Response timeout after 2 seconds"},
		Left:     func() error { return soon(func() bool { return open.Load() == 0 }, "a connection is open") },
		Failing: []string{
			`{"url": "` + where + `/refuse", "message": "a", "auth": {"type": "bearer", "token": "` + secret + `"}}`,
			`{"url": "` + where + `/refuse?token=` + secret + `", "message": "a"}`,
			`{"url": "ws://ann:` + secret + `@127.0.0.1:1/", "message": "a"}`,
		},
		Secret: secret,
		Demo:   map[string][]string{`{"url": "ws://x", "message": "a"}`: {"success", "url", "message_sent", "response"}},
	}
}
