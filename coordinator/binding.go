package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/internal/policy"
	"github.com/taskgrove/taskgrove/pg"
)

// Bindings are roles that are stored: who holds which role, beside what credentials and settings say.
type Bindings interface {
	// GrantRole stores a binding; one that is there stays as it is. Within [BindingsFresh] it counts in every coordinator. *[InvalidArgumentError],
	// [ErrNotFound]: there is no such namespace, [ErrConflict]: there are as many bindings as may be.
	GrantRole(ctx context.Context, b Binding) (*StoredBinding, error)
	// RevokeRole ends a binding. Within [BindingsFresh] no coordinator goes by it. [ErrNotFound], *[InvalidArgumentError]; [ErrConflict]: by no other
	// binding and no setting is anybody an admin of the cluster.
	RevokeRole(ctx context.Context, b Binding) error
	// Bindings lists bindings, oldest first.
	Bindings(ctx context.Context, f BindingFilter) (Page[*StoredBinding], error)
}

// SubjectKind says what holds a role.
type SubjectKind string

// The kinds of subjects.
const (
	UserSubject    SubjectKind = "user"    // who calls by a token, or a session
	GroupSubject   SubjectKind = "group"   // whoever is in it, as credentials say
	MachineSubject SubjectKind = "machine" // who calls by a certificate
)

// Binding says that a subject holds a role.
type Binding struct {
	Namespace string // where; empty: where the call is made; [AllNamespaces]: in each, and over the cluster itself
	Kind      SubjectKind
	Subject   string // the name of the user, group or machine
	Issuer    string // who must say so; empty: whoever is believed
	Role      string

	by string // who gives it
}

// StoredBinding is a binding, and who has made it.
type StoredBinding struct {
	Binding
	GrantedBy string // empty: nobody was asked
	GrantedAt time.Time
}

// BindingFilter selects bindings.
type BindingFilter struct {
	Namespace string // empty: where the call is made; [AllNamespaces]: all
	Subject   string // empty: all
	Limit     int    // default 100, at most 1000
	Cursor    string
}

// Bounds of the texts of a binding, in characters.
const (
	maxSubject = 255
	maxIssuer  = 1024
)

// check finds all that is wrong with a binding.
func (b Binding) check() error {
	var faults []InvalidArgumentError
	fault := func(field, format string, args ...any) {
		faults = append(faults, InvalidArgumentError{field, fmt.Sprintf(format, args...)})
	}
	plain := func(text string, most int) bool {
		return utf8.ValidString(text) && utf8.RuneCountInString(text) <= most && !strings.ContainsFunc(text, unicode.IsControl)
	}
	if b.Namespace != AllNamespaces && !policy.NamespaceName(b.Namespace) {
		fault("namespace", "%.60q can be the name of no namespace", b.Namespace)
	}
	if b.Kind != UserSubject && b.Kind != GroupSubject && b.Kind != MachineSubject {
		fault("kind", "%.60q is not user, group or machine", string(b.Kind))
	}
	if b.Subject == "" || !plain(b.Subject, maxSubject) {
		fault("subject", "must be 1 to %d characters without control characters", maxSubject)
	}
	if !plain(b.Issuer, maxIssuer) {
		fault("issuer", "must be at most %d characters without control characters", maxIssuer)
	}
	if !policy.Known(b.Role) {
		fault("role", "%.60q names no role: they are %s", b.Role, policy.RoleNames())
	}
	if len(faults) == 0 {
		return nil
	}
	first := faults[0]
	for _, other := range faults[1:] {
		first.Reason += "; " + other.Error()
	}
	return &first
}

func (b Binding) stored() *pg.Binding {
	return &pg.Binding{Namespace: b.Namespace, Kind: string(b.Kind), Subject: b.Subject, Issuer: b.Issuer, Role: b.Role, GrantedBy: b.by}
}

func shownBinding(b *pg.Binding) *StoredBinding {
	return &StoredBinding{Binding{Namespace: b.Namespace, Kind: SubjectKind(b.Kind), Subject: b.Subject, Issuer: b.Issuer, Role: b.Role}, b.GrantedBy, b.GrantedAt}
}

