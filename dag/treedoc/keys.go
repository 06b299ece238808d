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

var flowStepKeys = []Key{
	{Name: "steps", Default: "none", Example: `{"look": "ingest__look"}`, Shape: Shape{Type: "object"}, Effect: "Earlier steps of the job: the tasks, by the ids of the steps."},
	{Name: "job", Default: "none", Example: `["ingest__look"]`, Shape: Shape{Type: "array", Items: &Shape{Type: "string"}}, Effect: "The tasks whose outputs are those of the job so far. Of a name that several have, the last one counts."},
	{Name: "jobs", Default: "none", Example: `{"ingest": {"task": "ingest", "outputs": ["ingest__look"]}}`, Shape: Shape{Type: "object"}, Effect: "Other jobs, by their ids: `task`, which says how the job has ended, and `outputs`, as those of `job`."},
	{Name: "failure", Default: "none", Example: `{"task": "all_jobs"}`, Shape: Shape{Type: "object"}, Effect: "`task`: the fold of all jobs, whose error begins with the failed one; `job`: the id of that, if there is one only; `steps`: ids of steps whose tasks are not called `JOB__STEP`, by their tasks."},
	{Name: "outer", Default: "false", Example: `true`, Shape: Shape{Type: "boolean"}, Effect: "Of what a [map](executors/map_executor.md) that is a step makes of an item: the rest of what its templates name of the flow, the map has kept for it."},
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
	keyWhen
	keyFold
	keyAllowFailure
	keyTemplate
	keyOutputs
	keyRepeat
	keyArtifacts
	keyOutcome
	keyAttempts
	keyLimits
	keyLock
	keyRates
	keyUnique
	keyRetention
	keyDue
	keyCache
	keyFlowStep
	keyStored // the first of those that the engine writes, numbered from here on
)

// stored are the keys of a task that only the engine writes (spec 1.1, 3.6, 12.2), and the one that names the document's schema to editors.
var stored = []string{
	"result", "error", "status", "progress", "created_at", "started_at", "updated_at", "completed_at", "has_children",
	"original_task_id", "has_copy", "has_references", "origin_type", "ref", "attempt", "skip_reason", schemaKey,
}

