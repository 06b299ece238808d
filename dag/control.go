package dag

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Control is what a task says beyond the protocol (control 3 to 5), beside what its flags tell. It is stored with what the task carries.
type Control struct {
	When      string          `json:"when,omitempty"`      // a condition in CEL; empty: none
	Template  bool            `json:"template,omitempty"`  // strings of the inputs are templates
	Outputs   json.RawMessage `json:"outputs,omitempty"`   // an object of templates; nil: none
	Repeat    *Repeat         `json:"repeat,omitempty"`    // nil: it runs once
	Artifacts []string        `json:"artifacts,omitempty"` // patterns of the files that it makes
	Cache     *Cache          `json:"cache,omitempty"`     // nil: it always runs
	FlowStep  *FlowStep       `json:"flow_step,omitempty"` // nil: it is no step of a flow

	// Of a task that was made for an item: the item and its index, for its templates, and the inputs into which the item was put so that they are data
	// (see [References]). No submission says these.
	Item  json.RawMessage `json:"item,omitempty"`
	Index int             `json:"index,omitempty"`
	Data  []string        `json:"data,omitempty"`
	// Values are what the step of a flow that the task is made for an item of has kept for its templates: a JSON object. No submission says them.
	Values json.RawMessage `json:"values,omitempty"`
}

// withValues adds what was kept for the templates of the task to their scope.
func (c *Control) withValues(scope []byte) []byte {
	if c.Values == nil {
		return scope
	}
	all := map[string]map[string]json.RawMessage{}
	if decodeExact(c.Values, &all) != nil || all == nil {
		return scope
	}
	own := map[string]map[string]json.RawMessage{}
	if len(scope) > 0 && decodeExact(scope, &own) != nil {
		return scope
	}
	for root, values := range own {
		if all[root] == nil {
			all[root] = values
			continue
		}
		maps.Copy(all[root], values)
	}
	out, err := encodeExact(all)
	if err != nil {
		return scope
	}
	return out
}

// AddItem adds the item that the task was made for, and what was kept for it, to the scope of its templates, which is a JSON object or empty.
func (c *Control) AddItem(scope []byte) []byte {
	scope = c.withValues(scope)
	if c.Item == nil {
		return scope
	}
	out := append([]byte(`{"item":`), c.Item...)
	out = strconv.AppendInt(append(out, `,"index":`...), int64(c.Index), 10)
	if inner := bytes.TrimSuffix(bytes.TrimPrefix(scope, []byte("{")), []byte("}")); len(inner) > 0 {
		out = append(append(out, ','), inner...)
	}
	return append(out, '}')
}

// Repeat says how often a task runs (control 5).
type Repeat struct {
	Until string        `json:"until"` // a condition in CEL, of result and attempt
	Max   int           `json:"max,omitempty"`
	Delay time.Duration `json:"delay,omitempty"` // between two runs
}

// Bounds of [Control].
const (
	MaxWhenBytes    = 4 << 10
	MaxRepeats      = 100_000
	MaxArtifacts    = 100 // patterns of one task
	MaxOutputsBytes = 64 << 10
	MaxKinds        = 32 // of retry_on and of no_retry_on
	// MaxArtifactPattern is how many characters a pattern of files may have.
	MaxArtifactPattern = 512
	// MaxExpandedTasks is how many tasks a tree may have that grows (control 5).
	MaxExpandedTasks = 4_000_000
	// MaxNestedExpansions is how many tasks may have found the one below the other, so that one which finds itself comes to an end.
	MaxNestedExpansions = 100
	// DefaultRepeatDelay is between two runs of a task that does not say.
	DefaultRepeatDelay = time.Second
)

// Stored is the text of c that stores keep; nil: it says nothing.
func (c *Control) Stored() []byte {
	if c == nil {
		return nil
	}
	text, err := json.Marshal(c)
	if err != nil || bytes.Equal(text, []byte("{}")) {
		return nil
	}
	return text
}

// ReadControl reads what [Control.Stored] gave; nil for none.
func ReadControl(text []byte) (*Control, error) {
	if isNull(text) {
		return nil, nil
	}
	c := &Control{}
	return c, json.Unmarshal(text, c)
}

// ToWorker reports whether the worker of the task has to know of it.
func (c *Control) ToWorker() bool {
	return c != nil && (c.Template || c.Outputs != nil || c.Repeat != nil || len(c.Artifacts) > 0 || len(c.Data) > 0)
}

