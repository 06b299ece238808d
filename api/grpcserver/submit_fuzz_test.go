package grpcserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/taskgrove/taskgrove/dag"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// FuzzSubmit reads a stream of two messages: what becomes a task has valid fields within their bounds, in the order of
// the messages; what does not is refused by the name of its field. Whatever passes, the builder of trees copes with.
func FuzzSubmit(f *testing.F) {
	no, prio := false, int32(2)
	first := &pb.SubmitRequest{Tasks: []*pb.NewTask{{Id: "a", Name: "a", Inputs: []byte(` {"k": [1, 2]} `), Priority: &prio,
		Retry: &pb.RetryPolicy{MaxAttempts: 3, InitialDelay: durationpb.New(time.Second)}, NotBefore: timestamppb.New(time.Unix(1e9, 0))}}}
	second := &pb.SubmitRequest{Tasks: []*pb.NewTask{
		{Id: "b", Name: "b", ParentId: "a", Dependencies: []*pb.Dependency{{Id: "a", Required: &no}, {}}, Params: []byte(`{"executor_id":"x"}`)}, {},
		{Id: "\x00", Name: strings.Repeat("n", 300), Timeout: &durationpb.Duration{Seconds: math.MaxInt64, Nanos: -1}, OnLost: "maybe", Schemas: []byte("[")}}}
	options := &pb.SubmitRequest{Options: &pb.SubmitOptions{IdempotencyKey: strings.Repeat("k", 256), Timeout: durationpb.New(-1)}}
	for _, pair := range [][2]*pb.SubmitRequest{{first, second}, {options, first}, {first, options}, {{}, {}}} {
		a, err := proto.Marshal(pair[0])
		if err != nil {
			f.Fatal(err)
		}
		b, err := proto.Marshal(pair[1])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(a, b)
		f.Add(a[:len(a)/2], b)
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		one, two := &pb.SubmitRequest{}, &pb.SubmitRequest{}
		if proto.Unmarshal(a, one) != nil || proto.Unmarshal(b, two) != nil {
			return
		}
		if opts, err := submitOptions(one.Options); err == nil && (len(opts.IdempotencyKey) > 255 || len(opts.UserID) > 255 || opts.Timeout < 0 || opts.Timeout > dag.MaxDuration) {
			t.Fatalf("got options %+v", opts)
		} else if err != nil && !strings.Contains(err.Error(), "idempotency_key") && !strings.Contains(err.Error(), "user_id") && !strings.Contains(err.Error(), "timeout") {
			t.Fatalf("got %v, want a field's name", err)
		}
		sent := append(append([]*pb.NewTask(nil), one.Tasks...), two.Tasks...)
		in := &inbox{next: make(chan message, 2), ctx: t.Context(), idle: time.Minute}
		in.next <- message{two, nil}
		in.next <- message{nil, io.EOF}
		builder := dag.NewBuilder(dag.Limits{}, func() string { return "generated" })
		index, refused := 0, error(nil)
		for task, err := range (&handler{}).newTasks(one, in) {
			if err != nil {
				refused = err
				break
			}
			if err := faithful(task, sent[index]); err != nil {
				t.Fatalf("task %d: %v", index, err)
			}
			index++
			if _, err := builder.Add(task); err != nil {
				break
			}
		}
		if refused == nil {
			_, _ = builder.Build()
			return
		}
		namesFaults(t, refused, two, len(sent))
	})
}

// namesFaults checks that a refusal names fields of the tasks sent, or the options that came twice.
func namesFaults(t *testing.T, refused error, second *pb.SubmitRequest, sent int) {
	t.Helper()
	bad, is := refused.(*dag.InvalidTreeError)
	if !is {
		if !strings.Contains(refused.Error(), "options") || second.Options == nil {
			t.Fatalf("got %v", refused)
		}
		return
	}
	if len(bad.Problems) == 0 || len(bad.Problems) > dag.MaxProblems+20 {
		t.Fatalf("got %d problems", len(bad.Problems))
	}
	for _, p := range bad.Problems {
		if p.Field == "" || !strings.Contains(p.Reason, p.Field) || p.Index < 0 || p.Index >= sent || len(p.Task) > 255+3 {
			t.Fatalf("got problem %+v", p)
		}
	}
}

// faithful says how a task differs from what was sent, or breaks its bounds.
func faithful(got *dag.Task, sent *pb.NewTask) error {
	if got.ID != sent.GetId() || got.Name != sent.GetName() || got.ParentRef != sent.GetParentId() || len(got.Dependencies) != len(sent.GetDependencies()) {
		return fmt.Errorf("got %+v", got)
	}
	for field, pair := range map[string][2][]byte{"inputs": {got.Inputs, sent.GetInputs()}, "params": {got.Params, sent.GetParams()}, "schemas": {got.Schemas, sent.GetSchemas()}} {
		if len(pair[0]) == 0 {
			continue
		}
		var want bytes.Buffer
		if err := json.Compact(&want, pair[1]); err != nil || !bytes.Equal(pair[0], want.Bytes()) || pair[0][0] != '{' {
			return fmt.Errorf("%s: got %q of %q", field, pair[0], pair[1])
		}
	}
	for _, d := range []time.Duration{got.Timeout, got.ScheduleToStart, got.Retry.InitialDelay, got.Retry.MaxDelay} {
		if d < 0 || d > dag.MaxDuration {
			return fmt.Errorf("got duration %s", d)
		}
	}
	if got.Priority < dag.Urgent || got.Priority > dag.Low {
		return fmt.Errorf("got priority %d", got.Priority)
	}
	if y := got.NotBefore.Year(); y < 1 || y > 9999 {
		return fmt.Errorf("got a start in the year %d", y)
	}
	return nil
}
