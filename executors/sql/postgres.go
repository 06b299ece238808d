package sql

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/table"
)

const (
	// maxMessageBytes bounds a row on its way from the server, and with it what a session needs of memory.
	maxMessageBytes = 64 << 20
	// stopTime is how long the server may take to end a statement that is cancelled, before its connection is cut.
	stopTime = 5 * time.Second
)

// pgSession is a session at a Postgres server. Statements go by the extended protocol, which takes one at a time, with unnamed statements,
// parameters as text whose types the server finds, and values back as text: one round trip for each, or one for an attempt that only reads.
type pgSession struct {
	conn     *pgconn.PgConn
	reporter executors.Reporter // of the attempt that has it
	ahead    *pgAhead           // the statement and COMMIT are on their way; nil: they are not
	within   bool               // a transaction is open
	stopped  bool               // a statement of it was cancelled, as nobody wanted the rest
}

// openPostgres connects. Nothing is taken from the worker's environment, or from files of its user.
func openPostgres(ctx context.Context, t *target) (session, error) {
	cfg, err := pgconn.ParseConfig("host=localhost port=5432 user=u dbname=d sslmode=disable target_session_attrs=any passfile=/nonexistent")
	if err != nil {
		return nil, err
	}
	network, address := t.address()
	s := &pgSession{}
	cfg.Host, cfg.Port, cfg.User, cfg.Password, cfg.Database = t.host, uint16(t.port), t.username, t.password, t.database
	cfg.TLSConfig, err = t.tlsConfig()
	if err != nil {
		return nil, executors.Permanent(err)
	}
	cfg.Fallbacks, cfg.ValidateConnect, cfg.AfterConnect, cfg.KerberosSrvName = nil, nil, nil, ""
	cfg.RuntimeParams = map[string]string{"application_name": "taskgrove"}
	cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil } // the dialer looks it up
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return t.dialer.DialContext(ctx, network, address) // also for cancelling, whatever address the peer seems to have
	}
	cfg.MaxProtocolMessageBodyLen = maxMessageBytes
	cfg.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: stopTime}
	}
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if s.reporter != nil {
			s.reporter.Log("log", n.Severity+": "+executors.Text([]byte(n.Message)))
		}
	}
	s.conn, err = pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// begin opens the transaction and sets what the attempt needs. The query behind BEGIN takes the snapshot after which Postgres refuses to
// make a read-only transaction writable.
func (s *pgSession) begin(ctx context.Context, j *job) error {
	s.reporter, s.within = j.reporter, j.transaction
	if j.goesAhead() {
		return s.beginAhead(ctx, j)
	}
	sql := settings(ctx, j)
	if j.transaction {
		sql = beginning(j) + "; " + sql
	}
	_, err := s.conn.Exec(ctx, sql).ReadAll()
	return err
}

// beginning is the statement that opens the transaction.
func beginning(j *job) string {
	sql := "BEGIN"
	if j.isolation != "" {
		sql += " ISOLATION LEVEL " + j.isolation
	}
	if j.readOnly {
		return sql + " READ ONLY"
	}
	return sql + " READ WRITE"
}

// serverTime is how long a server lets the statements of an attempt run that ends then. It is a second longer than the worker waits, so that the worker is who says
// why the attempt ended; the server ends what a frozen worker left.
func serverTime(end time.Time) time.Duration { return max(0, time.Until(end)) + time.Second }

// settings is the query that sets what the attempt needs, until the transaction ends or, without one, the session is reset.
func settings(ctx context.Context, j *job) string {
	left := "0"
	if end, ok := ctx.Deadline(); ok {
		left = strconv.FormatInt(serverTime(end).Milliseconds(), 10)
	}
	var sql strings.Builder
	sql.WriteString("SELECT 1")
	for _, setting := range [][2]string{
		{"statement_timeout", left}, {"idle_in_transaction_session_timeout", left},
		{"DateStyle", "ISO"}, {"IntervalStyle", "iso_8601"}, {"bytea_output", "hex"}, {"standard_conforming_strings", "on"},
		{"taskgrove.key", j.key}, {"taskgrove.attempt", strconv.Itoa(j.attempt)},
	} {
		fmt.Fprintf(&sql, ", set_config(%s, %s, %t)", literal(setting[0]), literal(setting[1]), j.transaction)
	}
	return sql.String()
}

