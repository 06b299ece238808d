package jsonrpc_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/coordinator"
)

func TestLargeTrees(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{MaxAnswerTasks: 2})
	root := s.object("tasks.create", chain)
	if root["children_omitted"] != true || root["children"] != nil || root["has_children"] != true {
		t.Errorf("got %v, want the root without children", root)
	}
	if got := s.refused("tasks.tree", `{"task_id":"a"}`, -32602, 400); !strings.Contains(got, "too large for one answer") {
		t.Errorf("got %q", got)
	}
	if got := s.call("tasks.list", `{"root_id":"a"}`).([]any); len(got) != 3 {
		t.Errorf("got %d tasks of the tree, want 3", len(got))
	}
}

// largeTree has more than an answer holds as a whole: children of a root, and children of the first of these.
func largeTree() string {
	var b strings.Builder
	b.WriteString(`[{"id":"r","name":"root"},{"id":"c0","name":"c","parent_id":"r"}`)
	for i := 1; i < 2000; i++ {
		fmt.Fprintf(&b, `,{"id":"c%d","name":"c","parent_id":%q,"priority":%d,"inputs":{"n":%q}}`, i, []string{"r", "c0"}[i%2], i%4, strings.Repeat("x", 1000))
	}
	return b.String() + "]"
}

// A large tree is written as it is encoded; in a batch it is not, and is the same.
func TestLargeTreesAreAnsweredInPieces(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	created := s.object("tasks.create", largeTree())
	_, header, alone := s.post("/tasks", `{"id":"<7>","method":"tasks.tree","params":{"task_id":"r"}}`)
	_, _, batch := s.post("/tasks", `[{"id":"<7>","method":"tasks.tree","params":{"task_id":"r"}}]`)
	if "["+alone+"]" != batch || len(alone) < 2<<20 || header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d bytes of %s alone, %d in a batch", len(alone), header.Get("Content-Type"), len(batch))
	}
	shown := s.object("tasks.tree", `{"task_id":"r"}`)
	delete(shown, "tree_status")
	delete(shown, "tree_progress")
	if !reflect.DeepEqual(created, shown) {
		t.Error("the tree that was created and the one that is read differ")
	}
}

// lostClient takes an answer's headers and first piece.
type lostClient struct {
	http.ResponseWriter
	writes int
}

func (c *lostClient) Write(b []byte) (int, error) {
	if c.writes++; c.writes > 1 {
		return 0, io.ErrClosedPipe
	}
	return len(b), nil
}

func TestALostClientEndsALargeAnswer(t *testing.T) {
	t.Parallel()
	h := jsonrpc.New(coordinator.NewAccess(apitest.New(), coordinator.AllowAll), jsonrpc.Config{})
	c := &lostClient{ResponseWriter: httptest.NewRecorder()}
	h.ServeHTTP(c, httptest.NewRequest(http.MethodPost, "/tasks", strings.NewReader(`{"id":1,"method":"tasks.create","params":`+largeTree()+`}`)))
	if c.writes != 2 {
		t.Errorf("%d pieces were written, want the one that arrived and the one that failed", c.writes)
	}
}

// A chain as deep as its number of tasks nests without recursion.
func TestDeepTree(t *testing.T) {
	t.Parallel()
	s := serve(t, jsonrpc.Config{})
	const n = 3000
	var b strings.Builder
	b.WriteString(`[{"id":"t0","name":"t"}`)
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, `,{"id":"t%d","name":"t","parent_id":"t%d"}`, i, i-1)
	}
	b.WriteString("]")
	node, depth := s.object("tasks.create", b.String()), 1
	for {
		children, ok := node["children"].([]any)
		if !ok {
			break
		}
		node = children[0].(map[string]any)
		depth++
	}
	if depth != n {
		t.Errorf("got depth %d, want %d", depth, n)
	}
}
