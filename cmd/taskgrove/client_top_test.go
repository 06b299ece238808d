package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// TestTopOnce: where output is no terminal, top prints all tables once; with -o json, one document.
func TestTopOnce(t *testing.T) {
	svc := double(t)
	out, notes, code := runCommand(t, "top")
	for _, want := range []string{"POOLS\n", "default  1      2       14       4      1        -", "WORKERS\n", "w1      alive  14", "COORDINATORS\n", "c1           1.2.3", "TREES THAT RUN LONGEST\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s%s", want, out, notes)
		}
	}
	if code != exitOK {
		t.Errorf("exit code %d: %s", code, notes)
	}
	out, _, _ = runCommand(t, "top", "-o", "json")
	var o struct {
		Pools []struct {
			Name             string
			Running          int
			StartedPerSecond *float64 `json:"started_per_second"`
		}
		Workers []struct {
			ID     string
			Counts map[string]struct{ Running, Started, Ended int }
		}
		Coordinators []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(out), &o); err != nil || len(o.Pools) != 1 || o.Pools[0].Running != 14 || o.Pools[0].StartedPerSecond != nil ||
		len(o.Workers) != 1 || o.Workers[0].Counts["default"].Started != 100 || len(o.Coordinators) != 1 {
		t.Errorf("%v: %s", err, out)
	}
	out, _, _ = runCommand(t, "top", "--once", "--interval", "500ms", "-o", "json")
	o.Pools = nil
	if err := json.Unmarshal([]byte(out), &o); err != nil || len(o.Pools) != 1 || o.Pools[0].StartedPerSecond == nil || *o.Pools[0].StartedPerSecond != 0 {
		t.Errorf("with rates: %v: %s", err, out)
	}
	if _, notes, code := runCommand(t, "top", "--interval", "1ms"); code != exitUsage || !strings.Contains(notes, "500ms") {
		t.Errorf("a short interval: %d %s", code, notes)
	}
	for range 20 { // the client asks again
		svc.FailNext("Coordinators", coordinator.ErrUnavailable)
	}
	if _, _, code := runCommand(t, "top"); code != exitUnreachable {
		t.Errorf("an unavailable coordinator: exit code %d", code)
	}
}

// TestRatesOfPools: of what workers have counted within the window; a worker that begins anew counts from nothing, and never backwards.
func TestRatesOfPools(t *testing.T) {
	begin := time.Now()
	r := &rateMeter{}
	worker := func(instance string, started, ended int64, since time.Time) client.Worker {
		return client.Worker{Instance: instance, StartedAt: since, Counts: map[string]client.PoolCounts{"p": {Started: started, Ended: ended}}}
	}
	old := begin.Add(-time.Hour)
	r.hear([]client.Worker{worker("a", 1000, 900, old)}, begin)
	if in, out := r.of("p"); in != nil || out != nil {
		t.Errorf("after one look: %v, %v", *in, *out)
	}
	r.hear([]client.Worker{worker("a", 1100, 950, old), worker("b", 20, 10, begin.Add(8*time.Second))}, begin.Add(10*time.Second))
	if in, out := r.of("p"); *in != 10+10 || *out != 5+5 { // b counts from its start on
		t.Errorf("got %v, %v", *in, *out)
	}
	r.hear([]client.Worker{worker("c", 3, 3, old)}, begin.Add(12*time.Second)) // they are gone, and another one was only not seen
	if in, _ := r.of("p"); in != nil {
		t.Errorf("of a worker that was seen once: %v", *in)
	}
	for i := range 100 {
		r.hear([]client.Worker{worker("c", int64(3+i), 3, old)}, begin.Add(time.Duration(13+i)*time.Second))
	}
	if n := len(r.seen["c"]); n > 20 || len(r.seen) != 1 {
		t.Errorf("%d samples of %d instances are kept", n, len(r.seen))
	}
	if in, out := r.of("p"); *in != 1 || *out != 0 {
		t.Errorf("got %v, %v", *in, *out)
	}
	if in, _ := r.of("q"); *in != 0 {
		t.Errorf("of another pool: %v", *in)
	}
}

// TestTopFitsTheScreen: whatever its size, no line is wider, and there are not more; names can't steer the terminal.
func TestTopFitsTheScreen(t *testing.T) {
	now := time.Now()
	o := &overview{At: now}
	for i := range 200 {
		name := strings.Repeat("pool-", i%20+1) + "\x1b[2J\x07世界"
		o.Pools = append(o.Pools, poolNow{Name: name, Ready: i, Running: 200 - i})
		o.Workers = append(o.Workers, client.Worker{ID: name, State: "alive", Pools: map[string]int{name: 4}, LeaseUntil: now})
		o.Trees = append(o.Trees, &client.Tree{ID: name, Name: "\u202etree", CreatedAt: now.Add(-time.Hour)})
	}
	m := &topModel{server: "s", interval: time.Second, last: o}
	for i := range topTables {
		m.sorts = append(m.sorts, order{topTables[i].sort, topTables[i].down})
	}
	styles := strings.NewReplacer(bold, "", turned, "", plainS, "")
	for _, size := range [][2]int{{80, 24}, {200, 60}, {20, 5}, {1, 1}, {120, 10}} {
		for table := allTables; table < len(topTables); table++ {
			for _, help := range []bool{false, true} {
				m.width, m.height, m.table, m.help, m.at = size[0], size[1], table, help, 1<<30
				lines := strings.Split(styles.Replace(m.draw(now)), "\n")
				if len(lines) > size[1] {
					t.Errorf("%v: %d lines", size, len(lines))
				}
				for _, line := range lines {
					if columns(line) > size[0] || strings.ContainsFunc(line, rawjson.Steers) {
						t.Errorf("%v: %q", size, line)
					}
				}
			}
		}
	}
	m.width, m.height, m.table, m.at, m.help, m.filter = 120, 40, 0, 0, false, "POOL-POOL-"
	if got := m.draw(now); !strings.Contains(got, "RUNNING↓") || !strings.Contains(got, "of 190)") {
		t.Errorf("got\n%s", got)
	}
}
