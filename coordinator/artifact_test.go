package coordinator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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
	"github.com/taskgrove/taskgrove/internal/doctor"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// scribe is an executor that saves what its inputs say, or reads an artifact that they name, and gives its length.
type scribe struct{}

func (scribe) Describe() executors.Description { return executors.Description{ID: "scribe"} }

// content is bytes that nobody else's seed makes.
func content(seed uint64, size int) []byte {
	data := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	_, _ = r.Read(data)
	return data
}

func (scribe) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	var in struct {
		Save []struct {
			Name string
			Seed uint64
			Size int
		}
		Read json.RawMessage
	}
	if err := json.Unmarshal(call.Inputs, &in); err != nil {
		return nil, err
	}
	for _, s := range in.Save {
		if _, err := call.Files.Save(ctx, executors.SavedFile{Name: s.Name, MediaType: "text/x", Size: int64(s.Size)}, bytes.NewReader(content(s.Seed, s.Size))); err != nil {
			return nil, err
		}
	}
	if in.Read == nil {
		return executors.Completed(nil), nil
	}
	ref, ok := executors.RefOf(in.Read)
	if !ok {
		return nil, errors.New("no reference")
	}
	r, err := call.Files.Open(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // read only
	n, err := io.Copy(io.Discard, r)
	return executors.Completed(map[string]any{"read": n}), err
}

func scribes() []executors.Executor { return []executors.Executor{scribe{}} }

// saved submits a tree of one task that saves files of the sizes, and gives their references.
func saved(c *cluster.Cluster, user, id string, seed uint64, sizes ...int) []executors.FileRef {
	c.T.Helper()
	var list []string
	for i, size := range sizes {
		list = append(list, fmt.Sprintf(`{"name":"out/%d.bin","seed":%d,"size":%d}`, i, seed+uint64(i), size))
	}
	done := ran(c, user, id, `{"save":[`+strings.Join(list, ",")+`]}`)
	if done.State != dag.Completed {
		c.T.Fatalf("%s: %v: %v", id, done.State, done.Error)
	}
	var result struct{ Artifacts []executors.FileRef }
	if err := json.Unmarshal(done.Result, &result); err != nil || len(result.Artifacts) != len(sizes) {
		c.T.Fatalf("%s: result %s: %v", id, done.Result, err)
	}
	return result.Artifacts
}

// ran submits a tree of one task of the scribe, and waits for its end.
func ran(c *cluster.Cluster, user, id, inputs string) *coordinator.Task {
	c.T.Helper()
	c.Submit(coordinator.SubmitOptions{}, &dag.Task{ID: id, Name: id, Executor: "scribe", UserID: user, Inputs: json.RawMessage(inputs)})
	c.Settled(id)
	t, err := c.Service().Task(c.T.Context(), id)
	if err != nil {
		c.T.Fatal(err)
	}
	return t
}

func reading(ref executors.FileRef) string {
	text, _ := json.Marshal(map[string]any{"read": ref})
	return string(text)
}

func TestArtifacts(t *testing.T) {
	t.Parallel()
	for name, seal := range map[string]bool{"plain": false, "sealed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := cluster.Start(t, cluster.Options{Coordinators: 2, Workers: 2, Executors: scribes, Coordinator: func(cfg *config.Coordinator) {
				if seal {
					cfg.SealKey, cfg.SealValues = "c2VhbGVkIGluIGFsbCB0ZXN0cyBvZiBhIGNsdXN0ZXI=", true
				}
			}})
			artifactsGoRound(c, seal)
		})
	}
}

