package artifact_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"testing"

	"github.com/taskgrove/taskgrove/internal/artifact"
)

// conform is what every store keeps to.
func conform(t *testing.T, s artifact.Store) {
	ctx, x, y := t.Context(), artifact.NewID(), artifact.NewID()
	large := make([]byte, artifact.BlockBytes)
	_, _ = rand.Read(large)
	for name, err := range map[string]error{
		"a block": s.Put(ctx, x, 0, large), "it again": s.Put(ctx, x, 0, large), "the next": s.Put(ctx, x, 1, []byte("end")),
		"an empty one": s.Put(ctx, y, 0, nil), "dropping nothing": s.Drop(ctx, artifact.NewID(), 3),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Put(ctx, x, 1, []byte("another")); !errors.Is(err, artifact.ErrChanged) {
		t.Errorf("another block: got %v", err)
	}
	size := int64(len(large)) + 3
	digests := []artifact.Digest{artifact.Sum(large), artifact.Sum([]byte("end"))}
	for _, offset := range []int64{0, 1, artifact.BlockBytes, size - 1, size, size + 7} {
		got, err := io.ReadAll(artifact.NewReader(ctx, size, artifact.BlockBytes, offset, artifact.Checked(s, x, digests)))
		if want := append(bytes.Clone(large), "end"...)[min(offset, size):]; err != nil || !bytes.Equal(got, want) {
			t.Errorf("from %d: got %d bytes, %v, want %d", offset, len(got), err, len(want))
		}
	}
	digests[1] = artifact.Sum([]byte("END"))
	if _, err := io.ReadAll(artifact.NewReader(ctx, size, artifact.BlockBytes, 0, artifact.Checked(s, x, digests))); !errors.Is(err, artifact.ErrCorrupt) {
		t.Errorf("what was not put: got %v", err)
	}
	if err := s.Drop(ctx, x, 2); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(ctx, x, 1); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("dropped: got %v", err)
	}
	if data, err := s.Get(ctx, y, 0); err != nil || len(data) != 0 {
		t.Errorf("another content: got %q, %v", data, err)
	}
}

func TestMemory(t *testing.T) {
	m := &artifact.Memory{}
	conform(t, m)
	m.Most = 10
	if err := m.Put(t.Context(), artifact.NewID(), 0, make([]byte, 11)); !errors.Is(err, artifact.ErrFull) {
		t.Errorf("full: got %v", err)
	}
}

func TestShape(t *testing.T) {
	for _, row := range []struct {
		size  int64
		block int
		ok    bool
	}{
		{0, artifact.BlockBytes, true}, {1, artifact.LeastBlock, true}, {artifact.BlockBytes * artifact.MaxBlocks, artifact.BlockBytes, true},
		{artifact.BlockBytes*artifact.MaxBlocks + 1, artifact.BlockBytes, false}, {-1, artifact.BlockBytes, false}, {1, 1, false}, {1, 1 << 30, false},
	} {
		if err := artifact.Shape(row.size, row.block); (err == nil) != row.ok {
			t.Errorf("%d bytes in blocks of %d: got %v", row.size, row.block, err)
		}
	}
	if n := artifact.Blocks(0, 10); n != 1 {
		t.Errorf("nothing: got %d blocks", n)
	}
	a, b := artifact.Root(3, 2, make([]artifact.Digest, 2)), artifact.Root(4, 2, make([]artifact.Digest, 2))
	if a == b {
		t.Error("contents of two sizes have one root")
	}
}

// A short block, as a store may give back, is no end of the content.
func TestShortBlocks(t *testing.T) {
	r := artifact.NewReader(t.Context(), 20, 10, 0, func(context.Context, int) ([]byte, error) { return make([]byte, 9), nil })
	if _, err := io.ReadAll(r); !errors.Is(err, artifact.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}
