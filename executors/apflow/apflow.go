// Package apflow calls other clusters that speak the task-tree protocol (spec 8.8): another Taskgrove, or the protocol's first server.
//
// It owns the JSON-RPC call, the wait for what it started, and its cancellation there. It must not know what the other cluster's tasks do.
//
// A repeated attempt sends the same idempotency key, so that a Taskgrove starts no second tree. Credentials never show in errors.
package apflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/headers"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/tlsinput"
)

// ID is the executor's id.
const ID = "apflow_api_executor"

// DefaultAnswerBytes is the largest answer when nothing else is configured.
const DefaultAnswerBytes = 4 << 20

const (
	defaultTimeout = "300" // seconds, where neither inputs nor the task say
	defaultPoll    = time.Second
	methodExecute  = "tasks.execute"
)

// Config configures a worker's calls.
type Config struct {
	// MaxAnswerBytes bounds an answer. 0: [DefaultAnswerBytes].
	MaxAnswerBytes int
}

// Executor is apflow_api_executor.
type Executor struct {
	cfg     Config
	network *network.Network
}

// New makes one, whose connections go through n.
func New(cfg Config, n *network.Network) *Executor {
	if cfg.MaxAnswerBytes <= 0 {
		cfg.MaxAnswerBytes = DefaultAnswerBytes
	}
	return &Executor{cfg, n}
}

// Check implements [executors.Checker]: proxies and authorities must be usable.
func (e *Executor) Check(context.Context) error { return e.network.Check() }

// Close closes idle connections.
func (e *Executor) Close() error { return e.network.Close() }

// Describe implements [executors.Executor].
func (e *Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "aipartnerupflow API Executor", Type: "apflow",
		Description: "Calls another cluster of the task-tree protocol, and waits for what it started there",
		Tags:        []string{"apflow", "api", "distributed"},
		Inputs:      inputSchema, Output: outputSchema,
		Kinds:      append(headers.Kinds(), executors.ErrorKind{Word: KindAnswer, Text: "The service says what is wrong"}),
		Cancelable: true, Concurrency: executors.Waiting, Secrets: true,
		Connection: &executors.Connection{Types: []string{"apflow"}, Fields: []string{"base_url", "auth_token", "tls"}},
		Examples:   examples,
	}
}

// Demo implements [executors.Demonstrator] (spec 3.10, 8.8).
func (e *Executor) Demo(call *executors.Call) (any, time.Duration) {
	var in input
	_ = inputs.Decode(ID, call, &in) // a demonstration takes any inputs
	takes, status := 200*time.Millisecond, "ok"
	if in.Method == methodExecute {
		takes, status = 400*time.Millisecond, "started"
	}
	result := json.RawMessage(fmt.Sprintf(`{"success":true,"root_task_id":"demo-task-123","status":%q}`, status))
	return &Result{Success: true, BaseURL: shown(in.BaseURL), Method: in.Method, Result: result}, takes
}

type input struct {
	BaseURL      string                     `json:"base_url"`
	Method       string                     `json:"method"`
	Params       json.RawMessage            `json:"params"`
	AuthToken    string                     `json:"auth_token"`
	Wait         bool                       `json:"wait_for_completion"`
	PollInterval *float64                   `json:"poll_interval"`
	Timeout      json.Number                `json:"timeout"`
	Headers      map[string]json.RawMessage `json:"headers"`
	TLS          json.RawMessage            `json:"tls"`
}

// Result is the answer to a call that was not waited for, or what came of one that was (spec 8.8).
type Result struct {
	Success bool            `json:"success"`
	BaseURL string          `json:"base_url"`
	Method  string          `json:"method,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`

	*Waited
}

// Waited is what came of a task that was waited for.
type Waited struct {
	TaskID        string          `json:"task_id"`
	Status        string          `json:"status"`
	Task          json.RawMessage `json:"task"`
	PollCount     int             `json:"poll_count"`
	TotalFailures int             `json:"total_failures"`
}

// Run implements [executors.Executor].
func (e *Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	c, err := e.plan(call)
	if err != nil {
		return nil, err
	}
	limit := c.in.Timeout
	if _, bound := ctx.Deadline(); limit == "" && !bound {
		limit = defaultTimeout
	}
	ctx, cancel, err := executors.LimitTime(ctx, ID, limit, requestTimeout)
	if err != nil {
		return nil, err
	}
	defer cancel()
	defer c.open(e.network.Pool(call.Pool), call.Connection != "")()
	result, err := c.run(ctx, call)
	if err == nil {
		return executors.Completed(result), nil
	}
	err = c.explain(ctx, err)
	if result != nil {
		return executors.Partial(result), err
	}
	return nil, err
}

