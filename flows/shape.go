package flows

import "github.com/taskgrove/taskgrove/dag"

// phase says when templates in a text are rendered, and so what they may name.
type phase int

const (
	never      phase = iota // a token is a fault
	atMeta                  // once, when the run is made
	atResource              // when a resource is needed
	atLock                  // when the run is made, for the key of a lock
	atInput                 // before each attempt of a step
	atItems                 // likewise, and the value is stored
	atOutput                // after a step has returned
	literally               // no token, and any other text
)

// form is the form of a value.
type form int

const (
	anything form = iota
	seen          // it is looked at elsewhere
	text
	integer
	number
	boolean
	object // with keys that are known
	table  // with keys that are the user's
	list
	either // one of several, by their forms
)

// shape says what a value may be. null is the same as a missing key.
type shape struct {
	form   form
	phase  phase // of texts, at any depth of anything
	keys   []key
	of     *shape // of a list's items, or a table's values
	either []shape
	enum   []string
	least  float64 // of numbers
	most   float64 // of numbers, 0: none; of texts, characters
	grain  float64 // of numbers: the least above 0
	ident  bool    // the keys of a table are identifiers
	inputs bool    // of a step, of which some types have keys of their own
	ofItem bool    // templates may name an item
}

// key describes one of an object: the reader, the reference and the schema for editors are made of the same tables.
type key struct {
	name      string
	shape     shape
	required  bool
	byDefault string // in Markdown
	effect    string // a sentence or two, in Markdown
	example   string // in YAML
	meant     []string
}

func texts(p phase) shape       { return shape{form: text, phase: p, most: maxText} }
func word(enum ...string) shape { return shape{form: text, enum: enum} }
func listOf(of shape) shape     { return shape{form: list, of: &of} }
func tableOf(of shape) shape    { return shape{form: table, of: &of} }

const (
	maxText    = 64 << 10 // characters of a text that is no input
	maxSeconds = 365 * 24 * 3600
)

var (
	id       = shape{form: text, most: maxText}
	seconds  = shape{form: number, most: maxSeconds}
	limit    = shape{form: number, most: maxSeconds, grain: dag.MinLimit.Seconds()} // a time limit
	priority = shape{form: integer, least: 0, most: 3}
	names    = listOf(shape{form: text, most: 256})
)

var retryKeys = []key{
	{name: "max_attempts", shape: shape{form: integer, least: 1, most: 1000}, byDefault: "1", effect: "How many attempts there are in all.", example: "3"},
	{name: "backoff_seconds", shape: seconds, byDefault: "0", effect: "How long to wait before the second attempt.", example: "5"},
	{name: "backoff_multiplier", shape: shape{form: number, least: 1, most: 1000}, byDefault: "1", effect: "By how much the wait grows from one attempt to the next.", example: "2"},
	{name: "max_backoff_seconds", shape: seconds, byDefault: "0: none", effect: "The longest wait.", example: "60"},
	{name: "retry_on_timeout", shape: shape{form: boolean}, byDefault: "false", effect: "An attempt that took too long is tried again, too.", example: "true"},
	{name: "retry_on", shape: names, byDefault: "all but timeouts", effect: "The kinds of errors after which it is tried again.", example: "[connect, http_5xx]"},
	{name: "jitter", shape: word("none", "full"), byDefault: "`none`", effect: "`full`: each wait is drawn at random, up to what it would be.", example: "full"},
}

var lockKeys = []key{
	{name: "key", shape: texts(atLock), required: true, effect: "What is locked. Of all that ask for the same key one runs at a time.", example: "ledger"},
	{name: "ttl_seconds", shape: shape{form: integer, least: 1, most: maxSeconds}, byDefault: "600", effect: "How long the lock outlives a holder that nobody hears of.", example: "900"},
	{name: "on_contention", shape: word("fail", "wait", "skip"), byDefault: "`fail`", effect: "What becomes of who comes while another one has it.", example: "wait"},
	{name: "wait_timeout_seconds", shape: limit, byDefault: "0: as long as it takes", effect: "How long to wait.", example: "300"},
}

