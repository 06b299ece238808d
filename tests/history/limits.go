package history

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Held is what a run holds of a key from before its start until after its end.
type Held struct {
	Key   string // with its kind: "lock db", "limit api"
	Cost  int
	Max   int   // of all that is held of it at a time, as the run's task has it; 0: not limited
	Token int64 // of a lock; 0: it is none, or nobody has seen it
	// Refused: what the lock is for did not take its token, as it had seen a later one.
	Refused bool
}

// use is a run with one of the keys that it holds.
type use struct {
	Run
	Held
}

// held checks, at each start, what is held of each key, and that tokens of a lock grow from one holder to the next. What stood still
// past its lease could not stop, and is excused: the token is there for that. What was cancelled holds its keys until it has stopped,
// and what holds keys does not start before its claim, so that nothing else is.
func (c *checker) held() {
	uses := map[string][]use{}
	for _, r := range c.h.Runs {
		for _, h := range r.Held {
			uses[h.Key] = append(uses[h.Key], use{r, h})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(uses)) {
		list := uses[key]
		slices.SortFunc(list, func(a, b use) int { return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Token, b.Token)) })
		for i, u := range list {
			if n := heldAt(list, u.Start); u.Max > 0 && n > u.Max && !u.stood(u.Start) {
				c.broke(Limits, u.Task, "%d of %s are held at %s, of at most %d", n, key, u.Start, u.Max)
			}
			if u.Refused && !u.Frozen {
				c.broke(Fencing, u.Task, "token %d of %s is refused, and its process never stood still", u.Token, key)
			}
			if i == 0 || u.Token == 0 || u.Start == list[i-1].Start {
				continue
			}
			if before := list[i-1]; u.Token <= before.Token && !u.stood(u.Start) {
				c.broke(Fencing, u.Task, "its token of %s is %d, and that of %s before it was %d", key, u.Token, before.Task, before.Token)
			}
		}
	}
}

// heldAt is what runs hold at a time, those left out that could not stop.
func heldAt(list []use, at time.Duration) (n int) {
	for _, o := range list {
		if o.Start <= at && !o.over(at) && !o.stood(at) {
			n += o.Cost
		}
	}
	return n
}
