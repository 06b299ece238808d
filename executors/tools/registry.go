package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/model"
)

// Registry is the kinds of tools that a worker has. Safe for concurrent use.
type Registry struct {
	kinds  map[string]Kind
	faults []error
}

// NewRegistry makes one of these kinds. [Registry.Check] says what is wrong with them.
func NewRegistry(kinds ...Kind) *Registry {
	r := &Registry{kinds: map[string]Kind{}}
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

// Session makes the tools of one attempt. The caller closes it.
func (r *Registry) Session(call *executors.Call) *Session { return &Session{registry: r, call: call} }

// Session is the tools of one attempt, of all its agents. Safe for concurrent use.
type Session struct {
	registry *Registry
	call     *executors.Call
}

// Close closes what the tools keep open.
func (s *Session) Close() error { return nil }

// Resolve makes the tools of a list as tasks write it (a JSON array, null or nil). Errors are all that is wrong with it, each classed
// ([executors.IsPermanent]), with texts that begin with path and the place in the list: "works.agents.ann.tools[0]: …". The set has what could
// be made.
func (s *Session) Resolve(ctx context.Context, path string, list json.RawMessage) (*Set, []error) {
	return &Set{session: s}, nil
}

// Set is the tools of one agent. Safe for concurrent use.
type Set struct {
	session *Session
	tools   map[string]Tool
	specs   []model.Tool
}

// Specs are what a model is told, in the order of the list.
func (s *Set) Specs() []model.Tool { return s.specs }

// Use does what a model asks for. Whatever is wrong with the wish (there is no such tool, arguments that its schema refuses) and errors of the
// tool are answers that have Failed set. An error means that the attempt has ended: it is the cause of ctx.
func (s *Set) Use(ctx context.Context, wish model.ToolCall) (Answer, error) {
	return Answer{}, nil
}

// identifier reports whether a text can be the name of a kind.
func identifier(text string) bool {
	for i, c := range []byte(text) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return text != ""
}
