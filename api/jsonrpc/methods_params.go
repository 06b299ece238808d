package jsonrpc

import (
	"encoding/json"
	"time"
)

// The types below describe parameters for readers and for the reference page; params reads them.

// node is a task with what is below it (spec 1.5).
type node struct {
	task
	Children []node `json:"children,omitempty" description:"by priority; absent without any"`
}

// copied is the root node of a copy, or a preview.
type copied struct {
	node
	CopiedTaskID string `json:"copied_task_id,omitempty" description:"the id of the copy's root"`
}

type taskParams struct {
	ID           string          `json:"id,omitempty" description:"default: a new UUID"`
	Name         string          `json:"name" required:"true" description:"at most 255 characters"`
	ParentID     string          `json:"parent_id,omitempty" description:"a task of the array by id or name; of one task alone, a stored one"`
	UserID       string          `json:"user_id,omitempty" description:"the owner; default: who calls"`
	Priority     int             `json:"priority,omitempty" description:"0 urgent, 1 high, 2 normal (default), 3 low"`
	Dependencies json.RawMessage `json:"dependencies,omitempty" description:"array of ids, names, or objects with id or name, required (true) and type"`
	Inputs       map[string]any  `json:"inputs,omitempty" description:"arguments of the executor"`
	Params       map[string]any  `json:"params,omitempty" description:"construction arguments; executor_id chooses the executor"`
	Schemas      map[string]any  `json:"schemas,omitempty" description:"method chooses the executor; input_schema checks inputs"`
}

type createParams struct {
	Tasks          []taskParams    `json:"tasks,omitempty" description:"the tree, unless it comes as a file; params may be this array itself, or one task"`
	File           json.RawMessage `json:"file,omitempty" description:"a tree file: its text, in YAML or JSON, or an object"`
	Parameters     json.RawMessage `json:"parameters,omitempty" description:"an object of values for the file's parameters"`
	Trees          []newTreeParams `json:"trees,omitempty" description:"instead of one tree: up to 100, of which all are stored, or none; each may be an array of tasks, too"`
	IdempotencyKey string          `json:"idempotency_key,omitempty" description:"a repetition gets the first answer; also the header Idempotency-Key"`
}

type newTreeParams struct {
	Tasks          []taskParams    `json:"tasks,omitempty" description:"the tree, unless it comes as a file"`
	File           json.RawMessage `json:"file,omitempty" description:"a tree file"`
	Parameters     json.RawMessage `json:"parameters,omitempty" description:"an object of values for the file's parameters"`
	IdempotencyKey string          `json:"idempotency_key,omitempty" description:"of this tree"`
}

type webhookParams struct {
	URL        string            `json:"url" required:"true" description:"where each event is sent to"`
	Headers    map[string]string `json:"headers,omitempty" description:"sent along"`
	Method     string            `json:"method,omitempty" description:"POST (default) or PUT"`
	Timeout    float64           `json:"timeout,omitempty" description:"seconds of one request; default 30, at most 60"`
	MaxRetries int               `json:"max_retries,omitempty" description:"attempts in all; default 3"`
	Secret     string            `json:"secret,omitempty" description:"whsec_…, signs deliveries; default: the cluster's"`
	Body       json.RawMessage   `json:"body,omitempty" description:"a template of the body"`
}

type executeParams struct {
	TaskID            string          `json:"task_id,omitempty" description:"a stored task; also id. It wins over tasks"`
	Tasks             []taskParams    `json:"tasks,omitempty" description:"a tree to store and start; params may be this array itself"`
	File              json.RawMessage `json:"file,omitempty" description:"a tree file to store and start, as tasks.create takes it"`
	Parameters        json.RawMessage `json:"parameters,omitempty" description:"an object of values for the file's parameters"`
	UseStreaming      bool            `json:"use_streaming,omitempty" description:"the answer is a stream of events"`
	WebhookConfig     *webhookParams  `json:"webhook_config,omitempty" description:"the execution's events are sent there; {} is none"`
	UseDemo           bool            `json:"use_demo,omitempty" description:"nothing runs: results are made up"`
	NoCache           bool            `json:"no_cache,omitempty" description:"no task is ended by an earlier success: what starts runs"`
	CopyExecution     bool            `json:"copy_execution,omitempty" description:"copies the task first and starts the copy; with task_id"`
	CopyChildren      bool            `json:"copy_children,omitempty" description:"of the copy: as children of tasks.copy"`
	RequireExisting   bool            `json:"require_existing_tasks,omitempty" description:"refuses tasks whose ids are not stored"`
	Wait              bool            `json:"wait,omitempty" description:"answers when the tree has ended"`
	Timeout           float64         `json:"timeout,omitempty" description:"seconds of wait"`
	Force             bool            `json:"force,omitempty" description:"runs what has completed again, too"`
	RerunCancelled    bool            `json:"rerun_cancelled,omitempty" description:"runs cancelled tasks again, too"`
	RerunDependencies bool            `json:"rerun_dependencies,omitempty" description:"runs completed dependencies again, too"`
	KeepCompleted     bool            `json:"keep_completed,omitempty" description:"leaves completed tasks, and those that skipped themselves, as they are, even where what they depend on runs again"`
	IdempotencyKey    string          `json:"idempotency_key,omitempty" description:"a repetition gets the first answer; also the header Idempotency-Key"`
}

