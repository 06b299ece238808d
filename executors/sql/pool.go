package sql

import (
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"time"
)

// maxIdle bounds the connections that are kept open for attempts to come, over all targets.
const maxIdle = 64

// session is a connection that an attempt has for itself. One goroutine.
type session interface {
	// begin sets the session up, and opens the transaction.
	begin(ctx context.Context, j *job) error
	// run runs one statement and gives its rows to the sink.
	run(ctx context.Context, st *statement, s *sink) error
	// commit ends the transaction. If it fails, its outcome may be unknown.
	commit(ctx context.Context) error
	// reset is what makes the session as if it were new, and reports whether it did; nil: no other attempt may have the session.
	reset() func() bool
	close()
}

// pool keeps sessions between attempts. Safe for concurrent use.
type pool struct {
	perTarget int
	idleTime  time.Duration

	mu      sync.Mutex
	targets map[[sha256.Size]byte]*shared // those with a user or an idle session
	idle    int                           // over all targets
	closed  bool
}

// shared is what attempts with the same target share.
type shared struct {
	slots chan struct{}  // one in it for each session in use
	users int            // attempts that have or want a session
	idle  []*idleSession // the one used last is at the end
}

// idleSession is a session that no attempt has. It is reset meanwhile, so that no attempt waits for that but the next one that takes it.
type idleSession struct {
	session
	end    *time.Timer
	ready  chan struct{} // closed when it is reset; also if that failed, and the session is closed then
	failed bool          // the pool's lock guards it
}

func newPool(perTarget int, idleTime time.Duration) *pool {
	return &pool{perTarget: perTarget, idleTime: idleTime, targets: map[[sha256.Size]byte]*shared{}}
}

// session is a session in which the job has begun: a kept one, or else a new one. It waits while all of the target are in use. The caller
// must release it.
func (p *pool) session(ctx context.Context, j *job) (session, error) {
	t := &j.target
	sh := p.enter(t)
	select {
	case sh.slots <- struct{}{}:
	case <-ctx.Done():
		p.leave(t, sh)
		return nil, context.Cause(ctx)
	}
	s, err := p.begun(ctx, sh, j)
	if err != nil {
		<-sh.slots
		p.leave(t, sh)
		return nil, err
	}
	return s, nil
}

// begun drops kept sessions that the server has left meanwhile.
func (p *pool) begun(ctx context.Context, sh *shared, j *job) (session, error) {
	t := &j.target
	for ctx.Err() == nil {
		kept := p.take(ctx, t, sh)
		if kept == nil {
			break
		}
		if kept.begin(ctx, j) == nil {
			return kept, nil
		}
		kept.close()
	}
	s, err := open(ctx, t)
	if err != nil {
		return nil, &connectError{t.where(), err}
	}
	if err := s.begin(ctx, j); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// openers are of the databases whose drivers the build tag etl puts in.
var openers = map[string]func(ctx context.Context, t *target) (session, error){}

func open(ctx context.Context, t *target) (session, error) {
	switch t.driver {
	case postgres:
		return openPostgres(ctx, t)
	case mysql:
		return openMySQL(ctx, t)
	}
	if other := openers[t.driver]; other != nil {
		return other(ctx, t)
	}
	return openSQLite(ctx, t)
}

func (p *pool) enter(t *target) *shared {
	p.mu.Lock()
	defer p.mu.Unlock()
	sh := p.targets[t.poolKey]
	if sh == nil {
		sh = &shared{slots: make(chan struct{}, p.perTarget)}
		p.targets[t.poolKey] = sh
	}
	sh.users++
	return sh
}

func (p *pool) leave(t *target, sh *shared) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sh.users--
	p.forget(t.poolKey, sh)
}

// forget drops what nobody needs. The caller holds mu.
func (p *pool) forget(key [sha256.Size]byte, sh *shared) {
	if sh.users == 0 && len(sh.idle) == 0 && p.targets[key] == sh {
		delete(p.targets, key)
	}
}

