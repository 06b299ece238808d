package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestLockBreakNamesTheHolder: a lock is taken from who is named, and from nobody else when the command is given again; without a name the holder is told, and keeps it unless somebody says yes.
func TestLockBreakNamesTheHolder(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Workers: 1, Coordinator: func(s *config.Coordinator) { s.GRPCAddr = "127.0.0.1:0" }})
	t.Setenv("TASKGROVE_SERVER", c.Coordinators[0].P.GRPC)
	held := func(by string, waiters int64) (l client.Lock) {
		t.Helper()
		c.Eventually(by+" has the lock", func() error {
			var list []client.Lock
			out, note, code := runCommand(t, "lock", "list", "ledger", "--json")
			if err := json.Unmarshal([]byte(out), &list); err != nil || code != exitOK || len(list) != 1 || list[0].TaskID != by || list[0].Waiters != waiters {
				return fmt.Errorf("exit %d, %v, %s %s", code, err, out, note)
			}
			l = list[0]
			return nil
		})
		return l
	}
	refused := func(want int, text string, args ...string) {
		t.Helper()
		if out, note, code := runCommand(t, append([]string{"lock", "break"}, args...)...); code != want || !strings.Contains(note, text) || out != "" {
			t.Errorf("%v: exit %d, %s %s\nwant %q", args, code, out, note, text)
		}
	}
	for n, id := range []string{"one", "two", "three"} {
		c.Submit(coordinator.SubmitOptions{}, &dag.Task{ID: id, Name: id, Priority: dag.Normal, Executor: "sleep_executor", Inputs: []byte(`{"seconds":600}`), Limiting: &dag.Limiting{Lock: &dag.Lock{Key: "ledger"}}})
		held("one", int64(n))
	}
	one := held("one", 2)
	token := fmt.Sprint(one.Token)
	refused(exitUsage, "ledger is held by one (one), with token "+token+", and there is no terminal to ask on: --token "+token+" takes it from this holder", "ledger")
	refused(exitUsage, "--yes: --token and --holder name who", "ledger", "--yes", "--token", token)
	refused(exitUsage, "token: is required, or holder", "ledger", "--token", "0")
	refused(exitError, "nobody holds the lock books", "books", "--yes")
	refused(exitError, "the lock is held by one (one) now, with token "+token, "ledger", "--holder", "two")
	if now := held("one", 2); now.Token != one.Token {
		t.Errorf("refused, and the lock is %+v", now)
	}
	breaking := []string{"ledger", "--token", token, "--reason", "it hangs"}
	if out, note, code := runCommand(t, append([]string{"lock", "break"}, breaking...)...); code != exitOK || out != "ledger: taken from one (one), which had token "+token+", and is cancelled\n" {
		t.Fatalf("exit %d, %s %s", code, out, note)
	}
	two := held("two", 1)
	refused(exitError, fmt.Sprintf("the lock is held by two (two) now, with token %d", two.Token), breaking...)
	refused(exitError, "the lock is held by two (two) now", "ledger", "--holder", "one")
	refused(exitError, "the lock is held by two (two) now", "ledger", "--holder", "two", "--token", token)
	if now := held("two", 1); now.Token != two.Token || now.Token <= one.Token {
		t.Errorf("the next holder lost the lock: %+v", now)
	}
	if _, note, code := runCommand(t, "lock", "break", "ledger", "--holder", "two"); code != exitOK {
		t.Errorf("exit %d, %s", code, note)
	}
	held("three", 0)
	if out, note, code := runCommand(t, "lock", "break", "ledger", "--yes", "--json"); code != exitOK || !strings.Contains(out, `"task_id": "three"`) && !strings.Contains(out, `"task_id":"three"`) {
		t.Errorf("exit %d, %s %s", code, out, note)
	}
	if _, note, code := runCommand(t, "lock", "list", "ledger"); code != exitOK || !strings.Contains(note, "there are no locks") {
		t.Errorf("exit %d, %s", code, note)
	}
	for v, err := range c.Service().Verify(t.Context(), "") {
		t.Error(v, err)
	}
}
