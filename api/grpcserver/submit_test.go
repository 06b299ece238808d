package grpcserver_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/grpcserver"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func TestSubmitOfSeveralMessages(t *testing.T) {
	t.Parallel()
	var known dag.Known
	known.Add("rest_executor", "http")
	s := serve(t, grpcserver.Config{Known: known})
	got, err := s.submit(
		&pb.SubmitRequest{Options: &pb.SubmitOptions{IdempotencyKey: "k", UserId: "u", Hold: true, Timeout: durationpb.New(time.Minute)}},
		&pb.SubmitRequest{Tasks: []*pb.NewTask{{Id: "r", Name: "root"}}},
		&pb.SubmitRequest{Tasks: []*pb.NewTask{{
			Id: "c", Name: "c", ParentId: "r", Priority: proto.Int32(0), Inputs: []byte(` { "a" : 1 } `),
			Schemas:      []byte(`{"type":"http"}`),
			Dependencies: []*pb.Dependency{{Id: "r", Required: proto.Bool(false)}},
		}}},
	)
	if err != nil || got.TreeId != "r" || got.Tasks != 2 {
		t.Fatalf("got %v, %v", got, err)
	}
	if opts := s.svc.LastSubmit(); opts.IdempotencyKey != "k" || opts.UserID != "u" || !opts.Hold || opts.Timeout != time.Minute {
		t.Errorf("got options %+v", opts)
	}
	task, err := s.rpc.GetTask(t.Context(), &pb.GetTaskRequest{Id: "c"})
	if err != nil {
		t.Fatal(err)
	}
	if string(task.Inputs) != `{"a":1}` || task.Priority != 0 || task.Executor != "rest_executor" || task.Pool != "rest_executor" ||
		task.State != "held" || task.Status != "pending" || task.UserId != "u" || task.ParentId != "r" {
		t.Errorf("got %v", task)
	}
	if d := task.Dependencies; len(d) != 1 || d[0].GetRequired() || d[0].Type != "result" {
		t.Errorf("got dependencies %v", d)
	}
}

// violations are the fields of an error's details.
func violations(err error) (fields []string) {
	for _, detail := range status.Convert(err).Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok {
			for _, v := range bad.FieldViolations {
				fields = append(fields, v.Field+" "+v.Reason)
			}
		}
	}
	return fields
}

func TestSubmitFaults(t *testing.T) {
	t.Parallel()
	one := func(t *pb.NewTask) *pb.SubmitRequest { return &pb.SubmitRequest{Tasks: []*pb.NewTask{t}} }
	for _, tt := range []struct {
		name     string
		messages []*pb.SubmitRequest
		want     []string
	}{
		{"nothing", nil, []string{"tasks INVALID_TREE"}},
		{"no name", []*pb.SubmitRequest{one(&pb.NewTask{})}, []string{"tasks[0].name INVALID_FIELD"}},
		{"a key within inputs twice", []*pb.SubmitRequest{one(&pb.NewTask{Name: "a", Inputs: []byte(`{"x":[{"y":1,"y":2}]}`)})}, []string{"tasks[0].inputs.x[0].y INVALID_FIELD"}},
		{"inputs no JSON", []*pb.SubmitRequest{one(&pb.NewTask{Name: "a", Inputs: []byte("{")})}, []string{"tasks[0].inputs INVALID_FIELD"}},
		{"inputs that end behind a key that is there twice", []*pb.SubmitRequest{one(&pb.NewTask{Name: "a", Inputs: []byte(`{"x":1,"x"`)})}, []string{"tasks[0].inputs INVALID_FIELD"}},
		{"inputs no object", []*pb.SubmitRequest{one(&pb.NewTask{Name: "a", Inputs: []byte("[1]")})}, []string{"tasks[0].inputs INVALID_FIELD"}},
		{"inputs no UTF-8", []*pb.SubmitRequest{one(&pb.NewTask{Name: "a", Inputs: []byte("{\"\xff\":1}")})}, []string{"tasks[0].inputs INVALID_FIELD"}},
		{"several tasks", []*pb.SubmitRequest{
			one(&pb.NewTask{Name: "a", Priority: proto.Int32(1 << 16)}),
			one(&pb.NewTask{Name: "b", OnLost: "explode", Timeout: durationpb.New(-1)}),
		}, []string{"tasks[0].priority INVALID_FIELD", "tasks[1].timeout INVALID_FIELD", "tasks[1].on_lost INVALID_FIELD"}},
		{"two executors", []*pb.SubmitRequest{
			one(&pb.NewTask{Name: "a", Executor: "x_executor", Schemas: []byte(`{"method":"y_executor"}`)}),
			one(&pb.NewTask{Name: "b", Executor: "x_executor", Params: []byte(`{"executor_id":"known_executor"}`)}),
			one(&pb.NewTask{Name: "c", Executor: "aggregate_results", Schemas: []byte(`{"method":"aggregate_results_executor"}`)}),
			one(&pb.NewTask{Name: "d", Executor: strings.Repeat("x", 300)}),
		}, []string{"tasks[0].executor INVALID_FIELD", "tasks[1].executor INVALID_FIELD"}},
		{"cycle", []*pb.SubmitRequest{one(&pb.NewTask{Id: "a", Name: "a", Dependencies: []*pb.Dependency{{Id: "a"}}})}, []string{"tasks[0].dependencies CIRCULAR_DEPENDENCY"}},
		{"two owners", []*pb.SubmitRequest{
			one(&pb.NewTask{Name: "a", UserId: "u"}), one(&pb.NewTask{Name: "b", ParentId: "a", UserId: "v"}),
		}, []string{"WRONG_OWNER"}},
		{"late options", []*pb.SubmitRequest{one(&pb.NewTask{Name: "a"}), {Options: &pb.SubmitOptions{}}}, []string{"options "}},
		{"long key", []*pb.SubmitRequest{{Options: &pb.SubmitOptions{IdempotencyKey: strings.Repeat("k", 256)}}}, []string{"options.idempotency_key "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var known dag.Known
			known.Add("known_executor", "test")
			s := serve(t, grpcserver.Config{Known: known})
			_, err := s.submit(tt.messages...)
			got := violations(err)
			same := slices.EqualFunc(got, tt.want, func(got, want string) bool { return strings.HasSuffix(got, want) })
			if status.Code(err) != codes.InvalidArgument || !same {
				t.Errorf("got %v with %q, want %q", err, got, tt.want)
			}
			if page, _ := s.svc.Tasks(t.Context(), coordinator.TaskFilter{}); len(page.Items) != 0 {
				t.Error("something was stored")
			}
		})
	}
}