type generateParams struct {
	Requirement   string          `json:"requirement" required:"true" description:"what the tree is to do, in plain words"`
	UserID        string          `json:"user_id,omitempty" description:"owner of the tree"`
	Provider      string          `json:"llm_provider,omitempty" description:"of the model"`
	Model         string          `json:"model,omitempty" description:"the model"`
	Temperature   float64         `json:"temperature,omitempty" description:"0 to 2; default 0.7"`
	MaxTokens     int             `json:"max_tokens,omitempty" description:"of the answer; default 4000"`
	MaxTasks      int             `json:"max_tasks,omitempty" description:"that the tree may have"`
	Executors     []string        `json:"executors,omitempty" description:"that the tree may use"`
	AllowCommands bool            `json:"allow_commands,omitempty" description:"it may run commands"`
	OnExhausted   string          `json:"on_exhausted,omitempty" description:"what happens when the budget is used up"`
	Budget        json.RawMessage `json:"budget,omitempty" description:"bounds of usage and cost"`
	Timeout       float64         `json:"timeout,omitempty" description:"seconds"`
	Save          bool            `json:"save,omitempty" description:"stores the tree"`
}

type getParams struct {
	TaskID string `json:"task_id" required:"true" description:"the task; also id"`
}

type treeParams struct {
	TaskID string `json:"task_id,omitempty" description:"any task of the tree"`
	RootID string `json:"root_id,omitempty" description:"the same"`
}

type childrenParams struct {
	ParentID string `json:"parent_id" required:"true" description:"the parent; also task_id"`
	Limit    int    `json:"limit,omitempty" description:"of one page, at most 1000; default: all children"`
	Cursor   string `json:"cursor,omitempty" description:"of the page before"`
}

type listParams struct {
	UserID     string            `json:"user_id,omitempty" description:"of this owner"`
	Status     string            `json:"status,omitempty" description:"pending, in_progress, completed, failed or cancelled"`
	State      string            `json:"state,omitempty" description:"held, waiting, delayed, ready, running, blocked, completed, failed, cancelled, skipped, expanded or awaiting"`
	Approvals  bool              `json:"approvals,omitempty" description:"that wait for approvals; beside it user_id, since, before and the page only"`
	RootOnly   bool              `json:"root_only,omitempty" description:"only roots; default true, unless another filter means tasks below"`
	Name       string            `json:"name,omitempty" description:"of this name"`
	ParentID   string            `json:"parent_id,omitempty" description:"children of this task"`
	RootID     string            `json:"root_id,omitempty" description:"of this tree, in the order of submission"`
	OriginalID string            `json:"original_task_id,omitempty" description:"copies of this task"`
	Executor   string            `json:"executor,omitempty" description:"with this executor"`
	Labels     map[string]string `json:"labels,omitempty" description:"of trees that have these labels; an empty value stands for any"`
	Custom     map[string]any    `json:"custom,omitempty" description:"with these own keys; also as custom.KEY"`
	Since      *time.Time        `json:"since,omitempty" description:"of trees created then or later"`
	Before     *time.Time        `json:"before,omitempty" description:"of trees created before"`
	Limit      int               `json:"limit,omitempty" description:"of one page; default 100, at most 1000"`
	Offset     int               `json:"offset,omitempty" description:"how many are skipped; a cursor is better"`
	Cursor     string            `json:"cursor,omitempty" description:"of the page before"`
}

