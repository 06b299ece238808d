package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/tests/oracle"
)

// window is how long faults begin and clients submit; after it everything is healed and must settle.
const window = 4 * time.Second

// Plan is one history before it is played. It depends on nothing but its seed, and on the kinds that it may choose from.
type Plan struct {
	Seed   uint64
	Trees  []Story
	Faults []Fault
	Holds  []Hold
	Timed  []Timed
	Flows  []Flow
}

// How says what a client does with its tree.
type How string

// What clients do.
const (
	Straight How = "straight" // it submits the tree, and waits
	Held     How = "held"     // it submits the tree held, cancels tasks, and starts it
	Gated    How = "gated"    // it cancels what waits for a gate before the gate opens
	Steered  How = "steered"  // it cancels tasks, or the tree, while others run
	Commands How = "commands" // its tasks start processes that don't end by themselves
	Cached   How = "cached"   // successes of its tasks end others, of other such trees
)

// Story is one tree and its client.
type Story struct {
	Tree     oracle.Tree
	How      How
	At       time.Duration // of the submission, from the history's start
	GiveUp   bool          // a lost answer to the submission is not asked for again
	Steps    []Step        // of a steered one, in order
	Edits    int           // changes of tasks that can't have started, of a held or gated one
	Nudges   int           // changes of tasks, at any time, that do not matter to how they end
	Copy     bool          // the tree is copied, and the copy executed, too
	Drop     bool          // a held tree is deleted, and never starts
	Seed     uint64        // of what its client changes
	Prefix   string        // of all ids
	Commands int           // tasks of Commands
	Like     []Like        // tasks of Cached
	User     string        // whose tree it is; empty: nobody's
}

// Step is one cancellation, or a skip.
type Step struct {
	After   time.Duration // the step before
	Task    int           // index in the tree
	Cascade bool
	Skip    bool
}

// Fault is one fault: injected at a time from the history's start, and healed after another.
type Fault struct {
	Kind    string
	Target  int // of those that the kind can be done to
	At, For time.Duration
}

// String is the fault as the command line takes it.
func (f Fault) String() string {
	return fmt.Sprintf("%s %d at %s for %s", f.Kind, f.Target, f.At.Round(time.Millisecond), f.For.Round(time.Millisecond))
}

// newPlan draws a history. kinds are those to choose from.
func newPlan(seed uint64, kinds []kind) Plan {
	rng := rand.New(rand.NewPCG(seed, 0x7a5c))
	p := Plan{Seed: seed}
	for n := range 3 + rng.IntN(4) {
		p.Trees = append(p.Trees, newStory(rng, fmt.Sprintf("h%d-%d", seed, n)))
	}
	if rng.IntN(3) == 0 {
		p.Trees = append(p.Trees, Story{How: Commands, Prefix: fmt.Sprintf("h%d-c", seed), Commands: 4, At: upTo(rng, window/2)})
	}
	long := rand.New(rand.NewPCG(seed, 0x10e6))
	for _, s := range p.Trees { // work that takes longer than a lease
		if s.How == Straight && long.IntN(2) == 0 {
			s.Tree.Tasks[long.IntN(len(s.Tree.Tasks))].Script.Millis = 3000 + long.IntN(3000)
		}
	}
	if rush := rand.New(rand.NewPCG(seed, 0x1143)); rush.IntN(2) == 0 {
		p.Trees = append(p.Trees, newRush(rush, fmt.Sprintf("h%d-r", seed)))
	}
	changes := rand.New(rand.NewPCG(seed, 0xed17))
	for n := range p.Trees {
		p.Trees[n].changes(changes)
	}
	more := rand.New(rand.NewPCG(seed, 0xbe70))
	for n := range 2 + more.IntN(2) {
		p.Trees = append(p.Trees, newBeyond(more, fmt.Sprintf("h%d-b%d", seed, n)))
	}
	p.limit()
	p.timed()
	p.cached()
	p.flows()
	p.Faults = schedule(rng, kinds, int(seed%uint64(len(kinds))), 1+rng.IntN(5))
	p.killBesideSchedules(kinds)
	return p
}