// GrantRole stores a binding; see [Bindings].
func (c *Coordinator) GrantRole(ctx context.Context, b Binding) (*StoredBinding, error) {
	b.Namespace = cmp.Or(b.Namespace, c.namespace)
	if err := b.check(); err != nil {
		return nil, err
	}
	made, err := c.store.GrantRole(ctx, b.stored())
	switch {
	case errors.Is(err, pg.ErrNoNamespace):
		return nil, fmt.Errorf("namespace %s: %w", b.Namespace, ErrNotFound)
	case errors.Is(err, pg.ErrTooManyBindings):
		return nil, fmt.Errorf("%w: %w", ErrConflict, pg.ErrTooManyBindings)
	case err != nil:
		return nil, c.internal("grant a role", err)
	}
	c.tellBindings(ctx)
	return shownBinding(made), nil
}

// RevokeRole ends a binding; see [Bindings].
func (c *Coordinator) RevokeRole(ctx context.Context, b Binding) error {
	b.Namespace = cmp.Or(b.Namespace, c.namespace)
	if err := b.check(); err != nil {
		return err
	}
	err := c.store.RevokeRole(ctx, b.stored(), c.cfg.Roles.NamesAdmin())
	switch {
	case errors.Is(err, pg.ErrLastAdmin):
		return fmt.Errorf("%w: %w, and TASKGROVE_ADMINS and TASKGROVE_GROUP_ROLES name none", ErrConflict, pg.ErrLastAdmin)
	case err != nil:
		return c.internal("revoke a role", err)
	}
	c.tellBindings(ctx)
	return nil
}

// Bindings lists bindings; see [Bindings].
func (c *Coordinator) Bindings(ctx context.Context, f BindingFilter) (page Page[*StoredBinding], err error) {
	limit, err := pageLimit(f.Limit)
	if err != nil {
		return page, err
	}
	after, err := pageCursor(f.Cursor)
	if err != nil {
		return page, err
	}
	if !text(f.Subject) || !text(f.Namespace) {
		return page, nil
	}
	namespace := cmp.Or(f.Namespace, c.namespace)
	in := &namespace
	if namespace == AllNamespaces {
		in = nil
	}
	list, err := c.store.Bindings(ctx, in, f.Subject, after, limit+1)
	if err != nil {
		return page, c.internal("list bindings", err)
	}
	if len(list) > limit {
		list = list[:limit]
		page.Next = fmt.Sprint(list[limit-1].Key)
	}
	for _, b := range list {
		page.Items = append(page.Items, shownBinding(b))
	}
	return page, nil
}

func (b Binding) asked() Details {
	return detail("role", b.Role, "namespace", b.Namespace, "kind", string(b.Kind), "subject", b.Subject, "issuer", b.Issuer)
}

func (g *guarded) GrantRole(ctx context.Context, b Binding) (*StoredBinding, error) {
	call := Call{Method: "GrantRole", Namespace: b.Namespace, Details: b.asked()}
	if policy.Known(b.Role) { // else it is refused for that, not for what it would reach
		call.Grants = []RoleIn{{Role: b.Role, Namespace: cmp.Or(b.Namespace, g.caller.Namespace, DefaultNamespace)}}
	}
	b.by = g.caller.User
	return ask(ctx, g, call, func() (*StoredBinding, error) { return g.next.GrantRole(ctx, b) })
}

func (g *guarded) RevokeRole(ctx context.Context, b Binding) error {
	_, err := ask(ctx, g, Call{Method: "RevokeRole", Namespace: b.Namespace, Details: b.asked()}, func() (struct{}, error) { return struct{}{}, g.next.RevokeRole(ctx, b) })
	return err
}

func (g *guarded) Bindings(ctx context.Context, f BindingFilter) (Page[*StoredBinding], error) {
	return ask(ctx, g, Call{Method: "Bindings", Namespace: f.Namespace}, func() (Page[*StoredBinding], error) { return g.next.Bindings(ctx, f) })
}

// mayBind reports whether a caller may give the roles that it asks for: none reaches further than its own. An API key gives roles only if its scopes
// say so by name, else one that leaked would outlive its revocation.
func (d decision) mayBind() bool {
	if d.caller.Kind == KeyCaller && !policy.InScopes(append([]Permission{}, d.caller.Scopes...), policy.BindingsWrite) {
		return false
	}
	for _, given := range d.call.Grants {
		if !policy.Covers(d.held, d.caller.Scopes, given) {
			return false
		}
	}
	return true
}