// The first of stored: those that count where the task says how it has ended (control 4).
const (
	keyResult = keyStored
	keyError  = keyStored + 1
)

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
		Meant: words("retries", "retry_policy", "retry_count", "max_retries", "max_attempts"),
		Shape: Shape{Type: "object", Closed: true}, Keys: retryKeys,
		Effect: "How often, and how soon, a failed attempt is tried again. A key that is not listed is refused.",
	}, {
		Name: "timeout", number: keyTimeout, Default: "the executor's own", Example: `90`, Meant: words("time_limit", "timeout_seconds", "timeout_ms"),
		Shape: limit,
		Effect: "Seconds from the start of an attempt to its end. Of a group: from when the first of the tasks below it may start to its own end; after that it fails, and what is below it is cancelled " +
			"([timeouts of groups](concepts.md#timeouts-of-groups)).",
	}, {
		Name: "schedule_to_start", number: keyScheduleToStart, Default: "none", Example: `600`, Shape: limit,
		Effect: "Seconds from ready to started; after that the task fails.",
	}, {
		Name: "tree_timeout", number: keyTreeTimeout, Default: "none", Example: `3600`, Shape: limit,
		Effect: "Of the root only: seconds from the start of the tree to its end. After that, unfinished tasks are cancelled.",
	}, {
		Name: "retention", number: keyRetention, Default: "as the operator says", Example: `"30d"`, Meant: words("keep", "keep_for", "ttl", "expires", "expire_after"),
		Shape:  Shape{Type: "string", Pattern: dag.RetentionPattern},
		Effect: fmt.Sprintf("Of the root only: how long the tree is kept once it has ended, a minute at least, such as `30d`, `36h` or `1d12h`; or `%s`: until it is deleted. [Keeping trees](keeping.md) tells more.", dag.KeepWord),
	}, {
		Name: "due", number: keyDue, Default: "none", Example: `"2h"`, Meant: words("due_at", "sla", "late_after", "due_by"),
		Shape:  Shape{Type: "string", Pattern: dag.DuePattern},
		Effect: "Of the root only: by when the tree is to have ended: a time after it was stored, as `2h`, a time of the day in UTC, as `\"06:00\"`, or an instant with its zone. What has not ended then raises the event `late`, and goes on. [Trees that are due](schedules.md#a-tree-that-is-late) tells more.",
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
	}, {
		Name: "when", number: keyWhen, Default: "none", Example: `"deps.find.result.count > 0"`, Meant: words("condition", "if", "run_if"),
		Shape:  Shape{Type: "string", MaxLength: dag.MaxWhenBytes},
		Effect: "A condition in CEL over `deps`, `inputs`, `tree` and `task`, judged once when all dependencies have ended: if it is false, the task is skipped.",
	}, {
		Name: "fold", number: keyFold, Default: "`false`", Example: `true`, Shape: Shape{Type: "boolean"},
		Effect: "Of a group only: it waits for its dependencies whatever their outcome, and takes the worst of them as its own.",
	}, {
		Name: "allow_failure", number: keyAllowFailure, Default: "`false`", Example: `true`, Shape: Shape{Type: "boolean"}, Meant: words("continue_on_error", "ignore_failure"),
		Effect: "The task's failure does not make its tree fail. What requires the task is blocked all the same.",
	}, {
		Name: "template", number: keyTemplate, Default: "`false`", Example: `true`, Shape: Shape{Type: "boolean"}, Meant: words("templates"),
		Effect: "The strings of `inputs` are templates: `{{deps.fetch.result.body}}` stands for a value.",
	}, {
		Name: "outputs", number: keyOutputs, Default: "none", Example: `{"count": "{{result.count}}"}`, Shape: Shape{Type: "object"},
		Effect: "Named values, made by templates of the result once the task has run.",
	}, {
		Name: "repeat", number: keyRepeat, Default: "the task runs once", Example: `{"until": "result.done", "max": 100, "delay": 5}`,
		Shape: Shape{Type: "object", Closed: true, Required: []string{"until"}}, Keys: repeatKeys,
		Effect: "Runs the task again and again until a condition holds of its result.",
	}, {
		Name: "artifacts", number: keyArtifacts, Default: "none", Example: `["out/*.csv"]`, Shape: Shape{Type: "array", Items: &pattern},
		Effect: "Patterns of the files that the task makes and that are kept with its tree.",
	}, {
		Name: "outcome", number: keyOutcome, Default: "none: the task is to run", Example: `"success"`,
		Shape:  Shape{Type: "string", Enum: append([]string{""}, dag.Outcomes()...)},
		Effect: "How the task has ended already, with `result`, `error` and `attempts`: it is checked like any other, and never runs.",
	}, {
		Name: "attempts", number: keyAttempts, Default: "1", Example: `2`, Shape: Shape{Type: "integer", Bounded: true, Minimum: 0, Maximum: dag.MaxRetryAttempts},
		Effect: "With `outcome`: how many attempts it took.",
	}, {
		Name: "limits", number: keyLimits, Default: "none", Example: `[{"key": "customer-acme", "max": 5}]`, Meant: words("limit", "concurrency", "concurrency_limit", "max_concurrency", "semaphore"),
		Shape: Shape{Type: "array", Closed: true, MaxItems: dag.MaxLimits, Required: []string{"key"}}, Keys: limitKeys,
		Effect: "What may only be held so often at once in the whole cluster: the task starts once there is room under each key. [Limits, locks and rates](limits.md) tells more.",
	}, {
		Name: "lock", number: keyLock, Default: "none", Example: `{"key": "ledger"}`, Meant: words("mutex", "locks", "exclusive"),
		Shape: Shape{Type: "object", Closed: true, Required: []string{"key"}}, Keys: lockKeys,
		Effect: "What one task at a time holds. The executor is given a token that is greater than any given before.",
	}, {
		Name: "rates", number: keyRates, Default: "none", Example: `[{"key": "billing-api", "per": "minute", "max": 100}]`, Meant: words("rate", "rate_limit", "rate_limits", "throttle"),
		Shape: Shape{Type: "array", Closed: true, MaxItems: dag.MaxRates, Required: []string{"key", "per", "max"}}, Keys: rateKeys,
		Effect: "How many tasks may start in a time, counted under each key.",
	}, {
		Name: "cache", number: keyCache, Default: "none: the task runs", Example: `{"for": "24h", "version": "2"}`, Meant: words("cached", "memoize", "cache_policy", "cache_key", "memo"),
		Shape: Shape{Type: "object", Closed: true, Required: []string{"for"}}, Keys: cacheKeys,
		Effect: "Ends the task without a run, by an earlier success of the same executor with the same rendered inputs, of the same user in the same namespace. [Cached tasks](cache.md) tells more.",
	}, {
		Name: "flow_step", number: keyFlowStep, Default: "none", Example: `{}`, Shape: Shape{Type: "object", Closed: true}, Keys: flowStepKeys,
		Effect: "Makes the task a step of a [flow](flows/quickstart.md), as flows compile to: its templates may name `steps`, `job`, `jobs` and `failure` as [those of flows](flows/templating.md), and what it gives counts if it is skipped, too. It says which dependencies have these values.",
	}, {
		Name: "unique", number: keyUnique, Default: "none", Example: `{"key": "nightly-report", "while": "running"}`, Meant: words("unique_key", "dedupe", "deduplication", "singleton", "workflow_id"),
		Shape: Shape{Type: "object", Closed: true, Required: []string{"key"}}, Keys: uniqueKeys,
		Effect: "Of the root only: while the tree has the key, no other one with it is stored, of the same user in the same namespace. [Unique trees](unique.md) tells more.",
	},
}