// Imported is how a task has ended before it was submitted (control 4).
type Imported struct {
	State    State // settled
	Result   json.RawMessage
	Error    string
	Attempts int32           // that it took; 0: 1
	Outputs  json.RawMessage // of a completed or skipped one: the values that it named; nil: none
}

// controls reports whether the task says anything beyond the protocol.
func (t *Task) controls() bool {
	return t.Control != nil || t.Imported != nil || t.Fold || t.AllowFailure || t.Retry.controls() || waits(t.Executor) ||
		slices.ContainsFunc(t.Dependencies, func(d Dependency) bool { return d.Mode != 0 })
}

// IsZero reports whether the policy says nothing.
func (p RetryPolicy) IsZero() bool {
	return p.MaxAttempts == 0 && p.Backoff == "" && p.InitialDelay == 0 && p.MaxDelay == 0 && !p.controls()
}

// controls reports whether the policy says anything beyond the protocol.
func (p RetryPolicy) controls() bool {
	return p.Multiplier != 0 || p.NoJitter || p.NoDelay || len(p.RetryOn) > 0 || len(p.NoRetryOn) > 0
}

// Bounds reports whether the task is a group with a timeout, for all that is below it.
func (t *Task) Bounds() bool { return t.Executor == "" && t.Timeout > 0 }

// Beyond are the flags of what the task says beyond the protocol; those that its edges give it, the graph knows.
func (t *Task) Beyond() (f Flags) {
	if t.Fold {
		f |= FlagFold
	}
	if t.AllowFailure {
		f |= FlagAllowed
	}
	if t.Imported != nil {
		f |= FlagImported
	}
	if c := t.Control; c != nil {
		if c.When != "" {
			f |= FlagWhen
		}
		if c.ToWorker() {
			f |= FlagMore
		}
		if c.Cache != nil {
			f |= FlagCache
		}
	}
	if t.NoCache {
		f |= FlagFresh
	}
	if !t.Limiting.Empty() {
		f |= FlagLimited
	}
	if t.Limiting.ForParent() {
		f |= FlagKeeps
	}
	return f
}

// AppendBeyond appends a text of all that the task says beyond the protocol, for comparing; nothing if it says nothing. What is written in JSON is
// appended in its canonical form.
func (t *Task) AppendBeyond(b []byte) []byte {
	if text := t.Limiting.withoutDefaults().Stored(); text != nil {
		b = append(append(b, "limiting "...), text...)
	}
	if t.Unique != nil {
		b = append(append(b, "unique "...), t.Unique.String()...)
	}
	if t.Retention != 0 {
		b = fmt.Appendf(b, "retention %d ", t.Retention)
	}
	if t.Due != nil {
		b = append(append(append(b, "due "...), t.Due.String()...), ' ')
	}
	if t.NoCache {
		b = append(b, "no_cache "...)
	}
	if !t.controls() {
		return b
	}
	var modes []EdgeMode
	for _, d := range t.Dependencies {
		modes = append(modes, d.Mode)
	}
	b = fmt.Appendf(b, "%v %v %v %v %q %v %q %v ", t.Fold, t.AllowFailure, modes, t.Retry.Multiplier, t.Retry.RetryOn, t.Retry.NoJitter, t.Retry.NoRetryOn, t.Retry.NoDelay)
	if text := t.Control.Stored(); text != nil {
		b = AppendCanonical(b, text)
	}
	if i := t.Imported; i != nil {
		b = fmt.Appendf(b, " %d %d %q ", i.State, i.Attempts, i.Error)
		if i.Result != nil {
			b = AppendCanonical(b, i.Result)
		}
	}
	return b
}

// Gate reports whether the task is a group with a condition: what depends on it runs, is skipped or is blocked with it (control 2).
func (t *Task) Gate() bool { return t.Executor == "" && t.Control != nil && t.Control.When != "" }

// Kind is a word for why an attempt failed (control 13).
type Kind string

