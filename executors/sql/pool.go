package sql

import (
	"context"
	"crypto/sha256"
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
	// reset makes the session as if it were new. It reports whether another attempt may have it.
	reset() bool
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
	slots chan struct{} // one in it for each session in use
	users int           // attempts that have or want a session
	idle  []idleSession // the one used last is at the end
}

type idleSession struct {
	session
	end *time.Timer
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
	for kept := p.take(sh); kept != nil && ctx.Err() == nil; kept = p.take(sh) {
		if kept.begin(ctx, j) == nil {
			return kept, nil
		}
		kept.close()
	}
	s, err := open(ctx, &j.target)
	if err != nil {
		return nil, &connectError{j.target.where(), err}
	}
	if err := s.begin(ctx, j); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func open(ctx context.Context, t *target) (session, error) {
	switch t.driver {
	case postgres:
		return openPostgres(ctx, t)
	case mysql:
		return openMySQL(ctx, t)
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

// take is the idle session used last, or nil.
func (p *pool) take(sh *shared) session {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(sh.idle) == 0 {
		return nil
	}
	last := sh.idle[len(sh.idle)-1]
	sh.idle = sh.idle[:len(sh.idle)-1]
	p.idle--
	last.end.Stop()
	return last.session
}

// release takes a session back. It is kept if it is healthy and can be made as new, and else closed, with whatever it was doing.
func (p *pool) release(t *target, s session, healthy bool) {
	if !healthy || !s.reset() || !p.keep(t, s) {
		s.close()
	}
	p.mu.Lock()
	sh := p.targets[t.poolKey]
	p.mu.Unlock()
	<-sh.slots
	p.leave(t, sh)
}

func (p *pool) keep(t *target, s session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.idle >= maxIdle {
		return false
	}
	sh := p.targets[t.poolKey]
	sh.idle = append(sh.idle, idleSession{s, time.AfterFunc(p.idleTime, func() { p.expire(t.poolKey, sh, s) })})
	p.idle++
	return true
}

// expire closes a session that has been idle for long.
func (p *pool) expire(key [sha256.Size]byte, sh *shared, s session) {
	p.mu.Lock()
	mine := false
	for i, kept := range sh.idle {
		if kept.session == s {
			sh.idle = append(sh.idle[:i:i], sh.idle[i+1:]...)
			p.idle--
			mine = true
			break
		}
	}
	p.forget(key, sh)
	p.mu.Unlock()
	if mine {
		s.close()
	}
}

// close closes idle sessions. Those in use are closed when they are released.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	var left []session
	for key, sh := range p.targets {
		for _, kept := range sh.idle {
			kept.end.Stop() // if it comes too late, expire finds nothing
			left = append(left, kept.session)
		}
		p.idle -= len(sh.idle)
		sh.idle = nil
		p.forget(key, sh)
	}
	p.mu.Unlock()
	for _, s := range left {
		s.close()
	}
}
