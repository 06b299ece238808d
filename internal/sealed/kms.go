package sealed

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
)

// KMS wraps data keys under a master key that is kept outside Postgres: a service of key management, or the keys of a setting ([Box]).
//
// All coordinators of a cluster use the same one. Methods may be called at the same time, and return soon after ctx has ended. What is passed
// to Wrap and returned by Unwrap is a key: it must not be logged or kept.
type KMS interface {
	// Name is that of the master key that wraps now, at most 200 bytes. It is stored beside what it wrapped, and shown to operators.
	Name() string
	// Wrap wraps a key of 32 bytes. Who unwraps must give the same context, which is no secret.
	Wrap(ctx context.Context, plain, keyContext []byte) (wrapped []byte, err error)
	// Unwrap is what was wrapped under the master key of the name, which may be an older one. The error is or wraps [ErrNoKey] when asking again
	// is no use: there is no such master key, it may not be used, or it did not wrap this. Any other error means that the service is away.
	Unwrap(ctx context.Context, name string, wrapped, keyContext []byte) (plain []byte, err error)
}

// Name is that of the key that seals. It tells nothing of the key.
func (b *Box) Name() string { return b.keys[0].name() }

func (k key) name() string { return "local:" + hex.EncodeToString(k.id[:]) }

// Wrap implements [KMS].
func (b *Box) Wrap(_ context.Context, plain, keyContext []byte) ([]byte, error) {
	return b.Seal(plain, string(keyContext))
}

// Unwrap implements [KMS].
func (b *Box) Unwrap(_ context.Context, name string, wrapped, keyContext []byte) ([]byte, error) {
	plain, err := b.Open(wrapped, string(keyContext))
	switch {
	case errors.Is(err, ErrNoKey):
		return nil, fmt.Errorf("master key %s is not among those of the setting: %w", name, ErrNoKey)
	case err != nil:
		return nil, fmt.Errorf("what master key %s wrapped: %w: %w", name, err, ErrNoKey)
	}
	return plain, nil
}
