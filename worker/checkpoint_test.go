package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/worker"
)

// ends is an executor that returns whole outcomes.
type ends func(ctx context.Context, call *executors.Call) (*executors.Outcome, error)

func (ends) Describe() executors.Description {
	return executors.Description{ID: "test", Type: "core", Cancelable: true}
}

func (e ends) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	return e(ctx, call)
}

// storing answers beats like a coordinator that stores the notes of the attempts that it is told; nil: of all.
func storing(only func(*workerv1.Checkpoint) bool) func(*workerv1.Beat) *workerv1.BeatReply {
	return func(b *workerv1.Beat) *workerv1.BeatReply {
		reply := granted(b)
		reply.Ends = true
		for _, c := range b.Checkpoints {
			if only == nil || only(c) {
				reply.Noted = append(reply.Noted, c.Attempt)
			}
		}
		return reply
	}
}

// noted is the next note of the attempt that comes with a beat.
func (h *harness) noted(what string, number uint64) *workerv1.Checkpoint {
	h.t.Helper()
	var got *workerv1.Checkpoint
	h.nextBeat(what, func(b *workerv1.Beat) bool {
		for _, c := range b.Checkpoints {
			if c.Number >= number {
				got = c
			}
		}
		return got != nil
	})
	return got
}

// TestNotesTravelWithBeats: at once, with the attempt's token, the last one only, and not again once they are stored.
func TestNotesTravelWithBeats(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.script(func() { h.onBeat = storing(nil) })
	notes, end := make(chan string), make(chan struct{})
	h.runWorker(does(func(ctx context.Context, call *executors.Call) (any, error) {
		for note := range notes {
			if err := call.Reporter.Checkpoint(json.RawMessage(note)); err != nil {
				return nil, err
			}
		}
		<-end
		return nil, nil
	}), func(c *worker.Config) { c.Beat = time.Hour }) // only notes make beats, after the first one
	h.offer(work(1))
	notes <- `{"n": 1}`
	if got := h.noted("the first note", 1); string(got.Data) != `{"n": 1}` || string(got.Token) != "token of       1" || got.Attempt.Task != 1 {
		t.Errorf("got %v", got)
	}
	for n := 2; n <= 50; n++ { // more than beats may take
		notes <- fmt.Sprintf(`{"n": %d}`, n)
	}
	if got := h.noted("the last note", 50); string(got.Data) != `{"n": 50}` || got.Number != 50 {
		t.Errorf("got %v", got)
	}
	close(notes)
	close(end)
	if r := h.wantResult(1, completed); !r.Noted || r.Checkpoint != nil {
		t.Errorf("the result says noted %v, and brings %v", r.Noted, r.Checkpoint)
	}
	for len(h.beats) > 0 {
		if b := <-h.beats; len(b.Checkpoints) > 0 {
			t.Errorf("a beat brings %v again", b.Checkpoints)
		}
	}
}

// TestNotesThatAreNotStoredComeAgain: with each beat until they are, whatever the reason.
func TestNotesThatAreNotStoredComeAgain(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	var lost, refused int
	h.script(func() {
		h.onBeat = func(b *workerv1.Beat) *workerv1.BeatReply {
			switch {
			case len(b.Checkpoints) > 0 && lost < 2:
				lost++
				return nil // the answer is lost
			case len(b.Checkpoints) > 0 && refused < 2:
				refused++
				return granted(b) // it was not stored, as an older coordinator does
			}
			return storing(nil)(b)
		}
	})
	stored := make(chan error, 1)
	h.runWorker(does(func(ctx context.Context, call *executors.Call) (any, error) {
		_ = call.Reporter.Checkpoint(json.RawMessage(`1`))
		for call.Stored(ctx) != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			time.Sleep(5 * time.Millisecond)
		}
		stored <- nil
		return nil, nil
	}))
	h.offer(work(1))
	next(h, stored, "the note's end")
	h.script(func() {
		if lost != 2 || refused != 2 {
			t.Errorf("%d beats were lost and %d refused", lost, refused)
		}
	})
}

