package pg

import (
	"context"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// copied is a row of the tables of these tests.
type copied struct {
	Key  int64
	S    *int16
	I    *int32
	T    *string
	B    *bool
	J    *string
	At   *time.Time
	Deps []int32
	Ts   []string
}

// connectToCopy gives a connection with two tables: rows, of copied, and few, of keys.
func connectToCopy(t *testing.T) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	if _, err := c.Exec(t.Context(), `create table few (key bigint primary key);
		create table rows (key bigint, s smallint, i integer, t text, b boolean, j json, at timestamptz, deps integer[], ts text[])`); err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	intoFew  = "copy few from stdin (format binary)"
	intoRows = "copy rows from stdin (format binary)"
	readRows = "select key, s, i, t, b, j::text, at, deps, ts from rows order by key"
)

func (r copied) put(w *rowWriter) {
	w.row(9)
	w.bigint(r.Key)
	put(w, r.S, w.smallint)
	put(w, r.I, w.integer)
	put(w, r.T, w.text)
	put(w, r.B, w.boolean)
	if r.J == nil {
		w.json(nil)
	} else {
		w.json([]byte(*r.J))
	}
	put(w, r.At, w.timestamp)
	if r.Deps == nil {
		w.null()
		w.null()
		return
	}
	w.array(pgtype.Int4OID, len(r.Deps), func(i int) { w.integer(r.Deps[i]) })
	w.array(pgtype.TextOID, len(r.Ts), func(i int) { w.text(r.Ts[i]) })
}

func put[T any](w *rowWriter, v *T, write func(T)) {
	if v == nil {
		w.null()
		return
	}
	write(*v)
}

// listed gives rows one a call.
func listed(rows []copied) rowSource {
	return func(w *rowWriter) (bool, error) {
		if len(rows) == 0 {
			return false, nil
		}
		rows[0].put(w)
		rows = rows[1:]
		return true, nil
	}
}

// ofKeys gives rows of few.
func ofKeys(keys ...dag.Key) rowSource {
	return func(w *rowWriter) (bool, error) {
		for _, k := range keys {
			w.row(1)
			w.key(k)
		}
		return false, nil
	}
}

// TestCopiedRowsAreReadBack: Postgres reads from the binary format what was written, of every type, whichever way it is sent.
func TestCopiedRowsAreReadBack(t *testing.T) {
	t.Parallel()
	c := connectToCopy(t)
	rows := []copied{
		{Key: math.MinInt64},
		{Key: -1, S: new(int16(math.MinInt16)), I: new(int32(math.MinInt32)), T: new(""), B: new(false), J: new("null"),
			At: new(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)), Deps: []int32{-7}, Ts: []string{""}},
		{Key: 1, S: new(int16(math.MaxInt16)), I: new(int32(math.MaxInt32)), T: new("grün 🌳\n\\."), B: new(true), J: new(`{"a": [1, 2]}`),
			At: new(time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)), Deps: []int32{3, -2, 1}, Ts: []string{"result", "", "é"}},
		{Key: math.MaxInt64, T: new(strings.Repeat("long ", 100_000))}, // longer than what is read at once
	}
	for way, send := range map[string]func() error{
		"as they come": func() error { return copyRows(t.Context(), c, intoRows, listed(rows)) },
		"at once":      func() error { return copyAll(t.Context(), c, []copying{{intoRows, listed(rows)}}) },
	} {
		if _, err := c.Exec(t.Context(), "truncate rows"); err != nil {
			t.Fatal(err)
		}
		if err := send(); err != nil {
			t.Fatal(way, err)
		}
		got, err := read(t, c)
		if err != nil || !reflect.DeepEqual(got, rows) {
			t.Errorf("%s: %v, %.300v", way, err, got)
		}
	}
}

