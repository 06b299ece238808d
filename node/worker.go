package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/readiness"
	"github.com/taskgrove/taskgrove/worker"
)

// Worker is a worker that a [Process] runs.
type Worker struct {
	*worker.Worker
	HTTP string // http://host:port, or https://, of its probes; empty: nowhere
}

var errNoNATS = errors.New("the worker has not reached NATS, or an executor checks itself")

// StartWorker starts a worker and its probes. It waits for a NATS that is not there yet, not until the worker is ready;
// meanwhile the probes say so.
func (p *Process) StartWorker(ctx context.Context, cfg *config.Worker, opts Options) (*Worker, error) {
	parts := partsOfWorker(cfg, p.log)
	w := &Worker{}
	var dialled atomic.Pointer[worker.Worker]
	p.Probe(func(context.Context) error { // before anybody can ask
		if w := dialled.Load(); w != nil {
			return w.Ready()
		}
		return &readiness.Fault{Reason: "waits for NATS", Err: errNoNATS}
	})
	if parts.http.Addr != "" {
		secured, err := p.listeners(parts.tls)
		if err != nil {
			return nil, err
		}
		parts.http.TLS = secured.http
		if w.HTTP, err = p.serveHTTP(ctx, http.NotFoundHandler(), parts.http); err != nil {
			return nil, fmt.Errorf("%sWORKER_HTTP_ADDR: %w", config.Prefix, err)
		}
	}
	own, err := builtin.OpenExternal(ctx, parts.external, p.log)
	if err != nil {
		return nil, err
	}
	parts.worker.Executors = slices.Concat(builtin.New(parts.guards), opts.Executors, own)
	parts.worker.LineWait = opts.LineWait
	err = p.WaitFor(ctx, "NATS to answer, or an executor's check", nil, func() (err error) {
		w.Worker, err = worker.Dial(ctx, parts.url, parts.worker)
		return err
	})
	if err != nil {
		return nil, err
	}
	p.OnStop("worker's connection and executors", w.Close)
	dialled.Store(w.Worker)
	p.Run(ctx, "worker", w.Run)
	return w, nil
}
