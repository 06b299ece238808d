package ledger

// Session is one instance of a worker under one lease. When the lease is lost, so are all of its attempts, and what is
// taken afterwards belongs to the next session. The zero Session has begun.
type Session struct {
	ended    bool
	sent     uint64 // number of the last beat
	answered uint64 // number of the newest beat that was answered
}

// Ended reports whether the session is over: nothing of it starts any more.
func (s *Session) Ended() bool { return s.ended }

// Answered notes the answer to a beat, and reports whether it counts: it is newer than all before.
func (s *Session) Answered(number uint64) bool {
	if number <= s.answered {
		return false
	}
	s.answered = number
	return true
}

// Listing is what a beat says of attempts.
type Listing[A any] struct {
	Number                   uint64 // of the beat
	Asked, Running, Reported []A    // Running: granted; those too that are in line
}

// List makes the next beat of a session. Attempts of earlier sessions are nobody's: only their results count.
func (l *Ledger[A]) List(s *Session) Listing[A] {
	s.sent++
	beat := Listing[A]{Number: s.sent}
	for _, a := range l.attempts {
		e := a.Self()
		switch {
		case e.phase == reported:
			beat.Reported = append(beat.Reported, a)
		case e.Session != s || e.disowned || e.claim == claimQueued && !e.early:
			continue
		case e.claim != claimYes:
			beat.Asked = append(beat.Asked, a)
			continue
		default:
			beat.Running = append(beat.Running, a)
		}
		if e.listedBy != s {
			e.listedBy, e.listed = s, beat.Number
		}
	}
	return beat
}

// Disown stops or drops an attempt that the answer to a beat says is not this session's. It counts only if that beat, or
// one before it, listed the attempt as ours: a claim may have been granted after the coordinator looked. It reports
// whether it did count.
func (l *Ledger[A]) Disown(s *Session, beat uint64, k Key, todo *Todo[A]) bool {
	a, ok := l.attempts[k]
	if !ok {
		return false
	}
	e := a.Self()
	if e.disowned || e.listedBy != s || e.listed > beat {
		return false
	}
	e.disowned = true
	if e.phase == running {
		todo.stop(a, LeaseLost)
	} else {
		l.remove(e, todo)
	}
	return true
}

// End closes a session: nothing of it starts any more, running attempts end with cause, and what waits is given back. A
// claim that may have been granted is not lost by that, since the next beat does not list it.
func (l *Ledger[A]) End(s *Session, cause Cause, todo *Todo[A]) {
	s.ended = true
	l.closeLines(s) // before offers end: nothing starts in the slots that they free
	for _, a := range l.attempts {
		if e := a.Self(); e.Session == s {
			l.endOffer(e, todo)
		}
	}
	l.Interrupt(s, cause, todo)
}

// Interrupt stops what still runs of a session, and lets go of what waits. The session goes on.
func (l *Ledger[A]) Interrupt(s *Session, cause Cause, todo *Todo[A]) {
	l.closeLines(s)
	for _, a := range l.attempts {
		e := a.Self()
		if e.Session != s {
			continue
		}
		switch e.phase {
		case running:
			todo.stop(a, cause)
		case waiting, stopped:
			l.release(a, cause, todo)
		}
	}
}

// closeLines keeps what is in line from the slots that are freed while a session's attempts are let go.
func (l *Ledger[A]) closeLines(s *Session) {
	for _, a := range l.attempts {
		if e := a.Self(); e.Session == s {
			e.queued = false
		}
	}
}

// release hands back what was granted and has not started, and gives back what else waits.
func (l *Ledger[A]) release(a A, cause Cause, todo *Todo[A]) {
	e := a.Self()
	if e.claim == claimYes {
		l.handBack(a, cause, todo)
		return
	}
	todo.giveBack(e)
	l.remove(e, todo)
}

// Unstarted lets go of what is in line and of what nobody was asked for yet, as the worker drains. What was asked for waits for
// the answer.
func (l *Ledger[A]) Unstarted(s *Session, todo *Todo[A]) {
	l.closeLines(s)
	for _, a := range l.attempts {
		if e := a.Self(); e.Session == s && e.phase == waiting && e.claim != claimSent {
			l.release(a, Draining, todo)
		}
	}
}
