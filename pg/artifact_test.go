package pg

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// putOf is a content of the attempt, and the reference to it.
func putOf(t *testing.T, s *Store, k dag.Key, attempt int32, seed byte) (id [16]byte, a *Artifact) {
	t.Helper()
	id = [16]byte{seed, byte(k), byte(attempt), byte(time.Now().UnixNano())}
	if err := s.OpenContent(t.Context(), NewContent{ID: id, Task: k, Attempt: attempt, Size: 10, Block: 1 << 20}, ArtifactBounds{}); err != nil {
		t.Fatal(err)
	}
	return id, &Artifact{Task: k, Attempt: attempt, Kind: ArtifactFile, Number: int32(seed), Size: 10, Name: "f", MediaType: "text/plain", Digest: make([]byte, 32)}
}

// openTree is a store with a tree of some ready tasks, whose attempts are open.
func openTree(t *testing.T) (*Store, dag.TreeKey) {
	t.Helper()
	s, _ := openStore(t)
	out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, copiedChain("a", 3))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(t.Context(), "update task set worker = 1 where key >= $1 and key < $2", out.Tree.Key(0), out.Tree.Key(100)); err != nil {
		t.Fatal(err)
	}
	return s, out.Tree
}

func rows(t *testing.T, s *Store, what string) (n int) {
	t.Helper()
	if err := s.pool.QueryRow(t.Context(), "select count(*) from "+what).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// dueTwice gives the contents that are to be deleted two hours later.
func dueTwice(t *testing.T, s *Store) (spare, last []Content) {
	t.Helper()
	if _, err := s.pool.Exec(t.Context(), "update content set look_at = now() - interval '1 s', created_at = now() - interval '2 hours'"); err != nil {
		t.Fatal(err)
	}
	spare, last, _, err := s.SpareContents(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	return spare, last
}

// What a worker or a coordinator that died has left behind is found, and no earlier than nobody can end it.
func TestContentsThatNobodyEndsAreSwept(t *testing.T) {
	t.Parallel()
	s, tree := openTree(t)
	k := tree.Key(0)
	id, a := putOf(t, s, k, 1, 1)
	due := func() []Content {
		t.Helper()
		spare, last := dueTwice(t, s)
		return append(spare, last...)
	}
	if spare := due(); len(spare) != 0 {
		t.Errorf("while its attempt is open: %v", spare)
	}
	if _, err := s.pool.Exec(t.Context(), "update task set attempt = 2 where key = $1", k); err != nil { // the worker was lost
		t.Fatal(err)
	}
	if spare := due(); len(spare) != 1 || spare[0].ID != id {
		t.Errorf("once it is over: %v", spare)
	}
	if err := s.AddArtifact(t.Context(), a, id, []byte("root"), make([]byte, 32), false); !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrAttemptOver) {
		t.Errorf("its late end: %v", err)
	}
	if spare, last := dueTwice(t, s); len(spare) != 0 || len(last) != 1 { // who was to delete it died, too
		t.Errorf("again: %v, %v", spare, last)
	} else if err := s.ForgetContents(t.Context(), last); err != nil || rows(t, s, "content") != 0 {
		t.Errorf("forgotten: %v, %d rows", err, rows(t, s, "content"))
	}
	if rows(t, s, "artifact") != 0 {
		t.Error("a reference is left")
	}
}

// A reference that comes twice, as its answer was lost, is one, and so are two of the same content.
func TestTheSameContentIsStoredOnce(t *testing.T) {
	t.Parallel()
	s, tree := openTree(t)
	first, a := putOf(t, s, tree.Key(0), 1, 1)
	second, b := putOf(t, s, tree.Key(1), 1, 2)
	for range 2 {
		if err := s.AddArtifact(t.Context(), a, first, []byte("root"), make([]byte, 32), false); err != nil {
			t.Fatal(err)
		}
		if err := s.AddArtifact(t.Context(), b, second, []byte("root"), make([]byte, 32), false); err != nil {
			t.Fatal(err)
		}
	}
	if stored, refs := rows(t, s, "content where state = 1"), rows(t, s, "artifact a join content c on c.key = a.content and c.state = 1"); stored != 1 || refs != 2 {
		t.Errorf("%d contents, %d references", stored, refs)
	}
	got, err := s.FindArtifact(t.Context(), tree, make([]byte, 32), 10)
	if err != nil || got.Content == nil || got.Content.ID != first {
		t.Errorf("found %+v, %v", got, err)
	}
	foreign, c := putOf(t, s, tree.Key(0), 1, 3)
	c.Task = tree.Key(1)
	if err := s.AddArtifact(t.Context(), c, foreign, []byte("other"), make([]byte, 32), false); !errors.Is(err, ErrNotFound) {
		t.Errorf("another attempt's content: %v", err)
	}
}

// While the sweeper looks at a content, new references to it come: it is never deleted under one.
func TestSweepAgainstNewReferences(t *testing.T) {
	t.Parallel()
	s, tree := openTree(t)
	for round := range 30 {
		root := []byte{byte(round)}
		first, a := putOf(t, s, tree.Key(0), 1, byte(2*round))
		if err := s.AddArtifact(t.Context(), a, first, root, make([]byte, 32), false); err != nil {
			t.Fatal(err)
		}
		if _, err := s.pool.Exec(t.Context(), sql("DeleteArtifacts"), tree.Key(0), tree.Key(1)); err != nil {
			t.Fatal(err)
		}
		second, b := putOf(t, s, tree.Key(1), 1, byte(2*round+1))
		var both sync.WaitGroup
		var spare []Content
		var swept, added error
		both.Go(func() { spare, _, _, swept = s.SpareContents(t.Context(), 10) })
		both.Go(func() { added = s.AddArtifact(t.Context(), b, second, root, make([]byte, 32), false) })
		both.Wait()
		if swept != nil || added != nil {
			t.Fatal(swept, added)
		}
		if err := s.ForgetContents(t.Context(), spare); err != nil {
			t.Fatal(err)
		}
		if n := rows(t, s, "artifact a where not exists (select from content c where c.key = a.content and c.state = 1)"); n != 0 {
			t.Fatalf("round %d: %d references lead nowhere", round, n)
		}
	}
}

// An owner has no more than may be, what is being put included; nobody else is held up.
func TestArtifactsAreBounded(t *testing.T) {
	t.Parallel()
	s, tree := openTree(t)
	bounds := ArtifactBounds{Bytes: 25, Number: 3}
	open := func(seed byte) error {
		return s.OpenContent(t.Context(), NewContent{ID: [16]byte{seed}, Task: tree.Key(0), Attempt: 1, Size: 10, Block: 1 << 20}, bounds)
	}
	for seed := range byte(2) {
		if err := errors.Join(open(seed), open(seed)); err != nil { // repeated
			t.Errorf("%d: %v", seed, err)
		}
	}
	if err := open(2); !errors.Is(err, ErrArtifactBound) || rows(t, s, "content") != 2 {
		t.Errorf("over the bound: %v", err)
	}
	small := &Artifact{Task: tree.Key(0), Attempt: 1, Kind: ArtifactFile, Size: 30, Name: "f", Digest: make([]byte, 32)}
	if err := s.AddInline(t.Context(), small, make([]byte, 30), bounds); !errors.Is(err, ErrArtifactBound) || rows(t, s, "artifact") != 0 {
		t.Errorf("a small one over the bound: %v", err)
	}
	if err := s.OpenContent(t.Context(), NewContent{ID: [16]byte{9}, Task: tree.Key(0), Attempt: 7, Size: 1, Block: 1 << 20}, bounds); !errors.Is(err, ErrAttemptOver) {
		t.Errorf("of an attempt that is over: %v", err)
	}
}

// The bounds hold, too, where all of an owner's requests come at once.
func TestArtifactsAreBoundedUnderRaces(t *testing.T) {
	t.Parallel()
	s, tree := openTree(t)
	bounds := ArtifactBounds{Bytes: 100, Number: 12}
	var all sync.WaitGroup
	var taken, refused atomic.Int64
	for seed := range byte(40) {
		all.Go(func() {
			var err error
			if seed%2 == 0 {
				err = s.OpenContent(t.Context(), NewContent{ID: [16]byte{seed}, Task: tree.Key(int(seed) % 3), Attempt: 1, Size: 9, Block: 1 << 20}, bounds)
			} else {
				err = s.AddInline(t.Context(), &Artifact{Task: tree.Key(int(seed) % 3), Attempt: 1, Kind: ArtifactFile, Number: int32(seed), Size: 9, Name: "f", Digest: make([]byte, 32)}, make([]byte, 9), bounds)
			}
			switch {
			case err == nil:
				taken.Add(1)
			case errors.Is(err, ErrArtifactBound):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := rows(t, s, "content") + rows(t, s, "artifact"); n != 11 || taken.Load() != 11 || refused.Load() != 29 {
		t.Errorf("%d are there, %d were taken, %d refused; want 11 of 9 bytes", n, taken.Load(), refused.Load())
	}
}

// References of trees that are gone are found, wherever they are among those of others.
func TestStrayArtifactsAreFound(t *testing.T) {
	t.Parallel()
	s, tree := openTree(t)
	if _, err := s.pool.Exec(t.Context(), `insert into artifact (task, attempt, kind, number, namespace, user_id, size, name, media_type, tag, data)
		select $1::bigint + n / 700, 1, 1, n % 700, 1, '', 1, 'f', '', '\x00'::bytea, '\x00'::bytea from generate_series(0, 2099) n
		union all select ((99999 + n)::bigint << 24), 1, 1, 0, 1, '', 1, 'f', '', '\x00'::bytea, '\x00'::bytea from generate_series(0, 9) n`, tree.Key(0)); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if err := s.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := rows(t, s, "artifact"); n != 2100 {
		t.Errorf("%d references are left, want the 2100 of the tree that is there", n)
	}
}

// Logs of an owner who has as much as may be are left out; those of others that came with them are kept, and none goes for another's.
func TestLogsOfANoisyOwnerEvictNobodys(t *testing.T) {
	t.Parallel()
	s, quiet := openTree(t)
	out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, copiedChain("noisy", 3))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(t.Context(), "update tree set user_id = 'noisy' where key = $1", out.Tree); err != nil {
		t.Fatal(err)
	}
	const bound = 1000
	for round := range int32(20) {
		logs := []ArchivedLog{{Task: out.Tree.Key(int(round) % 3), Attempt: round + 1, Data: make([]byte, 300)}, {Task: quiet.Key(int(round) % 3), Attempt: round + 1, Data: make([]byte, 10)}}
		for range 2 { // repeated
			if err := s.AddLogs(t.Context(), logs, bound); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := rows(t, s, "artifact where user_id = 'noisy'"); n != 4 { // the one that exceeds the bound is the last
		t.Errorf("%d logs of the noisy one are kept", n)
	}
	if n := rows(t, s, "artifact where user_id = ''"); n != 20 {
		t.Errorf("%d logs of the other one are kept", n)
	}
}
