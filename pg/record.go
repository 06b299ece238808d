package pg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/internal/record"
)

// recordLock is the advisory lock under which the audit record grows, in one transaction of the cluster at a time.
const recordLock = 0x7461736b72 // "taskr"

// RecordHead is the newest entry of the audit record: none at Seq 0.
type RecordHead struct {
	record.Head
	Key string // the id of the key of its hash; empty: none
}

// AppendRecord appends entries to the audit record, under its lock: they get the time, number, and hash by key. before is the head that they follow.
// With lasting, it returns when they are on disk; else when all can see them, and they are on disk before anything that is committed afterwards.
func (s *Store) AppendRecord(ctx context.Context, key record.Key, lasting bool, entries []*record.Entry) (before RecordHead, err error) {
	err = s.appendRecord(ctx, lasting, func(_ context.Context, _ *pgx.Conn, b *pgx.Batch, head RecordHead, now time.Time) error {
		before = head
		return queueRecord(b, key, head.Head, now, entries)
	})
	if err != nil {
		return before, fmt.Errorf("append to the audit record: %w", err)
	}
	return before, nil
}

// BeginKey appends an entry with the key's hash, unless the newest entry has one, so that a record whose last entry has none is known to be cut.
func (s *Store) BeginKey(ctx context.Context, key record.Key, entry *record.Entry) error {
	err := s.appendRecord(ctx, true, func(_ context.Context, _ *pgx.Conn, b *pgx.Batch, head RecordHead, now time.Time) error {
		if head.Key == key.ID() {
			return nil
		}
		return queueRecord(b, key, head.Head, now, []*record.Entry{entry})
	})
	if err != nil {
		return fmt.Errorf("begin a key of the audit record: %w", err)
	}
	return nil
}

// TrimRecord deletes the oldest entries that were made before a time, limit at most, and appends an entry that tells of it, whose details say which
// was the last. It returns how many may have gone; 0: none was that old, and nothing was appended.
func (s *Store) TrimRecord(ctx context.Context, key record.Key, before time.Time, limit int, entry *record.Entry) (gone int64, err error) {
	err = s.appendRecord(ctx, true, func(ctx context.Context, c *pgx.Conn, b *pgx.Batch, head RecordHead, now time.Time) error {
		var last record.Head
		var hash []byte
		gone = 0
		err := c.QueryRow(ctx, sql("LastToTrim"), before, limit).Scan(&last.Seq, &hash)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		copy(last.Hash[:], hash)
		tag, err := c.Exec(ctx, sql("TrimRecord"), last.Seq)
		if err != nil {
			return err
		}
		gone = tag.RowsAffected()
		entry.Details = map[string]string{record.Through: strconv.FormatInt(last.Seq, 10), record.ThroughHash: last.Hash.String(), "entries": strconv.FormatInt(gone, 10)}
		return queueRecord(b, key, head.Head, now, []*record.Entry{entry})
	})
	if err != nil {
		return 0, fmt.Errorf("trim the audit record: %w", err)
	}
	return gone, nil
}

// appendRecord runs a transaction under the record's lock: queue queues what is written after the head.
func (s *Store) appendRecord(ctx context.Context, lasting bool, queue func(context.Context, *pgx.Conn, *pgx.Batch, RecordHead, time.Time) error) error {
	return s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		var head RecordHead
		var hash []byte
		var now time.Time
		b := &pgx.Batch{}
		begin(b, c)
		if !lasting {
			b.Queue("set local synchronous_commit = off")
		}
		b.Queue(sql("LockRecord"), recordLock)
		b.Queue(sql("RecordHead")).QueryRow(func(row pgx.Row) error { return row.Scan(&head.Seq, &hash, &head.Key, &now) })
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		copy(head.Hash[:], hash)
		b = &pgx.Batch{}
		if err := queue(ctx, c, b, head, now); err != nil {
			return err
		}
		b.Queue("commit")
		return c.SendBatch(ctx, b).Close()
	})
}

// queueRecord gives entries their time, numbers and hashes, and queues them to be written.
func queueRecord(b *pgx.Batch, key record.Key, after record.Head, now time.Time, entries []*record.Entry) error {
	for _, e := range entries {
		e.At = record.At(now)
		after = key.Append(after, e)
	}
	text, err := json.Marshal(entries)
	if err != nil {
		return err
	}
	b.Queue(sql("AppendRecord"), string(text))
	return nil
}

// RecordHead is the newest entry of the audit record.
func (s *Store) RecordHead(ctx context.Context) (head RecordHead, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var hash []byte
	var now time.Time
	if err := s.pool.QueryRow(ctx, sql("RecordHead")).Scan(&head.Seq, &hash, &head.Key, &now); err != nil {
		return head, fmt.Errorf("read the head of the audit record: %w", err)
	}
	copy(head.Hash[:], hash)
	return head, nil
}

// LogWritten is how far Postgres's log of changes is written, and how far it is on disk. Both grow.
func (s *Store) LogWritten(ctx context.Context) (written, onDisk int64, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	if err := s.pool.QueryRow(ctx, sql("LogWritten")).Scan(&written, &onDisk); err != nil {
		return 0, 0, fmt.Errorf("look how far the log is on disk: %w", err)
	}
	return written, onDisk, nil
}
