package pg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Epoch is a stretch of the database's life: the time that it spends on one line of history of one server's files. A promoted replica, and a
// server that was restored, begin a new one. The zero value is none.
type Epoch struct {
	System     int64     `json:"system"`     // identifier of the files
	Generation int64     `json:"generation"` // when an operator last said that files were put back, in seconds since 1970; 0: never
	Timeline   int64     `json:"timeline"`   // counts promotions and restores in their history
	ID         string    `json:"id"`         // random: two servers may have taken the same timeline
	Began      time.Time `json:"began"`      // when the first coordinator came to it, by its clock
}

// Newer reports whether e came after other. Of the same files, generations tell, then timelines, since a server never takes one that it knows
// of; else, such as after a dump was loaded into another server, when coordinators first came to them.
func (e Epoch) Newer(other Epoch) bool {
	switch {
	case e.ID == other.ID:
		return false
	case other.ID == "" || e.ID == "":
		return other.ID == ""
	case e.System == other.System && e.history(other) != 0:
		return e.history(other) > 0
	}
	return e.Began.After(other.Began)
}

// history compares what the files of two epochs of the same system count: negative, e is the older one; 0, they don't tell.
func (e Epoch) history(other Epoch) int {
	return cmp.Or(cmp.Compare(e.Generation, other.Generation), cmp.Compare(e.Timeline, other.Timeline))
}

// String is for operators.
func (e Epoch) String() string {
	text := fmt.Sprintf("timeline %d of system %d", e.Timeline, e.System)
	if e.Generation > 0 {
		text += ", restored at " + time.Unix(e.Generation, 0).UTC().Format(time.RFC3339)
	}
	if !e.Began.IsZero() {
		text += ", used since " + e.Began.UTC().Format(time.RFC3339)
	}
	return text
}

// FormerError says that a server is not the one that holds the database: it was the primary before, or it is a standby. It is not used.
// The text is for operators.
type FormerError struct {
	Server  string // host:port
	Standby bool
	Epoch   Epoch // of that server; none for a standby
	Newest  Epoch // the newest that is known
}

// Error is one line.
func (e *FormerError) Error() string {
	if e.Standby {
		return fmt.Sprintf("Postgres at %s is not used: it is a standby", e.Server)
	}
	return fmt.Sprintf("Postgres at %s is not used: it is a former primary (%s), and another has taken over (%s)", e.Server, e.Epoch, e.Newest)
}

// Fence keeps a process from a server that is not the newest known to hold the database. Each connection that is made is asked for its epoch; a
// server of an older one, and a standby, is refused, and the next address of the URL is tried. When a newer epoch becomes known, open
// connections of older ones are broken, whatever runs on them. The zero value knows nothing. Safe for concurrent use.
type Fence struct {
	mu      sync.Mutex
	newest  Epoch
	refused *FormerError // the last look at a server; nil: it is used, or could not be asked
	blind   bool         // the server does not tell its epoch, or can't begin one
	conns   map[*pgconn.PgConn]Epoch
	changed func(Epoch)
}

// Newest is the newest epoch that is known; none: no server has told.
func (f *Fence) Newest() Epoch {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.newest
}

// Refused says why the server that answered last is not used; nil: it is.
func (f *Fence) Refused() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refused == nil {
		return nil
	}
	return f.refused
}

// Blind reports whether the server that answered last does not tell its epoch, or can't begin one now, so that it is not refused.
func (f *Fence) Blind() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.blind
}

// OnChange has f called with each epoch that a connection finds to be newer than those known before. What is called must
// not wait, and must not call the fence.
func (f *Fence) OnChange(changed func(Epoch)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changed = changed
}

// Learn tells of an epoch that another process has seen.
func (f *Fence) Learn(e Epoch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.learn(e)
}

// learn raises the newest, and breaks connections of older ones. f.mu is locked.
func (f *Fence) learn(e Epoch) bool {
	if !e.Newer(f.newest) {
		return false
	}
	f.newest = e
	for c, of := range f.conns {
		if e.Newer(of) {
			_ = c.Conn().Close() // whoever uses it gets an error at once
		}
	}
	return true
}

// admit decides on a server that a connection leads to.
func (f *Fence) admit(e Epoch, standby bool, conn *pgconn.PgConn) error {
	f.mu.Lock()
	if standby || f.newest.Newer(e) {
		f.refused = &FormerError{Server: conn.Conn().RemoteAddr().String(), Standby: standby, Epoch: e, Newest: f.newest}
		defer f.mu.Unlock()
		return f.refused
	}
	changed, newer := f.changed, f.learn(e)
	f.refused, f.blind = nil, e.ID == ""
	conn.CustomData()[epochKey] = e
	f.mu.Unlock()
	if newer && changed != nil {
		changed(e)
	}
	return nil
}

