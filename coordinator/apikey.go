package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/internal/policy"
	"github.com/taskgrove/taskgrove/pg"
)

// APIKeys are keys by which programs call on behalf of a user. What is shown of one never holds the key itself, but for the answer that makes it.
type APIKeys interface {
	// CreateAPIKey makes a key. *[InvalidArgumentError], [ErrConflict]: the owner has as many as may be.
	CreateAPIKey(ctx context.Context, spec APIKeySpec) (*NewAPIKey, error)
	// APIKeys lists keys, oldest first.
	APIKeys(ctx context.Context, f APIKeyFilter) (Page[*APIKey], error)
	// RevokeAPIKey ends a key: within [KeyFresh], no coordinator believes it. Again, it changes nothing. [ErrNotFound].
	RevokeAPIKey(ctx context.Context, id string) (*APIKey, error)
	// RotateAPIKey replaces a key by a new one with the same id, rights and length of life. The old one counts for the grace. [ErrNotFound]: there is
	// none, or it has expired or was revoked.
	RotateAPIKey(ctx context.Context, id string, grace time.Duration) (*NewAPIKey, error)
}

// Bounds of API keys.
const (
	DefaultKeyLife = 90 * 24 * time.Hour
	MaxKeyLife     = 366 * 24 * time.Hour
	MaxKeyGrace    = 7 * 24 * time.Hour
	maxKeysOf      = 100 // that count, of an owner in a namespace
	maxKeyRoles    = 50
	maxKeyName     = 255 // characters
)

// APIKeySpec is a key to be made.
type APIKeySpec struct {
	Name    string        // for people
	UserID  string        // the owner, who calls with it; empty: the caller
	Roles   []string      // role, in the namespace where it is made, or namespace:role; none: those that the caller has in that namespace
	Scopes  []Permission  // the only permissions that it is good for; none: all that the roles give
	Expires time.Duration // its life; 0: [DefaultKeyLife]; at most [MaxKeyLife]

	maker  string
	scoped bool // Scopes bind it, though there are none
}

// APIKey is a key as it is shown.
type APIKey struct {
	ID        string
	Name      string
	Namespace string
	UserID    string
	Maker     string
	Roles     []string // namespace:role
	Scopes    []Permission
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time // of late, to the minute or so; zero: never
	RevokedAt time.Time // zero: it was not
}

// NewAPIKey is a key just made.
type NewAPIKey struct {
	APIKey
	Secret string // the key itself, which is shown this once
}

// APIKeyFilter selects keys of the namespace.
type APIKeyFilter struct {
	UserID string // their owner; empty: all
	Ended  bool   // also those that have expired, or were revoked
	Limit  int    // 0: 100, at most 1000
	Cursor string
}

// check finds what is wrong with a key.
func (s *APIKeySpec) check() error {
	plain := func(text string, most int) bool {
		return utf8.ValidString(text) && utf8.RuneCountInString(text) <= most && !strings.ContainsFunc(text, unicode.IsControl)
	}
	switch {
	case !plain(s.Name, maxKeyName):
		return &InvalidArgumentError{Field: "name", Reason: fmt.Sprintf("must be at most %d characters without control characters", maxKeyName)}
	case s.UserID == "" || !plain(s.UserID, 255):
		return &InvalidArgumentError{Field: "user_id", Reason: "must be 1 to 255 characters without control characters"}
	case len(s.Roles) > maxKeyRoles || len(s.Scopes) > maxKeyRoles:
		return &InvalidArgumentError{Field: "roles", Reason: fmt.Sprintf("a key has at most %d roles and scopes", maxKeyRoles)}
	case s.Expires < 0 || s.Expires > 0 && s.Expires < time.Minute || s.Expires > MaxKeyLife:
		return &InvalidArgumentError{Field: "expires", Reason: fmt.Sprintf("must be from 1 minute to %d days", MaxKeyLife/(24*time.Hour))}
	}
	for _, role := range s.Roles {
		if r := roleAt(role, DefaultNamespace); !policy.Known(r.Role) || r.Namespace == "" || !plain(role, 128) {
			return &InvalidArgumentError{Field: "roles", Reason: fmt.Sprintf("%.60q: want ROLE or NAMESPACE:ROLE, with a role such as viewer or operator", role)}
		}
	}
	for _, scope := range s.Scopes {
		if !isPermission(scope) {
			return &InvalidArgumentError{Field: "scopes", Reason: fmt.Sprintf("%.60q is no permission", string(scope))}
		}
	}
	return nil
}

// isPermission reports whether the policy has a line for it.
func isPermission(name Permission) bool {
	_, known := policy.LineOf(name)
	return known
}

// roleAt reads role, or namespace:role.
func roleAt(text, namespace string) RoleIn {
	if in, role, placed := strings.Cut(text, ":"); placed {
		return RoleIn{Role: role, Namespace: in}
	}
	return RoleIn{Role: text, Namespace: namespace}
}

