package node

import (
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/taskgrove/taskgrove/api/grpcserver"
	"github.com/taskgrove/taskgrove/api/mcp"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// TestRefusalsNameThePermission: every surface says 403 in its words and names the permission for programs, and what is there and another's is
// told as what is not there at all.
func TestRefusalsNameThePermission(t *testing.T) {
	t.Parallel()
	s := serveGuarded(t)
	if got, body := s.request(t, "POST", "/tasks", "Bearer "+s.token(t, "amy"), `{"jsonrpc":"2.0","id":1,"method":"tasks.create","params":[{"id":"3f2b8c9e-1d4a-4f6b-8a7c-5e9d0b1c2a3f","name":"amys"}]}`); got != 200 {
		t.Fatalf("got HTTP %d %s", got, body)
	}
	for name, tt := range map[string]struct {
		p      probe
		status int
		want   string
	}{
		"JSON-RPC":     {probe{"POST", "/tasks", `{"jsonrpc":"2.0","id":1,"method":"tasks.get","params":{"task_id":"3f2b8c9e-1d4a-4f6b-8a7c-5e9d0b1c2a3f"}}`, ""}, 403, `"permission":"trees.read"`},
		"protocol 1.0": {probe{"POST", "/tasks", `{"jsonrpc":"2.0","protocol":"1.0","id":1,"method":"tasks.get","params":{"task_id":"3f2b8c9e-1d4a-4f6b-8a7c-5e9d0b1c2a3f"}}`, ""}, 403, `"permission":"trees.read"`},
		"a read":       {probe{"GET", "/tasks/3f2b8c9e-1d4a-4f6b-8a7c-5e9d0b1c2a3f", "", ""}, 403, `"permission":"trees.read"`},
		"events":       {probe{"GET", "/tasks/3f2b8c9e-1d4a-4f6b-8a7c-5e9d0b1c2a3f/events", "", ""}, 403, `"permission":"trees.read"`},
		"Connect":      {probe{"POST", grpcserver.WebPath + "GetTask", `{"id":"3f2b8c9e-1d4a-4f6b-8a7c-5e9d0b1c2a3f"}`, ""}, 403, `"permission_denied"`},
		"MCP":          {probe{"POST", mcp.Path, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_task","arguments":{"task_id":"3f2b8c9e-1d4a-4f6b-8a7c-5e9d0b1c2a3f"}}}`, ""}, 200, `"permission":"trees.read"`},
		"A2A by REST":  {probe{"GET", "/a2a/v1/tasks/3f2b8c9e-1d4a-4f6b-8a7c-5e9d0b1c2a3f", "", "A2A-Version: 1.0"}, 403, `"permission":"trees.read"`},
	} {
		res, text := s.answer(t, "bob", tt.p)
		if res.StatusCode != tt.status || !strings.Contains(text, tt.want) {
			t.Errorf("%s: got %s %.500s, want %d with %s", name, res.Status, text, tt.status, tt.want)
		}
		unknown := tt.p
		unknown.path, unknown.body = strings.ReplaceAll(unknown.path, "3f2b8c9e-1d4a-4f6b-8a7c-5e9d0b1c2a3f", "3f2b8c9e-1d4a-4f6b-8a7c-000000000000"), strings.ReplaceAll(unknown.body, "3f2b8c9e-1d4a-4f6b-8a7c-5e9d0b1c2a3f", "3f2b8c9e-1d4a-4f6b-8a7c-000000000000")
		if other, same := s.answer(t, "bob", unknown); other.StatusCode != res.StatusCode || strings.ReplaceAll(same, "3f2b8c9e-1d4a-4f6b-8a7c-000000000000", "3f2b8c9e-1d4a-4f6b-8a7c-5e9d0b1c2a3f") != text {
			t.Errorf("%s: what is not there is told otherwise:\n%.500s\n%.500s", name, text, same)
		}
	}
	conn, err := grpc.NewClient(s.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = pb.NewTaskgroveClient(conn).GetTask(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+s.token(t, "bob")), &pb.GetTaskRequest{Id: "3f2b8c9e-1d4a-4f6b-8a7c-5e9d0b1c2a3f"})
	st, _ := status.FromError(err)
	permission := ""
	for _, one := range st.Details() {
		if info, ok := one.(*errdetails.ErrorInfo); ok {
			permission = info.Metadata["permission"]
		}
	}
	if st.Code() != codes.PermissionDenied || permission != "trees.read" {
		t.Errorf("gRPC: got %v with the permission %q", err, permission)
	}
}
