package pg

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Preflight is what there is to know of a database before processes of this version come to it.
type Preflight struct {
	Schema     Schema
	Migrations []MigrationPlan // those that it lacks
	Processes  []LiveProcess
	Sessions   []LongSession
	Replicas   []Replica
	Idle       []string // pools in which tasks wait, and that no live worker serves
	Walking    int64    // tables in which values are being sealed or opened
	Followups  int64
	Bytes      int64 // of the database
	Standby    bool
}

// MigrationPlan is what the header of a migration says.
type MigrationPlan struct {
	Name   string
	Locks  string           // what it locks, how, and for how long
	Older  string           // what becomes of older coordinators
	Expand bool             // older coordinators go on working
	Brief  bool             // tables are locked for an instant only
	Sizes  map[string]int64 // bytes of the tables that it locks, with their indexes
}

// LiveProcess is a coordinator or worker whose lease lives.
type LiveProcess struct {
	Kind, Name, Version string
	Level               int32
}

// LongSession is a transaction that has lasted for long.
type LongSession struct {
	PID         int32
	User        string
	Application string
	Seconds     int64
	State       string
}

// Replica follows the server.
type Replica struct {
	Name, Sync string
	Behind     int64 // bytes
}

// longAfter is after what time a transaction counts as long.
const longAfter = 30 * time.Second

// Preflight looks at the database, and changes nothing.
func (cfg Config) Preflight(ctx context.Context) (p *Preflight, err error) {
	p = &Preflight{}
	err = cfg.migrator(ctx, func(m migrator) error {
		if p.Schema, err = m.schema(ctx); err != nil {
			return checkPooler(err, PoolerUnknown)
		}
		return m.transaction(ctx, func(tx pgx.Tx) error { return p.read(ctx, tx) })
	})
	if err != nil {
		return nil, fmt.Errorf("look at the database: %w", err)
	}
	return p, nil
}

func (p *Preflight) read(ctx context.Context, tx pgx.Tx) (err error) {
	if err := tx.QueryRow(ctx, "select pg_is_in_recovery(), pg_database_size(current_database())").Scan(&p.Standby, &p.Bytes); err != nil {
		return err
	}
	for _, name := range p.Schema.Pending {
		plan := planOf(name)
		if err := plan.measure(ctx, tx); err != nil {
			return err
		}
		p.Migrations = append(p.Migrations, plan)
	}
	if len(p.Schema.Pending) == len(migrationNames()) { // it is empty
		return nil
	}
	if p.Processes, err = collectAll[LiveProcess](ctx, tx, sql("PreflightProcesses")); err != nil {
		return err
	}
	if p.Sessions, err = collectAll[LongSession](ctx, tx, sql("PreflightSessions"), int64(longAfter.Seconds())); err != nil {
		return err
	}
	if !p.Standby {
		if p.Replicas, err = collectAll[Replica](ctx, tx, sql("PreflightReplicas")); err != nil {
			return err
		}
	}
	rows, err := tx.Query(ctx, sql("PreflightPools"))
	if err != nil {
		return err
	}
	if p.Idle, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return err
	}
	return tx.QueryRow(ctx, sql("PreflightWalk")).Scan(&p.Walking, &p.Followups)
}

func collectAll[T any](ctx context.Context, tx pgx.Tx, statement string, args ...any) ([]T, error) {
	rows, err := tx.Query(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}

// headerOf is the comment that a migration begins with.
var headerOf = regexp.MustCompile(`^(?:--.*\n)*`)

// planOf reads a migration's header.
func planOf(name string) MigrationPlan {
	text, err := migrations.ReadFile("migrations/" + name + ".sql")
	if err != nil {
		panic(err) // it is part of the program
	}
	plan := MigrationPlan{Name: name, Sizes: map[string]int64{}}
	var to *string
	for line := range strings.Lines(headerOf.FindString(string(text))) {
		line = strings.TrimSpace(strings.TrimPrefix(line, "--"))
		switch {
		case strings.HasPrefix(line, "Locks: "):
			to, plan.Locks = &plan.Locks, strings.TrimPrefix(line, "Locks: ")
		case strings.HasPrefix(line, "Older coordinators: "):
			to, plan.Older = &plan.Older, strings.TrimPrefix(line, "Older coordinators: ")
		case line == "":
			to = nil
		case to != nil:
			*to += " " + line
		}
	}
	plan.Expand = strings.HasPrefix(plan.Older, "go on working")
	plan.Brief = strings.HasPrefix(plan.Locks, "nothing") || strings.Contains(plan.Locks, "for an instant") && !strings.Contains(plan.Locks, "while")
	return plan
}

// measure looks how large the tables are that a migration locks.
func (m *MigrationPlan) measure(ctx context.Context, tx pgx.Tx) error {
	if strings.HasPrefix(m.Locks, "nothing") {
		return nil
	}
	rows, err := tx.Query(ctx, sql("PreflightSizes"), regexp.MustCompile(`[a-z_]+`).FindAllString(m.Locks, -1))
	if err != nil {
		return err
	}
	var name string
	var bytes int64
	_, err = pgx.ForEachRow(rows, []any{&name, &bytes}, func() error {
		m.Sizes[name] = bytes
		return nil
	})
	return err
}
