package hostile

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// Worker is a worker with true credentials that does what its owner tells it, and nothing by itself. Not safe for
// concurrent use.
type Worker struct {
	ID       string
	Instance string
	Pools    []*workerv1.PoolCapacity
	Conn     *queue.Conn

	number uint64
}

// Connect makes a worker of the id, which serves the pool. The caller closes its connection.
func Connect(ctx context.Context, url, id, pool string) (*Worker, error) {
	conn, err := queue.Connect(ctx, queue.Config{URL: url, Name: id, Worker: id})
	if err != nil {
		return nil, fmt.Errorf("worker %s: %w", id, err)
	}
	return &Worker{ID: id, Instance: rand.Text(), Conn: conn, Pools: []*workerv1.PoolCapacity{{Pool: pool, Concurrency: 4}}}, nil
}

// Beat sends a beat that edit may change; nil: a proper one.
func (w *Worker) Beat(ctx context.Context, edit func(*workerv1.Beat)) (*workerv1.BeatReply, error) {
	w.number++
	m := &workerv1.Beat{Version: 1, Instance: w.Instance, Number: w.number, Pools: w.Pools}
	if edit != nil {
		edit(m)
	}
	reply := &workerv1.BeatReply{}
	return reply, w.ask(ctx, queue.Beat, m, reply)
}

// Take waits for one offered attempt of the worker's pool and acknowledges its message.
func (w *Worker) Take(ctx context.Context) (*workerv1.Work, error) {
	deliveries, err := w.Conn.Taker(w.Pools[0].Pool).Take(ctx, 1)
	if err != nil {
		return nil, fmt.Errorf("take: %w", err)
	}
	work := &workerv1.Work{}
	err = proto.Unmarshal(deliveries[0].Data, work)
	deliveries[0].Ack()
	return work, err
}

// Claim asks for attempts, and returns the answers in their order.
func (w *Worker) Claim(ctx context.Context, grants ...*workerv1.Grant) ([]workerv1.Verdict, error) {
	reply := &workerv1.ClaimReply{}
	err := w.ask(ctx, queue.Claim, &workerv1.ClaimRequest{Version: 1, Instance: w.Instance, Grants: grants}, reply)
	return reply.Verdicts, err
}

// Chunk sends a part of a result.
func (w *Worker) Chunk(ctx context.Context, m *workerv1.ChunkRequest) (*workerv1.ChunkReply, error) {
	reply := &workerv1.ChunkReply{}
	return reply, w.ask(ctx, queue.Chunk, m, reply)
}

// Report stores results in RESULTS.
func (w *Worker) Report(ctx context.Context, results ...*workerv1.Result) error {
	data, err := proto.Marshal(&workerv1.ResultBatch{Version: 1, Instance: w.Instance, Results: results})
	if err != nil {
		return err
	}
	return w.Conn.PublishResults(ctx, data)
}

func (w *Worker) ask(ctx context.Context, kind queue.Kind, m, reply proto.Message) error {
	data, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	answer, err := w.Conn.Request(ctx, kind, data)
	if err != nil {
		return err
	}
	return proto.Unmarshal(answer, reply)
}

// GrantOf is the proof that whoever took the work holds.
func GrantOf(work *workerv1.Work) *workerv1.Grant {
	return &workerv1.Grant{Attempt: work.Attempt, Token: work.Token}
}

// ResultOf is a completed result of the work.
func ResultOf(work *workerv1.Work, value string) *workerv1.Result {
	return &workerv1.Result{
		Attempt: work.Attempt, Token: work.Token, End: &workerv1.Result_Completed{Completed: []byte(value)},
		StartedUnixUs: time.Now().UnixMicro(), FinishedUnixUs: time.Now().UnixMicro(),
	}
}
