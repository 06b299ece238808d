package oracle

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/taskgrove/taskgrove/dag"
)

// Feature is a set of what the protocol does not have.
type Feature int

// The features, beside edges, folds, gates and skips.
const (
	Conditions Feature = 1 << iota
	Imports
	Waits
	Repeats
	Expansions
	Maps // among the expansions
	Kinds
)

// beyond gives tasks of a tree what the protocol does not have, with the weight of the shape.
func (t *Tree) beyond(rng *rand.Rand, s Shape, order []int) {
	draw := func(p float64) bool { return rng.Float64() < p*s.Beyond }
	has := func(f Feature, p float64) bool { return draw(p) && s.Without&f == 0 }
	for _, i := range order {
		task := &t.Tasks[i]
		if task.Script.Gate {
			continue
		}
		switch {
		case draw(0.15):
			task.Group, task.Fold, task.Mapped, task.MaxAttempts, task.Script = true, true, false, 1, Script{}
		case has(Conditions, 0.12):
			task.Group, task.Mapped, task.MaxAttempts, task.Script = true, false, 1, Script{}
			task.When = condition(rng, *task)
		case has(Conditions, 0.12):
			task.When = condition(rng, *task)
		}
		task.AllowFailure = draw(0.2)
		if has(Kinds, 0.2) {
			task.kinds(rng)
		}
		for k := range task.Deps {
			task.Deps[k].mode(rng, task.Fold, draw)
		}
		if has(Imports, 0.04) && !s.Gate {
			t.imported(rng, i)
			continue
		}
		if task.Group || task.Script.Hang || task.Script.Fail < 0 {
			continue
		}
		switch sc := &task.Script; {
		case draw(0.08):
			sc.Skip = []string{"nothing_to_do", "up_to_date"}[rng.IntN(2)]
		case has(Waits, 0.1):
			sc.Wait = wait(rng, true)
		case has(Repeats, 0.05):
			sc.Repeat = &Repeat{Until: 1 + rng.IntN(6), Max: 1 + rng.IntN(6)}
			sc.Value = Object
		case has(Expansions, 0.08):
			t.expand(rng, s, i, 0)
		}
	}
	for i := range t.Tasks {
		t.Tasks[i].sure()
	}
}

// sure has a task end alike whatever attempts are lost: scripts count attempts by their numbers.
func (t *Task) sure() {
	s := &t.Script
	if s.Fail <= 0 {
		return
	}
	w := s.Wait
	switch ends := s.Collect != "" || w != nil && (w.Rejects || !w.Comes && !t.retries("signal_timeout")); {
	case !t.retries(s.kind()):
		s.Fail = -1
	case ends:
		s.Fail = 0
	}
}

func words(rng *rand.Rand) (out []string) {
	for _, w := range Words {
		if rng.IntN(2) == 0 {
			out = append(out, w)
		}
	}
	if out == nil {
		out = []string{Words[rng.IntN(len(Words))]}
	}
	return out
}

// condition draws one for a task. One without dependencies holds nothing: it can only err, or be of no dependency.
func condition(rng *rand.Rand, task Task) *When {
	if len(task.Deps) == 0 || rng.IntN(12) == 0 {
		return &When{Errs: true}
	}
	w := &When{Dep: rng.IntN(len(task.Deps)), Is: words(rng)}
	w.Odd = rng.IntN(4) == 0
	return w
}

// mode gives an edge what the protocol does not have.
func (d *Dep) mode(rng *rand.Rand, fold bool, draw func(float64) bool) {
	if fold {
		d.Skips = rng.IntN(6) == 0
		return
	}
	if draw(0.35) {
		if d.Accept = words(rng); rng.IntN(4) == 0 {
			d.Accept = []string{Any}
		}
	}
	if draw(0.2) {
		d.Otherwise = []string{"block", "skip"}[rng.IntN(2)]
	}
	d.Order = draw(0.15)
	d.Plain = d.Plain && d.Accept == nil && d.Otherwise == "" && !d.Order
}

// imported lets a task be settled when its tree is submitted.
func (t *Tree) imported(rng *rand.Rand, i int) {
	task := &t.Tasks[i]
	state := []string{Success, Success, WasSkipped, HasFailed, IsCancelled}[rng.IntN(5)]
	end := &End{Attempts: 1, Idle: true}
	switch state {
	case Success:
		end.State, end.Result = stateOf(state), map[string]any{"sum": float64(rng.IntN(1000)), "keys": []any{}}
	case WasSkipped:
		*end = skipped("imported", nil)
	default:
		end.State = stateOf(state)
		if end.State == dag.Cancelled { // that counts against no policy
			end.Attempts = 0
		}
	}
	task.Imported, task.When, task.Script = end, nil, Script{}
	if task.Fold {
		task.Fold = false
		for k := range task.Deps {
			task.Deps[k].Skips = false
		}
	}
}

// kinds gives a task words for its failures, and rules which of them are tried again.
func (t *Task) kinds(rng *rand.Rand) {
	if t.Group {
		return
	}
	all := []string{"executor", "broken", "http_503", "timeout", "signal_timeout"}
	some := func() (out []string) {
		for _, k := range all {
			if rng.IntN(2) == 0 {
				out = append(out, k)
			}
		}
		return out
	}
	t.Script.Kind = []string{"", "broken", "http_503"}[rng.IntN(3)]
	if rng.IntN(2) == 0 {
		t.RetryOn = some()
	}
	if rng.IntN(3) == 0 {
		t.NoRetryOn = some()
	}
}

