package sql

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a session whose reset takes a second.
type fake struct {
	session
	fails  bool
	resets atomic.Int32
	closed atomic.Int32
}

func (f *fake) begin(context.Context, *job) error {
	if f.resets.Load() != 1 || f.closed.Load() != 0 {
		return errors.New("not as new")
	}
	return nil
}

func (f *fake) reset() func() bool {
	return func() bool {
		time.Sleep(time.Second)
		f.resets.Add(1)
		return !f.fails
	}
}

func (f *fake) close() { f.closed.Add(1) }

// kept is a pool with a session that was just released, and a job that gets it.
func kept(f *fake) (*pool, *job) {
	p, j := newPool(1, time.Minute), &job{}
	sh := p.enter(&j.target)
	sh.slots <- struct{}{}
	p.release(&j.target, f, true)
	return p, j
}

func TestAnAttemptGetsASessionOnceItIsReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		p, j := kept(f)
		began := time.Now()
		s, err := p.session(t.Context(), j)
		if err != nil || s != session(f) || time.Since(began) != time.Second {
			t.Errorf("got %v, %v after %v, want the kept session after a second", s, err, time.Since(began))
		}
		p.release(&j.target, s, false)
		p.close()
		if n := f.closed.Load(); n != 1 {
			t.Errorf("closed %d times", n)
		}
	})
}

func TestASessionThatIsNotResetIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{fails: true}
		p, j := kept(f)
		j.target.driver, j.target.database = sqlite, memory // what is opened then
		s, err := p.session(t.Context(), j)
		if err != nil || s == session(f) || f.closed.Load() != 1 {
			t.Errorf("got %v, %v, and the session that failed is closed %d times", s, err, f.closed.Load())
		}
		if err == nil {
			p.release(&j.target, s, false)
		}
		p.close()
		if p.idle != 0 || len(p.targets) != 0 {
			t.Errorf("left: %d sessions, %d targets", p.idle, len(p.targets))
		}
	})
}

func TestASessionStaysForTheNextIfAnAttemptEndsWhileItIsReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		p, j := kept(f)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if _, err := p.session(ctx, j); err == nil {
			t.Error("an attempt that has ended got a session")
		}
		if s, err := p.session(t.Context(), j); err != nil || s != session(f) {
			t.Errorf("got %v, %v", s, err)
		}
		p.release(&j.target, f, true)
		p.close() // waits for the second reset
		if f.resets.Load() != 2 || f.closed.Load() != 1 {
			t.Errorf("reset %d times, closed %d times", f.resets.Load(), f.closed.Load())
		}
	})
}

func TestIdleSessionsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		p, _ := kept(f)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if f.closed.Load() != 1 || p.idle != 0 || len(p.targets) != 0 {
			t.Errorf("closed %d times; left: %d sessions, %d targets", f.closed.Load(), p.idle, len(p.targets))
		}
	})
}