// The kinds that the engine gives. Executors document further ones.
const (
	KindExecutor        Kind = "executor" // of failures that say no other
	KindTimeout         Kind = "timeout"
	KindScheduleToStart Kind = "schedule_to_start"
	KindLost            Kind = "lost"
	KindPanic           Kind = "panic"
	KindOutput          Kind = "output" // what the executor returned can't be stored
	KindSignalTimeout   Kind = "signal_timeout"
	KindInput           Kind = "input"
	KindWhen            Kind = "when_error"
	KindUnknownExecutor Kind = "unknown_executor"
	KindTreeFull        Kind = "tree_full"
	KindChild           Kind = "child"    // a task that it found has failed
	KindRejected        Kind = "rejected" // by who was asked to approve
	KindLockContended   Kind = "lock_contended"
	KindLockTimeout     Kind = "lock_timeout"
	KindTruncated       Kind = "output.truncated"
	kindTemplate             = "template."
)

// MaxKindBytes is how long the word of a kind may be.
const MaxKindBytes = 64

// Valid reports whether the word can be one of a kind: 1 to 64 letters, digits, _, - and dots.
func (k Kind) Valid() bool {
	if k == "" || len(k) > MaxKindBytes {
		return false
	}
	for _, c := range []byte(k) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// Permanent reports whether failures of the kind are never tried again, whatever a policy says.
func (k Kind) Permanent() bool {
	switch k {
	case KindInput, KindWhen, KindUnknownExecutor, KindTreeFull, KindTruncated, KindRejected:
		return true
	}
	return strings.HasPrefix(string(k), kindTemplate)
}

// Retries reports whether the policy has a failure of the kind tried again, as long as it has attempts left.
func (p RetryPolicy) Retries(k Kind) bool {
	if k == "" {
		k = KindExecutor
	}
	return !slices.Contains(p.NoRetryOn, k) && (len(p.RetryOn) == 0 || slices.Contains(p.RetryOn, k))
}

// SkippedResult is the result of a skipped task: what its executor returned, with skipped and reason, which win. Anything but an object is under value.
func SkippedResult(reason string, value json.RawMessage) json.RawMessage {
	m := memberOf(value)
	m.set("skipped", member{[]byte(`"skipped"`), []byte("true")})
	m.set("reason", member{[]byte(`"reason"`), appendQuoted(nil, reason)})
	return m.encode()
}

// ExhaustedResult is the result of a task that has run as often as it may, and whose loop did not end: the last one, with repeat_exhausted. Anything but an
// object is under value.
func ExhaustedResult(value json.RawMessage) json.RawMessage {
	m := memberOf(value)
	m.set("repeat_exhausted", member{[]byte(`"repeat_exhausted"`), []byte("true")})
	return m.encode()
}

// Exhausted reports whether a result is that of a task which has run as often as it may; see [ExhaustedResult].
func Exhausted(result json.RawMessage) bool {
	var r struct {
		Exhausted bool `json:"repeat_exhausted"`
	}
	return bytes.Contains(result, []byte(`"repeat_exhausted"`)) && json.Unmarshal(result, &r) == nil && r.Exhausted
}

// memberOf is an object, or one with what is none under value.
func memberOf(value json.RawMessage) *merged {
	if isObject(value) {
		m, _ := newMerged(value)
		return m
	}
	m, _ := newMerged(nil)
	if !isNull(value) {
		m.set("value", member{[]byte(`"value"`), bytes.TrimSpace(value)})
	}
	return m
}

// SkipReason is the reason in the result of a skipped task.
func SkipReason(result json.RawMessage) string {
	var r struct{ Reason string }
	if json.Unmarshal(result, &r) != nil {
		return ""
	}
	return r.Reason
}

// Unseen is why a run that waits, or finds tasks, can't be one of a task that says what becomes of its run's result; empty: it can. A run that goes on later
// returns one then. The outputs of a step of a flow that finds tasks are those of what these come to.
func Unseen(repeat, outputs, artifacts bool) string {
	for _, key := range []struct {
		name string
		has  bool
	}{{"repeat", repeat}, {"outputs", outputs}, {"artifacts", artifacts}} {
		if key.has {
			return fmt.Sprintf("a task with %s can't wait, or find tasks: only what it returns is looked at", key.name)
		}
	}
	return ""
}

// Loop is what follows a run of a repeated task that completed: another run, or its end, with the result. before is how many runs came before it, and
// holds, what its condition came to.
func Loop(before, most int, holds bool, result json.RawMessage) (again bool, end json.RawMessage) {
	switch {
	case holds:
		return false, result
	case before+1 >= most:
		return false, ExhaustedResult(result)
	}
	return true, nil
}
