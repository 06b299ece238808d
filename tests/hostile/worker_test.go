package hostile

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
	"github.com/taskgrove/taskgrove/tests/cluster"
	"github.com/taskgrove/taskgrove/tests/faults"
)

// site is a cluster with a good worker, and a crooked one that alone serves the pool "trap".
type site struct {
	*cluster.Cluster
	t       *testing.T
	crook   *Worker
	other   *Worker // an accomplice, for the same pool
	made    int
	patient context.Context
}

func newSite(t *testing.T) *site {
	t.Helper()
	return newSiteOf(t, "mallory", "trudy")
}

// newSiteOf is [newSite] with other ids for the crooked worker and its accomplice.
func newSiteOf(t *testing.T, crook, other string) *site {
	t.Helper()
	t.Parallel()
	s := &site{t: t, Cluster: cluster.Start(t, cluster.Options{Pools: []string{"noop_executor"}}), patient: t.Context()}
	s.crook, s.other = s.connect(crook), s.connect(other)
	t.Cleanup(func() {
		if err := faults.CheckStore(context.Background(), s.Service()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *site) connect(id string) *Worker {
	s.t.Helper()
	w, err := Connect(s.patient, s.NATS.WorkerURL(id), id, "trap")
	must(s.t, err)
	s.t.Cleanup(w.Conn.Close)
	if reply, err := w.Beat(s.patient, nil); err != nil || reply.Error != "" {
		s.t.Fatalf("first beat: %v, %v", reply, err)
	}
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bait submits a task for the crooked worker's pool, and returns its work.
func (s *site) bait(edit func(*dag.Task)) *workerv1.Work {
	s.t.Helper()
	s.made++
	task := &dag.Task{ID: fmt.Sprintf("bait%d", s.made), Name: "bait", Executor: "noop_executor", Pool: "trap", Priority: dag.Normal}
	if edit != nil {
		edit(task)
	}
	s.Submit(coordinator.SubmitOptions{}, task)
	return s.take(s.crook)
}

func (s *site) take(w *Worker) *workerv1.Work {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.patient, patience)
	defer cancel()
	work, err := w.Take(ctx)
	must(s.t, err)
	return work
}

// claim takes the attempt for the worker.
func (s *site) claim(w *Worker, work *workerv1.Work, want workerv1.Verdict) {
	s.t.Helper()
	s.claimGrant(w, GrantOf(work), want)
}

func (s *site) claimGrant(w *Worker, g *workerv1.Grant, want workerv1.Verdict) {
	s.t.Helper()
	got, err := w.Claim(s.patient, g)
	must(s.t, err)
	if len(got) != 1 || got[0] != want {
		s.t.Fatalf("claim of attempt %d by %s: got %v, want %v", g.Attempt.Number, w.ID, got, want)
	}
}

// good runs a tree of the well-behaved: whatever was sent before it has been dealt with, and harmed nobody.
func (s *site) good() {
	s.t.Helper()
	s.made++
	id := fmt.Sprintf("good%d", s.made)
	root := &dag.Task{ID: id, Name: id, Executor: "noop_executor", Priority: dag.Normal}
	tasks := []*dag.Task{root}
	for i := range 20 {
		child := fmt.Sprintf("%s.%d", id, i)
		tasks = append(tasks, &dag.Task{ID: child, Name: child, ParentRef: id, Executor: "noop_executor", Priority: dag.Normal})
		root.Dependencies = append(root.Dependencies, dag.Dependency{Ref: child})
	}
	began := time.Now()
	s.Submit(coordinator.SubmitOptions{}, tasks...)
	if st := s.Settled(id); st.Completed != len(tasks) {
		s.t.Errorf("a good client's tree: got %+v, want all of %d completed", *st, len(tasks))
	}
	s.t.Logf("a good client's tree took %s", time.Since(began))
}

// is waits until the task has the status, and returns it.
func (s *site) is(work *workerv1.Work, want dag.Status) *coordinator.Task {
	s.t.Helper()
	var task *coordinator.Task
	s.Eventually("status of "+work.TaskId, func() (err error) {
		if task, err = s.Service().Task(s.patient, work.TaskId); err == nil && task.State.Status() != want {
			err = fmt.Errorf("got %s, want %s", task.State.Status(), want)
		}
		return err
	})
	return task
}

const (
	yes = workerv1.Verdict_VERDICT_YES
	no  = workerv1.Verdict_VERDICT_NO
)

// pairs are ids of two workers of which neither is the other's, whatever their accounts are.
var pairs = map[string][2]string{
	"single workers":        {"mallory", "trudy"},
	"members of two groups": {"crooks.mallory", "others.trudy"},
	"members of one group":  {"crooks.mallory", "crooks.trudy"}, // who trust each other; a claim is one's own all the same
}

func TestClaimsAndResultsAreForTheirOwner(t *testing.T) {
	for name, ids := range pairs {
		t.Run(name, func(t *testing.T) { claimsAreForTheirOwner(newSiteOf(t, ids[0], ids[1])) })
	}
}

func claimsAreForTheirOwner(s *site) {
	t := s.t
	work := s.bait(func(task *dag.Task) { task.Retry = dag.RetryPolicy{MaxAttempts: 3, InitialDelay: time.Millisecond} })

	forged := GrantOf(work)
	forged.Token = bytes.Repeat([]byte{7}, 16)
	s.claimGrant(s.crook, forged, no)
	next := proto.Clone(GrantOf(work)).(*workerv1.Grant)
	next.Attempt.Number++ // the token of attempt 1 is none for attempt 2
	s.claimGrant(s.crook, next, no)
	neighbour := proto.Clone(GrantOf(work)).(*workerv1.Grant)
	neighbour.Attempt.Task++
	s.claimGrant(s.crook, neighbour, no)

	s.claim(s.crook, work, yes)
	s.claim(s.crook, work, yes) // may be repeated
	s.claim(s.other, work, no)

	// Results that nobody may send: without the token, with it by another worker, for a task never had.
	wrong := ResultOf(work, `"forged"`)
	wrong.Token = forged.Token
	must(t, s.crook.Report(t.Context(), wrong))
	must(t, s.other.Report(t.Context(), ResultOf(work, `"stolen"`)))
	never := ResultOf(work, `"never had"`)
	never.Attempt = neighbour.Attempt
	must(t, s.other.Report(t.Context(), never))
	s.good()
	if task := s.is(work, dag.StatusInProgress); task.Result != nil {
		t.Errorf("got result %s of nobody's", task.Result)
	}

	// The first attempt fails and is retried: its token is worth nothing then.
	failed := ResultOf(work, "")
	failed.End, failed.Error = &workerv1.Result_Failed{Failed: &workerv1.Failed{}}, "try again"
	must(t, s.crook.Report(t.Context(), failed))
	second := s.take(s.crook)
	if second.Attempt.Number != 2 || bytes.Equal(second.Token, work.Token) {
		t.Fatalf("got attempt %d, same token %v", second.Attempt.Number, bytes.Equal(second.Token, work.Token))
	}
	s.claim(s.crook, work, no) // stale
	s.claim(s.crook, second, yes)
	must(t, s.crook.Report(t.Context(), failed, ResultOf(work, `"replayed"`)))
	s.good()
	if task := s.is(work, dag.StatusInProgress); task.Result != nil {
		t.Errorf("got result %s of the first attempt", task.Result)
	}
	must(t, s.crook.Report(t.Context(), ResultOf(second, `"true"`), ResultOf(second, `"twice"`)))
	if task := s.is(work, dag.StatusCompleted); string(task.Result) != `"true"` {
		t.Errorf("got result %s", task.Result)
	}
	must(t, s.crook.Report(t.Context(), ResultOf(second, `"late"`)))
	s.claim(s.crook, second, no)
	s.good()
	if task := s.is(work, dag.StatusCompleted); string(task.Result) != `"true"` {
		t.Errorf("got result %s after the end", task.Result)
	}
	attempts, err := s.Service().Attempts(t.Context(), work.TaskId)
	if err != nil || len(attempts) != 2 {
		t.Errorf("got %d attempts, %v, want 2", len(attempts), err)
	}
}

func TestSubjectsOfOthersAreClosed(t *testing.T) {
	for name, ids := range pairs {
		if name != "members of one group" {
			t.Run(name, func(t *testing.T) { subjectsAreClosed(newSiteOf(t, ids[0], ids[1]), ids[0], ids[1]) })
		}
	}
}

func subjectsAreClosed(s *site, mallory, trudy string) {
	t := s.t
	refused := make(chan error, 100)
	nc, err := nats.Connect(s.NATS.WorkerURL(mallory), nats.CustomInboxPrefix("tg.inbox."+mallory),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	must(t, err)
	defer nc.Close()
	work := s.bait(nil)
	data, err := proto.Marshal(&workerv1.ClaimRequest{Version: 1, Instance: s.other.Instance, Grants: []*workerv1.Grant{GrantOf(work)}})
	must(t, err)
	for _, subject := range []string{"tg.claim." + trudy, "tg.result." + trudy, "tg.log." + queue.User(trudy) + ".1", "tg.beat.worker-1", "tg.work.trap.0", "tg.news." + trudy} {
		must(t, nc.Publish(subject, data))
		select {
		case err := <-refused:
			if !strings.Contains(err.Error(), "Permissions Violation") {
				t.Errorf("%s: got %v", subject, err)
			}
		case <-time.After(patience):
			t.Errorf("%s: was not refused", subject)
		}
	}
	s.is(work, dag.StatusPending)
	// From its own subject, but with the name of another's instance: it is nobody, and nothing is decided.
	instance := s.crook.Instance
	s.crook.Instance = s.other.Instance
	s.claim(s.crook, work, workerv1.Verdict_VERDICT_UNSPECIFIED)
	s.crook.Instance = instance
	s.claim(s.crook, work, yes)
}

func TestLyingBeats(t *testing.T) {
	s := newSite(t)
	work := s.bait(nil)
	s.claim(s.crook, work, yes)
	listed := func(m *workerv1.Beat) { m.Running = []*workerv1.Attempt{work.Attempt} }

	reply, err := s.other.Beat(t.Context(), listed)
	if err != nil || len(reply.Disowned) != 1 {
		t.Errorf("another's attempt: got %v, %v, want it disowned", reply, err)
	}
	reply, err = s.crook.Beat(t.Context(), listed)
	if err != nil || len(reply.Disowned) != 0 || reply.LeaseMs == 0 {
		t.Errorf("own attempt: got %v, %v", reply, err)
	}

	// A farewell in another's name.
	reply, err = s.other.Beat(t.Context(), func(m *workerv1.Beat) {
		m.Instance, m.Leaving, m.Number = s.crook.Instance, true, math.MaxInt64
	})
	if err != nil || reply.LeaseMs != 0 || reply.Error == "" {
		t.Errorf("another's instance: got %v, %v, want a refusal", reply, err)
	}
	if reply, err = s.crook.Beat(t.Context(), listed); err != nil || reply.LeaseMs == 0 || len(reply.Disowned) != 0 {
		t.Errorf("after a farewell in its name: got %v, %v, want its lease", reply, err)
	}

	many := make([]*workerv1.PoolCapacity, 65)
	for i := range many {
		many[i] = &workerv1.PoolCapacity{Pool: fmt.Sprint("lie", i), Concurrency: 1}
	}
	attempts := make([]*workerv1.Attempt, 250_001)
	for i := range attempts {
		attempts[i] = &workerv1.Attempt{Task: int64(i)}
	}
	for _, row := range []struct {
		fact string
		edit func(*workerv1.Beat)
		want string
	}{
		{"an instance with NUL", func(m *workerv1.Beat) { m.Instance = "a\x00b" }, "instance"},
		{"no instance", func(m *workerv1.Beat) { m.Instance = "" }, "instance"},
		{"a long instance", func(m *workerv1.Beat) { m.Instance = strings.Repeat("x", 1<<20) }, "instance"},
		{"a number that no column holds", func(m *workerv1.Beat) { m.Number = math.MaxUint64 }, "number"},
		{"65 pools", func(m *workerv1.Beat) { m.Pools = many }, "pools: 65, the most is 64"},
		{"a pool that is no name", func(m *workerv1.Beat) { m.Pools = []*workerv1.PoolCapacity{{Pool: "a.>\x00"}} }, "no name of a pool"},
		{"four billion slots", func(m *workerv1.Beat) {
			m.Pools = []*workerv1.PoolCapacity{{Pool: "noop_executor", Concurrency: math.MaxUint32}}
		}, "the most is 100000"},
		{"an executor with NUL", func(m *workerv1.Beat) { m.Executors = []string{"\x00"} }, "executors"},
		{"1001 executors", func(m *workerv1.Beat) { m.Executors = make([]string, 1001) }, "executors: 1001"},
		{"101 faults", func(m *workerv1.Beat) { m.Faults = make([]*workerv1.Fault, 101) }, "faults: 101"},
		{"a fault of a kibibyte", func(m *workerv1.Beat) { m.Faults = []*workerv1.Fault{{Text: strings.Repeat("x", 1<<10)}} }, "texts of 512"},
		{"a fault in a pool that is no name", func(m *workerv1.Beat) { m.Faults = []*workerv1.Fault{{Pool: "a.>"}} }, "faults: \"a.>\" is no name"},
		{"250 001 attempts", func(m *workerv1.Beat) { m.Running = attempts }, "attempts"},
		{"a protocol of the future", func(m *workerv1.Beat) { m.Version = 1000 }, "too old"},
	} {
		reply, err := s.other.Beat(t.Context(), row.edit)
		if err != nil || reply.LeaseMs != 0 || !strings.Contains(reply.Error, row.want) {
			t.Errorf("%s: got lease %d, error %q, %v; want %q", row.fact, reply.GetLeaseMs(), reply.GetError(), err, row.want)
		}
	}
	pools, err := s.Service().Pools(t.Context())
	must(t, err)
	for _, p := range pools {
		if strings.HasPrefix(p.Name, "lie") {
			t.Errorf("pool %s of a refused beat exists", p.Name)
		}
	}

	// What it says of itself is text.
	reply, err = s.crook.Beat(t.Context(), func(m *workerv1.Beat) {
		m.Faults = []*workerv1.Fault{{Pool: "trap", Text: "a\x00b"}, {Executor: "\x00", Text: "c"}}
	})
	if err != nil || reply.Error != "" {
		t.Errorf("faults with NUL: got %v, %v", reply, err)
	}

	// It says that it serves a pool of the good, and takes nothing: the good one does the work.
	reply, err = s.other.Beat(t.Context(), func(m *workerv1.Beat) {
		m.Pools = []*workerv1.PoolCapacity{{Pool: "noop_executor", Concurrency: 100_000}}
	})
	if err != nil || reply.Error != "" {
		t.Errorf("a pool it does not serve: got %v, %v", reply, err)
	}
	s.good()
	if err := s.Workers[0].P.Ready(); err != nil {
		t.Errorf("the good worker: %v", err)
	}
}

// Each of these made the settler try again for ever or refuse its whole batch, others' results included.
func TestResultsThatCannotBeStored(t *testing.T) {
	s := newSite(t)
	for _, row := range []struct {
		fact   string
		result func(*workerv1.Work) *workerv1.Result
		status dag.Status
		want   string // in its error
	}{
		{"parts that were never sent", func(w *workerv1.Work) *workerv1.Result {
			r := ResultOf(w, "")
			r.End = &workerv1.Result_CompletedInChunks{CompletedInChunks: 100 << 20}
			return r
		}, dag.StatusFailed, "can't be stored"},
		{"a start in the year 200 000", func(w *workerv1.Work) *workerv1.Result {
			r := ResultOf(w, "1")
			r.StartedUnixUs = math.MaxInt64
			return r
		}, dag.StatusCompleted, ""},
		{"a value with NUL", func(w *workerv1.Work) *workerv1.Result { return ResultOf(w, `"\u0000"`) }, dag.StatusCompleted, ""},
		{"nested 256 deep", func(w *workerv1.Work) *workerv1.Result {
			return ResultOf(w, strings.Repeat("[", 256)+strings.Repeat("]", 256))
		}, dag.StatusCompleted, ""},
		{"nested 9000 deep", func(w *workerv1.Work) *workerv1.Result {
			return ResultOf(w, strings.Repeat("[", 9000)+strings.Repeat("]", 9000))
		}, dag.StatusFailed, "nested deeper"},
		{"nested a million deep", func(w *workerv1.Work) *workerv1.Result {
			return ResultOf(w, strings.Repeat("[", 1<<20)+strings.Repeat("]", 1<<20))
		}, dag.StatusFailed, "nested deeper"},
		{"no JSON", func(w *workerv1.Work) *workerv1.Result { return ResultOf(w, `{"a":`) }, dag.StatusFailed, "not JSON"},
		{"an end of a later version", func(w *workerv1.Work) *workerv1.Result {
			r := ResultOf(w, "")
			r.End = nil
			r.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 21, protowire.VarintType), 5))
			return r
		}, dag.StatusFailed, "does not know"},
		{"an error of a mebibyte with NUL", func(w *workerv1.Work) *workerv1.Result {
			r := ResultOf(w, "")
			r.End, r.Error = &workerv1.Result_Failed{Failed: &workerv1.Failed{}}, strings.Repeat("e\x00", 1<<19)
			return r
		}, dag.StatusFailed, "truncated"},
	} {
		work := s.bait(nil)
		s.claim(s.crook, work, yes)
		must(t, s.crook.Report(t.Context(), row.result(work)))
		s.good()
		if task := s.is(work, row.status); !strings.Contains(task.Error, row.want) {
			t.Errorf("%s: got error %.200q, want %q", row.fact, task.Error, row.want)
		}
	}
}

func TestResultOf100MiB(t *testing.T) {
	s := newSite(t)
	work := s.bait(nil)
	s.claim(s.crook, work, yes)
	part := bytes.Repeat([]byte("1"), 1<<20)
	send := func(index, count uint32, data []byte) *workerv1.ChunkReply {
		reply, err := s.crook.Chunk(t.Context(), &workerv1.ChunkRequest{Version: 1, Grant: GrantOf(work), Index: index, Count: count, Data: data})
		must(t, err)
		return reply
	}
	for _, row := range []struct {
		fact         string
		index, count uint32
		data         []byte
		want         string
	}{
		{"the first of 100 MiB", 0, 100, part, "at most 16777216 bytes"},
		{"the last of 100 MiB", 99, 100, part, "at most 16777216 bytes"},
		{"a part beyond the count", 5, 5, []byte("1"), "part 5 of 5"},
		{"a part of none", 0, 0, []byte("1"), "part 0 of 0"},
		{"an index that no column holds", math.MaxUint32 - 1, math.MaxUint32, []byte("1"), "at most"},
		{"very many tiny parts", 0, 1 << 20, []byte("1"), "send at most 65536"},
		{"empty parts", 0, 2, nil, "none of them empty"},
	} {
		if reply := send(row.index, row.count, row.data); !reply.Final || !strings.Contains(reply.Error, row.want) {
			t.Errorf("%s: got %v, want %q for good", row.fact, reply, row.want)
		}
	}
	forged := GrantOf(work)
	forged.Token = nil
	if reply, err := s.crook.Chunk(t.Context(), &workerv1.ChunkRequest{Version: 1, Grant: forged, Count: 1, Data: part}); err != nil || !reply.Final {
		t.Errorf("without a token: got %v, %v", reply, err)
	}
	// In one message it does not even leave the worker.
	if err := s.crook.Report(t.Context(), ResultOf(work, `"`+strings.Repeat("x", 100<<20)+`"`)); err == nil {
		t.Error("100 MiB in one message: got no error")
	}
	// What is left of it: parts without an end.
	if reply := send(1, 3, part); reply.Error != "" {
		t.Fatalf("a part: %v", reply)
	}
	broken := ResultOf(work, "")
	broken.End = &workerv1.Result_CompletedInChunks{CompletedInChunks: 3 << 20}
	must(t, s.crook.Report(t.Context(), broken))
	if task := s.is(work, dag.StatusFailed); !strings.Contains(task.Error, "can't be stored") {
		t.Errorf("one part of three: got error %q", task.Error)
	}
	s.good()
}

// heap is what lives, in MiB.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc >> 20
}