// take is an idle session that is as new, or nil if there is none or ctx ends.
func (p *pool) take(ctx context.Context, t *target, sh *shared) session {
	for {
		k := p.pick(sh)
		if k == nil {
			return nil
		}
		select {
		case <-k.ready:
		case <-ctx.Done():
			p.putBack(t, sh, k)
			return nil
		}
		if p.usable(k) {
			return k.session
		}
	}
}

// pick removes the idle session used last of those that are reset, or else of all; nil if there is none.
func (p *pool) pick(sh *shared) *idleSession {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(sh.idle) == 0 {
		return nil
	}
	k := sh.idle[len(sh.idle)-1]
	for _, other := range slices.Backward(sh.idle) {
		if other.isReady() {
			k = other
			break
		}
	}
	p.remove(sh, k)
	return k
}

func (k *idleSession) isReady() bool {
	select {
	case <-k.ready:
		return true
	default:
		return false
	}
}

func (p *pool) usable(k *idleSession) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !k.failed
}

// remove takes a session out of the idle ones, and reports whether it was there. The caller holds mu.
func (p *pool) remove(sh *shared, k *idleSession) bool {
	at := slices.Index(sh.idle, k)
	if at < 0 {
		return false
	}
	sh.idle = slices.Delete(sh.idle, at, at+1)
	p.idle--
	k.end.Stop() // if it comes too late, expire finds nothing
	return true
}

// release takes a session back. It is kept if it is healthy and can be made as new, and else closed, with whatever it was doing.
func (p *pool) release(t *target, s session, healthy bool) {
	p.mu.Lock()
	sh := p.targets[t.poolKey]
	p.mu.Unlock()
	if !healthy || !p.keep(t, sh, s) {
		s.close()
	}
	<-sh.slots
	p.leave(t, sh)
}

// keep makes a session as new and keeps it. It reports whether it does so.
func (p *pool) keep(t *target, sh *shared, s session) bool {
	reset := s.reset()
	if reset == nil {
		return false
	}
	k := &idleSession{session: s, ready: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.idle >= maxIdle {
		return false
	}
	p.park(t, sh, k)
	go p.renew(t, sh, k, reset)
	return true
}

// putBack keeps a session that was picked and not used.
func (p *pool) putBack(t *target, sh *shared, k *idleSession) {
	p.mu.Lock()
	closed := p.closed
	if !closed && !k.failed {
		p.park(t, sh, k)
	}
	p.mu.Unlock()
	if closed {
		p.discard(k)
	}
}

// park adds a session to the idle ones. The caller holds mu.
func (p *pool) park(t *target, sh *shared, k *idleSession) {
	k.end = time.AfterFunc(p.idleTime, func() { p.expire(t.poolKey, sh, k) })
	sh.idle = append(sh.idle, k)
	p.idle++
}

// renew resets a session, or closes it.
func (p *pool) renew(t *target, sh *shared, k *idleSession, reset func() bool) {
	defer close(k.ready)
	if reset() {
		return
	}
	p.mu.Lock()
	k.failed = true
	p.remove(sh, k)
	p.forget(t.poolKey, sh)
	p.mu.Unlock()
	k.close()
}

// expire closes a session that has been idle for long.
func (p *pool) expire(key [sha256.Size]byte, sh *shared, k *idleSession) {
	p.mu.Lock()
	mine := p.remove(sh, k)
	p.forget(key, sh)
	p.mu.Unlock()
	if mine {
		p.discard(k)
	}
}

// discard closes a session that is idle no more, once its reset is over.
func (p *pool) discard(k *idleSession) {
	if <-k.ready; p.usable(k) {
		k.close()
	}
}

// close closes idle sessions. Those in use are closed when they are released.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	var left []*idleSession
	for key, sh := range p.targets {
		left = append(left, sh.idle...)
		for len(sh.idle) > 0 {
			p.remove(sh, sh.idle[0])
		}
		p.forget(key, sh)
	}
	p.mu.Unlock()
	for _, k := range left {
		p.discard(k)
	}
}
