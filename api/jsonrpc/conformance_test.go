package jsonrpc_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	apitest.Run(t, apitest.Surface{
		Name: coordinator.SurfaceJSONRPC,
		Open: func(t testing.TB, access *coordinator.Access) coordinator.Service {
			server := httptest.NewServer(jsonrpc.New(access, jsonrpc.Config{Log: slog.New(slog.DiscardHandler)}))
			t.Cleanup(server.Close)
			return &remote{t: t, url: server.URL}
		},
		Fault: func(err error) *api.Fault { return err.(*api.Fault) },
		Has: []string{"Submit", "Generate", "Execute", "Cancel", "Skip", "Task", "Tasks", "Tree", "Running", "Resolve", "Why", "Watch", "Executors", "Executor", "Usage",
			"Signal", "Approve", "ApprovalLink", "ApproveByLink", "SetLimit", "Limits", "DeleteLimit", "SetWeight", "Pause", "Resume", "Pauses", "NextInstants",
			"CreateSchedule", "GetSchedule", "Schedules", "UpdateSchedule", "PauseSchedule", "ResumeSchedule", "TriggerSchedule", "BackfillSchedule", "DeleteSchedule", "RenewScheduleSecret", "ScheduleRuns", "ApplyProfiles", "Profile", "Profiles", "DeleteProfile", "Hold", "Release", "Holds", "Erase", "Erasure", "Erasures"},
		Lacks:  []string{"as submitted", "custom", "require existing"},
		Merges: map[api.Kind]api.Kind{api.Conflict: api.Invalid}, // -32602 for both
	}, func(testing.TB) apitest.Backend { return apitest.New() })
}

// remote is a client of the dialect, in the service's words.
type remote struct {
	coordinator.Service // for what it has no call for
	t                   testing.TB
	url                 string
}

// post makes a call and decodes its result into out; next is the cursor of a list's next page.
func (r *remote) post(ctx context.Context, method string, params map[string]any, out any) (next string, err error) {
	return r.postTo(ctx, "/tasks", method, params, out)
}

func (r *remote) postTo(ctx context.Context, path, method string, params map[string]any, out any) (next string, err error) {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+path, strings.NewReader(string(body)))
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	if err := faultOf(answer); err != nil {
		return "", err
	}
	envelope := struct{ Result any }{out}
	return res.Header.Get("X-Next-Cursor"), json.Unmarshal(answer, &envelope)
}

// faultOf is the fault that an answer holds, or nil.
func faultOf(answer []byte) error {
	var envelope struct {
		Error *struct {
			Code int
			Data string
		}
	}
	if err := json.Unmarshal(answer, &envelope); err != nil || envelope.Error == nil {
		return err
	}
	fault := &api.Fault{Kind: api.Internal, Text: envelope.Error.Data}
	switch {
	case strings.HasSuffix(fault.Text, "not found"), strings.HasPrefix(fault.Text, "The link is none"):
		fault.Kind = api.NotFound
	case envelope.Error.Code == -32602, envelope.Error.Code == -32700:
		fault.Kind = api.Invalid
	case envelope.Error.Code == -32000:
		fault.Kind = api.Unavailable
	}
	return fault
}

func (r *remote) Resolve(ctx context.Context, ref, _ string) (*coordinator.Matches, error) {
	var got struct {
		Tasks []struct {
			ID, Name, Status string
			TreeID           string `json:"tree_id"`
		}
		More bool
	}
	if _, err := r.post(ctx, "tasks.resolve", map[string]any{"ref": ref}, &got); err != nil {
		return nil, err
	}
	out := &coordinator.Matches{More: got.More}
	for _, m := range got.Tasks {
		out.Tasks = append(out.Tasks, coordinator.Match{ID: m.ID, TreeID: m.TreeID, Name: m.Name, Status: dag.Status(m.Status)})
	}
	return out, nil
}

func notFound(id string) error {
	return &api.Fault{Kind: api.NotFound, Text: "Task " + id + " not found"}
}

