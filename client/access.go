package client

import (
	"context"
	"iter"
	"time"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// Identity is a caller, as the cluster sees it.
type Identity struct {
	User      string // empty: nobody is asked who it is, and everybody may do everything
	Kind      string // anonymous, user, key, machine
	Issuer    string // of its credentials; empty: none
	KeyID     string // of its API key; empty: none
	Namespace string // of the call
	Groups    []string
	Roles     []HeldRole // by its credentials, the settings and bindings
	Scopes    []string   // the only permissions that its credentials are good for; nil: all that its roles give
	Complete  bool       // false: the roles that are stored can't be read now
}

// HeldRole is a role in a namespace.
type HeldRole struct {
	Role      string
	Namespace string // "*": in each, and over the cluster itself
}

// WhoAmI says for whom the cluster takes this client.
func (c *Client) WhoAmI(ctx context.Context) (*Identity, error) {
	got, err := c.access().WhoAmI(ctx, &pb.WhoAmIRequest{})
	if err != nil {
		return nil, wrap(ctx, err, "ask who the caller is")
	}
	out := &Identity{User: got.User, Kind: got.Kind, Issuer: got.Issuer, KeyID: got.KeyId, Namespace: got.Namespace, Groups: got.Groups, Scopes: got.Scopes, Complete: got.Complete}
	for _, r := range got.Roles {
		out.Roles = append(out.Roles, HeldRole{r.GetRole(), r.GetNamespace()})
	}
	if got.Scoped && out.Scopes == nil {
		out.Scopes = []string{}
	}
	return out, nil
}

// access are the calls about access.
func (c *Client) access() pb.AccessServiceClient { return pb.NewAccessServiceClient(c.conn) }

// AccessQuestion asks what somebody may do in the namespace of the call.
type AccessQuestion struct {
	Permissions []string // such as trees.read, at most 100; none: all
	TaskID      string   // then it is about this task
	User        string   // who is asked about, as settings and bindings have that name; empty: the caller
	Roles       []string // role, or role@namespace: asked about in the place of those that the user has
}

// AccessAnswer says whose things somebody may touch by a permission.
type AccessAnswer struct {
	Permission string
	Allowed    bool
	Reach      string // own, all or -; of a question about a task: empty
}

// CanI says what the caller may do, or somebody else: to ask that takes bindings.read. [ErrInvalid], [ErrNotFound], [ErrUnavailable].
func (c *Client) CanI(ctx context.Context, q AccessQuestion) ([]AccessAnswer, error) {
	got, err := c.access().CanI(ctx, &pb.CanIRequest{Permissions: q.Permissions, TaskId: q.TaskID, User: q.User, Roles: q.Roles})
	if err != nil {
		return nil, wrap(ctx, err, "ask what may be done")
	}
	var out []AccessAnswer
	for _, a := range got.Answers {
		out = append(out, AccessAnswer{a.GetPermission(), a.GetAllowed(), a.GetReach()})
	}
	return out, nil
}

// RoleRights are what a role may do.
type RoleRights struct {
	Name   string
	Text   string // what it is for
	Rights []RoleRight
}

// RoleRight is whose things a role reaches by a permission.
type RoleRight struct {
	Permission string
	Text       string // what it lets do
	Reach      string // own, or all
	Cluster    bool   // over the cluster, where the role is held in all namespaces
}

// ListRoles is the table of the policy: what each role may do.
func (c *Client) ListRoles(ctx context.Context) ([]RoleRights, error) {
	got, err := c.access().ListRoles(ctx, &pb.ListRolesRequest{})
	if err != nil {
		return nil, wrap(ctx, err, "list roles")
	}
	var out []RoleRights
	for _, r := range got.Roles {
		of := RoleRights{Name: r.GetName(), Text: r.GetText()}
		for _, right := range r.GetRights() {
			of.Rights = append(of.Rights, RoleRight{right.GetPermission(), right.GetText(), right.GetReach(), right.GetCluster()})
		}
		out = append(out, of)
	}
	return out, nil
}

// Binding says that a subject holds a role.
type Binding struct {
	Namespace string // empty: that of the call; "*": each, and the cluster itself
	Kind      string // user, group or machine
	Subject   string // its name
	Issuer    string // who must say so; empty: whoever is believed
	Role      string
}

// StoredBinding is a binding, and who has made it.
type StoredBinding struct {
	Binding
	GrantedBy string // empty: nobody was asked
	GrantedAt time.Time
}

// GrantRole gives a role, none that reaches further than the caller's own. Within 15 seconds it counts everywhere. [ErrInvalid], [ErrNotFound]: there is
// no such namespace, [ErrConflict]: there are as many bindings as may be.
func (c *Client) GrantRole(ctx context.Context, b Binding) (*StoredBinding, error) {
	got, err := c.access().GrantRole(ctx, &pb.GrantRoleRequest{Binding: b.message()})
	if err != nil {
		return nil, wrap(ctx, err, "grant role %s", b.Role)
	}
	return storedBindingOf(got), nil
}

// RevokeRole takes a role. Within 15 seconds it counts nowhere. [ErrNotFound], [ErrConflict]: nobody else is an admin of the cluster.
func (c *Client) RevokeRole(ctx context.Context, b Binding) error {
	if _, err := c.access().RevokeRole(ctx, &pb.RevokeRoleRequest{Binding: b.message()}); err != nil {
		return wrap(ctx, err, "revoke role %s", b.Role)
	}
	return nil
}

// BindingFilter selects bindings.
type BindingFilter struct {
	Namespace string // empty: that of the call; "*": all
	Subject   string // empty: all
	PageSize  int    // how many are asked for at a time; default 100, at most 1000
	Cursor    string
}

// BindingsPage asks for one page of bindings, oldest first.
func (c *Client) BindingsPage(ctx context.Context, f BindingFilter) (*Page[*StoredBinding], error) {
	got, err := c.access().ListBindings(ctx, &pb.ListBindingsRequest{Namespace: f.Namespace, Subject: f.Subject, Limit: int32(f.PageSize), Cursor: f.Cursor})
	if err != nil {
		return nil, wrap(ctx, err, "list bindings")
	}
	page := &Page[*StoredBinding]{Next: got.NextCursor}
	for _, b := range got.Bindings {
		page.Items = append(page.Items, storedBindingOf(b))
	}
	return page, nil
}

// Bindings lists bindings, oldest first, asking for pages as they are needed.
func (c *Client) Bindings(ctx context.Context, f BindingFilter) iter.Seq2[*StoredBinding, error] {
	return all(func(cursor string) (*Page[*StoredBinding], error) {
		f.Cursor = cursor
		return c.BindingsPage(ctx, f)
	}, f.Cursor)
}

func (b Binding) message() *pb.Binding {
	return &pb.Binding{Namespace: b.Namespace, Kind: b.Kind, Subject: b.Subject, Issuer: b.Issuer, Role: b.Role}
}

func storedBindingOf(b *pb.StoredBinding) *StoredBinding {
	of := b.GetBinding()
	return &StoredBinding{Binding{of.GetNamespace(), of.GetKind(), of.GetSubject(), of.GetIssuer(), of.GetRole()}, b.GetGrantedBy(), at(b.GetGrantedAt())}
}
