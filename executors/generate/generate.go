package generate

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/budget"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/model"
)

// ID is the executor's id.
const ID = "generate_executor"

// DefaultMaxTasks is the most tasks of a generated tree when nothing else is configured.
const DefaultMaxTasks = 500

// Config configures the generation of trees.
type Config struct {
	// Executors are those that generated trees may use at most. Empty: all but this one.
	Executors []string
	// NoCommands refuses allow_commands to all tasks.
	NoCommands bool
	// MaxTasks is the most tasks that a tree may be asked to have. 0: [DefaultMaxTasks].
	MaxTasks int
	// Provider is the default of the input llm_provider, the models are those of the input model. Empty: the protocol's.
	Provider, OpenAIModel, AnthropicModel string
}

// Executor is generate_executor.
type Executor struct {
	cfg   Config
	open  Opener
	close func() error
	own   func() []executors.Description
}

// Opener begins a conversation with models on behalf of an attempt. What can't be right whatever is asked is a permanent error.
type Opener func(*executors.Call, model.Options) (model.Asker, error)

// New makes one that asks models through what open gives for an attempt; closeIdle closes what open keeps between attempts. own are the worker's executors, which trees are made of where the
// cluster's can't be had.
func New(cfg Config, open Opener, closeIdle func() error, own func() []executors.Description) *Executor {
	if cfg.MaxTasks <= 0 {
		cfg.MaxTasks = DefaultMaxTasks
	}
	cfg.Provider = cmp.Or(cfg.Provider, "openai")
	cfg.OpenAIModel = cmp.Or(cfg.OpenAIModel, "gpt-4o")
	cfg.AnthropicModel = cmp.Or(cfg.AnthropicModel, retired)
	return &Executor{cfg, open, closeIdle, own}
}

// Close closes idle connections.
func (e *Executor) Close() error { return e.close() }

// Describe implements [executors.Executor].
func (e *Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "Generate Executor", Type: "generate",
		Description: "Makes a valid task tree of a requirement in plain language, by asking a language model",
		Tags:        []string{"generation", "llm", "task-tree"},
		Inputs:      inputSchema, Output: outputSchema,
		Kinds:      model.Kinds(),
		Cancelable: true, Secrets: true, Concurrency: executors.Waiting,
		Connection: &executors.Connection{Types: []string{"llm"}, Fields: []string{"api_base", "api_key", "api"}},
		Examples:   examples,
	}
}

// Result is a generated tree.
type Result struct {
	Status   string   `json:"status"`
	Tasks    []Task   `json:"tasks"`
	Count    int      `json:"count"`
	Model    string   `json:"model,omitempty"`
	Repaired bool     `json:"repaired,omitempty"`
	Warnings []string `json:"warnings,omitempty"`

	Usage *budget.TokenUsage `json:"token_usage,omitempty"`
	Cost  *budget.Cost       `json:"cost,omitempty"`

	*Demo
}

// Demo is what the result of a demonstration has besides.
type Demo struct {
	Requirement string `json:"requirement"`
	TaskCount   int    `json:"task_count"`
}

// Demo implements [executors.Demonstrator] (spec 3.10, 8.12).
func (e *Executor) Demo(call *executors.Call) (any, time.Duration) {
	var in input
	_ = inputs.Decode(ID, call, &in) // a demonstration takes any inputs
	owner := cmp.Or(in.owner(call), "demo_user")
	task := func(n int, resource string) Task {
		return Task{
			ID: fmt.Sprintf("demo-task-%d", n), Name: fmt.Sprintf("demo_task_%d", n), UserID: &owner, Priority: 2,
			Schemas: json.RawMessage(`{"method":"system_info_executor"}`), Inputs: json.RawMessage(`{"resource":"` + resource + `"}`),
		}
	}
	first, second := task(1, "cpu"), task(2, "memory")
	second.ParentID, second.Dependencies = first.ID, []Dependency{{ID: first.ID, Required: true}}
	return &Result{
		Status: "completed", Tasks: []Task{first, second}, Count: 2,
		Demo: &Demo{cmp.Or(in.Requirement, "Demo requirement"), 2},
	}, 1500 * time.Millisecond
}

