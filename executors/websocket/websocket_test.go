package websocket_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ws "github.com/coder/websocket"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/websocket"
)

type object map[string]any

func newExecutor(cfg websocket.Config) *websocket.Executor {
	return websocket.New(cfg, network.New(network.Config{Guard: network.Guard{Loopback: true}}))
}

func run(t testing.TB, e *websocket.Executor, in any) (*websocket.Result, error) {
	t.Helper()
	call, _ := conformance.Call(t, in)
	if err := inputs.NewChecker(0).Check(e.Describe(), call); err != nil {
		return nil, err
	}
	got, err := e.Run(t.Context(), call)
	result, _ := got.Value().(*websocket.Result)
	return result, err
}

// server speaks as its path says.
type server struct {
	*httptest.Server
	url    string       // of ws
	header atomic.Value // http.Header of the last handshake
	began  chan struct{}
	ended  chan error    // how each connection ended for the server
	over   chan struct{} // closed when the test ends
	pings  atomic.Int32
}

func serve(t testing.TB) *server {
	s := &server{began: make(chan struct{}, 100), ended: make(chan error, 100), over: make(chan struct{})}
	s.Server = httptest.NewServer(http.HandlerFunc(s.handle))
	s.url = "ws" + strings.TrimPrefix(s.URL, "http")
	t.Cleanup(func() { close(s.over); s.Close() })
	return s
}

func (s *server) handle(w http.ResponseWriter, r *http.Request) {
	s.header.Store(r.Header.Clone())
	switch r.URL.Path {
	case "/forbidden":
		http.Error(w, "not you", http.StatusForbidden)
		return
	case "/busy":
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case "/plain":
		fmt.Fprint(w, "hello")
		return
	case "/around":
		http.Redirect(w, r, "/around", http.StatusTemporaryRedirect)
		return
	case "/moved":
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusTemporaryRedirect)
		return
	}
	c, err := ws.Accept(w, r, &ws.AcceptOptions{Subprotocols: []string{"prices.v1"}, OnPingReceived: func(context.Context, []byte) bool {
		s.pings.Add(1)
		return true
	}})
	if err != nil {
		return
	}
	c.SetReadLimit(-1)
	s.ended <- s.speak(c, r)
	c.CloseNow()
}

// speak has the conversation of a path, and says how the connection ended.
func (s *server) speak(c *ws.Conn, r *http.Request) error {
	ctx := r.Context()
	send := func(text string) { _ = c.Write(ctx, ws.MessageText, []byte(text)) }
	var code int
	switch path := r.URL.Path; {
	case path == "/greets":
		send(`{"type":"hello"}`)
	case path == "/rude":
		c.CloseNow()
		return nil
	case path == "/deaf":
		s.began <- struct{}{}
		<-s.over
		return nil
	case strings.HasPrefix(path, "/close/"):
		_, _, _ = c.Read(ctx)
		_, _ = fmt.Sscanf(path, "/close/%d", &code)
		return c.Close(ws.StatusCode(code), "because")
	}
	for {
		typ, text, err := c.Read(ctx)
		if err != nil {
			return err
		}
		switch r.URL.Path {
		case "/silent":
			s.began <- struct{}{}
		case "/large":
			send(strings.Repeat("x", 5000))
		case "/chatter":
			send(`{"type":"news"}`)
			send(`not JSON`)
			send(`{"type":"error","of":1}`)
			send(`{"id":7,"data":{"topics":["a","b/c"]},"echo":` + string(text) + `}`)
		default:
			_ = c.Write(ctx, typ, text)
		}
	}
}

