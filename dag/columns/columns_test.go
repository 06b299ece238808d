package columns

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/taskgrove/taskgrove/dag"
)

// TestPartsAreReadAsTheyWereWritten: whatever the tasks are, and wherever parts are cut.
func TestPartsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		created := time.UnixMilli(rapid.Int64Range(0, 1<<41).Draw(t, "created"))
		w, r := NewWriter(created), NewReader(created)
		ids := rapid.Bool().Draw(t, "ids")
		var want, got []Task
		place := 0
		read := func() {
			tasks, err := r.Read(w.Cut())
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, tasks...)
		}
		at := func(what string) time.Time {
			if rapid.Bool().Draw(t, what+"?") {
				return time.Time{}
			}
			return time.UnixMilli(rapid.Int64Range(-1<<41, 1<<42).Draw(t, what))
		}
		for range rapid.IntRange(0, 20).Draw(t, "tasks") {
			place += rapid.IntRange(1, 300).Draw(t, "step")
			one := Task{Place: place, Name: rapid.String().Draw(t, "name"), Parent: rapid.IntRange(0, 1<<24).Draw(t, "parent"), State: dag.State(rapid.IntRange(0, 11).Draw(t, "state")),
				Executor: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "executor"), Pool: rapid.SampledFrom([]string{"", "p", "a"}).Draw(t, "pool"),
				Attempt: rapid.IntRange(1, 1<<31-1).Draw(t, "attempt"), ReadyAt: at("ready"), StartedAt: at("started"), CompletedAt: at("completed")}
			if ids {
				one.ID = fmt.Sprint("id-", place)
			}
			for range rapid.IntRange(0, 3).Draw(t, "dependencies") {
				one.Dependencies = append(one.Dependencies, Dependency{Place: rapid.IntRange(1, 1<<24).Draw(t, "on"), Required: rapid.Bool().Draw(t, "required")})
			}
			w.Add(&one)
			want = append(want, one)
			if rapid.IntRange(0, 3).Draw(t, "cut") == 0 {
				read()
			}
		}
		read()
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
	})
}

// TestBrokenParts: what is no part is refused, and never read beyond its end.
func TestBrokenParts(t *testing.T) {
	t.Parallel()
	whole := func() *Part {
		w := NewWriter(time.UnixMilli(5))
		w.Add(&Task{Place: 1, Name: "a", ID: "a", Attempt: 1, Dependencies: []Dependency{{Place: 3}}})
		return w.Cut()
	}
	for name, breaks := range map[string]func(p *Part){
		"more tasks": func(p *Part) { p.Tasks++ }, "no name": func(p *Part) { p.Names = nil }, "ids of others": func(p *Part) { p.IDs = []string{"a", "b"} },
		"no state": func(p *Part) { p.States = nil }, "no place": func(p *Part) { p.Places = nil }, "a place too many": func(p *Part) { p.Places = []byte{1, 1} },
		"half a number": func(p *Part) { p.Attempts = []byte{0x80} }, "more dependencies": func(p *Part) { p.Dependencies = []byte{0xff, 0xff, 0xff, 0x7f} },
		"no such executor": func(p *Part) { p.ExecutorOf = []byte{7} }, "fewer than none": func(p *Part) { p.Tasks = -1 },
	} {
		p := whole()
		if _, err := NewReader(time.UnixMilli(5)).Read(p); err != nil {
			t.Fatal(err)
		}
		p = whole()
		breaks(p)
		if got, err := NewReader(time.UnixMilli(5)).Read(p); err == nil {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
}
