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
	// Inputs are the keys of the inputs of executors, by their ids, as far as they are known.
	Inputs map[string]InputKeys
	// Known reports whether a worker has an executor that Inputs lacks; nil: none has.
	Known func(executor string) bool

	list   []dag.Warning
	judged map[word]string // what unknown words likely mean; empty: nothing that is known
	more   bool            // there was no room for all
	next   int             // index of the next task
}

// InputKeys are the keys that an executor's inputs may have, or none if it takes any, and those that they must have.
type InputKeys struct {
	Names, Required []string
	NoConnection    bool // an input connection has no effect, whatever it was meant for
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
	if len(t.Custom) > 0 {
		w.object(i, t.Custom, taskSet, t.Executor != "")
	}
	w.object(i, t.Schemas, schemasSet, false)
	w.object(i, t.Params, paramsSet, false)
	keys, known := w.Inputs[t.Executor]
	if !known {
		w.executor(i, t)
		return
	}
	if keys.NoConnection {
		eachKey(t.Inputs, func(name []byte) {
			if string(name) == "connection" {
				w.add(i, "inputs.connection", "has no effect: "+Short(t.Executor)+" takes no connection")
			}
		})
	}
	if len(keys.Names) > 0 {
		w.inputs(i, t, keys)
	}
}

// keySet is the keys that an object may have.
type keySet struct {
	prefix   string
	executor string // whose inputs they are; empty: they are no inputs
	names    []string
	keys     []Key // with what is meant; may be empty
}

// word is an unknown key of an object that the key set is of, or, without a key, an unknown executor.
type word struct{ executor, prefix, key string }

func setOf(prefix string, keys []Key) keySet {
	s := keySet{prefix: prefix, keys: keys}
	for _, k := range keys {
		s.names = append(s.names, k.Name)
	}
	return s
}

var taskSet, dependencySet, schemasSet, paramsSet = setOf("", taskKeys), setOf("dependencies.", dependencyKeys), setOf("schemas.", schemasKeys), setOf("params.", paramsKeys)

func (known keySet) word(key string) word { return word{known.executor, known.prefix, key} }

func (known keySet) has(key []byte) bool {
	return slices.ContainsFunc(known.names, func(k string) bool { return k == string(key) })
}

// object judges every key of an object. answered: the task has an executor, and answers show its id as "executor", too. odd: there
// is a key of which nobody can say what it means.
func (w *Warnings) object(index int, object []byte, known keySet, answered bool) (odd bool) {
	eachKey(object, func(name []byte) {
		if !known.has(name) && (!answered || string(name) != "executor") {
			odd = w.judge(index, known.prefix+string(name), string(name), known) == "" || odd
		}
	})
	return odd
}

// eachKey calls f with every key of an object that has been read before.
func eachKey(object []byte, f func(name []byte)) {
	if len(object) <= len("{}") {
		return
	}
	s := scanner{text: object}
	_ = s.object(func(quoted []byte, _ part) error {
		name := quoted[1 : len(quoted)-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			name = []byte(unescape(quoted))
		}
		f(name)
		return nil
	})
}

// maxOdd is how many keys of a task's inputs are compared with a required one.
const maxOdd = 16

// inputs judges the keys of a task's inputs. Where a required one is missing, it warns of the odd one that is most like it.
func (w *Warnings) inputs(index int, t *dag.Task, keys InputKeys) {
	known := keySet{prefix: "inputs.", executor: t.Executor, names: keys.Names}
	if !w.object(index, t.Inputs, known, false) || len(keys.Required) == 0 {
		return
	}
	missing := slices.Clone(keys.Required)
	var odd []string
	eachKey(t.Inputs, func(name []byte) {
		meant := w.judged[known.word(string(name))]
		missing = slices.DeleteFunc(missing, func(r string) bool { return r == string(name) || r == meant })
		if meant == "" && !known.has(name) && len(odd) < maxOdd {
			odd = append(odd, string(name))
		}
	})
	for _, required := range missing {
		likely := dag.Closest(required, odd)
		if likely == "" {
			continue
		}
		odd = slices.DeleteFunc(odd, func(o string) bool { return o == likely })
		w.add(index, known.prefix+likely, fmt.Sprintf("has no effect: %s has no such input, and needs %s; did you mean %s?",
			Short(t.Executor), Short(required), Short(required)))
	}
}

