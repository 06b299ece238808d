package simulation

import (
	"fmt"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/workers"
)

// tokens are the proofs that workers were given attempts.
var tokens = workers.NewTokens([]byte("of the simulation"))

// grant is a claim as a worker sends it.
type grant struct {
	key   attemptKey
	token []byte
}

// instance finds a session of a worker and the worker's others. One of another worker is nobody's.
func (s *store) instance(worker, session int) (who workers.Instance) {
	key, row := s.session(session)
	if row == nil || row.worker != worker {
		return workers.Instance{}
	}
	who.Key = key
	for i, r := range s.workers {
		if r.worker == worker && r != row {
			who.Before = append(who.Before, dag.WorkerKey(i+1))
		}
	}
	return who
}

// claim answers a worker's claims.
func (c *coordinator) claim(worker, session int, grants []grant, reply func([]dag.Verdict)) {
	who := c.w.store.instance(worker, session)
	verdicts := make([]dag.Verdict, len(grants))
	var claims []dag.Claim
	var index []int
	for i, g := range grants {
		v, decided := tokens.Claim(g.key.task, g.key.number, g.token, who)
		if verdicts[i] = v; !decided {
			claims, index = append(claims, dag.Claim{Task: g.key.task, Attempt: g.key.number, Worker: who.Key}), append(index, i)
		}
	}
	var got []dag.Verdict
	c.tx(func() { got = c.w.store.claim(claims) }, func(ok bool) {
		if ok {
			for i, at := range index {
				verdicts[at] = got[i]
			}
			c.dispatcher.wake()
			c.timers.wake()
		}
		c.w.send(func() { reply(verdicts) })
	})
}

// arrive takes a message of results.
func (c *coordinator) arrive(b *batch, created int) {
	life := c.life
	c.resume(life, func() {
		c.arrived = append(c.arrived, arrived{b, created})
		if !c.settling {
			c.settling = true
			c.then(c.w.pause(), c.settle)
		}
	})
}

// settle records what has arrived, then acks and sends receipts.
func (c *coordinator) settle() {
	list := c.arrived
	c.arrived = nil
	if len(list) == 0 {
		c.settling = false
		return
	}
	var results []dag.Result
	for _, a := range list {
		who := c.w.store.instance(a.batch.worker, a.batch.session)
		for _, r := range a.batch.results {
			if !tokens.Valid(r.key.task, r.key.number, r.token) {
				continue
			}
			if r.outcome == dag.OutcomeCancelled { // the receipt for a cancellation, or one without our word
				r.outcome = dag.OutcomeReturned
			}
			results = append(results, dag.Result{Task: r.key.task, Attempt: r.key.number, Worker: who.Key, Before: who.Before, Outcome: r.outcome,
				After: r.after, Value: r.value, Permanent: r.permanent, Kind: r.kind, RetryAfter: r.retryAfter, Early: r.early, Offer: r.offer, Ran: r.ran,
				Unstarted: r.unstarted, Waited: r.waited})
		}
	}
	var eff *effects
	c.tx(func() { eff = c.w.store.settle(results, c.room) }, func(ok bool) {
		c.then(0, c.settle)
		if !ok {
			for _, a := range list {
				c.w.nats.nakResults(a.batch, a.created)
			}
			return
		}
		c.after(eff)
		for _, a := range list {
			c.then(c.w.pause(), func() { c.receipt(a, eff.handed) })
		}
	})
}

// receipt tells a worker that its results are recorded; what it was handed over with them goes along.
func (c *coordinator) receipt(a arrived, handed []dag.Handover) {
	wk, n := c.w.workers[a.batch.worker], c.w.store.newsFor(a.batch, handed)
	c.w.send(func() { wk.hear(n) })
	c.w.send(func() {
		if a.created == c.w.nats.created {
			c.w.nats.ackResults(a.batch)
		}
	})
}

// answer is the reply to a beat.
type answer struct {
	number                    int
	lease                     time.Duration // 0: it has ended
	cancel, disowned, settled []attemptKey
	missed                    []grant // handed over a while ago, and not listed
}