var cacheKeys = []Key{
	{Name: "key", Default: "none: the rendered inputs count", Example: `"rates-{{inputs.day}}"`, Shape: Shape{Type: "string", Pattern: noNUL}, Meant: words("name", "id", "inputs"),
		Effect: fmt.Sprintf("What stands for the inputs: a template over all that those of `inputs` name, where `inputs` are rendered ones. %d bytes at most.", dag.MaxCacheKeyBytes)},
	{Name: "version", Default: "none", Example: `"2"`, Shape: Shape{Type: "string", MaxLength: dag.MaxCacheVersionChars, Pattern: noNUL}, Meant: words("salt", "revision"),
		Effect: "Of what the executor does: successes with another one do not count."},
	{Name: "for", Default: "required", Example: `"24h"`, Shape: Shape{Span: true, Minimum: dag.MinLimit.Seconds(), Maximum: dag.MaxCacheFor.Seconds()}, Meant: words("ttl", "max_age", "expires", "period"),
		Effect: "How old a success may be, and how long that of this task is there for others: in seconds, or as `7d` or `1h30m`. It goes with its tree."},
}

var uniqueKeys = []Key{
	{Name: "key", Default: "required", Example: `"nightly-report"`, Shape: Shape{Type: "string", MinLength: 1, MaxLength: dag.MaxUniqueKeyChars, Pattern: noControls}, Meant: words("name", "id"),
		Effect: fmt.Sprintf("What the tree is called: %d characters at most.", dag.MaxUniqueKeyChars)},
	{Name: "while", Default: "`running`, unless there is `for`", Example: `"running"`, Shape: Shape{Type: "string", Enum: []string{"", "running"}}, Meant: words("until"),
		Effect: "`running`: the tree has the key until it has ended. One that is held and was never started has it, too."},
	{Name: "for", Default: "none", Example: `"1h"`, Shape: Shape{Span: true, Minimum: dag.MinLimit.Seconds(), Maximum: dag.MaxUniqueFor.Seconds()}, Meant: words("period", "window", "ttl", "seconds"),
		Effect: "Instead of `while`: the tree has the key for so long from when it was stored, in seconds, or as `7d` or `1h30m`, also once it has ended. A tree that is deleted has none."},
	{Name: "on_conflict", Default: "`refuse`", Example: `"return"`, Shape: Shape{Type: "string", Enum: []string{"", "refuse", "return"}}, Meant: words("on_contention", "if_exists", "conflict"),
		Effect: "What becomes of this tree if another one has the key: it is refused, or the answer names the other one instead, and nothing is stored."},
}

// limitKey is a key of a limit, a lock or a rate.
var limitKey = Shape{Type: "string", MinLength: 1, Pattern: noControls}

// sum is a number of what a limit counts.
var sum = Shape{Type: "integer", Bounded: true, Minimum: 1, Maximum: dag.MaxLimitMax}

const limitKeyEffect = "What it is called, within the namespace: %d bytes at most. It may hold templates over `inputs`, as they are submitted, `task` and `tree`."

var limitKeys = []Key{
	{Name: "key", Default: "required", Example: `"customer-{{inputs.customer}}"`, Shape: limitKey, Effect: fmt.Sprintf(limitKeyEffect, dag.MaxLimitKeyBytes), Meant: words("name", "id")},
	{Name: "max", Default: "what an operator has set", Example: `5`, Shape: sum, Meant: words("limit", "slots", "size"),
		Effect: "How much may be held at once: the sum of the costs. What an operator has set for the key counts instead. Without either the tree is refused."},
	{Name: "cost", Default: "1", Example: `2`, Shape: sum, Meant: words("weight", "units"),
		Effect: "How much the task holds, `max` at most."},
}

