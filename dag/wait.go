package dag

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Bounds of what ends waits (control 6).
const (
	MaxSignalBytes = 256 << 10 // of a payload
	MaxSignalName  = 255       // bytes
	MaxSignals     = 100       // of one task, by their names
	MaxComment     = 4 << 10   // bytes, of an approval
	MaxChoices     = 20
	MaxChoiceBytes = 64
	MaxApprovers   = 100
)

// The choices of an approval that names none. The second one rejects, wherever it is one of the choices.
const (
	ChoiceApprove = "approve"
	ChoiceReject  = "reject"
)

// Reasons of skips that waits give (control 13).
const (
	SkipTimeout  = "timeout"
	SkipRejected = "rejected"
)

// ByTimeout is who has made the choice of an approval that on_timeout names.
const ByTimeout = "timeout"

// waits reports whether tasks of the executor may wait for something from outside: older processes know nothing of that. Executors of users may
// wait, too; nobody knows before they do.
func waits(executor string) bool {
	return executor == "wait_executor" || executor == "approval_executor" || executor == SubtreeExecutor
}

// WaitRules are what the data of a wait say that rules and surfaces read.
type WaitRules struct {
	Schema    json.RawMessage `json:"schema,omitempty"`     // of a signal's payload
	OnTimeout json.RawMessage `json:"on_timeout,omitempty"` // "fail", "skip", or an object, which is then the answer
	OnReject  string          `json:"on_reject,omitempty"`  // of an approval: fail or skip
	Message   string          `json:"message,omitempty"`    // of an approval
	Choices   []string        `json:"choices,omitempty"`
	Approvers []string        `json:"approvers,omitempty"` // users and roles
	Result    json.RawMessage `json:"result,omitempty"`    // of a wait for a time: what the task comes to
}

// Rules reads the data of the wait. What can't be read says nothing.
func (a *Await) Rules() (r WaitRules) {
	if len(a.Data) > 0 {
		_ = json.Unmarshal(a.Data, &r)
	}
	if a.Kind == AwaitApproval && len(r.Choices) == 0 {
		r.Choices = []string{ChoiceApprove, ChoiceReject}
	}
	return r
}

// WaitAnswer is what somebody sent to a wait: the payload of a signal, or a choice.
type WaitAnswer struct {
	Choice  string          `json:"choice,omitempty"` // of an approval
	By      string          `json:"by,omitempty"`
	At      time.Time       `json:"at,omitzero"`
	Comment string          `json:"comment,omitempty"`
	Payload json.RawMessage `json:"payload,omitempty"` // of a signal, or what an approval changed
}

// Ends is how the answer ends the wait: the task completes with it, or fails, is skipped, or goes on with a further attempt.
func (w WaitAnswer) Ends(a Await) Answer {
	if a.Resume {
		return Answer{Outcome: OutcomeReturned, Error: "goes on: what it waited for has come"}
	}
	if a.Kind != AwaitApproval {
		return Answer{Outcome: OutcomeCompleted, Result: w.Payload}
	}
	if w.Choice == ChoiceReject {
		if a.Rules().OnReject == "skip" {
			return Answer{Outcome: OutcomeSkipped, Result: SkippedResult(SkipRejected, w.result())}
		}
		return Answer{Outcome: OutcomeFailed, Kind: KindRejected, Error: fmt.Sprintf("rejected by %s: %s", w.By, w.Comment)}
	}
	return Answer{Outcome: OutcomeCompleted, Result: w.result()}
}

// result is the result of an approval.
func (w WaitAnswer) result() []byte {
	text, _ := json.Marshal(struct {
		Choice  string          `json:"choice"`
		By      string          `json:"by"`
		At      time.Time       `json:"at"`
		Comment string          `json:"comment"`
		Payload json.RawMessage `json:"payload,omitempty"`
	}{w.Choice, w.By, w.At.UTC(), w.Comment, w.Payload}) // all of it is JSON
	return text
}

// TimedOut is what becomes of the wait when its time is over, and the answer that on_timeout gives to one that goes on; nil: there is none.
func (a Await) TimedOut(now time.Time) (Answer, *WaitAnswer) {
	rules := a.Rules()
	if a.Kind == AwaitTime {
		answer := WaitAnswer{Payload: rules.Result, At: now}
		return answer.Ends(a), &answer
	}
	switch text := bytes.TrimSpace(rules.OnTimeout); {
	case string(text) == `"skip"`:
		return Answer{Outcome: OutcomeSkipped, Result: SkippedResult(SkipTimeout, nil)}, nil
	case isObject(text) && a.Kind == AwaitSignal:
		answer := WaitAnswer{Payload: text, At: now}
		return answer.Ends(a), &answer
	case isObject(text) && a.Kind == AwaitApproval:
		answer := WaitAnswer{}
		if json.Unmarshal(text, &answer) == nil && slices.Contains(rules.Choices, answer.Choice) {
			answer.By, answer.At = ByTimeout, now
			return answer.Ends(a), &answer
		}
	}
	kind, what := KindSignalTimeout, "nothing came that it waited for"
	switch a.Kind {
	case AwaitSignal:
		what = fmt.Sprintf("no signal %q came in time", a.Name)
	case AwaitApproval:
		what = "nobody has answered in time"
	case AwaitTree:
		kind, what = KindTimeout, "the tree that it waited for has not ended within the task's timeout"
	}
	return Answer{Outcome: OutcomeFailed, Kind: kind, Error: what}, nil
}
