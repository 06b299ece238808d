package pg

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/sealed"
)

// A round of the walker goes over all rows that hold values, table by table, by their keys. It seals those that are not, and moves those that are
// sealed with a retired data key of a namespace to the current one. A round that had nothing to write anew shows that no row has a retired key.

const (
	walkSpan  = 2000    // rows looked at in one step
	walkRows  = 200     // rows written in one step, at most
	walkBytes = 8 << 20 // values read in one step, unless one row has more
)

// walked is a table with values.
type walked struct {
	table   string
	key     string   // the column by which rows are walked
	more    string   // the rest of the primary key; 0: there is none
	tree    string   // of a row
	values  []string // columns
	sealed  string   // the column of the envelope
	plain   string   // condition: the row is not sealed, and has values
	written string   // what else is set
	kind    string
}

var walkedTables = []walked{
	{"payload", "key", "0", "key >> 24", []string{"inputs", "params", "schemas", "custom", "control"}, "sealed",
		"sealed is null and num_nonnulls(inputs, params, schemas, custom, control) > 0", "inputs = null, params = null, schemas = null, custom = null, control = null", kindPayload},
	{"sent_payload", "key", "attempt", "key >> 24", []string{"inputs", "params", "schemas", "null::json", "control"}, "sealed",
		"sealed is null and num_nonnulls(inputs, params, schemas, control) > 0", "inputs = null, params = null, schemas = null, control = null", kindPayload},
	{"attempt", "task", "number", "task >> 24", []string{"result", "error", "detail", "outputs"}, "sealed",
		"sealed is null and num_nonnulls(result, error, detail, outputs) > 0", "result = null, error = null, detail = null, outputs = null", kindAttempt},
	{"chunk", "task", "attempt::bigint << 32 | index", "task >> 24", []string{"case when sealed then null else data end"}, "data",
		"not sealed", "sealed = true", kindChunk},
	{"artifact", "task", "(attempt::bigint << 32 | kind::bigint << 24 | number)", "task >> 24", []string{"name", "media_type", "tag", "data"}, "sealed",
		"sealed is null", "name = '', media_type = '', data = null", kindArtifact},
	{"content", "key", "0", "task >> 24", nil, "sealed", "false", "state = state", kindContent}, // what is stored already stays as it is
	{"checkpoint", "task", "attempt::bigint << 32 | number", "task >> 24", []string{"data"}, "sealed", "sealed is null and data is not null", "data = null", kindCheckpoint},
	{"await", "task", "0", "task >> 24", []string{"data"}, "sealed", "sealed is null and data is not null", "data = null", kindAwait},
	{"signal", "task", "id", "task >> 24", []string{"payload"}, "sealed", "sealed is null and payload is not null", "payload = null", kindSignal},
	{"schedule", "key", "0", "-1 - namespace::bigint", []string{"body"}, "sealed", "sealed is null and body is not null", "body = null", kindSchedule},
	{"fire", "key", "0", "coalesce((select -1 - namespace::bigint from schedule where schedule.key = fire.schedule), -1)", []string{"parameters"}, "sealed",
		"sealed is null and parameters is not null", "parameters = null", kindSchedule},
	{"backfill", "key", "0", "coalesce((select -1 - namespace::bigint from schedule where schedule.key = backfill.schedule), -1)", []string{"parameters"}, "sealed",
		"sealed is null and parameters is not null", "parameters = null", kindSchedule},
	{"flow_text", "key", "0", "-1 - namespace::bigint", []string{"body"}, "sealed", "sealed is null and body is not null", "body = null", kindFlow},
	{"flow_profile", "key", "0", "-1 - namespace::bigint", []string{"body"}, "sealed", "sealed is null and body is not null", "body = null", kindProfile},
	{"bundle", "key", "0", "-1 - namespace::bigint", []string{"body"}, "sealed", "sealed is null and body is not null", "body = null", kindBundle},
	{"bundle_blob", "key", "0", "-1 - namespace::bigint", []string{"body"}, "sealed", "sealed is null and body is not null", "body = null", kindBundle},
	{"flow_run", "key", "0", "-1 - namespace::bigint", []string{"body"}, "sealed", "sealed is null and body is not null", "body = null", kindFlow},
	{"agent_task", "number", "0", "tree", []string{"history"}, "sealed", "sealed is null", "history = ''", kindHistory},
}

// stale is the condition that a row is to be written anew: the heads of envelopes with retired keys are $3.
func (w *walked) stale() string {
	return fmt.Sprintf("%s > $1 and %s <= $2 and (%s or substring(%s from 1 for 5) = any($3::bytea[]))", w.key, w.key, w.plain, w.sealed)
}

// envelope is the one of a row; null: it is not sealed.
func (w *walked) envelope() string {
	if w.sealed == "data" {
		return "case when sealed then data end"
	}
	return w.sealed
}

