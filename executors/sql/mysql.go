package sql

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	sqldriver "github.com/go-sql-driver/mysql"

	"github.com/taskgrove/taskgrove/executors"
)

// mySession is a session at a MySQL or MariaDB server. It is for one attempt: the protocol's reset is out of the driver's reach, and without
// it variables, locks and temporary tables would go to the next.
type mySession struct {
	cfg *sqldriver.Config
	db  *stdsql.DB
	id  uint64 // of the connection, at the server

	conn   *stdsql.Conn
	within bool
	dead   bool

	mu  sync.Mutex
	raw net.Conn // beneath TLS
}

func openMySQL(ctx context.Context, t *target) (session, error) {
	s := &mySession{}
	cfg := sqldriver.NewConfig()
	cfg.User, cfg.Passwd, cfg.DBName = t.username, t.password, t.database
	network, address := t.address()
	cfg.Net, cfg.Addr = network, address
	var err error
	if cfg.TLS, err = t.tlsConfig(); err != nil {
		return nil, executors.Permanent(err)
	}
	cfg.AllowCleartextPasswords = cfg.TLS != nil && t.tls == "verify-full"
	cfg.MaxAllowedPacket = maxMessageBytes
	cfg.Logger = &sqldriver.NopLogger{}
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := t.dialer.DialContext(ctx, network, address)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.raw == nil { // else it is the one that kills
			s.raw = conn
		}
		return conn, err
	}
	s.cfg = cfg
	if s.db, s.conn, err = connectMySQL(ctx, cfg); err != nil {
		return nil, err
	}
	if err := s.conn.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&s.id); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func connectMySQL(ctx context.Context, cfg *sqldriver.Config) (*stdsql.DB, *stdsql.Conn, error) {
	connector, err := sqldriver.NewConnector(cfg)
	if err != nil {
		return nil, nil, executors.Permanent(errors.New("the connection's settings don't fit together"))
	}
	db := stdsql.OpenDB(connector)
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, conn, nil
}

// begin sets the time limits of both servers: MySQL has one for SELECTs, MariaDB one for all statements.
func (s *mySession) begin(ctx context.Context, j *job) error {
	var version, mode string
	if err := s.conn.QueryRowContext(ctx, "SELECT VERSION(), @@sql_mode").Scan(&version, &mode); err != nil {
		return err
	}
	set := []string{"NAMES utf8mb4", "time_zone = '+00:00'", "@taskgrove_key = ?", "@taskgrove_attempt = ?"}
	params := []any{j.key, j.attempt}
	if end, ok := ctx.Deadline(); ok {
		left := serverTime(end)
		limit := fmt.Sprintf("max_execution_time = %d", left.Milliseconds())
		if strings.Contains(version, "MariaDB") {
			limit = fmt.Sprintf("max_statement_time = %.3f", left.Seconds())
		}
		set = append(set, limit, fmt.Sprintf("innodb_lock_wait_timeout = %d", int(left.Seconds())),
			fmt.Sprintf("wait_timeout = %d", int(left.Seconds())+1)) // of a worker that is frozen
	}
	if j.readOnly { // the guard reads texts as they are without these
		set = append(set, "sql_mode = "+quoteMySQL(without(mode, "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES", "ANSI")))
	}
	steps := []string{}
	if j.transaction {
		if j.isolation != "" {
			steps = append(steps, "SET TRANSACTION ISOLATION LEVEL "+j.isolation)
		}
		access := "READ WRITE"
		if j.readOnly {
			access = "READ ONLY"
		}
		steps = append(steps, "START TRANSACTION "+access)
	}
	return s.watched(ctx, func(ctx context.Context) error {
		if _, err := s.conn.ExecContext(ctx, "SET "+strings.Join(set, ", "), params...); err != nil {
			return err
		}
		for _, step := range steps {
			if _, err := s.conn.ExecContext(ctx, step); err != nil {
				return err
			}
		}
		s.within = j.transaction
		return nil
	})
}

func quoteMySQL(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// without is a list, separated by commas, without some elements.
func without(list string, drop ...string) string {
	var left []string
	for element := range strings.SplitSeq(list, ",") {
		keep := element != ""
		for _, d := range drop {
			keep = keep && element != d
		}
		if keep {
			left = append(left, element)
		}
	}
	return strings.Join(left, ",")
}

// run implements session.
func (s *mySession) run(ctx context.Context, st *statement, out *sink) error {
	params := make([]any, len(st.params))
	for i, p := range st.params {
		params[i] = plain(p, false)
	}
	return s.watched(ctx, func(ctx context.Context) error {
		return query(ctx, mysql, s.conn, st, params, out, "SELECT ROW_COUNT(), LAST_INSERT_ID()", s.kill)
	})
}

// commit implements session.
func (s *mySession) commit(ctx context.Context) error {
	if !s.within || s.dead {
		return nil // only a read-only transaction may have been killed by its own attempt
	}
	return s.watched(ctx, func(ctx context.Context) error {
		if _, err := s.conn.ExecContext(ctx, "COMMIT"); err != nil {
			if _, ok := errors.AsType[*sqldriver.MySQLError](err); !ok {
				return fmt.Errorf("the outcome of COMMIT is not known: %w", err)
			}
			return err
		}
		s.within = false
		return nil
	})
}

// watched runs f, which must not end by ctx but by the server's hand: when ctx ends, the connection is killed there, and what f waits for
// comes back as an error.
func (s *mySession) watched(ctx context.Context, f func(context.Context) error) error {
	killed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { // ends before watched returns
		defer close(killed)
		s.kill()
	})
	err := f(context.WithoutCancel(ctx))
	if !stop() {
		<-killed
		if err == nil && ctx.Err() != nil && s.within {
			err = context.Cause(ctx) // the transaction is gone
		}
	}
	return err
}

// kill ends the connection at the server, by another one. If that fails, the connection is cut; the server notices when it next looks.
func (s *mySession) kill() {
	s.mu.Lock()
	raw := s.raw
	s.dead = true
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	_ = raw.SetDeadline(time.Now().Add(stopTime))
	db, conn, err := connectMySQL(ctx, s.cfg)
	if err != nil {
		_ = raw.Close()
		return
	}
	_, err = conn.ExecContext(ctx, "KILL "+strconv.FormatUint(s.id, 10))
	if err != nil {
		_ = raw.Close()
	}
	_ = conn.Close()
	_ = db.Close()
}

// reset implements session.
func (s *mySession) reset() func() bool { return nil }

// close implements session. The server rolls back what is open.
func (s *mySession) close() {
	if s.conn != nil {
		_ = s.conn.Close()
	}
	_ = s.db.Close()
}
