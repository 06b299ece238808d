package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/workdir"
	"github.com/taskgrove/taskgrove/internal/kubeapi"
)

// ID is the executor's id.
const ID = "kubernetes_executor"

// defaultTimeout is for tasks without one, in seconds: a pod takes a while to begin.
const defaultTimeout = json.Number("300")

// DefaultGrace is the time between SIGTERM and SIGKILL if none is configured.
const DefaultGrace = 5 * time.Second

// Config configures the executor.
type Config struct {
	Kubeconfig string // path; empty: the service account of the pod that the worker runs in
	// Policy is what the tasks of a pool may do, as its operator says; it is asked at each attempt. nil: nothing.
	Policy func(pool string) Policy
	// Pools are the names of pools that have a policy, for the sweep and to say whether there is any. nil: unknown.
	Pools          func() []string
	MaxOutputBytes int           // how much is kept of a container's output. 0: 1 MiB
	Grace          time.Duration // from SIGTERM to SIGKILL, unless the template says. 0: [DefaultGrace]
}

var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "image": {"type": "string", "description": "Name of the image"},
    "command": {"type": ["string", "array", "null"], "items": {"type": "string"}, "description": "Instead of the image's entrypoint: a list of words. A text is one word: there is no shell"},
    "args": {"type": ["string", "array", "null"], "items": {"type": "string"}, "description": "Arguments; as command"},
    "namespace": {"type": ["string", "null"], "description": "Namespace of the Job; by default the first that the pool's policy allows"},
    "service_account": {"type": ["string", "null"], "description": "Service account of the pod, if the pool's policy allows it"},
    "env": {"type": ["object", "null"], "additionalProperties": {"type": ["string", "number", "boolean"]}, "default": {}, "description": "Environment variables. Whoever may read the Job sees them: take secrets from env_secrets"},
    "env_secrets": {"type": ["object", "null"], "additionalProperties": {"type": "string"}, "description": "Environment variables from the cluster's secrets: by variable NAME/KEY, if the pool's policy allows that secret"},
    "env_from_secrets": {"type": ["array", "null"], "items": {"type": "string"}, "description": "Secrets of which all keys become environment variables"},
    "env_from_config_maps": {"type": ["array", "null"], "items": {"type": "string"}, "description": "Config maps, likewise"},
    "volumes": {"type": ["array", "null"], "items": {"type": "object", "properties": {
      "mount": {"type": "string", "description": "Place in the container"},
      "secret": {"type": "string", "description": "Name of a secret, or"},
      "config_map": {"type": "string", "description": "of a config map, or"},
      "claim": {"type": "string", "description": "of a volume claim, or"},
      "empty_dir": {"type": "string", "description": "the size of a directory that goes with the pod, such as 1Gi"},
      "read_only": {"type": "boolean", "description": "Mounted for reading"}}}, "description": "What to mount. The pool's policy says which"},
    "working_dir": {"type": ["string", "null"], "description": "Working directory in the container"},
    "resources": {"type": ["object", "null"], "properties": {
      "cpu": {"type": ["string", "number"], "description": "Cores, such as 500m"},
      "memory": {"type": ["string", "number"], "description": "Such as 512Mi"},
      "storage": {"type": ["string", "number"], "description": "Of the node's disk, such as 1Gi"},
      "gpu": {"type": "integer", "minimum": 0, "description": "Graphics processors (nvidia.com/gpu)"}}, "description": "Both requested and the limit"},
    "node_selector": {"type": ["object", "null"], "additionalProperties": {"type": "string"}, "description": "Labels that the node must have"},
    "tolerations": {"type": ["array", "null"], "items": {"type": "object"}, "description": "Taints that the pod tolerates, as Kubernetes writes them, if the pool's policy allows their keys"},
    "labels": {"type": ["object", "null"], "additionalProperties": {"type": "string"}, "description": "Labels of the pod, if the pool's policy allows their keys"},
    "annotations": {"type": ["object", "null"], "additionalProperties": {"type": "string"}, "description": "Annotations of the pod, likewise"},
    "priority_class": {"type": ["string", "null"], "description": "Priority class, if the pool's policy allows it"},
    "pull": {"type": ["string", "null"], "enum": ["always", "missing", "never", null], "description": "When the node fetches the image; by default as Kubernetes does: always if the tag is latest, else missing"},
    "timeout": {"type": ["number", "null"], "exclusiveMinimum": 0, "default": 300, "description": "Seconds, for everything: waiting for a node and pulling the image, too. By default the task's own timeout, and 300 if it has none"},
    "remove": {"type": ["boolean", "null"], "default": true, "description": "Delete the Job at its end. false leaves that to the cluster, ten minutes later"},
    "fail_on_error": {"type": ["boolean", "null"], "default": false, "description": "Fail the task when the exit code is not 0"}
  },
  "required": ["image"]
}`)

var outputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "namespace": {"type": "string", "description": "Namespace of the Job"},
    "job": {"type": "string", "description": "Name of the Job"},
    "pod": {"type": "string", "description": "Name of its pod"},
    "node": {"type": "string", "description": "Node that it ran on"},
    "exit_code": {"type": "integer", "description": "128 and the signal's number when a signal ended it"},
    "success": {"type": "boolean", "description": "The exit code is 0"},
    "reason": {"type": "string", "description": "As the cluster calls the end: Completed, Error, OOMKilled, ..."},
    "logs": {"type": ["string", "object"], "description": "What it wrote: text, or base64; an artifact, if it exceeded its bound and the task keeps outputs. Kubernetes does not tell stdout from stderr"},
    "image": {"type": "string", "description": "As the task named it"},
    "image_id": {"type": "string", "description": "As the node calls it; mostly with its digest"},
    "encoding": {"const": "base64", "description": "Present when logs is not text: it is in base64"},
    "truncated": {"type": "boolean", "description": "Present and true when the output exceeded its bound"},
    "truncated_fields": {"type": "array", "items": {"type": "string"}, "description": "Then logs: templates of other tasks can't read these"}
  },
  "required": ["namespace", "job", "exit_code", "success", "logs", "image"]
}`)

