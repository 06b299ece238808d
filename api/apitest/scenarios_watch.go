package apitest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

var watching = map[string]func(*site){
	"a watch tells everything once, in order, and ends": func(s *site) {
		s.submit(coordinator.SubmitOptions{Hold: true}, s.task("root", "", "a"), s.task("a", "root"))
		_, err := s.svc.Execute(s.Context(), s.id("root"), coordinator.ExecuteOptions{})
		must(s, 0, err)
		told := make(chan []string, 1)
		go func() { told <- s.watch(s.id("a"), 0) }() // while it runs
		for _, name := range []string{"a", "root"} {
			s.backend.Start(s.id(name))
			s.backend.Complete(s.id(name), `{"n":1}`)
		}
		want := []string{"1 execution root", "2 start a", "3 completed a", "4 start root", "5 completed root", "6 final root"}
		if got := <-told; !slices.Equal(got, want) {
			s.Errorf("live: got %q, want %q", got, want)
		}
		if got := s.watch(s.id("root"), 0); !slices.Equal(got, want) { // afterwards
			s.Errorf("afterwards: got %q, want %q", got, want)
		}
		for after := range want {
			if after == 0 {
				continue
			}
			if got := s.watch(s.id("root"), int64(after)); !slices.Equal(got, want[after:]) {
				s.Errorf("after %d: got %q, want %q", after, got, want[after:])
			}
		}
	},
	"events tell what has happened": func(s *site) {
		id := s.start("root")
		s.backend.Start(id)
		s.backend.Complete(id, `{"n":1}`)
		events := map[coordinator.EventType]*coordinator.Event{}
		for e, err := range s.svc.Watch(s.Context(), id, 0) {
			events[must(s, e, err).Type] = e
		}
		for kind, want := range map[coordinator.EventType]dag.Status{
			coordinator.EventExecution: dag.StatusInProgress, coordinator.EventStart: dag.StatusInProgress,
			coordinator.EventCompleted: dag.StatusCompleted, coordinator.EventFinal: dag.StatusCompleted,
		} {
			e := events[kind]
			if e == nil {
				s.Fatalf("no event of type %s", kind)
			}
			if e.Status != want || e.TreeID != id || e.TaskID != id || e.At.IsZero() {
				s.Errorf("%s: got %+v, want status %s", kind, e, want)
			}
		}
		if got := string(events[coordinator.EventCompleted].Result); got != `{"n":1}` {
			s.Errorf("completed: got result %s", got)
		}
		if got := events[coordinator.EventFinal].Progress; got != 1 {
			s.Errorf("final: got progress %g", got)
		}
	},
	"a watch of a tree that failed or was cancelled ends": func(s *site) {
		failed, cancelled := s.start("failed"), s.start("cancelled")
		s.backend.Fail(failed, "no luck")
		_, err := s.svc.Cancel(s.Context(), cancelled, coordinator.CancelOptions{Reason: "enough"})
		must(s, 0, err)
		for id, want := range map[string]string{failed: "no luck", cancelled: "enough"} {
			var last, before *coordinator.Event
			for e, err := range s.svc.Watch(s.Context(), id, 0) {
				if must(s, e, err).Sequence > 0 {
					last, before = e, last
				}
			}
			if last.Type != coordinator.EventFinal || !strings.Contains(before.Error, want) {
				s.Errorf("%s: got %+v, then %+v", id, before, last)
			}
		}
	},
	"a watch of a held tree waits for its execution": func(s *site) {
		s.submit(coordinator.SubmitOptions{Hold: true}, s.task("root", ""))
		told := make(chan []string, 1)
		go func() { told <- s.watch(s.id("root"), 0) }()
		select {
		case got := <-told:
			s.Fatalf("the watch ended before the execution: %q", got)
		case <-time.After(100 * time.Millisecond):
		}
		_, err := s.svc.Execute(s.Context(), s.id("root"), coordinator.ExecuteOptions{})
		must(s, 0, err)
		s.backend.Start(s.id("root"))
		s.backend.Complete(s.id("root"), `{"n":1}`)
		if got, want := <-told, []string{"1 execution root", "2 start root", "3 completed root", "4 final root"}; !slices.Equal(got, want) {
			s.Errorf("got %q, want %q", got, want)
		}
	},
	"what an attempt tells is told live, in order, and to nobody later": func(s *site) {
		teller, ok := s.backend.(interface {
			Tell(id string, pieces ...coordinator.Piece)
		})
		if !ok {
			s.Skip("the backend tells nothing live")
		}
		id := s.start("root")
		s.backend.Start(id)
		want := []coordinator.Piece{{Kind: "model_call", Name: "gpt"}, {Kind: "token", Agent: "writer", Text: "Hel"}, {Kind: "token", Agent: "writer", Text: "lo ☃\n"},
			{Kind: "tool_call", Agent: "writer", Name: "search", Text: `{"q":"a"}`}, {Kind: "tool_result", Name: "search", Text: "nothing"}, {Kind: "token", Text: "end"}}
		var got []coordinator.Piece
		begun, ended := false, false
		for e, err := range s.svc.Watch(s.Context(), id, 0) {
			must(s, e, err)
			switch {
			case len(e.Pieces) > 0:
				if got = append(got, e.Pieces...); ended || e.Type != coordinator.EventProgress || e.TaskID != id || e.Status != dag.StatusInProgress || e.Sequence != 0 {
					s.Errorf("ended %v, got %+v", ended, e)
				}
				if got[len(got)-1].Text == "end" {
					go s.backend.Complete(id, "1")
				}
			case e.Type == coordinator.EventCompleted:
				ended = true
			}
			if e.Type == coordinator.EventStart && !begun {
				begun = true
				for _, p := range want {
					teller.Tell(id, p)
				}
			}
		}
		if spoken(got) != spoken(want) {
			s.Errorf("got %q, want %q", spoken(got), spoken(want))
		}
		for e, err := range s.svc.Watch(s.Context(), id, 0) {
			if must(s, e, err); len(e.Pieces) > 0 {
				s.Errorf("afterwards: got %+v", e)
			}
		}
	},
	"a watch ends with its context, and with who leaves": func(s *site) {
		id := s.start("root")
		ctx, cancel := context.WithCancel(s.Context())
		defer cancel()
		var last error
		for _, err := range s.svc.Watch(ctx, id, 0) {
			last = err
			cancel()
		}
		if last == nil && ctx.Err() == nil {
			s.Error("the watch ended by itself")
		}
		for range s.svc.Watch(s.Context(), id, 0) {
			break
		}
	},
}

