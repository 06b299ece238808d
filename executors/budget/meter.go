package budget

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/executors"
)

// KindExhausted is the kind of the error of a task whose budget is used up.
const KindExhausted = "budget"

// Exhausted is the error of a call that a budget has no room for. Nothing was sent.
type Exhausted struct {
	Which string // tokens, calls, money or seconds
	text  string
}

// Error says what is used up, and how much of it there was.
func (e *Exhausted) Error() string { return e.text }

// ExhaustedOf is the [Exhausted] that an error is or wraps; nil: it has nothing to do with a budget.
func ExhaustedOf(err error) *Exhausted {
	e, _ := errors.AsType[*Exhausted](err)
	return e
}

// Meter is the account of one attempt. Several agents may share it: it is safe for concurrent use. A nil Meter has no limits.
type Meter struct {
	limits Limits
	until  time.Time // zero: no end

	mu       sync.Mutex
	used     executors.Usage // settled, with that of earlier attempts
	reserved Need            // of calls under way
}

// Need is what a call may take at most, or what calls under way may take together.
type Need struct {
	Calls, Tokens int64
	Cost          int64 // billionths
}

// Meter begins the account of an attempt. spent is what earlier attempts of the run have used.
func (l *Limits) Meter(spent executors.Usage) *Meter {
	m := &Meter{limits: *l, used: spent}
	if l.Time > 0 {
		m.until = time.Now().Add(l.Time)
	}
	return m
}

// Limits are those of the account; zero for a nil Meter.
func (m *Meter) Limits() Limits {
	if m == nil {
		return Limits{On: Fail}
	}
	return m.limits
}

// Used is all that was settled, with what earlier attempts have used.
func (m *Meter) Used() executors.Usage {
	if m == nil {
		return executors.Usage{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// Context ends when the time of the budget is up, with an [Exhausted] as its cause. The caller must cancel.
func (m *Meter) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	if m == nil || m.until.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadlineCause(ctx, m.until, executors.Permanent(executors.WithKind(m.timeUp(), KindExhausted)))
}

func (m *Meter) timeUp() *Exhausted {
	return &Exhausted{"seconds", fmt.Sprintf("budget of %v seconds is exhausted", m.limits.Time.Seconds())}
}

// Room is how many tokens a call may still take, all reservations apart, at a price per token of the answer in billionths (0: money does
// not matter). ok: there is a limit at all.
func (m *Meter) Room(prompt int64, price Price) (tokens int64, ok bool) {
	if m == nil {
		return 0, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.limits.Tokens > 0 {
		tokens, ok = m.limits.Tokens-sum(m.used.TotalTokens(), m.reserved.Tokens, prompt), true
	}
	if m.limits.Money > 0 && price.Output > 0 {
		left := m.limits.Money - sum(m.used.CostNanos, m.reserved.Cost, price.Cost(executors.Usage{PromptTokens: prompt}))
		if affordable := int64(max(-most, min(float64(left)/(price.Output*perToken), most))); !ok || affordable < tokens {
			tokens, ok = affordable, true
		}
	}
	return tokens, ok
}

// Reservation is room that a call takes until it is settled.
type Reservation struct {
	meter *Meter
	need  Need
	once  sync.Once
}

// Reserve takes room for a call, or says in an [Exhausted], which is permanent, that there is none.
func (m *Meter) Reserve(need Need) (*Reservation, error) {
	if m == nil {
		return &Reservation{}, nil
	}
	if need.Calls == 0 {
		need.Calls = 1
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refusal(need); err != nil {
		return nil, executors.Permanent(executors.WithKind(err, KindExhausted))
	}
	m.reserved.add(need, 1)
	return &Reservation{meter: m, need: need}, nil
}

// refusal is what is used up, if there is no room. The caller holds mu. It returns an error that is nil, or an *Exhausted.
func (m *Meter) refusal(need Need) error {
	if !m.until.IsZero() && !time.Now().Before(m.until) {
		return m.timeUp()
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	for _, row := range []struct {
		which                       string
		limit, used, reserved, need int64
		show                        func(int64) string
	}{
		{"calls", m.limits.Calls, m.used.Calls, m.reserved.Calls, need.Calls, number},
		{"tokens", m.limits.Tokens, m.used.TotalTokens(), m.reserved.Tokens, need.Tokens, number},
		{"money", m.limits.Money, m.used.CostNanos, m.reserved.Cost, need.Cost, Money},
	} {
		if row.limit == 0 || sum(row.used, row.reserved, row.need) <= row.limit && sum(row.used, row.reserved) < row.limit {
			continue
		}
		unit := row.which
		text := fmt.Sprintf("budget of %s %s is exhausted: %s used", row.show(row.limit), unit, row.show(row.used))
		if row.reserved > 0 {
			text += fmt.Sprintf(", %s reserved by calls under way", row.show(row.reserved))
		}
		return &Exhausted{row.which, text + fmt.Sprintf(", and the next call may take %s", row.show(row.need))}
	}
	return nil
}

// sum of numbers of which none is below 0. It stays at the largest number: what a service says it used must not turn a budget over.
func sum(numbers ...int64) (total int64) {
	for _, n := range numbers {
		if total += n; total < 0 {
			return math.MaxInt64
		}
	}
	return total
}

func (n *Need) add(other Need, sign int64) {
	n.Calls, n.Tokens, n.Cost = n.Calls+sign*other.Calls, n.Tokens+sign*other.Tokens, n.Cost+sign*other.Cost
}

// Settle gives the room back and counts what the call has really used; nothing, if it was not answered. Only the first one counts.
func (r *Reservation) Settle(used executors.Usage) {
	if r.meter == nil {
		return
	}
	r.once.Do(func() {
		r.meter.mu.Lock()
		defer r.meter.mu.Unlock()
		r.meter.reserved.add(r.need, -1)
		r.meter.used.Add(used)
	})
}
