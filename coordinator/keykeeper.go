package coordinator

import (
	"context"

	"github.com/taskgrove/taskgrove/internal/modelkey"
)

// KeyKeeper keeps keys of language models for users (spec 5.7). What it shows never holds a key. A user is an owner of tasks; the surface names
// that which the request names, else that which the caller speaks for.
type KeyKeeper interface {
	// SetModelKey keeps a key for a user, in place of that of the same provider. *[InvalidArgumentError].
	SetModelKey(ctx context.Context, userID string, key ModelKeyOf) error
	// ModelKeys are the providers that a user has keys for, sorted; a key for all of them is under [AnyProvider].
	ModelKeys(ctx context.Context, userID string) ([]string, error)
	// DeleteModelKey forgets the user's key of a provider, or with an empty one all keys, and says whether there was any.
	DeleteModelKey(ctx context.Context, userID, provider string) (deleted bool, err error)
}

// AnyProvider is the provider of a key that has none.
const AnyProvider = "default"

// ModelKeyOf is a key with the provider that it is for; empty: [AnyProvider].
type ModelKeyOf struct {
	Provider string
	Key      modelkey.Key
}

func (g *guarded) SetModelKey(ctx context.Context, userID string, key ModelKeyOf) error {
	_, err := ask(ctx, g, Call{Method: "SetModelKey", UserID: userID, Details: detail("provider", key.Provider)}, func() (struct{}, error) { return struct{}{}, g.next.SetModelKey(ctx, userID, key) })
	return err
}

func (g *guarded) ModelKeys(ctx context.Context, userID string) ([]string, error) {
	return ask(ctx, g, Call{Method: "ModelKeys", UserID: userID}, func() ([]string, error) { return g.next.ModelKeys(ctx, userID) })
}

func (g *guarded) DeleteModelKey(ctx context.Context, userID, provider string) (bool, error) {
	return ask(ctx, g, Call{Method: "DeleteModelKey", UserID: userID, Details: detail("provider", provider)}, func() (bool, error) { return g.next.DeleteModelKey(ctx, userID, provider) })
}
