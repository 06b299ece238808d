package grpcserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/grpcserver"
	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/modelkey"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// heard is a service that notes what editing calls were given, and answers with err, or as if it had done what was asked.
type heard struct {
	*apitest.Service
	err error

	change   coordinator.TaskChange
	deletion coordinator.DeleteOptions
	copying  coordinator.CopyOptions
	execute  coordinator.ExecuteOptions
	parent   string
	added    []*dag.Task
}

func (h *heard) Update(_ context.Context, id string, change coordinator.TaskChange) (*coordinator.Task, error) {
	h.change = change
	if len(change.Faults) > 0 {
		return nil, &coordinator.UpdateError{Faults: append(change.Faults, "Dependency reference 'x' not found in task tree")}
	}
	return &coordinator.Task{ID: id, OriginalID: "first", HasCopy: true}, h.err
}

func (h *heard) Delete(_ context.Context, _ string, opts coordinator.DeleteOptions) (*coordinator.Deletion, error) {
	h.deletion = opts
	return &coordinator.Deletion{Tasks: 3}, h.err
}

func (h *heard) Copy(_ context.Context, _ string, opts coordinator.CopyOptions) (*coordinator.Copied, error) {
	h.copying = opts
	return &coordinator.Copied{TreeID: "copy", Tasks: []*coordinator.Task{{ID: "copy"}}, Omitted: 7, Replayed: true,
		Execution: &coordinator.Execution{TreeID: "copy", Outcome: coordinator.Started, Tasks: 1}}, h.err
}

func (h *heard) Execute(_ context.Context, _ string, opts coordinator.ExecuteOptions) (*coordinator.Execution, error) {
	h.execute = opts
	return &coordinator.Execution{Outcome: coordinator.Started}, h.err
}

func (h *heard) Add(_ context.Context, parent string, opts coordinator.SubmitOptions, tasks iter.Seq2[*dag.Task, error]) (*coordinator.Submitted, error) {
	h.parent = parent
	for t, err := range tasks {
		if err != nil {
			return nil, err
		}
		h.added = append(h.added, t)
	}
	return &coordinator.Submitted{TreeID: "r", Tasks: len(h.added)}, h.err
}

func serveHeard(t *testing.T) (*site, *heard) {
	h := &heard{Service: apitest.New()}
	return serveService(t, h, grpcserver.Config{}), h
}

