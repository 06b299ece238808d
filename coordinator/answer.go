package coordinator

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/internal/policy"
	"github.com/taskgrove/taskgrove/internal/rawjson"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// Answerer ends waits of tasks for the outside (control 6).
type Answerer interface {
	// Signal sends a task the signal that it waits for, or will wait for. [ErrNotFound]; *[InvalidArgumentError]: it never waits for that, or the payload
	// is not what it asks for; *[AnswerError]: it has ended.
	Signal(ctx context.Context, taskID string, s Signal) (*Signalled, error)
	// Approve answers the approval that a task waits for. [ErrNotFound]; *[InvalidArgumentError]: that is none of its choices; *[AnswerError]: it does
	// not wait for one, or not any more.
	Approve(ctx context.Context, taskID string, a Approval) (*Task, error)
	// ApprovalLink makes a link by which whoever has it can answer the approval that a task waits for, once. Errors as of Approve.
	ApprovalLink(ctx context.Context, taskID string, o LinkOptions) (*ApprovalLink, error)
	// LinkedApproval shows what the link with the token asks, and changes nothing. [ErrNotFound]: the token is none, or the time of the link is over;
	// *[AnswerError]: the task does not wait for it any more.
	LinkedApproval(ctx context.Context, token string) (*LinkedApproval, error)
	// ApproveByLink answers what the link with the token asks. Errors as of LinkedApproval and Approve.
	ApproveByLink(ctx context.Context, token string, a Approval) (*LinkedApproval, error)
}

// Signal is what is sent to a task.
type Signal struct {
	Name           string          // 1 to [dag.MaxSignalName] bytes
	Payload        json.RawMessage // at most [dag.MaxSignalBytes]; nil: null
	IdempotencyKey string          // a signal with the key of one that was sent before gets the answer of that; at most 255 characters; empty: none

	by string // who sends it
}

// SignalStatus says what became of a signal.
type SignalStatus string

// What becomes of signals.
const (
	SignalTaken SignalStatus = "taken" // the task waited for it
	SignalKept  SignalStatus = "kept"  // it is there once the task waits
	SignalLate  SignalStatus = "late"  // the first of its name counts
)

// Signalled is the answer to a signal.
type Signalled struct {
	Status SignalStatus
	Task   *Task // as it is now
}

func (s *Signalled) made() Details { return detail("status", string(s.Status)) }

// Approval is the answer to an approval.
type Approval struct {
	Choice  string
	Comment string          // at most [dag.MaxComment] bytes
	Payload json.RawMessage // what is changed of what is asked for, where that may be; nil: nothing

	by      string
	attempt int32 // by whose wait it was decided who may answer; 0: any
}

// Waiting is what a task waits for from outside.
type Waiting struct {
	Kind         string // signal, approval, time, tree
	Name         string // of the signal
	Since, Until time.Time
	Data         json.RawMessage // nil: none
	TreeID       string          // whose end it waits for
}

// awaitKinds are the names of the kinds of waits.
var awaitKinds = map[dag.AwaitKind]string{dag.AwaitSignal: "signal", dag.AwaitApproval: "approval", dag.AwaitTime: "time", dag.AwaitTree: "tree"}

// AnswerError says why a task can't be sent something: it has ended, or does not wait for it. It is an [ErrConflict]. Its text is safe to show.
type AnswerError struct {
	TaskID string
	State  dag.State // of the task
	By     string    // who has answered; empty: nobody
	At     time.Time // when
}

// Error names who has answered, and when.
func (e *AnswerError) Error() string {
	switch {
	case e.By != "" || !e.At.IsZero():
		return fmt.Sprintf("conflict: task %s was answered by %s at %s", e.TaskID, cmp.Or(e.By, "nobody in particular"), clock(&e.At))
	case e.State.Settled():
		return fmt.Sprintf("conflict: task %s has ended (%s): it waits for nothing", e.TaskID, e.State)
	}
	return fmt.Sprintf("conflict: task %s does not wait for that now: it is %s", e.TaskID, e.State)
}

