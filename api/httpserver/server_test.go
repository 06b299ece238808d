package httpserver_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/api/httpserver"
	"github.com/taskgrove/taskgrove/internal/readiness"
)

// start runs a server until the test or stop ends it; done has what Run returned.
func start(t *testing.T, cfg httpserver.Config) (url string, stop func(), done <-chan error) {
	t.Helper()
	cfg.Addr = "127.0.0.1:0"
	if cfg.Ready == nil {
		cfg.Ready = func(context.Context) error { return nil }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s, err := httpserver.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		ended <- s.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-exited })
	return "http://" + s.Addr().String(), cancel, ended
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(body)
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	var down error
	url, _, _ := start(t, httpserver.Config{
		API:     http.NotFoundHandler(),
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a_metric 1") }),
		Ready:   func(context.Context) error { return down },
	})
	check := func(path string, status int, want string) {
		t.Helper()
		if got, body := get(t, url+path); got != status || !strings.Contains(body, want) {
			t.Errorf("%s: got HTTP %d %s, want %d %s", path, got, body, status, want)
		}
	}
	check("/health", 200, "ok")
	check("/ready", 200, "ready")
	check("/metrics", 200, "a_metric 1")
	check("/other", 404, "")
	down = errors.New("dial db.internal")
	check("/health", 200, "ok")
	check("/ready", 503, "unavailable")
	if _, body := get(t, url+"/ready"); strings.Contains(body, "db.internal") {
		t.Errorf("got %s, which shows a host", body)
	}
	down = fmt.Errorf("all of it: %w", &readiness.Fault{Reason: "waits for Postgres", Err: down})
	if _, body := get(t, url+"/ready"); strings.Contains(body, "db.internal") || !strings.Contains(body, `"reason":"waits for Postgres"`) {
		t.Errorf("got %s, want the reason and no host", body)
	}
	res, err := http.Post(url+"/health", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST /health: got HTTP %d, want 405", res.StatusCode)
	}
}

func TestPanicsBecomeInternalErrors(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	url, stop, done := start(t, httpserver.Config{
		API: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret cause") }),
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	status, body := get(t, url+"/")
	stop()
	<-done
	if status != 500 || strings.Contains(body, "secret") || !strings.Contains(log.String(), "secret cause") {
		t.Errorf("got HTTP %d %s, log %s", status, body, &log)
	}
}

// A stream in hand is told, and ends, within the grace.
func TestShutdownEndsStreams(t *testing.T) {
	t.Parallel()
	url, stop, done := start(t, httpserver.Config{
		Grace: 3 * time.Second, // a tenth of it is for the goodbye
		API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(w, "begun")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			fmt.Fprintln(w, errors.Is(context.Cause(r.Context()), api.ErrShutdown))
		}),
	})
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Scan()
	stop()
	lines.Scan()
	if lines.Text() != "true" {
		t.Errorf("got %q, want the stream to be told that the server stops", lines.Text())
	}
	if err := <-done; err != nil {
		t.Errorf("Run: got %v, want nil", err)
	}
}

// A request in hand is finished, not cut off.
func TestShutdownFinishesRequests(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	url, stop, done := start(t, httpserver.Config{API: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		fmt.Fprint(w, "whole")
	})})
	answer := make(chan string, 1)
	go func() { _, body := get(t, url); answer <- body }()
	<-entered
	stop()
	close(leave)
	if got := <-answer; got != "whole" {
		t.Errorf("got %q", got)
	}
	if err := <-done; err != nil {
		t.Errorf("Run: got %v, want nil", err)
	}
}

func TestSlowBodyIsCutOff(t *testing.T) {
	t.Parallel()
	read := make(chan error, 1)
	url, _, _ := start(t, httpserver.Config{
		ChunkTimeout: 50 * time.Millisecond,
		API: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			read <- err
		}),
	})
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc")
	if err := <-read; err == nil {
		t.Error("a body that never came was read")
	}
}

func TestSlowReaderIsCutOff(t *testing.T) {
	t.Parallel()
	written := make(chan error, 1)
	url, _, _ := start(t, httpserver.Config{
		ChunkTimeout: 50 * time.Millisecond,
		API: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			line := bytes.Repeat([]byte("x"), 1<<20)
			for {
				if _, err := w.Write(line); err != nil {
					written <- err
					return
				}
			}
		}),
	})
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") // and never reads
	if err := <-written; err == nil {
		t.Error("got no error")
	}
}

// The deadline for bodies must not end what comes after the body.
func TestStreamOutlivesTheBodyTimeout(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	url, _, _ := start(t, httpserver.Config{
		ChunkTimeout: 200 * time.Millisecond,
		API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(r.Body)
			select {
			case <-r.Context().Done():
				ended <- context.Cause(r.Context())
			case <-time.After(time.Second): // five chunk timeouts
				ended <- nil
			}
			fmt.Fprint(w, "late")
		}),
	})
	res, err := http.Post(url, "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if cause := <-ended; cause != nil || err != nil || string(body) != "late" {
		t.Errorf("got %q, %v, cause %v", body, err, cause)
	}
}

func TestTraceContextIsRead(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	url, _, _ := start(t, httpserver.Config{API: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got <- trace.SpanContextFromContext(r.Context()).TraceID().String()
	})})
	req, _ := http.NewRequest("GET", url, nil)
	req.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if id := <-got; id != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("got trace %s", id)
	}
}

// TestRefusedBodyIsNotWaitedFor: who announces a large body that nobody wants and sends none of it is answered at once; a
// small one is waited for, so that the connection can be used again, but not for ever.
func TestRefusedBodyIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	for size, want := range map[string]string{"100": "", "1099511627776": "413"} {
		server, err := httpserver.Listen(httpserver.Config{
			Addr: "127.0.0.1:0", ChunkTimeout: time.Second, Ready: func(context.Context) error { return nil },
			API: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) }),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- server.Run(ctx) }()
		conn, err := net.Dial("tcp", server.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: "+size+"\r\n\r\n")
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.Contains(string(answer), want) {
			t.Errorf("%s bytes announced: got %q, %v", size, answer, err)
		}
		_ = conn.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
