package worker

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/secrets"
)

// kind is one executor with what was asked of it once.
type kind struct {
	executor    executors.Executor
	description executors.Description
	uses        *secrets.Use // what its inputs may name; nil: nothing
	span        string
	outcomes    outcomes
}

// kinds are the executors of a worker, by id.
type kinds map[string]*kind

func newKinds(all []executors.Executor, store *secrets.Store) kinds {
	k := kinds{}
	for _, e := range all {
		d := e.Describe()
		k[d.ID] = &kind{executor: e, description: d, uses: store.For(d), span: "run " + d.ID, outcomes: outcomeAttributes(d.ID)}
	}
	return k
}

// ids are all ids, sorted.
func (k kinds) ids() []string { return slices.Sorted(maps.Keys(k)) }

// types are all types, sorted, each once.
func (k kinds) types() []string {
	var types []string
	for _, one := range k {
		types = append(types, one.description.Type)
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// closeExecutors closes those that are an io.Closer.
func closeExecutors(all []executors.Executor) error {
	var errs []error
	for _, e := range all {
		if c, ok := e.(io.Closer); ok && !isNil(e) {
			if err := c.Close(); err != nil {
				errs = append(errs, fmt.Errorf("close executor %s: %w", e.Describe().ID, err))
			}
		}
	}
	return errors.Join(errs...)
}