// Unwrap makes it an [ErrConflict].
func (e *AnswerError) Unwrap() error { return ErrConflict }

// who is how the answers of a caller are signed.
func (c Caller) who() string { return cmp.Or(c.User, c.Name, AnonymousName) }

func (g *guarded) Signal(ctx context.Context, taskID string, s Signal) (*Signalled, error) {
	s.by = g.caller.who()
	return ask(ctx, g, Call{Method: "Signal", ID: taskID, Details: detail("signal", s.Name)}, func() (*Signalled, error) { return g.next.Signal(ctx, taskID, s) })
}

func (g *guarded) Approve(ctx context.Context, taskID string, a Approval) (*Task, error) {
	a.by = g.caller.who()
	call := Call{Method: "Approve", ID: taskID, Details: detail("choice", a.Choice, "comment", a.Comment, "changed", a.Payload != nil)}
	return askTo(ctx, g, call, func(to Grant) (*Task, error) {
		a.attempt = to.Attempt
		return g.next.Approve(ctx, taskID, a)
	})
}

func (g *guarded) ApprovalLink(ctx context.Context, taskID string, o LinkOptions) (*ApprovalLink, error) {
	call := Call{Method: "ApprovalLink", ID: taskID, Details: detail("name", o.Name)}
	return askTo(ctx, g, call, func(to Grant) (*ApprovalLink, error) {
		o.attempt = to.Attempt
		return g.next.ApprovalLink(ctx, taskID, o)
	})
}

// LinkedApproval needs no permission: the token is one.
func (g *guarded) LinkedApproval(ctx context.Context, token string) (*LinkedApproval, error) {
	return ask(ctx, g, Call{Method: "LinkedApproval"}, func() (*LinkedApproval, error) { return g.next.LinkedApproval(ctx, token) })
}

func (g *guarded) ApproveByLink(ctx context.Context, token string, a Approval) (*LinkedApproval, error) {
	call := Call{Method: "ApproveByLink", Details: detail("choice", a.Choice, "comment", a.Comment)}
	return ask(ctx, g, call, func() (*LinkedApproval, error) { return g.next.ApproveByLink(ctx, token, a) })
}

// answerTries is how often an answer is checked anew because the task moved meanwhile.
const answerTries = 20

// Signal sends a task a signal; see [Answerer].
func (c *Coordinator) Signal(ctx context.Context, taskID string, s Signal) (*Signalled, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	payload, err := storableValue("payload", s.Payload, dag.MaxSignalBytes)
	if err != nil {
		return nil, err
	}
	if payload == nil {
		payload = json.RawMessage("null")
	}
	sent := pg.SentSignal{Kind: dag.AwaitSignal, Name: s.Name, Key: s.IdempotencyKey, Answer: dag.WaitAnswer{By: cmp.Or(s.by, AnonymousName), Payload: payload}}
	out, t, err := c.send(ctx, taskID, sent, func(t *pg.Shown, w *pg.Waiting) error {
		if w != nil {
			return c.conforms(w.Rules().Schema, payload)
		}
		return c.neverSignalled(t, s.Name)
	})
	if err != nil {
		return nil, err
	}
	status := map[pg.SignalStatus]SignalStatus{pg.SignalTaken: SignalTaken, pg.SignalKept: SignalKept, pg.SignalLate: SignalLate}[out.Status]
	switch out.Status {
	case pg.SignalFull:
		return nil, &InvalidArgumentError{Field: "name", Reason: fmt.Sprintf("task %s has %d signals that it has not taken, and no room for more", taskID, dag.MaxSignals)}
	case pg.SignalSettled:
		return nil, answerError(taskID, out)
	}
	return &Signalled{Status: status, Task: t}, nil
}

