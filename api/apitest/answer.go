package apitest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// Await lets a task that has started wait for something from outside.
func (s *Service) Await(id string, w coordinator.Waiting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.must(id)
	if w.Since.IsZero() {
		w.Since = time.Now()
	}
	t.State, t.Waiting = dag.Awaiting, &w
}

// sentSignal is a signal that is kept, or was taken.
type sentSignal struct{ name, key string }

// Signal ends the wait of a task, or is kept.
func (s *Service) Signal(_ context.Context, id string, sent coordinator.Signal) (*coordinator.Signalled, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Signal"); err != nil {
		return nil, err
	}
	t, ok := s.tasks[id]
	switch {
	case !ok:
		return nil, fmt.Errorf("signal %s: %w", id, coordinator.ErrNotFound)
	case sent.Name == "":
		return nil, &coordinator.InvalidArgumentError{Field: "name", Reason: "the signal has no name"}
	case len(sent.Payload) > dag.MaxSignalBytes:
		return nil, &coordinator.InvalidArgumentError{Field: "payload", Reason: fmt.Sprintf("has %d bytes, the most is %d", len(sent.Payload), dag.MaxSignalBytes)}
	case len(sent.Payload) > 0 && !json.Valid(sent.Payload):
		return nil, &coordinator.InvalidArgumentError{Field: "payload", Reason: "is not valid JSON"}
	}
	answer := func(status coordinator.SignalStatus) (*coordinator.Signalled, error) {
		shown := t.Task
		return &coordinator.Signalled{Status: status, Task: &shown}, nil
	}
	waits := t.Waiting != nil && t.Waiting.Kind == "signal" && t.Waiting.Name == sent.Name
	before := slices.ContainsFunc(t.signals, func(b sentSignal) bool { return b.name == sent.Name })
	if sent.IdempotencyKey != "" && slices.Contains(t.signals, sentSignal{sent.Name, sent.IdempotencyKey}) {
		if t.State.Settled() {
			return answer(coordinator.SignalTaken)
		}
		return answer(coordinator.SignalKept)
	}
	switch {
	case t.State.Settled():
		return nil, &coordinator.AnswerError{TaskID: id, State: t.State}
	case before:
		return answer(coordinator.SignalLate)
	}
	t.signals = append(t.signals, sentSignal{sent.Name, sent.IdempotencyKey})
	if !waits {
		return answer(coordinator.SignalKept)
	}
	t.Waiting = nil
	t.Result = sent.Payload
	s.settle(t, dag.Completed, coordinator.Event{Type: coordinator.EventCompleted, Result: t.Result})
	return answer(coordinator.SignalTaken)
}

// Approve answers an approval.
func (s *Service) Approve(_ context.Context, id string, a coordinator.Approval) (*coordinator.Task, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Approve"); err != nil {
		return nil, err
	}
	t, err := s.asked(id)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(choicesOf(t), a.Choice) {
		return nil, &coordinator.InvalidArgumentError{Field: "choice", Reason: fmt.Sprintf("%q is none of the choices: approve, reject", a.Choice)}
	}
	t.Waiting = nil
	if a.Choice == dag.ChoiceReject {
		t.Error = "rejected by " + coordinator.AnonymousName + ": " + a.Comment
		s.settle(t, dag.Failed, coordinator.Event{Type: coordinator.EventFailed, Error: t.Error})
	} else {
		t.Result, _ = json.Marshal(map[string]any{"choice": a.Choice, "by": coordinator.AnonymousName, "at": time.Now().UTC(), "comment": a.Comment})
		s.settle(t, dag.Completed, coordinator.Event{Type: coordinator.EventCompleted, Result: t.Result})
	}
	shown := t.Task
	return &shown, nil
}

// asked is a task that waits for an approval.
func (s *Service) asked(id string) (*task, error) {
	t, ok := s.tasks[id]
	switch {
	case !ok:
		return nil, fmt.Errorf("approve %s: %w", id, coordinator.ErrNotFound)
	case t.Waiting == nil || t.Waiting.Kind != "approval":
		return nil, &coordinator.AnswerError{TaskID: id, State: t.State}
	}
	return t, nil
}

func choicesOf(t *task) []string {
	var data struct{ Choices []string }
	if json.Unmarshal(t.Waiting.Data, &data) == nil && len(data.Choices) > 0 {
		return data.Choices
	}
	return []string{dag.ChoiceApprove, dag.ChoiceReject}
}

// ApprovalLink makes links whose tokens are the ids of their tasks.
func (s *Service) ApprovalLink(_ context.Context, id string, o coordinator.LinkOptions) (*coordinator.ApprovalLink, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.asked(id); err != nil {
		return nil, err
	}
	if o.Name == "" {
		return nil, &coordinator.InvalidArgumentError{Field: "name", Reason: "must be a text of 1 to 100 characters: who the link is for"}
	}
	return &coordinator.ApprovalLink{Token: "link-" + id, Path: coordinator.LinkPath + "link-" + id, Expires: time.Now().Add(coordinator.LinkTime)}, nil
}