func (r *remote) Submit(ctx context.Context, opts coordinator.SubmitOptions, tasks iter.Seq2[*dag.Task, error]) (*coordinator.Submitted, error) {
	var given []*dag.Task
	for t := range tasks {
		given = append(given, t)
	}
	method := "tasks.execute"
	if opts.Hold {
		method = "tasks.create"
	}
	params := map[string]any{"tasks": json.RawMessage(apitest.Document(given, opts.UserID))}
	if opts.Demo {
		params["use_demo"] = true
	}
	if opts.IdempotencyKey != "" {
		params["idempotency_key"] = opts.IdempotencyKey
	}
	var out struct {
		ID       string            `json:"id"`
		Root     string            `json:"root_task_id"`
		IDMap    map[string]string `json:"id_map"`
		Replayed bool              `json:"replayed"`
		Existing bool              `json:"existing"`
		Warnings []dag.Warning     `json:"warnings"`
	}
	if _, err := r.post(ctx, method, params, &out); err != nil {
		return nil, err
	}
	return &coordinator.Submitted{TreeID: out.ID + out.Root, Tasks: len(given), IDMap: out.IDMap, Replayed: out.Replayed, Existing: out.Existing, Warnings: out.Warnings}, nil
}

func (r *remote) Generate(ctx context.Context, o coordinator.GenerateOptions) (*coordinator.Generated, error) {
	params := map[string]any{"requirement": o.Requirement, "user_id": o.UserID, "llm_provider": o.Provider, "model": o.Model, "executors": o.Executors,
		"allow_commands": o.AllowCommands, "save": o.Save, "temperature": o.Temperature}
	if o.Budget != nil {
		params["budget"] = o.Budget
	}
	for name, n := range map[string]int{"max_tokens": o.MaxTokens, "max_tasks": o.MaxTasks} {
		if n > 0 {
			params[name] = n
		}
	}
	if o.Timeout > 0 {
		params["timeout"] = o.Timeout.Seconds()
	}
	var out struct {
		Tasks          json.RawMessage
		Count          int
		Message, Model string
		Repaired       bool
		Warnings       []string
		TaskID         string            `json:"task_id"`
		RootTaskID     string            `json:"root_task_id"`
		IDMap          map[string]string `json:"id_map"`
	}
	if _, err := r.post(ctx, "tasks.generate", params, &out); err != nil {
		return nil, err
	}
	return &coordinator.Generated{TaskID: out.TaskID, Tasks: out.Tasks, Count: out.Count, Message: out.Message, Model: out.Model, Repaired: out.Repaired,
		Warnings: out.Warnings, RootTaskID: out.RootTaskID, IDMap: out.IDMap}, nil
}

func (r *remote) Execute(ctx context.Context, id string, opts coordinator.ExecuteOptions) (*coordinator.Execution, error) {
	var out struct {
		Root      string `json:"root_task_id"`
		Status    string
		Success   bool
		Cancelled string `json:"cancelled_id"`
	}
	_, err := r.post(ctx, "tasks.execute", map[string]any{"task_id": id, "force": opts.Force, "rerun_cancelled": opts.RerunCancelled, "use_demo": opts.Demo}, &out)
	if err != nil {
		return nil, err
	}
	if success := out.Status == "started" || out.Status == "completed"; out.Success != success {
		return nil, fmt.Errorf("success is %t with %s", out.Success, out.Status)
	}
	return &coordinator.Execution{TreeID: out.Root, Cancelled: out.Cancelled, Outcome: map[string]coordinator.ExecuteOutcome{
		"started": coordinator.Started, "already_running": coordinator.AlreadyRunning, "completed": coordinator.NothingToDo,
		"cancelled": coordinator.WasCancelled,
	}[out.Status]}, nil
}

