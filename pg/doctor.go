package pg

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/taskgrove/taskgrove/internal/doctor"
)

// examineWithin is how long one look of a diagnosis may take.
const examineWithin = 5 * time.Second

// examined are the settings that a diagnosis looks at.
var examined = []string{"fsync", "full_page_writes", "synchronous_commit", "synchronous_standby_names", "autovacuum", "track_counts", "max_connections",
	"superuser_reserved_connections", "reserved_connections", "default_transaction_read_only", "max_wal_size"}

// Examine gathers the facts of the server. Each look has its own time, and what it can't see becomes a fault; it changes nothing.
func (s *Store) Examine(ctx context.Context) *doctor.Postgres {
	return s.database.examine(ctx, s.keyConns.cfg)
}

// Examine gathers the facts of the server over connections of its own, also of a database that was never migrated.
func (cfg Config) Examine(ctx context.Context) *doctor.Postgres {
	cfg.MaxConns, cfg.Fence = 4, nil // it also looks at servers that are not used, and begins nothing there
	if cfg.StatementTimeout == 0 || cfg.StatementTimeout > examineWithin {
		cfg.StatementTimeout = examineWithin
	}
	cs, err := connect(ctx, cfg)
	if err != nil {
		p := &doctor.Postgres{Address: cfg.address(), Err: err}
		if poolers, ok := errors.AsType[*PoolerError](err); ok {
			p.Err, p.Pooler, p.PoolerError, p.Faults = nil, true, poolers.Reason, map[string]error{}
		}
		return p
	}
	defer cs.close()
	return database{cs, cfg.StatementTimeout}.examine(ctx, cfg)
}

// address is where the URL says that Postgres is, without who asks.
func (cfg Config) address() string {
	c, err := pgconn.ParseConfig(cfg.URL)
	if err != nil {
		return ""
	}
	if _, path := pgconn.NetworkAddress(c.Host, c.Port); c.Host != "" && c.Host[0] == '/' {
		return path
	}
	return net.JoinHostPort(c.Host, fmt.Sprint(c.Port))
}

func (db database) examine(ctx context.Context, cfg Config) *doctor.Postgres {
	p := &doctor.Postgres{Address: cfg.address(), Pooler: db.pool.settings != "", Faults: map[string]error{}, Settings: map[string]string{}, WALBytes: -1}
	if p.Err = db.look(ctx, func(ctx context.Context) error { return db.examineServer(ctx, p) }); p.Err != nil {
		p.Err = checkPooler(p.Err, cfg.Pooler)
		return p
	}
	var mu sync.Mutex
	var looks sync.WaitGroup
	turns := make(chan struct{}, 3) // connections that it takes at once
	look := func(check string, f func(ctx context.Context) error) {
		looks.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			if err := db.look(ctx, f); err != nil {
				mu.Lock()
				defer mu.Unlock()
				p.Faults[check] = err
			}
		})
	}
	look(doctor.PostgresSchema, func(ctx context.Context) error { return db.examineSchema(ctx, p) })
	look(doctor.PostgresConnections, func(ctx context.Context) error {
		return db.pool.QueryRow(ctx, sql("DoctorSessions")).Scan(&p.Sessions, &p.Ours)
	})
	look(doctor.PostgresDisk, func(ctx context.Context) error { return db.examineSizes(ctx, p) })
	look(doctor.PostgresLong, func(ctx context.Context) error { return db.examineOpen(ctx, p) })
	look(doctor.PostgresSlots, func(ctx context.Context) error { return db.examineSlots(ctx, p) })
	look(doctor.PostgresStandby, func(ctx context.Context) error {
		return db.pool.QueryRow(ctx, sql("DoctorStandbys")).Scan(&p.SyncUp)
	})
	looks.Wait()
	return p
}

// look gives one look its time.
func (db database) look(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, examineWithin)
	defer cancel()
	return f(ctx)
}

// examineServer looks who answers, and at its settings. The skew is between its clock and the middle of the question's time.
func (db database) examineServer(ctx context.Context, p *doctor.Postgres) error {
	c, err := db.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	p.TLS = wireOf(c)
	c.Release()
	if err := db.pool.ping(ctx); err != nil { // so that no connection is made within the time that is measured
		return err
	}
	var clock time.Time
	for range 3 { // the quickest is the most exact
		begin := time.Now()
		row := db.pool.QueryRow(ctx, sql("DoctorServer"))
		if err := row.Scan(&p.Role, &p.Database, &p.Superuser, &p.SeesAll, &p.Version, &p.Standby, &clock); err != nil {
			return err
		}
		if took := time.Since(begin); p.Within == 0 || took/2 < p.Within {
			p.Within = max(took/2, time.Microsecond)
			p.Skew = clock.Sub(begin.Add(took / 2))
		}
	}
	rows, err := db.pool.Query(ctx, sql("DoctorSettings"), examined)
	if err != nil {
		return err
	}
	var name, value string
	_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		p.Settings[name] = value
		return nil
	})
	return err
}