// Executor is kubernetes_executor.
type Executor struct {
	cfg      Config
	network  *network.Network
	instance string // on every Job of this executor

	find   sync.Once
	access *kubeapi.Access
	none   error // why there is no access

	mu   sync.Mutex
	apis map[string]*kubeapi.Client // by pool: they may go out different ways

	sweeping sync.Once
	stop     context.CancelFunc // ends the sweeper; nil: none runs
	swept    chan struct{}      // closed when it has ended
}

// New makes one; it connects when it is used.
func New(cfg Config, n *network.Network) *Executor {
	if cfg.Grace <= 0 {
		cfg.Grace = DefaultGrace
	}
	return &Executor{cfg: cfg, network: n, instance: uuid.NewString(), apis: map[string]*kubeapi.Client{}}
}

// Describe implements [executors.Executor].
func (e *Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "Kubernetes Executor", Type: "kubernetes",
		Description: "Runs a Job on a Kubernetes cluster and returns its exit code and output",
		Tags:        []string{"kubernetes", "container", "job"},
		Inputs:      inputSchema, Output: outputSchema,
		Kinds:      []executors.ErrorKind{{Word: executors.KindExit, Text: "The container ended with another code than 0, and `fail_on_error` is set"}},
		Cancelable: true, Secrets: true, Concurrency: executors.Waiting,
		Examples: []executors.Example{
			{Title: "Run a command in an image", Inputs: json.RawMessage(`{"image": "busybox:1.37", "command": ["echo", "hello"]}`)},
			{Title: "Ask for resources, and read a secret of the cluster", Inputs: json.RawMessage(
				`{"image": "registry.example/team/report:4", "args": ["--month", "2026-11"], "namespace": "reports", ` +
					`"env_secrets": {"TOKEN": "report/token"}, "resources": {"cpu": "500m", "memory": "512Mi"}, "timeout": 1800}`)},
		},
	}
}

