package cancels

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// long is how many seconds work takes that only a cancellation ends.
const long = 600

// plan is a tree, and when it is cancelled.
type plan struct {
	Works   []work
	Child   int           // which task is cancelled by itself before the tree is; -1: none
	ChildAt time.Duration // from the submission
	TreeAt  time.Duration // likewise, or from the end of the child's cancellation
}

// work is one task of it. The first is the root, if it is the only one; else the root is a group.
type work struct {
	Kind    int // index of the kind
	Variant int // of those of the kind
	Seconds float64
	After   bool // it waits for the one before
}

func (p *plan) cancels() int {
	if p.Child >= 0 {
		return 2
	}
	return 1
}

// newPlans makes plans of so many cancellations, with each kind in turn: as many of one as of another.
func newPlans(seed uint64, cancels, kinds int) (plans []*plan) {
	r := rand.New(rand.NewPCG(seed, 15))
	next := r.IntN(kinds)
	for cancels > 0 {
		p := &plan{Child: -1}
		works := 1
		if r.IntN(2) == 0 {
			works = 2 + r.IntN(4)
		}
		for i := range works {
			w := work{Kind: next % kinds, Variant: r.IntN(100), Seconds: long, After: i > 0 && r.IntN(5) == 0}
			if r.IntN(4) == 0 { // it may end by itself
				w.Seconds = float64(50+r.IntN(500)) / 1000
			}
			next++
			p.Works = append(p.Works, w)
		}
		if works > 1 && cancels > 1 && r.IntN(2) == 0 {
			p.Child, p.ChildAt = r.IntN(works), moment(r, p.Works)
		}
		p.TreeAt = moment(r, p.Works)
		cancels -= p.cancels()
		plans = append(plans, p)
	}
	return plans
}

// moment is one for a cancellation: before the dispatch, around the claim and the start, in mid-work, or near the end of a work that ends.
func moment(r *rand.Rand, works []work) time.Duration {
	switch r.IntN(5) {
	case 0:
		return 0
	case 1:
		return time.Duration(r.IntN(60_000)) * time.Microsecond
	case 2:
		for _, w := range works {
			if w.Seconds < long {
				end := time.Duration(w.Seconds*1000)*time.Millisecond + 50*time.Millisecond
				return max(0, end+time.Duration(r.IntN(400)-100)*time.Millisecond)
			}
		}
	}
	return time.Duration(60+r.IntN(1500)) * time.Millisecond
}

func (p *plan) String() string { return fmt.Sprintf("%+v", *p) }