var stepKeys = []key{
	{name: "id", shape: id, required: true, effect: "What the step is called in its job: letters, digits, `.`, `_` and `-`. Templates can name only what is of letters, digits and `_`, with no digit first.", example: "count", meant: []string{"name"}},
	{name: "type", shape: id, required: true, effect: "What runs it: the id of an executor, with or without `_executor`; or [`with_lock`](#inputs-of-with_lock), [`foreach`](#inputs-of-foreach) or [`flow`](#inputs-of-flow).", example: "rest", meant: []string{"executor", "uses", "kind", "method"}},
	{name: "inputs", shape: shape{form: table, phase: atInput, of: &shape{phase: atInput}, inputs: true}, byDefault: "`{}`", effect: "What it is given. Texts are templates.", example: "{url: \"https://example.org/{{params.day}}\"}", meant: []string{"with", "args", "params", "input"}},
	{name: "outputs", shape: shape{form: table, phase: atOutput, of: &shape{phase: atOutput}, ident: true}, byDefault: "`{}`", effect: "What it promotes to the outputs of its job: a template for each key.", example: "{rows: \"{{result.row_count}}\"}", meant: []string{"output", "export"}},
	{name: "on_no_data", shape: word("skip_job"), byDefault: "none", effect: "`skip_job`: if the step is skipped, so are the rest of the job and the job.", example: "skip_job"},
	{name: "timeout_seconds", shape: limit, byDefault: "the executor's own", effect: "How long one attempt may take.", example: "900", meant: []string{"timeout"}},
	{name: "retry", shape: shape{form: object, keys: retryKeys}, byDefault: "one attempt", effect: "When it is tried again: see [retry](#keys-of-retry).", example: "{max_attempts: 3}", meant: []string{"retries"}},
	{name: "pool", shape: id, byDefault: "the job's", effect: "The pool of workers that runs it.", example: "etl"},
	{name: "priority", shape: priority, byDefault: "the job's", effect: "From 0, which goes first, to 3.", example: "1"},
	{name: "lock", shape: shape{form: object, keys: lockKeys}, byDefault: "none", effect: "What it holds while it runs: see [lock](#keys-of-lock).", example: "{key: ledger, on_contention: wait}"},
}

var needKeys = []key{
	{name: "job", shape: id, required: true, effect: "The job.", example: "load"},
	{name: "require", shape: word("success", "done"), byDefault: "`success`", effect: "`done`: it must have ended, in whatever way.", example: "done"},
}

var jobKeys = []key{
	{name: "id", shape: id, required: true, effect: "What the job is called in its flow: letters, digits, `.`, `_` and `-`. Templates and gates can name only what is of letters, digits and `_`, with no digit first.", example: "export", meant: []string{"name"}},
	{name: "description", shape: shape{form: text, most: maxText}, byDefault: "none", effect: "For people.", example: "Exports the orders of a day."},
	{name: "depends_on", shape: listOf(shape{form: either, either: []shape{id, {form: object, keys: needKeys}}}), byDefault: "`[]`",
		effect: "The jobs that must have ended with success; else this one is blocked. An entry is an id, or [a map](#keys-of-an-entry-of-depends_on).", example: "[probe]", meant: []string{"needs", "after", "requires", "dependencies"}},
	{name: "when", shape: shape{form: text, most: 4096}, byDefault: "none", effect: "[A gate](gating.md): if it does not hold, the job is skipped.", example: "jobs.probe.outputs.rows > 0", meant: []string{"if", "condition"}},
	{name: "steps", shape: listOf(shape{form: object, keys: stepKeys}), required: true, effect: "What it does, one after the other: see [steps](#keys-of-a-step).", example: "[]", meant: []string{"tasks"}},
	{name: "pool", shape: id, byDefault: "the flow's", effect: "The pool of workers that runs its steps.", example: "etl"},
	{name: "priority", shape: priority, byDefault: "the flow's", effect: "Of its steps, from 0, which goes first, to 3.", example: "1"},
	{name: "timeout_seconds", shape: limit, byDefault: "none", effect: "How long the job may take.", example: "3600", meant: []string{"timeout"}},
	{name: "lock", shape: shape{form: object, keys: lockKeys}, byDefault: "none", effect: "What the job holds while it runs: see [lock](#keys-of-lock).", example: "{key: ledger}"},
}

