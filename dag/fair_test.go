package dag

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestFairShares(t *testing.T) {
	for _, tt := range []struct {
		fact string
		room int
		of   []Claimant
		want []int
	}{
		{"nobody waits", 4, nil, []int{}},
		{"one has it all", 4, []Claimant{{Weight: 1, Waits: 100}}, []int{4}},
		{"no more than waits", 4, []Claimant{{Weight: 1, Waits: 2}}, []int{2}},
		{"halves, whatever waits", 4, []Claimant{{Share: 1, Weight: 1, Waits: 100_000}, {Share: 2, Weight: 1, Waits: 2}}, []int{2, 2}},
		{"what one leaves is the other's", 4, []Claimant{{Share: 1, Weight: 1, Waits: 100_000}, {Share: 2, Weight: 1, Waits: 1}}, []int{3, 1}},
		{"who has least comes first", 4, []Claimant{{Share: 1, Weight: 1, InFlight: 16, Waits: 100}, {Share: 2, Weight: 1, Waits: 100}}, []int{0, 4}},
		{"until all are level", 6, []Claimant{{Share: 1, Weight: 1, InFlight: 4, Waits: 100}, {Share: 2, Weight: 1, Waits: 100}}, []int{1, 5}},
		{"by weight", 8, []Claimant{{Share: 1, Weight: 3, Waits: 100}, {Share: 2, Weight: 1, Waits: 100}}, []int{6, 2}},
		{"by weight, with what is in flight", 8, []Claimant{{Share: 1, Weight: 3, InFlight: 4, Waits: 100}, {Share: 2, Weight: 1, InFlight: 4, Waits: 100}}, []int{8, 0}},
		{"no room", 0, []Claimant{{Weight: 1, Waits: 100}}, []int{0}},
	} {
		if got := FairShares(tt.room, tt.of); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.fact, got, tt.want)
		}
	}
}

// TestFairSharesAreMaxMin: whatever is in flight, all room is used that can be, and nobody gets a task while another that waits would have less for its
// weight with one more.
func TestFairSharesAreMaxMin(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		of := make([]Claimant, 1+random.IntN(8))
		waits := 0
		for i := range of {
			of[i] = Claimant{Share: ShareKey(i), Weight: []float64{0.001, 0.5, 1, 1, 3, 7.5, 1000}[random.IntN(7)], InFlight: random.IntN(1 + 1<<random.IntN(12)),
				Waits: random.IntN(1 + 1<<random.IntN(12)), Credit: 2*random.Float64() - 1}
			waits += of[i].Waits
		}
		room := random.IntN(1 + 1<<random.IntN(12))
		q := FairShares(room, of)
		sum := 0
		for i, c := range of {
			sum += q[i]
			if q[i] < 0 || q[i] > c.Waits {
				t.Fatalf("room %d of %+v: %v", room, of, q)
			}
			for j, d := range of {
				if with := float64(c.InFlight+q[i]-1) / c.Weight; q[i] > 0 && q[j] < d.Waits && with > float64(d.InFlight+q[j]+1)/d.Weight+1e-6 {
					t.Fatalf("room %d of %+v: %v: %d has %v for its weight without the last, and %d waits", room, of, q, i, with, j)
				}
			}
			if c.Credit < -1 || c.Credit > 1 {
				t.Fatalf("room %d: credit %v", room, c.Credit)
			}
		}
		if sum != min(room, waits) {
			t.Fatalf("room %d of %+v: %v", room, of, q)
		}
	}
}

// TestFewSlotsAreTakenInTurns: over time each has what its weight gives it, though there is a slot for one of them only.
func TestFewSlotsAreTakenInTurns(t *testing.T) {
	for _, slots := range []int{1, 2, 3} {
		of := []Claimant{{Share: 1, Weight: 1}, {Share: 2, Weight: 1}, {Share: 3, Weight: 2}}
		started := make([]int, len(of))
		var running []int // whose, the oldest first
		for range 4000 {
			for i := range of {
				of[i].Waits = 1000
			}
			for i, n := range FairShares(slots-len(running), of) {
				for range n {
					running, started[i], of[i].InFlight = append(running, i), started[i]+1, of[i].InFlight+1
				}
			}
			of[running[0]].InFlight--
			running = running[1:]
		}
		if d := started[0] - started[1]; d < -4 || d > 4 {
			t.Errorf("%d slots: %v, want as many of the first two", slots, started)
		}
		if r := float64(started[2]) / float64(started[0]); slots == 1 && (r < 1.9 || r > 2.1) || r < 1.3 {
			t.Errorf("%d slots: %v, want twice as many of the third", slots, started)
		}
	}
}

