package api

import (
	"errors"
	"strings"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// Reasons of conflicts, for programs. A conflict without one tells only its text.
const (
	ReasonLevel         = "LEVEL_TOO_LOW"  // a process is too old for what the tree needs
	ReasonStillStopping = "STILL_STOPPING" // a cancelled task has not stopped; passes by itself
	ReasonCannotDelete  = "CANNOT_DELETE"  // a task is not pending, or others depend on it
	ReasonTreeStarted   = "TREE_STARTED"   // nothing can be added to it any more
	ReasonNoTree        = "NO_TREE"        // none came of a requirement
	ReasonNotUnique     = "NOT_UNIQUE"     // another tree has the key
	ReasonHeld          = "HELD"           // somebody holds the tree: nothing of it is deleted or changed
)

// conflict is the fault of a state that does not allow what was asked.
func conflict(err error) *Fault {
	f := &Fault{Kind: Conflict, Text: err.Error()}
	if e, ok := errors.AsType[*dag.LevelError](err); ok {
		f.Reason, f.Facts = ReasonLevel, map[string]string{"needed": e.Needed, "process": e.Process, "version": e.Version}
	} else if e, ok := errors.AsType[*coordinator.StillStoppingError](err); ok {
		f.Reason, f.Facts = ReasonStillStopping, map[string]string{"tree_id": e.TreeID}
	} else if e, ok := errors.AsType[*coordinator.DeleteError](err); ok {
		f.Reason, f.Facts = ReasonCannotDelete, map[string]string{"reasons": strings.Join(e.Reasons, "; ")}
	} else if e, ok := errors.AsType[*coordinator.ParentError](err); ok {
		f.Reason, f.Facts = ReasonTreeStarted, map[string]string{"parent_id": e.ParentID, "tree_id": e.TreeID}
	} else if e, ok := errors.AsType[*coordinator.GenerateError](err); ok {
		f.Reason, f.Facts = ReasonNoTree, map[string]string{"task_id": e.TaskID}
	} else if e, ok := errors.AsType[*coordinator.UniqueError](err); ok {
		f.Reason, f.Facts = ReasonNotUnique, map[string]string{"tree_id": e.TreeID, "key": e.Key}
	} else if e, ok := errors.AsType[*coordinator.HeldError](err); ok {
		f.Reason, f.Facts = ReasonHeld, map[string]string{"tree_id": e.TreeID, "reason": e.Reason}
	}
	return f
}

// updateFault names the field of each fault of an update, whose texts are those of spec 2.3.
func updateFault(err *coordinator.UpdateError) *Fault {
	f := &Fault{Kind: Invalid, Text: err.Error()}
	for _, text := range err.Faults {
		f.Parameters = append(f.Parameters, ParameterFault{Field: updateField(text), Text: text})
	}
	return f
}

// updateField is the field that a fault of an update is about: the one that it quotes, else the dependencies.
func updateField(text string) string {
	if rest, ok := strings.CutPrefix(text, "Cannot update '"); ok {
		field, _, _ := strings.Cut(rest, "'")
		return field
	}
	return "dependencies"
}
