package treetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/aggregate"
	"github.com/taskgrove/taskgrove/executors/approval"
	"github.com/taskgrove/taskgrove/executors/checkitems"
	"github.com/taskgrove/taskgrove/executors/mapper"
	"github.com/taskgrove/taskgrove/executors/noop"
	"github.com/taskgrove/taskgrove/executors/sleep"
	"github.com/taskgrove/taskgrove/executors/subtree"
	"github.com/taskgrove/taskgrove/executors/wait"
)

// runners are the executors that run as they are: they do nothing outside.
var runners = map[string]executors.Executor{
	mapper.ID: mapper.New(), subtree.ID: subtree.New(), wait.ID: wait.New(), approval.ID: approval.New(), sleep.ID: sleep.New(),
	noop.ID: noop.New(), noop.RepeatableID: noop.NewRepeatable(), aggregate.ID: aggregate.New(), checkitems.ID: checkitems.New(),
}

// runOwn runs an attempt by its executor. What sleeps takes virtual time.
func (w *world) runOwn(a *attempt, e executors.Executor) {
	if fault := w.validate(a); fault != nil {
		w.end(a, 0, func() dag.Result { return *fault })
		return
	}
	t := a.t
	call := &executors.Call{TaskID: t.id, TreeID: t.tree.id, Name: t.Name, UserID: t.user(), Attempt: int(a.number), Inputs: a.inputs, Params: t.Params, Schemas: t.Schemas,
		Repeat: int(t.row.Repeats), Reporter: silent{}}
	call.Submitted = slices.DeleteFunc(dag.References(t.Executor, t.Control, t.Inputs, a.merged), func(name string) bool { return slices.Contains(a.data, name) })
	if t.Executor == sleep.ID {
		p, err := sleep.Read(call)
		if err != nil {
			w.end(a, 0, func() dag.Result { return failed(err) })
			return
		}
		after := p.Time
		if p.Durable {
			after = 0
		}
		w.end(a, after, func() dag.Result { return w.outcome(a)(p.End(call, p.Time)) })
		return
	}
	w.end(a, 0, func() dag.Result { return w.outcome(a)(e.Run(context.Background(), call)) })
}

// outcome is what an attempt ends with by the word of its executor.
func (w *world) outcome(a *attempt) func(*executors.Outcome, error) dag.Result {
	return func(o *executors.Outcome, err error) dag.Result {
		if err != nil {
			return failed(err)
		}
		switch o.Kind() {
		case executors.KindSkipped:
			value, err := encode(o.Value())
			if err != nil {
				return failed(err)
			}
			return w.skip(a, dag.Result{Outcome: dag.OutcomeSkipped, Value: dag.SkippedResult(o.Reason(), value)})
		case executors.KindExpanding:
			e := o.Expand()
			document, err := encode(expandDocument(a, e))
			if err != nil {
				return failed(err)
			}
			return w.expand(a, document)
		case executors.KindAwaiting:
			return w.awaits(a, o.Await())
		}
		value, err := encode(o.Value())
		if err != nil {
			return failed(executors.Permanent(err))
		}
		return w.complete(a, value)
	}
}

// unseen is the failure of a task that says what becomes of its result, and waits or finds tasks; nil: it may. rendered: its outputs are, once these have ended.
func (a *attempt) unseen(rendered bool) *dag.Result {
	c := a.t.Control
	if c == nil {
		return nil
	}
	if reason := dag.Unseen(c.Repeat != nil, c.Outputs != nil && !rendered, len(c.Artifacts) > 0); reason != "" {
		res := permanent(dag.KindOutput, "%s", reason)
		return &res
	}
	return nil
}

var awaitKinds = map[executors.AwaitKind]dag.AwaitKind{
	executors.AwaitSignal: dag.AwaitSignal, executors.AwaitApproval: dag.AwaitApproval, executors.AwaitTime: dag.AwaitTime, executors.AwaitTree: dag.AwaitTree,
}

// awaits has an attempt wait.
func (w *world) awaits(a *attempt, o *executors.Await) dag.Result {
	if fault := a.unseen(false); fault != nil && !o.Resume {
		return *fault
	}
	data, err := encode(o.Data)
	if err == nil && len(data) > dag.MaxAwaitData {
		err = fmt.Errorf("its data has %d bytes, the most is %d", len(data), dag.MaxAwaitData)
	}
	if err != nil {
		return permanent(dag.KindOutput, "a wait can't be stored: %v", err)
	}
	return dag.Result{Outcome: dag.OutcomeAwaiting, After: dag.After{Await: dag.Await{Kind: awaitKinds[o.Kind], Name: o.Name, Timeout: o.Timeout, Until: o.Until, Resume: o.Resume, Data: data}}}
}

// encode is a value as JSON.
func encode(value any) (json.RawMessage, error) {
	if text, ok := value.(json.RawMessage); ok {
		return text, nil
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(value)
	return bytes.TrimSpace(out.Bytes()), err
}

// silent is a reporter that drops everything.
type silent struct{}

// Log implements [executors.Reporter].
func (silent) Log(string, string) {}

// Progress implements [executors.Reporter].
func (silent) Progress(float64, string) {}

// Checkpoint implements [executors.Reporter].
func (silent) Checkpoint(json.RawMessage) error { return nil }

// seconds is a time in seconds, to a millisecond.
func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }
