package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/taskgrove/taskgrove/internal/policy"
)

// Roles knows which roles callers have.
type Roles interface {
	// Of are the roles of a caller. complete is false when roles that are stored can't be known now: it may have others, too.
	Of(caller Caller) (held []RoleIn, complete bool)
}

// ByRoles is the policy that [policy.Lines] is the table of: a call is allowed if one of the caller's roles reaches far enough with its permission.
// Who may not see all of a namespace is refused by the same words, at the same cost, whether what it asks for belongs to another, to nobody, to
// another namespace, or is not there.
func ByRoles(owners Owners, roles Roles) Policy {
	return func(ctx context.Context, caller Caller, call Call) (Grant, error) {
		how, known := methods[call.Method]
		switch {
		case how.about == aboutOpen:
			return Grant{}, nil
		case caller.User == "":
			return Grant{}, ErrUnauthenticated
		case !known:
			return Grant{}, &DeniedError{User: caller.User, Permission: Permission(call.Method), Namespace: call.namespace(caller)}
		}
		held, complete := heldBy(caller, roles)
		if how.about == aboutSelf && call.Permission == "" {
			return Grant{Roles: held, Scopes: caller.Scopes, Incomplete: !complete}, nil
		}
		how.permission = cmp.Or(call.Permission, how.permission)
		d := decision{owners, caller, call, how, held, policy.Reach(held, caller.Scopes, call.namespace(caller), how.permission)}
		if !complete && (d.reach != policy.All || how.about == aboutAnswer) {
			return Grant{}, fmt.Errorf("%w: the roles that are stored can't be read", ErrUnavailable)
		}
		if how.about == aboutAnswer {
			return d.mayAnswer(ctx)
		}
		return d.make(ctx)
	}
}

// heldBy are the roles of a caller. A key has those that it was given, and none that its owner has come by otherwise: it may do less than its owner.
func heldBy(caller Caller, roles Roles) (held []RoleIn, complete bool) {
	if caller.Kind == KeyCaller {
		return RoleSettings{}.given(Caller{Kind: KeyCaller, Roles: caller.Roles}), true
	}
	return roles.Of(caller)
}

// namespace is where a call is made.
func (c Call) namespace(by Caller) string {
	return cmp.Or(c.Namespace, by.Namespace, DefaultNamespace)
}

// decision is what is known of a call.
type decision struct {
	owners Owners
	caller Caller
	call   Call
	how    method
	held   []RoleIn
	reach  policy.Whose // of the permission
}

func (d decision) make(ctx context.Context) (Grant, error) {
	names := d.call.ID != "" || d.call.Webhook != "" || d.call.AgentTask != "" || d.call.Schedule != "" || d.call.Flow != "" || d.call.Bundle != "" || d.call.Profile != "" || d.call.Run != "" || d.call.APIKey != ""
	allowed := false
	switch about := d.how.about; {
	case about == aboutNothing:
		allowed = d.reach != policy.None
	case about == aboutWhole || about == aboutSelf || about == aboutHook && !names:
		allowed = d.reach.Has(policy.Ownerless)
	case names:
		var err error
		if allowed, err = d.mayTouch(ctx); err != nil {
			return Grant{}, err
		}
	case d.call.UserID != "":
		allowed = d.reach.Has(d.whose(d.call.UserID))
	default: // a list, or what becomes the caller's own
		allowed = d.reach.Has(policy.Own)
	}
	if !allowed {
		return Grant{}, d.denied(d.reach.Has(policy.Own) && d.how.about != aboutWhole)
	}
	if d.how.about == aboutGrant || d.call.Method == "RotateAPIKey" {
		grant, may := mayGrant(d.caller, d.held, d.call)
		if !may {
			return Grant{}, d.denied(false)
		}
		if d.how.about == aboutGrant {
			return grant, nil
		}
	}
	if d.call.Method == "GrantRole" && !d.mayBind() {
		return Grant{}, d.denied(false)
	}
	return d.grant(names), nil
}

// denied refuses; own says whether the caller may do it to its own things.
func (d decision) denied(own bool) error {
	return &DeniedError{User: d.caller.User, Operation: d.how.operation, Permission: d.how.permission, Namespace: d.call.namespace(d.caller), Own: own}
}

// mayTouch reports whether the reach covers what the call names. Who may see the whole namespace learns that it is not there: [ErrNotFound].
func (d decision) mayTouch(ctx context.Context) (bool, error) {
	if d.reach == policy.All || d.reach == policy.None { // whoever's it is
		return d.reach == policy.All, nil
	}
	if d.call.known != nil {
		return d.reach.Has(d.whose(d.call.known.owner)), nil
	}
	call := d.call
	if call.Run != "" { // of several that have the name, the caller's own is meant
		call.UserID = d.caller.User
	}
	owner, err := d.owners.OwnerOf(ctx, call.namespace(d.caller), call)
	switch {
	case err == nil:
		return d.reach.Has(d.whose(owner)), nil
	case !errors.Is(err, ErrNotFound):
		return false, err
	case policy.Reach(d.held, d.caller.Scopes, d.call.namespace(d.caller), policy.TreesRead) == policy.All:
		return false, err
	}
	return false, nil
}

// whose is an owner, seen from the caller.
func (d decision) whose(owner string) policy.Whose {
	switch owner {
	case "":
		return policy.Ownerless
	case d.caller.User:
		return policy.Own
	}
	return policy.Others
}

// grant is how far a call that is allowed reaches.
func (d decision) grant(names bool) (to Grant) {
	switch {
	case d.how.about == aboutStore, d.call.Method == "Add", d.call.Method == "Copy":
		to.UserID = d.caller.User
	case d.how.about == aboutList && !names && d.reach != policy.All:
		to.UserID = d.caller.User
	}
	if d.reach != policy.All && (d.call.Flow != "" || d.call.Bundle != "" || d.call.Run != "" || d.call.Profile != "" || d.call.Method == "PutBundleFile" || d.call.Method == "ApplyProfiles") {
		to.Only = d.caller.User
	}
	return to
}

// DeniedError says why a caller may not do something, and never whether what it asked for is there, or whose it is. It is an [ErrDenied]. Its text
// is safe to show.
type DeniedError struct {
	User       string // who
	Operation  string // as spec 5.6 calls it
	Permission Permission
	Namespace  string // where it is missing; [AllNamespaces]: over the cluster
	Own        bool   // the user has the permission for its own things
}

// Error is the protocol's text (spec 5.6) without whose the thing is, and the permission that is missing.
func (e *DeniedError) Error() string {
	if e.Own {
		return fmt.Sprintf("Permission denied: User %s can only %s their own resources; missing permission: %s", e.User, e.Operation, e.Permission)
	}
	place := "in namespace " + e.Namespace
	if line, _ := policy.LineOf(e.Permission); line.Where == policy.OverCluster || e.Namespace == AllNamespaces {
		place = "over the cluster"
	}
	return fmt.Sprintf("Permission denied: User %s has no right to do that %s; missing permission: %s", e.User, place, e.Permission)
}

// Unwrap makes it an [ErrDenied].
func (e *DeniedError) Unwrap() error { return ErrDenied }