// beating is a beat that waits for its answer.
type beating struct {
	beat
	answer answer
	reply  func(answer)
}

// beat takes a worker's beat. All that arrive while the ones before are answered are answered together.
func (c *coordinator) beat(b beat, reply func(answer)) {
	c.beats = append(c.beats, beating{b, answer{number: b.number}, reply})
	if !c.answering {
		c.answering = true
		c.then(c.w.pause(), c.answerBeats)
	}
}

// answerBeats extends workers' leases, and tells them what they must stop or may forget.
func (c *coordinator) answerBeats() {
	list := c.beats
	c.beats = nil
	if len(list) == 0 {
		c.answering = false
		return
	}
	s := c.w.store
	var heads []workers.Beat
	for _, b := range list {
		heads = append(heads, workers.Beat{Worker: fmt.Sprint(b.worker), Instance: fmt.Sprint(b.session), Number: uint64(b.number), Leaving: b.state == gone})
	}
	places, _ := workers.Newest(heads, func(worker, instance string) bool { return true }) // instances have one worker here
	var newest []*beating
	for i := range list {
		if places[heads[i].Instance] == i {
			newest = append(newest, &list[i])
		}
	}
	c.tx(func() {
		for _, b := range newest {
			if s.extend(b.beat) {
				b.answer.lease = leaseTime
			}
		}
	}, func(ok bool) {
		c.then(0, c.answerBeats)
		if !ok {
			return // unanswered: the workers beat again
		}
		c.tx(func() {
			for _, b := range newest {
				s.compare(b)
			}
		}, func(ok bool) { c.replyBeats(list, places, ok) })
	})
}

// replyBeats sends the answers. The beats that did not count of their instances have its lease, and nothing else.
func (c *coordinator) replyBeats(list []beating, places map[string]int, ok bool) {
	for i := range list {
		b := &list[i]
		b.answer.lease = list[places[fmt.Sprint(b.session)]].answer.lease
		if ok {
			c.w.send(func() { b.reply(b.answer) })
		}
		if b.number == 1 || b.state != alive {
			c.watcher.wake()
		}
	}
}

// compare holds what the worker believes against what is recorded.
func (s *store) compare(b *beating) {
	who := s.instance(b.worker, b.session)
	state := func(k attemptKey) workers.TaskState {
		row := s.task(k.task).row
		return workers.TaskState{Key: row.Key, State: row.State, Attempt: row.Attempt, Worker: row.Worker}
	}
	for _, k := range b.running {
		switch workers.Running(state(k), true, k.number, who) {
		case workers.Cancelled:
			b.answer.cancel = append(b.answer.cancel, k)
		case workers.Disowned:
			b.answer.disowned = append(b.answer.disowned, k)
		}
	}
	var handed []workers.Held
	for _, k := range b.reported {
		if workers.Settled(state(k), true, k.number, who) {
			b.answer.settled = append(b.answer.settled, k)
			handed = append(handed, s.handedOver(k.task)...)
		}
	}
	for _, h := range workers.Missed(handed, who.Key, b.listed) {
		b.answer.missed = append(b.answer.missed, grant{attemptKey{h.Key, h.Attempt}, tokens.Of(h.Key, h.Attempt)})
	}
}

// listed yields the tasks of the attempts that a beat lists.
func (b *beating) listed(yield func(dag.Key) bool) {
	for _, k := range slices.Concat(b.asked, b.running, b.reported) {
		if !yield(k.task) {
			return
		}
	}
}

// handedOver are the open attempts that may have been handed over with the result of a settled task a while ago.
func (s *store) handedOver(settled dag.Key) (out []workers.Held) {
	for _, dep := range s.task(settled).dependents {
		row := s.task(dep.Key).row
		if row.State == dag.Running && epoch.Add(s.w.now-time.Second).After(row.StartedAt) {
			out = append(out, workers.Held{Key: row.Key, Attempt: row.Attempt, Worker: row.Worker})
		}
	}
	return out
}
