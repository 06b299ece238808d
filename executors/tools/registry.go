package tools

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/mcp"
)

// Registry is the kinds of tools that a worker has. Safe for concurrent use.
type Registry struct {
	kinds   map[string]Kind
	faults  []error
	checker *inputs.Checker
	servers *mcp.Opener // nil: there are none
}

// NewRegistry makes one of these kinds. [Registry.Check] says what is wrong with them.
func NewRegistry(kinds ...Kind) *Registry {
	r := &Registry{kinds: map[string]Kind{}, checker: inputs.NewChecker(0)}
	for _, k := range kinds {
		switch _, taken := r.kinds[k.ID]; {
		case !identifier(k.ID):
			r.faults = append(r.faults, fmt.Errorf("tool %q: a name is letters, digits and _, and begins with no digit", k.ID))
		case k.New == nil:
			r.faults = append(r.faults, fmt.Errorf("tool %s: New is nil", k.ID))
		case taken && !k.Override:
			r.faults = append(r.faults, fmt.Errorf("tool %s is registered twice; Override lets the last one take the place", k.ID))
		default:
			r.kinds[k.ID] = k
		}
	}
	return r
}

// Check says what is wrong with the kinds, in a text for whoever built the worker; nil: nothing.
func (r *Registry) Check() error { return errors.Join(r.faults...) }

// Names are those of all kinds, sorted.
func (r *Registry) Names() []string { return slices.Sorted(maps.Keys(r.kinds)) }

// identifier reports whether a text can be the name of a kind.
func identifier(text string) bool {
	for i, c := range []byte(text) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return text != ""
}
