package pg

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/taskgrove/taskgrove/dag"
)

// TestArraysArriveAsPgxWritesThem sends slices by arrayPlans, by connections of the store, and as pgx would.
func TestArraysArriveAsPgxWritesThem(t *testing.T) {
	ours, theirs := connectToCopy(t), connectToCopy(t)
	registerArrays(ours.TypeMap())
	at := time.Date(2031, 5, 6, 7, 8, 9, 123_456_000, time.UTC)
	for _, c := range []struct {
		kind   string
		value  any
		theirs any // nil: as value
	}{
		{"bigint", []int64{1, -2, 1 << 62}, nil},
		{"bigint", []dag.Key{1 << 24, 7}, nil},
		{"bigint", []dag.TreeKey{9}, nil},
		{"bigint", []dag.WorkerKey{-1}, nil},
		{"bigint", []int64{}, nil},
		{"bigint", []int64(nil), nil},
		{"bigint", []int{3, 4}, nil}, // none of ours
		{"integer", []int32{-1 << 31, 0, 1<<31 - 1}, nil},
		{"smallint", []int16{-1 << 15, 1<<15 - 1}, nil},
		{"boolean", []bool{true, false}, nil},
		{"text", []string{"", "NULL", `a "quoted", {braced}\ one`, "ä"}, nil},
		{"text", []*string{nil, new("x")}, nil},
		{"timestamptz", []time.Time{at, {}, at.Add(-time.Hour * 24 * 365 * 60)}, []*time.Time{&at, nil, new(at.Add(-time.Hour * 24 * 365 * 60))}},
	} {
		read := func(on *pgx.Conn, v any) (s string) {
			var got *string
			if err := on.QueryRow(t.Context(), "select $1::"+c.kind+"[]::text", v).Scan(&got); err != nil {
				t.Fatalf("%T as %s: %v", v, c.kind, err)
			}
			if got == nil {
				return "null"
			}
			return *got
		}
		want := c.theirs
		if want == nil {
			want = c.value
		}
		if got, want := read(ours, c.value), read(theirs, want); got != want {
			t.Errorf("%T as %s: %s, pgx writes %s", c.value, c.kind, got, want)
		}
	}
	// The plan is ours where there is one, so that the comparison says something.
	if _, ok := ours.TypeMap().PlanEncode(pgtype.Int8ArrayOID, pgtype.BinaryFormatCode, []dag.Key{1}).(arrayPlan[dag.Key]); !ok {
		t.Error("keys are written by pgx")
	}
}

func TestValues(t *testing.T) {
	c := connectToCopy(t)
	at := time.Date(1987, 5, 6, 7, 8, 9, 123_456_000, time.UTC)
	rows, err := c.Query(t.Context(), `select -5::bigint, 1::bigint << 24, 7::integer, -8::smallint, true, 'ä'::text, '{"a": 1}'::json, $1::timestamptz
		union all select null, null, null, null, null, null, null, null`, at)
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		n    int64
		k    dag.Key
		i    int32
		s    int16
		b    bool
		t, j string
		at   time.Time
	}
	var got []row
	if err := eachRow(rows, func(v *values) {
		got = append(got, row{v.bigint(), v.key(), v.integer(), v.smallint(), v.boolean(), v.text(), string(v.json()), v.timestamp().UTC()})
	}); err != nil {
		t.Fatal(err)
	}
	want := []row{{-5, 1 << 24, 7, -8, true, "ä", `{"a": 1}`, at}, {at: time.Time{}}}
	if !slices.Equal(got, want) {
		t.Errorf("read %+v, want %+v", got, want)
	}
}

func TestValuesOfAnotherTypeAreAFault(t *testing.T) {
	c := connectToCopy(t)
	for name, one := range map[string]struct {
		query string
		read  func(v *values)
		want  string
	}{
		"another type":      {"select 1::integer as n", func(v *values) { v.bigint() }, "column n"},
		"of the same size":  {"select 1.5::double precision as n", func(v *values) { v.bigint() }, "column n"},
		"text of eight":     {"select '12345678' as n", func(v *values) { v.bigint() }, "column n"},
		"null":              {"select null::integer as n", func(v *values) { v.bigint() }, "column n"},
		"one not read":      {"select 1::bigint as a, 2::bigint as b", func(v *values) { v.bigint() }, "column b was not read"},
		"too few columns":   {"select 1::bigint", func(v *values) { v.bigint(); v.bigint() }, "only 1 columns"},
		"an error of later": {"select 1 / (3 - n) from generate_series(1, 5) n", func(v *values) { v.integer() }, "division by zero"},
		"the first counts":  {"select 1::bigint as a, 2::bigint as b", func(v *values) { v.integer(); v.integer() }, "column a"},
	} {
		rows, err := c.Query(t.Context(), one.query)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := eachRow(rows, one.read); err == nil || !strings.Contains(err.Error(), one.want) {
			t.Errorf("%s: %v, want %q", name, err, one.want)
		}
		if err := c.Ping(t.Context()); err != nil {
			t.Fatalf("%s: the connection is of no use any more: %v", name, err)
		}
	}
}

// TestArraysOfAStore is about connections being set up as arrayPlans need it.
func TestArraysOfAStore(t *testing.T) {
	s, _ := openStore(t)
	c, err := s.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	if _, ok := c.Conn().TypeMap().PlanEncode(pgtype.TextArrayOID, pgtype.BinaryFormatCode, []string{"a"}).(arrayPlan[string]); !ok {
		t.Error("texts are written by pgx")
	}
}
