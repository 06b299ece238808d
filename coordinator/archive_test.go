package coordinator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/archive"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/sealed"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// archives are the archived trees of a folder, by the ids of their roots.
func archives(t *testing.T, dir string) map[string][]*archive.Line {
	t.Helper()
	store, out := archive.OpenFolder(dir), map[string][]*archive.Line{}
	err := store.ListObjects(t.Context(), "", func(o archive.Object) bool {
		name, ok := archive.ParseKey(o.Key)
		if !ok {
			t.Errorf("%s is in the archive", o.Key)
			return true
		}
		r, err := store.OpenObject(t.Context(), o.Key)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Close() }()
		if err := archive.Read(r, func(_ json.RawMessage, l *archive.Line) error { out[name.Tree] = append(out[name.Tree], l); return nil }); err != nil {
			t.Errorf("%s: %v", o.Key, err)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// ofTree are the lines of a tree by what they are.
type ofTree struct {
	tree     *archive.Tree
	tasks    map[string]*archive.Task
	attempts []*archive.Attempt
	files    []*archive.File
	logs     []string
	events   []string
	end      *archive.End
}

func sorted(lines []*archive.Line) (o ofTree) {
	o.tasks = map[string]*archive.Task{}
	for _, l := range lines {
		switch {
		case l.Tree != nil:
			o.tree = l.Tree
		case l.Task != nil:
			o.tasks[l.Task.ID] = l.Task
		case l.Attempt != nil:
			o.attempts = append(o.attempts, l.Attempt)
		case l.File != nil:
			o.files = append(o.files, l.File)
		case l.Log != nil:
			o.logs = append(o.logs, l.Log.Text)
		case l.Event != nil:
			o.events = append(o.events, l.Event.Type)
		case l.End != nil:
			o.end = l.End
		}
	}
	return o
}

// old has trees ended long ago.
func old(t *testing.T, c *cluster.Cluster, roots ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), "update tree set finished_at = now() - interval '2 days' where root_id = any($1)", roots); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "update keeping set look_at = now() where look_at is not null"); err != nil {
		t.Fatal(err)
	}
}

// isGone waits until a tree is deleted.
func isGone(c *cluster.Cluster, root string) {
	c.T.Helper()
	c.Eventually(root+" is gone", func() error {
		if _, err := c.Service().Task(c.T.Context(), root); !errors.Is(err, coordinator.ErrNotFound) {
			return fmt.Errorf("it is there: %v", err)
		}
		return nil
	})
}

// lateSince has a tree be late since now.
func lateSince(t *testing.T, c *cluster.Cluster, root string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), "update tree set late_at = now() where root_id = $1", root); err != nil {
		t.Fatal(err)
	}
}

// archivesTo has coordinators archive what ended over three minutes ago, and look every three seconds.
func archivesTo(dir string, more func(*config.Coordinator)) func(*config.Coordinator) {
	return func(cfg *config.Coordinator) {
		cfg.ArchiveDir, cfg.Retention, cfg.PoolIdle = dir, 3*time.Minute, time.Hour
		if more != nil {
			more(cfg)
		}
	}
}

