package pg

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/taskgrove/taskgrove/dag"
)

// Connections is how the connections of a process are used.
type Connections struct {
	Used, Idle, Most int
	Acquired         int64         // how often one was asked for
	Waited           int64         // how often none was free then
	Wait             time.Duration // of all those together
}

// Connections tells how the connections of this process are used. It asks nobody.
func (s *Store) Connections() Connections {
	st := s.pool.pool.Stat()
	return Connections{Used: int(st.AcquiredConns()), Idle: int(st.IdleConns()), Most: int(st.MaxConns()),
		Acquired: st.AcquireCount(), Waited: st.EmptyAcquireCount(), Wait: st.EmptyAcquireWaitTime()}
}

// Backlogs is what is left to do in the whole cluster, as far as no pool waits for it.
type Backlogs struct {
	Trees     int           // that are executed and have not ended, of the oldest 20 000 that are open
	Oldest    time.Duration // since the first of them began; if none of its tasks has, since it was stored
	Timers    time.Duration // by how much the timer is late that is due first; 0: none is due
	Followups int           // up to 20 000
	Schema    int           // number of the newest migration on record
}

// Backlogs reads them.
func (s *Store) Backlogs(ctx context.Context) (b Backlogs, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	var oldest, timers float64
	var newest string
	err = s.pool.QueryRow(ctx, sql("Backlogs")).Scan(&b.Trees, &oldest, &timers, &b.Followups, &newest)
	if err != nil {
		return b, fmt.Errorf("read what is left to do: %w", err)
	}
	b.Oldest, b.Timers = time.Duration(oldest*float64(time.Second)), time.Duration(timers*float64(time.Second))
	b.Schema = migrationNumber(newest)
	return b, nil
}

// LimitCounts are how many tasks wait for keys of a kind, and how many places of it are held, each up to [limitsCounted].
type LimitCounts struct {
	Waiting, Held map[dag.LimitKind]int64
}

// limitsCounted is the most of each kind that are counted.
const limitsCounted = 20_000

// LimitsInUse counts them.
func (s *Store) LimitsInUse(ctx context.Context) (LimitCounts, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	n := LimitCounts{Waiting: map[dag.LimitKind]int64{}, Held: map[dag.LimitKind]int64{}}
	rows, err := s.pool.Query(ctx, sql("LimitsInUse"), limitsCounted)
	if err != nil {
		return n, fmt.Errorf("count what limits hold back: %w", err)
	}
	return n, eachRow(rows, func(v *values) {
		kind := dag.LimitKind(v.smallint())
		n.Waiting[kind], n.Held[kind] = v.bigint(), v.bigint()
	})
}

// NewestMigration is the number of the newest migration that this program has.
func NewestMigration() int {
	files, err := migrations.ReadDir("migrations")
	if err != nil || len(files) == 0 {
		return 0
	}
	return migrationNumber(path.Base(files[len(files)-1].Name())) // they come sorted
}

// migrationNumber is what the name of a migration begins with.
func migrationNumber(name string) int {
	number, _, _ := strings.Cut(name, "_")
	n, _ := strconv.Atoi(number)
	return n
}

// FaultKinds are the kinds of errors of Postgres that [Store.Faults] counts, in its order.
var FaultKinds = [...]string{"connection", "timeout", "conflict", "read_only", "resources", "other"}

const (
	faultConnection = iota
	faultTimeout
	faultConflict
	faultReadOnly
	faultResources
	faultOther
)

// Faults counts the errors of statements, batches and connections since the process began, by [FaultKinds]. What Postgres refused as an assumption
// was wrong, and what was called off, is none.
func (s *Store) Faults() (counts [len(FaultKinds)]int64) {
	for i := range counts {
		counts[i] = s.pool.faults[i].Load()
	}
	return counts
}

// faultTracer counts errors. It implements the tracers of pgx for statements, batches and connections.
type faultTracer [len(FaultKinds)]atomic.Int64

func (f *faultTracer) count(err error) {
	if kind, ok := faultKind(err); ok {
		f[kind].Add(1)
	}
}

// faultKind is what kind of error it is; ok is false where nothing is wrong.
func faultKind(err error) (kind int, ok bool) {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, pgx.ErrNoRows) || isRefused(err) {
		return 0, false
	}
	if e, is := errors.AsType[*pgconn.PgError](err); is {
		switch {
		case e.Code == "57014" || e.Code == "55P03" || e.Code == "25P03" || e.Code == "25P04":
			return faultTimeout, true
		case e.Code == "40001" || e.Code == "40P01":
			return faultConflict, true
		case e.Code == "25006":
			return faultReadOnly, true
		case strings.HasPrefix(e.Code, "53") || strings.HasPrefix(e.Code, "58"):
			return faultResources, true
		case strings.HasPrefix(e.Code, "08") || strings.HasPrefix(e.Code, "57P") || strings.HasPrefix(e.Code, "28"):
			return faultConnection, true
		}
		return faultOther, true
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return faultTimeout, true
	case Unreachable(err):
		return faultConnection, true
	}
	return faultOther, true
}

// TraceQueryStart implements pgx.QueryTracer.
func (*faultTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (f *faultTracer) TraceQueryEnd(_ context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	f.count(data.Err)
}

// TraceBatchStart implements pgx.BatchTracer.
func (*faultTracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

// TraceBatchQuery implements pgx.BatchTracer: the end of the batch has its error, too.
func (*faultTracer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements pgx.BatchTracer.
func (f *faultTracer) TraceBatchEnd(_ context.Context, _ *pgx.Conn, data pgx.TraceBatchEndData) {
	f.count(data.Err)
}

// TraceConnectStart implements pgx.ConnectTracer.
func (*faultTracer) TraceConnectStart(ctx context.Context, _ pgx.TraceConnectStartData) context.Context {
	return ctx
}

// TraceConnectEnd implements pgx.ConnectTracer.
func (f *faultTracer) TraceConnectEnd(_ context.Context, data pgx.TraceConnectEndData) {
	f.count(data.Err)
}
