package coordinator

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskgrove/taskgrove/internal/record"
	"github.com/taskgrove/taskgrove/pg"
)

// recordMirrored is how many batches may wait to be mirrored; of more, the entries are left out, and the log says so.
const recordMirrored = 1000

// diskWait is how long it takes at most until Postgres has on disk what it has committed, and diskLook is how often that is looked at.
const (
	diskWait = 10 * time.Second
	diskLook = 20 * time.Millisecond
)

// recordMirror writes entries as lines of JSON, in their order, once they are on Postgres's disk. nil: nowhere.
type recordMirror struct {
	store *pg.Store
	log   *slog.Logger
	to    io.WriteCloser
	lines chan []*record.Entry
	done  sync.WaitGroup
	lost  atomic.Int64 // entries that were left out
}

// left is how many entries were left out.
func (m *recordMirror) left() int64 {
	if m == nil {
		return 0
	}
	return m.lost.Load()
}

// openMirror opens what entries are mirrored to.
func openMirror(path string, store *pg.Store, log *slog.Logger) (*recordMirror, error) {
	m := &recordMirror{store: store, log: log, lines: make(chan []*record.Entry, recordMirrored)}
	switch path {
	case "":
		return nil, nil
	case "-":
		m.to = unclosed{os.Stdout}
	default:
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		m.to = f
	}
	m.done.Go(m.run)
	return m, nil
}

// unclosed is a file that others go on writing to.
type unclosed struct{ io.Writer }

// Close does nothing.
func (unclosed) Close() error { return nil }

// add mirrors entries later. It does not wait.
func (m *recordMirror) add(entries []*record.Entry) {
	if m == nil {
		return
	}
	select {
	case m.lines <- entries:
	default:
		m.lost.Add(int64(len(entries)))
		m.log.Error("entries of the audit record are not mirrored, as the mirror takes them too slowly; the record has them", "from", entries[0].Seq, "entries", len(entries))
	}
}

// close writes what is left.
func (m *recordMirror) close() {
	if m != nil {
		close(m.lines)
		m.done.Wait()
	}
}

// run writes until it is closed.
func (m *recordMirror) run() {
	defer m.to.Close() //nolint:errcheck // each write has said what is wrong
	for entries := range m.lines {
		batch := append([][]*record.Entry{entries}, m.waiting()...)
		if err := onDisk(context.Background(), m.store); err != nil {
			m.log.Warn("entries of the audit record are mirrored that may not be on Postgres's disk yet", "error", err)
		}
		if err := writeLines(m.to, batch); err != nil {
			m.log.Error("entries of the audit record are not mirrored; the record has them", "from", entries[0].Seq, "error", err)
		}
	}
}

// waiting is what else is to be written.
func (m *recordMirror) waiting() (batch [][]*record.Entry) {
	for range len(m.lines) {
		batch = append(batch, <-m.lines)
	}
	return batch
}

func writeLines(to io.Writer, batch [][]*record.Entry) error {
	w := bufio.NewWriter(to)
	enc := json.NewEncoder(w)
	for _, entries := range batch {
		for _, e := range entries {
			if err := enc.Encode(e); err != nil {
				return err
			}
		}
	}
	return w.Flush()
}

// onDisk returns when all that Postgres has committed is on its disk.
func onDisk(ctx context.Context, store *pg.Store) error {
	ctx, cancel := context.WithTimeout(ctx, diskWait)
	defer cancel()
	target := int64(-1)
	for {
		written, disk, err := store.LogWritten(ctx)
		switch {
		case err != nil:
			return err
		case target < 0:
			target = written
		}
		if disk >= target {
			return nil
		}
		if !sleep(ctx, diskLook) {
			return fmt.Errorf("wait until changes are on disk: %w", ctx.Err())
		}
	}
}
