package executors

import (
	"encoding/json"
	"time"
)

// Outcome is the result of an attempt. [Completed], [Partial], [Skip], [Expanding] and [Awaiting] make one; there is no other way, so that more
// kinds can follow. The zero value and nil stand for Completed(nil).
type Outcome struct {
	kind   Kind
	value  any
	reason string
	expand *Expand
	await  *Await
}

// Kind says which constructor made an [Outcome].
type Kind uint8

// The kinds of outcomes. Others may follow: whoever switches over them needs a default.
const (
	KindCompleted Kind = iota
	KindPartial
	KindSkipped
	KindExpanding
	KindAwaiting
)

// Completed is the outcome of work that is done. The value becomes the task's result: it must be encodable as JSON; nil
// is null.
func Completed(value any) *Outcome { return &Outcome{kind: KindCompleted, value: value} }

// Partial is the outcome of work that was stopped midway; it is returned together with the error that says why. The value is kept
// as the task's result when the task was cancelled, and dropped otherwise.
func Partial(value any) *Outcome { return &Outcome{kind: KindPartial, value: value} }

// Skip is the outcome of an attempt that found nothing to do, which is no failure (control 1). The reason is a word of the executor's own, such as
// no_files: 1 to 64 letters, digits, _, - and dots. The value becomes a part of the task's result; nil: there is none.
func Skip(reason string, value any) *Outcome {
	return &Outcome{kind: KindSkipped, value: value, reason: reason}
}

// Expanding is the outcome of an attempt that found tasks: they are added to its tree, and its task ends once they have ended, without holding a
// slot until then (control 5).
func Expanding(e Expand) *Outcome { return &Outcome{kind: KindExpanding, expand: &e} }

// Awaiting is the outcome of an attempt that waits for something from outside, without holding a slot (control 6).
func Awaiting(a Await) *Outcome { return &Outcome{kind: KindAwaiting, await: &a} }

// Expand are tasks that an attempt found: Tasks, or one or several for each of Items.
type Expand struct {
	// Tasks is a JSON array of tasks as tasks.create takes them, with ids of their own or with names: they may depend on one another and on nothing else.
	Tasks json.RawMessage
	// Items is a JSON array; for each, Each is made: a task, or an array of tasks with one root, whose strings may name {{item}} and {{index}}.
	Items, Each json.RawMessage
	// Window is how many items are in progress at most; 0: all.
	Window int
	// StopOnFailure makes no further items once one has failed.
	StopOnFailure bool
	// Collect says what the task's result is: none ({}), list (the results of the direct children, in order), map (by their local ids) or counted (the list as results, with count,
	// succeeded, skipped and failed). Empty: none for Tasks, list for Items.
	Collect string
}

// CollectCounted is the word of [Expand.Collect] for a list with counts.
const CollectCounted = "counted"

// AwaitKind is what an attempt may wait for.
type AwaitKind string

// The kinds of waits.
const (
	AwaitSignal   AwaitKind = "signal"
	AwaitApproval AwaitKind = "approval"
	AwaitTime     AwaitKind = "time"
	AwaitTree     AwaitKind = "tree"
)

// Await is what an attempt waits for.
type Await struct {
	Kind    AwaitKind
	Name    string        // of the signal
	Timeout time.Duration // 0: none
	Until   time.Time     // instead of Timeout, unless zero
	// Resume: the answer makes a further attempt, with it in [Call.Answer], which goes on from its checkpoint. Else it ends the task.
	Resume bool
	// Data is what whoever answers has to know, a JSON object of the kind; at most 64 KiB.
	Data any
}

// Answer is how the wait of an earlier attempt has ended, for one that goes on from there.
type Answer struct {
	Choice  string          // of an approval; empty: it was a signal
	Payload json.RawMessage // of a signal, or what an approval changed; nil: nothing
	By      string          // who gave it; empty: nobody knows
	Comment string
	At      time.Time
}

// Kind says how the outcome was made.
func (o *Outcome) Kind() Kind {
	if o == nil {
		return KindCompleted
	}
	return o.kind
}

// Value is what the constructor was given.
func (o *Outcome) Value() any {
	if o == nil {
		return nil
	}
	return o.value
}

// Reason is what [Skip] was given.
func (o *Outcome) Reason() string {
	if o == nil {
		return ""
	}
	return o.reason
}

// Expand is what [Expanding] was given; nil for other kinds.
func (o *Outcome) Expand() *Expand {
	if o == nil {
		return nil
	}
	return o.expand
}

// Await is what [Awaiting] was given; nil for other kinds.
func (o *Outcome) Await() *Await {
	if o == nil {
		return nil
	}
	return o.await
}
