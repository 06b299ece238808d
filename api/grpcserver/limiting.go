package grpcserver

import (
	"fmt"

	"github.com/taskgrove/taskgrove/dag"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// limitingOf reads what a task asks for before it starts; nil: nothing. What can't be read is told, and left out or replaced by something that has no
// further fault.
func limitingOf(limits []*pb.Limit, lock *pb.Lock, rates []*pb.Rate, fault func(field, reason string)) *dag.Limiting {
	l := &dag.Limiting{}
	if len(limits) > dag.MaxLimits {
		fault("limits", fmt.Sprintf("must be at most %d, got %d", dag.MaxLimits, len(limits)))
		limits = limits[:dag.MaxLimits]
	}
	for _, one := range limits {
		l.Limits = append(l.Limits, dag.Limit{Key: one.GetKey(), Max: one.GetMax(), Cost: one.GetCost()})
	}
	if lock != nil {
		l.Lock = lockOf(lock, fault)
	}
	if len(rates) > dag.MaxRates {
		fault("rates", fmt.Sprintf("must be at most %d, got %d", dag.MaxRates, len(rates)))
		rates = rates[:dag.MaxRates]
	}
	for i, one := range rates {
		r := dag.Rate{Key: one.GetKey(), Per: dag.RatePeriods[one.GetPer()], Max: one.GetMax(), Burst: one.GetBurst()}
		if r.Per == 0 {
			fault(fmt.Sprintf("rates[%d].per", i), "must be second, minute or hour")
			r.Per = dag.RatePeriods["second"]
		}
		l.Rates = append(l.Rates, r)
	}
	if l.Empty() {
		return nil
	}
	return l
}

func lockOf(lock *pb.Lock, fault func(field, reason string)) *dag.Lock {
	out := &dag.Lock{Key: lock.Key}
	var known bool
	if out.OnContention, known = dag.ParseOnContention(lock.OnContention); !known {
		fault("lock.on_contention", "must be wait, fail or skip")
	}
	if out.Hold, known = dag.ParseLockHold(lock.Hold); !known {
		fault("lock.hold", dag.HoldFault)
	}
	if lock.WaitTimeout != nil {
		if lock.WaitTimeout.CheckValid() != nil {
			fault("lock.wait_timeout", "must be a time span")
		} else {
			out.WaitTimeout = lock.WaitTimeout.AsDuration()
		}
	}
	return out
}

// showLimiting is what a task asks for.
func showLimiting(out *pb.Task, l *dag.Limiting) {
	if l == nil {
		return
	}
	for _, one := range l.Limits {
		out.Limits = append(out.Limits, &pb.Limit{Key: one.Key, Max: one.Max, Cost: one.Cost})
	}
	if k := l.Lock; k != nil {
		out.Lock = &pb.Lock{Key: k.Key, OnContention: k.OnContention.Word(), WaitTimeout: duration(k.WaitTimeout)}
		if k.Hold != dag.HoldAttempt {
			out.Lock.Hold = k.Hold.Word()
		}
	}
	for _, one := range l.Rates {
		out.Rates = append(out.Rates, &pb.Rate{Key: one.Key, Per: dag.RateWord(one.Per), Max: one.Max, Burst: one.Burst})
	}
}