func (r *remote) Cancel(ctx context.Context, id string, opts coordinator.CancelOptions) (*coordinator.Cancellation, error) {
	params := map[string]any{"task_id": id, "error_message": opts.Reason}
	if opts.Cascade != nil {
		params["cascade"] = *opts.Cascade
	}
	var out struct {
		Status, Message, Error string
		Current                dag.Status `json:"current_status"`
	}
	_, err := r.post(ctx, "tasks.cancel", params, &out)
	switch {
	case err != nil:
		return nil, err
	case out.Error != "":
		return nil, notFound(id)
	case out.Status == "cancelled":
		return &coordinator.Cancellation{Outcome: coordinator.Cancelled, Reason: out.Message}, nil
	}
	return &coordinator.Cancellation{Outcome: coordinator.AlreadyEnded, Status: out.Current}, nil
}

// shown is a task or a tree on this wire.
type shown struct {
	ID           string          `json:"id"`
	Ref          string          `json:"ref"`
	ParentID     string          `json:"parent_id"`
	UserID       string          `json:"user_id"`
	Name         string          `json:"name"`
	Status       dag.Status      `json:"status"`
	Priority     dag.Priority    `json:"priority"`
	Inputs       json.RawMessage `json:"inputs"`
	Result       json.RawMessage `json:"result"`
	Error        string          `json:"error"`
	Progress     float64         `json:"progress"`
	Attempt      int             `json:"attempt"`
	CreatedAt    time.Time       `json:"created_at"`
	StartedAt    time.Time       `json:"started_at"`
	CompletedAt  time.Time       `json:"completed_at"`
	Dependencies []coordinator.Dependency
	TreeStatus   dag.Status `json:"tree_status"`
	TreeProgress float64    `json:"tree_progress"`
	Retention    string
	TreeHold     *shownHold `json:"tree_hold"`
	TreeUnique   *struct {
		Key   string
		Until time.Time
	} `json:"tree_unique"`
	TreeDue   time.Time `json:"tree_due"`
	TreeLate  time.Time `json:"tree_late"`
	Labels    map[string]string
	Usage     *usage `json:"usage"`
	TreeUsage *usage `json:"tree_usage"`
	Waiting   *coordinator.Waiting

	Limits, Lock, Rates json.RawMessage
}

// usage is usage as the dialect tells it.
type usage struct {
	TokenUsage struct {
		Prompt     int64 `json:"prompt_tokens"`
		Completion int64 `json:"completion_tokens"`
		Cached     int64 `json:"cached_prompt_tokens"`
		Total      int64 `json:"total_tokens"`
		Calls      int64 `json:"successful_requests"`
	} `json:"token_usage"`
	Cost *struct {
		Amount   float64
		Currency string
		Complete bool
	}
	Models []struct {
		Model string
		usage
	}
}

// told leaves out of how many calls the cost is not known: the dialect says only whether there are any.
func (u *usage) told() *coordinator.Usage {
	if u == nil {
		return nil
	}
	t := u.TokenUsage
	out := &coordinator.Usage{Calls: t.Calls, Prompt: t.Prompt, Completion: t.Completion, Cached: t.Cached}
	if u.Cost != nil {
		out.Costs = []coordinator.Cost{{Nanos: int64(math.Round(u.Cost.Amount * 1e9)), Currency: u.Cost.Currency}}
	}
	if u.Cost == nil || !u.Cost.Complete {
		out.Unpriced = 1
	}
	for _, m := range u.Models {
		one := m.told()
		used := dag.Used{Model: m.Model, Calls: one.Calls, Prompt: one.Prompt, Completion: one.Completion, Cached: one.Cached, Unpriced: one.Unpriced}
		for _, c := range one.Costs {
			used.Currency, used.CostNanos = c.Currency, c.Nanos
		}
		out.Models = append(out.Models, used)
	}
	return out
}