// Run implements [executors.Executor].
func (e *Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	in, err := e.cfg.read(call)
	if err != nil {
		return nil, err
	}
	limit := in.Timeout
	if _, bound := ctx.Deadline(); limit == "" && !bound {
		limit = defaultTimeout
	}
	ctx, cancel, err := executors.LimitTime(ctx, ID, limit, "Generation timeout")
	if err != nil {
		return nil, err
	}
	defer cancel()
	g := &generation{call: call, in: in, judge: judge{
		owner: in.owner(call), most: in.MaxTasks, newID: uuid.NewString,
		tools: in.AllowCommands != nil && *in.AllowCommands,
	}}
	g.judge.all = e.catalogue(ctx, call)
	allowed, faults := e.cfg.allowed(in, g.judge.all)
	if len(faults) > 0 {
		return nil, executors.Invalid(ID, strings.Join(faults, "; "))
	}
	g.judge.allowed = allowed
	if g.request, err = e.cfg.request(in); err != nil {
		return nil, err
	}
	g.others = e.cfg.others(in)
	if err := g.begin(ctx, e.open); err != nil {
		return nil, fmt.Errorf("Failed to create LLM client: %w", err)
	}
	result, err := g.run(ctx)
	if err == nil {
		return executors.Completed(result), nil
	}
	if ctx.Err() != nil {
		err = executors.Ended(ctx, err)
	}
	return in.limits.End(err, g.failed(err))
}

// begin opens the conversation, and finds what is known to be wrong before a model is asked.
func (g *generation) begin(ctx context.Context, open Opener) (err error) {
	g.asker, err = open(g.call, model.Options{
		ID: ID, Meter: g.in.limits.Meter(g.call.Spent), Key: g.in.APIKey, BaseURL: g.in.APIBase, API: g.in.API,
	})
	checks, ok := g.asker.(interface {
		Check(context.Context, *model.Request) error
	})
	if !ok || err != nil {
		return err
	}
	g.prompt()
	if err = checks.Check(ctx, g.request); err == nil || !strings.Contains(err.Error(), noKeyOf) {
		return err
	}
	if len(g.others) > 0 {
		chosen := g.request.Models
		if g.request.Models = g.others; checks.Check(ctx, g.request) == nil {
			return nil
		}
		g.request.Models = chosen
	}
	return fmt.Errorf("LLM API key not found: %w", err)
}

// noKeyOf is in the text about a model whose service has no key.
const noKeyOf = ": no key of "

// prompt is what the model is told first.
func (g *generation) prompt() {
	g.request.Messages = []model.Message{
		model.Text(model.System, g.judge.instruction(g.in.Requirement)), model.Text(model.User, question(g.in.Requirement)),
	}
}

// catalogue is what the cluster's workers have, or else this worker.
func (e *Executor) catalogue(ctx context.Context, call *executors.Call) []executors.Description {
	if call.Catalogue != nil {
		all, err := call.Catalogue(ctx)
		if err == nil && len(all) > 0 {
			return all
		}
		if err != nil {
			call.Reporter.Log("log", "the cluster's executors can't be had, so those of this worker are used: "+err.Error())
		}
	}
	return e.own()
}

// byDefault are the models of a service that has a default. A retired one is followed by its successor, which is asked if the service does not
// know it any more.
func (c *Config) byDefault(provider string) []string {
	name := map[string]string{"openai": c.OpenAIModel, "anthropic": c.AnthropicModel}[provider]
	switch name {
	case "":
		return nil
	case retired:
		return []string{"anthropic/" + retired, "anthropic/" + successor}
	}
	return []string{provider + "/" + strings.TrimPrefix(name, provider+"/")}
}

const (
	retired   = "claude-3-5-sonnet-20241022" // the protocol's default
	successor = "claude-sonnet-4-5"
)

// others are the default models of the other one of the two services that have some, for a task that chooses none: they are asked where only that
// service has a key.
func (c *Config) others(in *input) []string {
	if strings.TrimSpace(in.Model) != "" || strings.TrimSpace(in.Provider) != "" {
		return nil
	}
	return c.byDefault(map[string]string{"openai": "anthropic", "anthropic": "openai"}[c.Provider])
}