// TestTheLastNoteComesWithTheResult of an attempt that another one may go on from, if no beat has brought it.
func TestTheLastNoteComesWithTheResult(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		outcome dag.Outcome
		brings  bool
		run     ends
		work    func(*workerv1.Work)
	}{
		{outcome: failed, brings: true, run: func(context.Context, *executors.Call) (*executors.Outcome, error) { return nil, errors.New("no luck") }},
		{outcome: failed, brings: true, run: func(context.Context, *executors.Call) (*executors.Outcome, error) { panic("oops") }},
		{outcome: timedOut, brings: true, work: func(w *workerv1.Work) { w.TimeoutMs = 20 }, run: func(ctx context.Context, _ *executors.Call) (*executors.Outcome, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}},
		{outcome: dag.OutcomeAwaiting, brings: true, run: func(context.Context, *executors.Call) (*executors.Outcome, error) {
			return executors.Awaiting(executors.Await{Kind: executors.AwaitApproval, Resume: true}), nil
		}},
		{outcome: completed, run: func(context.Context, *executors.Call) (*executors.Outcome, error) { return executors.Completed(1), nil }},
		{outcome: dag.OutcomeSkipped, run: func(context.Context, *executors.Call) (*executors.Outcome, error) {
			return executors.Skip("none", nil), nil
		}},
	} {
		t.Run(fmt.Sprint(row.outcome), func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.script(func() { h.onBeat = storing(func(*workerv1.Checkpoint) bool { return false }) })
			h.runWorker(ends(func(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
				for _, note := range []string{`{"n":1}`, `{"n":2}`} {
					_ = call.Reporter.Checkpoint(json.RawMessage(note))
				}
				return row.run(ctx, call)
			}))
			change := row.work
			if change == nil {
				change = func(*workerv1.Work) {}
			}
			h.offer(work(1, change))
			r := h.wantResult(1, row.outcome)
			if !r.Noted || (r.Checkpoint != nil) != row.brings {
				t.Fatalf("noted %v, brings %v", r.Noted, r.Checkpoint)
			}
			if row.brings && (string(r.Checkpoint.Data) != `{"n":2}` || r.Checkpoint.Number != 2) {
				t.Errorf("brings %v", r.Checkpoint)
			}
		})
	}
}

// TestAnAttemptGoesOnFromANote, and its result says that there is one to be forgotten.
func TestAnAttemptGoesOnFromANote(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.runWorker(does(func(_ context.Context, call *executors.Call) (any, error) { return call.Checkpoint, nil }))
	h.offer(work(1, func(w *workerv1.Work) { w.Checkpoint = []byte(`{"done":3}`) }))
	if r := h.wantResult(1, completed); string(worker.ValueOf(r)) != `{"done":3}` || !r.Noted {
		t.Errorf("got %s, noted %v", worker.ValueOf(r), r.Noted)
	}
	h.offer(work(2))
	if r := h.wantResult(2, completed); len(worker.ValueOf(r)) != 0 || r.Noted {
		t.Errorf("without one: got %s, noted %v", worker.ValueOf(r), r.Noted)
	}
}

// TestNotesHaveBounds: what is no JSON, too large or too deep is refused with a reason, and the note before stays.
func TestNotesHaveBounds(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.script(func() { h.onBeat = storing(nil) })
	h.runWorker(does(func(ctx context.Context, call *executors.Call) (any, error) {
		faults := map[string]string{}
		if err := call.Reporter.Checkpoint(json.RawMessage(`{"kept":true}`)); err != nil {
			return nil, err
		}
		for name, note := range map[string]string{
			"empty": "", "no json": "{", "large": `"` + strings.Repeat("x", 64<<10) + `"`, "deep": strings.Repeat("[", 600) + strings.Repeat("]", 600), "two": "1 2",
		} {
			if err := call.Reporter.Checkpoint(json.RawMessage(note)); err != nil {
				faults[name] = err.Error()
			}
		}
		if err := call.Reporter.Checkpoint(json.RawMessage(`"` + strings.Repeat("x", 64<<10-2) + `"`)); err != nil {
			return nil, err
		}
		_ = call.Reporter.Checkpoint(json.RawMessage(`{"last":true}`))
		return faults, nil
	}))
	h.offer(work(1))
	r := h.wantResult(1, completed)
	var faults map[string]string
	if err := json.Unmarshal(worker.ValueOf(r), &faults); err != nil || len(faults) != 5 || !strings.Contains(faults["large"], "65538 bytes, the most is 65536") {
		t.Errorf("refused %q", faults)
	}
}

// TestManyNotesTakeSeveralBeats: one beat has room for so much, and nothing is left out.
func TestManyNotesTakeSeveralBeats(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.script(func() { h.onBeat = storing(nil) })
	const n = 20
	big := json.RawMessage(`"` + strings.Repeat("x", 60<<10) + `"`)
	w := h.runWorker(does(func(ctx context.Context, call *executors.Call) (any, error) {
		if err := call.Reporter.Checkpoint(big); err != nil {
			return nil, err
		}
		return nil, call.Stored(ctx)
	}), func(c *worker.Config) { c.Pools[0].Concurrency = n })
	_ = w
	for i := range int64(n) {
		h.offer(work(i + 1))
	}
	for range n {
		if r := next(h, h.results, "a result"); worker.EndOf(r) != completed {
			t.Errorf("task %d: %s", r.Attempt.Task, r.Error)
		}
	}
	for len(h.beats) > 0 {
		size := 0
		for _, c := range (<-h.beats).Checkpoints {
			size += len(c.Data)
		}
		if size > workerv1.MaxCheckpoints {
			t.Errorf("a beat brings %d bytes", size)
		}
	}
}