var resourceKeys = []key{
	{name: "kind", shape: id, required: true, effect: "What it is: `db`, `rest`, `sftp`, `smb`, `mail` or `archive`.", example: "db"},
	{name: "driver", shape: id, required: true, effect: "Which connector of that kind: `postgres`, `httpx`, …", example: "postgres"},
	{name: "profile", shape: id, byDefault: "none", effect: "The profile whose settings it takes where it has none of its own.", example: "warehouse"},
	{name: "config", shape: shape{form: table, phase: atResource, of: &shape{phase: atResource}}, byDefault: "`{}`", effect: "Endpoints and credentials. Secrets are named, never written: `{{env.DB_PASSWORD}}`.", example: "{url: \"{{env.DB_URL}}\"}"},
	{name: "options", shape: shape{form: table, phase: atResource, of: &shape{phase: atResource}}, byDefault: "`{}`", effect: "Timeouts, pools, retries.", example: "{timeout: 30}"},
	{name: "decode", shape: shape{form: table, of: &shape{}}, byDefault: "`{}`", effect: "Which values a provider decodes: `config` and `options` as nested maps to `true`, `config_paths` and `options_paths` as lists of dotted paths.", example: "{config: {password: true}}"},
}

var workspaceKeys = []key{
	{name: "root", shape: texts(atMeta), byDefault: "the worker's own", effect: "Where the directories of jobs are. It counts where a flow runs in one process; workers have their own.", example: "/tmp/work"},
	{name: "cleanup_policy", shape: word("on_success", "always", "never"), byDefault: "`on_success`", effect: "When the directories go, once the run has ended.", example: "never"},
	{name: "layout", shape: tableOf(texts(atMeta)), byDefault: "`artifacts`, `scratch`, `manifests`", effect: "The names of the directories within that of a job. Those that are not named keep theirs.", example: "{artifacts: out}"},
}

var stateKeys = []key{
	{name: "backend", shape: word("sqlite", "file"), byDefault: "none", effect: "No effect: Postgres keeps the state.", example: "sqlite"},
	{name: "path", shape: texts(atMeta), byDefault: "none", effect: "No effect.", example: "/tmp/state.sqlite"},
}

var locksKeys = []key{
	{name: "scope", shape: word("none", "job", "flow"), byDefault: "`job`, where `locks` is written", effect: "Which runs of the flow exclude each other: `job`: those of a job; `flow`: all.", example: "job"},
	{name: "ttl_seconds", shape: shape{form: integer, least: 1, most: maxSeconds}, byDefault: "3600", effect: "As that of [a lock](#keys-of-lock).", example: "3600"},
}

// parameterKeys are those of a parameter, which package treefile reads.
var parameterKeys = []key{
	{name: "type", shape: word("string", "integer", "number", "boolean", "array", "object"), byDefault: "that of the default, else `string`", effect: "What values it takes.", example: "string"},
	{name: "default", shape: shape{phase: literally}, byDefault: "none", effect: "Its value if it is given none.", example: "\"2026-11-28\""},
	{name: "required", shape: shape{form: boolean}, byDefault: "false", effect: "It must be given a value.", example: "true"},
	{name: "pattern", shape: shape{form: text, phase: literally, most: 1000}, byDefault: "none", effect: "A regular expression that a text must fit.", example: "'^\\d{4}-\\d\\d-\\d\\d$'"},
	{name: "enum", shape: listOf(shape{phase: literally}), byDefault: "none", effect: "The values that it may have.", example: "[small, large]"},
	{name: "minimum", shape: shape{form: number, least: -1 << 53, most: 1 << 53}, byDefault: "none", effect: "The least that a number may be.", example: "1"},
	{name: "maximum", shape: shape{form: number, least: -1 << 53, most: 1 << 53}, byDefault: "none", effect: "The most that a number may be.", example: "100"},
	{name: "minLength", shape: shape{form: integer, most: 1 << 20}, byDefault: "none", effect: "How many characters a text must have.", example: "1"},
	{name: "maxLength", shape: shape{form: integer, most: 1 << 20}, byDefault: "none", effect: "How many characters a text may have.", example: "80"},
	{name: "items", shape: shape{form: table, of: &shape{phase: literally}}, byDefault: "anything", effect: "Of lists: what each item is, by the keys above.", example: "{type: string}"},
	{name: "description", shape: shape{form: text, phase: literally, most: maxText}, byDefault: "none", effect: "For people.", example: "The day to export."},
}

