package jsonrpc

import (
	"context"
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/api/treefiles"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/modelkey"
)

// execution is what tasks.execute was asked.
type execution struct {
	id       string          // empty: tasks
	tasks    json.RawMessage // an array
	file     *treefiles.File // that the tasks were made of; nil: none
	key      string          // idempotency key
	options  coordinator.ExecuteOptions
	stream   bool
	copy     *coordinator.CopyOptions // of the task, which is executed in its place; nil: none
	existing bool                     // ids of tasks must be stored already
	wait     bool
	deadline time.Duration // of wait
}

// started is the answer of tasks.execute (spec 5.4), with what we add.
type started struct {
	Success    bool              `json:"success"`
	Protocol   string            `json:"protocol"`
	RootTaskID string            `json:"root_task_id"`
	TaskID     string            `json:"task_id,omitempty"`
	Status     string            `json:"status"`
	Message    string            `json:"message"`
	Streaming  bool              `json:"streaming,omitempty"`
	WebhookURL string            `json:"webhook_url,omitempty"`
	OriginalID string            `json:"original_task_id,omitempty"`
	IDMap      map[string]string `json:"id_map,omitempty"`
	Replayed   bool              `json:"replayed,omitempty"`
	Existing   bool              `json:"existing,omitempty"`
	Warnings   []warning         `json:"warnings,omitempty"`
	// CancelledID is the task for which nothing was started.
	CancelledID string `json:"cancelled_id,omitempty"`
	*outcome

	did coordinator.ExecuteOutcome // what Status and Message tell
}

// outcome is what a call that waited learns besides.
type outcome struct {
	TimedOut     bool            `json:"timed_out"` // the tree goes on; the fields below are as far as it has come
	TreeStatus   dag.Status      `json:"tree_status"`
	TreeProgress fraction        `json:"tree_progress"`
	Result       json.RawMessage `json:"result"` // of the root
	Error        *string         `json:"error"`  // of the root
}

// execute answers tasks.execute: it starts a stored tree, or stores and starts an array of tasks in one transaction.
func (h *Handler) execute(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	e, err := h.parseExecution(x, raw)
	if err != nil {
		return nil, err
	}
	after, resumes, err := lastEventID(x.r)
	if err != nil {
		return nil, err
	}
	resumes = resumes && e.stream
	if e.stream || e.wait { // before anything starts, so that a refusal is one
		leave, err := h.enter(ctx)
		if err != nil {
			return nil, err
		}
		defer leave()
	}

	answer, err := h.start(ctx, x.svc, e, resumes)
	if err != nil && e.file != nil {
		err = e.file.Explain(err)
	}
	if err != nil {
		return nil, err
	}
	e.tasks = nil // the body is done with
	if hook := e.options.Webhook; hook != nil && answer.Success && answer.did == coordinator.Started && !resumes && !answer.Existing {
		answer.Streaming, answer.WebhookURL = true, hook.URL
		answer.Message = "Task execution started with webhook callbacks. Updates will be sent to " + hook.URL
	}
	switch {
	case e.stream && answer.Success: // else it is no stream (spec 5.4)
		answer.Streaming = true
		if answer.did == coordinator.Started && !answer.Existing {
			answer.Message = "Task execution started with streaming"
		}
		if !resumes || (e.id == "" && !answer.Replayed && !answer.Existing) {
			after = 0
		}
		x.release()
		h.streamExecution(x, answer, after)
		return nil, errStreamed
	case e.wait && answer.did == coordinator.Started:
		x.release()
		h.await(x.r.Context(), x.svc, answer, e.deadline, x.see)
	}
	return appendJSON(nil, answer), nil
}

