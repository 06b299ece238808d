package mcp

import (
	"context"
	"encoding/json"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/taskgrove/taskgrove/api"
)

// tool is what a model can call. The table below is what clients are shown, what arguments are checked by, and what the page in the docs is made
// of.
type tool struct {
	name, title, description string

	effect    effect
	arguments []argument
	loose     bool // other keys are a task's own

	method string // of package jsonrpc
	// run is what the tool does, where that is more than to call the method.
	run  func(*Handler, context.Context, *use) (answer, *api.Fault)
	list string // how structured content calls an answer that is an array
}

// effect says what a call can do to what is stored.
type effect int

const (
	reads effect = iota
	adds
	changes // and may undo what somebody did
)

// argument is one that a tool takes.
type argument struct {
	name, description string
	kind              kind
	required          bool
	of                []string // the values that a text may have; nil: any
	hidden            bool     // another spelling, or without effect: taken, not shown
}

// kind is the type of an argument.
type kind string

const (
	text    kind = "string"
	whole   kind = "integer"
	number  kind = "number"
	flag    kind = "boolean"
	object  kind = "object"
	texts   kind = "array of strings"
	tasks   kind = "array of tasks"
	depends kind = "array of dependencies"
	anyJSON kind = "any value"
)

var statuses = []string{"pending", "in_progress", "completed", "failed", "cancelled"}

// Arguments that several tools take.
var (
	taskID     = argument{name: "task_id", kind: text, required: true, description: "id of the task"}
	oneID      = argument{name: "task_id", kind: text, description: "id of the task; give this or task_ids"}
	someIDs    = argument{name: "task_ids", kind: texts, description: "ids of several tasks, at most 1000"}
	otherID    = argument{name: "id", kind: text, hidden: true}
	scheduleID = argument{name: "id", kind: text, required: true, description: "id of the schedule"}
	limitOf    = argument{name: "limit", kind: whole, description: "how many at most, 1 to 1000; 100 if left out"}
	cursorOf   = argument{name: "cursor", kind: text, description: "next_cursor of the answer before, for the next page"}
	timeoutOf  = argument{name: "timeout", kind: number, description: "seconds to wait at most; 50 if left out, an hour if the client asks for progress. The tree goes on when they are over"}
	userOf     = argument{name: "user_id", kind: text, description: "owner"}
	tasksOf    = argument{name: "tasks", kind: tasks, description: "the tree: an array of tasks, exactly one of them without parent_id"}
	fileOf     = argument{name: "file", kind: text, description: "instead of tasks: the text of a tree file, in YAML or JSON, which begins with taskgrove: 1"}
	runOf      = argument{name: "run", kind: text, required: true, description: "id of the run, or FLOW/RUN where several flows have such a run"}
	flowOf     = argument{name: "flow", kind: text, description: "id of a registered flow; give this or text"}
	flowTextOf = argument{name: "text", kind: text, description: "the flow, in YAML"}
	versionOf  = argument{name: "version", kind: whole, description: "of the registered flow; the newest if left out"}
	envOf      = argument{name: "env", kind: object, description: "values of the flow's environment, texts by name; none of secrets"}
	paramsOf   = argument{name: "params", kind: object, description: "values of the flow's parameters"}
	jobOf      = argument{name: "job", kind: text, description: "only this job, with those that it needs; all if left out"}
	urgencyOf  = argument{name: "priority", kind: whole, description: "0 urgent, 1 high, 2 normal, 3 low, of all steps that the flow gives none of their own; as the flow says if left out"}
	valuesOf   = argument{name: "parameters", kind: object, description: "with file: values for its parameters"}
)

