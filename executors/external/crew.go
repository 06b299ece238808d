package external

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/executors/external/protocol"
)

// After a process broke the protocol, or could not be started, the next one is started after a pause that doubles.
const (
	firstPause = 100 * time.Millisecond
	mostPause  = 30 * time.Second
)

// crew is the processes of one executor. Attempts share those that take several; a new process is started when all are full.
type crew struct {
	settings protocol.Config
	each     int // attempts that a process takes at once
	keep     bool
	idle     time.Duration
	life     context.Context // of starts; ends when the crew is closed
	end      context.CancelFunc
	stops    sync.WaitGroup // of processes that are started or stopped without an attempt

	mu      sync.Mutex
	members []*member // in the order of their start: the first ones are filled first, so that the last ones get idle
	pause   time.Duration
	next    time.Time // when a process may be started
	closed  bool
}

// member is a process, or one that is being started. Its fields but ready and process are guarded by the crew's mu.
type member struct {
	ready   chan struct{} // closed when process or failure is set
	process *protocol.Process
	failure error
	count   int         // attempts that it has, or that wait for its start
	expiry  *time.Timer // while count is 0
}

func newCrew(settings protocol.Config, each int, keep bool, idle time.Duration) *crew {
	life, end := context.WithCancel(context.Background())
	return &crew{settings: settings, each: each, keep: keep, idle: idle, life: life, end: end}
}

// adopt takes a process that has been started already.
func (c *crew) adopt(p *protocol.Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := &member{ready: make(chan struct{}), process: p}
	close(m.ready)
	c.members = append(c.members, m)
	c.rest(m)
}

// errClosed is the failure of an attempt that comes after the end.
var errClosed = errors.New("the executor is closed")

// take gives a place in a process that has said hello. The caller gives it back.
func (c *crew) take(ctx context.Context) (*member, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, errClosed
	}
	m := c.free()
	m.count++
	if m.expiry != nil {
		m.expiry.Stop()
		m.expiry = nil
	}
	c.mu.Unlock()
	select {
	case <-m.ready:
	case <-ctx.Done():
		c.give(m, nil)
		return nil, context.Cause(ctx)
	}
	if m.failure != nil {
		c.give(m, nil)
		return nil, m.failure
	}
	return m, nil
}

// free is the first member with a place, or a new one. The caller holds mu.
func (c *crew) free() *member {
	c.members = slices.DeleteFunc(c.members, func(m *member) bool { return m.useless() })
	for _, m := range c.members {
		if m.count < c.each {
			return m
		}
	}
	m := &member{ready: make(chan struct{})}
	c.members = append(c.members, m)
	wait := time.Until(c.next)
	c.stops.Go(func() { c.start(m, wait) })
	return m
}

// useless reports whether the process has ended or must end.
func (m *member) useless() bool {
	select {
	case <-m.ready:
		return m.failure != nil || !m.process.Usable()
	default:
		return false
	}
}

// start starts a member's process after a pause.
func (c *crew) start(m *member, wait time.Duration) {
	defer close(m.ready)
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.life.Done():
			m.failure = errClosed
			return
		}
	}
	if m.process, m.failure = protocol.Start(c.life, c.settings); m.failure != nil {
		c.slower()
	}
}

// slower has the next process start later.
func (c *crew) slower() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.After(c.next) { // several attempts of one process are one fault
		c.pause = min(max(2*c.pause, firstPause), mostPause)
		c.next = now.Add(c.pause)
	}
}

// give gives a place back after an attempt that ended with err.
func (c *crew) give(m *member, err error) {
	if err == nil {
		c.mu.Lock()
		c.pause = 0
		c.mu.Unlock()
	}
	broken := m.useless()
	if broken && m.process != nil && m.process.Faulty() {
		c.slower()
	}
	c.mu.Lock()
	m.count--
	if m.count > 0 || broken {
		c.mu.Unlock()
		return
	}
	if !c.keep {
		c.members = slices.DeleteFunc(c.members, func(one *member) bool { return one == m })
		c.mu.Unlock()
		m.retire() // an attempt has ended when nothing of it is left
		return
	}
	c.rest(m)
	c.mu.Unlock()
}

// retire stops the process, once it has started.
func (m *member) retire() {
	<-m.ready
	if m.process != nil {
		m.process.Stop()
	}
}

// rest has a member without attempts stopped after a while. The caller holds mu.
func (c *crew) rest(m *member) {
	if c.closed {
		return
	}
	m.expiry = time.AfterFunc(c.idle, func() {
		c.mu.Lock()
		if m.count > 0 || c.closed || !slices.Contains(c.members, m) {
			c.mu.Unlock()
			return
		}
		c.members = slices.DeleteFunc(c.members, func(one *member) bool { return one == m })
		c.stops.Add(1)
		c.mu.Unlock()
		defer c.stops.Done()
		m.retire()
	})
}

// close stops every process, and returns when nothing is left of any.
func (c *crew) close() {
	c.mu.Lock()
	c.closed = true
	members := c.members
	c.members = nil
	for _, m := range members {
		if m.expiry != nil {
			m.expiry.Stop()
		}
	}
	c.mu.Unlock()
	c.end()
	for _, m := range members {
		c.stops.Go(m.retire)
	}
	c.stops.Wait()
}
