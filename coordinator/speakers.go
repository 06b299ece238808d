package coordinator

import (
	"cmp"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// speakers are the attempts of a tree that tell something: which of them run, and what came too early. Their feed owns them.
type speakers struct {
	known   map[dag.Key]*speaker
	held    int              // messages that wait for one before them
	waiting []*workerv1.Live // that nobody has looked at
}

// speaker is a task whose attempt tells something.
type speaker struct {
	label   pg.Label
	attempt int32     // that runs; 0: none does
	until   time.Time // of one that does not run: when to look again
	next    uint64    // number of the message that comes next
	early   []*workerv1.Live
	since   time.Time // of the first in early
}

const (
	maxSpeakers = 1024
	// earlyMost and earlyFor are how many messages wait, and how long, for one before them that comes by another coordinator.
	earlyMost = 8
	earlyFor  = 100 * time.Millisecond
	// quietFor is how long a task that does not run is not looked at again.
	quietFor = time.Second
)

// unknown are the tasks of waiting messages that have to be looked up.
func (s *speakers) unknown(now time.Time) []dag.Key {
	var keys []dag.Key
	for _, m := range s.waiting {
		k, n := dag.Key(m.GetAttempt().GetTask()), int32(m.GetAttempt().GetNumber())
		sp := s.known[k]
		if (sp == nil || sp.attempt != n && now.After(sp.until)) && !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

// learn takes what was found about tasks.
func (s *speakers) learn(keys []dag.Key, labels map[dag.Key]pg.Label, running map[dag.Key]int32, now time.Time) {
	if s.known == nil {
		s.known = map[dag.Key]*speaker{}
	}
	for _, k := range keys {
		if len(s.known) >= maxSpeakers {
			clear(s.known)
			s.held = 0
		}
		if old := s.known[k]; old != nil {
			if old.attempt == running[k] { // asked for by pieces of another attempt, as a lost worker tells them
				old.until = now.Add(quietFor)
				continue
			}
			s.held -= len(old.early)
		}
		s.known[k] = &speaker{label: labels[k], attempt: running[k], until: now.Add(quietFor)}
	}
}

// weave puts what attempts have told before the events of their ends, and forgets them there: nothing is told of them later. show makes
// an event of a message.
func (s *speakers) weave(events []*Event, now time.Time, show func(*workerv1.Live, pg.Label) *Event) []*Event {
	if len(s.known) == 0 {
		return events
	}
	var out []*Event
	for _, e := range events {
		switch e.Type {
		case EventCompleted, EventSkipped, EventFailed, EventCancelled, EventRetry, EventFinal:
			for k, sp := range s.known {
				if e.Type != EventFinal && 0 < e.Attempt && e.Attempt < int(sp.attempt) {
					continue // the end of an attempt before the one that runs
				}
				if sp.label.ID == e.TaskID && e.Type != EventFinal {
					for _, m := range s.last(k, sp, int32(e.Attempt), now) {
						out = append(out, show(m, sp.label))
					}
				}
				if sp.label.ID == e.TaskID || e.Type == EventFinal {
					s.held -= len(sp.early)
					delete(s.known, k)
				}
			}
		}
		out = append(out, e)
	}
	return out
}

// last is all that waits of an attempt that ends, gaps or not.
func (s *speakers) last(k dag.Key, sp *speaker, attempt int32, now time.Time) []*workerv1.Live {
	var of []*workerv1.Live
	s.waiting = slices.DeleteFunc(s.waiting, func(m *workerv1.Live) bool {
		if dag.Key(m.Attempt.Task) != k {
			return false
		}
		of = append(of, m)
		return true
	})
	slices.SortStableFunc(of, func(a, b *workerv1.Live) int { return cmp.Compare(a.Number, b.Number) })
	if sp.attempt == 0 { // it had ended when it was looked up
		sp.attempt = attempt
	}
	return append(s.order(of, now), s.release(sp, true)...)
}

// order gives, of each attempt that runs, what comes next; what comes too early waits a little, and what comes too late is dropped.
func (s *speakers) order(told []*workerv1.Live, now time.Time) (ready []*workerv1.Live) {
	for _, m := range told {
		sp := s.known[dag.Key(m.GetAttempt().GetTask())]
		if sp == nil || sp.attempt != int32(m.GetAttempt().GetNumber()) || sp.next != 0 && m.Number < sp.next {
			continue
		}
		if sp.next == 0 || m.Number == sp.next {
			sp.next = m.Number + 1
			ready = append(ready, m)
			ready = append(ready, s.release(sp, false)...)
			continue
		}
		if len(sp.early) == 0 {
			sp.since = now
		}
		sp.early = append(sp.early, m)
		s.held++
		if len(sp.early) > earlyMost {
			ready = append(ready, s.release(sp, true)...)
		}
	}
	return ready
}

// release gives what is next of what came early; all: gaps or not.
func (s *speakers) release(sp *speaker, all bool) (ready []*workerv1.Live) {
	slices.SortStableFunc(sp.early, func(a, b *workerv1.Live) int { return cmp.Compare(a.Number, b.Number) })
	for len(sp.early) > 0 && (all || sp.early[0].Number <= sp.next) {
		m := sp.early[0]
		sp.early = sp.early[1:]
		s.held--
		if m.Number >= sp.next {
			sp.next = m.Number + 1
			ready = append(ready, m)
		}
	}
	return ready
}

// overdue gives what has waited long enough.
func (s *speakers) overdue(now time.Time) (ready []*workerv1.Live) {
	if s.held == 0 {
		return nil
	}
	for _, sp := range s.known {
		if len(sp.early) > 0 && now.Sub(sp.since) >= earlyFor {
			ready = append(ready, s.release(sp, true)...)
		}
	}
	return ready
}
