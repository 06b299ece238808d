package node

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/grpcserver"
	"github.com/taskgrove/taskgrove/api/mcp"
	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// spread is a service that notes of which namespaces it was asked.
type spread struct {
	*apitest.Service

	mu    sync.Mutex
	asked []string // guarded by mu
}

func (p *spread) In(namespace string) coordinator.Service {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, namespace)
	return p.Service
}

// take is what was asked since the last time, but for [coordinator.DefaultNamespace], where the server itself looks whether it is ready.
func (p *spread) take() (asked []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked, p.asked = p.asked, nil
	return slices.DeleteFunc(asked, func(name string) bool { return name == coordinator.DefaultNamespace })
}

func serveSpread(t *testing.T) (*guardedSite, *spread) {
	t.Helper()
	svc := &spread{Service: apitest.New()}
	return serveOn(t, svc.Service, coordinator.NewAccess(svc, coordinator.AllowAll), nil), svc
}

// probe is a request that reaches the service.
type probe struct{ method, path, body, headers string }

// probes are requests to each surface over HTTP, by its mount: whoever adds a surface adds them here.
var probes = map[string][]probe{
	"/tasks":  {{"POST", "/tasks", `{"jsonrpc":"2.0","id":1,"method":"tasks.list"}`, ""}, {"POST", "/tasks", `[{"jsonrpc":"2.0","id":1,"method":"tasks.list"}]`, ""}, {"GET", "/tasks", "", ""}},
	"/tasks/": {{"GET", "/tasks/x", "", ""}, {"GET", "/tasks/x/tree", "", ""}, {"GET", "/tasks/x/events", "", ""}},
	"/system": {{"POST", "/system", `{"jsonrpc":"2.0","id":1,"method":"executors.list"}`, ""}},
	"/ws":     {{"SOCKET", "/ws", "", ""}},
	"/{$}": {{"POST", "/", `{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"id":"x"}}`, ""},
		{"POST", "/", `{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"x"}}`, "A2A-Version: 1.0"},
		{"POST", "/", `{"jsonrpc":"2.0","id":1,"method":"tasks/resubscribe","params":{"id":"x"}}`, ""}},
	"/a2a/v1/": {{"GET", "/a2a/v1/tasks/x", "", "A2A-Version: 1.0"}},
	mcp.Path: {{"POST", mcp.Path, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_tasks","arguments":{}}}`, ""},
		{"POST", mcp.Path, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`, "Accept: application/json, text/event-stream"}},
	grpcserver.WebPath: {{"POST", grpcserver.WebPath + "GetTask", `{"id":"x"}`, ""},
		{"POST", grpcserver.WebPath + "GetTask", "\x00\x00\x00\x00\x03\x0a\x01x", "Content-Type: application/grpc-web+proto"},
		{"POST", grpcserver.WebPath + "Watch", "\x00\x00\x00\x00\x0a{\"id\":\"x\"}", "Content-Type: application/connect+json"}},
}

// send sends a probe with one more header and a query. It answers the status and the beginning of the body, for a stream what came of it.
func (p probe) send(t *testing.T, s *guardedSite, header, query string) (int, string) {
	t.Helper()
	url := s.http + p.path
	if query != "" {
		url += "?" + query
	}
	headers := http.Header{"Authorization": {"Bearer " + s.token(t, "amy", "admin")}}
	for _, line := range []string{"Content-Type: application/json", p.headers, header} {
		if name, value, ok := strings.Cut(line, ": "); ok {
			headers.Set(name, value)
		}
	}
	if p.method == "SOCKET" {
		conn, res, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPHeader: headers})
		if err == nil {
			defer func() { _ = conn.CloseNow() }()
			if err := conn.Write(t.Context(), websocket.MessageText, []byte(`{"action":"ping"}`)); err != nil {
				t.Fatal(err)
			}
			if _, _, err := conn.Read(t.Context()); err != nil { // the server has asked for its service by now
				t.Fatal(err)
			}
			return res.StatusCode, ""
		}
		text, _ := io.ReadAll(res.Body) // at most 1 KiB, which the library has read
		return res.StatusCode, string(text)
	}
	req, err := http.NewRequestWithContext(t.Context(), p.method, url, strings.NewReader(p.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = headers
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text) + res.Header.Get("Grpc-Status") + res.Header.Get("Grpc-Message")
}

// TestEverySurfaceObeysTheNamespace finds the surfaces over HTTP in the table of mounts: each asks the service of the namespace that a request names
// and of no other, and refuses a request that names none that can be or two that differ, before anything is asked.
func TestEverySurfaceObeysTheNamespace(t *testing.T) {
	t.Parallel()
	s, svc := serveSpread(t)
	for _, one := range s.table {
		if one.public || one.signed { // a link says itself which namespace its task is in
			continue
		}
		if one.refuse == nil {
			t.Errorf("%s: nobody says how a request is refused there", one.path)
		}
		if len(probes[one.path]) == 0 && !slices.Contains(grpcserver.WebPaths(), one.path) { // [TestEveryCallObeysTheNamespace] has each service of gRPC
			t.Errorf("%s: no probe says what is asked there: does it obey the namespace?", one.path)
		}
		for _, p := range probes[one.path] {
			for fact, named := range map[string][2]string{
				"header": {"Taskgrove-Namespace: team-a", ""}, "query": {"", "namespace=team-a"}, "both": {"Taskgrove-Namespace: team-a", "namespace=team-a"},
			} {
				svc.take()
				got, text := p.send(t, s, named[0], named[1])
				if asked := slices.Compact(svc.take()); !slices.Equal(asked, []string{"team-a"}) {
					t.Errorf("%s %s %.60s, %s: the namespaces %q were asked: HTTP %d %.300s", p.method, p.path, p.body, fact, asked, got, text)
				}
			}
			if p.send(t, s, "", ""); len(svc.take()) > 0 {
				t.Errorf("%s %s: another namespace than default was asked, though none was named", p.method, p.path)
			}
			for fact, named := range map[string][2]string{
				"a bad header": {"Taskgrove-Namespace: Team_A", ""}, "a bad parameter": {"", "namespace=-a"}, "an empty one": {"", "namespace="},
				"two parameters": {"", "namespace=team-a&namespace=team-b"}, "two that differ": {"Taskgrove-Namespace: team-a", "namespace=team-b"},
			} {
				got, text := p.send(t, s, named[0], named[1])
				enveloped := strings.HasPrefix(p.path, grpcserver.WebPath) || p.path == "/" // errors come with 200 there
				if (got != 400 && (got != 200 || !enveloped)) || !strings.Contains(strings.ToLower(text), "namespace") {
					t.Errorf("%s %s %.60s, %s: got HTTP %d %.300s, want a refusal that says why", p.method, p.path, p.body, fact, got, text)
				}
				if asked := svc.take(); len(asked) > 0 {
					t.Errorf("%s %s, %s: the namespaces %q were asked", p.method, p.path, fact, asked)
				}
			}
		}
	}
}

// TestEveryCallObeysTheNamespace does the same over gRPC: every method of every service refuses what is no name, and what reaches the service is asked of
// the namespace that was named.
func TestEveryCallObeysTheNamespace(t *testing.T) {
	t.Parallel()
	s, svc := serveSpread(t)
	conn, err := grpc.NewClient(s.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := func(names ...string) context.Context {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+s.token(t, "amy", "admin"))
		for _, name := range names {
			ctx = metadata.AppendToOutgoingContext(ctx, strings.ToLower(api.NamespaceHeader), name)
		}
		return ctx
	}
	for method, streams := range callsOf(t, conn) {
		for _, names := range [][]string{{"Team_A"}, {"team-a", "team-b"}} {
			if err := invoke(in(names...), conn, method, streams); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), api.NamespaceHeader) {
				t.Errorf("%s in %q: got %v", method, names, err)
			}
		}
	}
	if asked := svc.take(); len(asked) > 0 {
		t.Errorf("the namespaces %q were asked", asked)
	}
	client := pb.NewTaskgroveClient(conn)
	for name, call := range map[string]func(context.Context){
		"a call": func(ctx context.Context) { _, _ = client.GetTask(ctx, &pb.GetTaskRequest{Id: "x"}) },
		"a stream of answers": func(ctx context.Context) {
			if stream, err := client.Watch(ctx, &pb.WatchRequest{Id: "x"}); err == nil {
				_, _ = stream.Recv()
			}
		},
		"a stream of requests": func(ctx context.Context) {
			if stream, err := client.Submit(ctx); err == nil {
				_, _ = stream.CloseAndRecv()
			}
		},
	} {
		call(in("team-a"))
		if asked := slices.Compact(svc.take()); !slices.Equal(asked, []string{"team-a"}) {
			t.Errorf("%s: the namespaces %q were asked", name, asked)
		}
	}
}
