package worker

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/secrets"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// Bounds of what one attempt uses as tools.
const (
	toolUses      = 2000 // altogether
	toolsAtOnce   = 8    // others wait
	toolResult    = 1 << 20
	toolArguments = 1 << 20
)

// askModels are the types of executors that ask models themselves. As tools they would spend without the budget of the task that uses them,
// and could use one another without end.
var askModels = []string{"llm", "crewai", "generate"}

// toolbox lends an attempt the executors of its worker. Its uses take no slots: they are part of the attempt, which has one.
type toolbox struct {
	w     *Worker
	call  *executors.Call // of the attempt
	turns chan struct{}
	uses  atomic.Int64
}

func (w *Worker) newToolbox(call *executors.Call) *toolbox {
	return &toolbox{w: w, call: call, turns: make(chan struct{}, toolsAtOnce)}
}

// Tool implements [executors.Toolbox].
func (t *toolbox) Tool(id string) (executors.Description, error) {
	k, err := t.kind(id)
	if err != nil {
		return executors.Description{}, executors.Permanent(err)
	}
	return k.description, nil
}

// kind finds an executor that the attempt may use. Its id may lack its ending (spec 1.3).
func (t *toolbox) kind(id string) (*kind, error) {
	k := t.w.kinds[id]
	if k == nil {
		k = t.w.kinds[id+"_executor"]
	}
	if k == nil {
		return nil, fmt.Errorf("there is no executor %.100q at this worker", id)
	}
	id = k.description.ID
	if slices.Contains(askModels, k.description.Type) {
		return nil, fmt.Errorf("%s asks models itself, and is no tool of an agent", id)
	}
	if !slices.Contains(t.allowed(), id) {
		return nil, fmt.Errorf("%s may not be used by agents of pool %q: TASKGROVE_AGENT_TOOLS, or agents.tools of the pool in the worker's file, opens it to them", id, t.call.Pool)
	}
	if d, ok := k.executor.(executors.Disabler); ok && d.Disabled() != "" {
		return nil, fmt.Errorf("%s is off at this worker: %s", id, d.Disabled())
	}
	return k, nil
}

// allowed are the executors that the operator lets agents of the attempt's pool use.
func (t *toolbox) allowed() []string {
	if own := t.w.cfg.policies.File().Pool(t.call.Pool).Agents; own != nil && own.Tools != nil {
		return *own.Tools
	}
	return t.w.cfg.AgentTools
}

// Resolve implements [executors.Toolbox].
func (t *toolbox) Resolve(d executors.Description, fixed json.RawMessage) (*executors.Call, error) {
	inputs, names, err := merge(fixed, nil)
	if err != nil {
		return nil, executors.Permanent(err)
	}
	return t.prepare(context.Background(), t.w.cfg.secrets.For(d), d, inputs, names, "") // who asks waits within bounds
}

