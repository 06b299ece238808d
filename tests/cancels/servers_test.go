package cancels

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// openSet is what is open at a server, by task.
type openSet struct {
	mu  sync.Mutex
	ids map[string]int
}

// nap is a request of a task: it takes so many seconds, and false if it is ended before.
func (s *openSet) nap(ctx context.Context, id, seconds string) bool {
	s.add(id, 1)
	defer s.add(id, -1)
	n, err := strconv.ParseFloat(seconds, 64)
	if err != nil {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Duration(n * float64(time.Second))):
		return true
	}
}

func (s *openSet) add(id string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids == nil {
		s.ids = map[string]int{}
	}
	if s.ids[id] += n; s.ids[id] == 0 {
		delete(s.ids, id)
	}
}

// none fails while something of the task is open; of any task, if id is empty.
func (s *openSet) none(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id == "" && len(s.ids) > 0 || s.ids[id] > 0 {
		return fmt.Errorf("open at the server: %v", s.ids)
	}
	return nil
}

// servers are the kinds that ask a server.
func servers(t *testing.T, _ *site) ([]kind, error) {
	return []kind{restKind(t), websocketKind(t), grpcKind(t)}, nil
}

// heard lets a handler notice that the client goes: only who reads the body does.
func heard(r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }

func restKind(t *testing.T) kind {
	open := &openSet{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard(r)
		id := r.FormValue("id")
		if r.FormValue("half") == "1" { // it has begun to answer
			fmt.Fprint(w, "so far ")
			w.(http.Flusher).Flush()
		}
		if open.nap(r.Context(), id, r.FormValue("seconds")) {
			fmt.Fprint(w, id)
		}
	}))
	t.Cleanup(server.Close)
	return kind{executor: "rest_executor", left: open.none, inputs: func(id string, variant int, seconds float64) object {
		return object{"url": fmt.Sprintf("%s/?id=%s&seconds=%v&half=%d", server.URL, id, seconds, variant%2), "timeout": long}
	}}
}

func websocketKind(t *testing.T) kind {
	open := &openSet{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		_, text, err := c.Read(r.Context())
		if err != nil {
			return
		}
		id, seconds, _ := strings.Cut(string(text), " ")
		if ctx := c.CloseRead(r.Context()); open.nap(ctx, id, seconds) {
			_ = c.Write(ctx, websocket.MessageText, []byte(id))
			<-ctx.Done()
		}
	}))
	t.Cleanup(server.Close)
	return kind{executor: "websocket_executor", left: open.none, inputs: func(id string, _ int, seconds float64) object {
		return object{"url": "ws" + strings.TrimPrefix(server.URL, "http"), "message": fmt.Sprintf("%s %v", id, seconds), "timeout": long}
	}}
}

func grpcKind(t *testing.T) kind {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	open := &openSet{}
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		var asked wrapperspb.StringValue
		if err := stream.RecvMsg(&asked); err != nil {
			return err
		}
		id, seconds, _ := strings.Cut(asked.Value, " ")
		if !open.nap(stream.Context(), id, seconds) {
			return stream.Context().Err()
		}
		return stream.SendMsg(wrapperspb.String(id))
	}))
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-done })
	const proto = `syntax = "proto3"; package t; import "google/protobuf/wrappers.proto";
service Naps { rpc One(google.protobuf.StringValue) returns (google.protobuf.StringValue); rpc Many(google.protobuf.StringValue) returns (stream google.protobuf.StringValue); }`
	return kind{executor: "grpc_executor", left: open.none, inputs: func(id string, variant int, seconds float64) object {
		return object{"server": l.Addr().String(), "service": "t.Naps", "method": []string{"One", "Many"}[variant%2], "proto_file": proto,
			"request": fmt.Sprintf("%s %v", id, seconds), "timeout": long}
	}}
}

// objectBytes is how long the objects of the store are.
const objectBytes = 256 << 10

// store is an S3-compatible store whose objects are there by halves: s3://bucket/ID/SECONDS.
type store struct {
	url  string
	open openSet
}

func newStore(t *testing.T) *store {
	s := &store{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard(r)
		parts := strings.Split(r.URL.Path, "/") // "", bucket, id, seconds
		if len(parts) != 4 {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Content-Length", strconv.Itoa(objectBytes))
		w.Header().Set("Last-Modified", time.Unix(1, 0).UTC().Format(http.TimeFormat))
		if r.Method == http.MethodHead {
			return
		}
		half := make([]byte, objectBytes/2)
		_, _ = w.Write(half)
		w.(http.Flusher).Flush()
		if s.open.nap(r.Context(), parts[2], parts[3]) {
			_, _ = w.Write(half)
		}
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}