// SealWork says what the walker has to do.
type SealWork struct {
	On      bool  // values are sealed
	Round   int64 // the latest; 0: none yet
	Done    bool  // it is
	Rows    int64 // that it wrote anew, or could not
	Covered bool  // it found nothing, and began after the last change of keys and of sealing
	Ripe    bool  // the last change is so long ago that a round may begin
	Retired bool  // there are retired keys of namespaces
}

// SealWork looks what the walker has to do. A round may begin a time after the last change.
func (s *Store) SealWork(ctx context.Context, after time.Duration) (w SealWork, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	err = s.pool.QueryRow(ctx, sql("SealWork"), after.Seconds()).Scan(&w.On, &w.Round, &w.Done, &w.Rows, &w.Covered, &w.Ripe, &w.Retired)
	if err != nil {
		return w, fmt.Errorf("look what is to be sealed anew: %w", err)
	}
	return w, nil
}

// WriterMark is a mark of the transactions that write now.
func (s *Store) WriterMark(ctx context.Context) (mark int64, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	err = s.pool.QueryRow(ctx, sql("WriterMark")).Scan(&mark)
	return mark, err
}

// WritersEnded reports whether all transactions have ended that wrote when a mark was taken.
func (s *Store) WritersEnded(ctx context.Context, mark int64) (ended bool, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	err = s.pool.QueryRow(ctx, sql("WritersEnded"), mark).Scan(&ended)
	return ended, err
}

// BeginSealRound begins the round behind the latest one. If another process did, nothing changes.
func (s *Store) BeginSealRound(ctx context.Context, latest int64) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	names := make([]string, len(walkedTables))
	for i := range walkedTables {
		names[i] = walkedTables[i].table
	}
	if _, err := s.pool.Exec(ctx, sql("BeginSealRound"), latest, names); err != nil {
		return fmt.Errorf("begin to seal rows anew: %w", err)
	}
	return nil
}

// SealTable is how far a round has come in a table.
type SealTable struct {
	Table string
	Round int64
	Done  bool
	Rows  int64 // written anew in this round, or left
	Began time.Time
}

// SealTables is how far the latest round has come; none: there was none.
func (s *Store) SealTables(ctx context.Context) ([]SealTable, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("SealTables"))
	if err != nil {
		return nil, fmt.Errorf("read how far rows are sealed anew: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[SealTable])
}

// DropDataKeys deletes the retired keys of namespaces with which no row is sealed: a whole round that began after they were retired found nothing,
// and that was a time ago. It gives their numbers.
func (s *Store) DropDataKeys(ctx context.Context, after time.Duration) ([]int32, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("DropDataKeys"), after.Seconds())
	if err != nil {
		return nil, fmt.Errorf("delete retired data keys: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[int32])
}

// SealStep is what a step of the walker did.
type SealStep struct {
	Idle    bool // no table is left, or another process makes a step
	Written int
	Left    int   // could not be locked, or opened
	Err     error // of one that could not be opened
}

// SealStep writes some rows anew, and where the round has come, in one transaction. Errors: those of keys, as when values are read.
func (s *Store) SealStep(ctx context.Context) (step SealStep, err error) {
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		step = SealStep{}
		b := &pgx.Batch{}
		begin(b, c)
		var mine bool
		b.Queue(sql("LockSealWalk")).QueryRow(func(row pgx.Row) error { return row.Scan(&mine) })
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		if step.Idle = !mine; mine {
			if err := s.sealStep(ctx, c, &step); err != nil {
				return err
			}
		}
		_, err := c.Exec(ctx, "commit")
		return err
	})
	if err != nil {
		return step, fmt.Errorf("seal rows anew: %w", err)
	}
	return step, nil
}

// sealStep is the step, under the lock.
func (s *Store) sealStep(ctx context.Context, c *pgx.Conn, step *SealStep) error {
	tables := map[string]int64{} // that are not done, and where
	var retired []int32
	b := &pgx.Batch{}
	b.Queue(sql("SealWalk")).Query(func(rows pgx.Rows) error {
		var name string
		var at int64
		_, err := pgx.ForEachRow(rows, []any{&name, &at}, func() error { tables[name] = at; return nil })
		return err
	})
	b.Queue(sql("RetiredDataKeys")).Query(func(rows pgx.Rows) (err error) {
		retired, err = pgx.CollectRows(rows, pgx.RowTo[int32])
		return err
	})
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	heads := make([][]byte, len(retired))
	for i, number := range retired {
		heads[i] = sealed.Head(number)
	}
	for i := range walkedTables {
		if at, open := tables[walkedTables[i].table]; open {
			return s.walk(ctx, c, &walkedTables[i], at, heads, step)
		}
	}
	step.Idle = true
	return nil
}

// walkedRow is one to be written anew.
type walkedRow struct {
	key, more int64
	tree      dag.TreeKey
	envelope  []byte
	values    [walkedValues][]byte
}