// Use implements [executors.Toolbox].
func (t *toolbox) Use(ctx context.Context, use executors.ToolUse) (json.RawMessage, error) {
	k, err := t.kind(use.Executor)
	if err != nil {
		return nil, executors.Permanent(err)
	}
	if t.uses.Add(1) > toolUses {
		return nil, executors.Permanent(fmt.Errorf("an attempt may use executors as tools %d times", toolUses))
	}
	inputs, names, err := merge(use.Fixed, use.Arguments)
	if err == nil {
		err = checkArguments(k, use.Fixed, use.Arguments)
	}
	if err != nil {
		return nil, executors.Permanent(err)
	}
	select {
	case t.turns <- struct{}{}:
		defer func() { <-t.turns }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	name := use.Name
	if name == "" {
		name = k.description.ID
	}
	call, err := t.prepare(ctx, k.uses, k.description, inputs, names, name)
	if err != nil {
		return nil, err
	}
	use.Executor = k.description.ID
	said := sha256.Sum256(use.Says())
	call.IdempotencyKey = fmt.Sprintf("%s/tool/%x/%d", t.call.IdempotencyKey, said[:8], use.Number)
	return t.run(ctx, k, call)
}

// checkArguments refuses what a model must not say: only the task's author names secrets and connections, and who gets them.
func checkArguments(k *kind, fixed, arguments json.RawMessage) error {
	closed := secrets.Closed(k.description, fixed)
	for quoted, value := range rawjson.Members(arguments) {
		name, _ := rawjson.Unquote(quoted)
		if k.description.Connection != nil && strings.EqualFold(name, "connection") {
			return fmt.Errorf("%.100s: only the task's author may name a connection", name)
		}
		if k.description.Secrets && secrets.Named(value) {
			return fmt.Errorf("%.100s: only the task's author may name a secret", name)
		}
		if slices.ContainsFunc(closed, func(field string) bool { return strings.EqualFold(field, name) }) {
			return fmt.Errorf("%.100s: only the task's author may say where to go and as whom", name)
		}
	}
	return nil
}

// merge puts the arguments behind what is fixed. fixedNames are the names of that, which no argument has in whatever case: some executors
// take Host for host.
func merge(fixed, arguments json.RawMessage) (inputs json.RawMessage, fixedNames []string, err error) {
	if len(arguments) > toolArguments {
		return nil, nil, fmt.Errorf("the arguments have %d bytes, at most %d", len(arguments), toolArguments)
	}
	out := []byte{'{'}
	for _, part := range []json.RawMessage{fixed, arguments} {
		if len(part) == 0 {
			continue
		}
		if err := rawjson.Check(part); err != nil || part[rawjson.SkipSpace(part, 0)] != '{' {
			return nil, nil, errors.New("the inputs of a tool are not a JSON object")
		}
		if err := rawjson.CheckNames(part); err != nil {
			return nil, nil, err
		}
	}
	for quoted, value := range rawjson.Members(fixed) {
		name, _ := rawjson.Unquote(quoted)
		fixedNames = append(fixedNames, name)
		out = appendMember(out, quoted, value)
	}
	for quoted, value := range rawjson.Members(arguments) {
		name, _ := rawjson.Unquote(quoted)
		if slices.ContainsFunc(fixedNames, func(fixed string) bool { return strings.EqualFold(fixed, name) }) {
			return nil, nil, fmt.Errorf("%.100s: the task has set it", name)
		}
		out = appendMember(out, quoted, value)
	}
	return append(out, '}'), fixedNames, nil
}

func appendMember(out, quoted, value []byte) []byte {
	if len(out) > 1 {
		out = append(out, ',')
	}
	return append(append(append(out, quoted...), ':'), value...)
}

// prepare makes the call of a tool: secrets are in their places, and the inputs are checked. names are the inputs that may name secrets.
func (t *toolbox) prepare(ctx context.Context, uses *secrets.Use, d executors.Description, inputs json.RawMessage, names []string, tool string) (*executors.Call, error) {
	as, err := uses.Resolve(ctx, t.call.Pool, inputs, names)
	if refusal, ok := errors.AsType[*secrets.Refusal](err); ok {
		t.w.quiet.warn("secrets of "+t.call.Pool+" tool "+d.ID, "a task's tool does not get what it names", "task_id", t.call.TaskID, "executor", d.ID, "pool", t.call.Pool, "why", refusal.Why)
	}
	if err != nil {
		return nil, err
	}
	call := *t.call
	call.Inputs, call.Connection, call.Params, call.Schemas = as.Inputs, as.Connection, nil, nil
	call.Live, call.Toolbox, call.Catalogue, call.ModelKey = nil, nil, nil, nil
	voice := &toolVoice{to: t.call.Reporter, redactor: as.Redactor, outer: t.call.Redact}
	if tool != "" {
		voice.mark = "[" + tool + "] "
	}
	call.Reporter, call.Redact = voice, voice.redact
	if err := t.w.cfg.Validate(d, &call); err != nil {
		return nil, executors.Permanent(err)
	}
	return &call, nil
}

// run runs an executor within the attempt.
func (t *toolbox) run(ctx context.Context, k *kind, call *executors.Call) (json.RawMessage, error) {
	if most := k.description.Timeout; most > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, most, executors.ErrTimeout)
		defer cancel()
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if !call.Lease.Until().After(time.Now()) {
		return nil, executors.ErrLeaseLost
	}
	voice := call.Reporter.(*toolVoice)
	result, err := guarded(ctx, k.executor, call)
	if err != nil {
		text := voice.redact(err.Error())
		if executors.IsPermanent(err) {
			return nil, executors.Permanent(errors.New(text))
		}
		return nil, executors.RetryAfter(errors.New(text), executors.RetryAfterOf(err))
	}
	if len(result) > toolResult {
		return nil, fmt.Errorf("the result has %d bytes, at most %d", len(result), toolResult)
	}
	return redacted(voice.redactor, result)
}

// guarded runs an executor in a goroutine of its own, which has ended when it returns: a panic, and the end of the goroutine, are errors of the
// tool alone.
func guarded(ctx context.Context, e executors.Executor, call *executors.Call) (result []byte, err error) {
	done := make(chan struct{})
	err = errors.New("executor ended its goroutine")
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				call.Reporter.Log("log", fmt.Sprintf("panic: %v\n%s", p, debug.Stack()))
				result, err = nil, fmt.Errorf("panic: %v", p)
			}
		}()
		result, err = once(ctx, e, call)
	}()
	<-done
	return result, err
}

// once runs an executor and encodes what it returns. What was done in part is no answer.
func once(ctx context.Context, e executors.Executor, call *executors.Call) ([]byte, error) {
	outcome, err := e.Run(ctx, call)
	if err == nil && outcome.Kind() != executors.KindCompleted {
		err = errNoReason
	}
	if err != nil {
		return nil, err
	}
	result, err := encode(outcome.Value())
	if err != nil {
		return nil, fmt.Errorf("result can't be encoded as JSON: %w", err)
	}
	if len(result) == 0 {
		result = []byte("null")
	}
	return result, nil
}

// toolVoice is what a tool says in its attempt: lines with the tool's name before them, without the secrets that it was given.
type toolVoice struct {
	to       executors.Reporter
	mark     string
	redactor *secrets.Redactor
	outer    func(string) string
}

// Log implements [executors.Reporter].
func (v *toolVoice) Log(stream, line string) { v.to.Log(stream, v.mark+v.redactor.Text(line)) }

// Progress implements [executors.Reporter]: a tool's is not its attempt's.
func (v *toolVoice) Progress(float64, string) {}

func (v *toolVoice) redact(text string) string {
	text = v.redactor.Text(text)
	if v.outer != nil {
		text = v.outer(text)
	}
	return text
}

func (*toolVoice) Checkpoint(data json.RawMessage) error { return nil }
