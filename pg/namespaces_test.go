package pg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// TestNoNamespaceWhileAnOlderProcessLives: one beside default is refused with the name of the process.
func TestNoNamespaceWhileAnOlderProcessLives(t *testing.T) {
	t.Parallel()
	s, _ := openBelow(t)
	s.SetLevels(dag.AllLevels, "0.8.0")
	must(t, announce(t.Context(), s, "old", dag.EditLevel))
	_, err := s.CreateNamespace(t.Context(), "team-a", "", Quotas{})
	if _, ok := errors.AsType[*dag.LevelError](err); !ok || !strings.Contains(err.Error(), `coordinator "old"`) {
		t.Fatalf("beside an older coordinator: got %v", err)
	}
	must(t, s.LeaveCoordinator(t.Context(), "old"))
	register(t, s, "slow", dag.EditLevel)
	if _, err := s.CreateNamespace(t.Context(), "team-a", "", Quotas{}); err == nil || !strings.Contains(err.Error(), `worker "slow"`) {
		t.Fatalf("beside an older worker: got %v", err)
	}
	if _, err := s.NamespaceByName(t.Context(), "team-a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("it was made: %v", err)
	}
}

// TestNamespacesCameLater: what was stored before there were namespaces is of default, and an older coordinator's statements find and store it.
func TestNamespacesCameLater(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	do := func(statement string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	do("create table migration (name text primary key, at timestamptz not null default now())")
	files, err := fs.ReadDir(migrations, "migrations")
	must(t, err)
	for _, f := range files {
		if f.Name() >= "0021" {
			break
		}
		text, err := fs.ReadFile(migrations, "migrations/"+f.Name())
		must(t, err)
		do(string(text))
		do("insert into migration (name) values ('" + f.Name() + "')")
	}
	older := func(key int, id string) {
		t.Helper()
		do(fmt.Sprintf("insert into tree (key, root, root_id, name, tasks, leaves, held, unfinished) values (%d, %d::bigint << 24, '%s', 'n', 1, 1, 1, 0)", key, key, id))
		do(fmt.Sprintf("insert into spec (key, id, parent, name, executor) values (%d::bigint << 24, '%s', -1, 'n', 'e')", key, id))
		do(fmt.Sprintf("insert into task (key, state, flags, priority, pool, remaining) values (%d::bigint << 24, 0, 1, 2, 1, 0)", key))
		do(fmt.Sprintf(`insert into submission (key, tree, digest, canonical) values ('k%d', %d, '\x00', '\x00')`, key, key))
	}
	older(1, "before")
	must(t, Migrate(t.Context(), url))
	older(2, "since")
	s, err := Open(t.Context(), Config{URL: url})
	must(t, err)
	defer s.Close()
	for i, id := range []string{"before", "since"} {
		if k, err := s.KeyOf(t.Context(), dag.DefaultNamespaceKey, id); err != nil || k.Tree() != dag.TreeKey(i+1) {
			t.Errorf("%s: got %d, %v", id, k, err)
		}
		if list, err := s.TasksWithPrefix(t.Context(), dag.DefaultNamespaceKey, id[:3], "", 5); err != nil || len(list) != 1 {
			t.Errorf("%s by its beginning: got %+v, %v", id, list, err)
		}
	}
	for what, statement := range map[string]string{
		"an id":              "insert into spec (key, id, parent, name, executor) values (7, 'before', -1, 'n', 'e')",
		"an idempotency key": `insert into submission (key, tree, digest) values ('k1', 3, '\x00')`,
	} {
		constraint := map[string]string{"an id": "spec_id", "an idempotency key": "submission_pkey"}[what]
		if _, err := conn.Exec(t.Context(), statement); !isUnique(err, constraint) {
			t.Errorf("%s twice: got %v, want what older coordinators go by", what, err)
		}
	}
	n, err := s.NamespaceByKey(t.Context(), dag.DefaultNamespaceKey)
	if err != nil || n.Name != "default" {
		t.Errorf("default is %+v, %v", n, err)
	}
}

// TestRandomCallsStayInTheirNamespaces: two namespaces and default that submit, copy and delete trees with few ids, all at once, each have what a
// model of one namespace has.
func TestRandomCallsStayInTheirNamespaces(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	s.SetLevels(dag.AllLevels, "0.8.0")
	spaces := []dag.NamespaceKey{dag.DefaultNamespaceKey}
	for _, name := range []string{"a", "b"} {
		n, err := s.CreateNamespace(t.Context(), name, "", Quotas{})
		must(t, err)
		spaces = append(spaces, n.Key)
	}
	seed := rand.Uint64()
	var all sync.WaitGroup
	for i, space := range spaces {
		all.Go(func() { randomCalls(t, s, space, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	all.Wait()
	if t.Failed() {
		t.Logf("seed %d", seed)
	}
}

// randomCalls makes calls in a namespace, and compares what is found there with what it stored.
func randomCalls(t *testing.T, s *Store, space dag.NamespaceKey, r *rand.Rand) {
	have := map[string]dag.TreeKey{} // by root
	for range 60 {
		id := fmt.Sprint("r", r.IntN(6))
		switch _, taken := have[id]; r.IntN(4) {
		case 0, 1:
			sub := smallTree(id)
			sub.Hold = true
			out, err := s.Submit(t.Context(), space, sub)
			if err != nil || taken != (out.IDMap[id] != "") {
				t.Errorf("namespace %d: submit %s, taken: %t: %+v, %v", space, id, taken, out, err)
				return
			}
			have[out.RootID] = out.Tree
		case 2:
			if !taken {
				continue
			}
			out, err := s.Copy(t.Context(), Copying{Namespace: space, Target: have[id].Key(0), Known: func(string) bool { return true }})
			if err != nil {
				t.Errorf("namespace %d: copy %s: %v", space, id, err)
				return
			}
			have[out.RootID] = out.Tree
		case 3:
			if !taken {
				continue
			}
			if _, _, err := s.Delete(t.Context(), have[id].Key(0), DeleteOptions{Force: true}); err != nil {
				t.Errorf("namespace %d: delete %s: %v", space, id, err)
				return
			}
			delete(have, id)
		}
		if fault := compare(t.Context(), s, space, have); fault != "" {
			t.Errorf("namespace %d: %s", space, fault)
			return
		}
	}
}

// compare says where what is found in a namespace is not what it has.
func compare(ctx context.Context, s *Store, space dag.NamespaceKey, have map[string]dag.TreeKey) string {
	want := slices.Sorted(maps.Keys(have))
	trees, err := s.Trees(ctx, space, 0, "", 1000, 1000)
	if err != nil {
		return err.Error()
	}
	var got []string
	for _, tree := range trees {
		got = append(got, tree.ID)
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		return fmt.Sprintf("its trees are %v, want %v", got, want)
	}
	page, err := s.Tasks(ctx, space, 1<<62, 0, 10_000, Filter{Limit: 1000})
	if err != nil {
		return err.Error()
	}
	got = nil
	for _, task := range page.Tasks {
		if task.Namespace != space {
			return "a task of another namespace: " + task.ID
		}
		if task.Parent < 0 {
			got = append(got, task.ID)
		}
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		return fmt.Sprintf("its roots among all tasks are %v, want %v", got, want)
	}
	for i := range 6 {
		id := fmt.Sprint("r", i)
		key, err := s.KeyOf(ctx, space, id)
		if tree, there := have[id]; there != (err == nil) || there && key.Tree() != tree {
			return fmt.Sprintf("%s is %d, %v, want %d", id, key, err, tree)
		}
	}
	return ""
}

// TestADeletionMeetsSubmissions: of submissions that meet the closing of their namespace, each is stored before, or refused.
func TestADeletionMeetsSubmissions(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	s.SetLevels(dag.AllLevels, "0.8.0")
	n, err := s.CreateNamespace(t.Context(), "short", "", Quotas{})
	must(t, err)
	var all sync.WaitGroup
	refused, stored := 0, 0
	var mu sync.Mutex
	for i := range 20 {
		all.Go(func() {
			sub := smallTree(fmt.Sprint("s", i))
			sub.Hold = true
			_, err := s.Submit(t.Context(), n.Key, sub)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				stored++
			case errors.Is(err, ErrNoNamespace):
				refused++
			default:
				t.Error(err)
			}
		})
	}
	closed := s.CloseNamespace(t.Context(), n.Key, false) // none, or all, may be there by now
	must(t, s.closeAnyway(t, n.Key, closed))
	all.Wait()
	trees, err := s.Trees(t.Context(), n.Key, 0, "", 100, 1000)
	if err != nil || len(trees) != stored || stored+refused != 20 {
		t.Fatalf("%d trees, %v; %d were stored and %d refused", len(trees), err, stored, refused)
	}
	for _, tree := range trees {
		_, _, err := s.Delete(t.Context(), tree.Key.Key(0), DeleteOptions{Force: true})
		must(t, err)
	}
	if gone, err := s.DropNamespace(t.Context(), n.Key); !gone || err != nil {
		t.Errorf("it stays: %v", err)
	}
	sub := smallTree("late")
	if _, err := s.Submit(t.Context(), n.Key, sub); !errors.Is(err, ErrNoNamespace) {
		t.Errorf("a tree of a namespace that is gone: got %v", err)
	}
}

// closeAnyway closes a namespace by force unless it is closed.
func (s *Store) closeAnyway(t *testing.T, key dag.NamespaceKey, closed error) error {
	t.Helper()
	if errors.Is(closed, ErrNotEmpty) {
		return s.CloseNamespace(t.Context(), key, true)
	}
	return closed
}
