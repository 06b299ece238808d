package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// failed reports whether an end is one that people look at.
func failed(o dag.Outcome) bool {
	switch o {
	case dag.OutcomeCompleted, dag.OutcomeSkipped, dag.OutcomeExpanded, dag.OutcomeAwaiting, dag.OutcomeRepeated:
		return false
	}
	return true
}

// kindOf is the word for an error, if it has one that can be stored.
func kindOf(err error) string {
	if k := dag.Kind(executors.KindOf(err)); k.Valid() {
		return string(k)
	}
	return ""
}

// produce encodes what an executor returned. ended: it returned no error, so that the kind of the outcome counts.
func produce(o *executors.Outcome, ended bool, c *workerv1.Control) (made product, err error) {
	kind := executors.KindCompleted
	if ended {
		kind = o.Kind()
	}
	switch kind {
	case executors.KindSkipped:
		if !dag.Kind(o.Reason()).Valid() {
			return made, fmt.Errorf("the reason %.80q of a skip is no word of 1 to %d letters, digits, _, - and dots", o.Reason(), dag.MaxKindBytes)
		}
		value, err := encode(o.Value())
		if err != nil {
			return made, fmt.Errorf("result can't be encoded as JSON: %w", err)
		}
		return product{value: dag.SkippedResult(o.Reason(), value), outcome: o}, nil
	case executors.KindExpanding:
		document, err := encode(expansion(o.Expand(), c))
		if err != nil {
			return made, fmt.Errorf("an expansion can't be encoded as JSON: %w", err)
		}
		return product{value: document, outcome: o}, nil
	case executors.KindAwaiting:
		data, err := encode(o.Await().Data)
		if err == nil && o.Await().Kind == executors.AwaitTree && c.GetFlowStep() && len(c.GetOutputs()) > 0 {
			data, err = withOutputs(data, c)
		}
		if err == nil {
			err = checkAwait(o.Await(), data)
		}
		if err != nil {
			return made, fmt.Errorf("a wait can't be stored: %w", err)
		}
		return product{value: data, outcome: o}, nil
	}
	value, err := encode(o.Value())
	if err != nil {
		return made, fmt.Errorf("result can't be encoded as JSON: %w", err)
	}
	return product{value: value}, nil
}

// withOutputs adds the outputs of a step of a flow to what it says of the run that it waits for: they are rendered once that has ended.
func withOutputs(data []byte, c *workerv1.Control) ([]byte, error) {
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	all["outputs"] = c.GetOutputs()
	if values := dag.KeptValues(c.GetScope(), c.GetOutputs()); values != nil {
		all["values"] = values
	}
	return json.Marshal(all)
}

// expansion is the document that coordinators read. A step of a flow keeps for the tasks what their templates name of that.
func expansion(e *executors.Expand, c *workerv1.Control) any {
	out := struct {
		Tasks   json.RawMessage `json:"tasks,omitempty"`
		Items   json.RawMessage `json:"items,omitempty"`
		Each    json.RawMessage `json:"each,omitempty"`
		Window  int             `json:"window,omitempty"`
		Stop    bool            `json:"stop_on_failure,omitempty"`
		Collect string          `json:"collect,omitempty"`
		Values  json.RawMessage `json:"values,omitempty"`
		Outputs json.RawMessage `json:"outputs,omitempty"`
	}{e.Tasks, e.Items, e.Each, e.Window, e.StopOnFailure, e.Collect, nil, nil}
	if c.GetFlowStep() && e.Collect == executors.CollectCounted {
		out.Outputs = c.GetOutputs()
		out.Values = dag.KeptValues(c.GetScope(), e.Each, out.Outputs)
	}
	return out
}

var awaitKinds = map[executors.AwaitKind]dag.AwaitKind{
	executors.AwaitSignal: dag.AwaitSignal, executors.AwaitApproval: dag.AwaitApproval, executors.AwaitTime: dag.AwaitTime, executors.AwaitTree: dag.AwaitTree,
}

func checkAwait(a *executors.Await, data []byte) error {
	switch {
	case awaitKinds[a.Kind] == 0:
		return fmt.Errorf("there is no kind %.80q", a.Kind)
	case len(data) > dag.MaxAwaitData:
		return fmt.Errorf("its data has %d bytes, the most is %d", len(data), dag.MaxAwaitData)
	case a.Kind == executors.AwaitSignal && a.Name == "":
		return errors.New("a signal has a name")
	case a.Timeout < 0:
		return errors.New("its timeout is negative")
	case a.Kind == executors.AwaitTime && a.Timeout == 0 && a.Until.IsZero():
		return errors.New("it is for a time, and has none")
	}
	return nil
}

// errTooOld is the failure of an attempt that ends as coordinators before 0.10 don't know. Its task may be tried again: they are replaced one by one.
const errTooOld = "a coordinator of the cluster is too old for how the attempt ended: expansions, waits and repetitions need 0.10 everywhere"

// complete says in a result how an attempt ended that returned no error.
func (w *Worker) complete(a *attempt, r *workerv1.Result, done *finished) {
	kind := done.outcome.Kind()
	if (kind == executors.KindExpanding || kind == executors.KindAwaiting || done.again != nil) && !w.ends.Load() {
		setEnd(r, dag.OutcomeFailed)
		r.Error = errTooOld
		return
	}
	if done.again != nil {
		setEnd(r, dag.OutcomeRepeated)
		r.GetRepeated().DelayMs = done.again.DelayMs
	}
	switch o := done.outcome; o.Kind() {
	case executors.KindSkipped:
		if !w.ends.Load() { // what there is that says so
			break
		}
		setEnd(r, dag.OutcomeSkipped)
		r.GetSkipped().Reason = o.Reason()
	case executors.KindExpanding:
		setEnd(r, dag.OutcomeExpanded)
	case executors.KindAwaiting:
		setEnd(r, dag.OutcomeAwaiting)
		wait, await := o.Await(), r.GetAwaiting()
		await.Kind, await.Name, await.TimeoutMs, await.Resume = int32(awaitKinds[wait.Kind]), wait.Name, millisUp(wait.Timeout), wait.Resume
		if !wait.Until.IsZero() {
			await.UntilUnixUs = wait.Until.UnixMicro()
		}
	}
	if w.attach(a, r, done.value); endOf(r) == dag.OutcomeCompleted || endOf(r) == dag.OutcomeSkipped {
		r.Outputs = done.outputs
	}
}

// answerOf is how the wait of an earlier attempt has ended, for the executor; nil: there was none.
func answerOf(a *workerv1.Answer) *executors.Answer {
	if a == nil {
		return nil
	}
	out := &executors.Answer{Choice: a.Choice, Payload: a.Payload, By: a.By, Comment: a.Comment}
	if a.UnixUs != 0 {
		out.At = time.UnixMicro(a.UnixUs)
	}
	return out
}
