//go:build etl

package sql

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"
	oracledriver "github.com/sijms/go-ora/v2"
	oraclenet "github.com/sijms/go-ora/v2/network"

	"github.com/taskgrove/taskgrove/executors"
)

func init() {
	openers[sqlserver], openers[oracle] = openSQLServer, openOracle
	judges = append(judges, judgeSQLServer, judgeOracle)
}

// stdSession is a session at a server whose driver ends statements there when their context ends. It is for one attempt: neither driver says what another would find.
type stdSession struct {
	dialect  string
	db       *stdsql.DB
	conn     *stdsql.Conn
	tx       *stdsql.Tx // nil: each statement by itself
	readOnly bool
}

// fixed dials one address, whatever it is told.
type fixed struct{ t *target }

// DialContext implements the dialers of both drivers.
func (f fixed) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	network, address := f.t.address()
	return f.t.dialer.DialContext(ctx, network, address)
}

// HostName says that the dialer looks the host up.
func (f fixed) HostName() string { return f.t.host }

func openSQLServer(ctx context.Context, t *target) (session, error) {
	cfg, err := msdsn.Parse((&url.URL{Scheme: "sqlserver", Host: t.hostPort(), RawQuery: "protocol=tcp&encrypt=true&trustservercertificate=true&dial+timeout=0&connection+timeout=0"}).String())
	if err != nil {
		return nil, executors.Permanent(errors.New("the connection's settings don't fit together"))
	}
	cfg.User, cfg.Password, cfg.Database, cfg.AppName, cfg.DisableRetry = t.username, t.password, t.database, "taskgrove", true
	cfg.Encryption, cfg.HostInCertificateProvided = msdsn.EncryptionRequired, true
	if cfg.TLSConfig, err = t.tlsConfig(); err != nil {
		return nil, executors.Permanent(err)
	}
	if cfg.TLSConfig == nil {
		cfg.Encryption = msdsn.EncryptionDisabled
	} else {
		cfg.TLSConfig.DynamicRecordSizingDisabled = true // the handshake is wrapped in packets of the protocol
	}
	connector := mssql.NewConnectorConfig(cfg)
	connector.Dialer = fixed{t}
	return openStd(ctx, sqlserver, stdsql.OpenDB(connector))
}

func (t *target) hostPort() string { return net.JoinHostPort(t.host, strconv.Itoa(t.port)) }

func openOracle(ctx context.Context, t *target) (session, error) {
	options := map[string]string{"PREFETCH_ROWS": "1000"}
	tls, err := t.tlsConfig()
	if err != nil {
		return nil, executors.Permanent(err)
	}
	if tls != nil {
		options["SSL"], options["SSL VERIFY"] = "TRUE", strconv.FormatBool(!tls.InsecureSkipVerify)
	}
	connector, ok := oracledriver.NewConnector(oracledriver.BuildUrl(t.host, t.port, t.database, t.username, t.password, options)).(*oracledriver.OracleConnector)
	if !ok {
		return nil, executors.Permanent(errors.New("the driver is of another version"))
	}
	connector.Dialer(fixed{t})
	if tls != nil {
		connector.WithTLSConfig(tls)
	}
	return openStd(ctx, oracle, stdsql.OpenDB(connector))
}

func openStd(ctx context.Context, dialect string, db *stdsql.DB) (session, error) {
	conn, err := dialStd(ctx, db)
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return &stdSession{dialect: dialect, db: db, conn: conn}, nil
}

// dialStd connects, and returns when ctx ends, also where a driver goes on waiting.
func dialStd(ctx context.Context, db *stdsql.DB) (*stdsql.Conn, error) {
	type dialed struct {
		conn *stdsql.Conn
		err  error
	}
	done := make(chan dialed, 1) // the goroutine ends, though nobody may listen any more
	go func() {
		defer func() {
			if broken := recover(); broken != nil { // of a driver that reads what no server says
				done <- dialed{nil, errors.New("the server's answer can't be read")}
			}
		}()
		conn, err := db.Conn(ctx)
		done <- dialed{conn, err}
	}()
	select {
	case d := <-done:
		return d.conn, d.err
	case <-ctx.Done():
		select {
		case d := <-done:
			if d.conn != nil {
				_ = d.conn.Close()
			}
		case <-time.After(stopTime):
		}
		return nil, context.Cause(ctx)
	}
}

