package demand

import (
	"math"
	"sync"
	"time"
)

// Lasting learns how long the attempts of each pool last. Safe for concurrent use.
type Lasting struct {
	mu    sync.Mutex
	pools map[int32]*lengths
}

// lengths counts attempts by how long they lasted, those of late for more. The bounds of its classes grow by half.
type lengths struct {
	classes [lengthClasses]float32
	sum     float32
}

const (
	lengthClasses = 64 // up to 5 years
	shortest      = float64(time.Millisecond)
	growth        = 1.5
	recent        = 512  // so many attempts count: with as many more, each counts half
	enough        = 3    // nothing is said after fewer
	mostPools     = 2000 // beyond it, one is forgotten for another
)

// NewLasting knows nothing yet.
func NewLasting() *Lasting { return &Lasting{pools: map[int32]*lengths{}} }

// Learn notes that an attempt of a pool lasted so long.
func (l *Lasting) Learn(pool int32, lasted time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := l.pools[pool]
	if of == nil {
		if len(l.pools) >= mostPools {
			for other := range l.pools {
				delete(l.pools, other)
				break
			}
		}
		of = &lengths{}
		l.pools[pool] = of
	}
	of.classes[classOf(lasted)]++
	if of.sum++; of.sum >= 2*recent {
		of.sum = 0
		for i := range of.classes {
			of.classes[i] /= 2
			of.sum += of.classes[i]
		}
	}
}

// Left is how much longer an attempt of a pool is expected to run that has run for so long already: half of those that ran for so long ended
// by then. false: nobody can tell, as too few were seen, or none that lasted longer.
func (l *Lasting) Left(pool int32, since time.Duration) (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := l.pools[pool]
	if of == nil || of.sum < enough {
		return 0, false
	}
	from, longer := classOf(since), float32(0)
	for _, n := range of.classes[from:] {
		longer += n
	}
	if longer < 0.01 {
		return 0, false
	}
	passed := float32(0)
	for i, n := range of.classes[from:] {
		if passed += n; passed >= longer/2 {
			middle := boundOf(from + i)
			if i > 0 {
				middle = time.Duration(float64(middle) / math.Sqrt(growth))
			}
			return max(0, middle-since), true
		}
	}
	return 0, false
}

// classOf is the class of a length; boundOf its upper bound.
func classOf(d time.Duration) int {
	if float64(d) <= shortest {
		return 0
	}
	return min(lengthClasses-1, int(math.Ceil(math.Log(float64(d)/shortest)/math.Log(growth)-1e-9)))
}

func boundOf(class int) time.Duration {
	return time.Duration(shortest * math.Pow(growth, float64(class)))
}