type updateParams struct {
	TaskID  string          `json:"task_id" required:"true" description:"the task"`
	Updates json.RawMessage `json:"updates,omitempty" description:"the fields below, in place of those beside task_id"`

	Name         string            `json:"name,omitempty" description:"at most 255 characters"`
	Priority     int               `json:"priority,omitempty" description:"0 to 3"`
	Status       string            `json:"status,omitempty" description:"as the state table allows"`
	Error        string            `json:"error,omitempty" description:"with status failed or cancelled"`
	Result       any               `json:"result,omitempty" description:"with status completed"`
	Progress     float64           `json:"progress,omitempty" description:"0 to 1"`
	StartedAt    *time.Time        `json:"started_at,omitempty" description:"ISO 8601"`
	CompletedAt  *time.Time        `json:"completed_at,omitempty" description:"ISO 8601"`
	Dependencies json.RawMessage   `json:"dependencies,omitempty" description:"the whole new list, of a task that is pending"`
	Inputs       map[string]any    `json:"inputs,omitempty" description:"replaces all"`
	Params       map[string]any    `json:"params,omitempty" description:"replaces all"`
	Schemas      map[string]any    `json:"schemas,omitempty" description:"replaces all"`
	Labels       map[string]string `json:"labels,omitempty" description:"replaces those of the tree; of a root"`
	Limits       json.RawMessage   `json:"limits,omitempty" description:"the whole new list, of a task that is pending; [] for none"`
	Lock         json.RawMessage   `json:"lock,omitempty" description:"the new lock, of a task that is pending; {} for none"`
	Rates        json.RawMessage   `json:"rates,omitempty" description:"the whole new list, of a task that is pending; [] for none"`
}

type deleteParams struct {
	TaskID string `json:"task_id" required:"true" description:"the task"`
	Force  bool   `json:"force,omitempty" description:"whatever state the tasks are in, also what others depend on"`
}

type copyParams struct {
	TaskID          string   `json:"task_id" required:"true" description:"any task of a tree"`
	Mode            string   `json:"copy_mode,omitempty" description:"minimal (default), full or custom"`
	Children        bool     `json:"children,omitempty" description:"of minimal; also copy_children"`
	TaskIDs         []string `json:"custom_task_ids,omitempty" description:"of custom"`
	IncludeChildren bool     `json:"custom_include_children,omitempty" description:"of custom: all below them, too"`
	ResetFields     []string `json:"reset_fields,omitempty" description:"some of status, progress, result, error, started_at, completed_at, updated_at"`
	Save            bool     `json:"save,omitempty" description:"default true; false shows what would be stored"`
	IdempotencyKey  string   `json:"idempotency_key,omitempty" description:"a repetition gets the first answer"`
}

type idsParams struct {
	TaskIDs    []string `json:"task_ids,omitempty" description:"an array, or a list with commas; at most 1000"`
	ContextIDs []string `json:"context_ids,omitempty" description:"the same"`
	TaskID     string   `json:"task_id,omitempty" description:"one task"`
}

type cancelParams struct {
	idsParams
	Force        bool   `json:"force,omitempty" description:"changes the text"`
	ErrorMessage string `json:"error_message,omitempty" description:"recorded as the error of what is cancelled"`
	Cascade      bool   `json:"cascade,omitempty" description:"what is below, too; default: of a root"`
}

type runningListParams struct {
	UserID string            `json:"user_id,omitempty" description:"of this owner"`
	Labels map[string]string `json:"labels,omitempty" description:"of trees that have these labels"`
	Limit  int               `json:"limit,omitempty" description:"default 100, at most 1000"`
	Cursor string            `json:"cursor,omitempty" description:"of the page before"`
}

type userParams struct {
	UserID string `json:"user_id,omitempty" description:"of this owner"`
}

type resolveParams struct {
	Ref    string `json:"ref" required:"true" description:"an id, the beginning of an id, or TREE/name"`
	UserID string `json:"user_id,omitempty" description:"of this owner"`
}

type keySetParams struct {
	APIKey string `json:"api_key" required:"true" description:"the key"`
	keyParamsOf
}

type keyParamsOf struct {
	UserID   string `json:"user_id,omitempty" description:"whose; default: who calls"`
	Provider string `json:"provider,omitempty" description:"of the model; none: for all"`
}

type executorsParams struct {
	Cursor string `json:"cursor,omitempty" description:"of the page before"`
}

type executorParams struct {
	ID string `json:"id" required:"true" description:"of the executor"`
}

type usageParams struct {
	By     string     `json:"by,omitempty" description:"day, user, tree or model"`
	Since  *time.Time `json:"since,omitempty" description:"used then or later"`
	Before *time.Time `json:"before,omitempty" description:"used before"`
	UserID string     `json:"user_id,omitempty" description:"of this owner"`
	TreeID string     `json:"tree_id,omitempty" description:"of this tree"`
	Model  string     `json:"model,omitempty" description:"of this model"`
	Limit  int        `json:"limit,omitempty" description:"default 100, at most 1000"`
	Cursor string     `json:"cursor,omitempty" description:"of the page before"`
}
