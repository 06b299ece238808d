package grpcserver

import (
	"context"

	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) WhoAmI(ctx context.Context, _ *pb.WhoAmIRequest) (*pb.WhoAmIResponse, error) {
	got, err := h.on(ctx).WhoAmI(ctx)
	if err != nil {
		return nil, err
	}
	return &pb.WhoAmIResponse{User: got.User, Kind: string(got.Kind), Issuer: got.Issuer, KeyId: got.KeyID, Namespace: got.Namespace, Groups: got.Groups,
		Roles:  convert(got.Roles, func(r coordinator.RoleIn) *pb.HeldRole { return &pb.HeldRole{Role: r.Role, Namespace: r.Namespace} }),
		Scopes: convert(got.Scopes, func(s coordinator.Permission) string { return string(s) }), Scoped: got.Scopes != nil, Complete: got.Complete}, nil
}

func (h *handler) CanI(ctx context.Context, r *pb.CanIRequest) (*pb.CanIResponse, error) {
	got, err := h.on(ctx).CanI(ctx, coordinator.AccessQuestion{TaskID: r.TaskId, User: r.User, Roles: r.Roles,
		Permissions: convert(r.Permissions, func(p string) coordinator.Permission { return coordinator.Permission(p) })})
	if err != nil {
		return nil, err
	}
	return &pb.CanIResponse{Answers: convert(got, func(a coordinator.AccessAnswer) *pb.AccessAnswer {
		return &pb.AccessAnswer{Permission: string(a.Permission), Allowed: a.Allowed, Reach: a.Reach}
	})}, nil
}

func (h *handler) ListRoles(ctx context.Context, _ *pb.ListRolesRequest) (*pb.ListRolesResponse, error) {
	got, err := h.on(ctx).ListRoles(ctx)
	if err != nil {
		return nil, err
	}
	right := func(r coordinator.RoleRight) *pb.RoleRight {
		return &pb.RoleRight{Permission: string(r.Permission), Text: r.Text, Reach: r.Reach, Cluster: r.Cluster}
	}
	return &pb.ListRolesResponse{Roles: convert(got, func(r coordinator.RoleRights) *pb.RoleRights {
		return &pb.RoleRights{Name: r.Name, Text: r.Text, Rights: convert(r.Rights, right)}
	})}, nil
}

func (h *handler) GrantRole(ctx context.Context, r *pb.GrantRoleRequest) (*pb.StoredBinding, error) {
	if r.Binding == nil {
		return nil, missing("binding")
	}
	got, err := h.on(ctx).GrantRole(ctx, bindingFrom(r.Binding))
	if err != nil {
		return nil, err
	}
	return storedBinding(got), nil
}

func (h *handler) RevokeRole(ctx context.Context, r *pb.RevokeRoleRequest) (*pb.RevokeRoleResponse, error) {
	if r.Binding == nil {
		return nil, missing("binding")
	}
	if err := h.on(ctx).RevokeRole(ctx, bindingFrom(r.Binding)); err != nil {
		return nil, err
	}
	return &pb.RevokeRoleResponse{}, nil
}

func (h *handler) ListBindings(ctx context.Context, r *pb.ListBindingsRequest) (*pb.ListBindingsResponse, error) {
	if err := checkLimit(r.Limit); err != nil {
		return nil, err
	}
	page, err := h.on(ctx).Bindings(ctx, coordinator.BindingFilter{Namespace: r.Namespace, Subject: r.Subject, Limit: int(r.Limit), Cursor: r.Cursor})
	if err != nil {
		return nil, err
	}
	return &pb.ListBindingsResponse{Bindings: convert(page.Items, storedBinding), NextCursor: page.Next}, nil
}

func bindingFrom(b *pb.Binding) coordinator.Binding {
	return coordinator.Binding{Namespace: b.Namespace, Kind: coordinator.SubjectKind(b.Kind), Subject: b.Subject, Issuer: b.Issuer, Role: b.Role}
}

func storedBinding(b *coordinator.StoredBinding) *pb.StoredBinding {
	return &pb.StoredBinding{Binding: &pb.Binding{Namespace: b.Namespace, Kind: string(b.Kind), Subject: b.Subject, Issuer: b.Issuer, Role: b.Role},
		GrantedBy: b.GrantedBy, GrantedAt: stamp(b.GrantedAt)}
}