func TestResult(t *testing.T) {
	s := serve(t)
	for name, row := range map[string]struct {
		path string
		in   object
		want string
	}{
		"a text":             {"/echo", object{"message": "hi"}, `{"success":true,"url":"SERVER/echo","message_sent":"hi","response":"hi"}`},
		"an object":          {"/echo", object{"message": object{"a": 1}}, `{"success":true,"url":"SERVER/echo","message_sent":"{\"a\":1}","response":{"a":1}}`},
		"a text of JSON":     {"/echo", object{"message": `[1, "\u0000"]`}, `{"success":true,"url":"SERVER/echo","message_sent":"[1, \"\\u0000\"]","response":[1,"\ufffd"]}`},
		"binary":             {"/echo", object{"message": "AP8=", "encoding": "base64"}, `{"success":true,"url":"SERVER/echo","message_sent":"AP8=","response":"AP8=","encoding":"base64"}`},
		"binary of text":     {"/echo", object{"message": "aGk=", "encoding": "base64"}, `{"success":true,"url":"SERVER/echo","message_sent":"aGk=","response":"hi"}`},
		"no reply":           {"/silent", object{"message": "hi", "wait_response": false}, `{"success":true,"url":"SERVER/silent","message_sent":"hi","response":null}`},
		"a query":            {"/echo?a=b", object{"message": "hi"}, `{"success":true,"url":"SERVER/echo?a=b","message_sent":"hi","response":"hi"}`},
		"a subprotocol":      {"/echo", object{"message": "hi", "subprotocols": []string{"other", "prices.v1"}}, `{"success":true,"url":"SERVER/echo","message_sent":"hi","response":"hi","subprotocol":"prices.v1"}`},
		"none that is known": {"/echo", object{"message": "hi", "subprotocols": []string{"other"}}, `{"success":true,"url":"SERVER/echo","message_sent":"hi","response":"hi"}`},
		"by its fields": {"/chatter", object{"message": "1", "expect": object{"fields": object{"id": 7.0, "/data/topics/1": "b/c"}}},
			`{"success":true,"url":"SERVER/chatter","message_sent":"1","response":{"id":7,"data":{"topics":["a","b/c"]},"echo":1},"skipped":3}`},
		"by its text": {"/chatter", object{"message": "1", "expect": object{"contains": "not"}}, `{"success":true,"url":"SERVER/chatter","message_sent":"1","response":"not JSON","skipped":1}`},
		"several": {"/greets", object{"exchanges": []object{{"expect": object{"fields": object{"type": "hello"}}}, {"message": "a"}, {"message": "b", "wait_response": false}, {"message": "c", "expect": object{"contains": "c"}}}},
			`{"success":true,"url":"SERVER/greets","message_sent":"c","response":"c","responses":[{"message_sent":"","response":{"type":"hello"}},{"message_sent":"a","response":"a"},{"message_sent":"b","response":null},{"message_sent":"c","response":"c"}],"skipped":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			row.in["url"] = s.url + row.path
			got, err := run(t, newExecutor(websocket.Config{}), row.in)
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(got)
			if got := strings.ReplaceAll(string(text), s.url, "SERVER"); err != nil || got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
			var ended ws.CloseError
			if err := <-s.ended; !errors.As(err, &ended) || ended.Code != ws.StatusNormalClosure {
				t.Errorf("for the server it ended with %v", err)
			}
		})
	}
}

func TestHandshakeSaysWhoAsks(t *testing.T) {
	s := serve(t)
	for _, row := range []struct {
		in        object
		key, want string
	}{
		{object{"headers": object{"x-tenant": "acme"}}, "X-Tenant", "acme"},
		{object{"auth": object{"type": "bearer", "token": "t"}}, "Authorization", "Bearer t"},
		{object{"url": strings.Replace(s.url, "://", "://me:pw@", 1)}, "Authorization", "Basic bWU6cHc="},
		{object{}, "Idempotency-Key", "key-1"},
		{object{}, "X-Taskgrove-Attempt", "1"},
		{object{}, "User-Agent", "taskgrove"},
	} {
		if row.in["message"] = "hi"; row.in["url"] == nil {
			row.in["url"] = s.url
		}
		got, err := run(t, newExecutor(websocket.Config{}), row.in)
		if err != nil || strings.Contains(got.URL, "pw") {
			t.Fatalf("got %+v, %v", got, err)
		}
		if got := s.header.Load().(http.Header).Get(row.key); got != row.want {
			t.Errorf("%s: got %q, want %q", row.key, got, row.want)
		}
	}
}

func TestRepliesAreLoggedAndProgressIsTold(t *testing.T) {
	s := serve(t)
	call, said := conformance.Call(t, object{"url": s.url, "exchanges": []object{{"message": "a\n"}, {"message": object{"b": 1}}}})
	if _, err := newExecutor(websocket.Config{}).Run(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(said.Lines(), said.Fractions()); got != `[log: a log: {"b":1}] [0.5 1]` {
		t.Errorf("got %s", got)
	}
}

func TestFailures(t *testing.T) {
	s := serve(t)
	mute, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	for name, row := range map[string]struct {
		in        object
		want      string // the beginning
		permanent bool
		after     time.Duration
	}{
		"no reply":                     {object{"url": s.url + "/silent", "timeout": 2}, "Response timeout after 2 seconds", false, 0},
		"none in an exchange":          {object{"url": s.url + "/silent", "message": nil, "exchanges": []object{{"message": "a", "timeout": 0.25}}}, "Response timeout after 0.25 seconds", false, 0},
		"no handshake":                 {object{"url": "ws://" + mute.Addr().String(), "timeout": 0.3}, "Connection timeout after 0.3 seconds", false, 0},
		"closed":                       {object{"url": s.url + "/close/1000"}, "Connection closed: 1000 (OK): because", false, 0},
		"restarted":                    {object{"url": s.url + "/close/1012"}, "Connection closed: 1012 (service restart): because", false, 0},
		"closed by policy":             {object{"url": s.url + "/close/1008"}, "Connection closed: 1008 (policy violation): because", true, 0},
		"closed as unauthorized":       {object{"url": s.url + "/close/4401"}, "Connection closed: 4401: because", true, 0},
		"closed as too busy":           {object{"url": s.url + "/close/4429"}, "Connection closed: 4429: because", false, 0},
		"cut off":                      {object{"url": s.url + "/rude"}, "Connection closed: 1006 (abnormal closure): ", false, 0},
		"forbidden":                    {object{"url": s.url + "/forbidden"}, "server rejected WebSocket connection: HTTP 403: not you", true, 0},
		"busy":                         {object{"url": s.url + "/busy"}, "server rejected WebSocket connection: HTTP 503", false, 7 * time.Second},
		"not a WebSocket":              {object{"url": s.url + "/plain"}, "server rejected WebSocket connection: HTTP 200: hello", true, 0},
		"too large":                    {object{"url": s.url + "/large"}, "a message has more than 4000 bytes", true, 0},
		"together too large":           {object{"url": s.url, "message": nil, "exchanges": []object{{"message": strings.Repeat("x", 3000)}, {"message": strings.Repeat("x", 3000)}}}, "the replies have more than 4000 bytes", true, 0},
		"refused by a rule":            {object{"url": s.url + "/chatter", "message": "1", "expect": object{"fields": object{"id": 7}}, "fail_on": object{"fields": object{"type": "error"}}}, `message refused by fail_on: {"type":"error","of":1}`, false, 0},
		"too much that does not count": {object{"url": s.url + "/chatter", "message": "1", "expect": object{"contains": "nothing"}, "max_skipped": 2}, "no expected response among 3 messages", false, 0},
		"nobody there":                 {object{"url": "ws://127.0.0.1:1"}, "dial tcp 127.0.0.1:1: connect: ", false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if _, ok := row.in["message"]; !ok {
				row.in["message"] = "hi"
			}
			_, err := run(t, newExecutor(websocket.Config{MaxMessageBytes: 4000}), row.in)
			if err == nil || !strings.HasPrefix(err.Error(), row.want) || executors.IsPermanent(err) != row.permanent || executors.RetryAfterOf(err) != row.after {
				t.Fatalf("got %v (permanent: %v, after %v), want %s", err, executors.IsPermanent(err), executors.RetryAfterOf(err), row.want)
			}
			var detail struct {
				Success    *bool
				Error, URL string
				Code       int
				Reason     string
			}
			if bad := json.Unmarshal([]byte(executors.DetailOf(err)), &detail); bad != nil || detail.Success == nil || *detail.Success || detail.Error != err.Error() || detail.URL != row.in["url"] {
				t.Errorf("the detail is %s (%v)", executors.DetailOf(err), bad)
			}
			if strings.HasPrefix(name, "closed") && (detail.Code < 1000 || detail.Reason != "because") {
				t.Errorf("the detail is %+v", detail)
			}
		})
	}
}

func TestInvalidInputs(t *testing.T) {
	const pre = "[websocket_executor] "
	for name, row := range map[string]struct{ in, want string }{
		"no url":                   {`{"message": "x"}`, pre + `url is required in inputs`},
		"no message":               {`{"url": "ws://x"}`, pre + `message is required in inputs`},
		"null":                     {`{"url": "ws://x", "message": null}`, pre + `message is required in inputs`},
		"another scheme":           {`{"url": "http://x/?token=hunter2", "message": "x"}`, `Invalid WebSocket URL: http://x/?token=*** (it must begin with ws:// or wss://)`},
		"an address alone":         {`{"url": "127.0.0.1:8080/x", "message": "x"}`, `Invalid WebSocket URL: it can't be read (it must begin with ws:// or wss://)`},
		"no host":                  {`{"url": "ws:///x", "message": "x"}`, `Invalid WebSocket URL: ws:///x`},
		"not a URL":                {`{"url": "ws://a b:hunter2@", "message": "x"}`, `Invalid WebSocket URL: it can't be read`},
		"several faults at once":   {`{"url": "ws://x", "message": "hunter2!", "encoding": "base64", "headers": {"a b": "c", "Upgrade": "x"}, "expect": {}, "max_skipped": -1, "tls": true}`, pre + `headers: "a b" is not a name that can be sent; headers: Upgrade is the protocol's own; max_skipped must be from 0 to 1000000; message must be base64; tls must not be set with ws://, which is plain text: wss:// is not`},
		"both":                     {`{"url": "ws://x", "message": "x", "exchanges": [{"message": "y"}]}`, pre + `message and exchanges can't both be given`},
		"an exchange of nothing":   {`{"url": "ws://x", "exchanges": [{"message": "y"}, {"wait_response": false}]}`, pre + `exchanges[1].message is needed where no response is awaited`},
		"a rule that says nothing": {`{"url": "ws://x", "message": "x", "expect": {}}`, pre + `expect must have contains or fields`},
		"another encoding":         {`{"url": "ws://x", "message": "x", "encoding": "hex"}`, pre + `encoding must be text or base64`},
		"odd subprotocols":         {`{"url": "ws://x", "message": "x", "subprotocols": ["a b"]}`, pre + `subprotocols must be up to 20 names that can be sent`},
		"a wrong type":             {`{"url": "ws://x", "message": "x", "wait_response": "hunter2"}`, pre + `wait_response must not be a string`},
		"no TLS with wss":          {`{"url": "wss://x", "message": "x", "tls": false}`, pre + `tls must not be false with wss://`},
	} {
		t.Run(name, func(t *testing.T) {
			call, _ := conformance.Call(t, row.in)
			_, err := newExecutor(websocket.Config{}).Run(t.Context(), call)
			if err == nil || err.Error() != row.want || !executors.IsPermanent(err) {
				t.Errorf("got  %v\nwant %s", err, row.want)
			}
		})
	}
}

// TestCancelEndsWithACloseFrame looks from the server's side how it ended.
func TestCancelEndsWithACloseFrame(t *testing.T) {
	s := serve(t)
	for name, row := range map[string]struct {
		in   object
		left string
	}{
		"waiting":       {object{"url": s.url + "/silent", "message": "a"}, "null"},
		"in the second": {object{"url": s.url + "/silent", "exchanges": []object{{"message": "a", "wait_response": false}, {"message": "b"}}}, `[{"message_sent":"a","response":null}]`},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		call, _ := conformance.Call(t, row.in)
		go func() {
			for range max(1, strings.Count(fmt.Sprint(row.in["exchanges"]), "message")) {
				<-s.began
			}
			cancel(executors.ErrCancelled)
		}()
		got, err := newExecutor(websocket.Config{}).Run(ctx, call)
		if !errors.Is(err, executors.ErrCancelled) {
			t.Errorf("%s: got %v", name, err)
		}
		var ended ws.CloseError
		if err := <-s.ended; !errors.As(err, &ended) || ended.Code != ws.StatusGoingAway {
			t.Errorf("%s: for the server it ended with %v", name, err)
		}
		left := []byte("null")
		if r, ok := got.Value().(*websocket.Result); ok {
			left, _ = json.Marshal(r.Responses)
		}
		if string(left) != row.left {
			t.Errorf("%s: left is %s, want %s", name, left, row.left)
		}
	}
}

// TestAServerThatDoesNotReadIsLeft: it takes neither the message nor the close frame.
func TestAServerThatDoesNotReadIsLeft(t *testing.T) {
	s := serve(t)
	large := strings.Repeat("x", 16<<20)
	e := newExecutor(websocket.Config{MaxMessageBytes: 32 << 20})
	for name, in := range map[string]object{
		"a large message": {"url": s.url + "/deaf", "message": large},
		"a small one":     {"url": s.url + "/deaf", "message": "x"},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		call, _ := conformance.Call(t, in)
		go func() {
			<-s.began
			time.Sleep(50 * time.Millisecond) // until the large one is being sent
			cancel(executors.ErrCancelled)
		}()
		if _, err := e.Run(ctx, call); !errors.Is(err, executors.ErrCancelled) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestPings(t *testing.T) {
	s := serve(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	call, _ := conformance.Call(t, object{"url": s.url + "/silent", "message": "x", "ping_interval": 0.5, "timeout": 600})
	go func() {
		for s.pings.Load() < 3 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		cancel(executors.ErrCancelled)
	}()
	_, err := newExecutor(websocket.Config{}).Run(ctx, call)
	cancel(nil)
	if !errors.Is(err, executors.ErrCancelled) {
		t.Errorf("got %v after %d pings", err, s.pings.Load())
	}
	_, err = run(t, newExecutor(websocket.Config{}), object{"url": s.url + "/deaf", "message": "x", "ping_interval": 0.1, "timeout": 20})
	if err == nil || err.Error() != "Connection closed: 1006 (abnormal closure): no answer to a ping" || executors.IsPermanent(err) {
		t.Errorf("a server that answers no ping: got %v", err)
	}
	s.pings.Store(0)
	if _, err := run(t, newExecutor(websocket.Config{}), object{"url": s.url + "/silent", "message": "x", "ping_interval": 0, "timeout": 0.2}); err == nil || s.pings.Load() != 0 {
		t.Errorf("switched off: got %v after %d pings", err, s.pings.Load())
	}
}

// TestAConnectionIsTrustedAtItsOrigin alone: where its server redirects to, no operator chose.
func TestAConnectionIsTrustedAtItsOrigin(t *testing.T) {
	s, private := serve(t), serve(t)
	e := websocket.New(websocket.Config{}, network.New(network.Config{})) // the guard allows no address of this host
	for to, allowed := range map[string]bool{"/": true, private.URL + "/": false} {
		call, _ := conformance.Call(t, map[string]any{"url": s.url + "/moved?to=" + to, "message": "x"})
		call.Connection = "by the operator"
		if _, err := e.Run(t.Context(), call); allowed != (err == nil) || !allowed && !strings.Contains(err.Error(), "not allowed") {
			t.Errorf("to %s: got %v", to, err)
		}
	}
}

func TestRedirects(t *testing.T) {
	s, other := serve(t), serve(t)
	e := newExecutor(websocket.Config{})
	to := func(where string) object {
		return object{"url": s.url + "/moved?to=" + where, "message": "hi", "auth": object{"type": "bearer", "token": "hunter2"}, "headers": object{"x-api-key": "hunter2"}}
	}
	if got, err := run(t, e, to("/echo")); err != nil || string(got.Response) != `"hi"` || s.header.Load().(http.Header).Get("X-Api-Key") != "hunter2" {
		t.Errorf("within the origin: got %+v, %v, %v", got, err, s.header.Load())
	}
	for _, where := range []string{other.url + "/echo", other.URL + "/echo"} {
		if got, err := run(t, e, to(where)); err != nil || string(got.Response) != `"hi"` || strings.Contains(fmt.Sprint(other.header.Load()), "hunter2") {
			t.Errorf("to another origin: got %+v, %v, %v", got, err, other.header.Load())
		}
	}
	for where, want := range map[string]string{
		"http://169.254.169.254/latest": "not allowed",
		"ftp://x":                       "redirect to something that is no WebSocket",
		"/around":                       "more than 5 redirects",
	} {
		if _, err := run(t, e, to(where)); !executors.IsPermanent(err) || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("to %s: got %v", where, err)
		}
	}
}

func TestGuard(t *testing.T) {
	s := serve(t)
	e := websocket.New(websocket.Config{}, nil)
	in := object{"url": s.url, "message": "hi"}
	if _, err := run(t, e, in); !executors.IsPermanent(err) || !strings.Contains(err.Error(), "not allowed") {
		t.Errorf("got %v, want a permanent refusal", err)
	}
	call, _ := conformance.Call(t, in)
	call.Connection = "by the operator"
	if _, err := e.Run(t.Context(), call); err != nil {
		t.Errorf("by a connection: got %v", err)
	}
}

func TestTLS(t *testing.T) {
	s := &server{began: make(chan struct{}, 1), ended: make(chan error, 100)}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.handle))
	s.Config.ErrorLog = quiet()
	s.EnableHTTP2 = true // a client that offers it must still get HTTP/1.1, which a WebSocket needs
	s.StartTLS()
	defer s.Close()
	url := "wss" + strings.TrimPrefix(s.URL, "https")
	ca := pemOf(s.Certificate().Raw)
	for name, row := range map[string]struct {
		tls  any
		want string
	}{
		"its authority is known":   {object{"ca": ca, "server_name": "example.com"}, ""},
		"nobody asks":              {object{"insecure_skip_verify": true}, ""},
		"its authority is unknown": {nil, "certificate signed by unknown authority"},
		"of another name":          {object{"ca": ca, "server_name": "other.test"}, "not other.test"},
	} {
		got, err := run(t, newExecutor(websocket.Config{}), object{"url": url, "message": "hi", "tls": row.tls})
		switch {
		case row.want == "" && (err != nil || string(got.Response) != `"hi"`):
			t.Errorf("%s: got %+v, %v", name, got, err)
		case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want) || !executors.IsPermanent(err)):
			t.Errorf("%s: got %v (permanent: %v)", name, err, executors.IsPermanent(err))
		}
	}
}

