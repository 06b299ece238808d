package worker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/ledger"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

const (
	beatsInFlight = 3 // a slow answer does not delay the next beat
	beatRetry     = 250 * time.Millisecond
	leaveWithin   = 2 * time.Second
	maxLease      = 24 * time.Hour // an answer that grants more is taken to mean this
)

// beats sends a beat at once and every [Config.Beat] until ctx ends; sooner after a failure, after a reconnection and
// when one is wanted.
func (s *session) beats(ctx context.Context) error {
	cfg := &s.w.cfg
	var flying sync.WaitGroup
	defer flying.Wait()
	done := make(chan bool, beatsInFlight) // one place for each beat under way
	timer := time.NewTimer(0)
	defer timer.Stop()
	under, failures := 0, 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-s.kick:
		case <-s.w.conn.Reconnected():
		case ok := <-done:
			under--
			if ok {
				failures = 0
				continue
			}
			failures++
			timer.Reset(jitter(min(beatRetry<<min(failures-1, 8), cfg.Beat)))
			continue
		}
		if under < beatsInFlight {
			under++
			flying.Go(func() { done <- s.beat(ctx, false) })
		}
		timer.Reset(jitter(cfg.Beat))
	}
}

// jitter is d, give or take a tenth, so that workers that started together do not beat together for ever.
func jitter(d time.Duration) time.Duration {
	if d < 10 {
		return d
	}
	return d - d/10 + rand.N(d/5)
}

// leave sends the last beat: everything is reported.
func (s *session) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveWithin)
	defer cancel()
	s.beat(ctx, true)
}

// beat sends one and applies the answer. It reports whether the lease was extended.
func (s *session) beat(ctx context.Context, leaving bool) bool {
	w := s.w
	beat := s.nextBeat(leaving)
	notes, stored := s.takeNotes(beat), []*workerv1.Attempt(nil)
	answered := false
	defer func() { answeredNotes(notes, answered, stored) }()
	data, err := proto.Marshal(beat)
	if err != nil {
		w.quiet.warn("beat", "beat can't be written", "error", err)
		return false
	}
	within := max(2*w.cfg.Beat, time.Second)
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	sent := time.Now()
	answer, err := w.conn.Request(ctx, queue.Beat, data)
	if err != nil {
		if ctx.Err() == nil || time.Since(sent) >= within {
			s.complain(err.Error())
			w.quiet.warn("beat", "beat is not answered", "instance", s.instance, "lease_until", s.lease.Until(), "error", err)
		}
		return false
	}
	reply := &workerv1.BeatReply{}
	if err := proto.Unmarshal(answer, reply); err != nil {
		w.quiet.warn("beat", "answer to a beat can't be read", "error", err)
		return false
	}
	answered, stored = reply.LeaseMs > 0, reply.Noted
	return s.answeredBeat(beat.Number, sent, reply)
}

func (s *session) nextBeat(leaving bool) *workerv1.Beat {
	w := s.w
	beat := &workerv1.Beat{
		Version: workerv1.Version, Instance: s.instance, Draining: w.isDraining(), Leaving: leaving,
		Host: w.cfg.Host, Build: w.cfg.Build, Level: uint32(dag.AllLevels.Highest()), Executors: w.kinds.ids(), Faults: w.faults(),
		SentUnixMs: time.Now().UnixMilli(), Described: w.described.hashes, Descriptions: w.described.take(),
	}
	w.book.step(func(l *ledger.Ledger[*attempt], _ *todo) {
		for _, p := range w.pools {
			ended := p.ended.Load() // first, so that no more have ended than begun
			started := p.started.Load()
			beat.Pools = append(beat.Pools, &workerv1.PoolCapacity{Pool: p.name, Concurrency: uint32(p.slots), InLine: uint32(l.InLine(p.index)),
				Running: uint32(started - ended), Started: started, Ended: ended})
		}
		list := l.List(&s.Session)
		beat.Number = list.Number
		beat.Asked, beat.Running, beat.Reported = named(list.Asked), named(list.Running), named(list.Reported)
	})
	return beat
}

// named are the names of attempts.
func named(list []*attempt) []*workerv1.Attempt {
	out := make([]*workerv1.Attempt, len(list))
	for i, a := range list {
		out[i] = a.work.Attempt
	}
	return out
}

// answeredBeat applies the answer to the beat of that number, unless a newer one was answered before.
func (s *session) answeredBeat(number uint64, sent time.Time, reply *workerv1.BeatReply) bool {
	w := s.w
	old, disowned := true, 0
	out := w.book.step(func(l *ledger.Ledger[*attempt], out *todo) {
		if old = reply.Number != number || !s.Answered(number); old {
			return
		}
		for _, g := range reply.Missed {
			s.missed(l, g, out)
		}
		learn(l, reply.Settled, reply.Cancel, out)
		for _, a := range reply.Disowned {
			if l.Disown(&s.Session, number, keyOf(a), out) {
				disowned++
			}
		}
	})
	w.do(&out)
	if old {
		return true // nothing failed
	}
	if reply.LeaseMs > 0 { // a refusal tells nothing of what coordinators know
		w.partsInResults.Store(reply.PartsInResults)
		w.ends.Store(reply.Ends)
	}
	if disowned > 0 {
		w.log.Warn("attempts are no longer ours and were stopped", "instance", s.instance, "attempts", disowned)
	}
	if reply.LevelUsed > 0 {
		select {
		case s.outdated <- fmt.Errorf("%w: %s", ErrOutdated, reply.Error):
		default: // said before
		}
		return false
	}
	if reply.LeaseMs <= 0 {
		s.complain(reply.Error)
		w.quiet.warn("lease", "no lease was granted", "instance", s.instance, "error", reply.Error)
		s.lease.refuse()
		return false
	}
	if !s.lease.extend(sent, time.Duration(min(reply.LeaseMs, maxLease.Milliseconds()))*time.Millisecond) {
		return false
	}
	if refused := strings.Join(reply.Refused, "; "); s.refused.Swap(refused) != any(refused) && refused != "" {
		w.log.Warn("the cluster has no room for all that this worker serves", "refused", reply.Refused)
	}
	if w.described.asked(reply.Describe) {
		s.wantBeat()
	}
	s.announce.Do(func() {
		w.log.Info("worker takes tasks", "instance", s.instance, "slots", w.Slots(), "pools", w.slotsOfPools(), "executors", w.kinds.ids())
	})
	return true
}

// learn forgets results that are settled, and stops attempts that were cancelled.
func learn(l *ledger.Ledger[*attempt], settled, cancelled []*workerv1.Attempt, out *todo) {
	for _, a := range settled {
		l.Receipt(keyOf(a), out)
	}
	for _, a := range cancelled {
		l.Cancel(keyOf(a), out)
	}
}
