package coordinator

import (
	"context"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// maxLoadedValues is how many bytes of dependencies' results are loaded for the templates of one task while it is on its way. What is more, its
// worker asks for.
const maxLoadedValues = 4 << 20

// loadValues completes attempts on their way to workers by what their tasks say beyond the protocol, where that fails, the worker asks; and by the locks that are held around
// them.
func (c *Coordinator) loadValues(ctx context.Context, work []*pg.Work) {
	if err := c.store.LoadLocks(ctx, work); err != nil {
		c.log.Warn("the locks around tasks could not be read, of which their workers are told nothing", "tasks", len(work), "error", err)
	}
	if err := c.store.LoadValues(ctx, work, maxLoadedValues); err != nil {
		c.log.Warn("values for templates could not be read", "tasks", len(work), "error", err)
	}
}

// controlOf is what the worker of an attempt with these merged inputs has to know beyond the protocol, without the scope of its templates; nil: nothing.
func controlOf(w *pg.Work, merged []byte) *workerv1.Control {
	c := w.Control
	if !c.ToWorker() {
		return nil
	}
	m := &workerv1.Control{Template: c.Template, Outputs: c.Outputs, Artifacts: c.Artifacts, FlowStep: c.FlowStep != nil}
	if c.Template {
		m.Templated = dag.Templated(w.Executor, w.Inputs, merged)
	}
	if r := c.Repeat; r != nil {
		m.Repeat = &workerv1.Control_Repeat{Until: r.Until, Max: int32(r.Max), DelayMs: r.Delay.Milliseconds(), Before: w.Repeats}
	}
	return m
}
