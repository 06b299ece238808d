package hostile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/node"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// owners is a cluster that asks who calls, and the tokens of an owner, another user and an admin.
type owners struct {
	t         *testing.T
	http      string
	grpc      *grpc.ClientConn
	tokens    map[string]string
	trees     int
	agentTask string // of the owner's tree that came by A2A
	in        string // the namespace that calls name; empty: none
	c         *cluster.Cluster
}

func startOwners(t *testing.T) *owners {
	t.Helper()
	return startWith(t, map[string][]string{"amy": nil, "bob": {"developer"}, "root": {"admin"}}, nil)
}

// startWith starts it with users and the roles in their tokens. change may change the coordinator's settings.
func startWith(t *testing.T, users map[string][]string, change func(*config.Coordinator)) *owners {
	t.Helper()
	auth := config.Auth{Secret: "a secret of thirty-two bytes, ok", Algorithm: "HS256"}
	c := cluster.Start(t, cluster.Options{Coordinator: func(c *config.Coordinator) {
		c.Auth, c.HTTPAddr, c.GRPCAddr = auth, "127.0.0.1:0", "127.0.0.1:0"
		if change != nil {
			change(c)
		}
	}})
	verifier, err := node.Tokens(&auth)
	must(t, err)
	o := &owners{t: t, http: c.Coordinators[0].P.HTTP, tokens: map[string]string{}, c: c}
	for user, roles := range users {
		o.tokens[user], err = verifier.Issue(user, roles, time.Hour, time.Now())
		must(t, err)
	}
	o.grpc, err = grpc.NewClient(c.Coordinators[0].P.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	t.Cleanup(func() { _ = o.grpc.Close() })
	return o
}

// as answers a user's request, with its status before it. Further headers come in pairs.
func (o *owners) as(user, method, path, body string, headers ...string) string {
	r, err := http.NewRequestWithContext(o.t.Context(), method, o.http+path, strings.NewReader(body))
	must(o.t, err)
	o.headers(user, r.Header)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	must(o.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	must(o.t, err)
	return fmt.Sprint(answer.StatusCode, " ", string(text))
}

// headers are those of a user's request.
func (o *owners) headers(user string, h http.Header) http.Header {
	h.Set("Authorization", "Bearer "+o.tokens[user])
	if o.in != "" {
		h.Set(api.NamespaceHeader, o.in)
	}
	return h
}

// tree stores one of the owner's.
func (o *owners) tree() string {
	o.trees++
	id := fmt.Sprintf("of-amy-%d", o.trees)
	if got := o.as("amy", "POST", "/tasks", rpc("tasks.create", `[{"id":"`+id+`","name":"n","schemas":{"method":"noop_executor"}}]`)); !strings.Contains(got, `"user_id":"amy"`) {
		o.t.Fatal(got)
	}
	return id
}

func rpc(method, params string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":` + params + `}`
}

// way is an operation by a surface.
type way struct {
	name  string
	fresh bool                                    // it changes its tree: who may is given one to change
	list  bool                                    // others get an answer without what is the owner's
	call  func(o *owners, user, id string) string // what the user is told
	has   string                                  // what is in an answer; empty: the tree's id
}

// ways are the operations by their surfaces. ID in a text stands for the tree.
func ways() (all []way) {
	post := func(name, path, body string, of way) {
		of.name, of.call = name, func(o *owners, user, id string) string {
			return o.as(user, "POST", path, strings.ReplaceAll(body, "ID", id))
		}
		all = append(all, of)
	}
	changes, lists := way{fresh: true}, way{list: true}
	for _, path := range []string{"/tasks", "/"} { // on / the methods have aliases, beside A2A
		one, some := `{"task_id":"ID"}`, `{"task_ids":["ID"]}`
		for _, row := range []struct {
			method, params string
			of             way
		}{
			{"tasks.get", one, way{}}, {"tasks.detail", one, way{}}, {"tasks.tree", one, way{}}, {"tasks.children", `{"parent_id":"ID"}`, way{has: `"result":[`}},
			{"tasks.update", `{"task_id":"ID","name":"new"}`, changes}, {"tasks.copy", one, way{has: `"original_task_id":"ID"`}}, {"tasks.delete", one, changes},
			{"tasks.execute", one, changes}, {"tasks.cancel", some, changes}, {"tasks.running.status", some, way{}},
			{"tasks.list", `{}`, lists}, {"tasks.list", `{"user_id":"amy"}`, way{}}, {"tasks.running.count", `{"user_id":"amy"}`, way{has: `"result":{`}},
			{"config.llm_key.set", `{"user_id":"amy","api_key":"k","provider":"x"}`, way{has: `"success":true`}},
			{"config.llm_key.delete", `{"user_id":"amy","provider":"y"}`, way{has: `"result":{`}},
		} {
			at := path
			switch config := strings.HasPrefix(row.method, "config."); {
			case path == "/" && (config || row.method == "tasks.execute"): // which is no alias, or means something else
				continue
			case config:
				at = "/system"
			}
			post("JSON-RPC "+at+" "+row.method, at, rpc(row.method, row.params), row.of)
		}
	}
	post("JSON-RPC stream", "/tasks", rpc("tasks.execute", `{"task_id":"ID","use_streaming":true}`), changes)
	for _, path := range []string{"", "/tree", "/children", "/why", "/attempts"} {
		all = append(all, way{name: "GET " + path, has: map[string]string{"/children": "200 ", "/attempts": "200 ", "/why": "200 "}[path], call: func(o *owners, user, id string) string {
			return o.as(user, "GET", "/tasks/"+id+path, "")
		}})
	}
	all = append(all, way{name: "GET list", list: true, call: func(o *owners, user, _ string) string { return o.as(user, "GET", "/tasks", "") }},
		way{name: "WebSocket", call: (*owners).socket}, way{name: "SSE of events", call: func(o *owners, user, id string) string { return o.begin(user, "/tasks/"+id+"/events") }})
	for _, row := range []struct {
		tool, arguments string
		of              way
	}{
		{"get_task", `{"task_id":"ID"}`, way{}}, {"get_task_tree", `{"task_id":"ID"}`, way{}}, {"get_task_status", `{"task_id":"ID"}`, way{}}, {"list_children", `{"task_id":"ID"}`, way{has: `"result":`}},
		{"explain_task", `{"task_id":"ID"}`, way{}}, {"update_task", `{"task_id":"ID","name":"new"}`, changes}, {"delete_task", `{"task_id":"ID"}`, changes}, {"execute_task", `{"task_id":"ID","wait":true}`, changes},
		{"cancel_task", `{"task_id":"ID"}`, changes}, {"copy_task", `{"task_id":"ID"}`, way{}}, {"wait_for_task", `{"task_id":"ID","timeout":0.1}`, way{}},
		{"list_tasks", `{}`, lists}, {"list_tasks", `{"user_id":"amy"}`, way{}},
	} {
		post("MCP "+row.tool, "/mcp", rpc("tools/call", `{"name":"`+row.tool+`","arguments":`+row.arguments+`}`), row.of)
	}
	post("MCP task://", "/mcp", rpc("resources/read", `{"uri":"task://ID"}`), way{})
	post("MCP tasks://", "/mcp", rpc("resources/read", `{"uri":"tasks://"}`), lists)
	for _, row := range []struct {
		method, body string
		of           way
	}{
		{"GetTask", `{"id":"ID"}`, way{}}, {"GetTree", `{"id":"ID"}`, way{}}, {"ListAttempts", `{"taskId":"ID"}`, way{has: "200 "}}, {"Why", `{"taskId":"ID"}`, way{has: "200 "}},
		{"UpdateTask", `{"id":"ID","name":"new"}`, changes}, {"DeleteTask", `{"id":"ID"}`, way{fresh: true, has: `"tasks":"1"`}}, {"CopyTask", `{"taskId":"ID"}`, way{has: "200 "}}, {"Execute", `{"taskId":"ID"}`, changes},
		{"Cancel", `{"id":"ID"}`, way{fresh: true, has: "200 "}}, {"ListTrees", `{}`, lists}, {"ListTasks", `{}`, lists},
	} {
		post("Connect "+row.method, "/taskgrove.v1.Taskgrove/"+row.method, row.body, row.of)
	}
	return append(all, agentWays()...)
}

// agentWays are operations of A2A on a task of its own, and streams of gRPC.
func agentWays() (all []way) {
	for _, row := range []struct{ method, has string }{{"GetTask", ""}, {"tasks/get", ""}, {"CancelTask", "-32002"}, {"tasks/cancel", "-32002"}, {"SubscribeToTask", ""}, {"tasks/resubscribe", ""}} {
		all = append(all, way{name: "A2A " + row.method, has: row.has, call: func(o *owners, user, _ string) string {
			return o.as(user, "POST", "/", rpc(row.method, `{"id":"`+o.agentTask+`"}`))
		}})
	}
	stream := func(name string, open func(context.Context, pb.TaskgroveClient, string) (func() error, error)) {
		all = append(all, way{name: "gRPC " + name, has: "OK", call: func(o *owners, user, id string) string {
			ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(o.t.Context(), "authorization", "Bearer "+o.tokens[user]), 20*time.Second)
			defer cancel()
			next, err := open(ctx, pb.NewTaskgroveClient(o.grpc), id)
			if err == nil {
				err = next()
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return err.Error()
			}
			return "OK"
		}})
	}
	stream("Watch", func(ctx context.Context, c pb.TaskgroveClient, id string) (func() error, error) {
		s, err := c.Watch(ctx, &pb.WatchRequest{Id: id})
		return func() error { _, err := s.Recv(); return err }, err
	})
	stream("SnapshotTree", func(ctx context.Context, c pb.TaskgroveClient, id string) (func() error, error) {
		s, err := c.SnapshotTree(ctx, &pb.SnapshotTreeRequest{Id: id})
		return func() error { _, err := s.Recv(); return err }, err
	})
	stream("Logs", func(ctx context.Context, c pb.TaskgroveClient, id string) (func() error, error) {
		s, err := c.Logs(ctx, &pb.LogsRequest{TaskId: id})
		return func() error { _, err := s.Recv(); return err }, err
	})
	stream("GetTree", func(ctx context.Context, c pb.TaskgroveClient, id string) (func() error, error) {
		_, err := c.GetTree(ctx, &pb.GetTreeRequest{Id: id})
		return func() error { return nil }, err
	})
	return all
}

// begin is how a stream begins.
func (o *owners) begin(user, path string) string {
	ctx, cancel := context.WithCancel(o.t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, o.http+path, nil)
	must(o.t, err)
	o.headers(user, r.Header)
	answer, err := http.DefaultClient.Do(r)
	must(o.t, err)
	defer answer.Body.Close()
	text := make([]byte, 4096)
	n, err := io.ReadAtLeast(answer.Body, text, 60)
	if n == 0 {
		must(o.t, err)
	}
	return fmt.Sprint(answer.StatusCode, " ", string(text[:n]))
}

// socket is what /ws says to a subscription.
func (o *owners) socket(user, id string) string {
	ctx, cancel := context.WithTimeout(o.t.Context(), 20*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, o.http+"/ws", &websocket.DialOptions{HTTPHeader: o.headers(user, http.Header{})})
	must(o.t, err)
	defer conn.CloseNow()
	must(o.t, conn.Write(ctx, websocket.MessageText, []byte(`{"action":"subscribe","task_id":"`+id+`"}`)))
	_, frame, err := conn.Read(ctx)
	must(o.t, err)
	return string(frame)
}

// TestTreesAreTheirOwners by every surface and operation: another user is refused by the text of spec 5.6, or is shown nothing of it; the
// owner and an admin are served. Nothing that another tried has changed anything.
func TestTreesAreTheirOwners(t *testing.T) {
	t.Parallel()
	o := startOwners(t)
	read := o.tree()
	if got := o.as("amy", "POST", "/tasks", rpc("tasks.execute", `{"task_id":"`+read+`","wait":true}`)); !strings.Contains(got, "completed") {
		t.Fatal(got)
	}
	sent := o.as("amy", "POST", "/", rpc("message/send", `{"message":{"messageId":"m","role":"user","parts":[{"kind":"data","data":{"tasks":[{"id":"by-a2a","name":"n","schemas":{"method":"noop_executor"}}]}}]}}`))
	_, after, _ := strings.Cut(sent, `"id":"`)
	o.agentTask, _, _ = strings.Cut(after, `"`)
	for _, w := range ways() {
		id := read
		for _, user := range []string{"bob", "amy", "root"} {
			if w.fresh && user != "bob" { // who tries it with the one that all read
				id = o.tree()
			}
			got := w.call(o, user, id)
			has := strings.ReplaceAll(w.has, "ID", id)
			if has == "" {
				has = id
				if strings.HasPrefix(w.name, "A2A ") {
					has = o.agentTask
				}
			}
			switch denied := strings.Contains(got, "Permission denied: User "+user+" can only"); {
			case user != "bob" && (denied || !strings.Contains(got, has)):
				t.Errorf("%s by %s: got %.500s, want %s", w.name, user, got, has)
			case user == "bob" && w.list && (denied || strings.Contains(got, "of-amy")):
				t.Errorf("%s by another shows what is not theirs: %.500s", w.name, got)
			case user == "bob" && !w.list && !denied:
				t.Errorf("%s by another: got %.500s, want it refused", w.name, got)
			}
		}
	}
	if got := o.as("amy", "GET", "/tasks/"+read, ""); !strings.Contains(got, `"name":"n"`) || !strings.Contains(got, `"status":"completed"`) {
		t.Errorf("what another tried has changed the tree: %s", got)
	}
}
