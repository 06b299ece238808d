package jsonrpc

import (
	"reflect"
	"slices"
	"strings"
)

// Method describes a method of /tasks or /system: handler, reference page and schema are made of the same table. Params and Result are zero values
// of the types of parameters and result. Their fields have the tags json, description and required; times are text (ISO 8601) and progress is a number,
// whatever their Go types are.
type Method struct {
	Name    string
	Path    string // "/tasks" or "/system"
	Summary string // a sentence
	Params  any    // a struct
	Result  any
	Errors  []string // texts of -32602 that are its own; "…" ends those that go on
	Ours    bool     // not of the task-tree protocol
}

//go:generate go test . -run TestReferencePage -update

// Methods are all methods, in the order of the reference page.
func Methods() []Method {
	return append([]Method{
		{Name: "tasks.create", Path: "/tasks", Params: createParams{}, Result: node{}, Errors: treeErrors,
			Summary: "Stores a tree, given as an array of tasks, one task, or an object with `tasks`, and starts nothing. One task whose `parent_id` is stored goes below that. With `trees` it stores several, all or none, and answers `trees`: of each `root_task_id`, `tasks`, `replayed`, `id_map` and `warnings`."},
		{Name: "tasks.execute", Path: "/tasks", Params: executeParams{}, Result: started{}, Errors: append([]string{
			"Either task_id or tasks array is required", "Task <id> not found", "webhook_config.url is required"}, treeErrors[1:]...),
			Summary: "Starts a stored tree or task, or stores and starts an array of tasks. Streams its events with `use_streaming`, waits for its end with `wait`."},
		{Name: "tasks.generate", Path: "/tasks", Params: generateParams{}, Result: generation{}, Errors: []string{"Requirement is required"},
			Summary: "Has a language model make a tree of a requirement in plain words."},
		{Name: "tasks.get", Path: "/tasks", Params: getParams{}, Result: &task{}, Errors: []string{"Task ID is required. Please provide 'task_id' or 'id' parameter."},
			Summary: "Shows a task; null when it is unknown."},
		{Name: "tasks.detail", Path: "/tasks", Params: getParams{}, Result: &task{}, Errors: []string{"Task ID is required"}, Summary: "As `tasks.get`."},
		{Name: "tasks.tree", Path: "/tasks", Params: treeParams{}, Result: node{}, Errors: []string{"Task ID or root_id is required", "Task <id> not found"},
			Summary: "Shows the whole tree of any of its tasks."},
		{Name: "tasks.children", Path: "/tasks", Params: childrenParams{}, Result: []task{}, Errors: []string{"Parent task ID is required. …", "Parent task <id> not found"},
			Summary: "Shows the direct children of a task, by priority."},
		{Name: "tasks.list", Path: "/tasks", Params: listParams{}, Result: []task{}, Errors: []string{"unknown parameter '<name>'…"},
			Summary: "Lists tasks, newest tree first. The header `X-Next-Cursor` has the cursor of the next page. A parameter `custom.KEY` filters by an own key."},
		{Name: "tasks.update", Path: "/tasks", Params: updateParams{}, Result: task{}, Errors: []string{"Task ID is required", "Task <id> not found", "Update failed:…"},
			Summary: "Changes fields of a stored task, all or none. They stand beside `task_id`, or in `updates`; null leaves what is stored."},
		{Name: "tasks.delete", Path: "/tasks", Params: deleteParams{}, Result: deleted{}, Errors: []string{"Task ID is required", "Task <id> not found", "Cannot delete task: …"},
			Summary: "Deletes a task and all below it, if they are pending and no other task depends on them."},
		{Name: "tasks.copy", Path: "/tasks", Params: copyParams{}, Result: copied{}, Errors: []string{"Task ID is required", "Task <id> not found",
			"custom_task_ids is required when copy_mode='custom'", "Task IDs not found in tree: …"},
			Summary: "Copies a task with what belongs to it as a tree of its own, or shows what it would store."},
		{Name: "tasks.cancel", Path: "/tasks", Params: cancelParams{}, Result: []cancelled{},
			Summary: "Cancels tasks, and of a root all of its tree. One object is answered for the singular `task_id`, an array in the order of the ids otherwise."},
		{Name: "tasks.running.cancel", Path: "/tasks", Params: cancelParams{}, Result: []cancelled{}, Summary: "As `tasks.cancel`."},
		{Name: "tasks.skip", Path: "/tasks", Ours: true, Params: getParams{}, Result: task{}, Errors: []string{"Task <id> not found", "conflict: task <id> can't be skipped: …"},
			Summary: "Ends a task that has not begun, with the outcome `skipped` and the reason `user`. What depends on it goes on as after any skip."},
		{Name: "tasks.running.list", Path: "/tasks", Params: runningListParams{}, Result: []task{}, Summary: "Lists the roots of trees with an execution in progress, newest first."},
		{Name: "tasks.running.status", Path: "/tasks", Params: idsParams{}, Result: []runningTask{}, Summary: "Tells how far tasks are, in the order of the ids."},
		{Name: "tasks.running.count", Path: "/tasks", Params: userParams{}, Result: runningTotal{}, Summary: "Counts trees with an execution in progress."},
		{Name: "tasks.resolve", Path: "/tasks", Ours: true, Params: resolveParams{}, Result: matches{}, Summary: "Finds the tasks that a text stands for: an id, the beginning of one, or TREE/name."},
		{Name: "tasks.why", Path: "/tasks", Ours: true, Params: getParams{}, Result: explanation{}, Errors: []string{"Task <id> not found"},
			Summary: "Explains why a task is in its state, and what it waits for."},
		{Name: "tasks.signal", Path: "/tasks", Ours: true, Params: signalParams{}, Result: signalled{}, Errors: []string{"Task <id> not found"},
			Summary: "Sends a task the signal that it waits for, or will wait for. The first of a name counts. A task that never waits for it, and a payload that is not what it asks for, are refused (-32602)."},
		{Name: "tasks.approve", Path: "/tasks", Ours: true, Params: approveParams{}, Result: approved{}, Errors: []string{"Task <id> not found", "The link is none, or its time is over"},
			Summary: "Answers the approval that a task waits for, once: `reject` rejects it."},
		{Name: "tasks.approval.link", Path: "/tasks", Ours: true, Params: approvalLinkParams{}, Result: approvalLink{}, Errors: []string{"Task <id> not found"},
			Summary: "Makes a signed link by which whoever has it can answer the approval that a task waits for, once, without a token."},
		{Name: "artifacts.list", Path: "/tasks", Ours: true, Params: artifactParams{}, Result: artifactList{}, Errors: []string{"Task <id> not found"},
			Summary: "Lists the files that the attempts of a task, or of its whole tree, made."},
		{Name: "artifacts.get", Path: "/tasks", Ours: true, Params: artifactGetParams{}, Result: shownArtifact{}, Errors: []string{"Artifact <name> of task <id> not found"},
			Summary: "Tells what an artifact is, and where a GET reads its content: `GET /tasks/{id}/artifacts/{name}`, from a byte on with `Range: bytes=N-`."},
		{Name: "system.health", Path: "/system", Params: struct{}{}, Result: healthAnswer{}, Summary: "Tells whether the coordinator reaches its store and bus."},
		{Name: "config.llm_key.set", Path: "/system", Params: keySetParams{}, Result: keyStored{}, Errors: []string{"api_key is required", "user_id is required (not authenticated)"},
			Summary: "Keeps a key of a language model for a user. No answer ever shows it."},
		{Name: "config.llm_key.get", Path: "/system", Params: keyParamsOf{}, Result: keysShown{}, Summary: "Tells which providers a user has keys for."},
		{Name: "config.llm_key.delete", Path: "/system", Params: keyParamsOf{}, Result: keyDeleted{}, Errors: []string{"user_id is required (not authenticated)"},
			Summary: "Forgets a user's key of a provider, or all keys."},
		{Name: "executors.list", Path: "/system", Ours: true, Params: executorsParams{}, Result: map[string]any{}, Summary: "Lists the executors of the cluster."},
		{Name: "executors.get", Path: "/system", Ours: true, Params: executorParams{}, Result: map[string]any{}, Summary: "Describes an executor, with its schemas."},
		{Name: "usage.list", Path: "/system", Ours: true, Params: usageParams{}, Result: map[string]any{}, Summary: "Sums up usage and cost of models by day, user, tree or model."},
	}, slices.Concat(limitMethods(), lockMethods(), keepingMethods(), scheduleMethods(), schedulerMethods(), flowMethods(), bundleMethods(), profileMethods(), webhookMethods())...)
}

// treeErrors are those of a tree that can't be accepted (spec 2.1, 2.2); the first is of tasks.create alone.
var treeErrors = []string{
	"Params must be a dict (single task) or list (tasks array)", "All tasks must have the same user_id. Found multiple user_ids: …", "Tasks array cannot be empty",
	"Task at index <i> must have a 'name' field", "Mixed mode not supported: …", "Duplicate task id '<id>' at index <i>", "Task at index <i> has no 'id' but name '<n>' is not unique. …",
	"Task '<n>' at index <i> has parent_id '<p>' which is not in the tasks array (not found as id or name). …", "Task '<n>' dependency must have 'id' or 'name' field",
	"Task '<n>' at index <i> has dependency reference '<r>' which is not in the tasks array (not found as id or name)", "Circular dependency detected: …",
	"No root task found (task with no parent_id). …", "Multiple root tasks found: …", "Tasks not in the same tree: …",
}

// fieldNames are the names in JSON of a struct's fields.
func fieldNames(of any) (names []string) {
	t := reflect.TypeOf(of)
	for i := range t.NumField() {
		field := t.Field(i)
		if field.Anonymous {
			names = append(names, fieldNames(reflect.Zero(field.Type).Interface())...)
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}