var handler = shape{form: either, either: []shape{{form: object, keys: handlerKeys}, listOf(shape{form: object, keys: stepKeys})}}

// handlerKeys are those of a job that nothing else waits for: without what orders it.
var handlerKeys = func() (keys []key) {
	for _, k := range jobKeys {
		if k.name == "id" {
			k.required, k.byDefault = false, "`on_failure` or `finally`"
		}
		if k.name != "depends_on" && k.name != "when" {
			keys = append(keys, k)
		}
	}
	return keys
}()

var flowKeys = []key{
	{name: "id", shape: texts(atMeta), required: true, effect: "What the flow is called: letters, digits, `.`, `_` and `-`.", example: "orders_export", meant: []string{"name"}},
	{name: "description", shape: texts(atMeta), byDefault: "none", effect: "For people.", example: "Exports the orders of a day."},
	{name: "execution", shape: word("sequential", "graph"), byDefault: "`sequential`", effect: "`sequential`: jobs run one after the other, in the order of the list, and none after one that has failed. `graph`: a job waits only for those that it needs or names.", example: "graph"},
	{name: "workspace", shape: shape{form: object, keys: workspaceKeys}, byDefault: "see there", effect: "The directories of jobs: see [workspace](#keys-of-workspace).", example: "{cleanup_policy: never}"},
	{name: "state", shape: shape{form: object, keys: stateKeys}, byDefault: "none", effect: "No effect: Postgres keeps the state.", example: "{backend: sqlite}"},
	{name: "locks", shape: shape{form: object, keys: locksKeys}, byDefault: "none", effect: "Which runs of the flow exclude each other: see [locks](#keys-of-locks).", example: "{scope: flow}"},
	{name: "timeout_seconds", shape: limit, byDefault: "none", effect: "How long a run may take; what is left of it then is cancelled.", example: "7200", meant: []string{"timeout"}},
	{name: "priority", shape: priority, byDefault: "2", effect: "Of all steps, from 0, which goes first, to 3.", example: "1"},
	{name: "pool", shape: id, byDefault: "by executor", effect: "The pool of workers that runs all steps.", example: "etl"},
	{name: "env", shape: tableOf(shape{form: text, phase: literally, most: maxText}), byDefault: "`{}`", effect: "Values of the environment. What a run is given goes before them.", example: "{REGION: eu}"},
	{name: "secrets", shape: names, byDefault: "`[]`", effect: "Names of the environment that are secrets, whatever they look like.", example: "[DB_URL]"},
	{name: "public_env", shape: names, byDefault: "`[]`", effect: "Names of the environment that are no secrets, though they look like one.", example: "[SORT_KEY]"},
	{name: "parameters", shape: shape{form: table, phase: literally, of: &shape{form: object, keys: parameterKeys}, ident: true}, byDefault: "`{}`", effect: "What a run is given by `--set`: see [parameters](#keys-of-a-parameter).", example: "{day: {required: true}}", meant: []string{"params", "inputs"}},
	{name: "on_failure", shape: handler, byDefault: "none", effect: "A job, or its steps, that runs once all others have ended and one has failed.", example: "[]"},
	{name: "finally", shape: handler, byDefault: "none", effect: "A job, or its steps, that runs last, whatever has happened.", example: "[]"},
}

var fileKeys = []key{
	{name: "version", shape: shape{form: integer, least: -1 << 31, most: 1 << 31}, byDefault: "1", effect: "Of the form of the file: 1.", example: "1"},
	{name: "flow", shape: shape{form: object, keys: flowKeys}, required: true, effect: "What the flow is: see [flow](#keys-of-flow).", example: "{id: orders_export}"},
	{name: "resources", shape: tableOf(shape{form: object, keys: resourceKeys}), byDefault: "`{}`", effect: "The systems that steps speak to, by name: see [resources](#keys-of-a-resource).", example: "{wh: {kind: db, driver: postgres}}"},
	{name: "jobs", shape: listOf(shape{form: object, keys: jobKeys}), required: true, effect: "What the flow does: see [jobs](#keys-of-a-job).", example: "[]"},
}

