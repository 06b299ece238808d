package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/secrets"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/rawjson"
	"github.com/taskgrove/taskgrove/internal/workerfile"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// openSecrets makes the store of the worker's secrets, once.
func (c *Config) openSecrets() (err error) {
	if c.secrets == nil {
		c.policies = workerfile.At(c.WorkerFile)
		if c.secrets, err = secrets.New(secrets.Config{File: c.WorkerFile, Dir: c.SecretsDir, Log: c.Log, LookupEnv: config.LookupEnv}); err == nil {
			err = c.policies.Load(nil) // before the first attempt, so that none finds it unread
		}
	}
	return err
}

// adviseConnections logs which connections of the worker's file can't be used as they are.
func (c *Config) adviseConnections() {
	var all []executors.Description
	for _, e := range c.Executors {
		all = append(all, e.Describe())
	}
	for _, text := range c.secrets.Check(all) {
		c.Log.Warn(text)
	}
}

// resolve puts the secrets and the connection that a call's inputs name into them. From then on what the attempt says is without them.
//
// shown are the inputs as the task's own schema may see them; nil: those of the call.
func (w *Worker) resolve(ctx context.Context, a *attempt, call *executors.Call, references []string) (shown json.RawMessage, err error) {
	uses := a.kind.uses
	if e, is := a.kind.executor.(executors.Delegator); is {
		d, err := e.Delegate(call)
		if err != nil {
			return nil, err
		}
		uses = w.cfg.secrets.For(d)
	}
	if uses == nil {
		return nil, nil
	}
	as, err := uses.Resolve(ctx, call.Pool, call.Inputs, references)
	if refusal, ok := errors.AsType[*secrets.Refusal](err); ok {
		w.quiet.warn("secrets of "+call.Pool+" "+a.work.Executor, "a task does not get what it names", "task_id", a.work.TaskId, "executor", a.work.Executor, "pool", call.Pool, "why", refusal.Why)
	}
	if err != nil {
		return nil, err
	}
	call.Inputs, call.Connection = as.Inputs, as.Connection
	if as.Redactor != nil {
		a.out.redactor.Store(as.Redactor)
		call.Redact = a.out.text
	}
	return as.Shown, nil
}

// validate checks a call against the executor's schema, and what the task may see of it against the task's own.
func (w *Worker) validate(d executors.Description, call *executors.Call, shown json.RawMessage) error {
	if shown == nil {
		return wrongInput(w.cfg.Validate(d, call))
	}
	whole, seen := *call, *call
	whole.Schemas, seen.Inputs = nil, shown
	err := w.cfg.Validate(d, &whole)
	if err == nil {
		d.Inputs = nil
		err = w.cfg.Validate(d, &seen)
	}
	return wrongInput(err)
}

// wrongInput is the failure of a call that a schema refuses: it has a kind of its own, and is never tried again. nil stays nil.
func wrongInput(err error) error {
	return executors.WithKind(executors.Permanent(err), string(dag.KindInput))
}

// redacted is an encoded result without secrets. Names that become the same leave the last.
func redacted(r *secrets.Redactor, value json.RawMessage) ([]byte, error) {
	if r == nil || len(value) == 0 { // null
		return value, nil
	}
	return rawjson.LastNames(r.JSON(value))
}

// fileFault is what is wrong with the worker's file as it is now. It keeps the worker from nothing: the version before it counts.
func (w *Worker) fileFault() []*workerv1.Fault {
	err := w.cfg.secrets.Fault()
	if err == nil {
		w.cfg.adviseConnections() // on a version that is new
		return nil
	}
	lines := slices.DeleteFunc(strings.Split(err.Error(), "\n"), func(line string) bool { return line == "not accepted:" })
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return []*workerv1.Fault{{Text: clean(fmt.Sprintf("the worker's file does not count, the version before it does: %s", strings.Join(lines, "; ")), workerv1.MaxFaultText)}}
}
