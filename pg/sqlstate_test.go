package pg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/taskgrove/taskgrove/pg/pgtest"
)

func TestWhatErrorsMean(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]struct {
		unavailable, unreachable, lasting, transient bool
	}{
		"08006": {unavailable: true, unreachable: true}, // connection failure
		"08P01": {unavailable: true, unreachable: true}, // what PgBouncer says when it can't connect
		"25006": {unavailable: true, unreachable: true}, // read-only
		"25P03": {unavailable: true, unreachable: true}, // idle in transaction for too long
		"53100": {unavailable: true, unreachable: true}, // disk full
		"53200": {unavailable: true, unreachable: true}, // out of memory
		"53300": {unavailable: true, unreachable: true}, // too many connections
		"53400": {unavailable: true, unreachable: true}, // a limit of the configuration
		"55000": {unavailable: true, unreachable: true}, // a standby
		"57P01": {unavailable: true, unreachable: true}, // the server stops
		"57P03": {unavailable: true, unreachable: true}, // the server starts
		"58030": {unavailable: true, unreachable: true}, // I/O error
		"58P01": {unavailable: true, unreachable: true}, // a file is gone
		"40001": {unavailable: true, transient: true},   // serialization failure
		"40P01": {unavailable: true, transient: true},   // deadlock
		"55P03": {unavailable: true},                    // lock timeout
		"57014": {unavailable: true},                    // statement timeout
		"28P01": {unavailable: true},                    // wrong password
		"3D000": {unavailable: true},                    // no such database
		"42501": {unavailable: true},                    // no permission
		"22P05": {lasting: true},                        // NUL in jsonb
		"23505": {lasting: true},                        // unique
		"54000": {lasting: true},                        // too large
		"42P01": {},                                     // no such table
		"42601": {},                                     // syntax
		"XX000": {},                                     // a bug of Postgres
		"TG001": {},                                     // our own
		"25000": {},
	} {
		err := fmt.Errorf("do: %w", &pgconn.PgError{Code: code})
		why, unavailable := Unavailable(err)
		if unavailable != want.unavailable || Unreachable(err) != want.unreachable || Lasting(err) != want.lasting || transient(err) != want.transient {
			t.Errorf("%s: unavailable %v, unreachable %v, lasting %v, transient %v, want %+v", code, unavailable, Unreachable(err), Lasting(err), transient(err), want)
		}
		if unavailable != (why != "") || Unreachable(err) && !unavailable {
			t.Errorf("%s: unavailable %v says %q", code, unavailable, why)
		}
	}
	for _, err := range []error{io.ErrUnexpectedEOF, context.DeadlineExceeded, fmt.Errorf("x: %w", io.EOF)} {
		if why, yes := Unavailable(err); !yes || why != "Postgres can't be reached" {
			t.Errorf("%v: %q, %v", err, why, yes)
		}
	}
	if why, yes := Unavailable(errors.New("what")); yes {
		t.Errorf("an error that is not Postgres's: %q", why)
	}
}

// TestIsolationIsOurs: whatever the database's default, our statements and transactions have the isolation that they need, and
// several processes get along.
func TestIsolationIsOurs(t *testing.T) {
	t.Parallel()
	for name, through := range map[string]func(string) string{
		"directly":         func(url string) string { return url },
		"through a pooler": func(url string) string { return pgtest.Bouncer(t, url, pgtest.BouncerOptions{}) },
	} {
		t.Run(name, func(t *testing.T) {
			dsn := pgtest.Database(t)
			admin, err := pgx.Connect(t.Context(), dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer admin.Close(t.Context())
			if _, err := admin.Exec(t.Context(), "do $$ begin execute format('alter database %I set default_transaction_isolation = serializable', current_database()); end $$"); err != nil {
				t.Fatal(err)
			}
			url := through(dsn)
			s := openStoreAt(t, url)
			var alone, within string
			if err := s.pool.QueryRow(t.Context(), "show transaction_isolation").Scan(&alone); err != nil {
				t.Fatal(err)
			}
			err = s.transaction(t.Context(), func(ctx context.Context, c *pgx.Conn) error {
				b := &pgx.Batch{}
				begin(b, c)
				b.Queue("show transaction_isolation").QueryRow(func(row pgx.Row) error { return row.Scan(&within) })
				b.Queue("commit")
				return c.SendBatch(ctx, b).Close()
			})
			if err != nil || alone != "read committed" || within != "read committed" {
				t.Errorf("alone %s, in a transaction %s (%v), want read committed", alone, within, err)
			}
		})
	}
}
