package hostile

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// TestAHugeTreeBesideSmallOnes: one client submits a tree of very many tasks, all at once, while others submit small ones:
// these are served all the same, and memory is bounded. 20 000 tasks; 300 000 with TASKGROVE_FULL=1.
func TestAHugeTreeBesideSmallOnes(t *testing.T) {
	size := 20_000
	if os.Getenv("TASKGROVE_FULL") != "" {
		size = 300_000
	}
	c := startProgram(t)
	alone := c.latencies(t, func(n int) bool { return n < 20 })

	c.dev.forget()
	rpc, conn, err := dialGRPC(c.dev.GRPC)
	must(t, err)
	defer conn.Close()
	var huge sync.WaitGroup
	over, failed := make(chan struct{}), error(nil)
	huge.Go(func() {
		defer close(over)
		failed = submitHuge(t.Context(), rpc, size)
	})
	beside := c.latencies(t, func(n int) bool {
		select {
		case <-over:
			return n < 20
		default:
			return true
		}
	})
	huge.Wait()
	must(t, failed)
	memory, err := c.dev.memory()
	must(t, err)
	t.Logf("%d tasks: small trees took p50 %s, most %s alone (%d); p50 %s, most %s beside it (%d); %d MiB resident",
		size, alone[len(alone)/2], alone[len(alone)-1], len(alone), beside[len(beside)/2], beside[len(beside)-1], len(beside), memory)
	if memory > devMemory {
		t.Errorf("%d MiB resident, want at most %d", memory, devMemory)
	}
	// A small tree's tasks wait for their turn among the huge one's that are in NATS, not for all of them.
	if got, most := beside[len(beside)/2], max(30*time.Second, 20*alone[len(alone)/2]); got > most {
		t.Errorf("half of the small trees took over %s, want %s", got, most)
	}
	if got := beside[len(beside)-1]; got > 3*time.Minute {
		t.Errorf("a small tree took %s", got)
	}
}

// latencies runs small trees one after the other while more says so, and gives how long they took, sorted.
func (c *program) latencies(t *testing.T, more func(n int) bool) (took []time.Duration) {
	t.Helper()
	for more(len(took)) {
		began := time.Now()
		if err := c.honest(t.Context()); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took
}

// submitHuge submits one tree and waits until it has ended.
func submitHuge(ctx context.Context, rpc pb.TaskgroveClient, size int) error {
	stream, err := rpc.Submit(ctx)
	if err != nil {
		return err
	}
	noop := []byte(`{"method":"noop_executor"}`)
	batch := &pb.SubmitRequest{Tasks: []*pb.NewTask{{Id: "huge", Name: "huge", Schemas: noop}}}
	for i := range size {
		batch.Tasks = append(batch.Tasks, &pb.NewTask{Id: fmt.Sprint("huge.", i), Name: "x", ParentId: "huge", Schemas: noop})
		if len(batch.Tasks) == 1000 || i == size-1 {
			if err := stream.Send(batch); err != nil {
				break // CloseAndRecv knows why
			}
			batch = &pb.SubmitRequest{}
		}
	}
	if _, err := stream.CloseAndRecv(); err != nil {
		return fmt.Errorf("submit %d tasks: %w", size, err)
	}
	for {
		tree, err := rpc.GetTree(ctx, &pb.GetTreeRequest{Id: "huge"})
		if err != nil {
			return err
		}
		if tree.Unfinished == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
