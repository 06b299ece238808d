package coordinator_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// leaver is an executor that leaves a word wherever a task can.
type leaver struct{}

func (leaver) Describe() executors.Description { return executors.Description{ID: "leaver"} }

func (leaver) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	var in struct {
		Word  string
		Large int // bytes of the result
		Fail  bool
		Wait  bool // until it is cancelled
	}
	if err := json.Unmarshal(call.Inputs, &in); err != nil {
		return nil, err
	}
	call.Reporter.Log("stdout", "it says "+in.Word)
	for i, size := range []int{100, 1 << 20} { // with its row, and in blocks
		data := bytes.Repeat([]byte(in.Word+" "), size/len(in.Word))
		if _, err := call.Files.Save(ctx, executors.SavedFile{Name: fmt.Sprint(i, ".txt"), MediaType: "text/plain", Size: int64(len(data))}, bytes.NewReader(data)); err != nil {
			return nil, err
		}
	}
	switch {
	case in.Fail:
		return nil, errors.New("it failed with " + in.Word)
	case in.Wait:
		<-ctx.Done()
		return executors.Completed(map[string]any{"partial": in.Word}), ctx.Err()
	}
	return executors.Completed(map[string]any{"word": in.Word + strings.Repeat(" "+in.Word, in.Large/10)}), nil
}

// written is what processes log.
type written struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Write(p)
}

func (w *written) bytes() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Clone(w.buf.Bytes())
}

// everywhere is all that is stored in Postgres and in NATS, by where.
func everywhere(t *testing.T, c *cluster.Cluster) map[string][]byte {
	t.Helper()
	ctx := t.Context()
	out := map[string][]byte{}
	conn, err := pgx.Connect(ctx, c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, _ := conn.Query(ctx, "select table_name::text from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'")
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		rows, _ := conn.Query(ctx, "select to_json(t)::text from "+name+" t")
		texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		out["table "+name] = []byte(strings.Join(texts, "\n"))
	}
	nc, err := nats.Connect(c.NATS.CoordinatorURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"TG_WORK", "TG_RESULTS", "TG_LOGS", "TG_ARTIFACTS"} {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		state := stream.CachedInfo().State
		var all []byte
		for seq := state.FirstSeq; seq <= state.LastSeq && state.Msgs > 0; seq++ {
			m, err := nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+name, fmt.Appendf(nil, `{"seq":%d}`, seq))
			var got struct{ Message struct{ Data []byte } }
			if err == nil {
				err = json.Unmarshal(m.Data, &got)
			}
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, got.Message.Data...)
		}
		out["stream "+name] = all
	}
	return out
}

// foundIn says where a word is: as text, or in hex, as Postgres writes bytes.
func foundIn(places map[string][]byte, word string) (names []string) {
	for name, text := range places {
		if bytes.Contains(text, []byte(word)) || bytes.Contains(text, []byte(hex.EncodeToString([]byte(word)))) {
			names = append(names, name)
		}
	}
	return names
}

