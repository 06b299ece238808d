package grpcserver

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) CreateAPIKey(ctx context.Context, r *pb.CreateAPIKeyRequest) (*pb.NewAPIKey, error) {
	life, err := spanOf("expires", r.Expires)
	if err != nil {
		return nil, err
	}
	got, err := h.on(ctx).CreateAPIKey(ctx, coordinator.APIKeySpec{Name: r.Name, UserID: r.UserId, Roles: r.Roles, Expires: life,
		Scopes: convert(r.Scopes, func(name string) coordinator.Permission { return coordinator.Permission(name) })})
	if err != nil {
		return nil, err
	}
	return newAPIKey(got), nil
}

// spanOf is a duration of a request; not there: 0.
func spanOf(field string, d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return 0, nil
	}
	out, reason := span(d)
	if reason != "" {
		return 0, api.InvalidParameter(field, field+" "+reason)
	}
	return out, nil
}

func (h *handler) ListAPIKeys(ctx context.Context, r *pb.ListAPIKeysRequest) (*pb.ListAPIKeysResponse, error) {
	if err := checkLimit(r.Limit); err != nil {
		return nil, err
	}
	page, err := h.on(ctx).APIKeys(ctx, coordinator.APIKeyFilter{UserID: r.UserId, Ended: r.Ended, Limit: int(r.Limit), Cursor: r.Cursor})
	if err != nil {
		return nil, err
	}
	return &pb.ListAPIKeysResponse{Keys: convert(page.Items, apiKey), NextCursor: page.Next}, nil
}

func (h *handler) RevokeAPIKey(ctx context.Context, r *pb.RevokeAPIKeyRequest) (*pb.APIKey, error) {
	if r.Id == "" {
		return nil, missing("id")
	}
	got, err := h.on(ctx).RevokeAPIKey(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	return apiKey(got), nil
}

func (h *handler) RotateAPIKey(ctx context.Context, r *pb.RotateAPIKeyRequest) (*pb.NewAPIKey, error) {
	if r.Id == "" {
		return nil, missing("id")
	}
	grace, err := spanOf("grace", r.Grace)
	if err != nil {
		return nil, err
	}
	got, err := h.on(ctx).RotateAPIKey(ctx, r.Id, grace)
	if err != nil {
		return nil, err
	}
	return newAPIKey(got), nil
}

func newAPIKey(k *coordinator.NewAPIKey) *pb.NewAPIKey {
	return &pb.NewAPIKey{Key: apiKey(&k.APIKey), Secret: k.Secret}
}

func apiKey(k *coordinator.APIKey) *pb.APIKey {
	return &pb.APIKey{Id: k.ID, Name: k.Name, Namespace: k.Namespace, UserId: k.UserID, Maker: k.Maker, Roles: k.Roles,
		Scopes:    convert(k.Scopes, func(s coordinator.Permission) string { return string(s) }),
		CreatedAt: stamp(k.CreatedAt), ExpiresAt: stamp(k.ExpiresAt), UsedAt: stamp(k.UsedAt), RevokedAt: stamp(k.RevokedAt)}
}