func (s *Signal) check() error {
	switch {
	case s.Name == "":
		return &InvalidArgumentError{Field: "name", Reason: "the signal has no name"}
	case len(s.Name) > dag.MaxSignalName || !dag.Storable(s.Name):
		return &InvalidArgumentError{Field: "name", Reason: fmt.Sprintf("must be a text of at most %d bytes", dag.MaxSignalName)}
	case len([]rune(s.IdempotencyKey)) > 255 || !dag.Storable(s.IdempotencyKey):
		return &InvalidArgumentError{Field: "idempotency_key", Reason: "must be a text of at most 255 characters"}
	}
	return nil
}

// storableValue is a JSON text from outside as it is kept.
func storableValue(field string, text json.RawMessage, most int) (json.RawMessage, error) {
	if len(text) == 0 {
		return nil, nil
	}
	if len(text) > most {
		return nil, &InvalidArgumentError{Field: field, Reason: fmt.Sprintf("has %d bytes, the most is %d", len(text), most)}
	}
	kept, err := rawjson.LastNames(text)
	if err != nil {
		return nil, &InvalidArgumentError{Field: field, Reason: "is " + err.Error()}
	}
	return kept, nil
}

// conforms checks a payload by the schema of a wait; no schema allows everything.
func (c *Coordinator) conforms(schema, payload json.RawMessage) error {
	if len(schema) == 0 || c.cfg.SchemaFaults == nil {
		return nil
	}
	if faults := c.cfg.SchemaFaults(schema, payload); len(faults) > 0 {
		return &InvalidArgumentError{Field: "payload", Reason: "is not what the task waits for: " + strings.Join(faults, "; ")}
	}
	return nil
}

// neverSignalled is an error if it is certain that the task never waits for a signal of the name. Executors of users may wait for any.
func (c *Coordinator) neverSignalled(t *pg.Shown, name string) error {
	never := func(why string) error {
		return &InvalidArgumentError{Field: "name", Reason: fmt.Sprintf("task %s never waits for the signal %q: %s", t.ID, name, why)}
	}
	switch {
	case t.State.Settled():
		return nil // told otherwise
	case t.Executor == "":
		return never("it has no executor")
	case t.Executor != waitExecutor && c.builtIn(t.Executor):
		return never("its executor is " + t.Executor)
	case t.Executor == waitExecutor && len(t.Dependencies) == 0:
		var in struct{ Signal string }
		if json.Unmarshal(t.Inputs, &in) == nil && in.Signal != "" && in.Signal != name && !strings.Contains(in.Signal, "{{") {
			return never(fmt.Sprintf("it waits for %q", in.Signal))
		}
	}
	return nil
}

// builtIn reports whether an executor is one of ours, of which it is known what it waits for.
func (c *Coordinator) builtIn(executor string) bool {
	return c.cfg.Known.Has(executor) && !slices.Contains(c.cfg.Given, executor)
}

// The executors that wait, as [Answerer] knows them.
const (
	waitExecutor     = "wait_executor"
	approvalExecutor = "approval_executor"
)

// send sends something to a task. check says whether it may be sent to a wait; nil: the task does not wait for it.
func (c *Coordinator) send(ctx context.Context, taskID string, sent pg.SentSignal, check func(*pg.Shown, *pg.Waiting) error) (*pg.SignalResult, *Task, error) {
	if !text(taskID) {
		return nil, nil, ErrNotFound
	}
	for tries := 0; ; tries++ {
		t, err := c.shownTask(ctx, taskID)
		if err != nil {
			return nil, nil, c.internal("send a signal", err)
		}
		w := t.Waiting
		if w != nil && (w.Kind != sent.Kind || w.Kind == dag.AwaitSignal && w.Name != sent.Name) {
			w = nil
		}
		refused := check(t, w)
		sent.Task, sent.Checked = t.Key, 0
		if w != nil {
			sent.Checked = w.Attempt
		}
		if refused != nil && sent.Key == "" {
			return nil, nil, refused
		}
		if refused != nil { // it may be one that was sent before
			sent.Checked = -1
		}
		failpoint.Hit("coordinator.before-signal-commit")
		out, eff, err := c.store.Signal(ctx, sent, c.lanes.room)
		if err != nil {
			return nil, nil, c.internal("send a signal", err)
		}
		if refused != nil && !out.Replay {
			return nil, nil, refused
		}
		if out.Status == pg.SignalMoved && tries < answerTries {
			continue
		}
		if out.Status == pg.SignalMoved {
			return nil, nil, fmt.Errorf("%w: the task does not rest", ErrUnavailable)
		}
		failpoint.Hit("coordinator.after-signal-commit")
		c.after(ctx, eff)
		now, err := c.Task(ctx, taskID)
		if errors.Is(err, ErrNotFound) { // deleted since
			now, err = c.show(t), nil
		}
		return out, now, err
	}
}

