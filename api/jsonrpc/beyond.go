package jsonrpc

import (
	"encoding/json"
	"strconv"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// beyond is what a task object shows beyond the protocol (control 1 to 4): only what is there.
type beyond struct {
	Outcome         string      `json:"outcome,omitempty"` // of a settled one
	SkipReason      string      `json:"skip_reason,omitempty"`
	ErrorKind       dag.Kind    `json:"error_kind,omitempty"`
	When            string      `json:"when,omitempty"`
	Fold            bool        `json:"fold,omitempty"`
	AllowFailure    bool        `json:"allow_failure,omitempty"`
	TreeSkipped     int         `json:"tree_skipped,omitempty"` // of roots, where their trees are told
	FailuresAllowed int         `json:"tree_failures_allowed,omitempty"`
	Retention       string      `json:"retention,omitempty" description:"of roots, where their trees are told: how long the tree is kept once it has ended; absent: as the operator says"`
	Due             *isoTime    `json:"tree_due,omitempty" description:"likewise: by when the tree is to have ended; absent: it is never late"`
	Late            *isoTime    `json:"tree_late,omitempty" description:"likewise: since when the tree was late; absent: it was not"`
	TreeHold        *holdObject `json:"tree_hold,omitempty" description:"likewise: what keeps the tree from being deleted"`
	TreeUnique      *uniqueKey  `json:"tree_unique,omitempty" description:"likewise: the key that the tree has, as no other one"`
	Waiting         *waiting    `json:"waiting,omitempty" description:"what it waits for from outside, while its state is awaiting"`

	Expansion *expansion `json:"expansion,omitempty"` // of a task that waits for what it found
	SubtreeID string     `json:"subtree_id,omitempty" description:"the tree that its attempt has submitted"`

	Repeats   int  `json:"repeats,omitempty" description:"how often it ran and was run once more"`
	Exhausted bool `json:"repeat_exhausted,omitempty" description:"it completed as it had run as often as it may, and its condition did not hold"`

	CachedFrom *dag.CachedFrom `json:"cached_from,omitempty" description:"the task whose success ended it: it has not run"`

	Limits []limit `json:"limits,omitempty" description:"what may be held only so often at once; keys are rendered"`
	Lock   *lock   `json:"lock,omitempty" description:"what it holds alone"`
	Rates  []rate  `json:"rates,omitempty" description:"how many tasks may start in a time"`
}

// uniqueKey is the key that a tree has.
type uniqueKey struct {
	Key   string   `json:"key"`
	Until *isoTime `json:"until,omitempty" description:"absent: until the tree has ended"`
}

// waiting is what a task waits for from outside (control 6).
type waiting struct {
	Kind   string          `json:"kind" description:"signal, approval, time or tree"`
	Name   string          `json:"name,omitempty" description:"of the signal"`
	Since  *isoTime        `json:"since"`
	Until  *isoTime        `json:"until,omitempty" description:"absent: for ever"`
	Data   json.RawMessage `json:"data,omitempty" description:"message, choices and approvers of an approval, schema of a signal"`
	TreeID string          `json:"tree_id,omitempty" description:"whose end it waits for"`
}

func waitingOf(w *coordinator.Waiting) *waiting {
	if w == nil {
		return nil
	}
	return &waiting{Kind: w.Kind, Name: w.Name, Since: timeOf(&w.Since), Until: timeOf(&w.Until), Data: shown(w.Data), TreeID: w.TreeID}
}

// expansion is what a task found.
type expansion struct {
	Tasks      int `json:"tasks" description:"in all"`
	Made       int `json:"made" description:"that exist"`
	Unfinished int `json:"unfinished" description:"that have not ended, those counted that are not made yet"`
	Window     int `json:"window" description:"items in progress at most; 0: all"`
}

func beyondOf(t *coordinator.Task, tree *coordinator.TreeStatus) beyond {
	out := beyond{Outcome: t.State.Outcome(), SkipReason: t.SkipReason, ErrorKind: t.ErrorKind, When: t.When, Fold: t.Fold, AllowFailure: t.AllowFailure,
		Waiting: waitingOf(t.Waiting), SubtreeID: t.SubtreeID, Repeats: t.Repeats, Exhausted: t.Exhausted, CachedFrom: t.CachedFrom}
	out.Limits, out.Lock, out.Rates = limitsOf(t.Limiting)
	if e := t.Expansion; e != nil {
		out.Expansion = &expansion{e.Tasks, e.Made, e.Unfinished, e.Window}
	}
	if tree != nil {
		out.TreeSkipped, out.FailuresAllowed = tree.Skipped, tree.Allowed
		out.Due, out.Late = timeOf(&tree.Due), timeOf(&tree.Late)
		if out.Retention = dag.RetentionText(tree.Retention); tree.Hold != nil {
			shown := holdShown(tree.Hold)
			out.TreeHold = &shown
		}
		if u := tree.Unique; u != nil {
			out.TreeUnique = &uniqueKey{u.Key, timeOf(&u.Until)}
		}
	}
	return out
}

func (o *beyond) append(b []byte) []byte {
	for _, text := range [...]struct{ key, value string }{
		{`,"outcome":`, o.Outcome}, {`,"skip_reason":`, o.SkipReason}, {`,"error_kind":`, string(o.ErrorKind)}, {`,"when":`, o.When}, {`,"retention":`, o.Retention},
	} {
		if text.value != "" {
			b = appendText(append(b, text.key...), text.value)
		}
	}
	if o.Fold {
		b = append(b, `,"fold":true`...)
	}
	if o.AllowFailure {
		b = append(b, `,"allow_failure":true`...)
	}
	if o.Due != nil {
		b = appendJSON(append(b, `,"tree_due":`...), o.Due)
	}
	if o.Late != nil {
		b = appendJSON(append(b, `,"tree_late":`...), o.Late)
	}
	if o.TreeHold != nil {
		b = appendJSON(append(b, `,"tree_hold":`...), o.TreeHold)
	}
	if o.TreeUnique != nil {
		b = appendJSON(append(b, `,"tree_unique":`...), o.TreeUnique)
	}
	if o.TreeSkipped > 0 {
		b = strconv.AppendInt(append(b, `,"tree_skipped":`...), int64(o.TreeSkipped), 10)
	}
	if o.FailuresAllowed > 0 {
		b = strconv.AppendInt(append(b, `,"tree_failures_allowed":`...), int64(o.FailuresAllowed), 10)
	}
	if o.Waiting != nil {
		b = appendJSON(append(b, `,"waiting":`...), o.Waiting)
	}
	if e := o.Expansion; e != nil {
		b = strconv.AppendInt(append(b, `,"expansion":{"tasks":`...), int64(e.Tasks), 10)
		b = strconv.AppendInt(append(b, `,"made":`...), int64(e.Made), 10)
		b = strconv.AppendInt(append(b, `,"unfinished":`...), int64(e.Unfinished), 10)
		b = append(strconv.AppendInt(append(b, `,"window":`...), int64(e.Window), 10), '}')
	}
	if o.SubtreeID != "" {
		b = appendText(append(b, `,"subtree_id":`...), o.SubtreeID)
	}
	if o.Repeats > 0 {
		b = strconv.AppendInt(append(b, `,"repeats":`...), int64(o.Repeats), 10)
	}
	if o.Exhausted {
		b = append(b, `,"repeat_exhausted":true`...)
	}
	if o.CachedFrom != nil {
		b = appendJSON(append(b, `,"cached_from":`...), o.CachedFrom)
	}
	return o.appendLimits(b)
}

// edgeMode is what a dependency says beyond the protocol, as tasks.create takes it.
type edgeMode struct {
	Accept    any    `json:"accept,omitempty"` // a list, or any
	Otherwise string `json:"otherwise,omitempty"`
	Merge     *bool  `json:"merge,omitempty"`
	Skips     bool   `json:"skips,omitempty"`
}

func edgeModeOf(m dag.EdgeMode) (out edgeMode) {
	switch accept := m.Accept(); {
	case accept == nil:
	case accept[0] == dag.AcceptAny:
		out.Accept = dag.AcceptAny
	default:
		out.Accept = accept
	}
	if out.Otherwise, out.Skips = m.Otherwise(), m.Skips(); m.OrderOnly() {
		out.Merge = new(bool)
	}
	return out
}

func (m *edgeMode) append(b []byte) []byte {
	switch accept := m.Accept.(type) {
	case string:
		b = appendText(append(b, `,"accept":`...), accept)
	case []string:
		b = append(b, `,"accept":[`...)
		for i, word := range accept {
			b = appendText(comma(b, i), word)
		}
		b = append(b, ']')
	}
	if m.Otherwise != "" {
		b = appendText(append(b, `,"otherwise":`...), m.Otherwise)
	}
	if m.Merge != nil {
		b = append(b, `,"merge":false`...)
	}
	if m.Skips {
		b = append(b, `,"skips":true`...)
	}
	return b
}