// walkedValues is the most columns that an envelope stands for.
const walkedValues = 5

// walk goes over some rows of a table.
func (s *Store) walk(ctx context.Context, c *pgx.Conn, w *walked, at int64, heads [][]byte, step *SealStep) error {
	var end *int64
	span := fmt.Sprintf("select max(key) from (select %s as key from %s where %s > $1 order by 1 limit $2) span", w.key, w.table, w.key)
	if err := c.QueryRow(ctx, span, at, walkSpan).Scan(&end); err != nil {
		return fmt.Errorf("look at %s: %w", w.table, err)
	}
	if end == nil {
		_, err := c.Exec(ctx, sql("SealWalked"), w.table, at, 0, true)
		return err
	}
	rows, next, err := w.read(ctx, c, at, *end, heads)
	if err != nil {
		return err
	}
	for i := range rows {
		switch err := s.reseal(ctx, c, w, &rows[i]); {
		case err == nil:
			step.Written++
		case Unreadable(err):
			step.Err = err
		default:
			return err
		}
	}
	if step.Written == 0 && next < *end { // what can't be opened does not hold up the rest
		next = *end
	}
	if next > at {
		left := fmt.Sprintf("select count(*) from %s where %s", w.table, w.stale())
		if err := c.QueryRow(ctx, left, at, next, heads).Scan(&step.Left); err != nil {
			return fmt.Errorf("count what is left of %s: %w", w.table, err)
		}
	}
	_, err = c.Exec(ctx, sql("SealWalked"), w.table, next, step.Written+step.Left, false)
	return err
}

// read locks rows that are to be written anew and reads them. All up to the key next were read, or are locked by others.
func (w *walked) read(ctx context.Context, c *pgx.Conn, at, end int64, heads [][]byte) (out []walkedRow, next int64, err error) {
	columns := append([]string{}, w.values...)
	for len(columns) < walkedValues {
		columns = append(columns, "null::text")
	}
	query := fmt.Sprintf("select %s, %s, %s, %s, %s from %s where %s order by 1, 2 limit $4 for no key update skip locked",
		w.key, w.more, w.tree, w.envelope(), strings.Join(columns, ", "), w.table, w.stale())
	rows, err := c.Query(ctx, query, at, end, heads, walkRows)
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", w.table, err)
	}
	defer rows.Close()
	next = end
	bytes, n := 0, 0
	for rows.Next() {
		raw := rows.RawValues()
		n++
		size := 0
		for _, v := range raw {
			size += len(v)
		}
		var r walkedRow
		if bytes += size; bytes > walkBytes && len(out) > 0 {
			if err := rows.Scan(append([]any{&r.key}, make([]any, 3+walkedValues)...)...); err != nil {
				return nil, 0, err
			}
			next = min(next, r.key-1)
			continue
		}
		into := []any{&r.key, &r.more, &r.tree, &r.envelope}
		for i := range r.values {
			into = append(into, &r.values[i])
		}
		if err := rows.Scan(into...); err != nil {
			return nil, 0, fmt.Errorf("read %s: %w", w.table, err)
		}
		out = append(out, r)
	}
	if n == walkRows {
		next = min(next, out[len(out)-1].key-1) // there may be more of this key
	}
	return out, max(next, at), rows.Err()
}

// reseal writes a row anew, which the transaction has locked.
func (s *Store) reseal(ctx context.Context, c *pgx.Conn, w *walked, r *walkedRow) error {
	values := r.values[:len(w.values)]
	var envelope []byte
	namespace, err := s.seals.namespace(ctx, r.tree)
	if err != nil {
		return err
	}
	if r.envelope != nil {
		envelope, err = s.seals.ring.Reseal(ctx, sealed.Use{Namespace: namespace, Kind: w.kind}, r.envelope)
		if err != nil {
			return fmt.Errorf("values of tree %d: %w", r.tree, err)
		}
	} else {
		if w.kind == kindHistory || w.kind == kindChunk {
			values[0] = append([]byte{}, values[0]...) // never null
		}
		one, err := s.seals.ring.Sealer(ctx, namespace)
		if err != nil {
			return err
		}
		z := &sealer{of: map[dag.TreeKey]*sealed.Sealer{r.tree: one}}
		envelope = z.seal(r.tree, w.kind, values...)
	}
	write := fmt.Sprintf("update %s set %s, %s = $3 where %s = $1 and %s = $2", w.table, w.written, w.sealed, w.key, w.more)
	if w.more == "0" {
		write = fmt.Sprintf("update %s set %s, %s = $3 where %s = $1 and $2::bigint = 0", w.table, w.written, w.sealed, w.key)
	}
	if _, err := c.Exec(ctx, write, r.key, r.more, envelope); err != nil {
		return fmt.Errorf("write %s: %w", w.table, err)
	}
	return nil
}
