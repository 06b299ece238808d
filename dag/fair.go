package dag

import (
	"cmp"
	"math"
	"slices"
)

// ShareKey numbers who shares slots: a user of a namespace. 0 stands for nobody in particular. The numbers are stored.
type ShareKey int32

// Claimant is a share whose tasks wait in a pool.
type Claimant struct {
	Share    ShareKey
	Weight   float64 // how many slots it has of right, beside others; above 0
	InFlight int     // tasks of it that are published or run in the pool
	Passed   int     // of these, how many have passed others; see [Express]
	Waits    int     // tasks that wait, as far as is known
	Credit   float64 // what it was owed of a task when the tasks before were given out, -1 to 1; see [FairShares]
}

// FairShares says how many of its tasks each claimant may start, room in all if so many wait. Who has least in flight for its weight comes first, until
// all are level: nobody gets a task while another that waits would have less for its weight, even with one more (control 7). What remains of
// whole tasks goes by turns: FairShares updates what each is owed. So where there are fewer slots than claimants, they take turns, by their weights.
func FairShares(room int, of []Claimant) (quotas []int) {
	quotas = make([]int, len(of))
	level := fairLevel(room, of)
	type rest struct {
		i    int
		owed float64
	}
	var rests []rest
	given := 0
	for i := range of {
		c := &of[i]
		due := min(max(level*c.Weight-float64(c.InFlight), 0), float64(c.Waits))
		quotas[i] = int(math.Floor(due + 1e-6))
		given += quotas[i]
		if part := due - float64(quotas[i]); quotas[i] < c.Waits && due > 0 {
			rests = append(rests, rest{i, part + c.Credit})
		}
		c.Credit += due - float64(quotas[i])
	}
	slices.SortStableFunc(rests, func(a, b rest) int {
		if math.Abs(a.owed-b.owed) < 1e-6 {
			return cmp.Compare(of[a.i].Share, of[b.i].Share)
		}
		return cmp.Compare(b.owed, a.owed)
	})
	for _, r := range rests[:min(len(rests), max(0, room-given))] {
		quotas[r.i]++
		of[r.i].Credit--
	}
	for i := range of {
		of[i].Credit = min(max(of[i].Credit, -1), 1)
	}
	return quotas
}

// Express says how many of its tasks each claimant may have pass what others published before: who has less in flight than its part of the slots, up to that
// part, one task at least. Claimants are all who wait or have something in flight. All that have passed, and are in flight, are no more than the parts of those
// who have no more than their part, or one task: so what is passed has its part, too. It goes by turns, as in [FairShares].
func Express(slots int, of []Claimant) []int {
	total, theirs, passed := 0.0, 0.0, 0
	for i := range of {
		total, passed = total+of[i].Weight, passed+of[i].Passed
	}
	passing := slices.Clone(of)
	for i := range passing {
		c := &passing[i]
		part := min(slots, max(1, int(math.Ceil(float64(slots)*c.Weight/total-1e-6))))
		if c.InFlight <= part {
			theirs += c.Weight
		}
		c.Waits = min(c.Waits, max(0, part-c.InFlight))
	}
	quotas := FairShares(max(1, int(float64(slots)*theirs/total+1e-6))-passed, passing)
	for i := range of {
		of[i].Credit = passing[i].Credit
	}
	return quotas
}

// fairLevel is how much each claimant may have in flight for a weight of 1 so that room is used up, or all that wait is taken.
func fairLevel(room int, of []Claimant) float64 {
	type step struct{ at, slope float64 }
	steps := make([]step, 0, 2*len(of))
	for _, c := range of {
		if c.Waits > 0 {
			steps = append(steps, step{float64(c.InFlight) / c.Weight, c.Weight}, step{float64(c.InFlight+c.Waits) / c.Weight, -c.Weight})
		}
	}
	slices.SortFunc(steps, func(a, b step) int { return cmp.Compare(a.at, b.at) })
	left, slope, level := float64(max(0, room)), 0.0, 0.0
	for _, s := range steps {
		if need := slope * (s.at - level); need >= left && slope > 0 {
			return level + left/slope
		} else if slope > 0 {
			left -= need
		}
		level, slope = s.at, slope+s.slope
	}
	return level
}
