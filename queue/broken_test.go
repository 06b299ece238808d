package queue_test

import (
	"context"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/taskgrove/taskgrove/queue"
)

// soon is a context of a second, as nothing may be answered.
func (h *house) soon() context.Context {
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Second)
	h.t.Cleanup(cancel)
	return ctx
}

// TestFullDisk: after the disk of a server was full, streams that refuse what is published are made again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=8g"); err != nil {
		t.Skipf("a disk to fill takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	h := newHouseIn(t, filepath.Join(disk, "store"))
	c := h.connect(queue.Config{Name: "coordinator"})
	must(t, c.EnsureStreams(h.context()))
	must(t, c.EnsurePools(h.context(), "p"))
	w := h.worker("w1")
	work := []queue.WorkMessage{{Pool: "p", Data: make([]byte, 10<<10)}}
	arrived := consume(t, c, 10)

	var fs unix.Statfs_t
	must(t, unix.Statfs(disk, &fs))
	used := (fs.Blocks - fs.Bfree) * uint64(fs.Bsize)
	must(t, unix.Mount("tmpfs", disk, "tmpfs", unix.MS_REMOUNT, "size="+strconv.FormatUint(used+64<<10, 10)))
	eventually(t, "work is refused", func() bool { return c.PublishWork(h.context(), work) != nil })
	eventually(t, "results are refused", func() bool { return w.PublishResults(h.soon(), make([]byte, 10<<10)) != nil })
	must(t, unix.Mount("tmpfs", disk, "tmpfs", unix.MS_REMOUNT, "size=8g"))

	eventually(t, "both are stored again", func() bool {
		_ = c.EnsureStreams(h.context()) // as coordinators do all the time
		return c.PublishWork(h.context(), work) == nil && w.PublishResults(h.soon(), []byte("after")) == nil
	})
	for {
		m := want(t, "a result", arrived)
		m.Ack()
		if string(m.Data) == "after" {
			return
		}
	}
}