// plan reads the inputs. Its error names all faults.
func (e *Executor) plan(call *executors.Call) (*client, error) {
	c := &client{in: &input{}, most: e.cfg.MaxAnswerBytes, reporter: call.Reporter, poll: defaultPoll}
	if err := inputs.Decode(ID, call, c.in); err != nil {
		return nil, err
	}
	c.in.BaseURL, c.in.Method = strings.TrimSpace(c.in.BaseURL), strings.TrimSpace(c.in.Method)
	if string(c.in.Params) == "null" {
		c.in.Params = nil
	}
	for _, field := range []struct {
		name    string
		missing bool
	}{{"base_url", c.in.BaseURL == ""}, {"method", c.in.Method == ""}, {"params", c.in.Params == nil}} {
		if field.missing {
			return nil, executors.Invalid(ID, field.name+" is required in inputs")
		}
	}
	var auth *headers.Auth
	if c.in.AuthToken != "" {
		auth = &headers.Auth{Type: "bearer", Token: c.in.AuthToken}
	}
	var faults []string
	c.headers, faults = headers.New(call, "headers", c.in.Headers, auth)
	faults = append(faults, c.setURL()...)
	faults = append(faults, c.setOthers()...)
	if len(faults) > 0 {
		slices.Sort(faults)
		return nil, executors.Invalid(ID, strings.Join(faults, "; "))
	}
	return c, nil
}

func (c *client) setURL() []string {
	u, err := url.Parse(c.in.BaseURL)
	switch {
	case err != nil:
		return []string{"base_url can't be read"}
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "":
		return []string{"base_url must be http://host or https://host, with a path if need be"}
	}
	if password, ok := u.User.Password(); ok {
		c.headers.Hide(password)
	}
	c.base, c.shown = strings.TrimSuffix(u.String(), "/"), shown(c.in.BaseURL)
	return nil
}

// shown is a URL without user and password.
func shown(text string) string {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil {
		return ""
	}
	u.User = nil
	return u.String()
}

func (c *client) setOthers() (faults []string) {
	var err error
	if c.tls, _, err = tlsinput.Parse(c.in.TLS); err != nil {
		faults = append(faults, "tls "+err.Error())
	} else if c.tls != nil && strings.HasPrefix(c.base, "http:") {
		faults = append(faults, "tls must not be set with http://, which is plain text: https:// is not")
	}
	if seconds := c.in.PollInterval; seconds != nil {
		if *seconds < 0.01 || *seconds > 3600 {
			faults = append(faults, "poll_interval must be from 0.01 to 3600 seconds")
		} else {
			c.poll = time.Duration(*seconds * float64(time.Second))
		}
	}
	if c.in.Wait && c.in.Method != methodExecute {
		faults = append(faults, "wait_for_completion is for tasks.execute only")
	}
	if params := bytes.TrimSpace(c.in.Params); params[0] != '{' && params[0] != '[' {
		faults = append(faults, "params must be an object or a list")
	}
	var own struct {
		Key string `json:"idempotency_key"`
	}
	if json.Unmarshal(c.in.Params, &own) == nil && own.Key != "" {
		c.headers.Del(executors.HeaderKey) // two that differ would be refused
	}
	return faults
}

// requestTimeout is how the error begins when the time is up, unless the task was being waited for; then waitTimeout is (spec 8.8).
const (
	requestTimeout = "Request timeout"
	waitTimeout    = "Timeout waiting for task completion"
)

// explain makes the error of an attempt: why it was ended, if it was, and without secrets.
func (c *client) explain(ctx context.Context, err error) error {
	f, ok := errors.AsType[*failure](err)
	if !ok {
		f = &failure{text: "Request error: " + err.Error(), permanent: executors.IsPermanent(err), kind: executors.KindOf(err)}
	}
	if ctx.Err() != nil {
		cause := executors.Ended(ctx, err)
		rest, own := strings.CutPrefix(cause.Error(), requestTimeout)
		if !own {
			return cause
		}
		f = &failure{text: requestTimeout + rest, facts: f.facts, kind: executors.KindTimeout}
		if c.waiting != "" {
			f.text = waitTimeout + rest
		}
	}
	return f.error(c)
}