// innerKeys are those of the step in a with_lock.
var innerKeys = []key{
	{name: "type", shape: id, required: true, effect: "What runs it.", example: "rest"},
	{name: "id", shape: id, byDefault: "that of the step, and `_inner`", effect: "For people.", example: "send"},
	{name: "inputs", shape: shape{form: table, phase: atInput, of: &shape{phase: atInput}, inputs: true}, byDefault: "`{}`", effect: "What it is given.", example: "{}"},
}

// withLockKeys are the inputs of with_lock.
var withLockKeys = []key{
	{name: "lock_key", shape: texts(atLock), required: true, effect: "As `key` of [a lock](#keys-of-lock).", example: "ledger"},
	{name: "step", shape: shape{form: object, keys: innerKeys}, required: true, effect: "The step that holds the lock while it runs: `type`, `inputs` and, if you like, `id`.", example: "{type: rest, inputs: {url: \"https://example.org\"}}"},
	lockKeys[1], lockKeys[2], lockKeys[3],
}

// inEachKeys are those of a step in a foreach: what a step has, but for what is of a job.
var inEachKeys = func() (keys []key) {
	for _, k := range stepKeys {
		switch k.name {
		case "outputs", "on_no_data":
			continue
		case "id":
			k.required, k.byDefault = false, "none"
			k.effect = "What the steps below it call its result: `steps.ID`. Of `steps`, each must have one, and another one than the steps of the job."
		case "pool", "priority":
			k.byDefault = "the step's"
		}
		keys = append(keys, k)
	}
	return keys
}()

// forEachKeys are the inputs of foreach.
var forEachKeys = []key{
	{name: "items", shape: shape{phase: atItems}, required: true, effect: "A list, a template that gives one, or the JSON of one as text. If it is empty the step is skipped, `no_data`.", example: "\"{{steps.list.files}}\""},
	{name: "step", shape: shape{form: object, keys: inEachKeys, ofItem: true}, byDefault: "none", effect: "What runs for each item: see [a step in a foreach](#keys-of-a-step-in-a-foreach). Its templates name `item` and `index`, and what those of the step may.", example: "{type: rest, inputs: {url: \"https://example.org/{{item}}\"}}"},
	{name: "steps", shape: shape{form: list, of: &shape{form: object, keys: inEachKeys}, ofItem: true}, byDefault: "none", effect: "Instead of `step`: what runs for each item, one after the other. The result of the last counts.", example: "[]", meant: []string{"do", "body", "tasks"}},
	{name: "window", shape: shape{form: integer, most: dag.MaxExpandedTasks}, byDefault: "0: all", effect: "How many items are in progress at most.", example: "4", meant: []string{"parallelism", "concurrency", "max_parallel"}},
	{name: "stop_on_failure", shape: shape{form: boolean}, byDefault: "false", effect: "No further items begin once one has failed.", example: "true"},
	{name: "allow_failures", shape: shape{form: boolean}, byDefault: "false", effect: "Items that fail do not fail the step: they are counted, and their result is null.", example: "true"},
}

// callKeys are the inputs of flow.
var callKeys = []key{
	{name: "flow", shape: texts(atMeta), required: true, effect: "The id of a registered flow, of which a run begins.", example: "orders_export", meant: []string{"id", "name"}},
	{name: "version", shape: shape{form: integer, most: 1 << 30}, byDefault: "0: the newest", effect: "Of the flow, as it is when the step begins.", example: "3"},
	{name: "params", shape: tableOf(shape{phase: atItems}), byDefault: "`{}`", effect: "Values of its parameters.", example: "{day: \"{{params.day}}\"}", meant: []string{"parameters", "inputs", "set"}},
	{name: "env", shape: tableOf(shape{form: text, phase: atItems, most: maxText}), byDefault: "`{}`", effect: "Values of its environment. Secrets it names itself.", example: "{REGION: eu}"},
	{name: "job", shape: texts(atMeta), byDefault: "all", effect: "The job that runs, with those that it needs.", example: "load"},
	{name: "wait", shape: shape{form: boolean}, byDefault: "true", effect: "Wait for its end, and fail if it fails; else the step ends once the run has begun.", example: "false"},
}

// callFlow is the type of a step that runs another flow.
const callFlow = "flow"

// forEach is the type of a step that runs others for each item of a list.
const forEach = "foreach"

// withLock is the type of a step that runs another one under a lock.
const withLock = "with_lock"
