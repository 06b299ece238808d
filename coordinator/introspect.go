package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/taskgrove/taskgrove/internal/policy"
)

// Introspection tells callers who they are, and what they and others may do.
type Introspection interface {
	// WhoAmI says for whom the service takes the caller.
	WhoAmI(ctx context.Context) (*Identity, error)
	// CanI says what the caller may do, or somebody else: to ask that takes bindings.read. *[InvalidArgumentError], [ErrNotFound]: there is no such
	// task, where that may be told and the answer depends on whose it is.
	CanI(ctx context.Context, q AccessQuestion) ([]AccessAnswer, error)
	// ListRoles is the table of the policy: what each role may do.
	ListRoles(ctx context.Context) ([]RoleRights, error)
}

// Identity is a caller, as the service sees it.
type Identity struct {
	User      string // empty: nobody is asked who it is, and everybody may do everything
	Kind      CallerKind
	Issuer    string // of its credentials; empty: none
	KeyID     string // of its API key; empty: none
	Namespace string // of the call
	Groups    []string
	Roles     []RoleIn     // by its credentials, the settings and what is stored
	Scopes    []Permission // the only permissions that its credentials are good for; nil: all that its roles give
	Complete  bool         // false: the roles that are stored can't be read now
}

// AccessQuestion asks what somebody may do in the namespace of the call.
type AccessQuestion struct {
	Permissions []Permission // at most 100; none: all
	TaskID      string       // then it is about this task
	// User is who is asked about, by what settings and bindings say of that name; empty: the caller. Roles, each in the namespace of the call or as
	// role@namespace, are asked about in their place.
	User  string
	Roles []string
}

// AccessAnswer says whose things somebody may touch by a permission.
type AccessAnswer struct {
	Permission Permission
	Allowed    bool
	// Reach is "own", "all", or "-"; of a question about a task: empty.
	Reach string
}

// RoleRights are what a role may do.
type RoleRights struct {
	Name   string
	Text   string // what it is for
	Rights []RoleRight
}

// RoleRight is whose things a role reaches by a permission; what it does not reach at all is left out.
type RoleRight struct {
	Permission Permission
	Text       string // what it lets do
	Reach      string // "own", or "all"
	Cluster    bool   // over the cluster, where the role is held in all namespaces
}

// maxAsked are how many permissions, and how many roles, a question may have.
const maxAsked = 100

// WhoAmI is nobody in particular: who calls the service itself is not asked.
func (c *Coordinator) WhoAmI(context.Context) (*Identity, error) { return everybody(c.namespace), nil }

func everybody(namespace string) *Identity {
	return &Identity{Kind: AnonymousCaller, Namespace: namespace, Complete: true}
}

// CanI allows everything, as nobody is asked; see [Introspection].
func (c *Coordinator) CanI(_ context.Context, q AccessQuestion) ([]AccessAnswer, error) {
	asked, err := q.check(c.namespace)
	if err != nil {
		return nil, err
	}
	return asked.everything(), nil
}

// ListRoles is the table of the policy; see [Introspection].
func (c *Coordinator) ListRoles(context.Context) ([]RoleRights, error) { return AllRoles(), nil }

// AllRoles is the table of the policy, by role.
func AllRoles() (out []RoleRights) {
	for _, r := range policy.Roles {
		of := RoleRights{Name: r.Name, Text: r.Text}
		for _, line := range policy.Lines {
			if whose := line.Of(r.Name); whose != policy.None {
				of.Rights = append(of.Rights, RoleRight{line.Permission, line.Text, whose.String(), line.Where == policy.OverCluster})
			}
		}
		out = append(out, of)
	}
	return out
}

// asking is a question that has been checked.
type asking struct {
	AccessQuestion
	held []RoleIn // what Roles stand for
}

func (q AccessQuestion) check(namespace string) (*asking, error) {
	out := &asking{AccessQuestion: q}
	if len(q.Permissions) > maxAsked || len(q.Roles) > maxAsked {
		return nil, &InvalidArgumentError{Field: "permissions", Reason: fmt.Sprintf("at most %d permissions and roles may be asked about", maxAsked)}
	}
	for _, p := range q.Permissions {
		if _, known := policy.LineOf(p); !known {
			return nil, &InvalidArgumentError{Field: "permissions", Reason: fmt.Sprintf("%.60q is no permission", string(p))}
		}
	}
	if len(q.Permissions) == 0 {
		out.Permissions = policy.Permissions()
	}
	for _, text := range q.Roles {
		held, err := policy.ParseHolding(text, namespace)
		if err != nil {
			return nil, &InvalidArgumentError{Field: "roles", Reason: err.Error()}
		}
		out.held = append(out.held, held)
	}
	if q.TaskID != "" && len(q.Roles) > 0 && q.User == "" {
		return nil, &InvalidArgumentError{Field: "user", Reason: "is required: what roles allow with a task depends on whose it is"}
	}
	return out, nil
}

