package treedoc

import (
	"fmt"

	"github.com/taskgrove/taskgrove/dag"
)

// Key describes a key of the document: reader, reference page and schema are made of the same table.
type Key struct {
	Name    string
	Default string // in words, in Markdown
	Effect  string // a sentence or two, in Markdown
	Example string // its value, in JSON
	// Shape is what a value may be; null is allowed besides, and the same as a missing key.
	Shape Shape
	// Keys are those of the object that the value is, or of the objects in it.
	Keys []Key
	// Meant are words that people write for the key, besides those that are spelt nearly as it.
	Meant []meant

	number key
}

// meant is a word in place of a key.
type meant struct {
	word string
	as   string // what to write instead; empty: the key
}

// key numbers the keys of a task that have a meaning; each may be there once.
type key uint

const (
	keyUnknown key = iota
	keyName
	keyID
	keyUser
	keyParent
	keyPriority
	keyDependencies
	keyInputs
	keySchemas
	keyParams
	keyPool
	keyRetry
	keyTimeout
	keyScheduleToStart
	keyTreeTimeout
	keyNotBefore
	keyOnLost
	keyRepeatable
	keyLabels
	keyStored // the first of those that the engine writes, numbered from here on
)

// stored are the keys of a task that only the engine writes (spec 1.1, 3.6, 12.2), and the one that names the document's schema to editors.
var stored = []string{
	"status", "result", "error", "progress", "created_at", "started_at", "updated_at", "completed_at", "has_children",
	"original_task_id", "has_copy", "has_references", "origin_type", "ref", schemaKey,
}

// schemaKey names the schema of a document, for editors.
const schemaKey = "$schema"

// TaskKeys are the keys of a task that a user sets, in the order of the reference page.
func TaskKeys() []Key { return taskKeys }

