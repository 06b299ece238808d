package worker

import (
	"slices"
	"strings"
	"time"

	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// faultAfter is how long takes must have gone wrong before that is a fault: consumers of pools are made, and made again,
// within less.
const faultAfter = 5 * time.Second

// faults is what operators should know, as the worker's beats tell.
func (w *Worker) faults() []*workerv1.Fault {
	all := append(w.hindrances(), w.fileFault()...)
	return all[:min(len(all), workerv1.MaxFaults)]
}

// hindrances is what keeps the worker from work.
func (w *Worker) hindrances() []*workerv1.Fault {
	all := slices.Clone(w.cfg.off)
	for _, p := range w.pools {
		taker := p.taker.Load()
		if taker == nil {
			continue
		}
		if text := taker.Fault(faultAfter); text != "" {
			all = append(all, &workerv1.Fault{Pool: p.name, Text: clean(text, workerv1.MaxFaultText)})
		}
	}
	for _, what := range w.conn.Refused() {
		if !strings.Contains(what, ".MSG.NEXT.") { // of a pool, whose taker says so
			all = append(all, &workerv1.Fault{Text: clean("NATS does not let the worker "+what, workerv1.MaxFaultText)})
		}
	}
	return all
}