// everything is the answer where nobody is asked who it is.
func (a *asking) everything() (out []AccessAnswer) {
	for _, p := range a.Permissions {
		answer := AccessAnswer{Permission: p, Allowed: true}
		if a.TaskID == "" {
			answer.Reach = policy.All.String()
		}
		out = append(out, answer)
	}
	return out
}

// of is who is asked about: the caller, a user as settings and bindings have it, or one that has the roles of the question only.
func (a *asking) of(caller Caller) Caller {
	switch {
	case len(a.held) > 0:
		return Caller{Name: a.User, User: cmp.Or(a.User, AnonymousName), Kind: KeyCaller, Namespace: caller.Namespace, Roles: a.held}
	case a.User != "":
		return Caller{Name: a.User, User: a.User, Kind: UserCaller, Namespace: caller.Namespace}
	}
	return caller
}

func (g *guarded) WhoAmI(ctx context.Context) (*Identity, error) {
	to, _, err := g.allow(ctx, Call{Method: "WhoAmI"})
	if err != nil {
		return nil, err
	}
	c := g.caller
	if c.User == "" {
		return g.next.WhoAmI(ctx)
	}
	return &Identity{User: c.User, Kind: c.Kind, Issuer: c.Issuer, KeyID: c.KeyID, Namespace: cmp.Or(c.Namespace, DefaultNamespace), Groups: c.Groups,
		Roles: policy.Normal(to.Roles), Scopes: c.Scopes, Complete: !to.Incomplete}, nil
}

func (g *guarded) ListRoles(ctx context.Context) ([]RoleRights, error) {
	return ask(ctx, g, Call{Method: "ListRoles"}, func() ([]RoleRights, error) { return g.next.ListRoles(ctx) })
}

func (g *guarded) CanI(ctx context.Context, q AccessQuestion) ([]AccessAnswer, error) {
	others := q.User != "" && q.User != g.caller.User || len(q.Roles) > 0
	if _, _, err := g.allow(ctx, Call{Method: "CanI"}, part{there: others, permission: policy.BindingsRead}); err != nil {
		return nil, err
	}
	if g.caller.User == "" {
		return g.next.CanI(ctx, q)
	}
	asked, err := q.check(cmp.Or(g.caller.Namespace, DefaultNamespace))
	if err != nil {
		return nil, err
	}
	if !others {
		asked.User = ""
	}
	if asked.TaskID != "" {
		return g.withTask(ctx, asked, others)
	}
	return g.inNamespace(ctx, asked)
}

// inNamespace answers by the roles alone.
func (g *guarded) inNamespace(ctx context.Context, asked *asking) (out []AccessAnswer, err error) {
	of := asked.of(g.caller)
	to, err := g.policy(ctx, of, Call{Method: "CanI"})
	if err != nil {
		return nil, err
	}
	for _, p := range asked.Permissions {
		whose := policy.Reach(to.Roles, of.Scopes, cmp.Or(of.Namespace, DefaultNamespace), p)
		if to.Incomplete && whose != policy.All {
			return nil, fmt.Errorf("%w: the roles that are stored can't be read", ErrUnavailable)
		}
		out = append(out, AccessAnswer{Permission: p, Allowed: whose != policy.None, Reach: whose.String()})
	}
	return out, nil
}

// withTask asks the policy as a call with that task would.
func (g *guarded) withTask(ctx context.Context, asked *asking, others bool) (out []AccessAnswer, err error) {
	about := func(p Permission) Call { return Call{Method: "Task", ID: asked.TaskID, Permission: p} }
	if others { // else the answer would tell of a task that the caller may not know of
		if _, err := g.policy(ctx, g.caller, about(policy.TreesRead)); err != nil {
			return nil, err
		}
	}
	of := asked.of(g.caller)
	for _, p := range asked.Permissions {
		_, err := g.policy(ctx, of, about(p))
		if err != nil && !errors.Is(err, ErrDenied) && !(others && errors.Is(err, ErrNotFound)) {
			return nil, err
		}
		out = append(out, AccessAnswer{Permission: p, Allowed: err == nil})
	}
	return out, nil
}
