package pg

import (
	"cmp"
	"context"
	"encoding/binary"
	"io"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/taskgrove/taskgrove/dag"
)

// rowWriter writes rows in the binary format of COPY. Each begins with row, which tells how many values follow.
type rowWriter struct{ buf []byte }

func (w *rowWriter) start() {
	w.buf = append(w.buf, "PGCOPY\n\377\r\n\000\000\000\000\000\000\000\000\000"...)
}
func (w *rowWriter) end() { w.row(-1) }

func (w *rowWriter) row(values int16) { w.buf = binary.BigEndian.AppendUint16(w.buf, uint16(values)) }

// word is what lengths and counts are written as.
func (w *rowWriter) word(v int32) { w.buf = binary.BigEndian.AppendUint32(w.buf, uint32(v)) }

func (w *rowWriter) null() { w.word(-1) }

func (w *rowWriter) smallint(v int16) {
	w.word(2)
	w.buf = binary.BigEndian.AppendUint16(w.buf, uint16(v))
}

func (w *rowWriter) integer(v int32) {
	w.word(4)
	w.word(v)
}

func (w *rowWriter) bigint(v int64) {
	w.word(8)
	w.buf = binary.BigEndian.AppendUint64(w.buf, uint64(v))
}

func (w *rowWriter) key(k dag.Key) { w.bigint(int64(k)) }

func (w *rowWriter) boolean(v bool) {
	w.word(1)
	if v {
		w.buf = append(w.buf, 1)
	} else {
		w.buf = append(w.buf, 0)
	}
}

func (w *rowWriter) text(s string) {
	w.word(int32(len(s)))
	w.buf = append(w.buf, s...)
}

// json writes a document; nil is null.
func (w *rowWriter) json(raw []byte) {
	if raw == nil {
		w.null()
		return
	}
	w.word(int32(len(raw)))
	w.buf = append(w.buf, raw...)
}

// timestamp writes a time, in microseconds since Postgres's epoch.
func (w *rowWriter) timestamp(t time.Time) {
	const epoch = 946_684_800_000_000 // 2000-01-01 in microseconds since 1970
	w.bigint(t.UnixMicro() - epoch)
}

// array writes n elements of a type, known by its oid, each written by element.
func (w *rowWriter) array(oid uint32, n int, element func(i int)) {
	at := len(w.buf)
	w.word(0)
	for _, v := range [...]int32{1, 0, int32(oid), int32(n), 1} { // dimensions, nulls, type, length, index of the first
		w.word(v)
	}
	for i := range n {
		element(i)
	}
	binary.BigEndian.PutUint32(w.buf[at:], uint32(len(w.buf)-at-4))
}

// unlessZero writes a value, or null when it is the zero one.
func unlessZero[T comparable](w *rowWriter, v T, write func(T)) {
	var zero T
	if v == zero {
		w.null()
		return
	}
	write(v)
}

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
