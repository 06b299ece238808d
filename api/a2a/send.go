package a2a

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/a2aproject/a2a-go/v2/a2a"

	"github.com/taskgrove/taskgrove/api/treefiles"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/modelkey"
)

// send answers message/send.
func (h *Handler) send(ctx context.Context, x *exchange, s *sending) (*a2a.Task, error) {
	if s.operation != executes {
		return h.operate(ctx, x, s)
	}
	if s.blocking {
		leave, err := h.enter(ctx)
		if err != nil {
			return nil, err
		}
		defer leave()
	}
	task, err := h.begin(ctx, x, s)
	if err != nil {
		return nil, err
	}
	if s.blocking {
		if err := h.await(ctx, x, task); err != nil {
			return nil, err
		}
	}
	return h.task(ctx, x, task.ID, s.history)
}

// await returns when the tree has ended, or when the time to wait is up: then the answer tells how far it has come.
func (h *Handler) await(ctx context.Context, x *exchange, task *coordinator.AgentTask) error {
	wait := h.cfg.MaxWait
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)*9/10)
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	err := h.follow(waiting, x.svc, task.TaskID, 0, func(*coordinator.Event) error { return nil })
	if err != nil && ctx.Err() == nil && waiting.Err() != nil {
		return nil
	}
	return err
}

// execution is what a message to execute says.
type execution struct {
	taskID         string          // that is stored
	tasks          json.RawMessage // instead: an array
	file           *treefiles.File // that the tasks were made of; nil: none
	copy, children bool
	submit         coordinator.SubmitOptions
	options        coordinator.ExecuteOptions
}

// parse reads a message to execute.
func (s *sending) parse(x *exchange, known dag.Known) (e *execution, err error) {
	e = &execution{}
	for name, to := range map[string]*bool{"copy_execution": &e.copy, "copy_children": &e.children, "require_existing_tasks": &e.submit.RequireExisting} {
		if *to, err = s.metadata.flag(name); err != nil {
			return nil, err
		}
	}
	for _, from := range []values{s.metadata, s.own} {
		demo, err := from.flag("use_demo")
		if err != nil {
			return nil, err
		}
		e.options.Demo = e.options.Demo || demo
	}
	for name, to := range map[string]*string{"task_id": &e.taskID, "user_id": &e.submit.UserID, "idempotency_key": &e.submit.IdempotencyKey} {
		if *to, err = s.metadata.text(name); err != nil {
			return nil, err
		}
	}
	if e.options.ModelKey, err = x.modelKey(); err != nil {
		return nil, err
	}
	e.submit.Hold = true // until its task of A2A is stored
	switch {
	case e.copy && e.taskID == "":
		return nil, invalid("task_id is required in metadata when copy_execution=True")
	case e.copy:
		return e, nil
	}
	file, parameters, err := s.treeFile()
	if err != nil {
		return nil, err
	}
	if file != nil {
		if e.file, err = treefiles.Read(file, parameters, known); err != nil {
			return nil, err
		}
		e.tasks = e.file.Document()
	} else if e.tasks, err = s.document(); err != nil {
		return nil, err
	}
	switch {
	case e.tasks != nil:
		e.taskID = ""
	case e.taskID == "":
		return nil, invalid("No tasks found in context.message.parts")
	}
	return e, nil
}

// modelKey is the key of a model that came with the request (spec 5.7).
func (x *exchange) modelKey() (key modelkey.Key, err error) {
	switch sent := x.headers.Values(modelkey.Header); len(sent) {
	case 0:
		return key, nil
	case 1:
		key, err = modelkey.Parse(sent[0])
	default:
		err = errors.New("must not be there twice")
	}
	if err != nil {
		return key, invalid("the header %s %v", modelkey.Header, err)
	}
	return key, nil
}

// begin stores what a message brings, then the message's task, then starts the tree: whoever is told of a tree by its task of A2A misses none
// of its events. What ends in between leaves a tree that was stored and has not run.
func (h *Handler) begin(ctx context.Context, x *exchange, s *sending) (*coordinator.AgentTask, error) {
	if err := h.refuseContinued(ctx, x, s); err != nil {
		return nil, err
	}
	e, err := s.parse(x, h.cfg.Known)
	if err != nil {
		return nil, err
	}
	var told *push
	if s.push != nil { // before anything is stored
		if told, err = x.readPush(ctx, s.push); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, h.cfg.RequestTimeout)
	defer cancel()
	known, err := h.store(ctx, x, e)
	if err != nil || known != nil {
		return known, err
	}
	task, err := h.keep(ctx, x, s, e.taskID)
	if err != nil {
		return nil, err
	}
	if told != nil { // with the start: a tree that ends at once has its end told, too
		e.options.Attach = append(e.options.Attach, told.attachment(task.ID))
	}
	if err := h.start(ctx, x, e); err != nil {
		x.forget(ctx, task.ID)
		return nil, err
	}
	return task, nil
}

