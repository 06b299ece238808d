package crew

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/agent"
	"github.com/taskgrove/taskgrove/executors/budget"
	"github.com/taskgrove/taskgrove/executors/journal"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/tools"
)

// Ids of the executors.
const (
	ID      = "crewai_executor"
	BatchID = "batch_crewai_executor"
)

// DefaultModel is that of agents for whom nothing names one, as in the reference.
const DefaultModel = "gpt-4o-mini"

// Config configures crews.
type Config struct {
	// Model is that of agents for whom nothing names one. Empty: [DefaultModel].
	Model string
	// MaxResultBytes bounds the result of a task of a crew; all that an attempt keeps is bounded by a small multiple. 0:
	// [executors.DefaultOutputBytes].
	MaxResultBytes int
}

// kind is one of the executors.
type kind struct {
	id    string
	batch bool
}

// Executor is crewai_executor, or batch_crewai_executor.
type Executor struct {
	kind
	cfg    Config
	models *model.Models
	tools  *tools.Registry
}

// New makes crewai_executor, whose agents ask the models, and may use tools of the registry. Both stay their owner's.
func New(cfg Config, models *model.Models, registry *tools.Registry) *Executor {
	return newExecutor(kind{id: ID}, cfg, models, registry)
}

// NewBatch makes batch_crewai_executor.
func NewBatch(cfg Config, models *model.Models, registry *tools.Registry) *Executor {
	return newExecutor(kind{id: BatchID, batch: true}, cfg, models, registry)
}

func newExecutor(k kind, cfg Config, models *model.Models, registry *tools.Registry) *Executor {
	cfg.Model, cfg.MaxResultBytes = cmp.Or(cfg.Model, DefaultModel), cmp.Or(cfg.MaxResultBytes, executors.DefaultOutputBytes)
	return &Executor{k, cfg, models, registry}
}

// Check implements [executors.Checker]: prices, proxies, authorities and tools must be usable.
func (e *Executor) Check(context.Context) error {
	return errors.Join(e.models.Check(), e.tools.Check())
}

// Close closes idle connections.
func (e *Executor) Close() error { return e.models.Close() }

// Run implements [executors.Executor].
func (e *Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	o, err := e.read(call, e.cfg.Model)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		what := "crew"
		if e.batch {
			what = "batch"
		}
		return executors.Partial(&Result{Status: statusCancelled, Error: "Task was cancelled before " + what + " execution started"}), context.Cause(ctx)
	}
	j, call := journal.Open(call, call.Checkpoint, call.Reporter.Checkpoint)
	meter := o.limits.Meter(call.Spent)
	o.opts.Meter = meter
	ctx, cancel := meter.Context(ctx)
	defer cancel()
	ask, err := e.models.Session(call, o.opts)
	if err != nil {
		return nil, err
	}
	kits := e.tools.Session(call)
	kits.Made(j.Made())
	defer kits.Close() //nolint:errcheck // what it closes is not needed any more
	if err := o.equip(ctx, e.id, kits, ask); err != nil {
		return nil, err
	}
	agents := agent.NewSession(ask, call)
	agents.Journal, agents.Answered = j, answered(call, j)
	w := newWork(call, o, agents, newRoom(e.cfg.MaxResultBytes))
	if e.batch {
		result, err := w.batch(ctx)
		return w.outcome(ctx, result, err)
	}
	result, err := w.crew(ctx, 0, w.session)
	return w.outcome(ctx, result, err)
}

// outcome is how an attempt ends.
func (w *work) outcome(ctx context.Context, result *Result, err error) (*executors.Outcome, error) {
	o := w.order
	if waits := waiting(err); waits != nil && ctx.Err() == nil {
		return w.ask(waits), nil
	}
	if err == nil {
		return executors.Completed(result), nil
	}
	err = executors.Ended(ctx, err)
	if ctx.Err() == nil || budget.ExhaustedOf(err) != nil { // else the result is the partial one
		if text, bad := json.Marshal(result); bad == nil {
			err = executors.WithDetail(err, cut(string(text), maxDetail))
		}
	}
	return o.limits.End(err, result)
}

const maxDetail = 60 << 10

// Demo implements [executors.Demonstrator] (spec 3.10, 8.11).
func (e *Executor) Demo(call *executors.Call) (any, time.Duration) {
	if e.batch {
		return demoBatch(call)
	}
	return demoCrew(worksOfDemo(call)), time.Second
}
