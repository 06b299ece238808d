package main

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/client"
)

// TestWorkersFitTheScreen: rows of workers as Kubernetes names them have 120 columns at most; -o wide leaves nothing out.
func TestWorkersFitTheScreen(t *testing.T) {
	now := time.Now()
	pools := map[string]int{"aggregate_results_executor": 16, "command_executor": 2, "noop_executor": 16, "rest_executor": 64, "sleep_executor": 64, "system_info_executor": 16}
	workers := []client.Worker{
		{ID: "taskgrove-worker-7d9f8b6c5d-x2x4z", Host: "taskgrove-worker-7d9f8b6c5d-x2x4z", State: "draining", Build: "0.4.0+ad88be4a9753", Pools: pools, Running: 1000, InLine: 16, StartedAt: now.Add(-30 * 24 * time.Hour)},
		{ID: "gpu", State: "alive", Build: "0.4.0+ad88be4a9753", Pools: map[string]int{strings.Repeat("a-long-pool-", 5): 3}, StartedAt: now.Add(-time.Hour)},
	}
	shown := func(f format) string {
		var b strings.Builder
		s := &session{format: f}
		table(&b, func(w io.Writer) {
			for _, row := range s.workerRows(workers, now) {
				fmt.Fprintln(w, row)
			}
		})
		return b.String()
	}
	got := shown(formatText)
	for line := range strings.Lines(got) {
		if columns(strings.TrimSuffix(line, "\n")) > tableWidth {
			t.Errorf("%d columns: %s", columns(line), line)
		}
	}
	for _, want := range []string{"taskgrove-worker-7d9f8b6c5d-x2x4z  draining  0.4.0+ad88be4a9753  984+16   178    30d  aggregate_results_executor,+5\n", "  3      1h   a-long-pool-a-long-pool-a-long-po…\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	got = shown(formatWide)
	for _, want := range []string{"command_executor=2,noop_executor=16,rest_executor=64", "system_info_executor=16  0", strings.Repeat("a-long-pool-", 5) + "=3", now.Add(-time.Hour).Local().Format(time.RFC3339)} {
		if !strings.Contains(got, want) {
			t.Errorf("wide: no %q in\n%s", want, got)
		}
	}
}

// TestWorkersCountWhatIsMerelyOff: what nobody asked for is told with -o wide and in JSON.
func TestWorkersCountWhatIsMerelyOff(t *testing.T) {
	double(t)
	const told, merely, hint = "w1: executor x is off: it has no device\n", "w1: executor y is off: it is not allowed\n", "w1: 1 executor is off: -o wide says why\n"
	out, _, _ := runCommand(t, "workers")
	if !strings.Contains(out, told) || strings.Contains(out, merely) || !strings.Contains(out, hint) {
		t.Errorf("got\n%s", out)
	}
	out, _, _ = runCommand(t, "workers", "-o", "wide")
	if !strings.Contains(out, told) || !strings.Contains(out, merely) || strings.Contains(out, hint) {
		t.Errorf("wide: got\n%s", out)
	}
	out, _, _ = runCommand(t, "workers", "-o", "json")
	if !strings.Contains(out, "executor y is off: it is not allowed") || !strings.Contains(out, `"unasked": 1`) && !strings.Contains(out, `"unasked":1`) {
		t.Errorf("JSON: got\n%s", out)
	}
}

func TestSome(t *testing.T) {
	for _, tt := range []struct {
		words string
		width int
		want  string
	}{
		{"a,b,c", 5, "a,b,c"}, {"a,b,c", 4, "a,+2"}, {"aa,bb,cc", 7, "aa,+2"}, {"aa,bb,cc", 8, "aa,bb,cc"}, {"aaaaaaaa,b", 7, "aaa…,+1"},
		{"aaaaaaaa", 7, "aaaaaa…"}, {"", 7, ""}, {"aaaa,b,c,d,e", 9, "aaaa,b,+3"},
	} {
		got := some(strings.Split(tt.words, ","), tt.width)
		if got != tt.want || columns(got) > tt.width {
			t.Errorf("%s in %d: got %s, want %s", tt.words, tt.width, got, tt.want)
		}
	}
}

func TestPoolsSayHowLongTheOldestTaskWaits(t *testing.T) {
	for oldest, want := range map[time.Duration]string{0: "p\t0\t0\t4\t1\t-", 1500 * time.Millisecond: "p\t0\t0\t4\t1\t1.5s", time.Hour: "p\t0\t0\t4\t1\t1h0m0s"} {
		if got := poolRow(client.Pool{Name: "p", Capacity: 4, Workers: 1, Oldest: oldest}); got != want {
			t.Errorf("%v: got %q, want %q", oldest, got, want)
		}
	}
}
