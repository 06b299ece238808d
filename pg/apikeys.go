package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// APIKey is a key, or the session of a browser.
type APIKey struct {
	Hash      []byte // that it was found by; nil: by none
	Key       int64
	ID        string
	Session   bool
	Namespace string // empty: of a session
	Name      string
	Owner     string
	Maker     string
	Issuer    string
	Roles     []string
	Groups    []string
	Scopes    []string // nil: all that the roles give
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    *time.Time
	RevokedAt *time.Time
	Revoked   bool
	Remaining time.Duration // until it counts no longer, by Postgres's clock
}

// AddAPIKey stores a key of so long a life, with its hash. [ErrTaken]: its owner has as many as may be.
func (s *Store) AddAPIKey(ctx context.Context, k *APIKey, life time.Duration, most int) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	err := s.pool.QueryRow(ctx, sql("InsertAPIKey"), k.ID, k.Hash, k.Namespace, k.Name, k.Owner, k.Maker, k.Issuer, texts(k.Roles), texts(k.Groups), k.Scopes, k.Session, most, life).Scan(&k.Key)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrTaken
	}
	if err != nil {
		return fmt.Errorf("store an API key: %w", err)
	}
	return nil
}

// texts are a list that is never null.
func texts(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// APIKeysByHash are the keys of hashes; those that nobody has are left out.
func (s *Store) APIKeysByHash(ctx context.Context, hashes [][]byte) ([]*APIKey, error) {
	return s.apiKeys(ctx, "APIKeysByHash", hashes)
}

// APIKeys lists keys of a namespace and an owner (empty: all), after a key; ended: also those that count no longer.
func (s *Store) APIKeys(ctx context.Context, namespace, owner string, ended bool, after int64, limit int) ([]*APIKey, error) {
	return s.apiKeys(ctx, "APIKeys", namespace, owner, after, limit, nil, ended)
}

// APIKey is the key with the id in a namespace. [ErrNotFound].
func (s *Store) APIKey(ctx context.Context, namespace, id string) (*APIKey, error) {
	list, err := s.apiKeys(ctx, "APIKeys", namespace, "", 0, 1, id, true)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

func (s *Store) apiKeys(ctx context.Context, statement string, args ...any) ([]*APIKey, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql(statement), args...)
	if err != nil {
		return nil, fmt.Errorf("read API keys: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*APIKey, error) {
		k, remaining := &APIKey{}, 0.0
		err := row.Scan(&k.Hash, &k.Key, &k.ID, &k.Session, &k.Namespace, &k.Name, &k.Owner, &k.Maker, &k.Issuer, &k.Roles, &k.Groups, &k.Scopes, &k.CreatedAt, &k.ExpiresAt,
			&k.UsedAt, &k.RevokedAt, &k.Revoked, &remaining)
		k.Remaining = time.Duration(remaining * float64(time.Second))
		return k, err
	})
}

// RevokeAPIKey ends a key. Again, it changes nothing. [ErrNotFound].
func (s *Store) RevokeAPIKey(ctx context.Context, namespace, id string) error {
	return s.changeKey(ctx, "RevokeAPIKey", namespace, id)
}

// RotateAPIKey gives a key a new hash, and so long a life as it had. The old one counts for the grace. [ErrNotFound]: there is no such key, or it
// counts no longer.
func (s *Store) RotateAPIKey(ctx context.Context, namespace, id string, hash []byte, grace time.Duration) error {
	return s.changeKey(ctx, "RotateAPIKey", namespace, id, hash, grace)
}

func (s *Store) changeKey(ctx context.Context, statement string, args ...any) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var key int64
	switch err := s.pool.QueryRow(ctx, sql(statement), args...).Scan(&key); {
	case errors.Is(err, pgx.ErrNoRows):
		return ErrNotFound
	case err != nil:
		return fmt.Errorf("change an API key: %w", err)
	}
	return nil
}

// EndSession ends a session by its hash, and says which. [ErrNotFound]: there is none that counts.
func (s *Store) EndSession(ctx context.Context, hash []byte) (id string, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	switch err = s.pool.QueryRow(ctx, sql("EndSession"), hash).Scan(&id); {
	case errors.Is(err, pgx.ErrNoRows):
		return "", ErrNotFound
	case err != nil:
		return "", fmt.Errorf("end a session: %w", err)
	}
	return id, nil
}

// EndOldSessions ends the oldest sessions of an owner, so that no more than most are left.
func (s *Store) EndOldSessions(ctx context.Context, owner string, most int) (ids []string, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("EndOldSessions"), owner, most)
	if err != nil {
		return nil, fmt.Errorf("end old sessions: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// UseAPIKeys writes down when keys were last used.
func (s *Store) UseAPIKeys(ctx context.Context, used map[int64]time.Time) error {
	var keys []int64
	var ago []float64
	for key, at := range used {
		keys, ago = append(keys, key), append(ago, time.Since(at).Seconds())
	}
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if _, err := s.pool.Exec(ctx, sql("UseAPIKeys"), keys, ago); err != nil {
		return fmt.Errorf("write down the use of API keys: %w", err)
	}
	return nil
}
