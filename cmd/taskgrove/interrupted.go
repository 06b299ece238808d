package main

import (
	"context"
	"io"
)

// unlessEnded does something that knows of no context, such as judging a large flow. When ctx ends, its cause is the error, and what was begun is left alone: it must have no effects.
func unlessEnded[T any](ctx context.Context, do func() T) (result T, err error) {
	done := make(chan T, 1)
	go func() { done <- do() }()
	select {
	case result = <-done:
	case <-ctx.Done():
	}
	return result, context.Cause(ctx)
}

// endingInput reads until ctx ends: a terminal, or a program that writes nothing, would keep a command from ending.
type endingInput struct {
	ctx  context.Context
	from io.Reader
	done chan taken // nil: nobody reads
	taken
}

// taken is what was read and not yet given, and the error that follows it.
type taken struct {
	left []byte
	err  error
}

// Read implements [io.Reader].
func (e *endingInput) Read(p []byte) (int, error) {
	if len(e.left) == 0 && e.err != nil {
		return 0, e.err
	}
	if len(e.left) == 0 {
		if e.done == nil {
			done := make(chan taken, 1)
			e.done = done
			buffer := make([]byte, max(len(p), 1))
			go func() {
				n, err := e.from.Read(buffer)
				done <- taken{buffer[:n], err}
			}()
		}
		select {
		case e.taken = <-e.done:
			e.done = nil
		case <-e.ctx.Done():
			return 0, context.Cause(e.ctx)
		}
	}
	n := copy(p, e.left)
	if e.left = e.left[n:]; len(e.left) == 0 {
		return n, e.err
	}
	return n, nil
}
