package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

const (
	makers     = 3
	eachKeeps  = 3
	sharedSeed = 7 // of a file that all trees have
)

// keeps submits a tree of tasks that save files, and of one that reads them all.
func (s *site) keeps(root string, number int) {
	s.t.Helper()
	retry := dag.RetryPolicy{MaxAttempts: 10, InitialDelay: 1e6, MaxDelay: 2e7}
	reader := &dag.Task{ID: root + "-reader", Name: "reader", ParentRef: root, Executor: KeepingID, Pool: Pools[1], Inputs: []byte(`{}`), Retry: retry}
	all := []*dag.Task{{ID: root, Name: root}}
	for i := range makers {
		id := fmt.Sprintf("%s-%d", root, i)
		files := []KeptFile{{"small", uint64(1000*number + i), 100}, {"shared", sharedSeed, 600 << 10}, {"large", uint64(1000*number + 100 + i), 1<<20 + 1<<19 + 5}}
		inputs, _ := json.Marshal(map[string]any{"files": files, "lines": 20})
		all = append(all, &dag.Task{ID: id, Name: id, ParentRef: root, Executor: KeepingID, Pool: Pools[i%len(Pools)], Inputs: inputs, Retry: retry})
		reader.Dependencies = append(reader.Dependencies, dag.Dependency{Ref: id})
	}
	if _, err := s.front.Submit(s.t.Context(), coordinator.SubmitOptions{IdempotencyKey: root}, each(append(all, reader))); err != nil {
		s.t.Fatal(err)
	}
}

// kept waits until the tree has completed, and compares all that it saved with what a client gets.
func (s *site) kept(root string) {
	s.t.Helper()
	eventually(s.t, root+" ends", func() error { return settled(s.t.Context(), s.front, root) })
	got, err := s.front.Task(s.t.Context(), root+"-reader")
	if err != nil {
		s.t.Fatal(err)
	}
	var reader kept
	if err := json.Unmarshal(got.Result, &reader); err != nil || got.State != dag.Completed || reader.Read != makers*eachKeeps {
		s.t.Errorf("%s: the reader: %v, %s, %s", root, got.State, got.Result, got.Error)
	}
	for i := range makers {
		id := fmt.Sprintf("%s-%d", root, i)
		made, err := s.front.Task(s.t.Context(), id)
		if err != nil {
			s.t.Fatal(err)
		}
		var result kept
		if err := json.Unmarshal(made.Result, &result); err != nil || len(result.Artifacts) != eachKeeps {
			s.t.Errorf("%s: %v, %s, %s", id, made.State, made.Result, made.Error)
		}
		for j, file := range result.Files {
			opened, err := s.front.OpenArtifact(s.t.Context(), coordinator.ArtifactQuery{TaskID: id, Name: file.Name})
			if err != nil {
				s.t.Errorf("%s: %s: %v", id, file.Name, err)
				continue
			}
			content, err := io.ReadAll(opened)
			if err != nil || !bytes.Equal(content, file.Content()) || opened.SHA256 != result.Artifacts[j].SHA256 {
				s.t.Errorf("%s: %s has %d bytes, %v", id, file.Name, len(content), err)
			}
		}
	}
}

// later makes all contents due that may not be needed, as if two hours had passed.
func (s *site) later() {
	s.t.Helper()
	s.exec("update content set look_at = now() - interval '1 s', created_at = created_at - interval '2 hours' where look_at is not null")
}

func (s *site) exec(statement string) {
	s.t.Helper()
	if err := s.db(func(c *pgx.Conn) error { _, err := c.Exec(s.t.Context(), statement); return err }); err != nil {
		s.t.Fatal(err)
	}
}

// blocks is how many blocks are stored.
func blocks(t *testing.T, js jetstream.JetStream) int {
	t.Helper()
	stream, err := js.Stream(t.Context(), "TG_ARTIFACTS")
	if err != nil {
		t.Fatal(err)
	}
	return int(stream.CachedInfo().State.Msgs)
}

// needed is how many blocks contents have that something refers to.
func (s *site) needed() int {
	s.t.Helper()
	return s.count("select coalesce(sum(greatest(1, (size + block - 1) / block)), 0) from content c where state = 1 and exists (select from artifact a where a.content = c.key)")
}

// swept has coordinators, which sweep when they start, delete what nothing needs; then nothing else is there.
func (s *site) swept() {
	s.t.Helper()
	js := s.jetstream()
	looks := 100
	eventually(s.t, "only what is needed is stored", func() error {
		s.later()
		p := s.start(CoordinatorRole, "")
		var err error
		looks *= 2        // the machine may be slow
		for range looks { // it sweeps at once
			stale, blocks, needed := s.count("select count(*) from content where state <> 1"), blocks(s.t, js), s.needed()
			if err = nil; stale > 0 || blocks != needed {
				err = fmt.Errorf("%d contents are not stored or to be deleted, %d blocks are there and %d are needed", stale, blocks, needed)
			}
			if err == nil || !pause(s.t.Context(), 1e7) {
				break
			}
		}
		return errors.Join(err, p.Stop())
	})
	if n := s.count("select count(*) from artifact a where content is not null and not exists (select from content c where c.key = a.content and c.state = 1)"); n > 0 {
		s.t.Errorf("%d references lead nowhere", n)
	}
}

