package grpcserver_test

import (
	"context"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
)

func (r *remote) CreateAPIKey(ctx context.Context, spec coordinator.APIKeySpec) (*coordinator.NewAPIKey, error) {
	return newAPIKeyOf(r.c.CreateAPIKey(ctx, client.APIKeySpec{Name: spec.Name, UserID: spec.UserID, Roles: spec.Roles, Scopes: eventsOf[string](spec.Scopes), Expires: spec.Expires}))
}

func (r *remote) APIKeys(ctx context.Context, f coordinator.APIKeyFilter) (page coordinator.Page[*coordinator.APIKey], err error) {
	got, err := r.c.APIKeysPage(ctx, client.APIKeyFilter{UserID: f.UserID, Ended: f.Ended, PageSize: f.Limit, Cursor: f.Cursor})
	if err != nil {
		return page, err
	}
	page.Next = got.Next
	for _, k := range got.Items {
		page.Items = append(page.Items, apiKeyOf(k))
	}
	return page, nil
}

func (r *remote) RevokeAPIKey(ctx context.Context, id string) (*coordinator.APIKey, error) {
	got, err := r.c.RevokeAPIKey(ctx, id)
	if err != nil {
		return nil, err
	}
	return apiKeyOf(got), nil
}

func (r *remote) RotateAPIKey(ctx context.Context, id string, grace time.Duration) (*coordinator.NewAPIKey, error) {
	return newAPIKeyOf(r.c.RotateAPIKey(ctx, id, grace))
}

func newAPIKeyOf(k *client.NewAPIKey, err error) (*coordinator.NewAPIKey, error) {
	if err != nil {
		return nil, err
	}
	return &coordinator.NewAPIKey{APIKey: *apiKeyOf(&k.APIKey), Secret: k.Secret}, nil
}

func apiKeyOf(k *client.APIKey) *coordinator.APIKey {
	return &coordinator.APIKey{ID: k.ID, Name: k.Name, Namespace: k.Namespace, UserID: k.UserID, Maker: k.Maker, Roles: k.Roles, Scopes: eventsOf[coordinator.Permission](k.Scopes),
		CreatedAt: k.CreatedAt, ExpiresAt: k.ExpiresAt, UsedAt: k.UsedAt, RevokedAt: k.RevokedAt}
}
