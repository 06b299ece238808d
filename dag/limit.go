package dag

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"
)

// LimitKind numbers what a task asks for before it starts. The numbers are stored. A limit, a lock and a rate of the same key are three different things.
type LimitKind int16

// The kinds of limits.
const (
	KindLimit LimitKind = 1 // so much is held under a key at once
	KindLock  LimitKind = 2 // one attempt holds a key, with a token
	KindRate  LimitKind = 3 // so many start in a time
	KindPool  LimitKind = 4 // so many of a pool run in the cluster; operators set it
	KindUser  LimitKind = 5 // so many of a user run in the cluster; operators set it
)

// OnContention says what becomes of a task whose lock is held.
type OnContention int16

const (
	// WaitForLock lets it wait. The default.
	WaitForLock OnContention = iota
	// FailOnContention fails it, with the kind lock_contended.
	FailOnContention
	// SkipOnContention skips it, with the reason locked.
	SkipOnContention
)

// LockHold says for how long a lock is held.
type LockHold int16

const (
	// HoldAttempt holds it for the attempt, and gives it back with its end. The default.
	HoldAttempt LockHold = iota
	// HoldParent holds it on, once the task has succeeded, until the task's parent has ended, however that ends. If the task does not succeed, it goes back at once.
	HoldParent
)

// Bounds of [Limiting].
const (
	MaxLimits        = 8 // of one task
	MaxRates         = 4 // of one task
	MaxLimitKeyBytes = 255
	MaxLimitKeyText  = 1024 // bytes of a key that has templates, as it is submitted
	MaxLimitMax      = 1_000_000
	MaxLockWait      = 366 * 24 * time.Hour
)

// Limiting is what a task asks for before it starts: all of it, or it waits (control 7).
type Limiting struct {
	Limits []Limit `json:"limits,omitempty"`
	Lock   *Lock   `json:"lock,omitempty"`
	Rates  []Rate  `json:"rates,omitempty"`
}

// Limit lets at most Max be held under a key while the task runs.
type Limit struct {
	Key  string `json:"key"`            // as submitted it may be a template over inputs, task and tree; as stored it is rendered
	Max  int32  `json:"max,omitempty"`  // sum of costs; 0: the one that an operator has set
	Cost int32  `json:"cost,omitempty"` // 0: 1
	From string `json:"from,omitempty"` // as stored: the template that Key was rendered from; empty: it is as it was submitted
}

// Lock lets one attempt hold a key, and after it, if Hold says so, its task's parent. It is given a token that is greater than any given before.
type Lock struct {
	Key          string        `json:"key"`
	Hold         LockHold      `json:"hold,omitempty"`
	OnContention OnContention  `json:"on_contention,omitempty"`
	WaitTimeout  time.Duration `json:"wait_timeout,omitempty"` // 0: none
	From         string        `json:"from,omitempty"`         // see [Limit]
}

// Rate lets at most Max tasks start in Per, and Burst at once after a pause.
type Rate struct {
	Key   string        `json:"key"`
	Per   time.Duration `json:"per"` // a second, a minute or an hour
	Max   int32         `json:"max"`
	Burst int32         `json:"burst,omitempty"` // 0: as Max
	From  string        `json:"from,omitempty"`  // see [Limit]
}

// Empty reports whether it asks for nothing.
func (l *Limiting) Empty() bool {
	return l == nil || len(l.Limits) == 0 && l.Lock == nil && len(l.Rates) == 0
}

// ForParent reports whether the lock, if it asks for one, is held on for the task's parent.
func (l *Limiting) ForParent() bool { return l != nil && l.Lock != nil && l.Lock.Hold == HoldParent }

// Clone is a copy that shares nothing with l but texts.
func (l *Limiting) Clone() *Limiting {
	if l == nil {
		return nil
	}
	out := &Limiting{Limits: slices.Clone(l.Limits), Rates: slices.Clone(l.Rates)}
	if l.Lock != nil {
		lock := *l.Lock
		out.Lock = &lock
	}
	return out
}

// withoutDefaults says the same in one way: what is as it would be without being said is not said.
func (l *Limiting) withoutDefaults() *Limiting {
	out := l.Clone() // nil of nil
	if out == nil {
		return nil
	}
	for i := range out.Limits {
		if one := &out.Limits[i]; one.Cost == 1 {
			one.Cost = 0
		}
	}
	for i := range out.Rates {
		if one := &out.Rates[i]; one.Burst == one.Max {
			one.Burst = 0
		}
	}
	return out
}

// AsSubmitted has templates where keys were rendered from some.
func (l *Limiting) AsSubmitted() *Limiting {
	out := l.Clone() // nil of nil
	for k := range out.keys() {
		if *k.from != "" {
			*k.key, *k.from = *k.from, ""
		}
	}
	return out
}

// Keys are the keys that it asks for, with their fields: "limits[0].key". They may be changed.
func (l *Limiting) Keys() iter.Seq2[string, *string] {
	return func(yield func(string, *string) bool) {
		for k := range l.keys() {
			if !yield(k.field+".key", k.key) {
				return
			}
		}
	}
}

// askedKey is a key that a task asks for, where it stands.
type askedKey struct {
	field     string // "limits[0]"
	kind      LimitKind
	key, from *string
}

// keys are all that it asks for.
func (l *Limiting) keys() iter.Seq[askedKey] {
	return func(yield func(askedKey) bool) {
		if l == nil {
			return
		}
		for i := range l.Limits {
			if !yield(askedKey{fmt.Sprintf("limits[%d]", i), KindLimit, &l.Limits[i].Key, &l.Limits[i].From}) {
				return
			}
		}
		if l.Lock != nil && !yield(askedKey{"lock", KindLock, &l.Lock.Key, &l.Lock.From}) {
			return
		}
		for i := range l.Rates {
			if !yield(askedKey{fmt.Sprintf("rates[%d]", i), KindRate, &l.Rates[i].Key, &l.Rates[i].From}) {
				return
			}
		}
	}
}

// Stored is the text of l that stores keep, with rendered keys; nil: it asks for nothing.
func (l *Limiting) Stored() []byte {
	if l.Empty() {
		return nil
	}
	text, err := json.Marshal(l)
	if err != nil || bytes.Equal(text, []byte("{}")) {
		return nil
	}
	return text
}

// ReadLimiting reads what [Limiting.Stored] gave; nil for none.
func ReadLimiting(text []byte) (*Limiting, error) {
	if isNull(text) {
		return nil, nil
	}
	l := &Limiting{}
	return l, json.Unmarshal(text, l)
}

// PauseScope numbers what is paused. The numbers are stored.
type PauseScope int16

// The scopes of pauses.
const (
	PauseEverything PauseScope = 1
	PausePool       PauseScope = 2
	PauseTree       PauseScope = 3
)

// LimitRule is what an operator has set for a key, a pool or a user.
type LimitRule struct {
	Kind    LimitKind // KindLimit, KindRate, KindPool or KindUser
	Key     string    // or the pool's name, or the user's id
	Max     *int32    // held at once; of a rate: starts in Per; nil: any number
	Waiting *int32    // of a user: tasks that wait at most; nil: any number
	Per     time.Duration
	Burst   int32
	SetBy   string
	SetAt   time.Time
	Reason  string
	Counted bool // all that runs is counted

	Owner    string // who keeps it in files; empty: nobody
	Revision int32  // raised by each change, from 1 on
}

// Bounds of rules and pauses.
const (
	MaxLimitRules  = 10_000
	MaxPauses      = 10_000
	MaxReasonBytes = 1000 // of why something was set or paused
)