// wait draws one. sent: somebody can send what it waits for.
func wait(rng *rand.Rand, sent bool) *Wait {
	w := &Wait{Kind: []string{"signal", "approval", "time"}[rng.IntN(3)], Comes: sent && rng.IntN(3) > 0}
	switch {
	case w.Kind == "time":
		w.Comes = true
	case w.Kind == "approval" && w.Comes:
		w.Rejects = rng.IntN(3) == 0
		w.Skips = w.Rejects && rng.IntN(2) == 0
	case !w.Comes:
		w.Skips = rng.IntN(3) == 0
		w.Gives = !w.Skips && rng.IntN(2) == 0
	}
	w.Resume = w.Comes && !w.Rejects && rng.IntN(4) == 0
	return w
}

// maxNested is how deep expansions nest.
const maxNested = 2

// expand lets a task find others.
func (t *Tree) expand(rng *rand.Rand, s Shape, i, depth int) {
	t.Tasks[i].Script.Collect = []Collect{CollectNone, CollectList, CollectMap}[rng.IntN(3)]
	first := len(t.Tasks)
	n := []int{0, 1, 2, 5, 12}[rng.IntN(5)]
	if s.Without&Maps == 0 && rng.IntN(2) == 0 {
		t.items(rng, s, i, n)
		return
	}
	for k := range n {
		task := Task{ID: fmt.Sprintf("%s-%d", s.Prefix, first+k), Parent: i, MaxAttempts: 1 + rng.IntN(3), By: i + 1, Local: fmt.Sprintf("c%d", k), Ref: fmt.Sprintf("c%d", k), AllowFailure: rng.IntN(5) == 0}
		if k > 0 && rng.IntN(4) == 0 {
			task.Parent = first + rng.IntN(k)
		}
		for j := range k {
			if rng.IntN(4) > 0 {
				continue
			}
			d := Dep{On: first + j, Optional: rng.Float64() < s.Optional}
			d.mode(rng, false, func(p float64) bool { return rng.Float64() < p*s.Beyond })
			task.Deps = append(task.Deps, d)
		}
		task.write(rng, Shape{Fails: s.Fails / 2, Group: s.Group})
		if s.Without&Kinds == 0 && rng.IntN(6) == 0 {
			task.kinds(rng)
		}
		switch plain := !task.Group && task.Script.Fail == 0; {
		case plain && rng.IntN(12) == 0:
			task.Script.Skip = "up_to_date"
		case plain && s.Without&Waits == 0 && rng.IntN(12) == 0: // nobody knows it to send it anything
			task.Script.Wait = wait(rng, false)
		case plain && s.Without&Repeats == 0 && rng.IntN(12) == 0:
			task.Script.Repeat, task.Script.Value = &Repeat{Until: 1 + rng.IntN(4), Max: 1 + rng.IntN(4)}, Object
		}
		if len(task.Deps) > 0 && rng.IntN(8) == 0 {
			task.When = condition(rng, task)
		}
		t.Tasks = append(t.Tasks, task)
	}
	for k := range n {
		task := &t.Tasks[first+k]
		if ends := task.Script.Skip != "" || task.Script.Wait != nil || task.Script.Repeat != nil; depth < maxNested && !ends && !task.Group && task.Script.Fail == 0 && rng.IntN(8) == 0 {
			t.expand(rng, s, first+k, depth+1)
		}
	}
}

// items lets a task make others for n items.
func (t *Tree) items(rng *rand.Rand, s Shape, i, n int) {
	m := &Map{Window: []int{0, 1, 1, 2, 5}[rng.IntN(5)]}
	m.Stop = m.Window == 1 && rng.IntN(3) > 0
	t.Tasks[i].Script.Map = m
	fails := s.Fails
	if m.Stop {
		fails = max(fails, 0.5)
	}
	alike := Task{Parent: i, By: i + 1, MaxAttempts: 1 + rng.IntN(3), AllowFailure: rng.IntN(4) == 0}
	for k := range n {
		task := alike
		task.ID, task.Local = fmt.Sprintf("%s-%d", s.Prefix, len(t.Tasks)), fmt.Sprint(k)
		task.write(rng, Shape{Fails: fails})
		task.MaxAttempts, task.Mapped = alike.MaxAttempts, false
		if task.Script.Fail > 0 {
			task.Script.Fail = rng.IntN(task.MaxAttempts)
		}
		t.Tasks = append(t.Tasks, task)
	}
}

// Plain reports whether the tree has nothing beyond the protocol.
func (t Tree) Plain() bool {
	return !slices.ContainsFunc(t.Tasks, func(task Task) bool {
		s := task.Script
		return task.Fold || task.When != nil || task.AllowFailure || task.Imported != nil || task.By > 0 || s.Skip != "" || s.Wait != nil || s.Repeat != nil || s.Collect != "" || s.Kind != "" ||
			task.RetryOn != nil || task.NoRetryOn != nil || task.Skipped ||
			slices.ContainsFunc(task.Deps, func(d Dep) bool { return d.Accept != nil || d.Otherwise != "" || d.Order || d.Skips })
	})
}
