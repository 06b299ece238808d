package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// MaxBindings is how many bindings of roles there may be: each coordinator has all in memory.
const MaxBindings = 100_000

// Errors of bindings.
var (
	// ErrTooManyBindings: there are [MaxBindings].
	ErrTooManyBindings = fmt.Errorf("there are %d bindings of roles, and no room for more", MaxBindings)
	// ErrLastAdmin: nobody would be an admin of the cluster any more.
	ErrLastAdmin = errors.New("it is the last binding of an admin of the cluster")
)

// Binding is a role that somebody holds.
type Binding struct {
	Key       int64
	Namespace string // its name, or *
	Kind      string // of the subject: user, group, machine
	Subject   string
	Issuer    string // empty: whoever says so
	Role      string
	GrantedBy string // empty: nobody was asked
	GrantedAt time.Time
}

func (b *Binding) identity() []any { return []any{b.Namespace, b.Kind, b.Subject, b.Issuer, b.Role} }

// GrantRole stores a binding, and gives it as it is stored; one that is there stays. [ErrNoNamespace], [ErrTooManyBindings].
func (s *Store) GrantRole(ctx context.Context, b *Binding) (*Binding, error) {
	var there, free bool
	var key *int64
	out := &Binding{}
	var namespace, kind, subject, issuer, role, by *string
	var at *time.Time
	err := s.changeBindings(ctx, func(row pgx.Row) error {
		if err := row.Scan(&there, &free, &key, &namespace, &kind, &subject, &issuer, &role, &by, &at); err != nil || key != nil {
			return err
		}
		if !there {
			return ErrNoNamespace
		}
		return ErrTooManyBindings
	}, "GrantRole", append(b.identity(), b.GrantedBy, MaxBindings)...)
	if err != nil {
		return nil, fmt.Errorf("grant a role: %w", err)
	}
	*out = Binding{*key, *namespace, *kind, *subject, *issuer, *role, *by, *at}
	return out, nil
}

// RevokeRole deletes a binding. [ErrNotFound]. [ErrLastAdmin]: nobody else is an admin of the cluster by a binding, unless that may be.
func (s *Store) RevokeRole(ctx context.Context, b *Binding, lastAdmin bool) error {
	err := s.changeBindings(ctx, func(row pgx.Row) error {
		var found, gone int
		switch err := row.Scan(&found, &gone); {
		case err != nil:
			return err
		case found == 0:
			return ErrNotFound
		case gone == 0:
			return ErrLastAdmin
		}
		return nil
	}, "RevokeRole", append(b.identity(), lastAdmin)...)
	if err != nil {
		return fmt.Errorf("revoke a role: %w", err)
	}
	return nil
}

// changeBindings makes a change when no other one is under way.
func (s *Store) changeBindings(ctx context.Context, take func(pgx.Row) error, statement string, args ...any) error {
	return s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		b := &pgx.Batch{}
		begin(b, c)
		b.Queue(sql("TakeBindings"))
		b.Queue(sql(statement), args...).QueryRow(take)
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		_, err := c.Exec(ctx, "commit")
		return err
	})
}

// BindingsSince are all bindings and their version, or none if that is still the one given; a version is never negative.
func (s *Store) BindingsSince(ctx context.Context, known int64) (list []*Binding, version int64, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if err := s.pool.QueryRow(ctx, sql("BindingsVersion")).Scan(&version); err != nil {
		return nil, 0, fmt.Errorf("read the version of bindings: %w", err)
	}
	if version == known {
		return nil, version, nil
	}
	list, err = s.bindings(ctx, "AllBindings", MaxBindings)
	return list, version, err
}

// Bindings lists bindings of a namespace (*: of the cluster; nil: all), of a subject unless that is empty, after a key.
func (s *Store) Bindings(ctx context.Context, namespace *string, subject string, after int64, limit int) ([]*Binding, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	return s.bindings(ctx, "Bindings", namespace, after, subject, limit)
}

func (s *Store) bindings(ctx context.Context, statement string, args ...any) ([]*Binding, error) {
	rows, err := s.pool.Query(ctx, sql(statement), args...)
	if err != nil {
		return nil, fmt.Errorf("read bindings: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*Binding, error) {
		b := &Binding{}
		return b, row.Scan(&b.Key, &b.Namespace, &b.Kind, &b.Subject, &b.Issuer, &b.Role, &b.GrantedBy, &b.GrantedAt)
	})
}