func TestExpress(t *testing.T) {
	many := Claimant{Share: 1, Weight: 1, InFlight: 48, Waits: 1000}
	for _, tt := range []struct {
		fact  string
		slots int
		of    []Claimant
		want  []int
	}{
		{"one who comes", 16, []Claimant{many, {Share: 2, Weight: 1, Waits: 1}}, []int{0, 1}},
		{"no more than half of the slots", 16, []Claimant{many, {Share: 2, Weight: 1, Waits: 100}}, []int{0, 8}},
		{"with those in flight", 16, []Claimant{many, {Share: 2, Weight: 1, InFlight: 5, Waits: 100}}, []int{0, 3}},
		{"by weight", 16, []Claimant{many, {Share: 2, Weight: 3, Waits: 100}}, []int{0, 12}},
		{"a slot of which half is theirs", 1, []Claimant{many, {Share: 2, Weight: 1, Waits: 5}}, []int{0, 1}},
		{"which they have", 1, []Claimant{many, {Share: 2, Weight: 1, InFlight: 1, Waits: 5}}, []int{0, 0}},
		{"which another has", 1, []Claimant{{Share: 1, Weight: 1, InFlight: 1, Waits: 9}, {Share: 2, Weight: 1, Waits: 5}}, []int{0, 1}},
		{"which one has that passed: the others would never have it", 1, []Claimant{many, {Share: 2, Weight: 1, InFlight: 1, Passed: 1}, {Share: 3, Weight: 1, Waits: 5}}, []int{0, 0, 0}},
		{"by turns", 1, []Claimant{many, {Share: 2, Weight: 1, Credit: -.5, Waits: 1}, {Share: 3, Weight: 1, Credit: .5, Waits: 5}}, []int{0, 0, 1}},
		{"two who come", 16, []Claimant{many, {Share: 2, Weight: 1, Waits: 100}, {Share: 3, Weight: 1, Waits: 2}}, []int{0, 6, 2}},
		{"nobody has more than its part", 4, []Claimant{{Share: 1, Weight: 1, InFlight: 2, Waits: 9}, {Share: 2, Weight: 1, InFlight: 2, Waits: 9}}, []int{0, 0}},
		{"no slots", 0, []Claimant{many, {Share: 2, Weight: 1, Waits: 1}}, []int{0, 0}},
		{"nobody", 16, nil, []int{}},
	} {
		if got := Express(tt.slots, tt.of); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.fact, got, tt.want)
		}
	}
}

// TestWhatIsPassedHasItsPart: however many come, all who pass have no more in flight than their parts, or one task.
func TestWhatIsPassedHasItsPart(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		of := make([]Claimant, 1+random.IntN(8))
		total := 0.0
		for i := range of {
			of[i] = Claimant{Share: ShareKey(i), Weight: []float64{0.001, 0.5, 1, 1, 3, 1000}[random.IntN(6)], InFlight: random.IntN(1 + 1<<random.IntN(8)), Waits: random.IntN(1 + 1<<random.IntN(8))}
			of[i].Passed = random.IntN(1 + of[i].InFlight)
			total += of[i].Weight
		}
		slots := random.IntN(1 + 1<<random.IntN(8))
		q := Express(slots, of)
		sum, passed, theirs := 0, 0, 0.0
		for i, c := range of {
			part := float64(slots) * c.Weight / total
			if q[i] < 0 || q[i] > c.Waits || q[i] > 0 && float64(c.InFlight+q[i]) >= part+1 {
				t.Fatalf("%d slots, %+v: %v: %d has a part of %v", slots, of, q, i, part)
			}
			if float64(c.InFlight) < part+1 {
				theirs += part
			}
			sum, passed = sum+q[i], passed+c.Passed
		}
		if sum > 0 && float64(passed+sum) > max(1, theirs+1e-3) {
			t.Fatalf("%d slots, %+v: %v: %d would have passed, and the part of all who may is %v", slots, of, q, passed+sum, theirs)
		}
	}
}