// TestWhatIsErasedIsNowhere: a user's word is in rows, results, errors, logs, artifacts and messages, of trees that ended, failed, run, wait for a worker, or were only stored.
// After the erasure it is in no table, no stream and no log, but in what is held; and nothing of others is gone.
func TestWhatIsErasedIsNowhere(t *testing.T) {
	t.Parallel()
	log := &written{}
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Log: slog.New(slog.NewTextHandler(log, nil)), Executors: func() []executors.Executor { return []executors.Executor{leaver{}} },
		Coordinator: func(cfg *config.Coordinator) { cfg.PoolIdle = time.Hour }})
	ctx, svc := t.Context(), c.Service()
	const word, kept, others = "canary-of-amy", "canary-that-is-held", "canary-of-bob"
	task := func(user, id, says, more string) *dag.Task {
		return &dag.Task{ID: id, Name: "its name has " + says, Executor: "leaver", UserID: user, Inputs: json.RawMessage(fmt.Sprintf(`{"word":%q%s}`, says, more)),
			Custom: json.RawMessage(fmt.Sprintf(`{"note":%q}`, says)), Labels: map[string]string{"says": says}}
	}
	for id, more := range map[string]string{"ended": "", "large": `,"large":400000`, "failed": `,"fail":true`} {
		c.Submit(coordinator.SubmitOptions{}, task("amy", id, word, more))
		c.Settled(id)
	}
	c.Submit(coordinator.SubmitOptions{Hold: true}, task("amy", "only-stored", word, ""))
	c.Submit(coordinator.SubmitOptions{}, task("amy", "runs", word, `,"wait":true`))
	lonely := task("amy", "lonely", word, "")
	lonely.Pool = "of-no-worker"
	c.Submit(coordinator.SubmitOptions{}, lonely)
	c.Submit(coordinator.SubmitOptions{}, task("amy", "evidence", kept, ""))
	c.Submit(coordinator.SubmitOptions{}, task("bob", "bobs", others, ""))
	c.Settled("evidence")
	c.Settled("bobs")
	tree, err := json.Marshal(map[string]any{"name": word, "schemas": map[string]any{"method": "noop_executor"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := svc.CreateSchedule(ctx, scheduledoc.Spec{ID: "of-amy", UserID: "amy", Cron: "@yearly", Tree: tree}); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.Hold(ctx, coordinator.HoldSpec{TreeID: "evidence", Reason: "case 7"}); err != nil {
		t.Fatal(err)
	}
	c.Eventually("the word is where it can be", func() error {
		places := everywhere(t, c)
		for _, place := range []string{"table payload", "table spec", "table attempt", "table label", "table schedule", "table artifact", "stream TG_LOGS", "stream TG_WORK", "stream TG_ARTIFACTS"} {
			if len(foundIn(map[string][]byte{place: places[place]}, word)) == 0 {
				return fmt.Errorf("%s does not have it", place)
			}
		}
		return nil
	})
	if _, err := svc.Erase(ctx, coordinator.EraseSpec{UserID: "amy"}); !errors.Is(err, coordinator.ErrConflict) {
		t.Fatalf("while trees run: got %v", err)
	}
	preview, err := svc.Erase(ctx, coordinator.EraseSpec{UserID: "amy", Preview: true})
	if err != nil || preview.Counts["trees"] != 6 || preview.Counts["schedules"] != 1 || preview.Counts["running_trees"] != 2 || preview.Counts["held_trees"] != 1 {
		t.Errorf("preview: got %+v, %v", preview, err)
	}
	e, err := svc.Erase(ctx, coordinator.EraseSpec{UserID: "amy", Cancel: true})
	if err != nil {
		t.Fatal(err)
	}
	c.Eventually("it is done", func() error {
		if e, err = svc.Erasure(ctx, e.ID); err == nil && e.FinishedAt.IsZero() {
			err = fmt.Errorf("it is at %s: %v", e.Step, e.Counts)
		}
		return err
	})
	for kind, want := range map[string]int64{"schedules": 1, "trees": 6, "tasks": 6, "held_trees": 1} {
		if e.Counts[kind] != want {
			t.Errorf("%d %s were erased, want %d: %v", e.Counts[kind], kind, want, e.Counts)
		}
	}
	for _, kind := range []string{"attempts", "artifacts", "events", "logs", "messages"} {
		if e.Counts[kind] == 0 {
			t.Errorf("no %s were erased: %v", kind, e.Counts)
		}
	}
	places := everywhere(t, c)
	places["the log"] = log.bytes()
	if names := foundIn(places, word); len(names) > 0 {
		t.Errorf("the word is still in %q", names)
	}
	for _, other := range []string{kept, others} {
		for _, place := range []string{"table payload", "table attempt", "stream TG_LOGS", "stream TG_ARTIFACTS"} {
			if len(foundIn(map[string][]byte{place: places[place]}, other)) == 0 {
				t.Errorf("%s is gone from %s", other, place)
			}
		}
	}
}

// TestErasureOfBundles: who is erased is not told as the one who put the contents of bundles either, also while a run of somebody else has them.
func TestErasureOfBundles(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	const name = "amy-who-is-erased"
	amy := coordinator.NewAccess(c.Service(), coordinator.ByRoles(c.Coordinators[0].P, coordinator.RoleSettings{})).For(holding(name, "submitter@default"))
	if _, err := amy.PutBundleFile(t.Context(), coordinator.BundleFile{Data: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	if got, err := amy.ApplyBundle(t.Context(), bundleOf("hers", "")); err != nil || len(got.Missing) > 0 {
		t.Fatal(got, err)
	}
	conn, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	named := func() (n int) {
		t.Helper()
		if err := conn.QueryRow(t.Context(), "select count(*) from (select user_id from bundle union all select user_id from bundle_blob) b where user_id = $1", name).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := named(); n != 3 { // the version, its file and the list of its files
		t.Fatalf("%d rows have the name", n)
	}
	e, err := c.Service().Erase(t.Context(), coordinator.EraseSpec{UserID: name})
	if err != nil {
		t.Fatal(err)
	}
	c.Eventually("the erasure ends", func() error {
		if e, err = c.Service().Erasure(t.Context(), e.ID); err == nil && e.FinishedAt.IsZero() {
			return errors.New("it goes on")
		}
		return err
	})
	if n := named(); n != 0 {
		t.Errorf("%d rows have the name", n)
	}
}