// admitBlind has a connection count as one to the newest server that is known. When the server tells its epoch, it is made again.
func (f *Fence) admitBlind(conn *pgconn.PgConn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused, f.blind = nil, true
	conn.CustomData()[epochKey] = f.newest
}

// epochKey is where a connection keeps the epoch of its server.
const epochKey = "epoch"

// current reports whether a connection is of the newest epoch.
func (f *Fence) current(conn *pgconn.PgConn) bool {
	of, _ := conn.CustomData()[epochKey].(Epoch)
	return !f.Newest().Newer(of)
}

// guard has each connection of a configuration pass the fence. settings are what a transaction begins with.
func (f *Fence) guard(c *pgx.ConnConfig, settings string) {
	validate := c.ValidateConnect // by target_session_attrs
	c.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		if validate != nil {
			if err := validate(ctx, conn); err != nil {
				return err
			}
		}
		return f.check(ctx, conn, settings)
	}
}

// guardPool has each connection of a pool pass the fence, and breaks it when a newer epoch becomes known.
// Without a fence, which is for who only looks, it has them as they are.
func (f *Fence) guardPool(pc *pgxpool.Config, settings string) {
	if f == nil {
		return
	}
	f.guard(pc.ConnConfig, settings)
	after := pc.AfterConnect
	pc.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		if err := after(ctx, c); err != nil {
			return err
		}
		of, _ := c.PgConn().CustomData()[epochKey].(Epoch)
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.conns == nil {
			f.conns = map[*pgconn.PgConn]Epoch{}
		}
		f.conns[c.PgConn()] = of
		return nil
	}
	pc.BeforeClose = func(c *pgx.Conn) {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.conns, c.PgConn())
	}
	pc.PrepareConn = func(_ context.Context, c *pgx.Conn) (bool, error) { return f.current(c.PgConn()), nil } // else another is made
}

// check asks the server behind a connection for its epoch, begins one if it has none yet, and decides.
func (f *Fence) check(ctx context.Context, conn *pgconn.PgConn, settings string) error {
	e, standby, err := epochOf(ctx, conn, settings)
	if err == nil && !standby && e.ID == "" {
		// Who is known to be older must not begin anything.
		if newest := f.Newest(); newest.ID != "" && newest.System == e.System && e.history(newest) < 0 {
			e.ID = "?"
			return f.admit(e, false, conn)
		}
		err = run(ctx, conn, settings, sql("BeginEpoch"), nil)
		if state, ok := errors.AsType[*pgconn.PgError](err); ok && unwritten(state.Code) {
			f.admitBlind(conn)
			return nil
		}
		if err == nil {
			e, standby, err = epochOf(ctx, conn, settings)
		}
	}
	if state, ok := errors.AsType[*pgconn.PgError](err); ok && silent(state.Code) {
		if newest := f.Newest(); newest.ID == "" || state.Code != "42P01" { // else it lacks migrations that its successor has
			return f.admit(newest, false, conn)
		}
		return f.admit(Epoch{ID: "?"}, false, conn)
	}
	if err != nil {
		return fmt.Errorf("ask the server which one it is: %w", err)
	}
	return f.admit(e, standby, conn)
}

// unwritten reports whether a SQLSTATE says that a server takes no writes now, as it is read-only or has no space left, so that it can't begin
// an epoch. What only reads may go on, and what writes says why it can't.
func unwritten(code string) bool { return code == "25006" || code == "53100" }

// silent reports whether a SQLSTATE says that a server can't tell its epoch: it is not migrated, its role may not ask, or it keeps no files as
// Postgres does.
func silent(code string) bool {
	return strings.HasPrefix(code, "42") || strings.HasPrefix(code, "0A") || strings.HasPrefix(code, "22")
}

// epochOf asks a server for its epoch.
func epochOf(ctx context.Context, conn *pgconn.PgConn, settings string) (e Epoch, standby bool, err error) {
	var row []string
	if err := run(ctx, conn, settings, sql("ServerEpoch"), &row); err != nil {
		return e, false, err
	}
	if len(row) != 6 {
		return e, false, fmt.Errorf("got %d columns", len(row))
	}
	began, _ := strconv.ParseFloat(row[4], 64) // none: 0
	e.System, err = strconv.ParseInt(row[0], 10, 64)
	if err == nil {
		e.Timeline, err = strconv.ParseInt(row[2], 10, 64)
	}
	if err == nil {
		e.Generation, err = strconv.ParseInt(row[5], 10, 64)
	}
	if e.ID = row[3]; e.ID != "" {
		e.Began = time.UnixMicro(int64(began * 1e6)).UTC()
	}
	return e, row[1] == "true", err
}

