package grpcserver_test

import (
	"context"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
)

func (r *remote) GrantRole(ctx context.Context, b coordinator.Binding) (*coordinator.StoredBinding, error) {
	got, err := r.c.GrantRole(ctx, bindingTo(b))
	if err != nil {
		return nil, err
	}
	return bindingOf(got), nil
}

func (r *remote) RevokeRole(ctx context.Context, b coordinator.Binding) error {
	return r.c.RevokeRole(ctx, bindingTo(b))
}

func (r *remote) Bindings(ctx context.Context, f coordinator.BindingFilter) (page coordinator.Page[*coordinator.StoredBinding], err error) {
	got, err := r.c.BindingsPage(ctx, client.BindingFilter{Namespace: f.Namespace, Subject: f.Subject, PageSize: f.Limit, Cursor: f.Cursor})
	if err != nil {
		return page, err
	}
	page.Next = got.Next
	for _, b := range got.Items {
		page.Items = append(page.Items, bindingOf(b))
	}
	return page, nil
}

func bindingTo(b coordinator.Binding) client.Binding {
	return client.Binding{Namespace: b.Namespace, Kind: string(b.Kind), Subject: b.Subject, Issuer: b.Issuer, Role: b.Role}
}

func bindingOf(b *client.StoredBinding) *coordinator.StoredBinding {
	return &coordinator.StoredBinding{Binding: coordinator.Binding{Namespace: b.Namespace, Kind: coordinator.SubjectKind(b.Kind), Subject: b.Subject, Issuer: b.Issuer, Role: b.Role},
		GrantedBy: b.GrantedBy, GrantedAt: b.GrantedAt}
}

func (r *remote) WhoAmI(ctx context.Context) (*coordinator.Identity, error) {
	got, err := r.c.WhoAmI(ctx)
	if err != nil {
		return nil, err
	}
	out := &coordinator.Identity{User: got.User, Kind: coordinator.CallerKind(got.Kind), Issuer: got.Issuer, KeyID: got.KeyID, Namespace: got.Namespace, Groups: got.Groups,
		Scopes: eventsOf[coordinator.Permission](got.Scopes), Complete: got.Complete}
	for _, h := range got.Roles {
		out.Roles = append(out.Roles, coordinator.RoleIn(h))
	}
	return out, nil
}

func (r *remote) CanI(ctx context.Context, q coordinator.AccessQuestion) (out []coordinator.AccessAnswer, err error) {
	got, err := r.c.CanI(ctx, client.AccessQuestion{Permissions: eventsOf[string](q.Permissions), TaskID: q.TaskID, User: q.User, Roles: q.Roles})
	for _, a := range got {
		out = append(out, coordinator.AccessAnswer{Permission: coordinator.Permission(a.Permission), Allowed: a.Allowed, Reach: a.Reach})
	}
	return out, err
}

func (r *remote) ListRoles(ctx context.Context) (out []coordinator.RoleRights, err error) {
	got, err := r.c.ListRoles(ctx)
	for _, role := range got {
		of := coordinator.RoleRights{Name: role.Name, Text: role.Text}
		for _, right := range role.Rights {
			of.Rights = append(of.Rights, coordinator.RoleRight{Permission: coordinator.Permission(right.Permission), Text: right.Text, Reach: right.Reach, Cluster: right.Cluster})
		}
		out = append(out, of)
	}
	return out, err
}
