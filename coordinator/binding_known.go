package coordinator

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskgrove/taskgrove/pg"
)

// BindingsFresh is for how long a coordinator goes by the bindings that it has read. So a revocation, which others are told of at once, holds after
// that even if the news was lost, or Postgres is away.
const BindingsFresh = 15 * time.Second

const (
	bindingsTold  = "bindings" // topic
	bindingsEvery = 5 * time.Second
	bindingsTime  = 5 * time.Second // for one look
)

// bindings are those that are stored, as a coordinator knows them. Safe for concurrent use.
type bindings struct {
	store interface {
		BindingsSince(ctx context.Context, known int64) (list []*pg.Binding, version int64, err error)
	}
	looking sync.Mutex // one look at a time
	known   atomic.Pointer[knownBindings]
}

// knownBindings is a look. Nobody changes it.
type knownBindings struct {
	version int64
	at      time.Time // when it began
	held    map[subject][]heldRole
}

// subject is who holds roles.
type subject struct {
	kind SubjectKind
	name string
}

// heldRole is a role of a subject.
type heldRole struct {
	RoleIn
	issuer string // empty: whoever
}

// look reads bindings anew if they have changed.
func (b *bindings) look(ctx context.Context) error {
	b.looking.Lock()
	defer b.looking.Unlock()
	ctx, cancel := context.WithTimeout(ctx, bindingsTime)
	defer cancel()
	next := &knownBindings{version: -1, at: time.Now()}
	last := b.known.Load()
	if last != nil {
		next.version = last.version
	}
	list, version, err := b.store.BindingsSince(ctx, next.version)
	switch {
	case err != nil:
		return err
	case last != nil && version == last.version:
		next.held = last.held
	default:
		next.version, next.held = version, bySubject(list)
	}
	b.known.Store(next)
	return nil
}

func bySubject(list []*pg.Binding) map[subject][]heldRole {
	held := make(map[subject][]heldRole, len(list))
	for _, b := range list {
		of := subject{SubjectKind(b.Kind), b.Subject}
		held[of] = append(held[of], heldRole{RoleIn{Role: b.Role, Namespace: b.Namespace}, b.Issuer})
	}
	return held
}

// of are the roles of a caller; complete is false when what is known is too old.
func (b *bindings) of(caller Caller) (held []RoleIn, complete bool) {
	known := b.known.Load()
	if known == nil || time.Since(known.at) >= BindingsFresh {
		return nil, false
	}
	kind := UserSubject
	if caller.Kind == MachineCaller {
		kind = MachineSubject
	}
	held = known.add(held, subject{kind, caller.User}, caller.Issuer)
	for _, group := range caller.Groups {
		held = known.add(held, subject{GroupSubject, group}, caller.Issuer)
	}
	return held, true
}

func (k *knownBindings) add(held []RoleIn, of subject, issuer string) []RoleIn {
	for _, h := range k.held[of] {
		if (h.issuer == "" || h.issuer == issuer) && !slices.Contains(held, h.RoleIn) {
			held = append(held, h.RoleIn)
		}
	}
	return held
}

// storedRoles are the roles by credentials, settings and bindings.
type storedRoles struct {
	settings RoleSettings
	bindings *bindings
}

// StoredRoles are the roles of callers by their credentials, [Config.Roles], and the bindings that are stored.
func (c *Coordinator) StoredRoles() Roles { return storedRoles{c.cfg.Roles, c.bindings} }

// Of are the roles of a caller.
func (s storedRoles) Of(caller Caller) (held []RoleIn, complete bool) {
	bound, complete := s.bindings.of(caller)
	held = append(s.settings.given(caller), bound...)
	if complete { // who may have others has no default
		held = s.settings.orDefault(held)
	}
	return held, complete
}

// LoadBindings reads the bindings that are stored. Until it has, roles that are stored can't be known. [ErrUnavailable].
func (c *Coordinator) LoadBindings(ctx context.Context) error {
	if err := c.bindings.look(ctx); err != nil {
		return c.internal("read the roles that are stored", err)
	}
	return nil
}

// tellBindings reads bindings anew here, and lets all coordinators do so.
func (c *Coordinator) tellBindings(ctx context.Context) {
	err := c.bindings.look(context.WithoutCancel(ctx))
	if told := c.queue.PublishEvent(bindingsTold, nil); err == nil {
		err = told
	}
	if err != nil {
		c.log.Warn("not all coordinators know at once that a binding of a role has changed; they know it in time", "after", BindingsFresh.String(), "error", err)
	}
}

// runBindings reads bindings when others have changed them, and every so often.
func (c *Coordinator) runBindings(ctx context.Context) error {
	told, err := c.queue.SubscribeEvents(ctx, bindingsTold, 16)
	if err != nil {
		return err
	}
	return c.bindings.follow(ctx, told, func(err error) {
		c.log.Warn("the roles that are stored can't be read", "error", err)
	})
}

func (b *bindings) follow(ctx context.Context, told <-chan []byte, failed func(error)) error {
	every := time.NewTicker(bindingsEvery)
	defer every.Stop()
	for {
		if err := b.look(ctx); err != nil && ctx.Err() == nil {
			failed(err)
		}
		select {
		case _, ok := <-told:
			if !ok {
				return ctx.Err()
			}
		case <-every.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