func (s *site) forget(root string) {
	s.t.Helper()
	eventually(s.t, root+" is deleted", func() error {
		_, err := s.front.Delete(s.t.Context(), root, coordinator.DeleteOptions{Force: true})
		return err
	})
}

// TestKilledAroundArtifacts kills workers and coordinators between every two durable steps of an artifact: a block stored, all of them, the reference, the
// attempt's end; and of its end: the tree deleted, the content dropped, its row forgotten. Whatever a task was told of can be read as long as its tree is there, and
// nothing else stays.
func TestKilledAroundArtifacts(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	spare := s.start(CoordinatorRole, "")
	trees := 0
	next := func() string {
		trees++
		root := fmt.Sprintf("kept%d", trees)
		s.keeps(root, trees)
		return root
	}
	for _, point := range []string{"worker.after-artifact-block=kill@5", "worker.before-artifact-keep=kill@2", "worker.after-artifact-keep=kill@3", "worker.after-artifact-keep=kill@9",
		"worker.before-archive=kill"} {
		victim := s.start(WorkerRole, point)
		root := next()
		s.dies(victim)
		heir := s.start(WorkerRole, "")
		s.kept(root)
		if err := heir.Stop(); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		s.start(WorkerRole, "")
	}
	for _, point := range []string{"coordinator.after-artifact-block=kill@3", "coordinator.before-artifact-commit=kill@2", "coordinator.after-artifact-commit=kill@2",
		"coordinator.before-settle-commit=kill", "coordinator.after-settle-commit=kill", "coordinator.before-logs-commit=kill"} {
		victim := s.start(CoordinatorRole, point)
		if err := spare.Stop(); err != nil {
			t.Errorf("%s: %v", spare.Settings.Name, err)
		}
		root := next()
		s.dies(victim)
		spare = s.start(CoordinatorRole, "")
		s.kept(root)
	}
	if err := spare.Stop(); err != nil {
		t.Error(err)
	}
	s.swept()

	// A content that is being read is gone: the reader is told so, and is given nothing else.
	reading, err := s.front.OpenArtifact(t.Context(), coordinator.ArtifactQuery{TaskID: "kept1-0", Name: "large"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, reading, 1000); err != nil {
		t.Fatal(err)
	}
	s.forget("kept1")
	s.swept()
	if n, err := io.Copy(io.Discard, reading); err == nil || n > 1<<20 {
		t.Errorf("a deleted content gave %d bytes more, %v", n, err)
	}

	const left = 4
	for n := 2; n <= trees-left; n++ {
		s.forget(fmt.Sprintf("kept%d", n))
	}
	for _, point := range []string{"coordinator.before-artifact-drop=kill", "coordinator.before-artifact-drop=kill@4", "coordinator.after-artifact-drop=kill"} {
		s.later()
		s.dies(s.launch(CoordinatorRole, point))
	}
	s.swept()
	for n := trees - left + 1; n <= trees; n++ {
		s.kept(fmt.Sprintf("kept%d", n))
		s.forget(fmt.Sprintf("kept%d", n))
	}
	s.swept()
	if n := s.count("select count(*) from content") + s.count("select count(*) from artifact") + blocks(t, s.jetstream()); n > 0 {
		t.Errorf("%d rows and blocks are left of nothing", n)
	}
}

// TestAFrozenWorkersBlocksAreNotLeft freezes a worker while it sends a file, until its attempt is another's and what it sent is swept. What it sends when it
// goes on is refused, and leaves nothing.
func TestAFrozenWorkersBlocksAreNotLeft(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	spare := s.start(CoordinatorRole, "")
	frozen := s.start(WorkerRole, "worker.after-artifact-block=stop@2")
	s.keeps("kept1", 1)
	eventually(t, "it is frozen", func() error {
		if n := s.count("select count(*) from content where state = 0"); n == 0 {
			return errors.New("it sends nothing")
		}
		if !frozen.stopped() {
			return errors.New("it runs")
		}
		return nil
	})
	s.start(WorkerRole, "")
	s.kept("kept1")
	if err := spare.Stop(); err != nil {
		t.Error(err)
	}
	s.swept()
	s.start(CoordinatorRole, "")
	if err := frozen.Thaw(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has given up", func() error {
		if n := s.count("select count(*) from task where worker is not null"); n > 0 {
			return fmt.Errorf("%d attempts are open", n)
		}
		return frozen.Ready()
	})
	if err := frozen.Stop(); err != nil {
		t.Log(err) // its lease had ended
	}
	s.swept()
	s.kept("kept1")
}
