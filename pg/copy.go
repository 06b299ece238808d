package pg

import (
	"cmp"
	"context"
	"io"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// rowSource writes the next rows, few of them. It reports false when there are none left.
type rowSource func(w *rowWriter) (more bool, err error)

// copyRows sends rows to the COPY that the statement begins, as they come. The error of the source is returned as it is.
func copyRows(ctx context.Context, c *pgx.Conn, statement string, next rowSource) error {
	r := &rowReader{next: next}
	r.start()
	_, err := c.PgConn().CopyFrom(ctx, r, statement)
	return cmp.Or(r.stop(), err)
}

// rowReader gives what a source writes, for one COPY.
type rowReader struct {
	rowWriter // what is to be read

	mu    sync.Mutex // Read may go on, in pgconn's goroutine, when its COPY has failed
	next  rowSource
	off   int
	ended bool
	fault error
}

// Read asks the source for rows until there is enough, and ends the COPY after the last.
func (r *rowReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.off == len(r.buf) {
		r.buf, r.off = r.buf[:0], 0
	}
	for !r.ended && len(r.buf) < len(p) {
		more, err := r.next(&r.rowWriter)
		if err != nil {
			r.ended, r.fault = true, err
			return 0, err
		}
		if !more {
			r.ended = true
			r.end()
		}
	}
	if r.off == len(r.buf) {
		return 0, cmp.Or(r.fault, io.EOF)
	}
	n := copy(p, r.buf[r.off:])
	r.off += n
	return n, nil
}

// stop waits for the end of a Read that goes on, after which the source is not called any more, and gives its error.
func (r *rowReader) stop() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	return r.fault
}

// copying is a COPY whose rows are in memory.
type copying struct {
	statement string
	rows      rowSource
}

// copyAll sends several at once and then reads the answers: one round trip. Postgres leaves out the rows of those that
// come after one that failed.
func copyAll(ctx context.Context, c *pgx.Conn, all []copying) error {
	pc := c.PgConn()
	if deadline, ok := ctx.Deadline(); ok {
		if err := pc.Conn().SetWriteDeadline(deadline); err != nil {
			return err
		}
		defer pc.Conn().SetWriteDeadline(time.Time{})
	}
	err := sendAll(pc, all)
	var refused error
	for range all {
		if err == nil {
			err = answered(ctx, pc, &refused)
		}
	}
	if err != nil { // nobody knows what is still to be read or sent
		_ = pc.Close(ctx)
	}
	return cmp.Or(err, refused)
}

// sendAll sends statements and rows without waiting for an answer.
func sendAll(pc *pgconn.PgConn, all []copying) error {
	front := pc.Frontend()
	var w rowWriter
	for _, one := range all {
		front.Send(&pgproto3.Query{String: one.statement})
		w.buf = w.buf[:0]
		w.start()
		for more := true; more; {
			var err error
			if more, err = one.rows(&w); err != nil {
				return err
			}
		}
		w.end()
		front.Send(&pgproto3.CopyData{Data: w.buf})
		front.Send(&pgproto3.CopyDone{})
	}
	return front.Flush()
}

// answered reads the answer to one statement. The first refusal of all is kept: those after it follow from it.
func answered(ctx context.Context, pc *pgconn.PgConn, refused *error) error {
	for {
		m, err := pc.ReceiveMessage(ctx)
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *pgproto3.ErrorResponse:
			*refused = cmp.Or(*refused, error(pgconn.ErrorResponseToPgError(m)))
		case *pgproto3.ReadyForQuery:
			return nil
		}
	}
}
