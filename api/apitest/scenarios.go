package apitest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

var submissions = map[string]func(*site){
	"a tree is stored as it was submitted": func(s *site) {
		child := s.task("child", "root")
		child.Priority, child.Inputs = dag.Urgent, []byte(`{"n":1}`)
		got := s.submit(coordinator.SubmitOptions{UserID: "ann", Hold: true}, s.task("root", "", "child"), child)
		if got.TreeID != s.id("root") || got.Replayed || len(got.IDMap) != 0 {
			s.Errorf("got %+v", got)
		}
		shown, err := s.svc.Task(s.Context(), s.id("child"))
		shown = must(s, shown, err)
		if shown.Name != "child" || shown.ParentID != got.TreeID || shown.UserID != "ann" || shown.Priority != dag.Urgent ||
			string(shown.Inputs) != `{"n":1}` || shown.State.Status() != dag.StatusPending || shown.CreatedAt.IsZero() || !shown.StartedAt.IsZero() {
			s.Errorf("got %+v", shown)
		}
		shown, err = s.svc.Task(s.Context(), got.TreeID)
		if d := must(s, shown, err).Dependencies; len(d) != 1 || d[0].ID != s.id("child") || !d[0].Required {
			s.Errorf("got dependencies %+v", d)
		}
	},
	"an idempotency key gives the first answer": func(s *site) {
		opts := coordinator.SubmitOptions{IdempotencyKey: s.id("key")}
		tree := func(name string) *dag.Task {
			return &dag.Task{Name: name, Priority: dag.Normal, Executor: HandExecutor}
		}
		first, again := s.submit(opts, tree("a")), s.submit(opts, tree("a"))
		if first.Replayed || !again.Replayed || again.TreeID != first.TreeID {
			s.Errorf("got %+v, then %+v", first, again)
		}
		_, err := s.trySubmit(opts, tree("b"))
		s.wantName(s.wantFault("another tree under the key", err, api.Invalid), "idempotency_key")
	},
	"one tree at a time has a key": func(s *site) {
		keyed := func(name string, back bool) *dag.Task {
			root := s.task(name, "")
			root.Unique = &dag.Unique{Key: s.id("key"), For: time.Hour, Return: back}
			return root
		}
		first := s.submit(coordinator.SubmitOptions{Hold: true}, keyed("first", false))
		if first.Existing {
			s.Errorf("got %+v", first)
		}
		if back := s.submit(coordinator.SubmitOptions{Hold: true}, keyed("second", true)); !back.Existing || back.TreeID != first.TreeID {
			s.Errorf("got %+v, want the tree that is there", back)
		}
		_, err := s.trySubmit(coordinator.SubmitOptions{Hold: true}, keyed("third", false))
		if fault := s.wantFault("another tree with the key", err, api.Conflict); fault != nil && !strings.Contains(fault.Text, first.TreeID) {
			s.Errorf("%q does not name the tree that is there", fault.Text)
		}
	},
	"an idempotency key stands for a tree, however it is spelt": func(s *site) {
		opts := coordinator.SubmitOptions{IdempotencyKey: s.id("key")}
		tree := func(inputs string) *dag.Task {
			return &dag.Task{Name: "a", Priority: dag.Normal, Executor: HandExecutor, Inputs: []byte(inputs)}
		}
		first := s.submit(opts, tree(`{"n":1,"name":"caf\u00e9","large":9007199254740993,"of":{"a":[],"b":null}}`))
		again := s.submit(opts, tree(`{"of":{"b":null,"a":[]},"large":9007199254740993.0,"name":"café","n":1.0}`))
		if !again.Replayed || again.TreeID != first.TreeID {
			s.Errorf("got %+v, then %+v", first, again)
		}
		_, err := s.trySubmit(opts, tree(`{"n":1,"name":"café","large":9007199254740992,"of":{"a":[],"b":null}}`))
		s.wantName(s.wantFault("another large number under the key", err, api.Invalid), "idempotency_key")
	},
	"ids that are taken get new ones": func(s *site) {
		hold := coordinator.SubmitOptions{Hold: true}
		s.submit(hold, s.task("root", ""), s.task("a", "root"))
		got := s.submit(hold, s.task("root", "", "a"), s.task("a", "root"))
		if len(got.IDMap) != 2 || got.TreeID != got.IDMap[s.id("root")] {
			s.Errorf("got %+v", got)
		}
		for _, ref := range []string{s.id("root"), s.id("a")} {
			shown, err := s.svc.Task(s.Context(), got.IDMap[ref])
			if shown = must(s, shown, err); shown.Ref != ref {
				s.Errorf("the task that the submission calls %s shows the ref %q", ref, shown.Ref)
			}
		}
	},
	"a task without an id is known by its name": func(s *site) {
		got := s.submit(coordinator.SubmitOptions{Hold: true}, &dag.Task{Name: "no id", Priority: dag.Normal, Executor: HandExecutor})
		shown, err := s.svc.Task(s.Context(), got.TreeID)
		if shown = must(s, shown, err); shown.Ref != "no id" || shown.ID == "no id" {
			s.Errorf("got the id %q and the ref %q", shown.ID, shown.Ref)
		}
	},
	"a faulty tree is refused by the name of its fault, and leaves nothing": func(s *site) {
		root := func(change func(*dag.Task)) []*dag.Task {
			t := s.task("root", "")
			change(t)
			return []*dag.Task{t}
		}
		for _, tt := range []struct {
			want  string
			tasks []*dag.Task
		}{
			{"name", root(func(t *dag.Task) { t.Name = "" })},
			{"inputs", root(func(t *dag.Task) { t.Inputs = []byte(`[1]`) })},
			{"control characters", root(func(t *dag.Task) { t.ID = s.id("a\nb") })},
			{"at most 255 characters", root(func(t *dag.Task) { t.ID = strings.Repeat("木", 256) })},
			{"Circular dependency", []*dag.Task{s.task("root", "", "a"), s.task("a", "root", "root")}},
			{"Duplicate task id", []*dag.Task{s.task("root", ""), s.task("root", "root")}},
			{"Multiple root tasks", []*dag.Task{s.task("root", ""), s.task("a", "")}},
			{"cannot be empty", nil},
		} {
			_, err := s.trySubmit(coordinator.SubmitOptions{}, tt.tasks...)
			s.wantName(s.wantFault(tt.want, err, api.Invalid), tt.want)
		}
		_, err := s.svc.Task(s.Context(), s.id("root"))
		s.wantFault("a task of a refused tree", err, api.NotFound)
	},
	"a key that has no effect and is nearly one that has is warned of": func(s *site) {
		for _, hold := range []bool{true, false} {
			root, a := s.task(fmt.Sprint("root", hold), ""), s.task(fmt.Sprint("a", hold), fmt.Sprint("root", hold), fmt.Sprint("root", hold))
			root.Custom = json.RawMessage(`{"dependecies":["a"],"project_id":7}`)
			a.Custom = json.RawMessage(`{"time_out":5}`)
			got := s.submit(coordinator.SubmitOptions{Hold: hold}, root, a)
			slices.SortFunc(got.Warnings, func(x, y dag.Warning) int { return strings.Compare(x.Field, y.Field) })
			for i, want := range []dag.Warning{
				{Field: "tasks[0].dependecies", Reason: "dependencies?"}, {Field: "tasks[1].time_out", Reason: "timeout?"},
			} {
				if len(got.Warnings) != 2 || got.Warnings[i].Field != want.Field || !strings.HasSuffix(got.Warnings[i].Reason, "did you mean "+want.Reason) {
					s.Errorf("got %+v, want %+v", got.Warnings, want)
				}
			}
		}
		if got := s.submit(coordinator.SubmitOptions{Hold: true}, s.task("plain", "")); len(got.Warnings) > 0 {
			s.Errorf("a plain tree has %+v", got.Warnings)
		}
	},
	"ids and names have 255 characters, of any letters": func(s *site) {
		t := s.task("root", "")
		t.ID = s.prefix + strings.Repeat("木", 255-len(s.prefix))
		t.Name = strings.Repeat("名", 255)
		s.submit(coordinator.SubmitOptions{Hold: true}, t)
		got, err := s.svc.Task(s.Context(), t.ID)
		if got = must(s, got, err); got.ID != t.ID || got.Name != t.Name {
			s.Errorf("got id %s, name %s", got.ID, got.Name)
		}
	},
	"what nests too deep is refused": func(s *site) {
		inputs := func(depth int) *dag.Task {
			t := s.task("root", "")
			t.Inputs = []byte(strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth))
			return t
		}
		if s.surface.Name != Direct.Name { // whose callers have read what they hand over
			for _, depth := range []int{257, 9000} {
				_, err := s.trySubmit(coordinator.SubmitOptions{}, inputs(depth))
				s.wantName(s.wantFault("too deep", err, api.Invalid), "deeper")
			}
		}
		s.submit(coordinator.SubmitOptions{}, inputs(250))
		result := strings.Repeat("[", 256) + strings.Repeat("]", 256)
		s.backend.Complete(s.id("root"), result)
		got, err := s.svc.Task(s.Context(), s.id("root"))
		if got = must(s, got, err); string(got.Result) != result || len(got.Inputs) != 250*len(`{"a":}`)+1 {
			s.Errorf("got inputs %s, result %s", got.Inputs, got.Result)
		}
	},
	"a key that is too long is refused by its name": func(s *site) {
		_, err := s.trySubmit(coordinator.SubmitOptions{IdempotencyKey: strings.Repeat("k", 256)}, s.task("root", ""))
		s.wantName(s.wantFault("a long key", err, api.Invalid), "idempotency_key")
	},
}

