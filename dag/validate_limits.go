package dag

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// RatePeriods are the times that a rate may be over, by their words.
var RatePeriods = map[string]time.Duration{"second": time.Second, "minute": time.Minute, "hour": time.Hour}

// RateWord is the word for the time that a rate is over; empty: there is none.
func RateWord(per time.Duration) string {
	for word, d := range RatePeriods {
		if d == per {
			return word
		}
	}
	return ""
}

// The words for [OnContention].
var contentionWords = []string{WaitForLock: "wait", FailOnContention: "fail", SkipOnContention: "skip"}

// Word is how documents say it.
func (o OnContention) Word() string {
	if o < 0 || int(o) >= len(contentionWords) {
		return ""
	}
	return contentionWords[o]
}

// ParseOnContention reads a word; the empty one means wait.
func ParseOnContention(word string) (o OnContention, known bool) {
	if word == "" {
		return WaitForLock, true
	}
	i := slices.Index(contentionWords, word)
	return OnContention(max(i, 0)), i >= 0
}

// The words for [LockHold].
var holdWords = []string{HoldAttempt: "attempt", HoldParent: "parent"}

// HoldFault says what words there are for [LockHold].
const HoldFault = "must be attempt or parent"

// Word is how documents say it.
func (h LockHold) Word() string {
	if h < 0 || int(h) >= len(holdWords) {
		return ""
	}
	return holdWords[h]
}

// ParseLockHold reads a word; the empty one means attempt.
func ParseLockHold(word string) (h LockHold, known bool) {
	if word == "" {
		return HoldAttempt, true
	}
	i := slices.Index(holdWords, word)
	return LockHold(max(i, 0)), i >= 0
}

// faults are what is wrong with what a task asks for, each with its field. Keys that are templates are looked at by who knows the task.
func (l *Limiting) faults() (faults []valueFault) {
	fault := func(field, format string, args ...any) {
		faults = append(faults, valueFault{field, fmt.Sprintf(format, args...)})
	}
	within := func(field string, n, least int32) {
		if n < least || n > MaxLimitMax {
			fault(field, "must be %d to %d, got %d", max(least, 1), MaxLimitMax, n)
		}
	}
	if n := len(l.Limits); n > MaxLimits {
		fault("limits", "must be at most %d, got %d", MaxLimits, n)
	}
	for i, one := range l.Limits {
		field := fmt.Sprintf("limits[%d]", i)
		within(field+".max", one.Max, 0)
		within(field+".cost", one.Cost, 0)
		if one.Max > 0 && one.Cost > one.Max {
			fault(field+".cost", "must be at most max, which is %d, got %d: it would wait for ever", one.Max, one.Cost)
		}
	}
	if k := l.Lock; k != nil {
		if k.OnContention.Word() == "" {
			fault("lock.on_contention", "must be wait, fail or skip")
		}
		if k.Hold.Word() == "" {
			fault("lock.hold", HoldFault)
		}
		switch d := k.WaitTimeout; {
		case d < 0 || d > MaxLockWait:
			fault("lock.wait_timeout", "must be 0 to %.0f seconds", MaxLockWait.Seconds())
		case d > 0 && d < MinLimit:
			fault("lock.wait_timeout", "must be at least %g seconds, or 0 for none", MinLimit.Seconds())
		case d > 0 && k.OnContention != WaitForLock:
			fault("lock.wait_timeout", "is of a task that waits, and on_contention is %s", k.OnContention.Word())
		}
	}
	if n := len(l.Rates); n > MaxRates {
		fault("rates", "must be at most %d, got %d", MaxRates, n)
	}
	for i, one := range l.Rates {
		field := fmt.Sprintf("rates[%d]", i)
		if RateWord(one.Per) == "" {
			fault(field+".per", "must be second, minute or hour")
		}
		within(field+".max", one.Max, 1)
		within(field+".burst", one.Burst, 0)
	}
	return faults
}

// repeated are the faults of keys that it names twice.
func (l *Limiting) repeated() (faults []valueFault) {
	seen := map[LimitKind]map[string]string{}
	for k := range l.keys() {
		if *k.key == "" {
			continue
		}
		if first, twice := seen[k.kind][*k.key]; twice {
			faults = append(faults, valueFault{k.field + ".key", fmt.Sprintf("is the key of %s, too", first)})
			continue
		}
		if seen[k.kind] == nil {
			seen[k.kind] = map[string]string{}
		}
		seen[k.kind][*k.key] = k.field
	}
	return faults
}

// LimitFaults are the faults of what the task, as it is stored, asks for, by the identity that it has, and that with its keys rendered.
func (t *Task) LimitFaults(id Identity) (rendered *Limiting, faults []string) {
	if t.Limiting.Empty() {
		return nil, nil
	}
	keyed, keys := t.readKeys(false)
	rendered, late := keyed.of(id)
	for _, f := range slices.Concat(t.Limiting.faults(), keys, late, rendered.repeated()) {
		faults = append(faults, f.field+": "+f.text)
	}
	return rendered, faults
}

// keyedTask is a task whose keys are known once all tasks are.
type keyedTask struct {
	task  int32
	keyed *KeyedLimiting
}

// limiting checks what the task asks for, and keeps its keys if they name what is not known yet.
func (c *check) limiting() {
	t := c.task
	if t.Limiting.Empty() {
		return
	}
	if t.Executor == "" {
		for _, field := range t.Limiting.fields() {
			c.field(field, "a group, which runs nothing, can't have it")
		}
	}
	if t.Limiting.ForParent() {
		c.forParent()
	}
	keyed, keys := t.readKeys(c.b.unfilled)
	faults := append(t.Limiting.faults(), keys...)
	switch {
	case c.b.unfilled:
	case keyed.Known():
		rendered, late := keyed.of(Identity{})
		faults = slices.Concat(faults, late, rendered.repeated())
	default:
		c.b.keyed = append(c.b.keyed, keyedTask{int32(c.index), keyed})
	}
	for _, f := range faults {
		c.field(f.field, "%s", f.text)
	}
}

