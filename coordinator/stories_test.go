package coordinator_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

var update = flag.Bool("update", false, "write the scripts' outputs as they come")

// stories runs scripts on one cluster.
type stories struct {
	c       *cluster.Cluster
	hands   *hands
	scripts atomic.Int64 // how many ran; it keeps their ids apart
}

func newStories(t *testing.T) *stories {
	h := &hands{orders: map[string]chan order{}, idle: make(chan struct{})}
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Workers: 2, Pools: []string{apitest.HandExecutor}, Concurrency: 64,
		Executors: func() []executors.Executor { return []executors.Executor{h} }})
	t.Cleanup(func() { close(h.idle) }) // before the workers stop: they need not wait for what scripts left behind
	return &stories{c: c, hands: h}
}

func (s *stories) script(patience time.Duration, rewrite bool) *script {
	return &script{svc: s.c.Service(), hands: s.hands, prefix: fmt.Sprintf("s%d.", s.scripts.Add(1)), patience: patience, rewrite: rewrite}
}

// TestStories runs the scripts in testdata/stories. With -update it writes their outputs anew: read the diff.
func TestStories(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/stories/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d scripts, %v", len(files), err)
	}
	s := newStories(t)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			steps, err := parseScript(string(text))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if err := s.script(stuck, *update).run(t.Context(), steps); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if *update {
				if err := os.WriteFile(file, []byte(writeScript(steps)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

const rightScript = `# A comment stays.
submit
root: needs b
  a
  b: needs a
----
tree in_progress
waiting: root b
running: a

fail a bad luck
----
tree failed
blocked: root b
failed: a

why b
----
blocked a failed (bad luck)

task a
----
failed
error: bad luck

attempts a
----
1 failed: bad luck

events
----
execution
start a
failed a: bad luck
final
`

// TestAWrongExpectationFails: the script as it is passes and is rewritten as it is. An expectation with a changed word, a
// line too few or a line too many fails, whichever step it is of, and the error names the step and shows both.
func TestAWrongExpectationFails(t *testing.T) {
	t.Parallel()
	s := newStories(t)
	play := func(text string, rewrite bool) (string, error) {
		steps, err := parseScript(text)
		if err == nil {
			run := s.script(stuck, rewrite)
			run.rest = 3 * time.Second // a busy machine stands still for longer than that is worth to people
			err = run.run(t.Context(), steps)
		}
		return writeScript(steps), err
	}
	if got, err := play(rightScript, false); err != nil || got != rightScript {
		t.Fatalf("got %v, and the script\n%s", err, got)
	}
	steps, err := parseScript(rightScript)
	if err != nil {
		t.Fatal(err)
	}
	for i := range steps {
		steps[i].want = "anything\n"
	}
	if got, err := play(writeScript(steps), true); err != nil || got != rightScript {
		t.Errorf("rewritten: got %v, and the script\n%s", err, got)
	}
	for i := range steps {
		for _, spoil := range []func(string) string{
			func(want string) string { return strings.Replace(want, "a", "z", 1) },
			func(want string) string { return want[strings.Index(want, "\n")+1:] },
			func(want string) string { return want + "more\n" },
		} {
			changed, err := parseScript(rightScript)
			if err != nil {
				t.Fatal(err)
			}
			changed[i].want = spoil(changed[i].want)
			run := s.script(stuck, false)
			for _, before := range changed[:i] {
				if _, err := run.step(t.Context(), before); err != nil {
					t.Fatal(err)
				}
			}
			run.patience = 100 * time.Millisecond
			_, err = run.step(t.Context(), changed[i])
			if err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("line %d: ", changed[i].line)) || !strings.Contains(err.Error(), "want\n"+changed[i].want) {
				t.Errorf("%q is wanted: got %v", changed[i].want, err)
			}
		}
	}
}

func TestAFaultyScriptFails(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"finish a\n", "dance a\n----\n", "finish\n----\n", "submit late\n----\n", "submit\n  a\n----\n",
		"submit\na: sings\n----\n", "submit\na: attempts many\n----\n", "why a\nb\n----\n"} {
		steps, err := parseScript(text)
		if err == nil {
			err = (&script{patience: time.Second}).run(t.Context(), steps)
		}
		if err == nil || !strings.Contains(err.Error(), "line 1: ") {
			t.Errorf("%q: got %v, want the fault at line 1", text, err)
		}
	}
}