// floodMost is by how many MiB the heap of a cluster in one process may grow under a flood: what may wait of each kind of
// request (64 MiB, one worker a quarter), results in hand, and NATS's own buffers.
const floodMost = 384

func TestFloodOfGarbage(t *testing.T) {
	s := newSite(t)
	s.good()
	before, goroutines := heap(), runtime.NumGoroutine()
	nc, err := nats.Connect(s.NATS.WorkerURL("mallory"), nats.CustomInboxPrefix("tg.inbox.mallory"))
	must(t, err)
	garbage := bytes.Repeat([]byte{0xff, 0x08, 0x00, 'x'}, 64<<10) // 256 KiB
	grants := &workerv1.ClaimRequest{Version: 1, Instance: s.crook.Instance}
	for i := range 20_000 {
		grants.Grants = append(grants.Grants, &workerv1.Grant{Attempt: &workerv1.Attempt{Task: int64(i), Number: 1}, Token: make([]byte, 16)})
	}
	forged, err := proto.Marshal(grants)
	must(t, err)
	most := uint64(0)
	for i := range 200 {
		for _, subject := range []string{"claim", "beat", "chunk", "inputs", "progress"} {
			must(t, nc.PublishRequest("tg."+subject+".mallory", "tg.inbox.mallory.x", garbage))
		}
		must(t, nc.PublishRequest("tg.claim.mallory", "tg.inbox.mallory.x", forged))
		if i%10 == 0 {
			must(t, s.crook.Conn.PublishResults(t.Context(), garbage))
			must(t, nc.FlushTimeout(20*time.Second))
		}
		if i%50 == 49 {
			most = max(most, heap())
		}
	}
	s.good() // while what waits is worked off
	most = max(most, heap())
	nc.Close()
	t.Logf("heap: %d MiB before, at most %d MiB", before, most)
	if most > before+floodMost {
		t.Errorf("the heap grew from %d to %d MiB, want at most %d more", before, most, floodMost)
	}
	s.Eventually("no goroutine is left", func() error {
		if n := runtime.NumGoroutine(); n > goroutines+50 { // other tests run beside
			return fmt.Errorf("%d before, %d after", goroutines, n)
		}
		return nil
	})
	s.crook.Instance = rand.Text() // on a busy machine the flood outlasts the lease
	if reply, err := s.crook.Beat(t.Context(), nil); err != nil || reply.Error != "" {
		t.Errorf("a proper beat after it all: %v, %v", reply, err)
	}
}
