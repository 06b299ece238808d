package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// AuditTurn is the right to be the one auditor of the cluster. It is a lock that holds until End, or until its connection
// breaks.
type AuditTurn struct{ conn *pgxpool.Conn }

// TakeAuditTurn takes the right to audit; nil when another process has it.
func (s *Store) TakeAuditTurn(ctx context.Context) (*AuditTurn, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("take audit turn: %w", err)
	}
	var mine bool
	b := &pgx.Batch{}
	begin(b, c.Conn())
	b.Queue("set local idle_in_transaction_session_timeout = '10min'")
	b.Queue(sql("AuditTurn")).QueryRow(func(row pgx.Row) error { return row.Scan(&mine) })
	turn := &AuditTurn{conn: c}
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		turn.End()
		return nil, fmt.Errorf("take audit turn: %w", err)
	}
	if !mine {
		turn.End()
		return nil, nil
	}
	return turn, nil
}

// Keep shows that the auditor lives; an error means that the turn is lost. To be called at least every few minutes.
func (t *AuditTurn) Keep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := t.conn.Exec(ctx, "select 1")
	return err
}

// End gives the turn up.
func (t *AuditTurn) End() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, _ = t.conn.Exec(ctx, "rollback")
	t.conn.Release()
}