// LinkedApproval shows what a link asks.
func (s *Service) LinkedApproval(_ context.Context, token string) (*coordinator.LinkedApproval, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(token) < 5 || token[:5] != "link-" {
		return nil, coordinator.ErrNotFound
	}
	t, err := s.asked(token[5:])
	if err != nil {
		return nil, err
	}
	var data struct{ Message string }
	_ = json.Unmarshal(t.Waiting.Data, &data)
	return &coordinator.LinkedApproval{TaskID: t.ID, Name: t.Name, Message: data.Message, Choices: choicesOf(t), For: "somebody", Since: t.Waiting.Since, Until: t.Waiting.Until,
		Expires: time.Now().Add(coordinator.LinkTime)}, nil
}

// ApproveByLink answers what a link asks.
func (s *Service) ApproveByLink(ctx context.Context, token string, a coordinator.Approval) (*coordinator.LinkedApproval, error) {
	out, err := s.LinkedApproval(ctx, token)
	if err != nil {
		return nil, err
	}
	if _, err := s.Approve(ctx, out.TaskID, a); err != nil {
		return nil, err
	}
	out.Choice = a.Choice
	return out, nil
}

// ApproversOf are who may answer an approval.
func (s *Service) ApproversOf(_ context.Context, _, id string) ([]string, int32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tasks[id]
	if !ok {
		return nil, 0, coordinator.ErrNotFound
	}
	if t.Waiting == nil {
		return nil, 0, nil
	}
	var data struct{ Approvers []string }
	_ = json.Unmarshal(t.Waiting.Data, &data)
	return data.Approvers, int32(t.Attempt), nil
}

