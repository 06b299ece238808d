package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/porttest"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
	"github.com/taskgrove/taskgrove/queue/natsserver"
	"github.com/taskgrove/taskgrove/worker"
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

const pool = "test"

// harness is a NATS server, a worker and a scripted coordinator that speaks the true protocol but keeps no truth: it
// answers as the test says.
type harness struct {
	over   int64 // results of this task are passed over; 0: of none
	t      testing.TB
	server *natsserver.Server
	config natsserver.Config
	conn   *queue.Conn // the coordinator's

	beats    chan *workerv1.Beat
	claims   chan *workerv1.ClaimRequest
	results  chan *workerv1.Result
	progress chan *workerv1.Progress
	live     chan *workerv1.Live

	mu        sync.Mutex
	onBeat    func(*workerv1.Beat) *workerv1.BeatReply          // nil reply: no answer
	onClaim   func(*workerv1.ClaimRequest) *workerv1.ClaimReply // nil reply: no answer
	receipts  bool                                              // sent at once for every result
	chunks    map[int64][][]byte                                // by task
	inputs    map[int64][]byte                                  // by task
	names     map[int64][]string                                // references in those inputs
	instances map[int64]string                                  // of results, by task
}

func newHarness(t testing.TB) *harness {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	const most = 100_000 // more than any test sends
	h := &harness{
		t: t, receipts: true,
		config: natsserver.Config{
			StoreDir: t.TempDir(), Port: porttest.Port(t), CoordinatorPassword: "secret", WorkerPassword: "secret-too", Logger: quiet,
		},
		beats: make(chan *workerv1.Beat, most), claims: make(chan *workerv1.ClaimRequest, most),
		results: make(chan *workerv1.Result, most), progress: make(chan *workerv1.Progress, most),
		live:   make(chan *workerv1.Live, most),
		chunks: map[int64][][]byte{}, inputs: map[int64][]byte{}, names: map[int64][]string{}, instances: map[int64]string{},
	}
	h.start()
	t.Cleanup(func() { h.server.Shutdown() })
	h.conn = h.connect("")
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		serving.Wait()
	})
	if err := h.conn.EnsureStreams(ctx); err != nil {
		t.Fatal(err)
	}
	if err := h.conn.EnsurePools(ctx, pool); err != nil {
		t.Fatal(err)
	}
	for kind, handle := range map[queue.Kind]func(worker string, data []byte) proto.Message{
		queue.Beat: h.beat, queue.Claim: h.claim, queue.Chunk: h.chunk, queue.Inputs: h.input, queue.Progress: h.moved,
	} {
		serving.Go(func() {
			h.conn.Serve(ctx, kind, func(worker string, data []byte, reply func([]byte)) {
				if answer := handle(worker, data); answer != nil {
					data, err := proto.Marshal(answer)
					if err != nil {
						t.Error(err)
					}
					reply(data)
				}
			})
		})
	}
	serving.Go(func() { h.conn.ConsumeResults(ctx, 1000, h.result) })
	return h
}

func (h *harness) start() {
	h.t.Helper()
	server, err := natsserver.Start(h.config)
	if err != nil {
		h.t.Fatal(err)
	}
	h.server = server
}

// stop shuts the server down; start brings it back at the same address, with what it had stored.
func (h *harness) stop() {
	h.t.Helper()
	h.server.Shutdown()
}