// wireOf says how a connection is encrypted.
func wireOf(c *pgxpool.Conn) (w doctor.Wire) {
	conn := c.Conn().PgConn().Conn()
	if over, ok := conn.(*tls.Conn); ok {
		w.Encrypted = true
		if certs := over.ConnectionState().PeerCertificates; len(certs) > 0 {
			w.Ends = certs[0].NotAfter
		}
	}
	switch at := conn.RemoteAddr().(type) {
	case *net.UnixAddr:
		w.Local = true
	case *net.TCPAddr:
		w.Local = at.IP.IsLoopback()
	}
	return w
}

// examineSchema looks for our tables, their migrations, what the role may do with them, and how many of their rows are dead.
func (db database) examineSchema(ctx context.Context, p *doctor.Postgres) error {
	err := db.pool.QueryRow(ctx, sql("DoctorSchema")).Scan(&p.Schema)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	missing := &MissingRightsError{}
	if err := missing.read(db.pool.QueryRow(ctx, sql("MissingRights"))); err != nil {
		return err
	}
	p.Missing = missing.Missing
	rows, err := db.pool.Query(ctx, sql("DoctorMigrations"))
	if err != nil {
		return err
	}
	done, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, f := range files {
		known[f.Name()] = true
		if !slices.Contains(done, f.Name()) {
			p.Behind = append(p.Behind, f.Name())
		}
	}
	for _, name := range done {
		if !known[name] {
			p.Ahead = append(p.Ahead, name)
		}
	}
	slices.Sort(p.Ahead)
	rows, err = db.pool.Query(ctx, sql("DoctorTables"), p.Schema)
	if err != nil {
		return err
	}
	p.Tables, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (t doctor.Table, err error) {
		var at *time.Time
		if err = row.Scan(&t.Name, &t.Live, &t.Dead, &t.Bytes, &t.Off, &at); at != nil {
			t.Vacuumed = *at
		}
		return t, err
	})
	return err
}

// examineSizes looks how large things are. What the role may not see of that stays unknown.
func (db database) examineSizes(ctx context.Context, p *doctor.Postgres) error {
	if err := db.pool.QueryRow(ctx, sql("DoctorSizes")).Scan(&p.Bytes, &p.XIDAge); err != nil {
		return err
	}
	err := db.pool.QueryRow(ctx, sql("DoctorLog")).Scan(&p.WALBytes)
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == "42501" {
		p.WALBytes, err = -1, nil
	}
	return err
}

// examineOpen looks at transactions that stay open.
func (db database) examineOpen(ctx context.Context, p *doctor.Postgres) error {
	rows, err := db.pool.Query(ctx, sql("DoctorTransactions"), 30)
	if err != nil {
		return err
	}
	var seconds float64
	p.Open, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (o doctor.OpenTransaction, err error) {
		err = row.Scan(&o.PID, &o.Name, &o.User, &o.Idle, &seconds)
		o.Age = time.Duration(seconds * float64(time.Second))
		return o, err
	})
	if err != nil {
		return err
	}
	if rows, err = db.pool.Query(ctx, sql("DoctorPrepared")); err != nil {
		return err
	}
	p.Prepared, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (o doctor.OpenTransaction, err error) {
		err = row.Scan(&o.Name, &o.User, &seconds)
		o.Age = time.Duration(seconds * float64(time.Second))
		return o, err
	})
	return err
}

func (db database) examineSlots(ctx context.Context, p *doctor.Postgres) error {
	rows, err := db.pool.Query(ctx, sql("DoctorSlots"))
	if err != nil {
		return err
	}
	p.Slots, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (s doctor.Slot, err error) {
		return s, row.Scan(&s.Name, &s.Active, &s.State, &s.Held)
	})
	return err
}

// FailingWebhook is a webhook that is off or failing.
type FailingWebhook struct {
	ID, Name, Namespace string
	Active              bool
	Reason              string     // why it is off
	FailingFrom         *time.Time // the first failure since the last success; nil: none
}

// FailingWebhooks are those of namespaces that are off or failing, at most 20.
func (s *Store) FailingWebhooks(ctx context.Context) ([]FailingWebhook, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("DoctorWebhooks"))
	if err != nil {
		return nil, fmt.Errorf("look for webhooks that fail: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[FailingWebhook])
}

// AilingSchedule is a schedule that does not run as it should.
type AilingSchedule struct {
	What          string // late: a run has not ended; refused: the tree of its last run was; undecided: nobody has decided on an instant
	ID, Namespace string
	Reason        string // of the refusal
	At            time.Time
}

// AilingSchedules are those that don't run as they should, at most 20 of each kind.
func (s *Store) AilingSchedules(ctx context.Context) ([]AilingSchedule, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("DoctorSchedules"))
	if err != nil {
		return nil, fmt.Errorf("look for schedules that do not run: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[AilingSchedule])
}

// ReadyExecutors are executors that ready tasks ask for, as far as a bounded look sees.
func (s *Store) ReadyExecutors(ctx context.Context, runs int) ([]string, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("ReadyExecutors"), runs)
	if err != nil {
		return nil, fmt.Errorf("look which executors ready tasks ask for: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return slices.Sorted(maps.Keys(set(found))), err
}

func set(words []string) map[string]bool {
	out := make(map[string]bool, len(words))
	for _, w := range words {
		out[w] = true
	}
	return out
}
