package simulation

import (
	"math/rand/v2"
	"time"
)

// Params are a history's size and how much goes wrong in it. Probabilities are from 0 to 1.
type Params struct {
	Seed                    uint64
	Trees, Tasks            int // Tasks: of each tree, at most
	Coordinators, Workers   int
	Faults                  time.Duration // how long things go wrong; then everything must settle
	Kill                    float64       // of a process, at each of its steps
	Lose, Copy, Slow        float64       // of a message
	DBError                 float64       // of a transaction's commit, and of its answer
	Crashes, Freezes, Wipes int           // planned ones; a wipe is all of NATS
	Outages, Cuts, Drains   int           // of Postgres; of a worker's network; of a worker
	Cancels, Forgeries      int
	Parts                   int     // how many single tasks of each tree users execute, with what they depend on
	Rerun                   bool    // a user executes each tree again when it has ended
	Slots                   int     // of each pool of a worker
	Brisk                   float64 // of tasks: they run for some milliseconds only
	Ahead                   int     // attempts of a pool that a worker may have in line, at most
	Strikes                 int     // things that go wrong for a worker that has something in line
	Older                   bool    // a coordinator knows nothing of lines: nothing is to be claimed ahead
	Beyond                  float64 // how much trees have that the protocol has not: 0 nothing, 1 a lot
	Stale                   float64 // of an answer: it is to an older attempt
	Limits                  float64 // how many tasks ask for limits, locks and rates: 0 none, 1 many
	Operators               int     // pauses and limits that operators set, and take back
	Flows                   float64 // of trees: they are those of random flows
	Trace                   bool
}

// Random draws the parameters of a history from its seed.
func Random(seed uint64) Params {
	r := rand.New(rand.NewPCG(seed, 1))
	p := Params{Seed: seed, Trees: 1 + r.IntN(3), Tasks: 1 + r.IntN(20), Coordinators: 1 + r.IntN(3), Workers: 1 + r.IntN(3),
		Faults: time.Duration(20+r.IntN(100)) * time.Second, Cancels: r.IntN(7), Rerun: r.IntN(3) == 0, Forgeries: r.IntN(20), Slots: 3}
	if r.IntN(4) == 0 {
		p.brisk(r)
	}
	if r.IntN(3) == 0 {
		p.Parts = r.IntN(5)
	}
	if r.IntN(3) > 0 {
		p.Beyond, p.Stale = float64(1+r.IntN(4))/4, 0.1
	}
	if r.IntN(3) == 0 {
		p.Limits, p.Operators = float64(1+r.IntN(4))/4, r.IntN(6)
	}
	if flows := rand.New(rand.NewPCG(seed, 3)); flows.IntN(6) == 0 {
		p.Flows = float64(1+flows.IntN(2)) / 2
	}
	if r.IntN(8) == 0 {
		return p // a quiet one
	}
	rare := func(p float64) float64 { return p * float64(r.IntN(3)) / 2 }
	p.Kill, p.DBError = rare(0.001), rare(0.03)
	p.Lose, p.Copy, p.Slow = rare(0.1), rare(0.1), rare(0.1)
	p.Crashes, p.Freezes, p.Wipes, p.Outages = r.IntN(6), r.IntN(4), r.IntN(3), r.IntN(2)
	p.Cuts, p.Drains = r.IntN(3), r.IntN(3)
	return p
}

// brisk makes a history in which many short tasks come at once, so that workers have lines.
func (p *Params) brisk(r *rand.Rand) {
	p.Tasks, p.Slots, p.Brisk, p.Ahead, p.Older = 20+r.IntN(60), 1+r.IntN(3), 0.7+0.3*r.Float64(), 1+r.IntN(16), r.IntN(16) == 0
	p.Strikes = r.IntN(4)
}

// Smaller are variants of the history with less of one thing, for finding the shortest that still fails.
func (p Params) Smaller() []Params {
	var out []Params
	less := func(f func(*Params)) {
		q := p
		f(&q)
		if q != p {
			out = append(out, q)
		}
	}
	less(func(q *Params) { q.Trees = 1 })
	less(func(q *Params) { q.Tasks = max(1, q.Tasks/2) })
	less(func(q *Params) { q.Tasks = max(1, q.Tasks-1) })
	less(func(q *Params) { q.Coordinators = 1 })
	less(func(q *Params) { q.Workers = max(1, q.Workers-1) })
	for _, f := range []func(*Params) *int{
		func(q *Params) *int { return &q.Crashes }, func(q *Params) *int { return &q.Freezes },
		func(q *Params) *int { return &q.Wipes }, func(q *Params) *int { return &q.Outages },
		func(q *Params) *int { return &q.Cuts }, func(q *Params) *int { return &q.Drains },
		func(q *Params) *int { return &q.Cancels }, func(q *Params) *int { return &q.Forgeries },
		func(q *Params) *int { return &q.Parts }, func(q *Params) *int { return &q.Operators }, func(q *Params) *int { return &q.Strikes },
	} {
		less(func(q *Params) { *f(q) = 0 })
		less(func(q *Params) { *f(q) = max(0, *f(q)-1) })
	}
	for _, f := range []func(*Params) *float64{
		func(q *Params) *float64 { return &q.Kill }, func(q *Params) *float64 { return &q.DBError },
		func(q *Params) *float64 { return &q.Lose }, func(q *Params) *float64 { return &q.Copy },
		func(q *Params) *float64 { return &q.Slow },
	} {
		less(func(q *Params) { *f(q) = 0 })
	}
	less(func(q *Params) { q.Rerun = false })
	less(func(q *Params) { q.Brisk, q.Ahead = 0, 0 })
	less(func(q *Params) { q.Ahead = max(0, q.Ahead-1) })
	less(func(q *Params) { q.Older = false })
	less(func(q *Params) { q.Beyond = 0 })
	less(func(q *Params) { q.Beyond /= 2 })
	less(func(q *Params) { q.Stale = 0 })
	less(func(q *Params) { q.Flows = 0 })
	less(func(q *Params) { q.Limits = 0 })
	less(func(q *Params) { q.Limits /= 2 })
	return out
}

// Shrink looks for a smaller history that breaks a rule too, playing at most budget histories.
func Shrink(p Params, budget int) Params {
	for again := true; again; {
		again = false
		for _, q := range p.Smaller() {
			if budget--; budget < 0 {
				return p
			}
			if Run(q).Broken != "" {
				p, again = q, true
				break
			}
		}
	}
	return p
}