// begin implements session.
func (s *stdSession) begin(ctx context.Context, j *job) error {
	s.readOnly = j.readOnly
	if s.dialect == oracle {
		if _, err := s.conn.ExecContext(ctx, "ALTER SESSION SET TIME_ZONE = '+00:00'"); err != nil {
			return err
		}
	}
	if !j.transaction {
		return nil
	}
	options := &stdsql.TxOptions{}
	if s.dialect == sqlserver {
		options.Isolation = map[string]stdsql.IsolationLevel{"READ UNCOMMITTED": stdsql.LevelReadUncommitted, "READ COMMITTED": stdsql.LevelReadCommitted,
			"REPEATABLE READ": stdsql.LevelRepeatableRead, "SERIALIZABLE": stdsql.LevelSerializable}[j.isolation]
	}
	var err error
	if s.tx, err = s.conn.BeginTx(ctx, options); err != nil {
		return err
	}
	switch {
	case s.dialect != oracle:
	case j.readOnly:
		_, err = s.tx.ExecContext(ctx, "SET TRANSACTION READ ONLY")
	case j.isolation != "":
		_, err = s.tx.ExecContext(ctx, "SET TRANSACTION ISOLATION LEVEL "+j.isolation)
	}
	return err
}

// run implements session.
func (s *stdSession) run(ctx context.Context, st *statement, out *sink) error {
	params := make([]any, len(st.params))
	for i, p := range st.params {
		params[i] = plain(p, false)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	text := st.sql
	if s.dialect == oracle && st.kind.first != "begin" && st.kind.first != "declare" && st.kind.first != "create" {
		text = strings.TrimRight(text, "; \t\r\n") // which is no part of a statement there
	}
	type runner interface {
		querier
		ExecContext(ctx context.Context, query string, args ...any) (stdsql.Result, error)
	}
	var on runner = s.conn
	if s.tx != nil {
		on = s.tx
	}
	if st.kind.changes() && st.kind.first != "with" && !strings.Contains(strings.ToLower(text), "output") {
		result, err := on.ExecContext(ctx, text, params...)
		if err != nil {
			return err
		}
		out.affected, err = result.RowsAffected()
		return err
	}
	run := *st
	run.sql = text
	return query(ctx, s.dialect, on, &run, params, out, "", stop)
}

// commit implements session. What only reads is rolled back: SQL Server has no transaction that only reads.
func (s *stdSession) commit(context.Context) error {
	if s.tx == nil {
		return nil
	}
	tx := s.tx
	s.tx = nil
	if s.readOnly {
		return tx.Rollback()
	}
	if err := tx.Commit(); err != nil {
		if kind, _, known := judgeSQLServer(err); known && kind != executors.KindConnect {
			return err
		}
		if kind, _, known := judgeOracle(err); known && kind != executors.KindConnect {
			return err
		}
		return fmt.Errorf("the outcome of COMMIT is not known: %w", err)
	}
	return nil
}

// reset implements session.
func (s *stdSession) reset() func() bool { return nil }

// close implements session. The server rolls back what is open.
func (s *stdSession) close() {
	if s.tx != nil {
		_ = s.tx.Rollback()
	}
	_ = s.conn.Close()
	_ = s.db.Close()
}

// judgeSQLServer goes by the numbers and classes of SQL Server's messages.
func judgeSQLServer(err error) (kind string, permanent, known bool) {
	e, ok := errors.AsType[mssql.Error](err)
	if !ok {
		return "", false, false
	}
	switch {
	case e.Number == 1205 || e.Number == 1222 || e.Number == 3960: // deadlock, lock time-out, snapshot conflict
		return KindConflict, false, true
	case e.Class >= 20 || e.Number == 40197 || e.Number == 40501 || e.Number == 40613 || e.Number == 49918 || e.Number == 17142: // it is going, or busy
		return executors.KindConnect, false, true
	case e.Class == 17 || e.Class == 19 || e.Number == 701 || e.Number == 1105: // out of something
		return KindStatement, false, true
	}
	return KindStatement, true, true
}

// judgeOracle goes by the numbers of Oracle's messages.
func judgeOracle(err error) (kind string, permanent, known bool) {
	e, ok := errors.AsType[*oraclenet.OracleError](err)
	if !ok {
		return "", false, false
	}
	switch code := e.ErrCode; {
	case code == 60 || code == 54 || code == 8177 || code == 30006: // deadlock, busy, can't serialize
		return KindConflict, false, true
	case code == 28 || code == 1012 || code == 1033 || code == 1034 || code == 1089 || code == 1090 || code == 3113 || code == 3114 || code == 3135 || code >= 12150 && code <= 12699:
		return executors.KindConnect, false, true
	case code == 18 || code == 20 || code == 1013 || code == 1555 || code == 1652 || code == 4031: // too many sessions, cancelled, snapshot too old, out of space
		return KindStatement, false, true
	}
	return KindStatement, true, true
}