// spoken is what pieces say, however much of a text each of them has.
func spoken(pieces []coordinator.Piece) string {
	var b strings.Builder
	before := coordinator.Piece{}
	for _, p := range pieces {
		if p.Kind != "token" || before.Kind != "token" || before.Agent != p.Agent {
			fmt.Fprintf(&b, "[%s %s %s]", p.Kind, p.Agent, p.Name)
		}
		b.WriteString(p.Text)
		before = p
	}
	return b.String()
}

// operations are calls of the methods that a [Service] can be told to fail.
func (s *site) operations() map[string]func() error {
	id, ctx := s.id("root"), s.Context()
	return map[string]func() error{
		"Submit":  func() error { _, err := s.trySubmit(coordinator.SubmitOptions{}, s.task("new", "")); return err },
		"Execute": func() error { _, err := s.svc.Execute(ctx, id, coordinator.ExecuteOptions{}); return err },
		"Cancel":  func() error { _, err := s.svc.Cancel(ctx, id, coordinator.CancelOptions{}); return err },
		"Task":    func() error { _, err := s.svc.Task(ctx, id); return err },
		"Tasks":   func() error { _, err := s.svc.Tasks(ctx, coordinator.TaskFilter{TreeOf: id}); return err },
		"Tree":    func() error { _, err := s.svc.Tree(ctx, id); return err },
		"Why":     func() error { _, err := s.svc.Why(ctx, id); return err },
	}
}

var faults = map[string]func(*site){
	"each error of the service is told as its kind, and no more than may be shown": func(s *site) {
		failing, ok := s.backend.(interface {
			FailNext(operation string, err error)
		})
		if !ok {
			s.Skip("the backend can't be told to fail")
		}
		s.start("root")
		for what, call := range s.operations() {
			for _, tt := range []struct {
				err  error
				kind api.Kind
			}{
				{fmt.Errorf("%w: %w", coordinator.ErrUnavailable, errSecret), api.Unavailable},
				{&coordinator.StillStoppingError{TreeID: s.id("root")}, api.Conflict},
				{&coordinator.InvalidArgumentError{Field: "limit", Reason: "is odd"}, api.Invalid},
				{errSecret, api.Internal},
			} {
				failing.FailNext(what, tt.err)
				fault := s.wantFault(what, call(), tt.kind)
				if strings.Contains(fault.Text, errSecret.Error()) {
					s.Errorf("%s shows %q", what, fault.Text)
				}
			}
		}
	},
	"a call that the policy refuses reaches nothing": func(s *site) {
		s.start("root")
		s.mu.Lock()
		s.refuse = &api.Fault{Kind: api.Conflict, Text: "not you"}
		s.mu.Unlock()
		for what, call := range s.operations() {
			if fault := s.wantFault(what, call(), api.Conflict); !strings.Contains(fault.Text, "not you") {
				s.Errorf("%s: got %+v", what, fault)
			}
		}
		s.mu.Lock()
		s.refuse = nil
		s.mu.Unlock()
		if got := s.status("root"); got == dag.StatusCancelled {
			s.Error("a refused cancellation was carried out")
		}
		_, err := s.svc.Task(s.Context(), s.id("new"))
		s.wantFault("a task of a refused submission", err, api.NotFound)
	},
}