// killBesideSchedules has a coordinator die while schedules are made and their runs begin, in most histories that have schedules: whoever decides of an instant is killed in the midst of it.
func (p *Plan) killBesideSchedules(kinds []kind) {
	rng := rand.New(rand.NewPCG(p.Seed, 0x411c))
	n := slices.IndexFunc(kinds, func(k kind) bool { return k.name == "coordinator-kill" })
	if len(p.Timed) == 0 || n < 0 || rng.IntN(3) == 0 {
		return
	}
	k := kinds[n]
	for range 20 {
		f := Fault{Kind: k.name, Target: rng.IntN(k.targets), At: 100*time.Millisecond + upTo(rng, window/2), For: 20*time.Millisecond + upTo(rng, k.longest-20*time.Millisecond)}
		if !slices.ContainsFunc(p.Faults, func(o Fault) bool { return k.meets(f, o) }) {
			p.Faults = append(p.Faults, f)
			slices.SortFunc(p.Faults, func(a, b Fault) int { return int(a.At - b.At) })
			return
		}
	}
}

// changes draws how the client changes its tree once it is stored.
func (s *Story) changes(rng *rand.Rand) {
	s.Seed = rng.Uint64()
	switch s.How {
	case Held:
		s.Edits, s.Drop = rng.IntN(12), rng.IntN(6) == 0
	case Gated:
		s.Edits = rng.IntN(12)
	case Straight, Steered:
		s.Nudges = max(0, rng.IntN(12)-3)
	}
	s.Copy = (s.How == Held || s.How == Straight) && len(s.Tree.Tasks) < 100 && rng.IntN(3) == 0
}

// newRush is a tree of many short tasks that come at once, so that workers claim ahead. A few of them turn long.
func newRush(rng *rand.Rand, prefix string) Story {
	s := Story{Prefix: prefix, How: Straight, At: upTo(rng, window/2),
		Tree: oracle.Random(rng, oracle.Shape{Prefix: prefix, Tasks: 150 + rng.IntN(150), Optional: 0.5})}
	for i := range s.Tree.Tasks {
		t := &s.Tree.Tasks[i]
		t.Deps = slices.DeleteFunc(t.Deps, func(oracle.Dep) bool { return rng.IntN(10) > 0 })
		if t.Script.Millis = 1 + rng.IntN(4); rng.IntN(40) == 0 {
			t.Script.Millis = 100 + rng.IntN(400)
		}
	}
	requiredFirst(s.Tree)
	return s
}

// newBeyond is a tree that says more than the protocol has.
func newBeyond(rng *rand.Rand, prefix string) Story {
	s := Story{Prefix: prefix, How: Straight, At: upTo(rng, window/2), Seed: rng.Uint64()}
	shape := oracle.Shape{Prefix: prefix, Tasks: 10 + rng.IntN(50), Fails: 0.3 * rng.Float64(), Optional: rng.Float64(), Group: 0.1, Beyond: 0.6 + 0.4*rng.Float64()}
	switch rng.IntN(4) {
	case 0:
		s.How, shape.Without = Steered, oracle.Expansions
		s.steps(rng, shape.Tasks)
		for i := range s.Steps {
			s.Steps[i].Skip = rng.IntN(2) == 0
		}
	case 1:
		s.How, shape.Gate, shape.Cancel = Gated, true, 0.2*rng.Float64()
	}
	s.Tree = oracle.Random(rng, shape)
	for i := range s.Tree.Tasks {
		task := &s.Tree.Tasks[i]
		if rng.IntN(3) == 0 {
			task.Script.Millis = rng.IntN(200)
		}
		if task.Script.Repeat != nil { // lost attempts count for the condition, and not for this
			task.Script.Repeat.Max = 100
		}
	}
	return s
}

// requiredFirst puts dependencies into the order in which a client names them, as the last one's results win.
func requiredFirst(tree oracle.Tree) {
	for _, t := range tree.Tasks {
		required := slices.DeleteFunc(slices.Clone(t.Deps), func(d oracle.Dep) bool { return d.Optional })
		copy(t.Deps, append(required, slices.DeleteFunc(slices.Clone(t.Deps), func(d oracle.Dep) bool { return !d.Optional })...))
	}
}