// toolTable is all tools, in the order in which they are shown.
var toolTable = []tool{
	{
		name: "execute_task", title: "Run a task tree", effect: changes, method: "tasks.execute", run: (*Handler).executeTask,
		description: "Run a stored task tree (task_id), or store an array of tasks as a new tree and run it (tasks). Answers at once with root_task_id; with use_streaming or wait it " +
			"answers when the tree has ended, with its result. A task that has completed is not run again without force.",
		arguments: []argument{
			{name: "task_id", kind: text, description: "id of a stored task; give this or tasks"}, otherID, tasksOf, fileOf, valuesOf,
			{name: "use_streaming", kind: flag, description: "wait for the end, and tell of progress meanwhile if the client asks for it"},
			{name: "wait", kind: flag, description: "wait for the end"},
			timeoutOf,
			{name: "force", kind: flag, description: "run the task again though it has completed or was cancelled; of a root, the whole tree"},
			{name: "rerun_cancelled", kind: flag, description: "run cancelled tasks again, too"},
			{name: "rerun_dependencies", kind: flag, description: "run completed dependencies of what is run again, too"},
			{name: "copy_execution", kind: flag, description: "copy the tree first and run the copy, so that the original stays as it is"},
			{name: "copy_children", kind: flag, description: "with copy_execution: copy what is below the task, too"},
			{name: "use_demo", kind: flag, description: "run nothing; workers make up results"},
			{name: "no_cache", kind: flag, description: "take nothing from the cache: all that starts runs"},
			{name: "webhook_config", kind: object, description: "where to send events: url, and optionally headers, method (POST, PUT), timeout (seconds) and max_retries"},
			{name: "idempotency_key", kind: text, description: "with tasks: a text of your own; the same call with the same key stores and runs nothing twice"},
		},
	},
	{
		name: "create_task", title: "Store a task tree", effect: adds, method: "tasks.create", loose: true,
		description: "Store a task tree without running it: tasks, or the keys of a single task. Answers the root task with its children. Run it with execute_task.",
		arguments:   []argument{tasksOf, fileOf, valuesOf, {name: "idempotency_key", kind: text, description: "with tasks: a text of your own; the same call with the same key stores nothing twice"}},
	},
	{
		name: "get_task", title: "Show a task", effect: reads, method: "tasks.get", run: (*Handler).getTask,
		description: "Show a task: its status, inputs, result and error.",
		arguments:   []argument{taskID, otherID},
	},
	{
		name: "update_task", title: "Change a task", effect: changes, method: "tasks.update", run: (*Handler).updateTask,
		description: "Change fields of a stored task. Dependencies can be changed while it is pending.",
		arguments: []argument{
			taskID, otherID,
			{name: "name", kind: text, description: "its new name"},
			{name: "description", kind: text, hidden: true},
			{name: "status", kind: text, of: statuses, description: "its new status"},
			{name: "inputs", kind: object, description: "its new inputs"},
			{name: "params", kind: object, description: "its new params"},
			{name: "schemas", kind: object, description: "its new schemas, with the executor as method"},
			{name: "priority", kind: whole, description: "0 urgent, 1 high, 2 normal, 3 low"},
			{name: "dependencies", kind: depends, description: "its new dependencies, instead of all that it has"},
			{name: "result", kind: anyJSON, description: "its result"},
			{name: "error", kind: text, description: "its error"},
			{name: "progress", kind: number, description: "0 to 1"},
		},
	},
	{
		name: "delete_task", title: "Delete a task", effect: changes, method: "tasks.delete",
		description: "Delete a task and all tasks below it. Refused unless all of them are pending and no other task depends on them.",
		arguments:   []argument{taskID, otherID},
	},
	{
		name: "list_tasks", title: "List tasks", effect: reads, method: "tasks.list", run: (*Handler).listTasks, list: "tasks",
		description: "List tasks, newest tree first. Without root_id, parent_id and executor only the roots of trees.",
		arguments: []argument{
			{name: "status", kind: text, of: append(statuses[:len(statuses):len(statuses)], "running"), description: "only tasks with this status; running is another word for in_progress"},
			limitOf,
			{name: "offset", kind: whole, description: "how many to leave out; for the next page better use cursor"},
			cursorOf,
			{name: "root_id", kind: text, description: "only tasks of this tree"},
			{name: "parent_id", kind: text, description: "only children of this task"},
			{name: "name", kind: text, description: "only tasks of this name"},
			{name: "executor", kind: text, description: "only tasks of this executor"},
			{name: "user_id", kind: text, description: "only tasks of this owner"},
			{name: "root_only", kind: flag, description: "only roots"},
		},
	},
	{
		name: "get_task_status", title: "Ask how far tasks have come", effect: reads, method: "tasks.running.status", list: "tasks",
		description: "Ask for the status and progress of tasks, in the order of their ids; not_found for those that there are not.",
		arguments:   []argument{oneID, someIDs, otherID},
	},
	{
		name: "cancel_task", title: "Cancel tasks", effect: changes, method: "tasks.cancel", list: "tasks",
		description: "Cancel tasks that have not ended; running work is stopped. Cancelling a root cancels its tree.",
		arguments: []argument{
			oneID, someIDs, otherID,
			{name: "error_message", kind: text, description: "the reason, which becomes the tasks' error"},
			{name: "cascade", kind: flag, description: "cancel what is below each task, too; yes for a root, no for others if left out"},
			{name: "force", kind: flag, hidden: true},
		},
	},
	{
		name: "skip_task", title: "Skip a task", effect: changes, method: "tasks.skip",
		description: "End a task that has not begun, with the outcome skipped: what depends on it goes on as after a success, unless its dependency says otherwise. Refused once it has begun.",
		arguments:   []argument{taskID, otherID},
	},
	{
		name: "pause_tree", title: "Pause a task tree", effect: changes, method: "pauses.set",
		description: "Stop the start of the tasks of a tree; what runs goes on. resume_tree lets them start again.",
		arguments: []argument{
			{name: "tree_id", kind: text, required: true, description: "id of any task of the tree"},
			{name: "reason", kind: text, description: "why, which people are told who ask why nothing starts"},
		},
	},
	{
		name: "resume_tree", title: "Resume a task tree", effect: changes, method: "pauses.delete",
		description: "Let the tasks of a tree start again that is paused.",
		arguments:   []argument{{name: "tree_id", kind: text, required: true, description: "id of any task of the tree"}},
	},
	{
		name: "get_task_tree", title: "Show a task tree", effect: reads, method: "tasks.tree", run: (*Handler).getTree,
		description: "Show the whole tree of a task: the root with its children, and theirs. Read a tree of more than 300 tasks with list_tasks and root_id.",
		arguments:   []argument{{name: "task_id", kind: text, required: true, description: "id of any task of the tree"}, otherID, {name: "root_id", kind: text, hidden: true}},
	},
	{
		name: "list_children", title: "List the children of a task", effect: reads, method: "tasks.children", run: (*Handler).listChildren, list: "tasks",
		description: "List the tasks directly below a task, by priority.",
		arguments:   []argument{{name: "task_id", kind: text, required: true, description: "id of the parent"}, {name: "parent_id", kind: text, hidden: true}, limitOf, cursorOf},
	},
	{
		name: "copy_task", title: "Copy a task", effect: adds, method: "tasks.copy",
		description: "Copy a task, with what belongs to it, as a new tree that can be run again; the original stays as it is. With save false, only show what would be stored.",
		arguments: []argument{
			taskID,
			{name: "copy_mode", kind: text, of: []string{"minimal", "full", "custom"}, description: "minimal: the task, what is below it and what depends on them; full: the whole tree; custom: the tasks of custom_task_ids"},
			{name: "children", kind: flag, description: "with minimal: look for dependents of the direct children, too"},
			{name: "custom_task_ids", kind: texts, description: "with custom: ids of the tasks to copy"},
			{name: "custom_include_children", kind: flag, description: "with custom: also all tasks below those"},
			{name: "reset_fields", kind: texts, description: "fields that begin anew: status, progress, result, error, started_at, completed_at, updated_at"},
			{name: "save", kind: flag, description: "store the copy; yes if left out"},
		},
	},
	{
		name: "generate_task_tree", title: "Have a model write a task tree", effect: adds, method: "tasks.generate",
		description: "Have a language model of the cluster make a task tree of a requirement. Answers its tasks, which execute_task runs. You may as well write the tree yourself: the prompt " +
			"write_task_tree tells how.",
		arguments: []argument{
			{name: "requirement", kind: text, required: true, description: "what the tree shall do, in plain words"},
			{name: "save", kind: flag, description: "store the tree, too; no if left out"},
			{name: "executors", kind: texts, description: "executors that it may use; those that need no leave if left out"},
			{name: "allow_commands", kind: flag, description: "it may use executors that run commands and code"},
			{name: "max_tasks", kind: whole, description: "how many tasks it may have"},
			{name: "llm_provider", kind: text, description: "provider of the model"},
			{name: "model", kind: text, description: "name of the model"},
			{name: "temperature", kind: number, description: "of the model, 0 to 2"},
			{name: "max_tokens", kind: whole, description: "of the model's answer"},
			{name: "timeout", kind: number, description: "seconds; 300 if left out"},
			userOf,
		},
	},
	{
		name: "wait_for_task", title: "Wait for a task tree", effect: reads, run: (*Handler).waitForTask,
		description: "Wait until the tree of a task has ended, and answer its status, the root's result and error; timed_out if it goes on.",
		arguments:   []argument{{name: "task_id", kind: text, required: true, description: "id of any task of the tree"}, otherID, timeoutOf},
	},
	{
		name: "explain_task", title: "Ask why a task does not run", effect: reads, method: "tasks.why",
		description: "Say in a sentence what a task waits for, or why it can't run: a dependency, a time, workers, a slot; with what blocks it.",
		arguments:   []argument{taskID, otherID},
	},
	{
		name: "signal_task", title: "Send a task a signal", effect: adds, method: "tasks.signal",
		description: "Send a task the signal that it waits for, or will wait for. Answers taken, kept (the task does not wait for it yet), or late (one of the name was there before).",
		arguments: []argument{
			taskID, otherID,
			{name: "name", kind: text, required: true, description: "name of the signal"},
			{name: "payload", kind: anyJSON, description: "what the task gets"},
			{name: "idempotency_key", kind: text, description: "a repetition gets the first answer"},
		},
	},
	{
		name: "answer_approval", title: "Answer an approval", effect: changes, method: "tasks.approve",
		description: "Answer what a task asks a person, in that person's name: ask the person before. get_task shows the question and the choices under waiting.",
		arguments: []argument{
			taskID, otherID,
			{name: "choice", kind: text, required: true, description: "approve or reject, unless the task names other choices"},
			{name: "comment", kind: text, description: "what the person says about it"},
		},
	},
	{
		name: "list_schedules", title: "List schedules", effect: reads, method: "schedules.list",
		description: "List schedules by id, without their trees: what begins their runs, and when the next one is due. get_schedule shows one with its tree.",
		arguments:   []argument{{name: "user_id", kind: text, description: "only schedules of this owner"}, limitOf, cursorOf},
	},
	{
		name: "get_schedule", title: "Show a schedule", effect: reads, method: "schedules.get",
		description: "Show a schedule: what begins its runs, its tree and parameters, whether and why it is paused, and its next instant.",
		arguments:   []argument{scheduleID},
	},
	{
		name: "list_schedule_runs", title: "List runs of a schedule", effect: reads, method: "schedules.runs",
		description: "List the runs of a schedule, the latest first, and instants that had none, with the reason. get_task shows the tree of a run by its tree_id.",
		arguments:   []argument{scheduleID, limitOf, cursorOf},
	},
	{
		name: "next_instants", title: "List instants of a schedule", effect: reads, method: "schedules.next",
		description: "List when five fields of a crontab would fire. Nothing is stored.",
		arguments: []argument{
			{name: "cron", kind: text, required: true, description: "five fields, or @hourly, @daily, @weekly, @monthly, @yearly"},
			{name: "timezone", kind: text, description: "a time zone of IANA's database, such as Europe/Berlin; UTC if left out"},
			{name: "n", kind: whole, description: "how many, 1 to 1000; 5 if left out"},
			{name: "after", kind: text, description: "a time with its zone, such as 2026-01-31T12:00:00Z; now if left out"},
		},
	},
	{
		name: "trigger_schedule", title: "Begin a run of a schedule", effect: adds, method: "schedules.trigger",
		description: "Begin a run of a schedule now, also of one that is paused. list_schedule_runs tells its tree_id once its tree is stored.",
		arguments: []argument{
			scheduleID,
			{name: "parameters", kind: object, description: "values for the run, laid over those of the schedule"},
			{name: "overlap", kind: text, of: []string{"skip", "queue_one", "allow", "cancel_other"}, description: "what becomes of it while another run has not ended; allow if left out"},
			{name: "idempotency_key", kind: text, description: "a text of your own; the same call with the same key begins no second run"},
		},
	},
	{
		name: "pause_schedule", title: "Pause a schedule", effect: changes, method: "schedules.pause",
		description: "Stop the start of a schedule's runs, but for those that are triggered; what runs goes on. Its instants pass meanwhile. resume_schedule lets them start again.",
		arguments:   []argument{scheduleID, {name: "reason", kind: text, description: "why, which people are told who look at the schedule"}},
	},
	{
		name: "resume_schedule", title: "Resume a schedule", effect: changes, method: "schedules.resume",
		description: "Let the runs of a paused schedule start again, from the next instant on.",
		arguments:   []argument{scheduleID},
	},
	{
		name: "validate_flow", title: "Look what is wrong with a flow", effect: reads, method: "flows.validate",
		description: "Tell all that is wrong with a YAML flow of jobs and steps, each fault with its path, line and column. Nothing is stored. The steps' types are executors: list_executors, get_executor.",
		arguments: []argument{
			flowTextOf, flowOf, versionOf, envOf, paramsOf, jobOf, urgencyOf,
			{name: "as_run", kind: flag, description: "as a run with these values: what has none is an error"},
			{name: "strict_env", kind: flag, description: "names of the environment without a value, and without a default, are errors"},
			{name: "compat", kind: flag, description: "warn of what the flow does otherwise than in AetherFlow"},
		},
	},
	{
		name: "list_flows", title: "List flows", effect: reads, method: "flows.list", run: paged("flows"), list: "flows",
		description: "List registered flows by id, the newest version of each, without texts. get_flow shows one.",
		arguments:   []argument{{name: "user_id", kind: text, description: "only flows of this owner"}, limitOf, cursorOf},
	},
	{
		name: "get_flow", title: "Show a flow", effect: reads, method: "flows.get",
		description: "Show a registered flow with its text.",
		arguments:   []argument{{name: "id", kind: text, required: true, description: "id of the flow"}, versionOf},
	},
	{
		name: "list_profiles", title: "List profiles", effect: reads, method: "profiles.list", run: paged("profiles"), list: "profiles",
		description: "List registered profiles by name, which resources of flows may name, the newest version of each, without bodies. get_profile shows one.",
		arguments:   []argument{{name: "user_id", kind: text, description: "only profiles of this owner"}, limitOf, cursorOf},
	},
	{
		name: "get_profile", title: "Show a profile", effect: reads, method: "profiles.get",
		description: "Show a registered profile: config, options and decode, with names in the place of secrets.",
		arguments: []argument{
			{name: "name", kind: text, required: true, description: "name of the profile"},
			{name: "version", kind: whole, description: "of the profile; the newest if left out"},
		},
	},
	{
		name: "run_flow", title: "Run a flow", effect: adds, method: "flows.run",
		description: "Begin a run of a flow: a registered one, or a text. Answers at once with run_id and tree_id; wait_for_task with tree_id waits for its end, and get_run tells what it has come to. " +
			"The same flow, values and run_id are the same run.",
		arguments: []argument{
			flowOf, flowTextOf, versionOf, envOf, paramsOf, jobOf, urgencyOf,
			{name: "run_id", kind: text, description: "1 to 64 letters, digits, ., _ and -; a new one is made if left out"},
			userOf,
		},
	},
	{
		name: "list_runs", title: "List runs of flows", effect: reads, method: "runs.list", run: paged("runs"), list: "runs",
		description: "List runs of flows, the newest first, without their jobs. get_run shows one.",
		arguments: []argument{
			{name: "flow", kind: text, description: "only runs of this flow"},
			{name: "outcome", kind: text, of: []string{"RUNNING", "SUCCESS", "FAILED", "CANCELLED"}, description: "only runs that are going on, or ended so"},
			{name: "since", kind: text, description: "begun then or later: a time with its zone, such as 2026-01-31T12:00:00Z"},
			{name: "user_id", kind: text, description: "only runs of this owner"}, limitOf, cursorOf,
		},
	},
	{
		name: "get_run", title: "Show a run of a flow", effect: reads, method: "runs.get", run: (*Handler).getRun,
		description: "Show a run with what each job and step has come to so far: status, reason, error, outputs, results. tree_id is its task tree.",
		arguments:   []argument{runOf},
	},
	{
		name: "get_run_logs", title: "Show what the steps of a run wrote", effect: reads, run: (*Handler).runLogs, list: "lines",
		description: "Show the last lines that the steps of a run wrote, each with its task, attempt and time.",
		arguments:   []argument{runOf, {name: "limit", kind: whole, description: "how many lines at most, 1 to 1000; 100 if left out"}},
	},
	{
		name: "resume_run", title: "Have a run of a flow go on", effect: changes, method: "runs.resume",
		description: "Have a run that has ended go on: what failed, was blocked or cancelled runs again. With text or flow, the repaired flow becomes a new revision of the run; steps that ended with success stay as they are.",
		arguments: []argument{
			runOf, {name: "text", kind: text, description: "the repaired flow, in YAML"}, {name: "flow", kind: text, description: "instead: the id of the registered flow, as it is now"}, versionOf,
		},
	},
	{
		name: "cancel_run", title: "Cancel a run of a flow", effect: changes, method: "runs.cancel",
		description: "Cancel what has not ended of a run. success is false if it had ended.",
		arguments:   []argument{runOf, {name: "reason", kind: text, description: "why, for people"}},
	},
	{
		name: "list_executors", title: "List executors", effect: reads, method: "executors.list", run: (*Handler).listExecutors, list: "executors",
		description: "List what tasks can do: the executors, each with its id for schemas.method, what it does, and how many live workers have it. get_executor shows the inputs of one.",
		arguments:   []argument{cursorOf},
	},
	{
		name: "get_executor", title: "Show an executor", effect: reads, method: "executors.get",
		description: "Show an executor with the JSON Schemas of its inputs and its result, and examples.",
		arguments:   []argument{{name: "executor_id", kind: text, required: true, description: "its id, such as rest_executor"}, otherID},
	},
}

// declaration is a tool as clients are shown it.
func (t *tool) declaration() *sdk.Tool {
	destructive, open := t.effect == changes, t.name == "execute_task" || t.name == "generate_task_tree" || t.name == "run_flow"
	return &sdk.Tool{
		Name: t.name, Title: t.title, Description: t.description, InputSchema: json.RawMessage(t.schema()), OutputSchema: json.RawMessage(t.output()),
		Annotations: &sdk.ToolAnnotations{
			Title: t.title, ReadOnlyHint: t.effect == reads, DestructiveHint: &destructive, OpenWorldHint: &open,
			IdempotentHint: t.effect == reads || t.name == "update_task" || t.name == "delete_task" || t.name == "cancel_task" || t.name == "pause_schedule" || t.name == "resume_schedule" || t.name == "cancel_run",
		},
	}
}
