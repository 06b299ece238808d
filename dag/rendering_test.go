package dag

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag/template"
)

func TestRendering(t *testing.T) {
	r := &Rendering{TaskID: "t1", Name: "clean", TreeID: "tree1", UserID: "ann", Attempt: 2}
	sent := []byte(`{"deps":{"fetch":{"result":{"n":12345678901234567890,"who":{"secret":"x"}}}}}`)
	inputs := []byte(`{"n":"{{deps.fetch.result.n}}","late":"{{deps.fetch.result.n}}","who":"{{deps.fetch.result.who}}","me":"{{task.name}} {{task.attempt}} of {{tree.id}} for {{task.user_id}}"}`)
	out, data, err := r.Inputs(inputs, []string{"n", "who", "me"}, sent, 0)
	want := `{"n":12345678901234567890,"late":"{{deps.fetch.result.n}}","who":{"secret":"x"},"me":"clean 2 of tree1 for ann"}`
	if err != nil || string(out) != want || !slices.Equal(data, []string{"who"}) {
		t.Errorf("got %s, data %v, %v; want %s", out, data, err, want)
	}
	outputs, err := r.Outputs([]byte(`{"sum":"{{result.sum}}","n":"{{inputs.n}}"}`), []byte(`{"n":1}`), nil, []byte(`{"sum":7}`), 0)
	if err != nil || string(outputs) != `{"n":1,"sum":7}` {
		t.Errorf("got %s, %v", outputs, err)
	}
	for at, render := range map[string]func() error{
		"inputs.a[0]": func() error {
			_, _, err := r.Inputs([]byte(`{"a":["{{deps.b.result}}"]}`), []string{"a"}, nil, 0)
			return err
		},
		"outputs.a": func() error {
			_, err := r.Outputs([]byte(`{"a":"{{result.b}}"}`), []byte("{}"), nil, nil, 0)
			return err
		},
	} {
		if fault, ok := errors.AsType[*template.Error](render()); !ok || fault.At != at || fault.Kind != template.MissingKey {
			t.Errorf("%s: got %v", at, fault)
		}
	}
}

func TestLoop(t *testing.T) {
	for _, tt := range []struct {
		before, most int
		holds, again bool
		end          string
	}{{0, 3, false, true, ""}, {0, 3, true, false, `{"n":1}`}, {2, 3, false, false, `{"n":1,"repeat_exhausted":true}`}, {2, 3, true, false, `{"n":1}`}} {
		if again, end := Loop(tt.before, tt.most, tt.holds, []byte(`{"n":1}`)); again != tt.again || string(end) != tt.end {
			t.Errorf("%+v: got %v %s", tt, again, end)
		}
	}
	if got := Unseen(false, false, false); got != "" {
		t.Errorf("got %s", got)
	}
	if got := Unseen(false, true, true); got != "a task with outputs can't wait, or find tasks: only what it returns is looked at" {
		t.Errorf("got %s", got)
	}
}

// TestEndsOfSubtrees has each way in which a tree ends, and what becomes of the task that waits for it.
func TestEndsOfSubtrees(t *testing.T) {
	for _, tt := range []struct {
		fact string
		end  SubtreeEnd
		want State
		text string // result, or error
	}{
		{"it completed", SubtreeEnd{Status: StatusCompleted, Root: Completed, Result: []byte("7")}, Completed, "7"},
		{"its root was skipped", SubtreeEnd{Status: StatusCompleted, Root: Skipped, Result: []byte("{}")}, Completed, "{}"},
		{"its root's failure is allowed", SubtreeEnd{Status: StatusCompleted, Root: Failed, Result: []byte("{}")}, Completed, ""},
		{"its root failed", SubtreeEnd{Status: StatusFailed, Root: Failed, Failure: "no luck"}, Failed, "r: no luck"},
		{"another task failed", SubtreeEnd{Status: StatusFailed, Root: Completed, Failure: FailedTask("a", "1", "no luck")}, Failed, "r: task 'a' (1) failed: no luck"},
		{"nobody knows what failed", SubtreeEnd{Status: StatusFailed, Root: Completed}, Failed, "r: the tree failed"},
		{"it was cancelled", SubtreeEnd{Status: StatusCancelled, Root: Cancelled, Failure: "by ann"}, Cancelled, "r: by ann"},
		{"a task was cancelled", SubtreeEnd{Status: StatusCancelled, Root: Completed}, Cancelled, "r: a task of the tree was cancelled"},
		{"its result is too large", SubtreeEnd{Kind: KindOutput, Failure: "too large"}, Failed, "r: too large"},
	} {
		d := NewDecision(time.Unix(0, 0), func() float64 { return 0 })
		d.Add(Row{Key: 1, State: Awaiting, Attempt: 2}, false)
		tt.end.Ref = "r"
		if d.SubtreeEnded(1, 1, &tt.end) {
			t.Errorf("%s: an older attempt is told", tt.fact)
		}
		if !d.SubtreeEnded(1, 2, &tt.end) || d.Row(1).State != tt.want || len(d.Ended) != 1 || string(d.Ended[0].Result)+d.Ended[0].Error != tt.text {
			t.Errorf("%s: it is %s, %+v", tt.fact, d.Row(1).State, d.Ended)
		}
	}
}