func newStory(rng *rand.Rand, prefix string) Story {
	s := Story{Prefix: prefix, At: upTo(rng, window/2), GiveUp: rng.IntN(8) == 0,
		How: []How{Straight, Straight, Straight, Held, Gated, Steered, Steered}[rng.IntN(7)]}
	shape := oracle.Shape{Prefix: prefix, Tasks: 5 + rng.IntN(60), Fails: 0.2 * rng.Float64(), Optional: rng.Float64(),
		Group: 0.1 * rng.Float64(), Hang: 0.02 * rng.Float64(), Gate: s.How == Gated}
	if s.How == Gated || s.How == Held {
		shape.Cancel = 0.2 * rng.Float64()
		s.GiveUp = false
	}
	s.Tree = oracle.Random(rng, shape)
	requiredFirst(s.Tree)
	for i := range s.Tree.Tasks { // work that takes long enough to be hit
		if rng.IntN(3) == 0 {
			s.Tree.Tasks[i].Script.Millis = rng.IntN(300)
		}
	}
	if s.How == Steered {
		s.GiveUp = false
		s.steps(rng, len(s.Tree.Tasks))
	}
	return s
}

// steps draws cancellations.
func (s *Story) steps(rng *rand.Rand, tasks int) {
	for range 1 + rng.IntN(6) {
		s.Steps = append(s.Steps, Step{After: upTo(rng, 400*time.Millisecond), Task: rng.IntN(tasks), Cascade: rng.IntN(4) == 0})
	}
}

// losses is how many faults of a history may cost workers their leases: a task whose worker was lost three times fails, as
// the design wants it, and the oracle does not know of that.
const losses = 2

// schedule draws n faults, or a few less when they don't fit. The kind of one of them is given, so that a run of many seeds
// has them all. No two are done to the same thing at a time.
func schedule(rng *rand.Rand, kinds []kind, first, n int) (faults []Fault) {
	lost := 0
	for range 20 * n {
		if len(faults) == n {
			break
		}
		k := kinds[rng.IntN(len(kinds))]
		if len(faults) == 0 {
			k = kinds[first]
		}
		f := Fault{Kind: k.name, Target: rng.IntN(k.targets), At: 100*time.Millisecond + upTo(rng, window-100*time.Millisecond)}
		if k.longest > 0 {
			f.For = 20*time.Millisecond + upTo(rng, k.longest-20*time.Millisecond)
			if rng.IntN(2) == 0 {
				f.For /= 10 // short ones too
			}
		}
		loses := k.loses != nil && k.loses(f)
		if loses && lost == losses || slices.ContainsFunc(faults, func(o Fault) bool { return k.meets(f, o) }) {
			continue
		}
		if loses {
			lost++
		}
		faults = append(faults, f)
	}
	slices.SortFunc(faults, func(a, b Fault) int { return int(a.At - b.At) })
	return faults
}

// meets reports whether two faults are done to the same thing at the same time.
func (k kind) meets(f, o Fault) bool {
	other := kindOf(o.Kind)
	if k.on != other.on || f.Target != o.Target {
		return false
	}
	const apart = time.Second // a process must start again
	return f.At < o.At+o.For+apart && o.At < f.At+f.For+apart
}

// upTo is a random time below most.
func upTo(rng *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(rng.Int64N(int64(most)))
}

// String is the plan for people.
func (p Plan) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "seed %d", p.Seed)
	for n, s := range p.Trees {
		fmt.Fprintf(&out, "\n  tree %d: %s, %d tasks (plain %v) at %s, %d edits, %d nudges, copied %v, dropped %v", n, s.How, max(len(s.Tree.Tasks), s.Commands, len(s.Like)), s.Tree.Plain(), s.At.Round(time.Millisecond),
			s.Edits, s.Nudges, s.Copy, s.Drop)
	}
	for n, f := range p.Faults {
		fmt.Fprintf(&out, "\n  fault %d: %s", n, f)
	}
	for _, h := range p.Holds {
		fmt.Fprintf(&out, "\n  held back: %s", h)
	}
	for n, s := range p.Timed {
		fmt.Fprintf(&out, "\n  schedule %d: %s", n, s)
	}
	for n, f := range p.Flows {
		fmt.Fprintf(&out, "\n  flow %d: at %s, mended %v, repeated %v", n, f.At.Round(time.Millisecond), f.Mend, f.Repeat)
	}
	return out.String()
}
