package dag_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// TestGrantsOfOneKeyByTwoRates: tasks that use one key with different rates share its time. Those of one rate start no faster than it lets, whatever the
// others do; all together use up no more time than there is; and all start, in their order.
func TestGrantsOfOneKeyByTwoRates(t *testing.T) {
	t.Parallel()
	k := dag.LimitKey{Namespace: 1, Kind: dag.KindRate, Key: "api"}
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0x7a7e))
		rates := make([]dag.Want, 2)
		for i := range rates {
			rates[i] = dag.Want{LimitKey: k, Cost: 1, Max: 1 + rng.Int32N(20), Per: []time.Duration{time.Second, time.Minute, time.Hour}[rng.IntN(3)], Burst: rng.Int32N(8)}
		}
		each := func(w dag.Want) time.Duration { return w.Per / time.Duration(w.Max) }
		burst := func(w dag.Want) int { return int(max(w.Burst, (1-min(w.Burst, 1))*w.Max)) }
		ahead := func(w dag.Want) time.Duration { return each(w) * time.Duration(burst(w)-1) }

		now := time.Unix(1e9, 0)
		begin, state := now, dag.LimitState{}
		var waiting []*dag.Waiter
		of := map[dag.Key]int{} // which rate a task uses
		const tasks = 60
		for n := range tasks {
			w := &dag.Waiter{Task: dag.TreeKey(1).Key(n), Attempt: 1, Line: int64(n), Pool: 1, At: now}
			of[w.Task] = rng.IntN(2)
			w.Wants = []dag.Want{rates[of[w.Task]]}
			waiting = append(waiting, w)
		}
		starts := make([][]time.Time, 2)
		var used time.Duration
		for rounds := 0; len(waiting) > 0; rounds++ {
			if rounds > 4*tasks {
				t.Fatalf("seed %d: %d tasks never start", seed, len(waiting))
			}
			s := state
			g := dag.Granting{Now: now, Waiters: waiting, Keys: map[dag.LimitKey]*dag.LimitState{k: &s}, Room: map[int32]int{1: tasks}}
			out := g.Grant()
			for i, granted := range out.Granted {
				if granted.Task != waiting[i].Task {
					t.Fatalf("seed %d: task %d starts before task %d", seed, granted.Task, waiting[i].Task)
				}
				which := of[granted.Task]
				starts[which] = append(starts[which], now)
				used += each(rates[which])
			}
			waiting = waiting[len(out.Granted):]
			if due, moved := out.Due[k]; moved {
				state.Due = due
			}
			most := max(ahead(rates[0])+each(rates[0]), ahead(rates[1])+each(rates[1]))
			if there := now.Sub(begin) + most; used > there {
				t.Fatalf("seed %d: %v of the key's time are used, there are %v", seed, used, there)
			}
			next, later := out.Next[k]
			if later == (len(waiting) == 0) {
				t.Fatalf("seed %d: %d tasks wait, and the next may start: %v", seed, len(waiting), later)
			}
			if later {
				now = next.Add(time.Duration(rng.IntN(3)) * time.Second / 10)
			}
		}
		for i, at := range starts {
			for a := range at {
				for b := a; b < len(at); b++ {
					if lets := burst(rates[i]) + int(at[b].Sub(at[a])/each(rates[i])); b-a+1 > lets {
						t.Fatalf("seed %d: %d start within %v by %d in %v, which lets %d", seed, b-a+1, at[b].Sub(at[a]), rates[i].Max, rates[i].Per, lets)
					}
				}
			}
		}
	}
}