func (h *Handler) parseExecution(x *exchange, raw json.RawMessage) (*execution, error) {
	key, err := x.modelKey()
	if err != nil {
		return nil, err
	}
	if kind(raw) == '[' { // K6
		return &execution{tasks: raw, key: x.key, deadline: h.cfg.MaxWait, options: coordinator.ExecuteOptions{ModelKey: key}}, nil
	}
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	e := &execution{
		id:     p.first("task_id", "id"),
		tasks:  p.values["tasks"],
		key:    p.text("idempotency_key"),
		stream: p.flag("use_streaming", false),
		wait:   p.flag("wait", false),
		options: coordinator.ExecuteOptions{
			Force: p.flag("force", false), RerunCancelled: p.flag("rerun_cancelled", false), RerunDependencies: p.flag("rerun_dependencies", false),
			KeepCompleted: p.flag("keep_completed", false),
			Demo:          p.flag("use_demo", false), NoCache: p.flag("no_cache", false), ModelKey: key,
		},
	}
	e.deadline = time.Duration(p.seconds("timeout", h.cfg.MaxWait.Seconds()) * float64(time.Second))
	e.existing = p.flag("require_existing_tasks", false)
	if p.flag("copy_execution", false) && e.id != "" {
		e.copy = &coordinator.CopyOptions{Mode: coordinator.CopyMinimal, Children: p.flag("copy_children", false)}
	}
	if e.id == "" {
		p.misspelt("file", "tasks", "parameters")
	}
	if e.id == "" && p.hasFile() {
		if e.file, err = h.treeFile(p); err != nil {
			return nil, err
		}
		e.tasks = e.file.Document()
	} else {
		p.withoutFile()
	}
	hook, hookErr := webhookOf(p.values["webhook_config"])
	e.options.Webhook = hook
	switch {
	case p.err != nil:
		return nil, p.err
	case hookErr != nil:
		return nil, hookErr
	case e.id == "" && isNull(e.tasks):
		return nil, invalid("task_id", "Either task_id or tasks array is required")
	case e.id == "" && kind(e.tasks) != '[':
		return nil, invalid("tasks", "tasks must be an array")
	case e.stream && !x.single:
		return nil, invalid("use_streaming", "use_streaming needs a request of its own, with an id")
	case e.stream && e.wait:
		return nil, invalid("wait", "wait can't go with use_streaming")
	case e.deadline > h.cfg.MaxWait:
		return nil, invalid("timeout", "timeout must be at most %v seconds", h.cfg.MaxWait.Seconds())
	}
	e.key, err = x.idempotencyKey(e.key)
	return e, err
}

// modelKey is the key of a model that came with the request (spec 5.7).
func (x *exchange) modelKey() (key modelkey.Key, err error) {
	switch len(x.llmKeys) {
	case 0:
		return key, nil
	case 1:
		key, err = modelkey.Parse(x.llmKeys[0])
	default:
		err = errors.New("must not be there twice")
	}
	if err != nil {
		return key, invalid("llm_api_key", "the header %s %v", modelkey.Header, err)
	}
	return key, nil
}

// idempotencyKey is the key of the header or the parameter, which must not differ.
func (x *exchange) idempotencyKey(parameter string) (string, error) {
	if x.key != "" && parameter != "" && x.key != parameter {
		return "", invalid("idempotency_key", "idempotency_key differs from the header Idempotency-Key")
	}
	key := x.key + parameter
	if x.key != "" {
		key = x.key
	}
	if utf8.RuneCountInString(key) > 255 {
		return "", invalid("idempotency_key", "idempotency_key must be at most 255 characters long")
	}
	return key, nil
}

// start does what was asked and says how it went. A stream that resumes starts no stored tree again: it only goes on
// with the events of the execution that it saw before.
func (h *Handler) start(ctx context.Context, svc coordinator.Service, e *execution, resumes bool) (*started, error) {
	answer := &started{Success: true, Protocol: "jsonrpc", TaskID: e.id, Status: "started", Message: "Task execution started", did: coordinator.Started}
	if e.id == "" {
		sub, err := svc.Submit(ctx, coordinator.SubmitOptions{IdempotencyKey: e.key, Demo: e.options.Demo, NoCache: e.options.NoCache, ModelKey: e.options.ModelKey,
			Webhook: e.options.Webhook, RequireExisting: e.existing}, h.read(e.tasks, nil))
		if err != nil {
			return nil, err
		}
		answer.RootTaskID, answer.TaskID = sub.TreeID, sub.TreeID
		answer.IDMap, answer.Replayed, answer.Warnings = sub.IDMap, sub.Replayed, warningsOf(sub)
		if answer.Existing = sub.Existing; sub.Existing {
			answer.Status = "existing"
			answer.Message = "Task " + sub.TreeID + " has the key of unique: nothing was stored, and nothing started"
		}
		return answer, nil
	}
	if resumes {
		tree, err := svc.Tree(ctx, e.id)
		if err != nil {
			return nil, named404(err, "Task "+e.id+" not found")
		}
		answer.RootTaskID = tree.ID
		return answer, nil
	}
	ex, err := e.execute(ctx, svc, answer)
	if err != nil {
		return nil, named404(err, "Task "+e.id+" not found")
	}
	answer.RootTaskID, answer.did = ex.TreeID, ex.Outcome
	switch ex.Outcome {
	case coordinator.AlreadyRunning:
		answer.Success, answer.TaskID, answer.Status = false, "", "already_running"
		answer.Message = "Task " + e.id + " is already running"
	case coordinator.NothingToDo:
		answer.Status = "completed"
		answer.Message = "Task " + e.id + " has completed: nothing to do"
	case coordinator.WasCancelled:
		answer.Success, answer.Status, answer.CancelledID = false, "cancelled", ex.Cancelled
		answer.Message = "Task " + e.id + " was cancelled: copy it to run it again, or set rerun_cancelled"
		if ex.Cancelled != e.id {
			answer.Message = "Task " + ex.Cancelled + ", which task " + e.id + " depends on, was cancelled: copy it to run it again, or set rerun_cancelled"
		}
	}
	return answer, nil
}