func read(t *testing.T, c *pgx.Conn) ([]copied, error) {
	t.Helper()
	found, err := c.Query(t.Context(), readRows)
	if err != nil {
		return nil, err
	}
	rows, err := pgx.CollectRows(found, pgx.RowToStructByPos[copied])
	for i := range rows {
		if rows[i].At != nil {
			rows[i].At = new(rows[i].At.UTC())
		}
	}
	return rows, err
}

// TestRefusedCopies: the first refusal is told, nothing of the transaction stays, and the connection can be used on.
func TestRefusedCopies(t *testing.T) {
	t.Parallel()
	c := connectToCopy(t)
	fault := errors.New("the client went away")
	for _, refused := range []struct {
		what string
		send func() error
		says string
	}{
		{"twice the same key, then others", func() error {
			return copyAll(t.Context(), c, []copying{{intoFew, ofKeys(1, 2)}, {intoFew, ofKeys(3, 3)}, {intoFew, ofKeys(4)}})
		}, "few_pkey"},
		{"no JSON", func() error {
			return copyAll(t.Context(), c, []copying{{intoRows, listed([]copied{{J: new("{")}})}, {intoFew, ofKeys(5)}})
		}, "invalid input syntax for type json"},
		{"no JSON, as they come", func() error { return copyRows(t.Context(), c, intoRows, listed([]copied{{J: new("{")}})) },
			"invalid input syntax for type json"},
		{"no such table", func() error {
			return copyAll(t.Context(), c, []copying{{"copy nothing from stdin (format binary)", ofKeys(6)}, {intoFew, ofKeys(7)}})
		}, `"nothing" does not exist`},
		{"a source that fails", func() error {
			return copyRows(t.Context(), c, intoFew, func(*rowWriter) (bool, error) { return false, fault })
		}, fault.Error()},
	} {
		if _, err := c.Exec(t.Context(), "begin"); err != nil {
			t.Fatal(refused.what, err)
		}
		if err := refused.send(); err == nil || !strings.Contains(err.Error(), refused.says) {
			t.Errorf("%s: %v, not %s", refused.what, err, refused.says)
		}
		if tag, err := c.Exec(t.Context(), "commit"); err != nil || tag.String() != "ROLLBACK" {
			t.Errorf("%s: after it: %v, %v", refused.what, tag, err)
		}
	}
	var rows int
	if err := c.QueryRow(t.Context(), "select (select count(*) from few) + (select count(*) from rows)").Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d rows are stored, %v", rows, err)
	}
}

// TestCopyThatTakesTooLong: a connection whose answers did not come is not used again, and its source is left alone.
func TestCopyThatTakesTooLong(t *testing.T) {
	t.Parallel()
	for way, send := range map[string]func(context.Context, *pgx.Conn) error{
		"as they come": func(ctx context.Context, c *pgx.Conn) error {
			ended := false
			defer func() { ended = true }()
			return copyRows(ctx, c, intoFew, func(w *rowWriter) (bool, error) {
				if ended {
					panic("called after its end")
				}
				<-ctx.Done()
				return false, nil
			})
		},
		"at once": func(ctx context.Context, c *pgx.Conn) error {
			return copyAll(ctx, c, []copying{{intoFew, ofKeys(1)}})
		},
	} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			c := connectToCopy(t)
			other, err := pgx.Connect(t.Context(), c.Config().ConnString())
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close(context.Background())
			if _, err := other.Exec(t.Context(), "begin; lock table few"); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Exec(t.Context(), "begin"); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if err := send(ctx, c); err == nil {
				t.Error("no error")
			}
			if !c.IsClosed() {
				t.Error("the connection stays open")
			}
			if _, err := other.Exec(t.Context(), "commit"); err != nil {
				t.Fatal(err)
			}
			var rows int
			if err := other.QueryRow(t.Context(), "select count(*) from few").Scan(&rows); err != nil || rows != 0 {
				t.Errorf("%d rows are stored, %v", rows, err)
			}
		})
	}
}