func (r *remote) Usage(ctx context.Context, f coordinator.UsageFilter) (page coordinator.Page[coordinator.UsageGroup], err error) {
	params := map[string]any{"by": f.By, "user_id": f.UserID, "tree_id": f.TreeOf, "model": f.Model, "cursor": f.Cursor}
	for name, at := range map[string]time.Time{"since": f.Since, "before": f.Before} {
		if !at.IsZero() {
			params[name] = at.Format(time.RFC3339Nano)
		}
	}
	if f.Limit != 0 {
		params["limit"] = f.Limit
	}
	var out struct {
		Usage []struct {
			Key string
			usage
		}
		Next string `json:"next_cursor"`
	}
	_, err = r.postTo(ctx, "/system", "usage.list", params, &out)
	for _, g := range out.Usage {
		page.Items = append(page.Items, coordinator.UsageGroup{Key: g.Key, Usage: *g.told()})
	}
	page.Next = out.Next
	return page, err
}

// states are states that a status may stand for.
var states = map[dag.Status]dag.State{
	dag.StatusPending: dag.Ready, dag.StatusInProgress: dag.Running, dag.StatusCompleted: dag.Completed,
	dag.StatusFailed: dag.Failed, dag.StatusCancelled: dag.Cancelled,
}

func (t *shown) task() *coordinator.Task {
	asked, faults := treedoc.Limiting(t.Limits, t.Lock, t.Rates)
	if len(faults) > 0 {
		panic(faults[0])
	}
	out := &coordinator.Task{ID: t.ID, Ref: t.Ref, ParentID: t.ParentID, UserID: t.UserID, Name: t.Name, State: states[t.Status], Priority: t.Priority,
		Inputs: t.Inputs, Result: t.Result, Error: t.Error, Progress: t.Progress, Attempt: t.Attempt, Dependencies: t.Dependencies,
		CreatedAt: t.CreatedAt, StartedAt: t.StartedAt, CompletedAt: t.CompletedAt, Labels: t.Labels, Usage: t.Usage.told(), Waiting: t.Waiting}
	out.Limiting = asked
	return out
}

func (r *remote) Task(ctx context.Context, id string) (*coordinator.Task, error) {
	var out *shown
	if _, err := r.post(ctx, "tasks.get", map[string]any{"task_id": id}, &out); err != nil {
		return nil, err
	}
	if out == nil {
		return nil, notFound(id)
	}
	return out.task(), nil
}

func (r *remote) Skip(ctx context.Context, id string) (*coordinator.Task, error) {
	var out *shown
	if _, err := r.post(ctx, "tasks.skip", map[string]any{"task_id": id}, &out); err != nil {
		return nil, err
	}
	return out.task(), nil
}

func (r *remote) Signal(ctx context.Context, id string, s coordinator.Signal) (*coordinator.Signalled, error) {
	params := map[string]any{"task_id": id, "name": s.Name}
	if len(s.Payload) > 0 {
		params["payload"] = s.Payload
	}
	if s.IdempotencyKey != "" {
		params["idempotency_key"] = s.IdempotencyKey
	}
	var out struct {
		TaskID        string `json:"task_id"`
		Status, State string
	}
	if _, err := r.post(ctx, "tasks.signal", params, &out); err != nil {
		return nil, err
	}
	state, _ := dag.ParseState(out.State)
	return &coordinator.Signalled{Status: coordinator.SignalStatus(out.Status), Task: &coordinator.Task{ID: out.TaskID, State: state}}, nil
}

// approved is the answer of tasks.approve.
type approved struct {
	TaskID string `json:"task_id"`
	Name   string
	Choice string
	State  string
}

func (r *remote) Approve(ctx context.Context, id string, a coordinator.Approval) (*coordinator.Task, error) {
	var out approved
	if _, err := r.post(ctx, "tasks.approve", map[string]any{"task_id": id, "choice": a.Choice, "comment": a.Comment}, &out); err != nil {
		return nil, err
	}
	state, _ := dag.ParseState(out.State)
	return &coordinator.Task{ID: out.TaskID, Name: out.Name, State: state}, nil
}