// forParent checks a task that takes a lock for its parent. Whether that depends on it, the tree as a whole knows.
func (c *check) forParent() {
	switch t := c.task; {
	case t.ParentRef == "":
		c.field("lock.hold", "is for the task's parent, and it has none here")
	case t.Imported != nil && SuccessfulStates.Has(t.Imported.State):
		c.field("lock.hold", "the task takes the lock for its parent when it runs, so it can't have ended well before: leave its outcome out")
	case t.Control != nil && t.Control.Cache != nil:
		c.field("lock.hold", "not together with cache: a task that ends by an earlier success takes no lock")
	}
}

// checkForParents finds tasks that take a lock for a parent which may end before them, as it does not depend on them.
func (b *Builder) checkForParents() {
	for i, tr := range b.traits {
		p := b.parents[i]
		if tr&traitForParent == 0 || p < 0 {
			continue
		}
		row := b.edges[b.starts[p]:b.starts[p+1]]
		if !slices.ContainsFunc(row, func(e Edge) bool { return e.Task == int32(i) }) {
			b.Fault(i, "lock.hold", fmt.Sprintf("is for the task's parent '%s', which must depend on the task, so that it can't end before it", b.show(int(p))))
		}
	}
}

// fields are the keys of the task by which it asks for something.
func (l *Limiting) fields() (fields []string) {
	for _, f := range []struct {
		field string
		given bool
	}{{"limits", len(l.Limits) > 0}, {"lock", l.Lock != nil}, {"rates", len(l.Rates) > 0}} {
		if f.given {
			fields = append(fields, f.field)
		}
	}
	return fields
}

// OwnedBy says whose the tree is if its tasks don't say; empty: nobody's. Without it, that is not known.
func (b *Builder) OwnedBy(user string) *Builder {
	b.owner, b.ownerKnown = user, true
	return b
}

// checkKeyed renders keys that name tasks, the tree or its owner.
func (b *Builder) checkKeyed() {
	for _, k := range b.keyed {
		id := b.IdentityOf(int(k.task))
		if id.User == "" && !b.ownerKnown {
			id.User = "?" // it may be anybody's
		}
		rendered, faults := k.keyed.of(id)
		for _, f := range append(faults, rendered.repeated()...) {
			if b.faults.room(atField) {
				b.faults.keep(atField, &InvalidTaskError{Code: InvalidField, Index: int(k.task), Task: b.identity(k.task), Field: f.field,
					Reason: fmt.Sprintf("tasks[%d].%s: %s", k.task, f.field, f.text)})
			}
		}
	}
	b.keyed = nil
}

// IdentityOf is what keys may name of a task that has been added, as far as that is known: ids that will be made are stand-ins.
func (b *Builder) IdentityOf(task int) Identity {
	id := Identity{Task: longerID(b.ids[task]), Tree: longerID(b.ids[max(b.first-1, 0)]), User: b.owner}
	if len(b.owners) > 0 {
		id.User = b.owners[0]
	}
	return id
}

// longerID is an id, or a stand-in as long as the one that the task gets if it has none, or if that is taken.
func longerID(id string) string {
	for len(id) < longestMadeID {
		id += "-"
	}
	return id
}

// Fault records what is wrong with a field of a task that has been added, by who knows more than the tree.
func (b *Builder) Fault(index int, field, reason string) {
	if b.faults.room(atField) {
		b.faults.keep(atField, &InvalidTaskError{Code: InvalidField, Index: index, Task: b.identity(int32(index)), Field: field,
			Reason: fmt.Sprintf("tasks[%d].%s: %s", index, field, reason)})
	}
}

// Faulty reports whether something is known to be wrong with one of the fields of a task that has been added.
func (b *Builder) Faulty(index int, fields ...string) bool {
	return slices.ContainsFunc(b.faults.kept[atField], func(f *InvalidTaskError) bool { return f.Index == index && slices.Contains(fields, f.Field) })
}

// Unbounded are the limits that need what operators have set to be judged, by their places: those without a max, and those that cost more than one.
func (l *Limiting) Unbounded() (places []int) {
	if l == nil {
		return nil
	}
	for i, one := range l.Limits {
		if one.Max <= 0 || one.Cost > 1 {
			places = append(places, i)
		}
	}
	return places
}

// RuleFault is what is wrong with a limit, with its key rendered, by what an operator has set for that: the field of it, and why. ruled: an operator has set
// one. Of a key that can't be one it says nothing: who reads keys tells that.
func (l *Limit) RuleFault(max int32, ruled bool) (field, reason string) {
	switch {
	case LimitKeyFault(l.Key) != "" || l.From == "" && strings.Contains(l.Key, "{{"):
	case l.Max <= 0 && l.Names("task.id", "tree.id"):
		return "max", "is required, as the key names an id, which is known only when the tree is stored"
	case !ruled && l.Max <= 0:
		return "max", fmt.Sprintf("is required, as no operator has set one for the key %q", cut(l.Key, 80))
	case ruled && max > 0 && l.Cost > max:
		return "cost", fmt.Sprintf("must be at most %d, which an operator has set for the key %q, got %d: it would wait for ever", max, cut(l.Key, 80), l.Cost)
	}
	return "", ""
}
