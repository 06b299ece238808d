package dag

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestCeiling(t *testing.T) {
	for name, c := range map[string]struct {
		policy RetryPolicy
		failed int
		want   time.Duration
	}{
		"defaults: one second at first":               {RetryPolicy{}, 1, time.Second},
		"defaults: doubles":                           {RetryPolicy{}, 4, 8 * time.Second},
		"defaults: a minute at most":                  {RetryPolicy{}, 7, time.Minute},
		"exponential from the initial delay":          {RetryPolicy{Backoff: Exponential, InitialDelay: 100 * time.Millisecond}, 3, 400 * time.Millisecond},
		"linear":                                      {RetryPolicy{Backoff: Linear, InitialDelay: 2 * time.Second}, 3, 6 * time.Second},
		"linear to the maximum":                       {RetryPolicy{Backoff: Linear, InitialDelay: 2 * time.Second, MaxDelay: 5 * time.Second}, 3, 5 * time.Second},
		"fixed":                                       {RetryPolicy{Backoff: Fixed, InitialDelay: 2 * time.Second}, 30, 2 * time.Second},
		"the maximum cuts a longer initial delay":     {RetryPolicy{Backoff: Fixed, InitialDelay: time.Hour, MaxDelay: time.Second}, 1, time.Second},
		"no failure counts as one":                    {RetryPolicy{}, 0, time.Second},
		"no overflow: exponential":                    {RetryPolicy{InitialDelay: 1, MaxDelay: math.MaxInt64}, 1 << 30, math.MaxInt64},
		"no overflow: exponential from a large delay": {RetryPolicy{InitialDelay: math.MaxInt64 - 1, MaxDelay: math.MaxInt64}, 2, math.MaxInt64},
		"no overflow: linear":                         {RetryPolicy{Backoff: Linear, InitialDelay: 1 << 62, MaxDelay: math.MaxInt64}, 3, math.MaxInt64},
		"an unknown back-off is exponential":          {RetryPolicy{Backoff: "?"}, 2, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.policy.Ceiling(c.failed); got != c.want {
				t.Errorf("Ceiling(%d) = %v, want %v", c.failed, got, c.want)
			}
		})
	}
}

func TestDelayLiesBelowItsCeiling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := RetryPolicy{
			Backoff:      rapid.SampledFrom([]Backoff{"", Exponential, Linear, Fixed}).Draw(t, "backoff"),
			InitialDelay: time.Duration(rapid.Int64Min(0).Draw(t, "initial")),
			MaxDelay:     time.Duration(rapid.Int64Min(0).Draw(t, "max")),
		}
		failed := rapid.IntRange(1, 1_000_000).Draw(t, "failed")
		ceiling := p.Ceiling(failed)
		got := p.Delay(failed, rapid.Float64().Draw(t, "random"))
		if got < 0 || got > ceiling {
			t.Fatalf("Delay = %v, ceiling %v", got, ceiling)
		}
		if next := p.Ceiling(failed + 1); next < ceiling {
			t.Fatalf("Ceiling sinks from %v to %v", ceiling, next)
		}
	})
}

func TestDelayUsesTheWholeRange(t *testing.T) {
	p := RetryPolicy{Backoff: Fixed, InitialDelay: time.Second}
	for random, want := range map[float64]time.Duration{
		-1: 0, 0: 0, 0.25: 250 * time.Millisecond, 0.5: 500 * time.Millisecond, math.NaN(): 0,
		1: time.Second - 1, 7: time.Second - 1,
	} {
		if got := p.Delay(1, random); got != want {
			t.Errorf("Delay(1, %v) = %v, want %v", random, got, want)
		}
	}
}

func TestExhausted(t *testing.T) {
	for name, c := range map[string]struct {
		attempts, counted int
		want              bool
	}{
		"no policy: one attempt":          {0, 1, true},
		"nothing counted yet":             {0, 0, false},
		"second of three failed":          {3, 2, false},
		"third of three failed":           {3, 3, true},
		"more than allowed":               {3, 4, true},
		"a negative number is one":        {-5, 0, false},
		"a negative number is one, ended": {-5, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (RetryPolicy{MaxAttempts: c.attempts}).Exhausted(c.counted); got != c.want {
				t.Errorf("Exhausted(%d) of %d = %v, want %v", c.counted, c.attempts, got, c.want)
			}
		})
	}
}

func TestFailureMayAskTheNextAttemptToWait(t *testing.T) {
	open := RetryPolicy{MaxAttempts: 3, InitialDelay: 2 * time.Second}
	bounded := open
	bounded.MaxDelay = 10 * time.Second
	for _, row := range []struct {
		p      RetryPolicy
		after  time.Duration
		random float64
		want   time.Duration
	}{
		{open, 0, 0.5, time.Second},
		{open, -time.Second, 0.5, time.Second},
		{open, time.Millisecond, 0.5, time.Second + time.Millisecond},
		{open, 2 * time.Minute, 0, 2 * time.Minute}, // over the default of MaxDelay
		{open, time.Minute, 0.5, time.Minute + time.Second},
		{open, math.MaxInt64, 0, MaxRetryAfter},
		{open, math.MaxInt64, 0.5, MaxRetryAfter + time.Second},
		{bounded, 0, 0.5, time.Second},
		{bounded, 5 * time.Second, 0.5, 6 * time.Second},
		{bounded, time.Minute, 0, 10 * time.Second}, // the policy's own word
		{bounded, time.Minute, 0.5, 10 * time.Second},
		{bounded, math.MaxInt64, 0.5, 10 * time.Second},
	} {
		if got := row.p.DelayAfter(1, row.random, row.after); got != row.want {
			t.Errorf("DelayAfter(1, %v, %v) of a max_delay of %v = %v, want %v", row.random, row.after, row.p.MaxDelay, got, row.want)
		}
	}
}