// execute starts the stored task, or a copy of it that is stored first; then the answer is about the copy (spec 4.3).
func (e *execution) execute(ctx context.Context, svc coordinator.Service, answer *started) (*coordinator.Execution, error) {
	if e.copy == nil {
		return svc.Execute(ctx, e.id, e.options)
	}
	e.copy.Execute, e.copy.IdempotencyKey = &e.options, e.key
	got, err := svc.Copy(ctx, e.id, *e.copy)
	if err != nil {
		return nil, err
	}
	answer.TaskID, answer.OriginalID, answer.Replayed = got.TreeID, e.id, got.Replayed
	if got.Execution == nil {
		return nil, errors.New("a copy was stored, and not executed")
	}
	return got.Execution, nil
}

// await fills the answer when the tree has ended or the time is up, whichever is first. The tree has been accepted, so
// what goes wrong while waiting is no error: the answer then says timed_out. see is that of [Call].
func (h *Handler) await(ctx context.Context, svc watching, answer *started, deadline time.Duration, see func(*coordinator.Event) error) {
	answer.outcome = &outcome{TimedOut: true, TreeStatus: dag.StatusInProgress}
	waiting, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	tree, err := svc.Tree(waiting, answer.RootTaskID)
	if err == nil && tree.Unfinished > 0 {
		f := follower{h: h, svc: svc, root: answer.RootTaskID, after: tree.Sequence}
		if see == nil {
			see = func(*coordinator.Event) error { return nil }
		}
		err = f.run(waiting, see, nil)
	}
	if err != nil && waiting.Err() == nil {
		h.cfg.Log.WarnContext(ctx, "waiting for a tree failed", "tree_id", answer.RootTaskID, "error", err)
	}

	reading, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.cfg.ResumeTimeout)
	defer cancel()
	tree, err = svc.Tree(reading, answer.RootTaskID)
	if err != nil {
		h.cfg.Log.WarnContext(ctx, "a tree was waited for, and could not be read", "tree_id", answer.RootTaskID, "error", err)
		return
	}
	answer.TreeStatus, answer.TreeProgress = tree.Status, fraction(tree.Progress)
	if tree.Unfinished > 0 {
		return
	}
	answer.TimedOut = false
	answer.Status = string(tree.Status)
	answer.Message = "Task execution " + string(tree.Status)
	if root, err := svc.Task(reading, answer.RootTaskID); err == nil {
		shown := taskOf(root, tree)
		answer.outcome.Result, answer.outcome.Error = shown.Result, shown.Error
	}
}

// enter counts a stream or a waiting call, of the process and of who asks for it; leave must be called when it ends.
func (h *Handler) enter(ctx context.Context) (leave func(), err error) {
	if h.streams.Add(1) > int64(h.cfg.MaxStreams) {
		h.streams.Add(-1)
		return nil, api.ErrOverload
	}
	left, err := api.OpenStream(ctx)
	if err != nil {
		h.streams.Add(-1)
		return nil, err
	}
	return func() { left(); h.streams.Add(-1) }, nil
}

// named404 gives an unknown task its text of the protocol.
func named404(err error, text string) error {
	if errors.Is(err, coordinator.ErrNotFound) {
		return &api.Fault{Kind: api.NotFound, Text: text}
	}
	return err
}