// request is what the model is asked with, without messages.
func (c *Config) request(in *input) (*model.Request, error) {
	name, provider := strings.TrimSpace(in.Model), strings.TrimSpace(in.Provider)
	models := []string{name}
	switch {
	case name == "":
		provider = cmp.Or(provider, c.Provider)
		if models = c.byDefault(provider); models == nil {
			return nil, executors.Invalid(ID, fmt.Sprintf("model is required in inputs: there is no default for the provider %s", quoted(provider)))
		}
	case provider != "" && !strings.HasPrefix(name, provider+"/"):
		models[0] = provider + "/" + name
	}
	return &model.Request{Models: models, Temperature: in.Temperature, MaxTokens: in.MaxTokens, Agent: "generate"}, nil
}

// generation is one attempt.
type generation struct {
	call    *executors.Call
	in      *input
	judge   judge
	asker   model.Asker
	request *model.Request
	others  []string // models that are asked if that of request has no key

	usage executors.Usage
	model string
	tasks json.RawMessage // of the last answer, whatever is wrong with them
}

// run asks, and once more if the answer has faults.
func (g *generation) run(ctx context.Context) (*Result, error) {
	g.request.Stream = g.call.Live != nil
	g.prompt()
	for round := range 2 {
		g.call.Reporter.Progress([]float64{0.1, 0.6}[round], []string{"asking the model", "asking the model for a correction"}[round])
		answer, err := g.ask(ctx)
		if err != nil {
			return nil, err
		}
		t, fault := g.read(answer)
		if fault == nil {
			tasks := g.judge.document(t)
			return &Result{
				Status: "completed", Tasks: tasks, Count: len(tasks), Model: g.model, Repaired: round > 0,
				Warnings: g.judge.warnings, Usage: budget.TokenUsageOf(g.usage), Cost: budget.CostOf(g.usage),
			}, nil
		}
		if round > 0 || answer.Finish == "length" {
			return nil, fault
		}
		g.call.Reporter.Log("log", "the answer has faults: "+cut(fault.Error(), maxFaultBytes))
		g.request.Messages = append(g.request.Messages,
			model.Text(model.Assistant, cut(answer.Message.Text(), maxQuotedBytes)), model.Text(model.User, complaint(cut(fault.Error(), maxFaultBytes))))
	}
	panic("unreachable: the second round returns")
}

const (
	maxFaultBytes  = 4000     // of faults in a text
	maxQuotedBytes = 64 << 10 // of an answer that its model gets back
)

// ask asks and counts what it took.
func (g *generation) ask(ctx context.Context) (*model.Response, error) {
	answer, err := g.asker.Ask(ctx, g.request)
	if answer != nil {
		g.usage.Add(answer.Usage)
		g.model = cmp.Or(answer.Model, g.model)
	}
	if err != nil {
		return nil, fmt.Errorf("LLM generation failed: %w", err)
	}
	return answer, nil
}

// read finds the tree in an answer, or what is wrong with it, in the words of spec 8.12.
func (g *generation) read(answer *model.Response) (*tree, error) {
	array, err := findTasks(answer.Message.Text())
	if err != nil {
		if answer.Finish == "length" {
			err = fmt.Errorf("the answer was cut off after %d tokens: set max_tokens higher, or ask for less (%w)", g.in.MaxTokens, err)
		}
		return nil, executors.WithDetail(fmt.Errorf("Failed to parse LLM response: %w", err), cut(answer.Message.Text(), maxQuotedBytes))
	}
	g.tasks = array
	t, err := g.judge.check(array)
	if err != nil {
		fault := fmt.Errorf("Validation failed: %s", cut(err.Error(), maxFaultBytes))
		return nil, executors.WithDetail(fault, cut(string(array), maxQuotedBytes))
	}
	return t, nil
}

// failed is what is left of an attempt that failed: the failure object of spec 8.12.
func (g *generation) failed(err error) any {
	tasks := json.RawMessage("[]")
	if len(g.tasks) > 0 && len(g.tasks) <= maxQuotedBytes {
		var compact bytes.Buffer
		if json.Compact(&compact, g.tasks) == nil {
			tasks = compact.Bytes()
		}
	}
	return struct {
		Status string          `json:"status"`
		Error  string          `json:"error"`
		Tasks  json.RawMessage `json:"tasks"`

		Usage *budget.TokenUsage `json:"token_usage,omitempty"`
		Cost  *budget.Cost       `json:"cost,omitempty"`
	}{"failed", err.Error(), tasks, budget.TokenUsageOf(g.usage), budget.CostOf(g.usage)}
}

// cut is a text of so many bytes at most.
func cut(text string, most int) string {
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
