package ssh

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// fence is the session that ends a connection whose worker is frozen; see [fenceScript]. Its locks are taken before the pool's.
type fence struct {
	conn     *conn
	building chan struct{} // holds a token while somebody builds

	built   bool                    // of who has the token
	session atomic.Pointer[session] // nil: there is none
	direct  atomic.Bool             // the login shell reads scripts

	telling sync.Mutex   // one line at a time
	base    time.Time    // when the fence was made
	end     atomic.Int64 // when it ends the connection, as far as it was told, in nanoseconds since base; 0: never
}

// newFence makes one; without: the host has no room for it.
func newFence(c *conn, without bool) *fence {
	return &fence{conn: c, building: make(chan struct{}, 1), built: without, base: time.Now()}
}

// buildWithin bounds how long a host may take that has no POSIX shell, and does not say so.
const buildWithin = 10 * time.Second

// build starts the session, once for all attempts. A host where it does not start has none.
func (f *fence) build(ctx context.Context, l limit) error {
	select {
	case f.building <- struct{}{}:
		defer func() { <-f.building }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if f.built {
		return nil
	}
	h := header{mark: newMark(), limit: l, fence: true}
	said := make(chan int, 1) // the first number counts
	s, err := f.conn.start(ctx, fenceScript, io.Discard, newMarks(h.mark, io.Discard, func(_ byte, number int) {
		select {
		case said <- number:
		default:
		}
	}))
	if err != nil {
		return err
	}
	if l != (limit{}) {
		f.end.Store(int64(time.Since(f.base) + l.after))
	}
	go func() { _, _ = io.WriteString(s.Channel, h.line()) }() // ends with the session
	timer := time.NewTimer(buildWithin)
	defer timer.Stop()
	can := 0
	select {
	case can = <-said:
	case <-s.done:
	case <-timer.C:
	case <-ctx.Done():
		_ = s.Channel.Close()
		return context.Cause(ctx)
	}
	f.built = true
	f.direct.Store(can&2 != 0)
	if can&1 == 0 {
		_ = s.Channel.Close()
		return nil
	}
	f.conn.count(-1) // it is none of those that attempts have
	f.session.Store(s)
	go func() { // ends with the connection
		<-s.done
		f.conn.lost()
	}()
	return nil
}

// open reports whether there is one.
func (f *fence) open() bool { return f.session.Load() != nil }

// arm moves the time when the connection is ended, unless that is about the same as before.
func (f *fence) arm(l limit) {
	if !f.open() || l == (limit{}) {
		return
	}
	f.telling.Lock()
	defer f.telling.Unlock()
	end := time.Since(f.base) + l.after
	if old := f.end.Load(); old == 0 || (end-time.Duration(old)).Abs() >= time.Second {
		f.tell(end, seconds(l.after))
	}
}

// tell sends a line; the caller holds the lock for that.
func (f *fence) tell(end time.Duration, line string) {
	f.end.Store(int64(end))
	_, _ = io.WriteString(f.session.Load().Channel, line+"\n") // if it fails, the connection is broken
}

// rests is how long the fence may stay armed when no attempt has the connection: the worker extends no lease for it then.
func (f *fence) rests() time.Duration {
	return max(0, (time.Duration(f.end.Load())-time.Since(f.base))/2)
}

// disarm lets the connection stay, if no attempt has it. An attempt that gets it arms the fence again, as it looks after this.
func (f *fence) disarm() {
	if !f.open() {
		return
	}
	f.telling.Lock()
	defer f.telling.Unlock()
	f.conn.pool.mu.Lock()
	used := f.conn.used > 0
	f.conn.pool.mu.Unlock()
	if !used && f.end.Load() != 0 {
		f.tell(0, "0")
	}
}