// rolesAt reads several.
func rolesAt(texts []string, namespace string) (out []RoleIn) {
	for _, text := range texts {
		out = append(out, roleAt(text, namespace))
	}
	return out
}

func roleTexts(roles []RoleIn) (out []string) {
	for _, r := range roles {
		out = append(out, r.Namespace+":"+r.Role)
	}
	return out
}

// CreateAPIKey makes a key; see [APIKeys].
func (c *Coordinator) CreateAPIKey(ctx context.Context, spec APIKeySpec) (*NewAPIKey, error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	if _, err := c.here(ctx); err != nil {
		return nil, err
	}
	secret := newKeyText(KeyPrefix)
	hash := keyHash(secret)
	k := &pg.APIKey{ID: newKeyID(), Hash: hash[:], Namespace: c.namespace, Name: spec.Name, Owner: spec.UserID, Maker: spec.maker,
		Roles: roleTexts(rolesAt(spec.Roles, c.namespace))}
	if spec.scoped || len(spec.Scopes) > 0 {
		k.Scopes = []string{}
		for _, scope := range spec.Scopes {
			k.Scopes = append(k.Scopes, string(scope))
		}
	}
	switch err := c.store.AddAPIKey(ctx, k, cmp.Or(spec.Expires, DefaultKeyLife), maxKeysOf); {
	case errors.Is(err, pg.ErrTaken):
		return nil, fmt.Errorf("%w: user %s has %d keys that count in namespace %s", ErrConflict, spec.UserID, maxKeysOf, c.namespace)
	case err != nil:
		return nil, c.internal("create an API key", err)
	}
	return c.newKey(ctx, k.ID, secret)
}

// newKey is a key just made or rotated, which coordinators are told of.
func (c *Coordinator) newKey(ctx context.Context, id, secret string) (*NewAPIKey, error) {
	c.tellKey(id)
	got, err := c.store.APIKey(ctx, c.namespace, id)
	if err != nil {
		return nil, c.internal("read an API key", err)
	}
	return &NewAPIKey{*shownKey(got), secret}, nil
}

func shownKey(k *pg.APIKey) *APIKey {
	out := &APIKey{ID: k.ID, Name: k.Name, Namespace: k.Namespace, UserID: k.Owner, Maker: k.Maker, Roles: k.Roles, CreatedAt: k.CreatedAt, ExpiresAt: k.ExpiresAt}
	for _, scope := range k.Scopes {
		out.Scopes = append(out.Scopes, Permission(scope))
	}
	for to, at := range map[*time.Time]*time.Time{&out.UsedAt: k.UsedAt, &out.RevokedAt: k.RevokedAt} {
		if at != nil {
			*to = *at
		}
	}
	return out
}

// APIKeys lists keys; see [APIKeys].
func (c *Coordinator) APIKeys(ctx context.Context, f APIKeyFilter) (page Page[*APIKey], err error) {
	limit, err := pageLimit(f.Limit)
	if err != nil {
		return page, err
	}
	after, err := pageCursor(f.Cursor)
	if err != nil {
		return page, err
	}
	if !text(f.UserID) {
		return page, nil
	}
	list, err := c.store.APIKeys(ctx, c.namespace, f.UserID, f.Ended, after, limit+1)
	if err != nil {
		return page, c.internal("list API keys", err)
	}
	if len(list) > limit {
		list = list[:limit]
		page.Next = fmt.Sprint(list[limit-1].Key)
	}
	for _, k := range list {
		page.Items = append(page.Items, shownKey(k))
	}
	return page, nil
}

// RevokeAPIKey ends a key; see [APIKeys].
func (c *Coordinator) RevokeAPIKey(ctx context.Context, id string) (*APIKey, error) {
	if !text(id) {
		return nil, ErrNotFound
	}
	if err := c.store.RevokeAPIKey(ctx, c.namespace, id); err != nil {
		return nil, c.internal("revoke an API key", err)
	}
	c.tellKey(id)
	got, err := c.store.APIKey(ctx, c.namespace, id)
	if err != nil {
		return nil, c.internal("read an API key", err)
	}
	return shownKey(got), nil
}

// RotateAPIKey replaces a key; see [APIKeys].
func (c *Coordinator) RotateAPIKey(ctx context.Context, id string, grace time.Duration) (*NewAPIKey, error) {
	switch {
	case !text(id):
		return nil, ErrNotFound
	case grace < 0 || grace > MaxKeyGrace:
		return nil, &InvalidArgumentError{Field: "grace", Reason: fmt.Sprintf("must be from 0 to %d days", MaxKeyGrace/(24*time.Hour))}
	}
	secret := newKeyText(KeyPrefix)
	hash := keyHash(secret)
	if err := c.store.RotateAPIKey(ctx, c.namespace, id, hash[:], grace); err != nil {
		return nil, c.internal("rotate an API key", err)
	}
	return c.newKey(ctx, id, secret)
}