func (r *remote) ApprovalLink(ctx context.Context, id string, o coordinator.LinkOptions) (*coordinator.ApprovalLink, error) {
	var out struct {
		Token, Path string
		ExpiresAt   time.Time `json:"expires_at"`
	}
	if _, err := r.post(ctx, "tasks.approval.link", map[string]any{"task_id": id, "name": o.Name}, &out); err != nil {
		return nil, err
	}
	return &coordinator.ApprovalLink{Token: out.Token, Path: out.Path, Expires: out.ExpiresAt}, nil
}

func (r *remote) ApproveByLink(ctx context.Context, token string, a coordinator.Approval) (*coordinator.LinkedApproval, error) {
	var out approved
	if _, err := r.post(ctx, "tasks.approve", map[string]any{"token": token, "choice": a.Choice}, &out); err != nil {
		return nil, err
	}
	return &coordinator.LinkedApproval{TaskID: out.TaskID, Name: out.Name, Choice: out.Choice}, nil
}

func (r *remote) Tasks(ctx context.Context, f coordinator.TaskFilter) (page coordinator.Page[*coordinator.Task], err error) {
	var out []*shown
	params := map[string]any{"cursor": f.Cursor, "root_id": f.TreeOf, "parent_id": f.ParentID, "status": f.Status, "user_id": f.UserID, "name": f.Name,
		"executor": f.Executor, "root_only": f.RootOnly, "labels": f.Labels, "approvals": f.Approvals}
	for _, state := range f.States.States() {
		params["state"] = state.String()
	}
	for name, at := range map[string]time.Time{"since": f.Since, "before": f.Before} {
		if !at.IsZero() {
			params[name] = at.Format(time.RFC3339Nano)
		}
	}
	if f.Limit != 0 {
		params["limit"] = f.Limit
	}
	page.Next, err = r.post(ctx, "tasks.list", params, &out)
	for _, t := range out {
		page.Items = append(page.Items, t.task())
	}
	return page, err
}

func (r *remote) Tree(ctx context.Context, id string) (*coordinator.TreeStatus, error) {
	var out shown
	if _, err := r.post(ctx, "tasks.tree", map[string]any{"task_id": id}, &out); err != nil {
		return nil, err
	}
	retention, _ := dag.ParseRetention(out.Retention)
	return &coordinator.TreeStatus{ID: out.ID, Name: out.Name, Status: out.TreeStatus, Progress: out.TreeProgress, Usage: out.TreeUsage.told(),
		Retention: retention, Hold: out.TreeHold.info(), Unique: (*coordinator.UniqueKey)(out.TreeUnique), Due: out.TreeDue, Late: out.TreeLate}, nil
}

func (r *remote) Running(ctx context.Context, userID string) (int, error) {
	var out struct{ Count int }
	_, err := r.post(ctx, "tasks.running.count", map[string]any{"user_id": userID}, &out)
	return out.Count, err
}

func (r *remote) Why(ctx context.Context, id string) (*coordinator.Explanation, error) {
	var out struct {
		TreeID  string `json:"tree_id"`
		Summary string
		Waits   []struct{ Kind, Text string }
	}
	if _, err := r.post(ctx, "tasks.why", map[string]any{"task_id": id}, &out); err != nil {
		return nil, err
	}
	e := &coordinator.Explanation{TaskID: id, TreeID: out.TreeID, Summary: out.Summary}
	for _, w := range out.Waits {
		e.Waits = append(e.Waits, coordinator.Wait{Kind: map[string]coordinator.WaitKind{"execute": coordinator.WaitExecute}[w.Kind], Text: w.Text})
	}
	return e, nil
}

// executor is an executor on this wire.
type executor struct {
	ID, Type, Name, Description     string
	Tags, Pools                     []string
	Input                           json.RawMessage `json:"input_schema"`
	Output                          json.RawMessage `json:"output_schema"`
	Cancelable, Repeatable, Secrets bool
	BuiltIn                         bool `json:"built_in"`
	Timeout                         float64
	Connection                      *coordinator.ConnectionUse
	Examples                        []coordinator.ExecutorExample
	Workers                         int
	Differs                         string
}

