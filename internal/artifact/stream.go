package artifact

import (
	"context"
	"errors"
)

// Bus has blocks in a stream. Its errors are its own.
type Bus interface {
	PutBlock(ctx context.Context, content string, index int, data []byte) error
	Block(ctx context.Context, content string, index int) ([]byte, error)
	DropBlocks(ctx context.Context, content string) error
	BlocksUsage(ctx context.Context) (used, most int64, err error)
}

// BusErrors are the errors by which a [Bus] says what a [Store] says.
type BusErrors struct{ NotFound, Changed, Full error }

// OnBus is a store of blocks in a stream.
func OnBus(b Bus, e BusErrors) Store { return bus{b, e} }

type bus struct {
	Bus
	errors BusErrors
}

func (b bus) known(err error) error {
	switch {
	case errors.Is(err, b.errors.NotFound):
		return ErrNotFound
	case errors.Is(err, b.errors.Changed):
		return ErrChanged
	case errors.Is(err, b.errors.Full):
		return ErrFull
	}
	return err
}

func (b bus) Put(ctx context.Context, id ID, index int, data []byte) error {
	return b.known(b.PutBlock(ctx, id.String(), index, data))
}

func (b bus) Get(ctx context.Context, id ID, index int) ([]byte, error) {
	data, err := b.Block(ctx, id.String(), index)
	return data, b.known(err)
}

func (b bus) Drop(ctx context.Context, id ID, _ int) error {
	return b.known(b.DropBlocks(ctx, id.String()))
}

func (b bus) Usage(ctx context.Context) (used, most int64, err error) { return b.BlocksUsage(ctx) }