// wantName checks that a fault names the field or the rule.
func (s *site) wantName(f *api.Fault, name string) {
	s.Helper()
	named := strings.Contains(f.Text, name) || strings.HasSuffix(f.Field, name)
	for _, p := range f.Problems {
		named = named || strings.HasSuffix(p.Field, name) || strings.Contains(p.Reason, name)
	}
	if !named {
		s.Errorf("got %+v, which does not name %q", f, name)
	}
}

var steering = map[string]func(*site){
	"each outcome of an execute": func(s *site) {
		s.submit(coordinator.SubmitOptions{Hold: true}, s.task("root", "", "a"), s.task("a", "root"))
		execute := func(opts coordinator.ExecuteOptions, want coordinator.ExecuteOutcome) {
			s.Helper()
			got, err := s.svc.Execute(s.Context(), s.id("root"), opts)
			if got = must(s, got, err); got.Outcome != want || got.TreeID != s.id("root") {
				s.Errorf("got %+v, want outcome %d", got, want)
			}
		}
		end := func() {
			s.backend.Complete(s.id("a"), `{}`)
			s.backend.Complete(s.id("root"), `{"n":1}`)
		}
		execute(coordinator.ExecuteOptions{}, coordinator.Started)
		execute(coordinator.ExecuteOptions{}, coordinator.AlreadyRunning)
		end()
		if got := s.status("root"); got != dag.StatusCompleted {
			s.Errorf("got %s, want completed", got)
		}
		execute(coordinator.ExecuteOptions{}, coordinator.NothingToDo)
		execute(coordinator.ExecuteOptions{Force: true}, coordinator.Started)
		end()
	},
	"what was cancelled runs again only when that is asked for": func(s *site) {
		s.submit(coordinator.SubmitOptions{}, s.task("root", "", "a"), s.task("a", "root"))
		if _, err := s.svc.Cancel(s.Context(), s.id("root"), coordinator.CancelOptions{}); err != nil {
			s.Fatal(err)
		}
		got, err := s.svc.Execute(s.Context(), s.id("root"), coordinator.ExecuteOptions{})
		if got = must(s, got, err); got.TreeID != s.id("root") || got.Outcome != coordinator.WasCancelled || got.Cancelled != s.id("root") || got.Tasks != 0 {
			s.Errorf("got %+v", got)
		}
		if got := s.status("a"); got != dag.StatusCancelled {
			s.Errorf("got %s, want cancelled", got)
		}
		got, err = s.svc.Execute(s.Context(), s.id("root"), coordinator.ExecuteOptions{RerunCancelled: true})
		for begin := time.Now(); err != nil && strings.Contains(err.Error(), "has not stopped yet") && time.Since(begin) < 30*time.Second; {
			time.Sleep(10 * time.Millisecond) // a worker may have had it, and has not stopped yet
			got, err = s.svc.Execute(s.Context(), s.id("root"), coordinator.ExecuteOptions{RerunCancelled: true})
		}
		if got = must(s, got, err); got.Outcome != coordinator.Started || got.Cancelled != "" {
			s.Errorf("got %+v", got)
		}
		s.backend.Complete(s.id("a"), `{}`)
		s.backend.Complete(s.id("root"), `{}`)
		if got := s.status("root"); got != dag.StatusCompleted {
			s.Errorf("got %s, want completed", got)
		}
	},
	"each outcome of a cancel": func(s *site) {
		s.submit(coordinator.SubmitOptions{}, s.task("root", ""), s.task("a", "root"), s.task("b", "root"))
		s.backend.Complete(s.id("a"), `{}`)
		cancel := func(name string, opts coordinator.CancelOptions, want coordinator.Cancellation) {
			s.Helper()
			got, err := s.svc.Cancel(s.Context(), s.id(name), opts)
			if got = must(s, got, err); *got != want {
				s.Errorf("cancel %s: got %+v, want %+v", name, *got, want)
			}
		}
		cancel("a", coordinator.CancelOptions{}, coordinator.Cancellation{Outcome: coordinator.AlreadyEnded, Status: dag.StatusCompleted})
		cancel("b", coordinator.CancelOptions{Reason: "enough"}, coordinator.Cancellation{Outcome: coordinator.Cancelled, Reason: "enough"})
		if got := s.status("root"); got == dag.StatusCancelled {
			s.Error("a child's cancellation cancelled its root")
		}
		cancel("root", coordinator.CancelOptions{}, coordinator.Cancellation{Outcome: coordinator.Cancelled, Reason: "Cancelled by user"})
		cancel("root", coordinator.CancelOptions{}, coordinator.Cancellation{Outcome: coordinator.AlreadyEnded, Status: dag.StatusCancelled})
		if got := s.status("a"); got != dag.StatusCompleted {
			s.Errorf("a task that had completed: got %s", got)
		}
		shown, err := s.svc.Task(s.Context(), s.id("b"))
		if got := must(s, shown, err).Error; got != "enough" {
			s.Errorf("got error %q, want the reason", got)
		}
	},
	"a task is skipped while it has not begun": func(s *site) {
		s.submit(coordinator.SubmitOptions{}, s.task("root", "", "a"), s.task("a", "root", "b"), s.task("b", "root"))
		got, err := s.svc.Skip(s.Context(), s.id("a"))
		if got = must(s, got, err); got.ID != s.id("a") || got.State.Status() != dag.StatusCompleted {
			s.Errorf("got %s %s", got.ID, got.State)
		}
		_, err = s.svc.Skip(s.Context(), s.id("a"))
		s.wantFault("skip a second time", err, api.Conflict)
		s.backend.Complete(s.id("b"), `{}`)
		_, err = s.svc.Skip(s.Context(), s.id("b"))
		s.wantFault("skip what has ended", err, api.Conflict)
		if got := s.status("b"); got != dag.StatusCompleted {
			s.Errorf("what had ended is %s", got)
		}
		s.backend.Complete(s.id("root"), `{}`)
	},
	"what is not there can't be steered": func(s *site) {
		_, err := s.svc.Execute(s.Context(), s.id("nope"), coordinator.ExecuteOptions{})
		s.wantFault("execute", err, api.NotFound)
		_, err = s.svc.Cancel(s.Context(), s.id("nope"), coordinator.CancelOptions{})
		s.wantFault("cancel", err, api.NotFound)
		_, err = s.svc.Skip(s.Context(), s.id("nope"))
		s.wantFault("skip", err, api.NotFound)
	},
}