func artifactsGoRound(c *cluster.Cluster, sealed bool) {
	t := c.T
	if sealed {
		c.Eventually("values are sealed", func() error {
			s, err := c.Service().(coordinator.Sealing).SealStatus(t.Context())
			if err == nil && !s.Sealed {
				err = errors.New("not yet")
			}
			return err
		})
	}
	sizes := []int{0, 1, 8 << 10, 8<<10 + 1, 512 << 10, 5<<20 + 7}
	refs := saved(c, "ann", "made", 1, sizes...)
	for i, ref := range refs {
		if ref.Size != int64(sizes[i]) || ref.MediaType != "text/x" || ref.Artifact != fmt.Sprintf("out/%d.bin", i) {
			t.Errorf("%d: got %+v", i, ref)
		}
		opened, err := c.Service().OpenArtifact(t.Context(), coordinator.ArtifactQuery{TaskID: "made", Name: ref.Artifact, Offset: int64(sizes[i] / 3)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(opened)
		if err != nil || !bytes.Equal(got, content(1+uint64(i), sizes[i])[sizes[i]/3:]) || opened.SHA256 != ref.SHA256 {
			t.Errorf("%s: got %d bytes, %v", ref.Artifact, len(got), err)
		}
		done := ran(c, "ann", fmt.Sprintf("read-%d", i), reading(ref))
		if want := fmt.Sprintf(`{"read":%d}`, ref.Size); string(done.Result) != want {
			t.Errorf("another tree of the user: got %s, %v, want %s", done.Result, done.Error, want)
		}
	}
	page, err := c.Service().Artifacts(t.Context(), coordinator.ArtifactFilter{TaskID: "made", Limit: 4})
	if err != nil || len(page.Items) != 4 || page.Next == "" {
		t.Fatalf("a page: %d, %v", len(page.Items), err)
	}
	page, err = c.Service().Artifacts(t.Context(), coordinator.ArtifactFilter{TaskID: "made", Limit: 4, Cursor: page.Next})
	if err != nil || len(page.Items) != 2 || page.Next != "" || page.Items[1].Name != "out/5.bin" {
		t.Errorf("the next: %d, %v", len(page.Items), err)
	}

	for what, ref := range map[string]executors.FileRef{
		"another user's": refs[5], "another user's, small": refs[1], "nobody's": {Artifact: "x", SHA256: strings.Repeat("00", 32), Size: 5},
	} {
		for _, user := range []string{"bob", ""} {
			done := ran(c, user, "thief-"+fmt.Sprint(len(what), user), reading(ref))
			if done.State != dag.Failed || !strings.Contains(done.Error, "no artifact with that digest") {
				t.Errorf("%s for %q: got %v, %s", what, user, done.State, done.Result)
			}
		}
	}
	lie := refs[5]
	lie.SHA256 = refs[4].SHA256 // of another size
	if done := ran(c, "ann", "liar", reading(lie)); done.State != dag.Failed {
		t.Errorf("a reference that lies: got %v", done.State)
	}
	sealedAtRest(c, sealed, refs[5])
}

// sealedAtRest looks for names and digests in Postgres.
func sealedAtRest(c *cluster.Cluster, sealed bool, ref executors.FileRef) {
	t := c.T
	conn, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // it only looked
	var clear, contents int
	if err := conn.QueryRow(t.Context(), `select count(*) filter (where name <> '' or encode(tag, 'hex') = $1), (select count(*) from content where sealed is not null) from artifact where kind < 3`, ref.SHA256).Scan(&clear, &contents); err != nil {
		t.Fatal(err)
	}
	if sealed != (clear == 0) || sealed != (contents > 0) {
		t.Errorf("%d rows show names or digests, %d contents are sealed", clear, contents)
	}
}

// The same content is stored once, and stays as long as something refers to it; then it is gone from the store.
func TestArtifactsAreStoredOnceAndSwept(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Executors: scribes})
	conn, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // it only looked
	count := func(what string) (n int) {
		t.Helper()
		if err := conn.QueryRow(t.Context(), "select count(*) from "+what).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	first, again := saved(c, "ann", "first", 7, 1<<20), saved(c, "bob", "again", 7, 1<<20)
	if first[0].SHA256 != again[0].SHA256 || count("content where state = 1") != 1 || count("artifact") != 2 {
		t.Errorf("%v, %v: %d contents, %d references", first, again, count("content where state = 1"), count("artifact"))
	}
	sweep := func() {
		t.Helper()
		for range 2 { // what is dropped is dropped once more before its row goes
			_, err := conn.Exec(t.Context(), "update content set look_at = now() - interval '1 s' where state = 2")
			if err = errors.Join(err, c.Coordinators[0].P.Coordinator.Sweep(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(id string) {
		t.Helper()
		if _, err := c.Service().Delete(t.Context(), id, coordinator.DeleteOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
		sweep()
	}
	sweep()
	remove("first")
	if done := ran(c, "bob", "reader", reading(again[0])); done.State != dag.Completed || count("content") != 1 {
		t.Errorf("after the first tree: %v, %d contents", done.State, count("content"))
	}
	used, _, err := c.Coordinators[0].P.Queue.BlocksUsage(t.Context())
	if err != nil || used < 1<<20 || used > 2<<20 {
		t.Errorf("the store has %d bytes, %v", used, err)
	}
	remove("again")
	if n := count("content"); n != 0 {
		t.Errorf("after the last: %d contents", n)
	}
	if used, _, _ := c.Coordinators[0].P.Queue.BlocksUsage(t.Context()); used != 0 {
		t.Errorf("the store has %d bytes", used)
	}
	if done := ran(c, "bob", "late", reading(again[0])); done.State != dag.Failed {
		t.Errorf("a reader that is late: %v", done.State)
	}
}

// Commands give files to one another: what a task names is saved, and what comes in is a file, or the standard input. Outputs over their bound are artifacts.
func TestFilesGoFromCommandToCommand(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Worker: func(cfg *config.Worker) { cfg.CommandAllow = true; cfg.OutputBytes = 1 << 10 }})
	command := func(id, inputs string, artifacts []string, needs ...string) *dag.Task {
		task := &dag.Task{ID: id, Name: id, ParentRef: "root", Executor: "command_executor", Inputs: json.RawMessage(inputs)}
		if artifacts != nil {
			task.Control = &dag.Control{Artifacts: artifacts}
		}
		for _, need := range needs {
			task.Dependencies = append(task.Dependencies, dag.Dependency{Ref: need})
		}
		return task
	}
	c.Submit(coordinator.SubmitOptions{}, &dag.Task{ID: "root", Name: "root"},
		command("make", `{"command":"mkdir out && seq 3 > out/numbers.txt && ln -s /etc/passwd out/passwd.txt && seq 1000","fail_on_error":true}`, []string{"out/*.txt"}),
		command("use", `{"command":"wc -l","stdin_from":"/make/artifacts/0","fail_on_error":true}`, nil, "make"),
		command("output", `{"command":"wc -l","stdin_from":"/make/stdout","fail_on_error":true}`, nil, "make"),
		command("missing", `{"command":"true"}`, []string{"none.txt"}))
	c.Settled("root")
	tasks := c.Tasks("root")
	var made struct {
		Stdout    executors.FileRef
		Truncated bool
		Artifacts []executors.FileRef
	}
	if err := json.Unmarshal(tasks["make"].Result, &made); err != nil || len(made.Artifacts) != 1 || made.Artifacts[0].Artifact != "out/numbers.txt" || made.Artifacts[0].Size != 6 ||
		made.Stdout.Artifact != "stdout" || made.Stdout.Size != 3893 || made.Truncated {
		t.Errorf("make: %v, %s %s", err, tasks["make"].Result, tasks["make"].Error)
	}
	for id, want := range map[string]string{"use": `"stdout":"3"`, "output": `"stdout":"1000"`} {
		if !strings.Contains(string(tasks[id].Result), want) {
			t.Errorf("%s: got %s %s", id, tasks[id].Result, tasks[id].Error)
		}
	}
	if bad := tasks["missing"]; bad.State != dag.Failed || !strings.Contains(bad.Error, `there is no file "none.txt"`) {
		t.Errorf("missing: got %v, %s", bad.State, bad.Error)
	}
}

// What the store of artifacts has lost, verify finds, and so does the doctor; who reads it is told.
func TestLostArtifactsAreFound(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Executors: scribes})
	refs := saved(c, "ann", "lost", 40, 100, 1<<20)
	verify := func(tree string) (kinds []string) {
		t.Helper()
		for v, err := range c.Service().Verify(t.Context(), tree) {
			if err != nil {
				t.Fatal(err)
			}
			kinds = append(kinds, v.Kind+" "+v.TaskID)
		}
		return kinds
	}
	store := func() (worst doctor.Severity) {
		t.Helper()
		got, err := c.Service().(coordinator.Doctor).Diagnose(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range got.Findings {
			if f.Check == doctor.ArtifactStore {
				worst = max(worst, f.Severity)
			}
		}
		return worst
	}
	if bad := append(verify("lost"), verify("")...); len(bad) > 0 || store() != doctor.OK {
		t.Errorf("before: %v, %v", bad, store())
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
	if err := js.DeleteStream(t.Context(), "TG_ARTIFACTS"); err != nil {
		t.Fatal(err)
	}
	want := []string{"artifact_lost lost"}
	if one, all := verify("lost"), verify(""); !slices.Equal(one, want) || !slices.Equal(all, want) || store() != doctor.Problem {
		t.Errorf("after: %v, %v, %v; want %v", one, all, store(), want)
	}
	if done := ran(c, "ann", "reader", reading(refs[1])); done.State != dag.Failed || !strings.Contains(done.Error, "has lost the content") {
		t.Errorf("a reader: %v, %s", done.State, done.Error)
	}
	if done := ran(c, "ann", "small", reading(refs[0])); done.State != dag.Completed {
		t.Errorf("a small one is with its reference: %v, %s", done.State, done.Error)
	}
}