// ownerOfAPIKey is who calls with a key of a namespace. [pg.ErrNotFound].
func (c *Coordinator) ownerOfAPIKey(ctx context.Context, namespace, id string) (string, error) {
	k, err := c.store.APIKey(ctx, namespace, id)
	if err != nil {
		return "", err
	}
	return k.Owner, nil
}

// rightsOfAPIKey are what a key may do. [ErrNotFound].
func (c *Coordinator) rightsOfAPIKey(ctx context.Context, id string) ([]RoleIn, []Permission, error) {
	if !text(id) {
		return nil, nil, ErrNotFound
	}
	k, err := c.store.APIKey(ctx, c.namespace, id)
	if err != nil {
		return nil, nil, c.internal("look up the rights of an API key", err)
	}
	return rolesAt(k.Roles, k.Namespace), shownKey(k).Scopes, nil
}

// rightsOfKeys is what a service implements that tells what keys may do.
type rightsOfKeys interface {
	rightsOfAPIKey(ctx context.Context, id string) ([]RoleIn, []Permission, error)
}

func (k *NewAPIKey) made() Details {
	return detail("key", k.ID, "owner", k.UserID, "roles", k.Roles, "scopes", scopeTexts(k.Scopes), "expires", k.ExpiresAt.UTC().Format(time.RFC3339))
}

func scopeTexts(scopes []Permission) (out []string) {
	for _, s := range scopes {
		out = append(out, string(s))
	}
	return out
}

func (g *guarded) CreateAPIKey(ctx context.Context, spec APIKeySpec) (*NewAPIKey, error) {
	call := Call{Method: "CreateAPIKey", UserID: spec.UserID, Grants: rolesAt(spec.Roles, cmp.Or(g.caller.Namespace, DefaultNamespace)), GrantScopes: spec.Scopes,
		Details: detail("name", spec.Name)}
	to, end, err := g.allow(ctx, call)
	if err != nil {
		return nil, err
	}
	if g.caller.User != "" {
		spec.UserID, spec.maker = cmp.Or(spec.UserID, g.caller.User), g.caller.User
		spec.Roles, spec.Scopes, spec.scoped = roleTexts(to.Roles), to.Scopes, to.Scopes != nil
	}
	answer, err := g.next.CreateAPIKey(ctx, spec)
	end(madeBy(answer, err), err)
	return answer, err
}

func (g *guarded) APIKeys(ctx context.Context, f APIKeyFilter) (Page[*APIKey], error) {
	return askFor(ctx, g, Call{Method: "APIKeys", UserID: f.UserID}, func(owner string) (Page[*APIKey], error) {
		f.UserID = owner
		return g.next.APIKeys(ctx, f)
	})
}

func (g *guarded) RevokeAPIKey(ctx context.Context, id string) (*APIKey, error) {
	return ask(ctx, g, Call{Method: "RevokeAPIKey", APIKey: id}, func() (*APIKey, error) { return g.next.RevokeAPIKey(ctx, id) })
}

func (g *guarded) RotateAPIKey(ctx context.Context, id string, grace time.Duration) (*NewAPIKey, error) {
	call := Call{Method: "RotateAPIKey", APIKey: id, Details: detail("grace", grace)}
	if keys, ok := g.next.(rightsOfKeys); ok { // who gets the new key gets what it may do
		var err error
		if call.Grants, call.GrantScopes, err = keys.rightsOfAPIKey(ctx, id); err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
	}
	return ask(ctx, g, call, func() (*NewAPIKey, error) { return g.next.RotateAPIKey(ctx, id, grace) })
}

// mayGrant is what a caller who holds roles may give to a key: roles that reach no further than its own; none asked for, those that it holds in the
// namespace; scopes within its own. An API key makes keys only if its scopes say so by name, else one that leaked would outlive
// its revocation.
func mayGrant(caller Caller, held []RoleIn, call Call) (Grant, bool) {
	if caller.Kind == KeyCaller && !slices.Contains(caller.Scopes, policy.KeysWrite) {
		return Grant{}, false
	}
	out := Grant{UserID: caller.User, Roles: call.Grants, Scopes: call.GrantScopes}
	if len(call.Grants) == 0 {
		here := cmp.Or(caller.Namespace, DefaultNamespace)
		for _, r := range held {
			if one := (RoleIn{Role: r.Role, Namespace: here}); (r.Namespace == here || r.Namespace == AllNamespaces) && !slices.Contains(out.Roles, one) {
				out.Roles = append(out.Roles, one)
			}
		}
	}
	for _, r := range out.Roles {
		if !policy.Covers(held, nil, r) {
			return Grant{}, false
		}
	}
	if caller.Scopes != nil {
		if len(call.GrantScopes) == 0 && call.APIKey != "" { // a key that is good for all
			return Grant{}, false
		}
		if len(call.GrantScopes) == 0 {
			out.Scopes = caller.Scopes
		}
		for _, s := range out.Scopes {
			if !slices.Contains(caller.Scopes, s) {
				return Grant{}, false
			}
		}
	} else if len(out.Scopes) == 0 {
		out.Scopes = nil
	}
	return out, true
}