// literal is a text as Postgres reads it, whatever standard_conforming_strings is.
func literal(text string) string {
	text = strings.ReplaceAll(text, "'", "''")
	if strings.Contains(text, `\`) {
		return ` E'` + strings.ReplaceAll(text, `\`, `\\`) + `'`
	}
	return `'` + text + `'`
}

// run implements session.
func (s *pgSession) run(ctx context.Context, st *statement, out *sink) error {
	if s.ahead != nil {
		return s.runAhead(out)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	rows, err := s.execute(ctx, st)
	if err != nil {
		return err
	}
	stopped := s.read(rows, out, stop)
	tag, err := rows.Close()
	if stopped {
		s.stopped = true
		return nil
	}
	if err != nil {
		return err
	}
	out.affected = tag.RowsAffected()
	if s.within && s.conn.TxStatus() != 'T' {
		return executors.Permanent(errEnded)
	}
	return nil
}

// execute sends the statement. Only lists among the parameters need the server's types beforehand.
func (s *pgSession) execute(ctx context.Context, st *statement) (*pgconn.ResultReader, error) {
	values := pgTexts(st.params)
	if !hasList(st.params) {
		return s.conn.ExecParams(ctx, st.sql, values, nil, nil, nil), nil
	}
	described, err := s.conn.Prepare(ctx, "", st.sql, nil)
	if err != nil {
		return nil, err
	}
	for i, p := range st.params {
		if isList(p) && i < len(described.ParamOIDs) && isArray(described.ParamOIDs[i]) {
			array, err := pgArray(p.(rawJSON))
			if err != nil {
				return nil, executors.Permanent(fmt.Errorf("parameter %d: %w", i+1, err))
			}
			values[i] = array
		}
	}
	return s.conn.ExecPrepared(ctx, "", values, nil, nil), nil
}

// read reads the rows. It reports whether it stopped before their end.
func (s *pgSession) read(rows *pgconn.ResultReader, out *sink, stop func()) bool {
	var convert []func([]byte) table.Value
	var values []table.Value
	for rows.NextRow() {
		if convert == nil {
			convert = describePostgres(rows.FieldDescriptions(), out)
			values = make([]table.Value, len(convert))
		}
		for i, v := range rows.Values() {
			values[i] = table.Value{Null: true}
			if v != nil {
				values[i] = convert[i](v)
			}
		}
		if !out.add(values) && out.mayStop {
			stop()
			return true
		}
	}
	if convert == nil {
		describePostgres(rows.FieldDescriptions(), out)
	}
	return false
}

func describePostgres(fields []pgconn.FieldDescription, out *sink) (convert []func([]byte) table.Value) {
	if len(fields) == 0 {
		return nil
	}
	names, types, classes := make([]string, len(fields)), make([]string, len(fields)), make([]table.Class, len(fields))
	for i, f := range fields {
		names[i], types[i] = f.Name, "oid "+strconv.FormatUint(uint64(f.DataTypeOID), 10)
		if t, ok := pgTypes.TypeForOID(f.DataTypeOID); ok {
			types[i] = typeName(t)
		}
		convert, classes[i] = append(convert, fromPostgres(f.DataTypeOID)), pgClass(f.DataTypeOID)
	}
	out.describe(names, types, classes)
	return convert
}

// typeName is int4[] for _int4.
func typeName(t *pgtype.Type) string {
	if element, ok := strings.CutPrefix(t.Name, "_"); ok {
		return element + "[]"
	}
	return t.Name
}

// commit implements session.
func (s *pgSession) commit(ctx context.Context) error {
	if !s.within || s.stopped {
		return nil // only the last statement of a read-only transaction is stopped
	}
	if s.ahead != nil {
		return s.commitAhead()
	}
	results, err := s.conn.Exec(ctx, "COMMIT").ReadAll()
	if err != nil {
		if _, ok := errors.AsType[*pgconn.PgError](err); !ok {
			return fmt.Errorf("the outcome of COMMIT is not known: %w", err)
		}
		return err
	}
	if len(results) > 0 && results[0].CommandTag.String() != "COMMIT" {
		return errRolledBack
	}
	s.within = false
	return nil
}

var errRolledBack = errors.New("the transaction was rolled back at its end")

// reset implements session.
func (s *pgSession) reset() func() bool {
	s.reporter = nil
	if s.conn.IsClosed() || s.within || s.conn.TxStatus() != 'I' {
		return nil
	}
	return s.discard
}

// discard drops temporary tables, settings, prepared statements, locks, LISTENs.
func (s *pgSession) discard() bool {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	_, err := s.conn.Exec(ctx, "DISCARD ALL").ReadAll()
	return err == nil
}

// close implements session. The server rolls back what is open.
func (s *pgSession) close() {
	s.reporter = nil
	s.endAhead()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.conn.Close(ctx) // nothing is left to save
	<-s.conn.CleanupDone()
}
