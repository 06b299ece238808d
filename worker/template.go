package worker

import (
	"errors"
	"fmt"
	"slices"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/executors"
)

// maxOutputs is how many bytes the outputs of an attempt may have, as JSON.
const maxOutputs = 256 << 10

// names is what the templates of an attempt may name of it.
func (a *attempt) names() *dag.Rendering {
	return &dag.Rendering{TaskID: a.work.TaskId, Name: a.work.Name, TreeID: a.work.TreeId, UserID: a.work.UserId, Attempt: int64(a.Key.Number)}
}

// render puts values in the place of the templates of those inputs that have some by the task's own word, and gives the references that are left: what
// a template has put somewhere is data, and names no secret.
func (w *Worker) render(a *attempt, in given) (given, error) {
	control := in.control
	if !control.GetTemplate() || len(control.Templated) == 0 {
		return in, nil
	}
	out, data, err := a.names().Inputs(in.inputs, control.Templated, control.Scope, w.cfg.MaxInputBytes)
	if err != nil {
		return in, templateError(err)
	}
	if len(out) > w.cfg.MaxInputBytes {
		return in, executors.WithKind(executors.Permanent(fmt.Errorf("inputs have %d bytes once they are rendered, the most is %d", len(out), w.cfg.MaxInputBytes)), string(template.TooLarge))
	}
	references := slices.DeleteFunc(slices.Clone(in.references), func(name string) bool { return slices.Contains(data, name) })
	return given{inputs: out, references: references, control: control, submitted: in.inputs}, nil
}

// outputs renders the values that the task names, of a result that is without secrets. nil: it names none.
func (w *Worker) outputs(a *attempt, in given, result []byte) ([]byte, error) {
	if len(in.control.GetOutputs()) == 0 {
		return nil, nil
	}
	merged := in.inputs
	if in.submitted != nil {
		merged = in.submitted
	}
	most := min(maxOutputs, w.conn.MaxPayload()/4)
	out, err := a.names().Outputs(in.control.Outputs, merged, in.control.Scope, result, most)
	if err != nil {
		return nil, templateError(err)
	}
	if len(out) > most {
		return nil, executors.Permanent(executors.WithKind(fmt.Errorf("outputs have %d bytes, the most is %d", len(out), most), string(template.TooLarge)))
	}
	return out, nil
}

// templateError is a fault of a template as the failure of an attempt, with its kind.
func templateError(err error) error {
	if fault, ok := errors.AsType[*template.Error](err); ok {
		return executors.WithKind(executors.Permanent(fault), string(fault.Kind))
	}
	return executors.Permanent(err)
}