// refuseContinued refuses a message to a task of A2A: a tree takes no further messages.
func (h *Handler) refuseContinued(ctx context.Context, x *exchange, s *sending) error {
	if s.message.TaskID == "" {
		return nil
	}
	if _, err := x.agentTask(ctx, string(s.message.TaskID)); err != nil {
		return err
	}
	return fault(codeUnsupported, "Task %s takes no further messages: send a new one, with metadata.task_id to run its tree again", s.message.TaskID)
}

// store stores the tasks or the copy that are to be executed, and puts the id into e. A submission that is known has its task already.
func (h *Handler) store(ctx context.Context, x *exchange, e *execution) (known *coordinator.AgentTask, err error) {
	switch {
	case e.copy:
		copied, err := x.svc.Copy(ctx, e.taskID, coordinator.CopyOptions{Children: e.children})
		if err != nil {
			return nil, unknown(err, e.taskID)
		}
		e.taskID = copied.TreeID
	case e.taskID == "":
		sub, err := x.svc.Submit(ctx, e.submit, treedoc.Parse(e.tasks, treedoc.Options{Limits: h.cfg.Limits, Executors: h.cfg.Known}))
		if err != nil && e.file != nil {
			err = e.file.Explain(err)
		}
		if err != nil {
			return nil, err
		}
		e.taskID = sub.TreeID
		if sub.Replayed || sub.Existing {
			known, err = x.svc.AgentTaskOf(ctx, e.taskID)
			if errors.Is(err, coordinator.ErrNotFound) { // who submitted it came no further
				return nil, nil
			}
			return known, err
		}
	}
	return nil, nil
}

// keep stores the task of A2A for a message.
func (h *Handler) keep(ctx context.Context, x *exchange, s *sending, taskID string) (*coordinator.AgentTask, error) {
	task := coordinator.AgentTask{ID: string(a2a.NewTaskID()), Context: s.message.ContextID, TaskID: taskID}
	if task.Context == "" {
		tree, err := x.svc.Tree(ctx, taskID)
		if err != nil {
			return nil, unknown(err, taskID)
		}
		task.Context = tree.ID
	}
	s.message.TaskID, s.message.ContextID = a2a.TaskID(task.ID), task.Context
	task.History = encode([]json.RawMessage{h.kept(s.message)})
	if err := x.svc.KeepAgentTask(ctx, task); err != nil {
		return nil, unknown(err, taskID)
	}
	return &task, nil
}

// kept is a message as it is stored: a long one without what its parts hold, which the tree has.
func (h *Handler) kept(message *a2a.Message) json.RawMessage {
	whole := encode(message)
	if len(whole) <= h.cfg.MaxHistoryBytes {
		return whole
	}
	short := a2a.Message{ID: message.ID, Role: message.Role, TaskID: message.TaskID, ContextID: message.ContextID,
		Parts: a2a.ContentParts{a2a.NewDataPart(map[string]any{"omitted": true, "bytes": len(whole)})}}
	return encode(&short)
}

// start executes what is stored.
func (h *Handler) start(ctx context.Context, x *exchange, e *execution) error {
	did, err := x.svc.Execute(ctx, e.taskID, e.options)
	switch {
	case err != nil:
		return unknown(err, e.taskID)
	case did.Outcome == coordinator.AlreadyRunning:
		return invalid("Task %s is already running", e.taskID)
	case did.Outcome == coordinator.WasCancelled:
		return invalid("Task %s was cancelled: copy it to run it again", did.Cancelled)
	}
	return nil
}

// forget drops a task of A2A of which nothing came, though the client may be gone by now.
func (x *exchange) forget(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = x.svc.DropAgentTask(ctx, id) // the row goes with its tree
}

// unknown gives a task of the tree that is not there its text. It is not a task of A2A, so its code is that of a parameter.
func unknown(err error, id string) error {
	if errors.Is(err, coordinator.ErrNotFound) {
		return invalid("Task %s not found", id)
	}
	return err
}

// agentTask reads a task of A2A.
func (x *exchange) agentTask(ctx context.Context, id string) (*coordinator.AgentTask, error) {
	task, err := x.svc.AgentTask(ctx, id)
	if errors.Is(err, coordinator.ErrNotFound) {
		return nil, fault(codeNotFound, "Task %s not found", id)
	}
	return task, err
}
