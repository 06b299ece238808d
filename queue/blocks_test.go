package queue_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/taskgrove/taskgrove/queue"
)

// Blocks are put once, read, and dropped with their content, on a server that has ServerConfig's permissions.
func TestBlocks(t *testing.T) {
	t.Parallel()
	connect, _ := external(t, queue.ServerUser{Name: "c1"}, queue.ServerUser{Name: "c2"}, queue.ServerUser{Name: "a", Pools: []string{"*"}})
	c, other := connect("c1"), connect("c2")
	ctx := t.Context()
	if _, err := c.Block(ctx, "x", 0); !errors.Is(err, queue.ErrNoBlock) {
		t.Errorf("before the stream is there: got %v", err)
	}
	must(t, c.DropBlocks(ctx, "x"))
	large := bytes.Repeat([]byte("0123456789abcdef"), 32<<10)
	must(t, c.PutBlock(ctx, "x", 0, large))
	must(t, other.PutBlock(ctx, "x", 0, large)) // again
	must(t, other.PutBlock(ctx, "x", 1, []byte("one")))
	must(t, c.PutBlock(ctx, "y", 0, nil))
	if err := c.PutBlock(ctx, "x", 1, []byte("two")); !errors.Is(err, queue.ErrOtherBlock) {
		t.Errorf("another block: got %v", err)
	}
	data, err := other.Block(ctx, "x", 0)
	if err != nil || !bytes.Equal(data, large) {
		t.Errorf("got %d bytes, %v", len(data), err)
	}
	if used, most, err := c.BlocksUsage(ctx); err != nil || used < int64(len(large)) || used > 2*int64(len(large)) || most != 10<<30 && most != 0 {
		t.Errorf("usage: got %d of %d, %v", used, most, err)
	}
	must(t, c.DropBlocks(ctx, "x"))
	if _, err := other.Block(ctx, "x", 1); !errors.Is(err, queue.ErrNoBlock) {
		t.Errorf("dropped: got %v", err)
	}
	if data, err := other.Block(ctx, "y", 0); err != nil || len(data) != 0 {
		t.Errorf("another content: got %q, %v", data, err)
	}
}

// The stream's bound refuses new blocks and keeps the old ones; a stream that is deleted is made with the next block.
func TestBlocksAreBoundedAndMadeAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.connect(queue.Config{URL: h.server.CoordinatorURL(), ArtifactBytes: 1 << 20})
	ctx, block := t.Context(), make([]byte, 400<<10)
	must(t, c.PutBlock(ctx, "x", 0, block))
	must(t, c.PutBlock(ctx, "x", 1, block))
	if err := c.PutBlock(ctx, "x", 2, block); !errors.Is(err, queue.ErrBlocksFull) {
		t.Errorf("full: got %v", err)
	}
	if _, err := c.Block(ctx, "x", 0); err != nil {
		t.Errorf("what is there: %v", err)
	}
	must(t, h.vandal().DeleteStream(ctx, "TG_ARTIFACTS"))
	if _, err := c.Block(ctx, "x", 0); !errors.Is(err, queue.ErrNoBlock) {
		t.Errorf("deleted: got %v", err)
	}
	must(t, c.PutBlock(ctx, "x", 0, block))
	if _, err := c.Block(ctx, "x", 0); err != nil {
		t.Errorf("made again: %v", err)
	}
}

// A worker with all pools reaches no block, by whatever subject.
func TestWorkersReachNoBlock(t *testing.T) {
	t.Parallel()
	connect, url := external(t, queue.ServerUser{Name: "c1"}, queue.ServerUser{Name: "a", Pools: []string{"*"}})
	c := connect("c1")
	must(t, c.PutBlock(t.Context(), "x", 0, []byte("secret")))
	nc, _ := intruder(t, url("a"), "a")
	for _, subject := range []string{"tg.block.x.0", "$JS.API.DIRECT.GET.TG_ARTIFACTS.tg.block.x.0", "$JS.API.STREAM.MSG.GET.TG_ARTIFACTS", "$JS.API.STREAM.PURGE.TG_ARTIFACTS"} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*1e6)
		m, err := nc.RequestMsgWithContext(ctx, &nats.Msg{Subject: subject, Data: []byte(`{"last_by_subj":"tg.block.x.0"}`)})
		cancel()
		if err == nil {
			t.Errorf("%s answers %q", subject, m.Data)
		}
	}
	if data, err := c.Block(t.Context(), "x", 0); err != nil || string(data) != "secret" {
		t.Errorf("afterwards: got %q, %v", data, err)
	}
}