var taskKeys = []Key{
	{
		Name: "name", number: keyName, Default: "required", Example: `"fetch orders"`,
		Shape:  Shape{Type: "string", MinLength: 1, MaxLength: dag.DefaultLimits.NameChars, Pattern: noNUL},
		Effect: "What people call the task. Where tasks have no `id`, names must differ, and references are names.",
	}, {
		Name: "id", number: keyID, Default: "a new UUID", Example: `"fetch-orders"`,
		Shape:  Shape{Type: "string", MaxLength: dag.DefaultLimits.IDChars, Pattern: noControls},
		Effect: "Its id: given by all tasks of the tree, or by none. One that a stored task has already is replaced by a UUID; the answer's `id_map` says which, and within the tree the task is still called what the document calls it. No control characters.",
	}, {
		Name: "parent_id", number: keyParent, Default: "none: the root", Example: `"nightly"`, Meant: words("parent", "parent_task", "parent_name"),
		Shape:  Shape{Type: "string", MaxLength: dag.DefaultLimits.IDChars, Pattern: noNUL},
		Effect: "The task that this one is shown under: its id, or its name where tasks have no ids. It says nothing about what runs when. Exactly one task, the root, has none.",
	}, {
		Name: "dependencies", number: keyDependencies, Default: "none", Example: `["fetch-orders", {"id": "fetch-rates", "required": false}]`,
		Meant:  words("depends_on", "depends", "dependency", "deps", "needs", "requires", "after"),
		Shape:  Shape{Type: "array", Items: &reference},
		Effect: "The tasks that must end before this one starts, anywhere in the same tree: each an id (or name), or an object. Their results are merged into its inputs, in this order, each under its id (or name) as it stands here.",
		Keys:   dependencyKeys,
	}, {
		Name: "schemas", number: keySchemas, Default: "none: a group", Example: `{"method": "rest_executor"}`, Meant: append(words("schema"),
			meant{"executor", "schemas.method"}, meant{"executor_id", "schemas.method"}, meant{"method", "schemas.method"}),
		Shape: Shape{Type: "object"}, Keys: schemasKeys,
		Effect: "Which executor runs the task, and what its inputs look like. A task that names no executor at all is a group: it runs nothing, and completes as soon as its dependencies allow.",
	}, {
		Name: "inputs", number: keyInputs, Default: "`{}`", Example: `{"url": "https://example.org/orders"}`, Meant: words("arguments"),
		Shape:  Shape{Type: "object"},
		Effect: "What the executor is given. [Executors](executors.md) lists the keys of each.",
	}, {
		Name: "params", number: keyParams, Default: "`{}`", Example: `{"executor_id": "rest_executor"}`,
		Shape: Shape{Type: "object"}, Keys: paramsKeys,
		Effect: "Arguments for the making of the executor.",
	}, {
		Name: "priority", number: keyPriority, Default: "2", Example: `0`, Meant: words("prio"),
		Shape:  Shape{Type: "integer", Bounded: true, Minimum: float64(dag.Urgent), Maximum: float64(dag.Low)},
		Effect: "0 urgent, 1 high, 2 normal, 3 low: ready tasks of a pool start in that order.",
	}, {
		Name: "pool", number: keyPool, Default: "the executor's id", Example: `"gpu"`, Meant: words("queue"),
		Shape:  Shape{Type: "string", Pattern: fmt.Sprintf("^[A-Za-z0-9_-]{0,%d}$", dag.MaxPoolBytes)},
		Effect: fmt.Sprintf("The queue that the task waits in: up to %d letters, digits, `-` and `_`.", dag.MaxPoolBytes),
	}, {
		Name: "retry", number: keyRetry, Default: "one attempt", Example: `{"max_attempts": 3, "backoff": "exponential", "initial_delay": 1.0, "max_delay": 60.0}`,
		Meant: words("retries", "retry_policy", "retry_count", "max_retries", "max_attempts", "attempts"),
		Shape: Shape{Type: "object", Closed: true}, Keys: retryKeys,
		Effect: "How often, and how soon, a failed attempt is tried again. A key that is not listed is refused.",
	}, {
		Name: "timeout", number: keyTimeout, Default: "the executor's own", Example: `90`, Meant: words("time_limit", "timeout_seconds", "timeout_ms"),
		Shape:  limit,
		Effect: "Seconds from the start of an attempt to its end.",
	}, {
		Name: "schedule_to_start", number: keyScheduleToStart, Default: "none", Example: `600`, Shape: limit,
		Effect: "Seconds from ready to started; after that the task fails.",
	}, {
		Name: "tree_timeout", number: keyTreeTimeout, Default: "none", Example: `3600`, Shape: limit,
		Effect: "Of the root only: seconds from the start of the tree to its end. After that, unfinished tasks are cancelled.",
	}, {
		Name: "not_before", number: keyNotBefore, Default: "none", Example: `"2030-01-02T03:04:05Z"`, Meant: words("start_at", "run_at", "not_before_time"),
		Shape:  Shape{Type: "string", Pattern: instantPattern},
		Effect: "The time before which the task does not start, in ISO 8601; without zone it is UTC.",
	}, {
		Name: "on_lost", number: keyOnLost, Default: "`retry`", Example: `"fail"`,
		Shape:  Shape{Type: "string", Enum: []string{"retry", "fail"}},
		Effect: "What becomes of the task if its worker is lost or hands it back: `retry` or `fail`.",
	}, {
		Name: "repeatable", number: keyRepeatable, Default: "as the executor says", Example: `true`,
		Shape:  Shape{Type: "boolean"},
		Effect: "The task may run twice at once without harm, so that it may start before its claim is confirmed.",
	}, {
		Name: "user_id", number: keyUser, Default: "the submission's", Example: `"ann"`,
		Shape:  Shape{Type: "string", MaxLength: dag.DefaultLimits.IDChars, Pattern: noControls},
		Effect: "Who owns the task. All tasks of a tree have the same owner.",
	}, {
		Name: "labels", number: keyLabels, Default: "none", Example: `{"team": "data", "example.org/env": "prod"}`, Meant: words("label"),
		Shape: Shape{Type: "object", Values: &labelValue},
		Effect: fmt.Sprintf("Of the root only: texts that the tree is found by, up to %d. A key is 1 to %d letters, digits, `-`, `_` and `.`, after a DNS name and a slash if you like; a value up to %d characters, without commas. All together %d bytes.",
			dag.MaxLabels, dag.MaxLabelName, dag.MaxLabelValueChars, dag.MaxLabelBytes),
	},
}

