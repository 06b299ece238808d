package jsonrpc

import (
	"encoding/json"
	"iter"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
)

// read yields the tasks of a part of a request. see may be nil; it is shown each task on its way.
func (h *Handler) read(document json.RawMessage, see func(*dag.Task)) iter.Seq2[*dag.Task, error] {
	tasks := treedoc.Parse(document, treedoc.Options{Limits: h.cfg.Limits, Executors: h.cfg.Known})
	if see == nil {
		return tasks
	}
	return func(yield func(*dag.Task, error) bool) {
		for t, err := range tasks {
			if err == nil {
				see(t)
			}
			if !yield(t, err) {
				return
			}
		}
	}
}
