package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/taskgrove/taskgrove/dag"
)

// TokenSecret is a generation of the secret that tokens and keys of attempts are made of. It must not be logged or sent.
type TokenSecret struct {
	Number int32
	Secret []byte
	Sealed bool // Secret is an envelope
	Claims bool // tokens of it may claim
	Proves bool // tokens of it prove; else it only opens logs
}

// MaxTokenSecrets is how many generations may be in use at once.
const MaxTokenSecrets = 16

// TokenSecrets are all generations, by number. claims is how long tokens may claim once there is a later generation.
func (s *Store) TokenSecrets(ctx context.Context, claims time.Duration) ([]TokenSecret, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("TokenSecrets"), claims.Seconds())
	if err != nil {
		return nil, fmt.Errorf("read the secrets of tokens: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[TokenSecret])
}

// AddTokenSecret adds the generation after the latest, whose number the caller knows. It reports false when there is one by now, or there are
// too many. The error is a *[dag.LevelError] while a live process does not know generations.
func (s *Store) AddTokenSecret(ctx context.Context, latest int32, secret []byte, sealed bool) (added bool, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	b := &pgx.Batch{}
	queueLevel(b, dag.AccessLevel, s.version)
	b.Queue(sql("AddTokenSecret"), latest, secret, sealed, MaxTokenSecrets).Exec(func(tag pgconn.CommandTag) error {
		added = tag.RowsAffected() > 0
		return nil
	})
	if err := s.pool.Send(ctx, b); err != nil {
		return false, levelRefusal(fmt.Errorf("add a secret of tokens: %w", err), s.levels, dag.AccessLevel)
	}
	return added, nil
}

// RetireTokenSecrets retires the generations that no open attempt, and no message that may be claimed, has a token of. It returns how many.
func (s *Store) RetireTokenSecrets(ctx context.Context, claims time.Duration) (int64, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	tag, err := s.pool.Exec(ctx, sql("RetireTokenSecrets"), claims.Seconds())
	if err != nil {
		return 0, fmt.Errorf("retire secrets of tokens: %w", err)
	}
	return tag.RowsAffected(), nil
}

// ForgetTokenSecrets deletes generations that were retired so long ago.
func (s *Store) ForgetTokenSecrets(ctx context.Context, age time.Duration) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if _, err := s.pool.Exec(ctx, sql("ForgetTokenSecrets"), age.Seconds(), randomSecret()); err != nil {
		return fmt.Errorf("forget secrets of tokens: %w", err)
	}
	return nil
}

// ModelKey is a key of a language model that a user has stored, sealed.
type ModelKey struct {
	Namespace      string
	User, Provider string // an empty provider: all that have no key of their own
	Sealed         []byte
	At             int64 // when it was set, in nanoseconds since 1970
	By             string
}

// MaxModelKeys is how many rows of keys are read.
const MaxModelKeys = 10_000 * 32

// SetModelKey keeps a key, unless a later one of the same user and provider is kept.
func (s *Store) SetModelKey(ctx context.Context, k *ModelKey) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if _, err := s.pool.Exec(ctx, sql("SetModelKey"), k.Namespace, k.User, k.Provider, k.Sealed, k.At, k.By); err != nil {
		return fmt.Errorf("store a key of a model: %w", err)
	}
	return nil
}

// DeleteModelKeys deletes a user's key of a provider, or all, and gives the providers.
func (s *Store) DeleteModelKeys(ctx context.Context, namespace, user, provider string, all bool) ([]string, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("DeleteModelKeys"), namespace, user, provider, all)
	if err != nil {
		return nil, fmt.Errorf("delete keys of models: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// ModelKeysMark tells one state of the stored keys from another.
type ModelKeysMark struct{ count, latest, sum int64 }

// ModelKeysMark reads it.
func (s *Store) ModelKeysMark(ctx context.Context) (m ModelKeysMark, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if err := s.pool.QueryRow(ctx, sql("ModelKeysMark")).Scan(&m.count, &m.latest, &m.sum); err != nil {
		return m, fmt.Errorf("look for keys of models: %w", err)
	}
	return m, nil
}

// ModelKeys are all keys.
func (s *Store) ModelKeys(ctx context.Context) ([]ModelKey, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("ModelKeys"), MaxModelKeys)
	if err != nil {
		return nil, fmt.Errorf("read keys of models: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[ModelKey])
}

// ResealModelKey replaces a key's envelope, unless it has changed.
func (s *Store) ResealModelKey(ctx context.Context, k *ModelKey, fresh []byte) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if _, err := s.pool.Exec(ctx, sql("ResealModelKey"), k.Namespace, k.User, k.Provider, k.Sealed, fresh); err != nil {
		return fmt.Errorf("reseal a key of a model: %w", err)
	}
	return nil
}