var lockKeys = []Key{
	{Name: "key", Default: "required", Example: `"ledger"`, Shape: limitKey, Effect: "What it is called, as of `limits`.", Meant: words("name", "id")},
	{Name: "on_contention", Default: "`wait`", Example: `"skip"`, Shape: Shape{Type: "string", Enum: []string{"", "wait", "fail", "skip"}}, Meant: words("on_busy", "on_conflict", "if_locked"),
		Effect: "What becomes of the task if another one holds it: it waits, fails with the kind `lock_contended`, or is skipped with the reason `locked`."},
	{Name: "wait_timeout", Default: "none", Example: `600`, Shape: Shape{Type: "number", Bounded: true, Minimum: dag.MinLimit.Seconds(), Maximum: dag.MaxLockWait.Seconds(), OrZero: true}, Meant: words("timeout"),
		Effect: "Seconds that it waits at most; after that the task fails with the kind `lock_timeout`."},
	{Name: "hold", Default: "`attempt`", Example: `"parent"`, Shape: Shape{Type: "string", Enum: []string{"", "attempt", "parent"}}, Meant: words("until", "scope", "held_by"),
		Effect: "How long it is held: to the end of the attempt, or, once the task has succeeded, to the end of its parent ([a lock around several tasks](limits.md#a-lock-around-several-tasks))."},
}

var rateKeys = []Key{
	{Name: "key", Default: "required", Example: `"billing-api"`, Shape: limitKey, Effect: "What it is called, as of `limits`.", Meant: words("name", "id")},
	{Name: "per", Default: "required", Example: `"minute"`, Shape: Shape{Type: "string", Enum: []string{"second", "minute", "hour"}}, Meant: words("period", "window", "interval", "unit"),
		Effect: "The time: `second`, `minute` or `hour`."},
	{Name: "max", Default: "required", Example: `100`, Shape: sum, Meant: words("limit", "count", "calls"),
		Effect: "How many tasks may start in it. What an operator has set for the key counts instead."},
	{Name: "burst", Default: "`max`", Example: `10`, Shape: sum,
		Effect: "How many may start at once when none has started for a while."},
}

// pattern is one of the files that a task makes.
var pattern = Shape{Type: "string", MinLength: 1, MaxLength: dag.DefaultLimits.IDChars, Pattern: noNUL}

var repeatKeys = []Key{
	{Name: "until", Default: "required", Example: `"result.done"`, Shape: Shape{Type: "string", MinLength: 1, MaxLength: dag.MaxWhenBytes},
		Effect: "A condition in CEL over `result` and `attempt`: the task has ended once it holds."},
	{Name: "max", Default: seconds1(dag.MaxRepeats), Example: `100`, Shape: Shape{Type: "integer", Bounded: true, Minimum: 1, Maximum: dag.MaxRepeats},
		Effect: "Runs in all. After the last one the task completes with its result and `repeat_exhausted`."},
	{Name: "delay", Default: seconds1(dag.DefaultRepeatDelay.Seconds()), Example: `5`, Shape: span,
		Effect: "Seconds between two runs."},
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
	{Name: "accept", Default: "`success` and `skipped` if required, else `any`", Example: `["failed"]`, Shape: Shape{Words: dag.Outcomes(), Any: dag.AcceptAny},
		Effect: "The outcomes that let the task go on, a list of `success`, `skipped`, `failed`, `cancelled` and `blocked`; or `any`."},
	{Name: "otherwise", Default: "`block` after a failure, a cancellation or a block, else `skip`", Example: `"skip"`, Shape: Shape{Type: "string", Enum: []string{"", "block", "skip"}},
		Effect: "What becomes of the task if the dependency ends in another way."},
	{Name: "merge", Default: "`true`", Example: `false`, Shape: Shape{Type: "boolean"},
		Effect: "`false`: the dependency's result is not merged into the inputs."},
	{Name: "skips", Default: "`false`", Example: `true`, Shape: Shape{Type: "boolean"},
		Effect: "Of a fold: if the dependency is skipped, so is the fold, for the same reason."},
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
	{Name: "multiplier", Default: "2", Example: `1.5`, Shape: Shape{Type: "number", Bounded: true, Minimum: 1, Maximum: dag.MaxMultiplier},
		Effect: "By how much an exponential delay grows from one attempt to the next."},
	{Name: "jitter", Default: "`full`", Example: `"none"`, Shape: Shape{Type: "string", Enum: []string{"", "full", "none"}},
		Effect: "`none`: each delay is as long as it may be, and not drawn at random."},
	{Name: "retry_on", Default: "all", Example: `["connect", "http_5xx"]`, Shape: Shape{Type: "array", Items: &kindWord},
		Effect: "The kinds of errors after which it is tried again; [Executors](executors.md) lists those of each."},
	{Name: "no_retry_on", Default: "none", Example: `["http_404"]`, Shape: Shape{Type: "array", Items: &kindWord},
		Effect: "The kinds of errors after which it is not, whatever `retry_on` says."},
}

// kindWord is the word for a kind of error.
var kindWord = Shape{Type: "string", MinLength: 1, MaxLength: dag.MaxKindBytes}

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
