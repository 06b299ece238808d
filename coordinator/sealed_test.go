package coordinator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/sealed"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// sealing has coordinators seal values under one master key.
func sealing() func(*config.Coordinator) {
	key := sealed.NewKey()
	return func(cfg *config.Coordinator) {
		cfg.SealKey, cfg.SealValues = config.Secret(key), true
	}
}

// canary is in all that must not be readable.
const canary = "CANARY-7f3a"

// ear hears all that passes over NATS.
type ear struct {
	t        *testing.T
	nc       *nats.Conn
	mu       sync.Mutex
	messages map[string]int // by the first words of the subject
	bad      []string
}

func listen(t *testing.T, c *cluster.Cluster) *ear {
	t.Helper()
	nc, err := nats.Connect(c.NATS.CoordinatorURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	e := &ear{t: t, nc: nc, messages: map[string]int{}}
	for _, subject := range []string{"_INBOX.>", "tg.event.>", "tg.claim.*", "tg.beat.*", "tg.chunk.*", "tg.inputs.*", "tg.progress.*"} {
		if _, err := nc.Subscribe(subject, e.hear); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *ear) hear(m *nats.Msg) {
	e.mu.Lock()
	defer e.mu.Unlock()
	words := strings.SplitN(m.Subject, ".", 4)
	e.messages[strings.Join(words[:min(2, len(words))], ".")]++
	if bytes.Contains(m.Data, []byte(canary)) {
		e.bad = append(e.bad, fmt.Sprintf("%s: %.120q", m.Subject, m.Data))
	}
}

// heard is what passed until now: a coordinator may have had a message, and this ear be behind.
func (e *ear) heard() (map[string]int, []string) {
	e.t.Helper()
	caughtUp := make(chan struct{})
	if err := e.nc.FlushTimeout(time.Minute); err != nil { // the server has sent it all
		e.t.Fatal(err)
	}
	if err := e.nc.Barrier(func() { close(caughtUp) }); err != nil {
		e.t.Fatal(err)
	}
	<-caughtUp
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.messages), slices.Clone(e.bad)
}

// chatty is an executor that repeats its inputs in all that it says.
type chatty struct{}

func (chatty) Describe() executors.Description {
	return executors.Description{ID: "chatty_executor", Type: "chatty", Name: "chatty", Repeatable: true}
}

func (chatty) Run(_ context.Context, call *executors.Call) (*executors.Outcome, error) {
	var in struct {
		Say  string
		Fail bool
		Size int
	}
	if err := json.Unmarshal(call.Inputs, &in); err != nil {
		return nil, executors.Permanent(err)
	}
	call.Reporter.Log("stdout", in.Say)
	call.Reporter.Progress(0.5, in.Say)
	call.Live(executors.Piece{Kind: executors.PieceToken, Text: in.Say})
	time.Sleep(200 * time.Millisecond) // progress is sent beside the work
	if in.Fail {
		return nil, executors.Permanent(errors.New(in.Say))
	}
	return executors.Completed(map[string]any{"said": in.Say, "more": strings.Repeat(in.Say, in.Size)}), nil
}

func chat(id, parent string, inputs map[string]any, deps ...string) *dag.Task {
	t := noop(id, parent, deps...)
	t.Executor = "chatty_executor"
	t.Inputs, _ = json.Marshal(inputs)
	return t
}

// TestNothingIsReadableInNATS: while the cluster seals values, no input, result, error, line or progress passes over NATS in the clear or lies in
// its store, not even in parts of large ones; who may read them reads them.
func TestNothingIsReadableInNATS(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Coordinator: sealing(), Executors: func() []executors.Executor { return []executors.Executor{chatty{}} }})
	ear := listen(t, c)
	waiting(t, c)
	large := strings.Repeat(canary, 40_000)
	out := c.Submit(coordinator.SubmitOptions{},
		chat("root", "", map[string]any{"say": canary}, "large", "long", "wrong"),
		chat("large", "root", map[string]any{"say": canary, "unused": large}), // inputs in parts
		chat("long", "root", map[string]any{"say": canary, "size": 100_000}),  // a result in parts
		chat("next", "root", map[string]any{"say": canary}, "long"),
		chat("wrong", "root", map[string]any{"say": canary, "fail": true}))
	var told []*coordinator.Event
	for e, err := range c.Service().Watch(t.Context(), out.TreeID, 0) {
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, e)
	}
	c.Settled(out.TreeID)
	tasks := c.Tasks(out.TreeID)
	if got := string(tasks["long"].Result); len(got) < 100_000*len(canary) {
		t.Errorf("the long result has %d bytes: %.100s, %s", len(got), got, tasks["long"].Error)
	}
	for _, id := range []string{"large", "next"} {
		if got := string(tasks[id].Result); !strings.Contains(got, canary) {
			t.Errorf("%s: result %.100s, error %s", id, got, tasks[id].Error)
		}
	}
	if got := tasks["wrong"].Error; got != canary {
		t.Errorf("the error is %q", got)
	}
	c.Eventually("lines are there", func() error {
		n := 0
		for l, err := range c.Service().Logs(t.Context(), coordinator.LogFilter{TaskID: out.TreeID, Tree: true}) {
			if err != nil || l.Text != canary {
				return fmt.Errorf("got %+v, %w", l, err)
			}
			n++
		}
		if n != 4 {
			return fmt.Errorf("%d lines", n)
		}
		return nil
	})
	pieces, messages := 0, 0
	for _, e := range told {
		pieces += len(e.Pieces)
		if e.Message == canary {
			messages++
		}
	}
	if pieces == 0 || messages == 0 {
		t.Errorf("%d pieces and %d messages were told", pieces, messages)
	}
	heard, bad := ear.heard()
	for _, kind := range []string{"tg.result", "tg.log", "tg.event"} {
		if heard[kind] == 0 {
			t.Errorf("nothing was heard of %s: %v", kind, heard)
		}
	}
	for _, b := range bad {
		t.Errorf("readable: %s", b)
	}
	for _, path := range readable(t, c.StoreDir) {
		t.Errorf("%s is readable", path)
	}
}

