package treedoc

import (
	"bytes"
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
)

// MaxWarnings is how much is said about one tree. Fields and reasons are short: keys are cut to 100 bytes.
const MaxWarnings = 20

// Warnings looks for keys that have no effect and were likely meant to: they are spelt nearly as one that has, or as other systems
// call it. It is for one tree and one goroutine.
type Warnings struct {
	// Inputs are the keys that the inputs of executors may have, as far as it is known.
	Inputs map[string][]string

	list   []dag.Warning
	judged map[string]string // what unknown keys mean, by their place and name
	more   bool              // there was no room for all
	next   int               // index of the next task
}

// All are the warnings, at most [MaxWarnings]; the last one tells if there were more.
func (w *Warnings) All() []dag.Warning {
	if !w.more {
		return w.list
	}
	return append(w.list[:MaxWarnings-1:MaxWarnings-1], dag.Warning{Field: "tasks", Reason: "there are more warnings than are shown"})
}

// See looks at tasks on their way.
func (w *Warnings) See(tasks iter.Seq2[*dag.Task, error]) iter.Seq2[*dag.Task, error] {
	return func(yield func(*dag.Task, error) bool) {
		for t, err := range tasks {
			if err == nil {
				w.Look(t)
			}
			if !yield(t, err) {
				return
			}
		}
	}
}

// Look looks at the next task.
func (w *Warnings) Look(t *dag.Task) {
	i := w.next
	w.next++
	if w.more {
		return
	}
	for _, field := range t.Unknown {
		w.judge(i, field, field[strings.LastIndexByte(field, '.')+1:], dependencySet)
	}
	if len(t.Custom) > 0 {
		w.object(i, t.Custom, taskSet, t.Executor != "")
	}
	w.object(i, t.Schemas, schemasSet, false)
	w.object(i, t.Params, paramsSet, false)
	if known := w.Inputs[t.Executor]; known != nil {
		w.object(i, t.Inputs, keySet{prefix: "inputs.", names: known}, false)
	}
}

// keySet is the keys that an object may have.
type keySet struct {
	prefix string
	names  []string
	keys   []Key // with what is meant; may be empty
}

func setOf(prefix string, keys []Key) keySet {
	s := keySet{prefix: prefix, keys: keys}
	for _, k := range keys {
		s.names = append(s.names, k.Name)
	}
	return s
}

var taskSet, dependencySet, schemasSet, paramsSet = setOf("", taskKeys), setOf("dependencies.", dependencyKeys), setOf("schemas.", schemasKeys), setOf("params.", paramsKeys)

// object judges every key of an object. answered: the task has an executor, and answers show its id as "executor", too.
func (w *Warnings) object(index int, object []byte, known keySet, answered bool) {
	if len(object) <= len("{}") {
		return
	}
	s := scanner{text: object}
	_ = s.object(func(quoted []byte, _ part) error { // it has been read before
		name := quoted[1 : len(quoted)-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			name = []byte(unescape(quoted))
		}
		if !slices.ContainsFunc(known.names, func(k string) bool { return k == string(name) }) && (!answered || string(name) != "executor") {
			w.judge(index, known.prefix+string(name), string(name), known)
		}
		return nil
	})
}

// maxJudged is how many different unknown keys of a tree are compared with the known ones: to compare costs microseconds.
const maxJudged = 1000

// judge warns of a key that is not among those known if it likely means one of them.
func (w *Warnings) judge(index int, field, key string, known keySet) {
	word := known.prefix + key
	meant, judged := w.judged[word]
	if !judged {
		if len(w.judged) == maxJudged {
			return
		}
		if w.judged == nil {
			w.judged = map[string]string{}
		}
		meant = known.meant(key)
		w.judged[strings.Clone(word)] = meant
	}
	if meant != "" {
		w.add(index, field, meant)
	}
}

// meant is what an unknown key likely means, or empty.
func (known keySet) meant(key string) string {
	for _, k := range known.keys {
		for _, m := range k.Meant {
			if dag.SameWord(m.word, key) {
				return cmp.Or(m.as, k.Name)
			}
		}
	}
	return dag.Nearest(key, known.names)
}

func (w *Warnings) add(index int, field, meant string) {
	if len(w.list) == MaxWarnings {
		w.more = true
		return
	}
	w.list = append(w.list, dag.Warning{
		Field:  fmt.Sprintf("tasks[%d].%s", index, short(field)),
		Reason: fmt.Sprintf("has no effect: there is no such key; did you mean %s?", short(meant)),
	})
}
