package pg

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/internal/sealed"
)

// dataKeys keeps wrapped data keys in Postgres.
type dataKeys struct{ conns *keyConnections }

// DataKeys is where the data keys of the cluster are kept, wrapped. It has a connection of its own, which it makes when it is first asked: keys
// are looked up while a transaction holds one of the others.
func (s *Store) DataKeys() sealed.KeyStore { return dataKeys{&s.keyConns} }

// keyConnections is a pool of one connection.
type keyConnections struct {
	cfg Config

	mu   sync.Mutex
	pool *connections // nil: not needed yet
}

// database is that pool.
func (k *keyConnections) database(ctx context.Context) (database, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pool == nil {
		cfg := k.cfg
		cfg.MaxConns = 1
		pool, err := connect(ctx, cfg)
		if err != nil {
			return database{}, err
		}
		k.pool = pool
	}
	return database{k.pool, k.cfg.StatementTimeout}, nil
}

func (k *keyConnections) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pool != nil {
		k.pool.close()
	}
}

// CurrentKey implements [sealed.KeyStore].
func (s dataKeys) CurrentKey(ctx context.Context, namespace int32) (*sealed.DataKey, error) {
	return s.one(ctx, "CurrentDataKey", namespace)
}

// KeyNumbered implements [sealed.KeyStore].
func (s dataKeys) KeyNumbered(ctx context.Context, number int32) (*sealed.DataKey, error) {
	return s.one(ctx, "NumberedDataKey", number)
}

func (s dataKeys) one(ctx context.Context, statement string, arg int32) (*sealed.DataKey, error) {
	keys, err := s.query(ctx, statement, arg)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	return &keys[0], nil
}

// AllKeys implements [sealed.KeyStore].
func (s dataKeys) AllKeys(ctx context.Context) ([]sealed.DataKey, error) {
	return s.query(ctx, "DataKeys")
}

func (s dataKeys) query(ctx context.Context, statement string, args ...any) ([]sealed.DataKey, error) {
	db, err := s.conns.database(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := db.deadline(ctx)
	defer cancel()
	rows, err := db.pool.Query(ctx, sql(statement), args...)
	if err != nil {
		return nil, fmt.Errorf("read data keys: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[sealed.DataKey])
}

// AddKey implements [sealed.KeyStore]: in one transaction the old one is retired and the new one stored, so that a namespace never has none.
func (s dataKeys) AddKey(ctx context.Context, fresh sealed.DataKey, instead int32) (*sealed.DataKey, error) {
	b := &pgx.Batch{}
	b.Queue(sql("RetireDataKey"), instead, fresh.Namespace)
	b.Queue(sql("AddDataKey"), fresh.Namespace, fresh.Wrapped, fresh.Master, fresh.Check)
	db, err := s.conns.database(ctx)
	if err == nil {
		err = db.pool.Send(ctx, b)
	}
	if err != nil {
		return nil, fmt.Errorf("store a data key: %w", err)
	}
	return s.CurrentKey(ctx, fresh.Namespace)
}

// RewrapKey implements [sealed.KeyStore].
func (s dataKeys) RewrapKey(ctx context.Context, number int32, old, wrapped []byte, master string) error {
	db, err := s.conns.database(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := db.deadline(ctx)
	defer cancel()
	if _, err := db.pool.Exec(ctx, sql("RewrapDataKey"), number, old, wrapped, master); err != nil {
		return fmt.Errorf("store data key %d wrapped anew: %w", number, err)
	}
	return nil
}
