package jsonrpc

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/internal/modelkey"
)

// keyParams are the parameters that the methods of stored keys share (spec 5.8): whose key, and of which provider.
func keyParams(x *exchange, raw json.RawMessage) (p *params, user, provider string, err error) {
	if p, err = named(raw); err != nil {
		return nil, "", "", err
	}
	user, provider = p.text("user_id"), p.text("provider")
	if user == "" {
		user = api.CallerOf(x.r.Context(), coordinator.SurfaceJSONRPC, x.r.RemoteAddr).User
	}
	return p, user, provider, nil
}

// keySet answers config.llm_key.set.
func (h *Handler) keySet(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, user, provider, err := keyParams(x, raw)
	if err != nil {
		return nil, err
	}
	text := p.text("api_key")
	switch {
	case p.err != nil:
		return nil, p.err
	case text == "":
		return nil, invalid("api_key", "api_key is required")
	case user == "":
		return nil, invalid("user_id", "user_id is required (not authenticated)")
	}
	if provider != "" && provider != coordinator.AnyProvider {
		text = provider + ":" + text
	}
	key, err := modelkey.Parse(text)
	if err != nil {
		return nil, invalid("api_key", "api_key %v", err)
	}
	if err := x.svc.SetModelKey(ctx, user, coordinator.ModelKeyOf{Provider: provider, Key: key}); err != nil {
		return nil, err
	}
	if provider == "" {
		provider = coordinator.AnyProvider
	}
	return appendJSON(nil, keyStored{true, user, provider}), nil
}

type keyStored struct {
	Success  bool   `json:"success"`
	UserID   string `json:"user_id"`
	Provider string `json:"provider"`
}

// keysShown is the answer of config.llm_key.get: never a key (spec K20).
type keysShown struct {
	HasKey    bool              `json:"has_key"`
	UserID    string            `json:"user_id"`
	Provider  *string           `json:"provider"`
	Providers map[string]string `json:"providers"`
}

// keyGet answers config.llm_key.get. Who may not look is told that there are none: this method has no errors (spec 5.8).
func (h *Handler) keyGet(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, user, provider, err := keyParams(x, raw)
	if err != nil {
		return nil, err
	}
	if p.err != nil {
		return nil, p.err
	}
	if user == "" {
		user = coordinator.AnyProvider
	}
	providers, err := x.svc.ModelKeys(ctx, user)
	if err != nil && !errors.Is(err, coordinator.ErrDenied) {
		return nil, err
	}
	answer := keysShown{UserID: user, Provider: nullable(&provider), Providers: map[string]string{}, HasKey: len(providers) > 0}
	if provider != "" {
		answer.HasKey = slices.Contains(providers, provider)
	}
	for _, one := range providers {
		answer.Providers[one] = "***"
	}
	return appendJSON(nil, answer), nil
}

type keyDeleted struct {
	Success  bool   `json:"success"`
	UserID   string `json:"user_id"`
	Deleted  bool   `json:"deleted"`
	Provider string `json:"provider"`
}

// keyDelete answers config.llm_key.delete.
func (h *Handler) keyDelete(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, user, provider, err := keyParams(x, raw)
	switch {
	case err != nil:
		return nil, err
	case p.err != nil:
		return nil, p.err
	case user == "":
		return nil, invalid("user_id", "user_id is required (not authenticated)")
	}
	gone, err := x.svc.DeleteModelKey(ctx, user, provider)
	if err != nil {
		return nil, err
	}
	if provider == "" {
		provider = "all"
	}
	return appendJSON(nil, keyDeleted{true, user, gone, provider}), nil
}