// answering are the scenarios of [coordinator.Answerer].
var answering = map[string]func(*site){
	"a signal is taken, kept or late, and a repetition gets the first answer": func(s *site) {
		waits := s.waiter("Signal")
		waits(s.start("a"), coordinator.Waiting{Kind: "signal", Name: "go"})
		s.start("b")
		for _, tt := range []struct {
			task, name, payload, key string
			want                     coordinator.SignalStatus
			state                    dag.State
		}{
			{"a", "other", `{"n":1}`, "", coordinator.SignalKept, dag.Awaiting},
			{"a", "other", `{"n":2}`, "", coordinator.SignalLate, dag.Awaiting},
			{"b", "go", "", "k", coordinator.SignalKept, dag.Ready},
			{"b", "go", "", "k", coordinator.SignalKept, dag.Ready},
			{"b", "go", "", "", coordinator.SignalLate, dag.Ready},
			{"a", "go", `{"n":3}`, "", coordinator.SignalTaken, dag.Completed},
		} {
			got, err := s.svc.Signal(s.Context(), s.id(tt.task), coordinator.Signal{Name: tt.name, Payload: json.RawMessage(tt.payload), IdempotencyKey: tt.key})
			if got = must(s, got, err); got.Status != tt.want || got.Task.ID != s.id(tt.task) || got.Task.State != tt.state {
				s.Errorf("%+v: got %s, a task that is %s", tt, got.Status, got.Task.State)
			}
		}
		shown, err := s.svc.Task(s.Context(), s.id("a"))
		if shown = must(s, shown, err); string(shown.Result) != `{"n":3}` {
			s.Errorf("the result is %s", shown.Result)
		}
	},
	"signals are refused to the wrong task, too late and too large": func(s *site) {
		waits := s.waiter("Signal")
		waits(s.start("a"), coordinator.Waiting{Kind: "signal", Name: "go"})
		s.start("ended")
		s.backend.Complete(s.id("ended"), `{}`)
		for what, tt := range map[string]struct {
			id     string
			signal coordinator.Signal
			want   api.Kind
		}{
			"a task that is not there":    {s.id("nope"), coordinator.Signal{Name: "go"}, api.NotFound},
			"no name":                     {s.id("a"), coordinator.Signal{}, api.Invalid},
			"a payload that is too large": {s.id("a"), coordinator.Signal{Name: "go", Payload: json.RawMessage(`"` + strings.Repeat("x", dag.MaxSignalBytes) + `"`)}, api.Invalid},
			"a task that has ended":       {s.id("ended"), coordinator.Signal{Name: "go"}, api.Conflict},
		} {
			_, err := s.svc.Signal(s.Context(), tt.id, tt.signal)
			s.wantFault(what, err, tt.want)
		}
		if shown, err := s.svc.Task(s.Context(), s.id("a")); must(s, shown, err).State.Status() != dag.StatusInProgress {
			s.Errorf("it is %s", shown.State)
		}
	},
	"an approval is shown, and answered once": func(s *site) {
		waits := s.waiter("Approve")
		data := json.RawMessage(`{"message":"Deploy?","choices":["approve","reject"],"approvers":["ann"]}`)
		until := time.Date(2040, 1, 2, 3, 4, 5, 0, time.UTC)
		for _, name := range []string{"a", "b"} {
			waits(s.start(name), coordinator.Waiting{Kind: "approval", Data: data, Until: until})
		}
		shown, err := s.svc.Task(s.Context(), s.id("a"))
		if w := must(s, shown, err).Waiting; w == nil || w.Kind != "approval" || string(w.Data) != string(data) || w.Since.IsZero() || !w.Until.Equal(until) {
			s.Errorf("got %+v", w)
		}
		for what, tt := range map[string]struct {
			id, choice string
			want       api.Kind
		}{
			"a task that is not there": {s.id("nope"), "approve", api.NotFound}, "another choice": {s.id("a"), "maybe", api.Invalid}, "no choice": {s.id("a"), "", api.Invalid},
		} {
			_, err := s.svc.Approve(s.Context(), tt.id, coordinator.Approval{Choice: tt.choice})
			s.wantFault(what, err, tt.want)
		}
		got, err := s.svc.Approve(s.Context(), s.id("a"), coordinator.Approval{Choice: "approve", Comment: "fine"})
		if got = must(s, got, err); got.ID != s.id("a") || got.State != dag.Completed {
			s.Errorf("got %+v", got)
		}
		if got, err = s.svc.Approve(s.Context(), s.id("b"), coordinator.Approval{Choice: "reject", Comment: "not today"}); must(s, got, err).State != dag.Failed {
			s.Errorf("got %+v", got)
		}
		shown, err = s.svc.Task(s.Context(), s.id("b"))
		if shown = must(s, shown, err); shown.Error != "rejected by anonymous: not today" {
			s.Errorf("the error is %s", shown.Error)
		}
		_, err = s.svc.Approve(s.Context(), s.id("a"), coordinator.Approval{Choice: "reject"})
		s.wantFault("a second answer", err, api.Conflict)
	},
	"a link answers once": func(s *site) {
		s.has("ApprovalLink", "ApproveByLink")
		waits := s.waiter("Approve")
		waits(s.start("a"), coordinator.Waiting{Kind: "approval"})
		link, err := s.svc.ApprovalLink(s.Context(), s.id("a"), coordinator.LinkOptions{Name: "ops"})
		if link = must(s, link, err); link.Token == "" || link.Path != coordinator.LinkPath+link.Token || time.Until(link.Expires) < time.Hour {
			s.Errorf("got %+v", link)
		}
		_, err = s.svc.ApproveByLink(s.Context(), "forged", coordinator.Approval{Choice: "approve"})
		s.wantFault("a forged link", err, api.NotFound)
		answered, err := s.svc.ApproveByLink(s.Context(), link.Token, coordinator.Approval{Choice: "approve"})
		if answered = must(s, answered, err); answered.TaskID != s.id("a") {
			s.Errorf("got %+v", answered)
		}
		_, err = s.svc.ApproveByLink(s.Context(), link.Token, coordinator.Approval{Choice: "approve"})
		s.wantFault("a link that was used", err, api.Conflict)
		_, err = s.svc.ApprovalLink(s.Context(), s.id("a"), coordinator.LinkOptions{Name: "ops"})
		s.wantFault("a link to what has ended", err, api.Conflict)
		_, err = s.svc.ApprovalLink(s.Context(), s.id("nope"), coordinator.LinkOptions{Name: "ops"})
		s.wantFault("a link to what is not there", err, api.NotFound)
	},
	"approvals are listed alone, page by page": func(s *site) {
		s.has("Tasks")
		waits := s.waiter("Approve")
		user := s.id("user")
		for _, name := range []string{"a", "b", "c", "d"} {
			s.submit(coordinator.SubmitOptions{UserID: user}, s.task(name, ""))
		}
		for _, name := range []string{"a", "b", "c"} {
			waits(s.id(name), coordinator.Waiting{Kind: "approval"})
		}
		waits(s.id("d"), coordinator.Waiting{Kind: "signal", Name: "go"})
		if got := strings.Join(s.all(coordinator.TaskFilter{Approvals: true, UserID: user}), " "); got != "c b a" {
			s.Errorf("got %s", got)
		}
	},
}

// waiter lets tasks wait for something from outside; the scenario is skipped if the backend can't, or the surface lacks the method.
func (s *site) waiter(method string) func(id string, w coordinator.Waiting) {
	s.Helper()
	s.has(method)
	backend, ok := s.backend.(interface {
		Await(id string, w coordinator.Waiting)
	})
	if !ok {
		s.Skip("the backend lets no task wait")
	}
	return func(id string, w coordinator.Waiting) {
		s.backend.Start(id)
		backend.Await(id, w)
	}
}
