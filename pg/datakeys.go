package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/internal/sealed"
)

// dataKeys keeps wrapped data keys in Postgres.
type dataKeys struct{ database }

// DataKeys is where the data keys of the cluster are kept, wrapped.
func (s *Store) DataKeys() sealed.KeyStore { return dataKeys{s.database} }

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
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql(statement), args...)
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
	if err := s.pool.Send(ctx, b); err != nil {
		return nil, fmt.Errorf("store a data key: %w", err)
	}
	return s.CurrentKey(ctx, fresh.Namespace)
}

// RewrapKey implements [sealed.KeyStore].
func (s dataKeys) RewrapKey(ctx context.Context, number int32, old, wrapped []byte, master string) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if _, err := s.pool.Exec(ctx, sql("RewrapDataKey"), number, old, wrapped, master); err != nil {
		return fmt.Errorf("store data key %d wrapped anew: %w", number, err)
	}
	return nil
}