func TestSecretsShowNowhere(t *testing.T) {
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, fmt.Sprint(r.Header, r.URL), http.StatusForbidden) // it repeats all that it gets
	}))
	defer echo.Close()
	where := "ws" + strings.TrimPrefix(echo.URL, "http")
	const word = "hunter2-hunter2"
	for name, in := range map[string]object{
		"bearer":       {"url": where, "auth": object{"type": "bearer", "token": word}},
		"a header":     {"url": where, "headers": object{"x-key": word}},
		"a password":   {"url": strings.Replace(where, "://", "://me:"+word+"@", 1)},
		"a query":      {"url": where + "/?token=" + word},
		"nobody there": {"url": "ws://me:" + word + "@127.0.0.1:1/?token=" + word},
	} {
		in["message"] = "hi"
		_, err := run(t, newExecutor(websocket.Config{}), in)
		if err == nil || strings.Contains(err.Error()+executors.DetailOf(err), word) {
			t.Errorf("%s: got %v, %s", name, err, executors.DetailOf(err))
		}
	}
}

func TestDemo(t *testing.T) {
	call, _ := conformance.Call(t, object{"url": "ws://x", "message": object{"a": 1}})
	got, takes := websocket.New(websocket.Config{}, nil).Demo(call)
	text, err := json.Marshal(got)
	want := `{"success":true,"url":"ws://x","message_sent":"{\"a\":1}","response":{"type":"message","data":"Demo WebSocket response"}}`
	if err != nil || string(text) != want || takes != 200*time.Millisecond {
		t.Errorf("got %s, %v, %v", text, err, takes)
	}
}
