package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/grpcserver"
	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
)

// run serves svc at addr until stop is called or the test ends.
func run(t testing.TB, svc coordinator.Service, addr string) (at string, stop func()) {
	t.Helper()
	var listener net.Listener
	var err error
	for range 1000 { // the address of a server that has just ended
		if listener, err = net.Listen("tcp", addr); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	server, err := grpcserver.Listen(coordinator.NewAccess(svc, coordinator.AllowAll), grpcserver.Config{Listener: listener, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		if err := server.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop = func() { cancel(); <-exited }
	t.Cleanup(stop)
	return listener.Addr().String(), stop
}

func connect(t testing.TB, addr string) *client.Client {
	t.Helper()
	c, err := client.New(addr, client.WithRetryDelay(time.Millisecond, 20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func start(t testing.TB) (*client.Client, *apitest.Service) {
	t.Helper()
	svc := apitest.New()
	addr, _ := run(t, svc, "127.0.0.1:0")
	return connect(t, addr), svc
}

func TestSubmitAndRead(t *testing.T) {
	c, _ := start(t)
	due := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	sub, err := c.Submit(t.Context(), []client.NewTask{
		{ID: "r", Name: "root", Needs: []string{"c"}},
		{
			ID: "c", Name: "child", Parent: "r", Priority: client.Urgent, Inputs: map[string]any{"n": 1},
			Executor: "noop_executor", Pool: "gpu", Custom: map[string]string{"project": "p"}, NotBefore: due,
		},
	}, client.WithUser("u"), client.Hold(), client.WithTreeTimeout(time.Hour))
	if err != nil || sub.TreeID != "r" || sub.Tasks != 2 {
		t.Fatalf("got %+v, %v", sub, err)
	}
	task, err := c.Task(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	if task.Name != "child" || task.ParentID != "r" || task.Priority != client.Urgent || string(task.Inputs) != `{"n":1}` ||
		task.Pool != "gpu" || string(task.Custom) != `{"project":"p"}` || task.State != client.StateHeld ||
		task.Status != client.StatusPending || task.CreatedAt.IsZero() || !task.StartedAt.IsZero() || task.UserID != "u" ||
		task.Executor != "noop_executor" || string(task.Schemas) != `{"method":"noop_executor"}` {
		t.Errorf("got %+v", task)
	}
	tree, err := c.Tree(t.Context(), "c")
	if err != nil || tree.ID != "r" || tree.Tasks != 2 || tree.Held != 2 || !tree.Ended() {
		t.Errorf("got %+v, %v", tree, err)
	}
	root, err := c.Task(t.Context(), "r")
	if err != nil || len(root.Dependencies) != 1 || !reflect.DeepEqual(root.Dependencies[0], client.Dependency{Ref: "c", Type: "result"}) {
		t.Errorf("got %+v, %v", root, err)
	}
}

func TestWantedTasksAreOptional(t *testing.T) {
	c, _ := start(t)
	sub, err := c.Submit(t.Context(), []client.NewTask{
		{Name: "root", Needs: []string{"a"}, Wants: []string{"b"}}, {Name: "a", Parent: "root"}, {Name: "b", Parent: "root"},
	})
	if err != nil {
		t.Fatal(err)
	}
	root, err := c.Task(t.Context(), sub.TreeID)
	if err != nil || len(root.Dependencies) != 2 || root.Dependencies[0].Optional || !root.Dependencies[1].Optional {
		t.Errorf("got %+v, %v", root, err)
	}
}

func TestPriorities(t *testing.T) {
	for p, want := range map[client.Priority]string{client.Urgent: "0 urgent", client.High: "1 high", client.Normal: "2 normal", client.Low: "3 low"} {
		data, err := json.Marshal(p)
		if got := string(data) + " " + p.String(); err != nil || got != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
		var back client.Priority
		if err := json.Unmarshal(data, &back); err != nil || back != p {
			t.Errorf("%s is read as %v, %v", data, back, err)
		}
	}
	var p client.Priority
	if err := json.Unmarshal([]byte("4"), &p); err == nil {
		t.Error("4 is read as a priority")
	}
}

// All of a document's fields arrive, many tasks in several messages.
func TestSubmitJSON(t *testing.T) {
	c, _ := start(t)
	var b strings.Builder
	b.WriteString(`{"tasks":[{"id":"t0","name":"root"}`)
	const n = 3000
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, `,{"id":"t%d","name":"n","parent_id":"t0","dependencies":[{"id":"t%d","required":false}],"inputs":{"x":"%s"}}`, i, i-1, strings.Repeat("y", 1000))
	}
	b.WriteString("]}")
	sub, err := c.SubmitJSON(t.Context(), strings.NewReader(b.String()), client.Hold())
	if err != nil || sub.Tasks != n {
		t.Fatalf("got %+v, %v", sub, err)
	}
	i := 0
	for task, err := range c.Tasks(t.Context(), client.TaskFilter{TreeOf: "t0", PageSize: 700}) {
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("t%d", i); task.ID != want || i > 0 && !task.Dependencies[0].Optional {
			t.Fatalf("got %+v, want %s", task, want)
		}
		i++
	}
	if i != n {
		t.Errorf("got %d tasks, want %d", i, n)
	}
}

func TestSubmitFaultsNameTheirFields(t *testing.T) {
	c, _ := start(t)
	for name, submit := range map[string]func() error{
		"by the server": func() error {
			_, err := c.Submit(t.Context(), []client.NewTask{{Name: "a", Inputs: []int{1}}})
			return err
		},
		"by the reader": func() error {
			_, err := c.SubmitJSON(t.Context(), strings.NewReader(`[{"name":"a","inputs":[1]}]`))
			return err
		},
	} {
		err := submit()
		invalid, ok := errors.AsType[*client.InvalidError](err)
		if !ok || !errors.Is(err, client.ErrInvalid) || len(invalid.Faults) != 1 || invalid.Faults[0].Field != "tasks[0].inputs" {
			t.Errorf("%s: got %v (%+v)", name, err, invalid)
		}
	}
}

// What a caller's own sequence yields comes back, and nothing is stored.
func TestSubmitSeqStopsAtAnError(t *testing.T) {
	c, svc := start(t)
	mine := errors.New("mine")
	var tasks iter.Seq2[*client.NewTask, error] = func(yield func(*client.NewTask, error) bool) {
		_ = yield(&client.NewTask{Name: "a"}, nil) && yield(nil, mine)
	}
	if _, err := c.SubmitSeq(t.Context(), tasks); !errors.Is(err, mine) {
		t.Errorf("got %v, want %v", err, mine)
	}
	if page, _ := svc.Tasks(t.Context(), coordinator.TaskFilter{}); len(page.Items) != 0 {
		t.Error("something was stored")
	}
}

func TestSubmitIsTriedAgainWithAKey(t *testing.T) {
	c, svc := start(t)
	svc.FailNext("Submit", coordinator.ErrUnavailable)
	svc.FailNext("Submit", coordinator.ErrUnavailable)
	tasks := []client.NewTask{{Name: "a"}}
	if _, err := c.Submit(t.Context(), tasks, client.WithIdempotencyKey("k")); err != nil {
		t.Errorf("with a key: got %v", err)
	}
	svc.FailNext("Submit", coordinator.ErrUnavailable)
	if _, err := c.Submit(t.Context(), tasks); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("without: got %v, want ErrUnavailable", err)
	}
}

func TestErrors(t *testing.T) {
	c, svc := start(t)
	if _, err := c.Task(t.Context(), "x"); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	_, err := c.Cancel(t.Context(), "x")
	if call, ok := errors.AsType[*client.Error](err); !ok || call.Op != "cancel x" || call.Err != client.ErrNotFound { //nolint:errorlint // the field
		t.Errorf("got %#v", err)
	}
	if !errors.Is(err, client.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	svc.FailNext("Execute", fmt.Errorf("%w: busy", coordinator.ErrConflict))
	if _, err := c.Execute(t.Context(), "x"); !errors.Is(err, client.ErrConflict) || err.Error() != "execute x: conflict: busy" {
		t.Errorf("got %v, want ErrConflict", err)
	}
	for _, err := range c.Watch(t.Context(), "x", 0) {
		if !errors.Is(err, client.ErrNotFound) {
			t.Errorf("got %v, want ErrNotFound", err)
		}
	}
	gone, cancel := context.WithCancelCause(t.Context())
	mine := errors.New("mine")
	cancel(mine)
	if _, err := c.Task(gone, "x"); !errors.Is(err, mine) {
		t.Errorf("got %v, want the context's cause", err)
	}
}

// The server is replaced by another in the middle: no event is missed, none comes twice.
func TestWatchResumes(t *testing.T) {
	svc := apitest.New()
	addr, stop := run(t, svc, "127.0.0.1:0")
	c := connect(t, addr)
	sub, err := c.Submit(t.Context(), []client.NewTask{{Name: "a"}})
	if err != nil {
		t.Fatal(err)
	}
	svc.Start(sub.TreeID)
	var got []string
	for e, err := range c.Watch(t.Context(), sub.TreeID, 0) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(e.Sequence, " ", e.Type))
		if e.Type == client.EventStart {
			stop()
			svc.Complete(sub.TreeID, `1`)
			run(t, svc, addr)
		}
	}
	if want := []string{"1 progress", "2 task_start", "3 task_completed", "4 final"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	c, _ := start(t)
	sub, err := c.Submit(t.Context(), []client.NewTask{{Name: "a"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range c.Watch(ctx, sub.TreeID, 0) {
		cancel()
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("got %v, want the context's error", last)
	}
}

func TestWait(t *testing.T) {
	c, svc := start(t)
	sub, err := c.Submit(t.Context(), []client.NewTask{{Name: "a"}})
	if err != nil {
		t.Fatal(err)
	}
	go svc.Fail(sub.TreeID, "boom")
	tree, err := c.Wait(t.Context(), sub.TreeID)
	if err != nil || tree.Status != client.StatusFailed || !tree.Ended() {
		t.Errorf("got %+v, %v", tree, err)
	}
	if tree, err = c.Wait(t.Context(), sub.TreeID); err != nil || tree.Status != client.StatusFailed {
		t.Errorf("once more: got %+v, %v", tree, err)
	}
}

func TestResult(t *testing.T) {
	c, svc := start(t)
	type report struct{ Rows int }
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for svc.LastSubmit().UserID != "u" {
			time.Sleep(time.Millisecond)
		}
		svc.Complete("a", `{"rows": 3}`)
	}()
	sub, tree, err := c.SubmitAndWait(t.Context(), []client.NewTask{{ID: "a", Name: "a"}}, client.WithUser("u"))
	<-ended
	if err != nil || tree.Status != client.StatusCompleted || sub.TreeID != tree.ID || sub.ID("a") != "a" {
		t.Fatalf("got %+v, %+v, %v", sub, tree, err)
	}
	if got, err := client.Result[report](t.Context(), c, "a"); err != nil || got.Rows != 3 {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := client.Result[[]string](t.Context(), c, "a"); err == nil || !strings.HasPrefix(err.Error(), "result of a: json: cannot unmarshal") {
		t.Errorf("as another type: got %v", err)
	}
	if _, err := client.Result[any](t.Context(), c, "nope"); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("of no task: got %v", err)
	}
	sub, err = c.Submit(t.Context(), []client.NewTask{{Name: "b"}})
	if err != nil {
		t.Fatal(err)
	}
	svc.Fail(sub.TreeID, "boom")
	_, err = client.Result[any](t.Context(), c, sub.TreeID)
	if failed, ok := errors.AsType[*client.TaskError](err); !ok || failed.Task.Status != client.StatusFailed || !strings.HasSuffix(err.Error(), " is failed: boom") {
		t.Errorf("of a failed task: got %v", err)
	}
}

// TestResultOfASecondRun submits the same ids twice: each run must find its own tasks.
func TestResultOfASecondRun(t *testing.T) {
	c, svc := start(t)
	for _, result := range []string{"1", "2"} {
		sub, err := c.Submit(t.Context(), []client.NewTask{{ID: "r", Name: "r"}, {ID: "a", Name: "a", Parent: "r"}})
		if err != nil {
			t.Fatal(err)
		}
		svc.Complete(sub.ID("a"), result)
		got, err := client.Result[int](t.Context(), c, sub.ID("a"))
		if err != nil || fmt.Sprint(got) != result || sub.ID("r") != sub.TreeID {
			t.Errorf("got %d, %v of %+v, want %s", got, err, sub, result)
		}
	}
}

func TestHeldTreesAreNotWaitedFor(t *testing.T) {
	c, _ := start(t)
	sub, err := c.Submit(t.Context(), []client.NewTask{{ID: "a", Name: "a"}}, client.Hold())
	if err != nil {
		t.Fatal(err)
	}
	if tree, err := c.Wait(t.Context(), sub.TreeID); !errors.Is(err, client.ErrConflict) || tree != nil {
		t.Errorf("wait: got %+v, %v, want a conflict", tree, err)
	}
	sub, tree, err := c.SubmitAndWait(t.Context(), []client.NewTask{{ID: "b", Name: "b"}}, client.Hold())
	if !errors.Is(err, client.ErrInvalid) || sub != nil || tree != nil {
		t.Errorf("submit: got %+v, %+v, %v, want it invalid", sub, tree, err)
	}
	if _, err := c.Tree(t.Context(), "b"); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("what was refused: got %v, want it not stored", err)
	}
}

func TestSteerAndLook(t *testing.T) {
	c, svc := start(t)
	for range 3 {
		if _, err := c.Submit(t.Context(), []client.NewTask{{Name: "a"}}, client.WithUser("u")); err != nil {
			t.Fatal(err)
		}
	}
	var trees []string
	for tree, err := range c.Trees(t.Context(), client.TreeFilter{UserID: "u", Running: true, PageSize: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		trees = append(trees, tree.ID)
	}
	if len(trees) != 3 {
		t.Fatalf("got %d trees, want 3", len(trees))
	}
	if got, err := c.Execute(t.Context(), trees[0]); err != nil || got.Status != "already_running" {
		t.Errorf("execute: got %+v, %v", got, err)
	}
	if got, err := c.Cancel(t.Context(), trees[0], client.WithMessage("enough")); err != nil || !got.Done || got.Message != "enough" {
		t.Errorf("cancel: got %+v, %v", got, err)
	}
	if got, err := c.Cancel(t.Context(), trees[0]); err != nil || got.Done || got.Status != client.StatusCancelled {
		t.Errorf("cancel again: got %+v, %v", got, err)
	}
	if got, err := c.Execute(t.Context(), trees[0], client.Force(), client.RerunDependencies()); err != nil || got.Tasks != 1 {
		t.Errorf("execute by force: got %+v, %v", got, err)
	}
	svc.Complete(trees[1], `{"n":1}`)
	if got, err := c.Attempts(t.Context(), trees[1]); err != nil || len(got) != 1 || got[0].Outcome != "completed" || string(got[0].Result) != `{"n":1}` {
		t.Errorf("attempts: got %+v, %v", got, err)
	}
	svc.Log(trees[1], "hello")
	var lines []string
	for line, err := range c.Logs(t.Context(), trees[1], client.LogFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line.Stream+" "+line.Text)
	}
	if !slices.Equal(lines, []string{"stdout hello"}) {
		t.Errorf("logs: got %q", lines)
	}
	if got, err := c.Workers(t.Context()); err != nil || len(got) != 1 || got[0].Pools["default"] != 14 || got[0].Running != 17 || got[0].InLine != 3 {
		t.Errorf("workers: got %+v, %v", got, err)
	}
	if got, err := c.Pools(t.Context()); err != nil || len(got) != 1 || got[0].Oldest != time.Second {
		t.Errorf("pools: got %+v, %v", got, err)
	}
}
