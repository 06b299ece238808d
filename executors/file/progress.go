package file

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/taskgrove/taskgrove/executors"
)

// progressEvery is the least time between two reports.
const progressEvery = 200 * time.Millisecond

// progress reports how many bytes are done.
type progress struct {
	reporter    executors.Reporter
	done, total atomic.Int64
	last        atomic.Int64 // time of the last report
}

func newProgress(r executors.Reporter) *progress { return &progress{reporter: r} }

// add says that there is more to do.
func (p *progress) add(n int64) { p.total.Add(max(0, n)) }

// Write counts what went by.
func (p *progress) Write(b []byte) (int, error) {
	p.count(int64(len(b)))
	return len(b), nil
}

func (p *progress) count(n int64) {
	done, now := p.done.Add(n), time.Now().UnixNano()
	if last := p.last.Load(); now-last < int64(progressEvery) || !p.last.CompareAndSwap(last, now) {
		return
	}
	total := max(done, p.total.Load())
	p.reporter.Progress(float64(done)/float64(total), fmt.Sprintf("%d of %d bytes", done, total))
}