// TestEndsThatOldCoordinatorsDontKnow: a skip becomes a completion that says so; what can't be said otherwise fails, and may be tried again.
func TestEndsThatOldCoordinatorsDontKnow(t *testing.T) {
	t.Parallel()
	h := newHarness(t) // whose answers don't say that all know them
	outcomes := map[string]*executors.Outcome{
		"task-1": executors.Skip("no_files", map[string]int{"seen": 3}), "task-2": executors.Expanding(executors.Expand{Tasks: json.RawMessage(`[]`)}),
		"task-3": executors.Awaiting(executors.Await{Kind: executors.AwaitTime, Timeout: time.Second}),
	}
	h.runWorker(ends(func(_ context.Context, call *executors.Call) (*executors.Outcome, error) {
		return outcomes[call.TaskID], nil
	}))
	h.offer(work(1))
	if r := h.wantResult(1, completed); !strings.Contains(string(worker.ValueOf(r)), `"skipped":true`) || !strings.Contains(string(worker.ValueOf(r)), `"no_files"`) {
		t.Errorf("a skip is %s", worker.ValueOf(r))
	}
	for _, task := range []int64{2, 3} {
		h.offer(work(task))
		if r := h.wantResult(task, failed); r.GetFailed().Permanent || !strings.Contains(r.Error, "too old") || len(worker.ValueOf(r)) != 0 {
			t.Errorf("task %d: %v", task, r)
		}
	}
}

// TestWhatIsMadeOfAResultNeedsOne: a task whose run ends without a result has no outputs, and says so instead of leaving them out.
func TestWhatIsMadeOfAResultNeedsOne(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.script(func() { h.onBeat = storing(nil) })
	outcomes := map[string]*executors.Outcome{
		"task-1": executors.Awaiting(executors.Await{Kind: executors.AwaitTime, Timeout: time.Second}), "task-2": executors.Expanding(executors.Expand{Tasks: json.RawMessage(`[]`)}),
		"task-3": executors.Awaiting(executors.Await{Kind: executors.AwaitTime, Timeout: time.Second, Resume: true}),
	}
	h.runWorker(ends(func(_ context.Context, call *executors.Call) (*executors.Outcome, error) {
		return outcomes[call.TaskID], nil
	}))
	task := int64(0)
	for _, control := range []*workerv1.Control{{Outputs: []byte(`{"o":"{{result}}"}`)}, {Artifacts: []string{"*.txt"}}} {
		for _, end := range []string{"task-1", "task-2", "task-3"} {
			task++
			w := work(task)
			w.TaskId, w.Control = end, control
			h.offer(w)
			if end == "task-3" { // another attempt goes on, and returns one
				h.wantResult(task, dag.OutcomeAwaiting)
				continue
			}
			if r := h.wantResult(task, failed); r.Kind != string(dag.KindOutput) || !r.GetFailed().Permanent || !strings.Contains(r.Error, "only what it returns") {
				t.Errorf("%s: %v", end, r)
			}
		}
	}
}

// TestBadEndsAreFailuresOfOutput: a worker does not pass on what can't be stored.
func TestBadEndsAreFailuresOfOutput(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.script(func() { h.onBeat = storing(nil) })
	bad := map[string]*executors.Outcome{
		"task-1": executors.Skip("", nil), "task-2": executors.Skip("two words", nil), "task-3": executors.Skip("fine", func() {}),
		"task-4": executors.Completed(make(chan int)), "task-5": executors.Awaiting(executors.Await{Kind: "godot"}),
		"task-6": executors.Awaiting(executors.Await{Kind: executors.AwaitSignal}), "task-7": executors.Awaiting(executors.Await{Kind: executors.AwaitApproval, Data: make(chan int)}),
		"task-8":  executors.Expanding(executors.Expand{Tasks: json.RawMessage(`[`)}),
		"task-9":  executors.Awaiting(executors.Await{Kind: executors.AwaitApproval, Data: strings.Repeat("x", 70<<10)}),
		"task-10": executors.Awaiting(executors.Await{Kind: executors.AwaitTime}),
	}
	h.runWorker(ends(func(_ context.Context, call *executors.Call) (*executors.Outcome, error) {
		return bad[call.TaskID], nil
	}))
	for task := range int64(len(bad)) {
		h.offer(work(task + 1))
		if r := h.wantResult(task+1, failed); r.Kind != string(dag.KindOutput) || !r.GetFailed().Permanent || r.Error == "" {
			t.Errorf("task %d: %v", task+1, r)
		}
	}
}
