package condition

import (
	"encoding/json"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// Scope are the values of one evaluation. Nothing in it is changed.
type Scope struct {
	Dependencies []Dependency    // When: of the task, each once
	Result       json.RawMessage // Until: of the attempt that ended; empty: null
	Attempt      int             // Until: its number, from 1
	Inputs       json.RawMessage // as they were submitted, an object; empty: none
	Tree         Tree
	Task         Task
}

// Dependency is one direct dependency of a task. For [Program.Unknown] its names are enough.
type Dependency struct {
	Ref      string // what the submission called it in the task's dependencies; empty: its id
	ID, Name string
	Outcome  string          // success, skipped, failed, cancelled or blocked
	Status   string          // as on the wire
	Result   json.RawMessage // empty: null
	Outputs  json.RawMessage // empty: null
	Error    string          // empty: null
	Attempts int             // the number of the last one, 0: none
}

// Key is the name under which the dependency stands in the map of all.
func (d *Dependency) Key() string {
	if d.Ref != "" {
		return d.Ref
	}
	return d.ID
}

// addresses are dependencies by what an expression may call them: a ref goes before an id, and an id before a name. -1: several have the name.
func addresses(of []Dependency) map[string]int {
	all := make(map[string]int, 2*len(of))
	for i := range of {
		all[of[i].Key()] = i
	}
	for i := range of {
		if _, taken := all[of[i].ID]; !taken && of[i].ID != "" {
			all[of[i].ID] = i
		}
	}
	names := make(map[string]int, len(of))
	for i := range of {
		if _, taken := names[of[i].Name]; taken {
			names[of[i].Name] = -1
		} else if of[i].Name != "" {
			names[of[i].Name] = i
		}
	}
	for name, i := range names {
		if _, taken := all[name]; !taken {
			all[name] = i
		}
	}
	return all
}

// Tree is what an expression may know of the task's tree. An empty user is null.
type Tree struct{ ID, UserID string }

// Task is what an expression may know of the task.
type Task struct{ ID, Name string }

// size is the bytes of the values together.
func (s *Scope) size() int {
	n := len(s.Inputs) + len(s.Result)
	for i := range s.Dependencies {
		n += len(s.Dependencies[i].Result) + len(s.Dependencies[i].Outputs) + len(s.Dependencies[i].Error)
	}
	return n
}

// variables gives an evaluation the values of a scope, and decodes them when they are asked for.
type scopeVariables struct {
	*Scope
	deps           *dependencies
	inputs, result ref.Val
}

var _ interpreter.Activation = (*scopeVariables)(nil)

func (s *scopeVariables) Parent() interpreter.Activation { return nil }

func (s *scopeVariables) ResolveName(name string) (any, bool) {
	switch name {
	case "deps":
		if s.deps == nil {
			s.deps = newDependencies(s.Dependencies)
		}
		return s.deps, true
	case "inputs":
		if s.inputs == nil {
			if s.inputs = decode(s.Inputs); s.inputs == types.NullValue {
				s.inputs = newMembers(nil)
			}
		}
		return s.inputs, true
	case "result":
		if s.result == nil {
			s.result = decode(s.Result)
		}
		return s.result, true
	case "attempt":
		return types.Int(s.Attempt), true
	case "tree":
		return object{treeType, &s.Tree}, true
	case "task":
		return object{taskType, &s.Task}, true
	}
	return nil, false
}