var reading = map[string]func(*site){
	"a task is shown from its start to its end": func(s *site) {
		id := s.start("root")
		s.backend.Start(id)
		if got := s.status("root"); got != dag.StatusInProgress {
			s.Errorf("got %s, want in_progress", got)
		}
		s.backend.Complete(id, `{"n":1}`)
		got, err := s.svc.Task(s.Context(), id)
		if got = must(s, got, err); got.State != dag.Completed || string(got.Result) != `{"n":1}` || got.Progress != 1 ||
			got.Attempt != 1 || got.CompletedAt.Before(got.StartedAt) || got.StartedAt.IsZero() {
			s.Errorf("got %+v", got)
		}
		tree, err := s.svc.Tree(s.Context(), id)
		if tree = must(s, tree, err); tree.ID != id || tree.Status != dag.StatusCompleted || tree.Progress != 1 {
			s.Errorf("got %+v", tree)
		}
	},
	"a failure is shown with its error": func(s *site) {
		id := s.start("root")
		s.backend.Fail(id, "no luck")
		got, err := s.svc.Task(s.Context(), id)
		if got = must(s, got, err); got.State != dag.Failed || !strings.Contains(got.Error, "no luck") {
			s.Errorf("got %+v", got)
		}
	},
	"attempts are a history": func(s *site) {
		s.has("Attempts")
		id := s.start("root")
		s.backend.Start(id)
		attempts := func() []coordinator.Attempt {
			s.Helper()
			got, err := s.svc.Attempts(s.Context(), id)
			return must(s, got, err)
		}
		if got := attempts(); len(got) != 1 || !got[0].Running || got[0].Number != 1 {
			s.Errorf("while it runs: got %+v", got)
		}
		s.backend.Fail(id, "no luck")
		if got := attempts(); len(got) != 1 || got[0].Running || got[0].Outcome != dag.OutcomeFailed || !got[0].Counted {
			s.Errorf("afterwards: got %+v", got)
		}
	},
	"lists have their order, whatever their pages": func(s *site) {
		low, high := s.task("low", "root"), s.task("high", "root")
		low.Priority, high.Priority = dag.Low, dag.High
		s.submit(coordinator.SubmitOptions{Hold: true}, s.task("root", ""), low, s.task("a", "root"), high, s.task("b", "root"))
		for _, tt := range []struct {
			f    coordinator.TaskFilter
			want string
		}{
			{coordinator.TaskFilter{TreeOf: s.id("a")}, "root low a high b"},
			{coordinator.TaskFilter{ParentID: s.id("root")}, "high a b low"},
			{coordinator.TaskFilter{TreeOf: s.id("root"), Status: dag.StatusPending}, "root low a high b"},
			{coordinator.TaskFilter{TreeOf: s.id("root"), Status: dag.StatusCompleted}, ""},
		} {
			if got := strings.Join(s.all(tt.f), " "); got != tt.want {
				s.Errorf("%+v: got %q, want %q", tt.f, got, tt.want)
			}
		}
	},
	"a list refuses what it can't begin with": func(s *site) {
		_, err := s.svc.Tasks(s.Context(), coordinator.TaskFilter{Limit: 1001})
		s.wantName(s.wantFault("limit", err, api.Invalid), "limit")
		if !s.lacks("cursor") {
			_, err = s.svc.Tasks(s.Context(), coordinator.TaskFilter{Cursor: "x"})
			s.wantName(s.wantFault("cursor", err, api.Invalid), "cursor")
		}
	},
	"trees are listed by user, newest first": func(s *site) {
		s.has("Trees")
		user := s.id("user")
		for _, name := range []string{"a", "b", "c"} {
			s.submit(coordinator.SubmitOptions{UserID: user}, s.task(name, ""))
		}
		s.backend.Complete(s.id("a"), `{}`)
		list := func(f coordinator.TreeFilter) (names []string) {
			s.Helper()
			f.UserID = user
			for {
				page, err := s.svc.Trees(s.Context(), f)
				page = must(s, page, err)
				for _, t := range page.Items {
					names = append(names, strings.TrimPrefix(t.ID, s.prefix))
				}
				if f.Cursor = page.Next; f.Cursor == "" {
					return names
				}
			}
		}
		for want, f := range map[string]coordinator.TreeFilter{
			"[c b a]": {Limit: 2}, "[c b]": {Running: true}, "[a]": {Status: dag.StatusCompleted},
		} {
			if got := fmt.Sprint(list(f)); got != want {
				s.Errorf("%+v: got %s, want %s", f, got, want)
			}
		}
	},
	"running trees are counted by user": func(s *site) {
		s.has("Running")
		user := s.id("user")
		s.submit(coordinator.SubmitOptions{UserID: user}, s.task("a", ""))
		s.submit(coordinator.SubmitOptions{UserID: user, Hold: true}, s.task("b", ""))
		if n, err := s.svc.Running(s.Context(), user); err != nil || n != 1 {
			s.Errorf("got %d, %v, want 1", n, err)
		}
	},
	"why says what a task waits for": func(s *site) {
		s.submit(coordinator.SubmitOptions{Hold: true}, s.task("root", ""))
		got, err := s.svc.Why(s.Context(), s.id("root"))
		got = must(s, got, err)
		if len(got.Waits) != 1 || got.Waits[0].Kind != coordinator.WaitExecute || got.Waits[0].Text == "" || got.TreeID != s.id("root") || got.Summary == "" {
			s.Errorf("held: got %+v", got)
		}
		s.start("done")
		s.backend.Complete(s.id("done"), `{}`)
		if got, err = s.svc.Why(s.Context(), s.id("done")); err != nil || len(got.Waits) != 0 {
			s.Errorf("completed: got %+v, %v", got, err)
		}
	},
	"what is not there can't be read": func(s *site) {
		id := s.id("nope")
		for what, read := range map[string]func() error{
			"Task":     func() error { _, err := s.svc.Task(s.Context(), id); return err },
			"Tree":     func() error { _, err := s.svc.Tree(s.Context(), id); return err },
			"Why":      func() error { _, err := s.svc.Why(s.Context(), id); return err },
			"Resolve":  func() error { _, err := s.svc.Resolve(s.Context(), id, ""); return err },
			"Attempts": func() error { _, err := s.svc.Attempts(s.Context(), id); return err },
			"Tasks":    func() error { _, err := s.svc.Tasks(s.Context(), coordinator.TaskFilter{ParentID: id}); return err },
			"Watch": func() error {
				for _, err := range s.svc.Watch(s.Context(), id, 0) {
					return err
				}
				return nil
			},
			"Logs": func() error {
				for _, err := range s.svc.Logs(s.Context(), coordinator.LogFilter{TaskID: id}) {
					return err
				}
				return nil
			},
			"Verify": func() error {
				for _, err := range s.svc.Verify(s.Context(), id) {
					return err
				}
				return nil
			},
		} {
			if !s.lacks(what) {
				s.wantFault(what, read(), api.NotFound)
			}
		}
	},
	"a healthy tree breaks no rule": func(s *site) {
		s.has("Verify")
		id := s.start("root")
		for v, err := range s.svc.Verify(s.Context(), id) {
			s.Errorf("got %+v, %v", v, err)
		}
	},
}

var errSecret = errors.New("dial db.internal")