// TestManyFaultsMakeASmallStatus: statuses are trailers, which proxies and clients bound to 8 KiB. What is left out is counted.
func TestManyFaultsMakeASmallStatus(t *testing.T) {
	t.Parallel()
	s := serve(t, grpcserver.Config{})
	for fact, task := range map[string]*pb.NewTask{
		"short ones": {Name: "a", Inputs: []byte("x")},
		"long ones":  {Name: strings.Repeat("é", 200), Inputs: []byte("x")},
		"long texts": {Name: "a", Inputs: []byte(`{"` + strings.Repeat("x", 900) + `":1,"` + strings.Repeat("x", 900) + `":2}`)},
	} {
		var tasks []*pb.NewTask
		for range 300 {
			tasks = append(tasks, task)
		}
		_, err := s.submit(&pb.SubmitRequest{Tasks: tasks})
		st := status.Convert(err)
		told := len(violations(err))
		if size := len(st.Message()) + proto.Size(st.Proto())*4/3; status.Code(err) != codes.InvalidArgument || size > 8<<10 {
			t.Errorf("%s: trailers of %d bytes: %v", fact, size, err)
		}
		if got := told + moreOf(err); told < 3 || got != 300 {
			t.Errorf("%s: %d are told and %d counted, of 300", fact, told, got-told)
		}
		var more int
		if _, after, _ := strings.Cut(st.Message(), "; and "); after == "" {
			t.Errorf("%s: the message has no count: %s", fact, st.Message())
		} else if _, err := fmt.Sscanf(after, "%d more", &more); err != nil || more+strings.Count(st.Message(), "tasks[") != 300 {
			t.Errorf("%s: %v, %s", fact, err, st.Message())
		}
	}
}

// moreOf is how many faults an error counts beside those that it tells.
func moreOf(err error) (more int) {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			more, _ = strconv.Atoi(info.Metadata["more"])
		}
	}
	return more
}

func TestStalledSubmissionIsEnded(t *testing.T) {
	t.Parallel()
	s := serve(t, grpcserver.Config{IdleTimeout: 20 * time.Millisecond})
	stream, err := s.rpc.Submit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&pb.SubmitRequest{Tasks: []*pb.NewTask{{Name: "a"}}}); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(&pb.SubmitResponse{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("got %v, want the server to give up", err)
	}
}

func TestLongSubmissionIsEnded(t *testing.T) {
	t.Parallel()
	s := serve(t, grpcserver.Config{SubmitTimeout: 20 * time.Millisecond})
	stream, err := s.rpc.Submit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(&pb.SubmitResponse{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("got %v, want the server to give up", err)
	}
}

// gated is a service whose submissions say that they are in hand, and wait.
type gated struct {
	*apitest.Service
	entered chan struct{}
	leave   chan struct{}
}

func (g gated) Submit(ctx context.Context, opts coordinator.SubmitOptions, tasks iter.Seq2[*dag.Task, error]) (*coordinator.Submitted, error) {
	g.entered <- struct{}{}
	<-g.leave
	return g.Service.Submit(ctx, opts, tasks)
}

func TestSubmissionsAreBounded(t *testing.T) {
	t.Parallel()
	svc := gated{apitest.New(), make(chan struct{}), make(chan struct{})}
	s := serveService(t, svc, grpcserver.Config{MaxSubmissions: 1})
	first, err := s.rpc.Submit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Send(&pb.SubmitRequest{Tasks: []*pb.NewTask{{Name: "a"}}}); err != nil {
		t.Fatal(err)
	}
	<-svc.entered
	if _, err := s.submit(&pb.SubmitRequest{Tasks: []*pb.NewTask{{Name: "b"}}}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("the second: got %v, want RESOURCE_EXHAUSTED", err)
	}
	close(svc.leave)
	if _, err := first.CloseAndRecv(); err != nil {
		t.Errorf("the first: %v", err)
	}
}

func TestMessagesAreBounded(t *testing.T) {
	t.Parallel()
	s := serve(t, grpcserver.Config{MaxMessageBytes: 1000})
	_, err := s.submit(&pb.SubmitRequest{Tasks: []*pb.NewTask{{Name: "a", Inputs: []byte(`{"x":"` + strings.Repeat("y", 1000) + `"}`)}}})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("got %v, want RESOURCE_EXHAUSTED", err)
	}
}
