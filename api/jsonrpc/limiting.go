package jsonrpc

import (
	"fmt"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
)

// limit, lock and rate are what a task asks for before it starts (control 7), as tasks.create takes them.
type limit struct {
	Key  string `json:"key"`
	Max  int32  `json:"max,omitempty"`
	Cost int32  `json:"cost,omitempty"`
}

type lock struct {
	Key          string  `json:"key"`
	OnContention string  `json:"on_contention,omitempty"`
	WaitTimeout  float64 `json:"wait_timeout,omitempty" description:"seconds"`
	Hold         string  `json:"hold,omitempty"`
}

type rate struct {
	Key   string `json:"key"`
	Per   string `json:"per"`
	Max   int32  `json:"max"`
	Burst int32  `json:"burst,omitempty"`
}

func limitsOf(l *dag.Limiting) (limits []limit, held *lock, rates []rate) {
	if l == nil {
		return nil, nil, nil
	}
	for _, one := range l.Limits {
		limits = append(limits, limit{one.Key, one.Max, one.Cost})
	}
	if k := l.Lock; k != nil {
		held = &lock{Key: k.Key, WaitTimeout: k.WaitTimeout.Seconds()}
		if k.OnContention != dag.WaitForLock {
			held.OnContention = k.OnContention.Word()
		}
		if k.Hold != dag.HoldAttempt {
			held.Hold = k.Hold.Word()
		}
	}
	for _, one := range l.Rates {
		rates = append(rates, rate{one.Key, dag.RateWord(one.Per), one.Max, one.Burst})
	}
	return limits, held, rates
}

func (o *beyond) appendLimits(b []byte) []byte {
	if len(o.Limits) > 0 {
		b = appendJSON(append(b, `,"limits":`...), o.Limits)
	}
	if o.Lock != nil {
		b = appendJSON(append(b, `,"lock":`...), o.Lock)
	}
	if len(o.Rates) > 0 {
		b = appendJSON(append(b, `,"rates":`...), o.Rates)
	}
	return b
}

// limiting reads what the task is to ask for. An empty list takes limits and rates away, and an empty object the lock.
func (u updates) limiting() {
	c := u.change
	c.HasLimits, c.HasLock, c.HasRates = u.given("limits"), u.given("lock"), u.given("rates")
	if !c.HasLimiting() {
		return
	}
	of := func(name string, given bool) []byte {
		if !given {
			return nil
		}
		return u.values[name]
	}
	locked := of("lock", c.HasLock)
	if strings.Join(strings.Fields(string(locked)), "") == "{}" {
		locked = nil
	}
	var faults []*dag.InvalidTaskError
	c.Limiting, faults = treedoc.Limiting(of("limits", c.HasLimits), locked, of("rates", c.HasRates))
	for _, f := range faults {
		c.Faults = append(c.Faults, fmt.Sprintf("Cannot update '%s': %s", f.Field, f.Reason))
	}
}