func answerError(taskID string, out *pg.SignalResult) *AnswerError {
	e := &AnswerError{TaskID: taskID, State: out.State}
	if out.Before != nil {
		e.By, e.At = out.Before.By, out.Before.At
	}
	return e
}

// Approve answers an approval; see [Answerer].
func (c *Coordinator) Approve(ctx context.Context, taskID string, a Approval) (*Task, error) {
	if len(a.Comment) > dag.MaxComment || !dag.Storable(a.Comment) {
		return nil, &InvalidArgumentError{Field: "comment", Reason: fmt.Sprintf("must be a text of at most %d bytes", dag.MaxComment)}
	}
	if a.Choice == "" || len(a.Choice) > dag.MaxChoiceBytes || !dag.Storable(a.Choice) {
		return nil, &InvalidArgumentError{Field: "choice", Reason: fmt.Sprintf("must be a text of 1 to %d bytes", dag.MaxChoiceBytes)}
	}
	payload, err := storableValue("payload", a.Payload, dag.MaxSignalBytes)
	if err != nil {
		return nil, err
	}
	sent := pg.SentSignal{Kind: dag.AwaitApproval, Answer: dag.WaitAnswer{Choice: a.Choice, By: cmp.Or(a.by, AnonymousName), Comment: a.Comment, Payload: payload}}
	out, t, err := c.send(ctx, taskID, sent, func(t *pg.Shown, w *pg.Waiting) error {
		if w == nil {
			return c.neverApproved(t)
		}
		if a.attempt != 0 && a.attempt != w.Attempt { // others may be asked
			return &AnswerError{TaskID: taskID, State: t.State}
		}
		if rules := w.Rules(); !slices.Contains(rules.Choices, a.Choice) {
			return &InvalidArgumentError{Field: "choice", Reason: fmt.Sprintf("%q is none of the choices: %s", a.Choice, strings.Join(rules.Choices, ", "))}
		}
		if payload != nil && !w.Resume {
			return &InvalidArgumentError{Field: "payload", Reason: "nothing can be changed of what the task asks for"}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if out.Status != pg.SignalTaken {
		return nil, answerError(taskID, out)
	}
	return t, nil
}

// neverApproved is an error if it is certain that the task never waits for an approval.
func (c *Coordinator) neverApproved(t *pg.Shown) error {
	if t.State.Settled() || t.Executor != "" && (asksPeople[t.Executor] || !c.builtIn(t.Executor)) {
		return nil // told otherwise
	}
	return &InvalidArgumentError{Field: "task_id", Reason: fmt.Sprintf("task %s never waits for an approval", t.ID)}
}

// asksPeople are the built-in executors that may wait for an approval.
var asksPeople = map[string]bool{approvalExecutor: true, "crewai_executor": true, "batch_crewai_executor": true, "llm_executor": true}

// showWaiting is what a task waits for as it is shown; nil: for nothing.
func showWaiting(w *pg.Waiting) *Waiting {
	if w == nil {
		return nil
	}
	out := &Waiting{Kind: awaitKinds[w.Kind], Name: w.Name, Since: w.Since, Data: w.Data}
	if w.Kind == dag.AwaitTree { // the tree is shown itself
		out.Data = nil
	}
	if w.Due != nil {
		out.Until = *w.Due
	}
	return out
}

// ApproversOf are who may answer the approval that a task waits for, by its word, and the attempt that waits; nobody and 0: it does not say, or waits for
// none. [ErrNotFound].
func (c *Coordinator) ApproversOf(ctx context.Context, namespace, id string) (approvers []string, attempt int32, err error) {
	if !text(id) {
		return nil, 0, ErrNotFound
	}
	here, err := c.spaces.key(ctx, namespace)
	if err != nil {
		return nil, 0, err
	}
	k, err := c.store.KeyOf(ctx, here, id)
	if err == nil {
		var w *pg.Waiting
		if w, err = c.store.Waiting(ctx, k); err == nil && w != nil && w.Kind == dag.AwaitApproval {
			return w.Rules().Approvers, w.Attempt, nil
		}
	}
	if err != nil {
		return nil, 0, c.internal("look up who may answer", err)
	}
	return nil, 0, nil
}

// takeKept has tasks take signals that were kept for them, as far as these are what the tasks wait for. It reports whether there may be more.
func (c *Coordinator) takeKept(ctx context.Context) (more bool, err error) {
	const most = 200
	kept, err := c.store.KeptSignals(ctx, most)
	if err != nil || len(kept) == 0 {
		return false, err
	}
	for i := range kept {
		if k := &kept[i]; k.Wait != nil && !k.Refused {
			k.Refused = c.conforms(k.Wait.Rules().Schema, k.Answer.Payload) != nil
		}
	}
	failpoint.Hit("coordinator.before-kept-commit")
	eff, err := c.store.TakeSignals(ctx, kept, c.lanes.room)
	if err != nil {
		return false, err
	}
	if eff != nil {
		failpoint.Hit("coordinator.after-kept-commit")
		c.after(ctx, eff)
	}
	return len(kept) == most && eff != nil, nil
}

// mayAnswer decides who may answer an approval, and make links to it: those whom the task names, by their ids or by roles that they hold; if it names
// nobody, whoever may run its tree, or answers approvals.
func (d decision) mayAnswer(ctx context.Context) (Grant, error) {
	namespace := d.call.namespace(d.caller)
	var approvers []string
	var attempt int32
	var err error
	if d.call.known != nil {
		approvers = d.call.known.approvers
	} else {
		approvers, attempt, err = d.owners.ApproversOf(ctx, namespace, d.call.ID)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Grant{}, err
	}
	if len(approvers) > 0 {
		named := slices.Contains(approvers, d.caller.User) || slices.ContainsFunc(d.held, func(h RoleIn) bool {
			return (h.Namespace == namespace || h.Namespace == AllNamespaces) && slices.Contains(approvers, h.Role)
		})
		if !named || !policy.InScopes(d.caller.Scopes, policy.ApprovalsAnswer) {
			return Grant{}, d.denied(false)
		}
		return Grant{Attempt: attempt}, nil
	}
	for _, p := range []Permission{policy.ApprovalsAnswer, policy.TreesExecute} {
		by := d
		by.reach = policy.Reach(d.held, d.caller.Scopes, namespace, p)
		switch allowed, err := by.mayTouch(ctx); {
		case err != nil:
			return Grant{}, err
		case allowed:
			return Grant{Attempt: attempt}, nil
		}
	}
	return Grant{}, d.denied(policy.Reach(d.held, d.caller.Scopes, namespace, policy.TreesExecute).Has(policy.Own))
}

// sentAnswer is how the wait of an earlier attempt has ended, as its worker is told.
func sentAnswer(a *dag.WaitAnswer) *workerv1.Answer {
	if a == nil {
		return nil
	}
	return &workerv1.Answer{Choice: a.Choice, Payload: a.Payload, By: a.By, Comment: a.Comment, UnixUs: a.At.UnixMicro()}
}
