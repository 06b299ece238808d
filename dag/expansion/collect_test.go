package expansion_test

import (
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/expansion"
)

func TestCollecting(t *testing.T) {
	for _, tt := range []struct {
		collect expansion.Collect
		perItem int
		want    string
	}{
		{expansion.None, 0, `{}`},
		{expansion.List, 0, `[1,null,null,{"n":2}]`},
		{expansion.Map, 0, `{"a":1,"b":null,"c":null,"d":{"n":2}}`},
		{expansion.Map, 1, `{"0":1,"1":null,"2":null,"3":{"n":2}}`},
		{expansion.Map, 2, `{"0.a":1,"0.b":null,"1.c":null,"1.d":{"n":2}}`},
	} {
		c := expansion.NewCollecting(tt.collect, tt.perItem)
		for i, one := range []struct {
			ref    string
			state  dag.State
			result string
		}{{"a", dag.Completed, "1"}, {"b", dag.Skipped, `{"skipped":true}`}, {"c", dag.Failed, ""}, {"d", dag.Completed, `{"n":2}`}} {
			if err := c.Add(i, one.ref, one.state, []byte(one.result)); err != nil {
				t.Fatal(err)
			}
		}
		if a := c.Answer(); a.Outcome != dag.OutcomeCompleted || string(a.Result) != tt.want {
			t.Errorf("%d, %d tasks of an item: got %s %s, want %s", tt.collect, tt.perItem, a.Outcome, a.Result, tt.want)
		}
	}
	c := expansion.NewCollecting(expansion.List, 0)
	for i := 0; !c.Full(); i++ {
		if err := c.Add(i, "a", dag.Completed, []byte(`"`+strings.Repeat("x", 1<<20)+`"`)); err != nil || i > 16 {
			t.Fatal(i, err)
		}
	}
	if a := c.Answer(); a.Outcome != dag.OutcomeFailed || a.Kind != dag.KindOutput || a.Result != nil {
		t.Errorf("results that are too long: %s, %s, %d bytes", a.Outcome, a.Kind, len(a.Result))
	}
}

func TestFailedChildren(t *testing.T) {
	for _, tt := range []struct {
		state dag.State
		flags dag.Flags
		fails bool
	}{{dag.Failed, 0, true}, {dag.Failed, dag.FlagAllowed, false}, {dag.Cancelled, dag.FlagAllowed, true}, {dag.Blocked, 0, false}, {dag.Skipped, 0, false}, {dag.Completed, 0, false}} {
		if expansion.Fails(tt.state, tt.flags) != tt.fails {
			t.Errorf("%s with the flags %b: want %v", tt.state, tt.flags, tt.fails)
		}
	}
	a := expansion.Failed("count", "c1", dag.Cancelled, strings.Repeat("ü", 4<<10))
	if want := "task 'count' (c1), which it found, was cancelled: üü"; a.Kind != dag.KindChild || !strings.HasPrefix(a.Error, want) || !strings.HasSuffix(a.Error, "ü…") || len(a.Error) > 5<<10 {
		t.Errorf("got %s: %.80s, of %d bytes", a.Kind, a.Error, len(a.Error))
	}
}

func TestRoomOfAWindow(t *testing.T) {
	for _, tt := range []struct{ left, window, busy, perItem, want int64 }{
		{10, 0, 5, 1, 10}, {10, 3, 1, 1, 2}, {10, 3, 3, 1, 0}, {10, 3, 4, 1, 0}, {1, 3, 0, 1, 1}, {10, 3, 1, 2, 4}, {10, 3, 1, 0, 10},
	} {
		if got := expansion.Room(tt.left, tt.window, tt.busy, tt.perItem); got != tt.want {
			t.Errorf("%+v: got %d", tt, got)
		}
	}
}