// run runs a statement without parameters in a transaction of its own, by the simple protocol, as through a pooler nothing may be left on a
// connection. row gets the first row, as text.
func run(ctx context.Context, conn *pgconn.PgConn, settings, statement string, row *[]string) error {
	text := "begin isolation level read committed;"
	if settings != "" {
		text += settings + ";"
	}
	results := conn.Exec(ctx, text+statement+";commit")
	for results.NextResult() {
		reader := results.ResultReader()
		for reader.NextRow() {
			if row == nil {
				continue
			}
			*row = (*row)[:0] // the last statement's counts
			for _, v := range reader.Values() {
				*row = append(*row, string(v))
			}
		}
	}
	err := results.Close()
	if conn.TxStatus() != 'I' {
		_, _ = conn.Exec(ctx, "rollback").ReadAll()
	}
	return err
}

// Fence is what keeps this store from servers that are not the newest.
func (s *Store) Fence() *Fence { return s.watch.cfg.Fence }

// RestartEpoch says that the server's files were put back to an earlier moment, so that this server is the newest of its system, whatever its
// timeline. It is for a copy of files, such as a snapshot of a disk, which Postgres itself can't tell, and for a restored server that is refused
// because another one has counted more timelines. No coordinator may run meanwhile.
func (cfg Config) RestartEpoch(ctx context.Context) error {
	err := cfg.migrator(ctx, func(m migrator) error {
		return m.transaction(ctx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, sql("RestartEpoch"))
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("begin the server's epoch anew: %w", err)
	}
	return nil
}

// watch is a connection of its own that looks which server holds the database.
type watch struct {
	cfg      Config
	settings string

	mu   sync.Mutex
	conn *pgx.Conn
}

// How long one server may take to connect, by default, until it is given up and the next one of the URL is tried: for a connection of a pool,
// and for the look which server holds the database. connect_timeout in the URL replaces both. The last is for an answer over a connection.
const (
	connectWithin = 5 * time.Second
	lookWithin    = 2 * time.Second
	answerWithin  = time.Second
)

// boundConnect gives a configuration a time for each server, unless its URL has one, so that a server that hangs does not hide the next one.
func boundConnect(c *pgx.ConnConfig, within time.Duration) {
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = within
	}
}

// servers is how many a configuration names.
func servers(c *pgx.ConnConfig) int {
	type address struct {
		host string
		port uint16
	}
	named := map[address]bool{{c.Host, c.Port}: true}
	for _, f := range c.Fallbacks { // also the same server without TLS
		named[address{f.Host, f.Port}] = true
	}
	return len(named)
}

// CheckServer looks which server holds the database, over a connection of its own, so that it also finds a new one while all others hang. A
// server that is not the newest is a *[FormerError]. It takes a few seconds at most, and two more for each further server of the URL. Call it
// every few seconds.
func (s *Store) CheckServer(ctx context.Context) (err error) {
	w := &s.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn != nil {
		if err = w.look(ctx); err == nil {
			return nil
		}
		w.close()
	}
	c, err := pgx.ParseConfig(w.cfg.URL)
	if err != nil {
		return fmt.Errorf("postgres url: %w", err)
	}
	boundConnect(c, lookWithin)
	ctx, cancel := context.WithTimeout(ctx, time.Duration(servers(c))*c.ConnectTimeout+answerWithin) // names are looked up, too
	defer cancel()
	w.conn, err = w.cfg.connect(ctx, func(c *pgx.ConnConfig) {
		boundConnect(c, lookWithin)
		w.settings = throughPooler(c) // works without one, too
		w.cfg.Fence.guard(c, w.settings)
	})
	if e, ok := errors.AsType[*FormerError](err); ok {
		return e
	}
	return err
}

// look asks the server of the connection that is there. w.mu is locked.
func (w *watch) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	return w.cfg.Fence.check(ctx, w.conn.PgConn(), w.settings)
}

// close ends the connection. w.mu is locked.
func (w *watch) close() {
	if w.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = w.conn.Close(ctx)
	w.conn = nil
}
