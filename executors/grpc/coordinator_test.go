package grpccall_test

import (
	"encoding/json"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	grpccall "github.com/taskgrove/taskgrove/executors/grpc"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestOurOwnCoordinator drives a cluster through its gRPC API: a stream of requests submits a tree, a stream of answers watches it to its
// end, a plain call reads it, and a bad one gets the coordinator's own details.
func TestOurOwnCoordinator(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Coordinator: func(s *config.Coordinator) { s.GRPCAddr = "127.0.0.1:0" }})
	e := newExecutor(t, grpccall.Config{})
	api := func(method string, more object) object {
		in := object{"server": c.Coordinators[0].P.GRPC, "service": "taskgrove.v1.Taskgrove", "method": method}
		for name, value := range more {
			in[name] = value
		}
		return in
	}
	field := func(r *grpccall.Result, name string) string {
		var fields map[string]any
		if err := json.Unmarshal(r.Response, &fields); err != nil {
			t.Fatal(err)
		}
		value, err := structpb.NewValue(fields[name])
		if err != nil {
			t.Fatal(err)
		}
		return value.GetStringValue()
	}
	submitted, err := run(t, e, api("Submit", object{"requests": []object{
		{"options": object{"userId": "ann"}},
		{"tasks": []object{{"id": "root", "name": "root", "executor": "noop_executor", "dependencies": []object{{"id": "child"}}}}},
		{"tasks": []object{{"id": "child", "name": "child", "parentId": "root", "executor": "noop_executor"}}},
	}}))
	if err != nil {
		t.Fatal(err)
	}
	id := field(submitted, "treeId")
	watched, err := run(t, e, api("Watch", object{"request": object{"id": id}}))
	if err != nil || *watched.Messages < 4 || !strings.Contains(string(watched.Response), `"status":"completed"`) {
		t.Fatalf("got %+v, %v", watched, err)
	}
	read, err := run(t, e, api("GetTask", object{"request": object{"id": id}}))
	if err != nil || field(read, "status") != "completed" {
		t.Errorf("got %s, %v", read.Response, err)
	}
	_, err = run(t, e, api("Submit", object{"request": object{"tasks": []object{{"name": "a", "executor": "noop_executor", "dependencies": []object{{"id": "nobody"}}}}}}))
	if err == nil || !strings.HasPrefix(err.Error(), "INVALID_ARGUMENT: ") || !strings.Contains(err.Error(), "google.rpc.BadRequest") {
		t.Errorf("a bad tree: got %v", err)
	}
	_, err = run(t, e, api("GetTask", object{"request": object{"id": "nobody"}}))
	if err == nil || !strings.HasPrefix(err.Error(), "NOT_FOUND: ") {
		t.Errorf("an unknown task: got %v", err)
	}
}
