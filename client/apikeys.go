package client

import (
	"context"
	"iter"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// APIKey is a key by which a program calls on behalf of a user, as it is shown: without the key itself.
type APIKey struct {
	ID        string
	Name      string // for people
	Namespace string // where it was made
	UserID    string // who calls with it
	Maker     string // who made it; empty: nobody was asked
	Roles     []string
	Scopes    []string // the only permissions that it is good for; none: all that its roles give
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time // of late, to the minute or so; zero: never
	RevokedAt time.Time // zero: it was not
}

// NewAPIKey is a key just made, and the key itself, which is told this once.
type NewAPIKey struct {
	APIKey
	Secret string
}

// APIKeySpec is a key to be made.
type APIKeySpec struct {
	Name    string
	UserID  string        // its owner; empty: the caller
	Roles   []string      // role, or namespace:role; none: those that the caller has in the namespace
	Scopes  []string      // permissions, such as trees.read; none: all that the roles give
	Expires time.Duration // its life; 0: 90 days; at most 366
}

// CreateAPIKey makes a key. [ErrInvalid], [ErrConflict]: its owner has as many as may be.
func (c *Client) CreateAPIKey(ctx context.Context, spec APIKeySpec) (*NewAPIKey, error) {
	r := &pb.CreateAPIKeyRequest{Name: spec.Name, UserId: spec.UserID, Roles: spec.Roles, Scopes: spec.Scopes}
	if spec.Expires != 0 {
		r.Expires = durationpb.New(spec.Expires)
	}
	got, err := c.keys().CreateAPIKey(ctx, r)
	if err != nil {
		return nil, wrap(ctx, err, "create API key")
	}
	return newAPIKeyOf(got), nil
}

// keys are the calls about API keys.
func (c *Client) keys() pb.KeyServiceClient { return pb.NewKeyServiceClient(c.conn) }

// APIKeyFilter selects keys.
type APIKeyFilter struct {
	UserID   string // their owner; empty: all
	Ended    bool   // also those that have expired, or were revoked
	PageSize int    // how many are asked for at a time; default 100, at most 1000
	Cursor   string
}

// APIKeysPage asks for one page of keys, oldest first.
func (c *Client) APIKeysPage(ctx context.Context, f APIKeyFilter) (*Page[*APIKey], error) {
	got, err := c.keys().ListAPIKeys(ctx, &pb.ListAPIKeysRequest{UserId: f.UserID, Ended: f.Ended, Limit: int32(f.PageSize), Cursor: f.Cursor})
	if err != nil {
		return nil, wrap(ctx, err, "list API keys")
	}
	page := &Page[*APIKey]{Next: got.NextCursor}
	for _, k := range got.Keys {
		page.Items = append(page.Items, apiKeyOf(k))
	}
	return page, nil
}

// APIKeys lists keys, oldest first, asking for pages as they are needed.
func (c *Client) APIKeys(ctx context.Context, f APIKeyFilter) iter.Seq2[*APIKey, error] {
	return all(func(cursor string) (*Page[*APIKey], error) {
		f.Cursor = cursor
		return c.APIKeysPage(ctx, f)
	}, f.Cursor)
}

// RevokeAPIKey ends a key: within 10 seconds no coordinator believes it. [ErrNotFound].
func (c *Client) RevokeAPIKey(ctx context.Context, id string) (*APIKey, error) {
	got, err := c.keys().RevokeAPIKey(ctx, &pb.RevokeAPIKeyRequest{Id: id})
	if err != nil {
		return nil, wrap(ctx, err, "revoke API key %s", id)
	}
	return apiKeyOf(got), nil
}

// RotateAPIKey replaces a key by a new one with the same id, rights and length of life. The old one counts for the grace. [ErrNotFound].
func (c *Client) RotateAPIKey(ctx context.Context, id string, grace time.Duration) (*NewAPIKey, error) {
	got, err := c.keys().RotateAPIKey(ctx, &pb.RotateAPIKeyRequest{Id: id, Grace: durationpb.New(grace)})
	if err != nil {
		return nil, wrap(ctx, err, "rotate API key %s", id)
	}
	return newAPIKeyOf(got), nil
}

func newAPIKeyOf(k *pb.NewAPIKey) *NewAPIKey {
	return &NewAPIKey{APIKey: *apiKeyOf(k.GetKey()), Secret: k.Secret}
}

func apiKeyOf(k *pb.APIKey) *APIKey {
	return &APIKey{ID: k.GetId(), Name: k.GetName(), Namespace: k.GetNamespace(), UserID: k.GetUserId(), Maker: k.GetMaker(), Roles: k.GetRoles(), Scopes: k.GetScopes(),
		CreatedAt: at(k.GetCreatedAt()), ExpiresAt: at(k.GetExpiresAt()), UsedAt: at(k.GetUsedAt()), RevokedAt: at(k.GetRevokedAt())}
}