// TestTreesAreArchivedBeforeTheyAreDeleted: an archived tree has all that was stored of it, by whoever of two coordinators wrote it; what is held, kept or young stays.
func TestTreesAreArchivedBeforeTheyAreDeleted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Executors: func() []executors.Executor { return []executors.Executor{leaver{}} }, Coordinator: archivesTo(dir, nil)})
	svc := c.Service()
	retry := dag.RetryPolicy{MaxAttempts: 2, InitialDelay: time.Millisecond}
	tasks := []*dag.Task{
		{ID: "report", Name: "report", Executor: "leaver", UserID: "amy", Inputs: json.RawMessage(`{"word":"root"}`), Labels: map[string]string{"team": "a"}, Dependencies: []dag.Dependency{{Ref: "part"}, {Ref: "fails", Optional: true}}},
		{ID: "part", Name: "part", ParentRef: "report", Executor: "leaver", Inputs: json.RawMessage(`{"word":"<part>"}`), Custom: json.RawMessage(`{"note":"mine"}`)},
		{ID: "fails", Name: "fails", ParentRef: "report", Executor: "leaver", Inputs: json.RawMessage(`{"word":"bad","fail":true}`), Retry: retry},
	}
	c.Submit(coordinator.SubmitOptions{Due: &dag.Due{After: time.Hour}}, tasks...)
	c.Settled("report")
	lateSince(t, c, "report")
	status, err := svc.Tree(t.Context(), "report")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"kept", "held", "young"} {
		task := noop(id, "")
		if id == "kept" {
			task.Retention = 72 * time.Hour
		}
		c.Submit(coordinator.SubmitOptions{}, task)
		c.Settled(id)
	}
	if _, err := svc.Hold(t.Context(), coordinator.HoldSpec{TreeID: "held", Reason: "case 7"}); err != nil {
		t.Fatal(err)
	}
	c.Eventually("logs are kept", func() error {
		page, err := svc.Artifacts(t.Context(), coordinator.ArtifactFilter{TaskID: "part"})
		if err == nil && len(page.Items) < 2 {
			err = errors.New("not yet")
		}
		return err
	})
	stored := map[string]*coordinator.Task{}
	for _, id := range []string{"report", "part", "fails"} {
		task, err := svc.Task(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		stored[id] = task
	}
	old(t, c, "report", "kept", "held")
	isGone(c, "report")
	for _, id := range []string{"kept", "held", "young"} {
		if _, err := svc.Task(t.Context(), id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	all := archives(t, dir)
	if len(all) != 1 {
		t.Errorf("%d trees are archived", len(all))
	}
	got := sorted(all["report"])
	if got.tree == nil || got.tree.ID != "report" || got.tree.UserID != "amy" || got.tree.Namespace != "default" || got.tree.Tasks != 3 || got.tree.Failed != 1 || got.tree.Labels["team"] != "a" || got.tree.FinishedAt == nil ||
		got.tree.DueAt == nil || !got.tree.DueAt.Equal(status.Due) || got.tree.LateAt == nil || !got.tree.LateAt.Equal(status.Late) {
		t.Errorf("the tree: %+v", got.tree)
	}
	for id, want := range stored {
		task := got.tasks[id]
		if task == nil {
			t.Errorf("%s is missing", id)
			continue
		}
		var inputs, result any
		for text, into := range map[string]*any{string(task.Inputs): &inputs, string(want.Result): &result} {
			if text != "" {
				if err := json.Unmarshal([]byte(text), into); err != nil {
					t.Errorf("%s: %v", id, err)
				}
			}
		}
		var compact bytes.Buffer
		if want.Result != nil {
			_ = json.Compact(&compact, want.Result)
		}
		if task.Name != want.Name || task.State != want.State.String() || task.Executor != "leaver" || string(task.Result) != compact.String() || task.Error != want.Error || task.FinishedAt == nil || len(task.Dependencies) != len(want.Dependencies) || inputs == nil {
			t.Errorf("%s: got %+v, want %+v", id, task, want)
		}
	}
	if task := got.tasks["part"]; task != nil && (task.ParentID != "report" || string(task.Inputs) != `{"word":"<part>"}` || string(task.Custom) != `{"note":"mine"}` || task.Outcome != "success") {
		t.Errorf("part: %+v", task)
	}
	if task := got.tasks["report"]; task != nil && (task.Dependencies[0].ID != "part" || !task.Dependencies[0].Required || task.Dependencies[1].Required) {
		t.Errorf("edges: %+v", task.Dependencies)
	}
	if len(got.attempts) != 4 || got.end == nil || got.end.Tasks != 3 || got.end.Attempts != 4 || got.end.Events != len(got.events) {
		t.Errorf("%d attempts, end %+v", len(got.attempts), got.end)
	}
	failed := 0
	for _, a := range got.attempts {
		if a.Outcome == "failed" && a.Error == "it failed with bad" {
			failed++
		}
	}
	if failed != 1 { // the last one's error is with its task
		t.Errorf("attempts: %+v", got.attempts)
	}
	if len(got.events) < 6 || got.events[0] != "execution" || got.events[len(got.events)-1] != "final" {
		t.Errorf("events: %v", got.events)
	}
	if !strings.Contains(strings.Join(got.logs, "\n"), "it says <part>") {
		t.Errorf("logs: %v", got.logs)
	}
	names := 0
	for _, f := range got.files {
		if f.Kind == "file" && f.Name == "1.txt" && f.Size > 1<<19 && len(f.SHA256) == 64 {
			names++
		}
	}
	if names != 4 {
		t.Errorf("files: %d of %d", names, len(got.files))
	}
}

// TestWhatCantBeArchivedStays: without its store nothing is deleted, a diagnosis says so, and once the store is back what waited goes; one bad tree holds up no others.
func TestWhatCantBeArchivedStays(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "archive")
	c := cluster.Start(t, cluster.Options{Coordinator: archivesTo(dir, nil)})
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // no folder can be made there
		t.Fatal(err)
	}
	var roots []string
	for i := range 5 {
		roots = append(roots, fmt.Sprint("tree", i))
		c.Submit(coordinator.SubmitOptions{}, noop(roots[i], ""))
		c.Settled(roots[i])
	}
	old(t, c, roots...)
	conn, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	c.Eventually("all have been tried", func() error {
		var n int
		if err := conn.QueryRow(t.Context(), "select count(*) from keeping where look_at > now()").Scan(&n); err != nil || n != len(roots) {
			return fmt.Errorf("%d of %d, %w", n, len(roots), err)
		}
		return nil
	})
	for _, id := range roots {
		if _, err := c.Service().Task(t.Context(), id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	found := func() string {
		var texts []string
		d, err := c.Service().Diagnose(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range d.Findings {
			if f.Check == "archive" {
				texts = append(texts, fmt.Sprint(f.Severity, " ", f.Found))
			}
		}
		return strings.Join(texts, "\n")
	}
	if got := found(); !strings.Contains(got, "can't be used") {
		t.Errorf("a diagnosis says %q", got)
	}
	if err := errors.Join(os.Remove(dir), os.Mkdir(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	if got := found(); !strings.Contains(got, "5 trees are not archived") {
		t.Errorf("once it is back, a diagnosis says %q", got)
	}
	// One whose owner's folder can't be made holds up no others.
	bad := archive.Folder("default", archive.DayOf(time.Now()), archive.OwnerOf("default", "amy"))
	if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, bad)), 0o700), os.WriteFile(filepath.Join(dir, bad), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	c.Submit(coordinator.SubmitOptions{UserID: "amy"}, noop("bad", ""))
	c.Settled("bad")
	old(t, c, append(roots, "bad")...)
	for _, id := range roots {
		isGone(c, id)
	}
	if _, err := c.Service().Task(t.Context(), "bad"); err != nil {
		t.Errorf("what can't be archived: %v", err)
	}
	c.Eventually("it is tried later", func() error {
		var left int
		if err := conn.QueryRow(t.Context(), "select count(*) from keeping where look_at > now() + interval '5 minutes'").Scan(&left); err != nil || left != 1 {
			return fmt.Errorf("%d rows, %w", left, err)
		}
		return nil
	})
	if err := os.Remove(filepath.Join(dir, bad)); err != nil {
		t.Fatal(err)
	}
	if n := len(archives(t, dir)); n != len(roots) {
		t.Errorf("%d trees are archived", n)
	}
	old(t, c, "bad")
	isGone(c, "bad")
}

// TestSealedValuesStaySealedInTheArchive: nothing of what was sealed is in the clear there.
func TestSealedValuesStaySealedInTheArchive(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := cluster.Start(t, cluster.Options{Executors: func() []executors.Executor { return []executors.Executor{leaver{}} },
		Coordinator: archivesTo(dir, func(cfg *config.Coordinator) { cfg.SealKey, cfg.SealValues = config.Secret(sealed.NewKey()), true })})
	c.Eventually("values are sealed", func() error {
		if !c.Coordinators[0].P.Store.SealsValues() {
			return errors.New("not yet")
		}
		return nil
	})
	const word = "canary"
	c.Submit(coordinator.SubmitOptions{}, &dag.Task{ID: "secret", Name: "secret", Executor: "leaver", Inputs: json.RawMessage(`{"word":"canary"}`)})
	c.Settled("secret")
	old(t, c, "secret")
	isGone(c, "secret")
	lines := archives(t, dir)["secret"]
	text, err := json.Marshal(lines)
	if err != nil || len(lines) == 0 || bytes.Contains(text, []byte(word)) {
		t.Errorf("got %s, %v", text, err)
	}
	if task := sorted(lines).tasks["secret"]; task == nil || len(task.SealedInputs) == 0 || len(task.SealedResult) == 0 || task.Inputs != nil || task.Result != nil {
		t.Errorf("got %+v", task)
	}
}

// TestAnErasureErasesArchivedTrees: those of the user, and no others; later ones stay.
func TestAnErasureErasesArchivedTrees(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := cluster.Start(t, cluster.Options{Coordinator: archivesTo(dir, nil)})
	svc := c.Service()
	for id, user := range map[string]string{"amy1": "amy", "amy2": "amy", "bob1": "bob", "nobody1": ""} {
		c.Submit(coordinator.SubmitOptions{UserID: user}, noop(id, ""))
		c.Settled(id)
	}
	old(t, c, "amy1", "amy2", "bob1", "nobody1")
	for _, id := range []string{"amy1", "amy2", "bob1", "nobody1"} {
		isGone(c, id)
	}
	c.Submit(coordinator.SubmitOptions{UserID: "amy"}, noop("amy3", ""))
	c.Settled("amy3")
	var unfinished []string // by coordinators that were killed: of amy and of bob
	for _, user := range []string{"amy", "bob"} {
		w, err := archive.OpenFolder(dir).CreateObject(t.Context(), archive.Name{Namespace: "default", Day: archive.DayOf(time.Now()), Owner: archive.OwnerOf("default", user), Tree: "x", Number: 1}.Key())
		if err == nil {
			_, err = w.Write([]byte("of " + user))
		}
		if err != nil {
			t.Fatal(err)
		}
		unfinished = append(unfinished, w.(interface{ Name() string }).Name())
	}
	spec := coordinator.EraseSpec{UserID: "amy"}
	preview := spec
	preview.Preview = true
	if p, err := svc.Erase(t.Context(), preview); err != nil || p.Counts["archived_trees"] != 2 || p.Counts["trees"] != 1 {
		t.Errorf("preview: got %+v, %v", p, err)
	}
	e, err := svc.Erase(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	c.Eventually("it is done", func() error {
		if e, err = svc.Erasure(t.Context(), e.ID); err == nil && e.FinishedAt.IsZero() {
			err = errors.New(e.Step)
		}
		return err
	})
	if e.Counts["archived_trees"] != 2 || e.Counts["trees"] != 1 {
		t.Errorf("counted %v", e.Counts)
	}
	if _, err := os.Stat(unfinished[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was half written of amy's is there: %v", err)
	}
	if _, err := os.Stat(unfinished[1]); err != nil {
		t.Errorf("what was half written of bob's: %v", err)
	}
	all := archives(t, dir)
	if len(all) != 2 || all["bob1"] == nil || all["nobody1"] == nil {
		t.Errorf("%d trees are archived", len(all))
	}
}