func TestUpdateTellsTheServiceWhatToChange(t *testing.T) {
	t.Parallel()
	s, h := serveHeard(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	got, err := s.rpc.UpdateTask(t.Context(), &pb.UpdateTaskRequest{
		Id: "a", Name: proto.String("n"), Priority: proto.Int32(0), Inputs: []byte(` {"x": 1} `), Status: "completed", Error: proto.String(""),
		Result: []byte("null"), Progress: proto.Float64(0.5), StartedAt: timestamppb.New(at),
		Dependencies: &pb.DependencyList{Dependencies: []*pb.Dependency{{Id: "b", Required: proto.Bool(false)}}},
	})
	if err != nil || got.Id != "a" || got.OriginalTaskId != "first" || !got.HasCopy {
		t.Fatalf("got %v, %v", got, err)
	}
	c := h.change
	if *c.Name != "n" || *c.Priority != dag.Urgent || string(c.Inputs) != `{"x":1}` || c.Params != nil || c.Status != dag.StatusCompleted || *c.Error != "" ||
		string(c.Result) != "null" || *c.Progress != 0.5 || !c.StartedAt.Equal(at) || !c.CompletedAt.IsZero() {
		t.Errorf("got %+v", c)
	}
	if !c.HasDependencies || !slices.Equal(c.Dependencies, []dag.Dependency{{Ref: "b", Optional: true}}) {
		t.Errorf("got dependencies %v", c.Dependencies)
	}
	if _, err := s.rpc.UpdateTask(t.Context(), &pb.UpdateTaskRequest{Id: "a", Dependencies: &pb.DependencyList{}}); err != nil || !h.change.HasDependencies {
		t.Errorf("no dependencies: got %+v, %v", h.change, err)
	}
}

// TestUpdateTellsAllFaults: what can't be read and what the service refuses come together, each with its field.
func TestUpdateTellsAllFaults(t *testing.T) {
	t.Parallel()
	s, _ := serveHeard(t)
	_, err := s.rpc.UpdateTask(t.Context(), &pb.UpdateTaskRequest{
		Id: "a", Inputs: []byte("[1]"), Params: []byte("{"), Schemas: []byte(`{"a":1,"a":2}`), Result: []byte("{"), Priority: proto.Int32(4),
		StartedAt: &timestamppb.Timestamp{Nanos: -1},
	})
	want := []string{"inputs ", "params ", "schemas ", "started_at ", "result ", "priority ", "dependencies "}
	if got := violations(err); status.Code(err) != codes.InvalidArgument || !slices.Equal(got, want) {
		t.Errorf("got %v %q, want %q", status.Code(err), got, want)
	}
	c := newClient(t, s)
	_, err = c.Update(t.Context(), "a", client.Change{Inputs: []int{1}})
	invalid, ok := errors.AsType[*client.InvalidError](err)
	if !ok || len(invalid.Faults) != 2 || invalid.Faults[0] != (client.Fault{Field: "inputs", Reason: "Cannot update 'inputs': must be a JSON object"}) {
		t.Errorf("got %+v", err)
	}
}

func newClient(t *testing.T, s *site) *client.Client {
	t.Helper()
	c, err := client.New(s.conn.Target())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestDeleteAndCopyTellTheServiceHow(t *testing.T) {
	t.Parallel()
	s, h := serveHeard(t)
	c := newClient(t, s)
	if n, err := c.Delete(t.Context(), "a", client.ForceDelete(), client.DeleteAlone()); n != 3 || err != nil || h.deletion != (coordinator.DeleteOptions{Force: true, Alone: true}) {
		t.Errorf("delete: got %d, %v with %+v", n, err, h.deletion)
	}
	got, err := c.Copy(t.Context(), "a", client.CopyOptions{Mode: client.CopyCustom, Children: true, TaskIDs: []string{"b"}, IncludeChildren: true,
		ResetFields: []string{"status"}, Preview: true, IdempotencyKey: "k", Execute: []client.ExecuteOption{client.Demo(), client.ModelKey("openai:sk")}})
	if err != nil || got.TreeID != "copy" || len(got.Tasks) != 1 || got.Omitted != 7 || !got.Replayed || got.Execution.Status != "started" {
		t.Errorf("copy: got %+v, %v", got, err)
	}
	if o := h.copying; o.Mode != coordinator.CopyCustom || !o.Children || !slices.Equal(o.TaskIDs, []string{"b"}) || !o.IncludeChildren ||
		!slices.Equal(o.ResetFields, []string{"status"}) || !o.Preview || o.IdempotencyKey != "k" || !o.Execute.Demo || o.Execute.ModelKey == (modelkey.Key{}) {
		t.Errorf("copy: got options %+v", o)
	}
}

func TestWebhooksReachTheService(t *testing.T) {
	t.Parallel()
	s, h := serveHeard(t)
	c := newClient(t, s)
	hook := client.Webhook{URL: "https://u.example", Method: "PUT", Headers: map[string]string{"a": "b"}, Timeout: time.Second, MaxAttempts: 2,
		Secret: "whsec_x", Body: json.RawMessage(`{}`)}
	if _, err := c.Execute(t.Context(), "a", client.ToWebhook(hook)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Submit(t.Context(), []client.NewTask{{Name: "a"}}, client.WithWebhook(hook), client.RequireExisting()); err != nil {
		t.Fatal(err)
	}
	for what, got := range map[string]*coordinator.Webhook{"execute": h.execute.Webhook, "submit": h.LastSubmit().Webhook} {
		if got == nil || fmt.Sprintf("%v", *got) != fmt.Sprintf("%v", coordinator.Webhook(hook)) {
			t.Errorf("%s: got %v, want %v", what, got, hook)
		}
	}
	if !h.LastSubmit().RequireExisting {
		t.Error("got no RequireExisting")
	}
}

// TestATreeInOneMessage: as messages and as a document it is the same tree.
func TestATreeInOneMessage(t *testing.T) {
	t.Parallel()
	s := serve(t, grpcserver.Config{})
	document, err := structpb.NewValue([]any{map[string]any{"name": "root"}, map[string]any{"name": "leaf", "parent_id": "root",
		"inputs": map[string]any{"n": 9007199254740991, "text": "<&>", "list": []any{nil, true, 1.5}}, "timeout": 2.5}})
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*pb.SubmitTreeRequest{
		"document": {Document: document},
		"tasks":    {Tasks: []*pb.NewTask{{Name: "root"}, {Name: "leaf", ParentId: "root", Inputs: []byte(`{"list":[null,true,1.5],"n":9007199254740991,"text":"<&>"}`)}}},
	} {
		r.Options = &pb.SubmitOptions{Hold: true, UserId: "u"}
		got, err := s.rpc.SubmitTree(t.Context(), r)
		if err != nil || got.Tasks != 2 {
			t.Fatalf("%s: got %v, %v", name, got, err)
		}
		if o := s.svc.LastSubmit(); !o.Hold || o.UserID != "u" {
			t.Errorf("%s: got options %+v", name, o)
		}
		list, err := s.rpc.ListTasks(t.Context(), &pb.ListTasksRequest{TreeId: got.TreeId, Name: "leaf"})
		if err != nil || len(list.Tasks) != 1 || string(list.Tasks[0].Inputs) != `{"list":[null,true,1.5],"n":9007199254740991,"text":"<&>"}` {
			t.Errorf("%s: got %v, %v", name, list, err)
		}
	}
}

// TestTreeFilesInOneMessage, as a text or an object, with values for parameters. Faults are told at the line and column of a text, and by the path of an
// object.
func TestTreeFilesInOneMessage(t *testing.T) {
	t.Parallel()
	s, h := serveHeard(t)
	values := func(text string) *structpb.Struct {
		v := &structpb.Struct{}
		if err := protojson.Unmarshal([]byte(text), v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	text := func(tasks string) *structpb.Value {
		return structpb.NewStringValue("taskgrove: 1\nname: nightly\nparameters: {day: {required: true}}\ntasks:\n" + tasks)
	}
	fetch := map[string]any{"name": "fetch", "executor": "noop", "inputs": map[string]any{"day": "{{parameters.day}}"}}
	file := func(task map[string]any) *structpb.Value {
		v, err := structpb.NewValue(map[string]any{"name": "nightly", "parameters": map[string]any{"day": map[string]any{"required": true}}, "tasks": []any{task}, "taskgrove": 1})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for name, document := range map[string]*structpb.Value{"text": text("- name: fetch\n  executor: noop\n  inputs: {day: '{{parameters.day}}'}\n"), "object": file(fetch)} {
		h.added = nil
		got, err := s.rpc.AddTasks(t.Context(), &pb.AddTasksRequest{ParentId: "p", Document: document, Parameters: values(`{"day":"monday"}`)})
		if err != nil || got.Tasks != 2 || h.added[0].Name != "nightly" || string(h.added[1].Inputs) != `{"day":"monday"}` {
			t.Errorf("%s: got %v, %v, %v", name, got, err, h.added)
		}
		sub, err := s.rpc.SubmitTree(t.Context(), &pb.SubmitTreeRequest{Document: document, Parameters: values(`{"day":"monday"}`)})
		if err != nil || sub.Tasks != 2 {
			t.Errorf("%s: got %v, %v", name, sub, err)
		}
	}
	plain, err := structpb.NewValue([]any{map[string]any{"name": "a"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		document *structpb.Value
		values   string
		want     []string
	}{
		"text":      {text("- name: fetch\n  executor: noop\n  timeout: 1h\n"), `{"dai":1}`, []string{"document:3:14", "document:7:3", "parameters.dai"}},
		"object":    {file(map[string]any{"name": "fetch", "executor": "noop", "time_out": 3}), `{"day":[1]}`, []string{"document.tasks[0].time_out", "parameters.day"}},
		"no file":   {plain, `{}`, []string{"parameters"}},
		"nothing":   {nil, `{}`, []string{"parameters"}},
		"rounded":   {file(fetch), `{"day":9007199254740993}`, []string{"parameters.day"}},
		"some text": {structpb.NewStringValue("name: a\n"), `{}`, []string{"document:1:1"}},
	} {
		_, err := s.rpc.SubmitTree(t.Context(), &pb.SubmitTreeRequest{Document: row.document, Parameters: values(row.values)})
		var got []string
		for _, v := range violations(err) {
			got = append(got, strings.Fields(v)[0])
		}
		if slices.Sort(got); status.Code(err) != codes.InvalidArgument || !slices.Equal(got, row.want) {
			t.Errorf("%s: got %v %q, want %q", name, err, got, row.want)
		}
	}
	// What only the service knows is told at the file's lines, too.
	h.err = &dag.InvalidTreeError{Problems: []*dag.InvalidTaskError{{Code: dag.InvalidField, Index: 1, Field: "dependencies[0]", Reason: "tasks[1].dependencies[0]: of the service"}}}
	_, err = s.rpc.AddTasks(t.Context(), &pb.AddTasksRequest{ParentId: "p", Document: text("- name: fetch\n  executor: noop\n  needs: [b]\n- {name: b, executor: noop}\n"), Parameters: values(`{"day":"x"}`)})
	if got := violations(err); len(got) != 1 || !strings.HasPrefix(got[0], "document:7:11 ") || !strings.Contains(err.Error(), "tasks[0].needs[0]: of the service") {
		t.Errorf("got %v, %q", err, got)
	}
}

// TestSubmitTrees: several trees, in each of the forms, are stored all or not at all, and every fault says of which tree it is.
func TestSubmitTrees(t *testing.T) {
	t.Parallel()
	s := serve(t, grpcserver.Config{})
	document, err := structpb.NewValue(map[string]any{"tasks": []any{map[string]any{"id": "b", "name": "b"}}})
	if err != nil {
		t.Fatal(err)
	}
	file := func(task string) *structpb.Value {
		return structpb.NewStringValue("taskgrove: 1\nname: c\nparameters: {p: {}}\ntasks:\n- " + task + "\n")
	}
	values := &structpb.Struct{Fields: map[string]*structpb.Value{"p": structpb.NewStringValue("1")}}
	got, err := s.rpc.SubmitTrees(t.Context(), &pb.SubmitTreesRequest{Options: &pb.SubmitOptions{Hold: true, UserId: "u"}, Trees: []*pb.NewTree{
		{Tasks: []*pb.NewTask{{Id: "a", Name: "a"}}, IdempotencyKey: "k"}, {Document: document, Timeout: durationpb.New(time.Hour)}, {Document: file("{name: d, executor: noop}")},
	}})
	if err != nil || len(got.Trees) != 3 || got.Trees[0].TreeId != "a" || got.Trees[1].TreeId != "b" || got.Trees[2].Tasks != 2 {
		t.Fatalf("got %v, %v", got, err)
	}
	if o := s.svc.LastSubmit(); !o.Hold || o.UserID != "u" {
		t.Errorf("got options %+v", o)
	}
	for name, row := range map[string]struct {
		request *pb.SubmitTreesRequest
		want    []string
	}{
		"none":  {&pb.SubmitTreesRequest{}, []string{"trees"}},
		"a key": {&pb.SubmitTreesRequest{Options: &pb.SubmitOptions{IdempotencyKey: "k"}, Trees: []*pb.NewTree{{}}}, []string{"options.idempotency_key"}},
		"faults": {&pb.SubmitTreesRequest{Trees: []*pb.NewTree{
			{Tasks: []*pb.NewTask{{Id: "e", Name: "e"}}}, {Tasks: []*pb.NewTask{{Id: "f", Name: "f", Dependencies: []*pb.Dependency{{Id: "zzz"}}}}}, {Document: file("{name: d, executor: noop, time_out: 3}"), Parameters: values},
			{Document: document, Parameters: values}, {Timeout: &durationpb.Duration{Seconds: -1}},
		}}, []string{"trees[1].tasks[0].dependencies", "trees[2].document:5:29", "trees[3].parameters", "trees[4].timeout"}},
		"one": {&pb.SubmitTreesRequest{Trees: []*pb.NewTree{{Document: file("{name: d, executor: noop, time_out: 3}")}}}, []string{"trees[0].document:5:29"}},
	} {
		_, err := s.rpc.SubmitTrees(t.Context(), row.request)
		var got []string
		for _, v := range violations(err) {
			got = append(got, strings.Fields(v)[0])
		}
		if status.Code(err) != codes.InvalidArgument || !slices.Equal(got, row.want) {
			t.Errorf("%s: got %v %q, want %q", name, err, got, row.want)
		}
	}
	if _, err := s.rpc.GetTask(t.Context(), &pb.GetTaskRequest{Id: "e"}); status.Code(err) != codes.NotFound {
		t.Errorf("a tree beside faulty ones is stored: %v", err)
	}
}

func TestFaultsOfADocument(t *testing.T) {
	t.Parallel()
	s, h := serveHeard(t)
	for name, row := range map[string]struct {
		document *structpb.Value
		want     string
	}{
		"nothing":    {&structpb.Value{}, "document"},
		"a number":   {structpb.NewNumberValue(1), "tasks"},
		"NaN":        {structpb.NewNumberValue(math.NaN()), "document"},
		"rounded":    {object("inputs", object("n", structpb.NewNumberValue(1<<53))), "document.inputs.n"},
		"in a list":  {object("tasks", structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewNumberValue(-1e300)}})), "document.tasks[0]"},
		"both forms": {object("name", structpb.NewStringValue("a")), "document"},
	} {
		r := &pb.AddTasksRequest{ParentId: "p", Document: row.document}
		if name == "both forms" {
			r.Tasks = []*pb.NewTask{{Name: "b"}}
		}
		_, err := s.rpc.AddTasks(t.Context(), r)
		if got := violations(err); status.Code(err) != codes.InvalidArgument || len(got) != 1 || strings.Fields(got[0])[0] != row.want {
			t.Errorf("%s: got %v %q, want %s", name, err, got, row.want)
		}
	}
	if len(h.added) > 0 {
		t.Errorf("%d tasks of faulty documents were added", len(h.added))
	}
	got, err := s.rpc.AddTasks(t.Context(), &pb.AddTasksRequest{ParentId: "p", Document: object("name", structpb.NewStringValue("a"))})
	if err != nil || got.Tasks != 1 || h.parent != "p" || h.added[0].Name != "a" {
		t.Errorf("got %v, %v, added %v below %s", got, err, h.added, h.parent)
	}
}

func object(key string, value *structpb.Value) *structpb.Value {
	return structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{key: value}})
}

// TestErrorsHaveDetails: what programs read of an error beside its code, and what the Go client makes of it.
func TestErrorsHaveDetails(t *testing.T) {
	t.Parallel()
	s, h := serveHeard(t)
	c := newClient(t, s)
	call := func(err error) ([]any, error) {
		h.err = err
		_, got := s.rpc.DeleteTask(t.Context(), &pb.DeleteTaskRequest{Id: "a"})
		_, own := c.Delete(t.Context(), "a")
		return status.Convert(got).Details(), own
	}

	details, own := call(&coordinator.DeleteError{Reasons: []string{"task status is 'completed' (must be 'pending')"}})
	info, ok := details[0].(*errdetails.ErrorInfo)
	if !ok || info.Domain != "taskgrove" || info.Reason != "CANNOT_DELETE" || info.Metadata["reasons"] != "task status is 'completed' (must be 'pending')" {
		t.Errorf("conflict: got %v", details)
	}
	conflict, ok := errors.AsType[*client.ConflictError](own)
	if !ok || !errors.Is(own, client.ErrConflict) || conflict.Reason != "CANNOT_DELETE" || conflict.Facts["reasons"] == "" {
		t.Errorf("conflict: got %#v", own)
	}

	details, own = call(coordinator.ErrUnavailable)
	if retry, ok := details[0].(*errdetails.RetryInfo); !ok || retry.RetryDelay.AsDuration() != time.Second {
		t.Errorf("unavailable: got %v", details)
	}
	if e, ok := errors.AsType[*client.Error](own); !ok || !errors.Is(own, client.ErrUnavailable) || e.RetryAfter != time.Second {
		t.Errorf("unavailable: got %#v", own)
	}

	details, own = call(errors.New("secret cause"))
	request, ok := details[0].(*errdetails.RequestInfo)
	if !ok || !strings.Contains(s.log.String(), request.RequestId) {
		t.Errorf("internal: got %v", details)
	}
	if e, ok := errors.AsType[*client.InternalError](own); !ok || e.ID == "" || !strings.HasSuffix(own.Error(), "internal error "+e.ID) {
		t.Errorf("internal: got %#v", own)
	}
}
