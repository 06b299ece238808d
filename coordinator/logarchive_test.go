package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// talker is an executor that writes so many lines.
type talker struct{}

func (talker) Describe() executors.Description { return executors.Description{ID: "talker"} }

func (talker) Run(_ context.Context, call *executors.Call) (*executors.Outcome, error) {
	var in struct {
		Lines int
		Fail  bool
	}
	if err := json.Unmarshal(call.Inputs, &in); err != nil {
		return nil, err
	}
	for i := range in.Lines {
		call.Reporter.Log("stdout", talk(i))
	}
	if in.Fail && call.Attempt == 1 {
		return nil, errors.New("once more")
	}
	return executors.Completed(nil), nil
}

// talk is a line that does not compress too well.
func talk(i int) string { return fmt.Sprintf("line %d %x", i, content(uint64(i), 24)) }

// Logs of attempts that have ended outlive the stream, with their tree.
func TestLogsAreKeptWithTheirTree(t *testing.T) {
	t.Parallel()
	for name, seal := range map[string]bool{"plain": false, "sealed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := cluster.Start(t, cluster.Options{Executors: func() []executors.Executor { return []executors.Executor{talker{}} }, Coordinator: func(cfg *config.Coordinator) {
				if seal {
					cfg.SealKey, cfg.SealValues = "c2VhbGVkIGluIGFsbCB0ZXN0cyBvZiBhIGNsdXN0ZXI=", true
				}
			}})
			logsOutliveTheStream(c)
		})
	}
}

func logsOutliveTheStream(c *cluster.Cluster) {
	t := c.T
	c.Submit(coordinator.SubmitOptions{}, &dag.Task{ID: "root", Name: "root"},
		&dag.Task{ID: "few", Name: "few", ParentRef: "root", Executor: "talker", Inputs: json.RawMessage(`{"lines":3,"fail":true}`), Retry: dag.RetryPolicy{MaxAttempts: 2}},
		&dag.Task{ID: "many", Name: "many", ParentRef: "root", Executor: "talker", Inputs: json.RawMessage(`{"lines":5000}`)},
		&dag.Task{ID: "none", Name: "none", ParentRef: "root", Executor: "talker", Inputs: json.RawMessage(`{"lines":0}`)})
	c.Settled("root")
	read := func(f coordinator.LogFilter) (lines []string) {
		t.Helper()
		for line, err := range c.Service().Logs(t.Context(), f) {
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, fmt.Sprint(line.Name, line.Attempt, " ", line.Number, " ", line.Text))
		}
		return lines
	}
	before := map[string][]string{}
	for _, id := range []string{"few", "many", "none"} {
		before[id] = read(coordinator.LogFilter{TaskID: id})
	}
	if len(before["few"]) != 6 || len(before["many"]) != 5000 || len(before["none"]) != 0 {
		t.Fatalf("the stream has %d, %d and %d lines", len(before["few"]), len(before["many"]), len(before["none"]))
	}
	conn, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // it only looked
	nc, err := nats.Connect(c.NATS.CoordinatorURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c.Eventually("logs are kept", func() error {
		var n int
		if err := conn.QueryRow(t.Context(), "select count(*) from artifact where kind = 3").Scan(&n); err != nil || n != 3 {
			return fmt.Errorf("%d, %v", n, err)
		}
		return nil
	})
	stream, err := js.Stream(t.Context(), "TG_LOGS")
	if err == nil {
		err = stream.Purge(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range before {
		if got := read(coordinator.LogFilter{TaskID: id}); !slices.Equal(got, want) {
			t.Errorf("%s: got %d lines, want %d", id, len(got), len(want))
		}
	}
	if got := read(coordinator.LogFilter{TaskID: "few", Attempt: 2, Tail: 2}); !slices.Equal(got, before["few"][4:]) {
		t.Errorf("the tail: got %q", got)
	}
	if got := read(coordinator.LogFilter{TaskID: "root", Tree: true, Follow: true}); len(got) != 5006 {
		t.Errorf("the tree: got %d lines", len(got))
	}
	for range c.Service().Logs(t.Context(), coordinator.LogFilter{TaskID: "many"}) {
		break // who reads may leave
	}
	if bad := strings.Join(before["few"], ""); !strings.Contains(bad, "line 2") {
		t.Errorf("got %q", bad)
	}
}
