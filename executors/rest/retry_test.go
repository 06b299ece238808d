package rest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/network"
)

// send runs one attempt against a service, with pauses of a millisecond between its tries.
func send(t *testing.T, e *Executor, inputs any) (*Result, error) {
	t.Helper()
	call, _ := conformance.Call(t, inputs)
	got, err := e.Run(t.Context(), call)
	result, _ := got.Value().(*Result)
	return result, err
}

func hasty(t *testing.T) *Executor {
	e := New(Config{RetryWaitMin: time.Millisecond, RetryWaitMax: time.Millisecond}, network.New(network.Config{Guard: network.Guard{Loopback: true}}))
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// A service that asks for more time than the attempt has gets no second request, and nobody waits for it.
func TestRetryAfterNeverUsesUpTheTimeout(t *testing.T) {
	for _, after := range []string{"3600", "9223372036854775807", "Fri, 31 Dec 9999 23:59:59 GMT"} {
		var calls atomic.Int32
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			w.Header().Set("Retry-After", after)
			w.WriteHeader(http.StatusTooManyRequests)
		}))
		begin := time.Now()
		got, err := send(t, hasty(t), map[string]any{"url": server.URL, "retries": 5, "timeout": 60})
		if err != nil || got.StatusCode != http.StatusTooManyRequests || calls.Load() != 1 || time.Since(begin) > 30*time.Second {
			t.Errorf("%s: got %+v, %v after %d calls and %v, want the answer at once", after, got, err, calls.Load(), time.Since(begin))
		}
		_, err = send(t, hasty(t), map[string]any{"url": server.URL, "retries": 5, "timeout": 20, "fail_on_error": true})
		if executors.RetryAfterOf(err) < time.Hour-time.Second || executors.IsPermanent(err) {
			t.Errorf("%s: got %v, want an error that says when to try again", after, err)
		}
		server.Close()
	}
}

func TestRetryAfterIsWaitedForWithinTheAttempt(t *testing.T) {
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	begin := time.Now()
	got, err := send(t, hasty(t), map[string]any{"url": server.URL, "retries": 1})
	if err != nil || got.StatusCode != http.StatusOK || time.Since(begin) < time.Second {
		t.Errorf("got %+v, %v after %v, want 200 after a second", got, err, time.Since(begin))
	}
}

func TestBodyThatBreaksOffIsRetried(t *testing.T) {
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		if calls.Add(1) == 1 {
			fmt.Fprint(w, "he")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, "hello")
	}))
	defer server.Close()
	if _, err := send(t, hasty(t), map[string]any{"url": server.URL}); err == nil || !strings.HasSuffix(err.Error(), "read body: unexpected EOF") {
		t.Errorf("without retries: got %v", err)
	}
	calls.Store(0)
	if got, err := send(t, hasty(t), map[string]any{"url": server.URL, "retries": 1}); err != nil || got.Body != "hello" || calls.Load() != 2 {
		t.Errorf("got %+v, %v after %d calls, want hello after 2", got, err, calls.Load())
	}
}

func TestRedirectsThatEndNowhereAreNotRetried(t *testing.T) {
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		http.Redirect(w, r, "/", http.StatusFound)
	}))
	defer server.Close()
	if _, err := send(t, hasty(t), map[string]any{"url": server.URL, "retries": 3}); err == nil || calls.Load() != maxRedirects+1 {
		t.Errorf("got %v after %d calls, want one round of %d", err, calls.Load(), maxRedirects+1)
	}
}

// breaking answers the first request of each connection and breaks the connection after it has read the second.
type breaking struct {
	net.Listener
	mu   sync.Mutex
	seen []string // methods, in order; with the key of each
}

func newBreaking(t *testing.T) *breaking {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &breaking{Listener: l}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go b.serve(conn)
		}
	}()
	return b
}

func (b *breaking) serve(conn net.Conn) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for i := range 2 {
		req, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		b.mu.Lock()
		b.seen = append(b.seen, req.Method+" "+req.Header.Get("Idempotency-Key")+req.Header.Get("X-Idempotency-Key"))
		b.mu.Unlock()
		if i == 0 {
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}
}

// The transport must not send a request again that may have had its effect; only the task's retries do.
func TestBrokenConnectionRepeatsNothingUnasked(t *testing.T) {
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
		for _, header := range []string{"", "idempotency-key", "X-Idempotency-Key"} {
			server, e := newBreaking(t), hasty(t)
			url := "http://" + server.Addr().String()
			if _, err := send(t, e, map[string]any{"url": url, "method": "GET"}); err != nil {
				t.Fatal(err)
			}
			inputs := map[string]any{"url": url, "method": method, "json": map[string]int{"pay": 1}}
			want := method + " key-1"
			if header != "" {
				inputs["headers"] = map[string]string{header: "mine"}
				if want = method + " mine"; header == "X-Idempotency-Key" {
					want = method + " key-1mine"
				}
			}
			if _, err := send(t, e, inputs); err == nil {
				t.Errorf("%s %s: no error, though nobody answered", method, header)
			}
			server.mu.Lock()
			if len(server.seen) != 2 || server.seen[1] != want {
				t.Errorf("%s %s: the service saw %q, want one %s", method, header, server.seen[1:], want)
			}
			server.mu.Unlock()
		}
	}
}

func TestCancelEndsAPauseBetweenTries(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "600")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(200*time.Millisecond, func() { cancel(executors.ErrCancelled) })
	call, _ := conformance.Call(t, map[string]any{"url": server.URL, "retries": 1, "timeout": 3600})
	if _, err := hasty(t).Run(ctx, call); !errors.Is(err, executors.ErrCancelled) {
		t.Errorf("got %v", err)
	}
}