// Disabled implements [executors.Disabler].
func (e *Executor) Disabled() string {
	if e.cfg.Pools != nil && len(e.cfg.Pools()) == 0 {
		return "no pool may use a cluster: name its namespaces in the worker's file (TASKGROVE_WORKER_FILE, pools, kubernetes), and restart the worker"
	}
	if _, err := e.reach(); err != nil {
		return err.Error()
	}
	return ""
}

// reach reads how the API is reached, once.
func (e *Executor) reach() (*kubeapi.Access, error) {
	e.find.Do(func() { e.access, e.none = find(e.cfg.Kubeconfig, kubeapi.Account) })
	return e.access, e.none
}

// Check implements [executors.Checker]. It begins to sweep what dead workers left.
func (e *Executor) Check(context.Context) error {
	if e.Disabled() != "" || e.cfg.Pools == nil {
		return nil
	}
	e.sweeping.Do(func() {
		ctx, stop := context.WithCancel(context.Background())
		e.stop, e.swept = stop, make(chan struct{})
		go func() { // ends with Close
			defer close(e.swept)
			for ctx.Err() == nil {
				e.sweepAll(ctx)
				select {
				case <-ctx.Done():
				case <-time.After(sweepEvery):
				}
			}
		}()
	})
	return nil
}

// sweepAll sweeps each namespace that a policy names in full.
func (e *Executor) sweepAll(ctx context.Context) {
	done := map[string]bool{}
	for _, pool := range e.cfg.Pools() {
		a, err := e.api(pool)
		if err != nil {
			return
		}
		for _, namespace := range e.cfg.Policy(pool).Namespaces {
			if strings.Contains(namespace, "*") || done[namespace] {
				continue
			}
			done[namespace] = true
			if n, err := sweep(ctx, a, namespace); n > 0 {
				slog.Info("deleted Jobs that dead workers left", "namespace", namespace, "jobs", n)
			} else if err != nil && ctx.Err() == nil {
				slog.Debug("sweep of Jobs", "namespace", namespace, "error", err)
			}
		}
	}
}