func (e *executor) told() *coordinator.Executor {
	out := &coordinator.Executor{ID: e.ID, Type: e.Type, Name: e.Name, Description: e.Description, Tags: e.Tags, Inputs: e.Input, Output: e.Output,
		Cancelable: e.Cancelable, Repeatable: e.Repeatable, Secrets: e.Secrets, Timeout: time.Duration(e.Timeout * float64(time.Second)),
		Connection: e.Connection, Examples: e.Examples, BuiltIn: e.BuiltIn, Pools: e.Pools, Workers: e.Workers, Differs: e.Differs}
	return out
}

func (r *remote) Executors(ctx context.Context, cursor string) (page coordinator.Page[*coordinator.Executor], err error) {
	var out struct {
		Executors []*executor
		Next      string `json:"next_cursor"`
	}
	_, err = r.postTo(ctx, "/system", "executors.list", map[string]any{"cursor": cursor}, &out)
	for _, e := range out.Executors {
		page.Items = append(page.Items, e.told())
	}
	page.Next = out.Next
	return page, err
}

func (r *remote) Executor(ctx context.Context, id string) (*coordinator.Executor, error) {
	var out executor
	if _, err := r.postTo(ctx, "/system", "executors.get", map[string]any{"id": id}, &out); err != nil {
		return nil, err
	}
	return out.told(), nil
}

// Watch reads the stream of GET /tasks/{id}/events.
func (r *remote) Watch(ctx context.Context, id string, after int64) iter.Seq2[*coordinator.Event, error] {
	return func(yield func(*coordinator.Event, error) bool) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/tasks/%s/events?after=%d", r.url, url.PathEscape(id), after), nil)
		if err != nil {
			yield(nil, err)
			return
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			yield(nil, err)
			return
		}
		defer res.Body.Close()
		if res.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
			if answer, _ := io.ReadAll(res.Body); len(answer) > 0 {
				yield(nil, faultOf(answer))
			}
			return
		}
		lines := &reader{t: r.t, lines: bufio.NewScanner(res.Body)}
		for {
			f, ok := lines.next()
			if !ok {
				if err := ctx.Err(); err != nil {
					yield(nil, err)
				}
				return
			}
			if e := f.decode(); e != nil && !yield(e, nil) {
				return
			}
		}
	}
}

// decode is the event of a frame; nil for comments and the stream's end.
func (f *frame) decode() *coordinator.Event {
	var data struct {
		Type, Message, Error, Name string
		TaskID                     string `json:"task_id"`
		TreeID                     string `json:"root_task_id"`
		Status                     dag.Status
		Timestamp                  time.Time
		Result                     json.RawMessage
		Progress                   float64
		Attempt                    int
		Usage                      *usage
		Pieces                     []coordinator.Piece
	}
	raw, err := json.Marshal(f.data)
	if err != nil || f.data == nil || json.Unmarshal(raw, &data) != nil {
		return nil
	}
	types := map[string]coordinator.EventType{"task_start": coordinator.EventStart, "task_completed": coordinator.EventCompleted,
		"task_failed": coordinator.EventFailed, "task_retry": coordinator.EventRetry, "final": coordinator.EventFinal,
		"progress": coordinator.EventProgress}
	e := &coordinator.Event{Type: types[data.Type], TreeID: data.TreeID, TaskID: data.TaskID, Name: data.Name, Status: data.Status,
		Attempt: data.Attempt, Progress: data.Progress, Message: data.Message, Result: data.Result, Error: data.Error, At: data.Timestamp, Usage: data.Usage.told(), Pieces: data.Pieces}
	_, _ = fmt.Sscan(f.id, &e.Sequence)
	switch {
	case f.event == "task_cancelled":
		e.Type = coordinator.EventCancelled
	case e.Type == coordinator.EventProgress && e.Sequence > 0:
		e.Type = coordinator.EventExecution
	case e.Type == 0:
		return nil
	}
	return e
}