var dependencyKeys = []Key{
	{Name: "id", Default: "`id` or `name` is required", Example: `"fetch-orders"`, Shape: Shape{Type: "string", MaxLength: dag.DefaultLimits.IDChars, Pattern: noNUL},
		Effect: "The task's id, or its name where tasks have no ids.", Meant: words("ref", "task", "task_id")},
	{Name: "name", Default: "", Example: `"fetch orders"`, Shape: Shape{Type: "string"},
		Effect: "The same; `id` wins if both are there."},
	{Name: "required", Default: "`true`", Example: `false`, Shape: Shape{Type: "boolean"}, Meant: []meant{{"optional", "required: false"}},
		Effect: "`true`: it must have completed. `false`: it must have ended in any way."},
	{Name: "type", Default: "`result`", Example: `"result"`, Shape: Shape{Type: "string", MaxLength: dag.DefaultLimits.IDChars, Pattern: noNUL},
		Effect: "Stored and shown, without effect."},
}

var schemasKeys = []Key{
	{Name: "method", Default: "none", Example: `"rest_executor"`, Shape: Shape{}, Meant: words("executor", "executor_id", "methods"),
		Effect: "The executor's id; `_executor` at its end may be left out."},
	{Name: "type", Default: "none", Example: `"http"`, Shape: Shape{},
		Effect: "Without `method`: the first executor of this type."},
	{Name: "input_schema", Default: "none", Example: `{"properties": {"sum": {"type": "integer"}}}`, Shape: Shape{}, Meant: words("inputs_schema", "input", "inputs"),
		Effect: "A JSON Schema of the inputs. They are checked before the executor starts; its `properties` name what is merged from dependencies' results."},
	{Name: "output_schema", Default: "none", Example: `{"type": "object"}`, Shape: Shape{}, Meant: words("outputs_schema", "output", "outputs"),
		Effect: "A JSON Schema of the result, for readers: nothing checks it."},
	{Name: "model", Default: "none", Example: `"gpt"`, Shape: Shape{}, Effect: "Handed to the executor."},
	{Name: "works", Default: "none", Example: `{}`, Shape: Shape{}, Effect: "Handed to the executor."},
}

var paramsKeys = []Key{
	{Name: "executor_id", Default: "none", Example: `"rest_executor"`, Shape: Shape{}, Meant: words("executor"),
		Effect: "The executor's id; wins over `schemas.method`. All other keys of `params` are the executor's."},
}

var retryKeys = []Key{
	{Name: "max_attempts", Default: "1", Example: `3`, Shape: Shape{Type: "integer", Bounded: true, Minimum: 0, Maximum: dag.MaxRetryAttempts},
		Effect: fmt.Sprintf("Attempts in all, up to %d; 0 is the same as 1.", dag.MaxRetryAttempts)},
	{Name: "backoff", Default: "`exponential`", Example: `"linear"`,
		Shape:  Shape{Type: "string", Enum: []string{"", string(dag.Exponential), string(dag.Linear), string(dag.Fixed)}},
		Effect: "How the longest delay grows: `exponential` (doubles), `linear` or `fixed`. The delay itself is drawn at random from 0 up to that."},
	{Name: "initial_delay", Default: seconds1(dag.DefaultInitialDelay.Seconds()), Example: `0.5`, Shape: span,
		Effect: "Seconds: the longest delay before the second attempt."},
	{Name: "max_delay", Default: seconds1(dag.DefaultMaxDelay.Seconds()), Example: `30`, Shape: span,
		Effect: "Seconds: the longest delay between two attempts."},
}

func words(all ...string) (list []meant) {
	for _, w := range all {
		list = append(list, meant{word: w})
	}
	return list
}

func seconds1(s float64) string { return fmt.Sprintf("%g", s) }

// keys are the numbers of the keys of a task.
var keys = func() map[string]key {
	m := map[string]key{}
	for _, k := range taskKeys {
		m[k.Name] = k.number
	}
	for i, name := range stored {
		m[name] = keyStored + key(i)
	}
	return m
}()