// executor warns of an executor that nobody has, and that is nearly a known one. It is no error: a worker may come.
func (w *Warnings) executor(index int, t *dag.Task) {
	if t.Executor == "" || len(w.Inputs) == 0 {
		return
	}
	meant := w.meant(word{executor: t.Executor}, func() string { return w.likely(t.Executor) })
	if meant == "" {
		return
	}
	field := "schemas.type"
	eachKey(t.Schemas, func(name []byte) {
		if string(name) == "method" {
			field = "schemas.method"
		}
	})
	eachKey(t.Params, func(name []byte) {
		if string(name) == "executor_id" {
			field = "params.executor_id"
		}
	})
	w.add(index, field, fmt.Sprintf("no worker has such an executor; did you mean %s?", Short(meant)))
}

// likely is the known executor that one is likely to mean; empty if a worker has it.
func (w *Warnings) likely(executor string) string {
	meant := LikelyExecutor(executor, w.Inputs)
	if meant == "" || w.Known != nil && w.Known(executor) {
		return ""
	}
	return meant
}

// LikelyExecutor is the one of the executors whose inputs are known that an id which none of them has is likely to mean; empty: nobody knows.
func LikelyExecutor(id string, known map[string]InputKeys) string {
	if _, is := known[id]; is || len(known) == 0 || id == "" {
		return ""
	}
	if as := CommonExecutor(id); as != "" {
		if _, is := known[as]; is {
			return as
		}
	}
	var names []string
	for id := range known {
		names = append(names, id, strings.TrimSuffix(id, "_executor"))
	}
	slices.Sort(names)
	meant := dag.Nearest(id, names)
	if _, whole := known[meant]; !whole && meant != "" {
		meant += "_executor"
	}
	return meant
}

// CommonExecutor is the id of the executor that people call by a word, which is not spelt nearly as its id; empty: there is none.
func CommonExecutor(word string) string {
	word = strings.TrimSuffix(word, "_executor")
	for _, m := range executorWords {
		if dag.SameWord(m.word, word) {
			return m.as
		}
	}
	return ""
}

// executorWords are what people call executors, besides what is spelt nearly as their ids.
var executorWords = []meant{
	{"http", "rest_executor"}, {"https", "rest_executor"}, {"curl", "rest_executor"}, {"request", "rest_executor"}, {"webhook", "rest_executor"},
	{"shell", "command_executor"}, {"sh", "command_executor"}, {"bash", "command_executor"}, {"exec", "command_executor"}, {"cmd", "command_executor"},
	{"py", "python_executor"}, {"python3", "python_executor"}, {"postgres", "sql_executor"}, {"postgresql", "sql_executor"}, {"mysql", "sql_executor"},
	{"k8s", "kubernetes_executor"}, {"container", "docker_executor"}, {"foreach", "map_executor"}, {"subworkflow", "subtree_executor"}, {"delay", "sleep_executor"},
}

// Bounds of what is compared, as that costs microseconds, and kept: so many different words of a tree, none longer than that.
const (
	maxJudged    = 1000
	maxWordBytes = 100
)

// judge warns of a key that is not among those known if it likely means one of them.
func (w *Warnings) judge(index int, field, key string, known keySet) (meant string) {
	meant = w.meant(known.word(key), func() string { return known.meant(key) })
	if meant != "" {
		w.add(index, field, fmt.Sprintf("has no effect: there is no such key; did you mean %s?%s", Short(meant), unseen(key)))
	}
	return meant
}

// meant is what a word likely means. It is found once.
func (w *Warnings) meant(one word, find func() string) string {
	meant, judged := w.judged[one]
	if judged || len(w.judged) == maxJudged || len(one.key) > maxWordBytes || len(one.executor) > maxWordBytes {
		return meant
	}
	if w.judged == nil {
		w.judged = map[word]string{}
	}
	meant = find()
	w.judged[word{strings.Clone(one.executor), one.prefix, strings.Clone(one.key)}] = meant
	return meant
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

func (w *Warnings) add(index int, field, reason string) {
	if len(w.list) == MaxWarnings {
		w.more = true
		return
	}
	w.list = append(w.list, dag.Warning{
		Field:  fmt.Sprintf("tasks[%d].%s", index, Short(field)),
		Reason: reason,
	})
}
