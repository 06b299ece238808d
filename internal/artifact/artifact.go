// Package artifact owns how the contents of files that tasks make are kept: as blocks below a random name, in a [Store] that knows nothing else
// of them, with what proves that they are the ones which were put there.
//
// It must not know which task a file is of, who may read it, or what refers to it: that is in Postgres.
package artifact

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// Bounds of one content.
const (
	// BlockBytes is the usual size of a block: what one request of a worker carries.
	BlockBytes = 512 << 10
	// LeastBlock is the smallest size that blocks but the last may have.
	LeastBlock = 16 << 10
	// MaxBlocks is how many blocks a content may have, so that what names all of them fits into one message: 8 GiB in blocks of the usual size.
	MaxBlocks = 1 << 14
)

// Errors of stores that callers tell apart.
var (
	// ErrNotFound: the store has no such block. A store that lost its contents says this, too.
	ErrNotFound = errors.New("the block is not in the store")
	// ErrChanged: another block is stored under that name. Blocks never change.
	ErrChanged = errors.New("another block is stored in that place")
	// ErrFull: the store's bound is reached.
	ErrFull = errors.New("the store of artifacts is full")
	// ErrCorrupt: what the store gave back is not what was put there.
	ErrCorrupt = errors.New("the store of artifacts gave back another content")
)

// ID names a content in a store. It is random: whoever puts the same content twice has two until they are found to be one.
type ID [16]byte

// NewID makes one.
func NewID() (id ID) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// String is the id in hex.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Store keeps blocks. Safe for concurrent use; every call ends with its context.
type Store interface {
	// Put stores a block that is not there yet. The same block again is no error, another one is [ErrChanged]; [ErrFull]. The caller owns data.
	Put(ctx context.Context, id ID, index int, data []byte) error
	// Get gives a block, which the caller owns. [ErrNotFound].
	Get(ctx context.Context, id ID, index int) ([]byte, error)
	// Drop deletes all blocks of a content, of which there are at most so many. What is not there is no error.
	Drop(ctx context.Context, id ID, blocks int) error
	// Usage is how much is stored and how much may be, in bytes; most is 0 where the store has no bound that it knows, used is -1 where it
	// can't tell.
	Usage(ctx context.Context) (used, most int64, err error)
}

// Digest is a SHA-256.
type Digest [sha256.Size]byte

// Sum is the digest of bytes.
func Sum(data []byte) Digest { return sha256.Sum256(data) }

// Blocks is how many blocks of a size make up a content, 1 at least.
func Blocks(size int64, block int) int {
	return max(1, int((size+int64(block)-1)/int64(block)))
}

// Shape checks a content's size and that of its blocks.
func Shape(size int64, block int) error {
	switch {
	case size < 0:
		return fmt.Errorf("a content of %d bytes", size)
	case block < LeastBlock || block > 16*BlockBytes:
		return fmt.Errorf("blocks of %d bytes: want %d to %d", block, LeastBlock, 16*BlockBytes)
	case size > int64(block)*MaxBlocks:
		return fmt.Errorf("%d bytes in blocks of %d: at most %d blocks", size, block, MaxBlocks)
	}
	return nil
}

// LengthOf is how long a block of a content is.
func LengthOf(size int64, block, index int) int {
	return int(max(0, min(int64(block), size-int64(index)*int64(block))))
}

// Root is a digest of the digests of a content's blocks and of their shape: contents with one root are the same.
func Root(size int64, block int, digests []Digest) Digest {
	h := sha256.New()
	fmt.Fprintf(h, "taskgrove artifact\x00%d\x00%d\x00", size, block)
	for i := range digests {
		h.Write(digests[i][:])
	}
	return Digest(h.Sum(nil))
}

// Reader reads a content from a block on, and checks each block. One block is in memory.
type Reader struct {
	ctx    context.Context
	get    func(ctx context.Context, index int) ([]byte, error)
	size   int64
	block  int
	offset int64 // of the next byte that Read gives
	left   []byte
}

// NewReader reads a content of which get gives the blocks, from an offset on.
func NewReader(ctx context.Context, size int64, block int, offset int64, get func(ctx context.Context, index int) ([]byte, error)) *Reader {
	return &Reader{ctx: ctx, get: get, size: size, block: block, offset: max(0, min(offset, size))}
}

// Read gives the next bytes. Its error says which block can't be had.
func (r *Reader) Read(p []byte) (int, error) {
	if r.offset >= r.size {
		return 0, io.EOF
	}
	if len(r.left) == 0 {
		index := int(r.offset / int64(r.block))
		data, err := r.get(r.ctx, index)
		if err == nil && len(data) != LengthOf(r.size, r.block, index) {
			err = fmt.Errorf("%w: %d bytes", ErrCorrupt, len(data))
		}
		if err != nil {
			return 0, fmt.Errorf("read block %d: %w", index, err)
		}
		r.left = data[r.offset-int64(index)*int64(r.block):]
	}
	n := copy(p, r.left)
	r.left, r.offset = r.left[n:], r.offset+int64(n)
	return n, nil
}

// Checked gets blocks of a store and compares them with their digests.
func Checked(s Store, id ID, digests []Digest) func(ctx context.Context, index int) ([]byte, error) {
	return func(ctx context.Context, index int) ([]byte, error) {
		data, err := s.Get(ctx, id, index)
		if err == nil && (index >= len(digests) || Sum(data) != digests[index]) {
			return nil, ErrCorrupt
		}
		return data, err
	}
}
