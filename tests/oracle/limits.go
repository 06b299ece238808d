package oracle

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// SkippedLocked is the reason of a task that is skipped as its lock is held.
const SkippedLocked = "locked"

// MayBeDenied reports whether a task may end in a state as it does not get its lock.
func (t Task) MayBeDenied(s dag.State) bool {
	if t.Limiting == nil || t.Limiting.Lock == nil {
		return false
	}
	lock := t.Limiting.Lock
	switch s {
	case dag.Failed:
		return lock.OnContention == dag.FailOnContention || lock.WaitTimeout > 0
	case dag.Skipped:
		return lock.OnContention == dag.SkipOnContention
	}
	return false
}

// Deny says that a task did not get its lock, and ended in a state after so many attempts that count, this one included. It reports whether
// its lock allows that.
func (t *Task) Deny(s dag.State, attempts int) bool {
	if !t.MayBeDenied(s) {
		return false
	}
	end := End{State: s, Attempts: attempts}
	if s == dag.Skipped {
		end = skipped(SkippedLocked, nil)
		end.Attempts, end.Idle = attempts, false // an attempt before it may have failed
	}
	t.Denied = &end
	return true
}

// Keys are what tasks of several trees hold together.
type Keys struct {
	Prefix string  // of all keys
	Limits float64 // of tasks
	Locks  float64
	Rates  float64
	Denies float64 // of locks: they do not wait, or not for long
}

// widest is the max of the key with the largest one.
const widest = 4

// Limit lets tasks of a tree ask for limits, locks and rates. A key has one max for all: limits of 1 to 4, locks, and starts in a second. A task
// whose run finds others holds a key that these do not ask for, as they would wait for each other. Those that are made for items are alike.
func (k Keys) Limit(rng *rand.Rand, t Tree) {
	items := map[int]*dag.Limiting{} // by who makes them
	for i := range t.Tasks {
		task := &t.Tasks[i]
		if task.By > 0 && t.Tasks[task.By-1].Script.Map != nil {
			l, made := items[task.By]
			if !made {
				l = k.draw(rng, *task)
				items[task.By] = l
			}
			task.Limiting = l
			continue
		}
		task.Limiting = k.draw(rng, *task)
	}
}

// Span lets one task of a tree at most take a lock for its parent, which depends on it. As all trees that take it have it once, and nothing else asks for the key, none
// waits for what waits for it.
func Span(rng *rand.Rand, t Tree, key string) {
	var may []int
	for i, task := range t.Tasks {
		p := task.Parent
		if p < 0 || task.By > 0 || t.Tasks[p].By > 0 || task.Group || task.Imported != nil || task.Script.Gate || task.Script.Collect != "" {
			continue
		}
		if (task.Limiting == nil || task.Limiting.Lock == nil) && slices.ContainsFunc(t.Tasks[p].Deps, func(d Dep) bool { return d.On == i }) {
			may = append(may, i)
		}
	}
	if len(may) == 0 {
		return
	}
	task := &t.Tasks[may[rng.IntN(len(may))]]
	l := task.Limiting.Clone()
	if l == nil {
		l = &dag.Limiting{}
	}
	l.Lock = &dag.Lock{Key: key, Hold: dag.HoldParent}
	task.Limiting = l
}

// draw is what a task asks for; nil: nothing.
func (k Keys) draw(rng *rand.Rand, task Task) *dag.Limiting {
	if task.Group || task.Imported != nil || task.Script.Gate {
		return nil
	}
	l := &dag.Limiting{}
	draw := func(p float64) bool { return rng.Float64() < p }
	switch finds := task.Script.Collect != ""; {
	case finds && task.By == 0 && draw(k.Limits):
		l.Limits = append(l.Limits, dag.Limit{Key: k.Prefix + "wide", Max: widest, Cost: 1 + rng.Int32N(widest)})
	case finds:
	case draw(k.Limits):
		for n := range int32(widest) {
			if rng.IntN(2) == 0 {
				l.Limits = append(l.Limits, dag.Limit{Key: fmt.Sprintf("%s%d", k.Prefix, n+1), Max: n + 1, Cost: rng.Int32N(n + 2)})
			}
		}
	}
	if task.Script.Collect == "" && draw(k.Locks) {
		l.Lock = &dag.Lock{Key: fmt.Sprintf("%s%d", k.Prefix, rng.IntN(2))}
		if draw(k.Denies) {
			l.Lock.OnContention = []dag.OnContention{dag.WaitForLock, dag.FailOnContention, dag.SkipOnContention}[rng.IntN(3)]
		}
		if l.Lock.OnContention == dag.WaitForLock && draw(k.Denies) {
			l.Lock.WaitTimeout = time.Duration(1+rng.IntN(3)) * time.Second
		}
	}
	if draw(k.Rates) {
		n := rng.Int32N(2)
		l.Rates = append(l.Rates, dag.Rate{Key: fmt.Sprintf("%s%d", k.Prefix, n), Per: time.Second, Max: 20 + 20*n, Burst: 5})
	}
	if l.Stored() == nil {
		return nil
	}
	return l
}
