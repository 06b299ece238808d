package dag

import (
	"math"
	"time"
)

// MaxMultiplier is the most that [RetryPolicy.Multiplier] may be; it is at least 1.
const MaxMultiplier = 1000

// MaxRetryAttempts is the most that [RetryPolicy.MaxAttempts] may be.
const MaxRetryAttempts = 1000

// Exhausted reports whether a task that has failed counted times, in attempts that count against the policy, gets no
// further one.
func (p RetryPolicy) Exhausted(counted int) bool { return counted >= max(1, p.MaxAttempts) }

// Delay is how long to wait before the next attempt after failed counted failures (from 1; less is read as 1), drawn
// with full jitter: random, from [0,1), times what [RetryPolicy.Ceiling] allows. So it lies in [0, ceiling), and tasks
// that failed together do not come back together. A random outside [0,1) is moved to its nearer end.
func (p RetryPolicy) Delay(failed int, random float64) time.Duration {
	if p.NoJitter {
		return p.Ceiling(failed)
	}
	if !(random > 0) { // NaN too
		return 0
	}
	random = min(random, math.Nextafter(1, 0))
	return time.Duration(random * float64(p.Ceiling(failed)))
}

// MaxRetryAfter bounds how long a failed attempt may ask for no further one where its policy names no MaxDelay: what runs into a service that wants to be left
// alone for longer tries again after this.
const MaxRetryAfter = time.Hour

// DelayAfter is [RetryPolicy.Delay] where the failure said after what time another attempt makes sense: that on top of the
// jitter's draw, so that tasks which were turned away together do not come back together. A MaxDelay that the policy names bounds the whole (control 4);
// where it names none, what was asked for counts up to [MaxRetryAfter].
func (p RetryPolicy) DelayAfter(failed int, random float64, after time.Duration) time.Duration {
	delay := p.Delay(failed, random)
	if after <= 0 {
		return delay
	}
	if p.MaxDelay > 0 {
		return min(after, p.MaxDelay-min(delay, p.MaxDelay)) + delay
	}
	return min(after, MaxRetryAfter) + delay
}

// Ceiling is the longest delay after failed counted failures: the initial delay, doubled at each failure after the
// first (exponential, and any back-off that is not known), multiplied by their number (linear) or as it is (fixed), and
// never over MaxDelay, which thereby also cuts an initial delay above it. It is never negative.
func (p RetryPolicy) Ceiling(failed int) time.Duration {
	initial, limit := p.InitialDelay, p.MaxDelay
	switch {
	case p.NoDelay:
		return 0
	case initial <= 0:
		initial = DefaultInitialDelay
	}
	if limit <= 0 {
		limit = DefaultMaxDelay
	}
	failed = max(1, failed)
	switch p.Backoff {
	case Fixed:
	case Linear:
		if time.Duration(failed) > limit/initial {
			return limit
		}
		initial *= time.Duration(failed)
	default:
		for range min(failed-1, maxDoublings) {
			if initial >= limit {
				break
			}
			next := float64(initial) * p.multiplier()
			if next >= float64(limit) {
				return limit
			}
			initial = time.Duration(next)
		}
	}
	return min(initial, limit)
}

// maxDoublings bounds the rounds of a back-off whose multiplier is hardly over 1: no task has more attempts.
const maxDoublings = MaxRetryAttempts

func (p RetryPolicy) multiplier() float64 {
	if p.Multiplier < 1 {
		return 2
	}
	return p.Multiplier
}