// Close ends the sweeper and closes connections. No Run may be in progress.
func (e *Executor) Close() error {
	e.sweeping.Do(func() {}) // none begins from here on
	if e.stop != nil {
		e.stop()
		<-e.swept
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range e.apis {
		a.Close()
	}
	return nil
}

// api calls the API the way that the pool goes out.
func (e *Executor) api(pool string) (*kubeapi.Client, error) {
	access, err := e.reach()
	if err != nil {
		return nil, executors.Permanent(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	a := e.apis[pool]
	if a == nil {
		a = newAPI(access, e.network.Pool(pool))
		e.apis[pool] = a
	}
	return a, nil
}

// Demo implements [executors.Demonstrator].
func (e *Executor) Demo(*executors.Call) (any, time.Duration) {
	return &Result{
		Namespace: "demo", Job: "taskgrove-demo", Pod: "taskgrove-demo-x", Node: "demo-node", Success: true, Reason: "Completed",
		Logs: "Demo container output", Image: "demo",
	}, time.Second
}

// Result tells how a Job ended.
type Result struct {
	Namespace       string   `json:"namespace"`
	Job             string   `json:"job"`
	Pod             string   `json:"pod,omitempty"`
	Node            string   `json:"node,omitempty"`
	ExitCode        int      `json:"exit_code"`
	Success         bool     `json:"success"`
	Reason          string   `json:"reason,omitempty"`
	Logs            string   `json:"logs"`
	Image           string   `json:"image"`
	ImageID         string   `json:"image_id,omitempty"`
	Encoding        string   `json:"encoding,omitempty"`
	Truncated       bool     `json:"truncated,omitempty"`
	TruncatedFields []string `json:"truncated_fields,omitempty"`
}

// Run implements [executors.Executor]. A container that exits with another code than 0 is a success of the task, unless fail_on_error is
// set. When Run returns, the Job and its pod are gone; what it wrote until then is the partial result.
func (e *Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	in, err := parse(call)
	if err != nil {
		return nil, err
	}
	if _, bound := ctx.Deadline(); in.Timeout == "" && !bound {
		in.Timeout = defaultTimeout
	}
	ctx, cancel, err := executors.LimitTime(ctx, ID, in.Timeout, "Job timeout")
	if err != nil {
		return nil, err
	}
	defer cancel()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var policy Policy
	if e.cfg.Policy != nil {
		policy = e.cfg.Policy(call.Pool)
	}
	named := in.Image
	job, err := e.plan(ctx, policy, call, in)
	if err != nil {
		return nil, err
	}
	a, err := e.api(call.Pool)
	if err != nil {
		return nil, err
	}
	out := workdir.NewSpill(call, executors.NewOutput(e.cfg.MaxOutputBytes, call.Reporter, "stdout"), e.cfg.MaxOutputBytes, "")
	defer out.Discard()
	r := &run{
		api: a, call: call, namespace: in.Namespace, name: nameOf(call), grace: graceOf(job), keep: in.Remove != nil && !*in.Remove,
		logs: &logs{out: out},
	}
	how, err := r.do(ctx, job)
	_ = out.Close()
	result := r.result(named, how)
	switch {
	case err != nil && r.pod.Metadata.Name == "":
		return nil, err
	case err != nil:
		return executors.Partial(result), err
	case in.FailOnError && !result.Success:
		return executors.Partial(result), result.failure()
	}
	shown, err := workdir.Keep(ctx, call, result, workdir.Kept{Name: "logs", Output: out, Beside: []string{"encoding"}})
	if err != nil {
		return nil, err
	}
	return executors.Completed(shown), nil
}

// plan makes the Job, or refuses.
func (e *Executor) plan(ctx context.Context, policy Policy, call *executors.Call, in *input) (object, error) {
	err := policy.check(in)
	if err == nil {
		until, _ := ctx.Deadline() // there always is one
		var job object
		if job, err = policy.job(call, in, e.instance, time.Until(until), e.cfg.Grace); err == nil {
			return job, nil
		}
	}
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		return nil, invalid(refused.Error())
	}
	return nil, err
}

// graceOf is how long the pod may take to end.
func graceOf(job object) time.Duration {
	seconds := fmt.Sprint(child(child(child(job, "spec"), "template"), "spec")["terminationGracePeriodSeconds"])
	grace, err := time.ParseDuration(seconds + "s")
	if err != nil {
		return DefaultGrace
	}
	return grace
}

func (r *run) result(image string, how *ended) *Result {
	result := &Result{
		Namespace: r.namespace, Job: r.name, Pod: r.pod.Metadata.Name, Node: r.pod.Spec.NodeName, ExitCode: -1,
		Image: image, Truncated: r.logs.out.Truncated(),
		TruncatedFields: executors.TruncatedFields(map[string]bool{"logs": r.logs.out.Truncated()}),
	}
	result.Logs, result.Encoding = executors.Faithful(r.logs.out.Bytes(), r.logs.out.Truncated())
	if c := r.pod.main(); c != nil {
		result.ImageID = c.ImageID
	}
	if how != nil {
		result.ExitCode, result.Reason, result.Success = how.ExitCode, how.Reason, how.ExitCode == 0
	}
	return result
}

// maxErrorBytes bounds how much of the output an error shows.
const maxErrorBytes = 1000

// failure is the error of a container that failed while fail_on_error is set. It shows the end of the output, which usually says why.
func (r *Result) failure() error {
	text := fmt.Sprintf("container ended with exit code %d", r.ExitCode)
	if r.Reason != "" && r.Reason != "Error" {
		text += " (" + r.Reason + ")"
	}
	logs := strings.TrimSpace(r.Logs)
	if len(logs) > maxErrorBytes {
		logs = "..." + executors.Text([]byte(logs[len(logs)-maxErrorBytes:]))
	}
	if logs != "" && r.Encoding == "" {
		text += ": " + logs
	}
	return executors.WithKind(errors.New(text), executors.KindExit)
}

func invalid(reason string) error { return executors.Invalid(ID, reason) }