func (h *harness) connect(id string) *queue.Conn {
	h.t.Helper()
	url := h.server.CoordinatorURL()
	if id != "" {
		url = h.server.WorkerURL(id)
	}
	conn, err := queue.Connect(context.Background(), queue.Config{URL: url, Worker: id, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(conn.Close)
	return conn
}

// script changes how the coordinator answers.
func (h *harness) script(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

func read[M proto.Message](h *harness, data []byte, m M) M {
	if err := proto.Unmarshal(data, m); err != nil {
		h.t.Error(err)
	}
	return m
}

func (h *harness) beat(_ string, data []byte) proto.Message {
	b := read(h, data, &workerv1.Beat{})
	h.beats <- b
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.onBeat == nil {
		return granted(b)
	}
	if reply := h.onBeat(b); reply != nil {
		return reply
	}
	return nil
}

func granted(b *workerv1.Beat) *workerv1.BeatReply {
	return &workerv1.BeatReply{Number: b.Number, LeaseMs: 30_000}
}

func (h *harness) claim(_ string, data []byte) proto.Message {
	c := read(h, data, &workerv1.ClaimRequest{})
	h.claims <- c
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.onClaim == nil {
		return verdicts(c, workerv1.Verdict_VERDICT_YES)
	}
	if reply := h.onClaim(c); reply != nil {
		return reply
	}
	return nil
}

func verdicts(c *workerv1.ClaimRequest, v workerv1.Verdict) *workerv1.ClaimReply {
	reply := &workerv1.ClaimReply{}
	for range c.Grants {
		reply.Verdicts = append(reply.Verdicts, v)
	}
	return reply
}

func (h *harness) chunk(_ string, data []byte) proto.Message {
	c := read(h, data, &workerv1.ChunkRequest{})
	h.mu.Lock()
	defer h.mu.Unlock()
	task := c.Grant.Attempt.Task
	if h.chunks[task] == nil {
		h.chunks[task] = make([][]byte, c.Count)
	}
	h.chunks[task][c.Index] = c.Data
	return &workerv1.ChunkReply{}
}

func (h *harness) input(_ string, data []byte) proto.Message {
	r := read(h, data, &workerv1.InputsRequest{})
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.inputs[r.Grant.Attempt.Task]
	return &workerv1.InputsReply{
		Data: all[r.Offset:min(int(r.Offset)+512<<10, len(all))], Size: uint64(len(all)), References: h.names[r.Grant.Attempt.Task],
	}
}

func (h *harness) moved(_ string, data []byte) proto.Message {
	m := read(h, data, &workerv1.ProgressBatch{})
	for _, p := range m.Progress {
		h.progress <- p
	}
	for _, l := range m.Live {
		h.live <- l
	}
	return nil
}

func (h *harness) result(m *queue.ResultMessage) {
	batch := read(h, m.Data, &workerv1.ResultBatch{})
	news := &workerv1.News{}
	h.mu.Lock()
	for _, r := range batch.Results {
		h.instances[r.Attempt.Task] = batch.Instance
		news.Receipts = append(news.Receipts, r.Attempt)
	}
	receipts := h.receipts
	h.mu.Unlock()
	m.Ack()
	for _, r := range batch.Results {
		h.results <- r
	}
	if receipts {
		h.tell(m.Worker, news)
	}
}

func (h *harness) tell(worker string, news *workerv1.News) {
	data, err := proto.Marshal(news)
	if err == nil {
		err = h.conn.Tell(worker, data)
	}
	if err != nil {
		h.t.Error(err)
	}
}

// work is an attempt at a task of the test executor.
func work(task int64, change ...func(*workerv1.Work)) *workerv1.Work {
	w := &workerv1.Work{
		Version: 1, Attempt: &workerv1.Attempt{Task: task, Number: 1}, Token: fmt.Appendf(nil, "token of %7d", task),
		TaskId: fmt.Sprintf("task-%d", task), TreeId: "tree", Executor: "test", Inputs: []byte(`{}`),
		IdempotencyKey: fmt.Sprintf("key-%d", task),
	}
	for _, c := range change {
		c(w)
	}
	return w
}

func (h *harness) offer(all ...*workerv1.Work) {
	h.t.Helper()
	var messages []queue.WorkMessage
	for _, w := range all {
		data, err := proto.Marshal(w)
		if err != nil {
			h.t.Fatal(err)
		}
		messages = append(messages, queue.WorkMessage{Pool: pool, Priority: 1, Data: data})
	}
	h.publish(messages...)
}

func (h *harness) publish(messages ...queue.WorkMessage) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := h.conn.PublishWork(ctx, messages); err != nil {
		h.t.Fatal(err)
	}
}

// until polls a condition that no event announces.
func (h *harness) until(what string, holds func() bool) {
	h.t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			h.t.Fatalf("waited too long until %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// stored waits until so many messages are left in WORK: all others were acknowledged, which the server notes a moment later.
func (h *harness) stored(want int) {
	h.t.Helper()
	h.until(fmt.Sprintf("%d messages are left", want), func() bool {
		n, _, err := h.conn.Depth(context.Background(), pool, 1)
		return err == nil && n == want
	})
}

func next[T any](h *harness, from <-chan T, what string) T {
	h.t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		h.t.Fatalf("waited too long for %s", what)
		panic("unreachable")
	}
}

// nextBeat waits for a beat that fits.
func (h *harness) nextBeat(what string, fits func(*workerv1.Beat) bool) *workerv1.Beat {
	h.t.Helper()
	for {
		if b := next(h, h.beats, "a beat: "+what); fits(b) {
			return b
		}
	}
}

func (h *harness) wantResult(task int64, outcome dag.Outcome) *workerv1.Result {
	h.t.Helper()
	r := next(h, h.results, "a result")
	for h.over != 0 && r.Attempt.Task == h.over {
		r = next(h, h.results, "a result")
	}
	if r.Attempt.Task != task || worker.EndOf(r) != outcome {
		h.t.Fatalf("got result %v of task %d (%s), want %v of %d", worker.EndOf(r), r.Attempt.Task, r.Error, outcome, task)
	}
	if want := fmt.Sprintf("token of %7d", task); string(r.Token) != want {
		h.t.Errorf("result has token %q, want %q", r.Token, want)
	}
	return r
}

// passOver passes over further results of a task from now on.
func (h *harness) passOver(task int64) { h.over = task }

// script of an executor, called "test".