// TestAllIsReadableInNATS: what the test above looks for is found where the cluster does not seal.
func TestAllIsReadableInNATS(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Executors: func() []executors.Executor { return []executors.Executor{chatty{}} }})
	ear := listen(t, c)
	waiting(t, c)
	c.Settled(c.Submit(coordinator.SubmitOptions{}, chat("root", "", map[string]any{"say": canary})).TreeID)
	files := strings.Join(readable(t, c.StoreDir), " ")
	_, bad := ear.heard()
	for kind, in := range map[string]string{"tg.result": strings.Join(bad, " "), "tg.progress": strings.Join(bad, " "), "tg.event": strings.Join(bad, " "),
		"_WORK": files, "_LOGS": files} {
		if !strings.Contains(in, kind) {
			t.Errorf("nothing is readable in %s: %.500s", kind, in)
		}
	}
}

// waiting has a message wait in WORK that nobody takes.
func waiting(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	task := chat("waits", "", map[string]any{"say": canary})
	task.Pool = "nobody"
	c.Submit(coordinator.SubmitOptions{}, task)
	c.Eventually("a message waits", func() error {
		n, _, err := c.Coordinators[0].P.Queue.Depth(t.Context(), "nobody", int(dag.Normal))
		if err == nil && n == 0 {
			err = errors.New("there is none")
		}
		return err
	})
}

// readable are the files that have the canary in them.
func readable(t *testing.T, dir string) (found []string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // the server deletes files meanwhile
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil //nolint:nilerr // likewise
		}
		files++
		if bytes.Contains(data, []byte(canary)) {
			found = append(found, path)
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Errorf("%d files, %v", files, err)
	}
	return found
}
