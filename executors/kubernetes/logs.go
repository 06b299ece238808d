package kubernetes

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/taskgrove/taskgrove/executors/workdir"
	"github.com/taskgrove/taskgrove/internal/kubeapi"
)

// drainWithin is how long the last output of a container that has ended may take.
const drainWithin = 5 * time.Second

// logs reads the output of a container. Kubernetes does not tell stdout from stderr.
type logs struct {
	out  *workdir.Spill
	last string // time of the last line, as the API wrote it
}

// reading is the goroutine that reads a container's output, once there is one.
type reading struct {
	logs     *logs
	api      *kubeapi.Client
	ctx      context.Context
	cancel   context.CancelFunc
	started  bool
	finished chan struct{} // closed when all has been read
}

// start makes one. Output goes on being read after the context's end, so that a container's last words are heard.
func (l *logs) start(ctx context.Context, a *kubeapi.Client) *reading {
	r := &reading{logs: l, api: a, finished: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return r
}

// begin begins to read, at its first call.
func (r *reading) begin(path string) {
	if r.started {
		return
	}
	r.started = true
	go func() { // ends with the output, and with finish
		defer close(r.finished)
		r.logs.follow(r.ctx, r.api, path)
	}()
}

// finish waits until all has been read of a container that has ended, or until it is clear that the rest is lost.
func (r *reading) finish() {
	defer r.cancel()
	if !r.started {
		return
	}
	select {
	case <-r.finished:
	case <-time.After(drainWithin):
		r.cancel()
		<-r.finished
	}
}

// follow reads until the container's output ends. When a connection breaks, it goes on after the last line that it has.
func (l *logs) follow(ctx context.Context, a *kubeapi.Client, path string) {
	for pause := pauseFirst; ctx.Err() == nil; pause = min(2*pause, pauseMost) {
		whole, err := l.read(ctx, a, path)
		if whole || kubeapi.CodeOf(err) == http.StatusNotFound {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// read reads one connection's worth, and reports whether the output has ended.
func (l *logs) read(ctx context.Context, a *kubeapi.Client, path string) (whole bool, err error) {
	query := url.Values{"container": {mainContainer}, "follow": {"true"}, "timestamps": {"true"}}
	since := l.last
	if since != "" {
		query.Set("sinceTime", since)
	}
	body, err := a.Open(ctx, http.MethodGet, path, query, "", nil)
	if err != nil {
		return false, err
	}
	defer body.Close()
	begin := true // of a line; a long one comes in parts
	for lines := bufio.NewReaderSize(body, 64<<10); ; {
		part, err := lines.ReadSlice('\n')
		if len(part) > 0 {
			l.take(part, since, begin)
			begin = part[len(part)-1] == '\n'
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return errors.Is(err, io.EOF), err
		}
	}
}

// take keeps a line without its time, unless it was read before: sinceTime is inclusive, and has whole seconds only.
func (l *logs) take(part []byte, since string, begin bool) {
	if begin {
		stamp, text, ok := bytes.Cut(part, []byte{' '})
		if !ok {
			return
		}
		if since != "" && !later(string(stamp), since) {
			return
		}
		l.last, part = string(stamp), text
	}
	_, _ = l.out.Write(part)
}

// later compares two times as the API writes them.
func later(a, b string) bool {
	at, err := time.Parse(time.RFC3339Nano, a)
	if err != nil {
		return true
	}
	bt, err := time.Parse(time.RFC3339Nano, b)
	return err != nil || at.After(bt)
}
