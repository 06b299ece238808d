package apitest

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// Logs yields the lines there are; following makes no difference.
func (s *Service) Logs(_ context.Context, f coordinator.LogFilter) iter.Seq2[*coordinator.LogLine, error] {
	return func(yield func(*coordinator.LogLine, error) bool) {
		lines, err := s.lines(f)
		if err != nil {
			yield(nil, err)
			return
		}
		if f.Tail > 0 {
			lines = lines[max(0, len(lines)-f.Tail):]
		}
		for _, line := range lines {
			if !yield(line, nil) {
				return
			}
		}
	}
}

// lines are those that the filter selects, but for Tail, in the order in which they were written.
func (s *Service) lines(f coordinator.LogFilter) (lines []*coordinator.LogLine, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tasks[f.TaskID]
	switch {
	case !ok:
		return nil, fmt.Errorf("logs of %s: %w", f.TaskID, coordinator.ErrNotFound)
	case f.Attempt < 0 || f.Attempt > 0 && f.Tree || f.Attempt > t.Attempt:
		return nil, &coordinator.InvalidArgumentError{Field: "attempt", Reason: "has not begun"}
	case f.Tail < 0 || f.Tail > coordinator.MaxTail:
		return nil, &coordinator.InvalidArgumentError{Field: "tail", Reason: "is too large"}
	}
	from := []*task{t}
	if f.Tree {
		from = t.tree.tasks
	}
	for _, t := range from {
		for _, l := range t.lines {
			if (f.Attempt == 0 || f.Attempt == l.Attempt) && !l.At.Before(f.Since) {
				lines = append(lines, l)
			}
		}
	}
	slices.SortStableFunc(lines, func(a, b *coordinator.LogLine) int { return a.At.Compare(b.At) })
	return lines, nil
}

// logged is a line as the scenarios compare it.
func logged(l *coordinator.LogLine) string { return fmt.Sprint(l.Name, " ", l.Number, " ", l.Text) }

// loggings are the scenarios of [coordinator.Watcher.Logs].
var loggings = map[string]func(*site){
	"logs are told line by line": func(s *site) {
		writer := s.writer()
		id := s.start("root")
		s.backend.Start(id)
		writer.Log(id, "one")
		writer.Log(id, "two")
		s.backend.Complete(id, `{}`)
		const both = "[root 1 one root 2 two]"
		for _, tt := range []struct {
			f    coordinator.LogFilter
			want string
		}{
			{coordinator.LogFilter{}, both},
			{coordinator.LogFilter{Attempt: 1}, both},
			{coordinator.LogFilter{Tail: 1}, "[root 2 two]"},
			{coordinator.LogFilter{Tail: 5}, both},
		} {
			tt.f.TaskID = id
			if got := s.logs(tt.f); got != tt.want {
				s.Errorf("%+v: got %s, want %s", tt.f, got, tt.want)
			}
		}
	},
	"logs of a tree name the task of each line": func(s *site) {
		writer := s.writer()
		s.submit(coordinator.SubmitOptions{}, s.task("root", "", "b"), s.task("a", "root"), s.task("b", "root", "a"))
		for _, name := range []string{"a", "b"} {
			s.backend.Start(s.id(name))
			writer.Log(s.id(name), "of "+name)
			s.backend.Complete(s.id(name), `{}`)
		}
		if got, want := s.logs(coordinator.LogFilter{TaskID: s.id("b"), Tree: true}), "[a 1 of a b 1 of b]"; got != want {
			s.Errorf("got %s, want %s", got, want)
		}
		all, err := s.lines(coordinator.LogFilter{TaskID: s.id("root"), Tree: true})
		if all = must(s, all, err); all[0].TaskID != s.id("a") {
			s.Errorf("got %+v, want the task's id", all[0])
		}
		if got, want := s.logs(coordinator.LogFilter{TaskID: s.id("root"), Tree: true, Since: all[1].At}), "[b 1 of b]"; got != want {
			s.Errorf("since the second line: got %s, want %s", got, want)
		}
	},
	"logs refuse what is not there": func(s *site) {
		s.has("Logs")
		id := s.start("root")
		for want, f := range map[string]coordinator.LogFilter{"attempt": {Attempt: 2}, "tail": {Tail: coordinator.MaxTail + 1}} {
			f.TaskID = id
			_, err := s.lines(f)
			s.wantName(s.wantFault(want, err, api.Invalid), want)
		}
	},
}

// writer is a backend whose attempts write lines; the scenario is skipped when it has none, or the surface no logs.
func (s *site) writer() interface{ Log(id, text string) } {
	s.Helper()
	s.has("Logs")
	writer, ok := s.backend.(interface{ Log(id, text string) })
	if !ok {
		s.Skip("the backend writes no logs")
	}
	return writer
}

func (s *site) lines(f coordinator.LogFilter) (lines []*coordinator.LogLine, err error) {
	for line, err := range s.svc.Logs(s.Context(), f) {
		if err != nil {
			return lines, err
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// logs are the lines that a filter selects, as text.
func (s *site) logs(f coordinator.LogFilter) string {
	s.Helper()
	lines, err := s.lines(f)
	var out []string
	for _, l := range must(s, lines, err) {
		out = append(out, logged(l))
	}
	return fmt.Sprint(out)
}
