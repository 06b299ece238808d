package node

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/config"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func serveBounded(t *testing.T, change func(*config.Coordinator)) *guardedSite {
	t.Helper()
	svc := apitest.New()
	return serveOn(t, svc, coordinator.NewAccess(svc, coordinator.AllowAll), change)
}

// answer is a request of a user's, with its headers.
func (s *guardedSite) answer(t *testing.T, user string, p probe) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), p.method, s.http+p.path, strings.NewReader(p.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token(t, user))
	for _, line := range []string{"Content-Type: application/json", p.headers} {
		if name, value, ok := strings.Cut(line, ": "); ok {
			req.Header.Set(name, value)
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

// TestEverySurfaceBoundsRequests: a caller who has used up its requests gets 429 with Retry-After from every surface, in the words of its protocol; another
// caller is served.
func TestEverySurfaceBoundsRequests(t *testing.T) {
	t.Parallel()
	s := serveBounded(t, func(cfg *config.Coordinator) { cfg.CallerRate, cfg.CallerBurst = 1, 60 })
	batch := `[` + strings.TrimSuffix(strings.Repeat(`{"jsonrpc":"2.0","id":1,"method":"tasks.list"},`, 100), ",") + `]`
	if res, text := s.answer(t, "amy", probe{"POST", "/tasks", batch, ""}); res.StatusCode != 429 || res.Header.Get("Retry-After") == "" || !strings.Contains(text, `"code":-32000`) {
		t.Errorf("a batch that is too large just now: got %s %.300s", res.Status, text)
	}
	drain := batch[:len(batch)-1]
	drain = drain[:strings.LastIndex(drain[:len(drain)/2], "},")+1] + "]"
	if res, text := s.answer(t, "amy", probe{"POST", "/tasks", drain, ""}); res.StatusCode != 200 {
		t.Fatalf("a batch that fits: got %s %.300s", res.Status, text)
	}
	for range 20 {
		if res, _ := s.answer(t, "amy", probe{"GET", "/tasks", "", ""}); res.StatusCode == 429 {
			break
		}
	}
	for _, one := range s.table {
		for _, p := range probes[one.path] {
			if p.method == "SOCKET" {
				_, res, err := websocket.Dial(t.Context(), s.http+p.path, &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + s.token(t, "amy")}}})
				if err == nil || res.StatusCode != 429 || res.Header.Get("Retry-After") == "" {
					t.Errorf("%s: got %v", p.path, err)
				}
				continue
			}
			res, text := s.answer(t, "amy", p)
			limited := res.StatusCode == 429 || res.Header.Get("Grpc-Status") == "8" || strings.Contains(text, "resource_exhausted") // of gRPC-Web, of Connect
			if !limited || res.Header.Get("Retry-After") == "" {
				t.Errorf("%s %s %.60s: got %s %v %.300s", p.method, p.path, p.body, res.Status, res.Header, text)
			}
			if res, text := s.answer(t, "bob", p); res.StatusCode == 429 || res.Header.Get("Retry-After") != "" {
				t.Errorf("%s %s: another caller got %s %.300s", p.method, p.path, res.Status, text)
			}
		}
	}
	for range 70 { // who guesses tokens, by address
		if res, _ := http.Get(s.http + "/tasks"); res != nil { // a broken connection shows below
			_ = res.Body.Close()
		}
	}
	res, err := http.Get(s.http + "/tasks")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 429 {
		t.Errorf("after many without a token: got %s", res.Status)
	}
}

// TestCallsAreBounded does the same over gRPC; the Go client waits as it is told, and gets its answer.
func TestCallsAreBounded(t *testing.T) {
	t.Parallel()
	s := serveBounded(t, func(cfg *config.Coordinator) { cfg.CallerRate, cfg.CallerBurst = 5, 5 })
	conn, err := grpc.NewClient(s.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+s.token(t, "amy"))
	calls := pb.NewTaskgroveClient(conn)
	var trailer metadata.MD
	for range 100 {
		if _, err = calls.ListTrees(ctx, &pb.ListTreesRequest{}, grpc.Trailer(&trailer)); err != nil {
			break
		}
	}
	st, _ := status.FromError(err)
	if st.Code() != codes.ResourceExhausted || len(st.Details()) != 2 || len(trailer.Get("retry-after")) != 1 {
		t.Errorf("got %v with %v, trailer %v", err, st.Details(), trailer)
	}
	c, err := client.New(s.grpc, client.WithToken(s.token(t, "amy")))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 3 {
		if _, err := c.TreesPage(t.Context(), client.TreeFilter{}); err != nil {
			t.Errorf("the client does not wait: %v", err)
		}
	}
}

// TestStreamsOfACallerAreBounded: streams of all surfaces count together, and count no more when they have ended, however they end.
func TestStreamsOfACallerAreBounded(t *testing.T) {
	t.Parallel()
	s := serveBounded(t, func(cfg *config.Coordinator) { cfg.CallerRate, cfg.CallerStreams = 0, 2 })
	if _, err := s.svc.Submit(t.Context(), coordinator.SubmitOptions{}, func(yield func(*dag.Task, error) bool) { yield(&dag.Task{ID: "x", Name: "x"}, nil) }); err != nil {
		t.Fatal(err)
	}
	sse := func() (*http.Response, func()) {
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, "GET", s.http+"/tasks/x/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+s.token(t, "amy"))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return res, func() { cancel(); _ = res.Body.Close() }
	}
	first, leave := sse()
	if first.StatusCode != 200 {
		t.Fatal(first.Status)
	}
	conn, err := grpc.NewClient(s.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	watch := func(user string) (grpc.ServerStreamingClient[pb.Event], func(), error) {
		ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+s.token(t, user)))
		stream, err := pb.NewTaskgroveClient(conn).Watch(ctx, &pb.WatchRequest{Id: "x"})
		if err == nil {
			_, err = stream.Recv()
		}
		return stream, cancel, err
	}
	_, leaveWatch, err := watch("amy")
	if err != nil {
		t.Fatal(err)
	}
	if third, leave := sse(); third.StatusCode != 429 || third.Header.Get("Retry-After") == "" {
		t.Errorf("a third stream: got %s", third.Status)
	} else {
		leave()
	}
	_, _, err = watch("amy")
	if st, _ := status.FromError(err); st.Code() != codes.ResourceExhausted || !strings.Contains(st.Message(), "too many streams") {
		t.Errorf("a third stream over gRPC: got %v", err)
	}
	if _, leave, err := watch("bob"); err != nil {
		t.Errorf("another caller: %v", err)
	} else {
		leave()
	}
	leave()
	leaveWatch()
	within(t, 10*time.Second, func() bool { // the server has to notice
		res, leave := sse()
		defer leave()
		_, leaveWatch, err := watch("amy")
		defer leaveWatch()
		return res.StatusCode == 200 && err == nil
	})
}

// within waits until something holds.
func within(t *testing.T, most time.Duration, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(most); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come to hold")
		}
	}
}
