package mcp

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// paged makes what lists a page that stands in a member of the method's answer.
func paged(name string) func(*Handler, context.Context, *use) (answer, *api.Fault) {
	return func(h *Handler, ctx context.Context, u *use) (answer, *api.Fault) {
		got, fault := h.call(ctx, u)
		if fault != nil {
			return got, fault
		}
		var page map[string]json.RawMessage
		var next string
		err := json.Unmarshal(got.value, &page)
		if cursor := page["next_cursor"]; err == nil && cursor != nil {
			err = json.Unmarshal(cursor, &next)
		}
		if err != nil {
			return got, api.Classify(ctx, h.cfg.Log, u.tool.name, err)
		}
		return answer{value: page[name], next: next}, nil
	}
}

// getRun shows a run. What would be too long to read is left out: steps of jobs that went well first, then all steps.
func (h *Handler) getRun(ctx context.Context, u *use) (answer, *api.Fault) {
	got, fault := h.call(ctx, u)
	if fault != nil || len(got.value) <= h.cfg.AnswerBytes {
		return got, fault
	}
	var run map[string]json.RawMessage
	var jobs []map[string]json.RawMessage
	if err := json.Unmarshal(got.value, &run); err != nil {
		return got, api.Classify(ctx, h.cfg.Log, u.tool.name, err)
	}
	if err := json.Unmarshal(run["jobs"], &jobs); err != nil {
		return got, api.Classify(ctx, h.cfg.Log, u.tool.name, err)
	}
	for _, of := range []string{"those of jobs that went well", "all steps"} {
		if short, _ := fit(got.value, h.cfg.AnswerBytes); len(short) <= h.cfg.AnswerBytes {
			break
		}
		for _, j := range jobs {
			status := string(j["status"])
			if well := status == `"SUCCESS"` || status == `"SKIPPED"`; well || of == "all steps" {
				delete(j, "steps")
			}
		}
		run["jobs"] = must(jobs)
		got.value = must(run)
		got.hint = fmt.Sprintf("The answer would be too long: of the steps, %s were left out. list_tasks with root_id %s has them.", of, run["tree_id"])
	}
	return got, nil
}

// Bounds of what is shown of logs.
const (
	logLines     = 100
	mostLogLines = 1000
)

// logLine is a line as a model is shown it.
type logLine struct {
	Task    string    `json:"task"`
	TaskID  string    `json:"task_id"`
	Attempt int       `json:"attempt"`
	Stream  string    `json:"stream"`
	At      time.Time `json:"at"`
	Text    string    `json:"text"`
}

// runLogs shows the last lines that the steps of a run wrote.
func (h *Handler) runLogs(ctx context.Context, u *use) (answer, *api.Fault) {
	name, most := u.text("run"), logLines
	if name == "" {
		return answer{}, api.InvalidParameter("run", "run must be the id of a run, or FLOW/RUN")
	}
	if given := u.argument("limit"); given != nil {
		n, err := strconv.Atoi(string(given))
		if err != nil || n < 1 || n > mostLogLines {
			return answer{}, api.InvalidParameter("limit", "limit must be an integer from 1 to 1000")
		}
		most = n
	}
	run, err := u.svc.FlowRun(ctx, name)
	if err != nil {
		return answer{}, notRun(api.Classify(ctx, h.cfg.Log, u.tool.name, err), name)
	}
	lines := []logLine{}
	for l, err := range u.svc.Logs(ctx, coordinator.LogFilter{TaskID: run.TreeID, Tree: true, Tail: most}) {
		if err != nil {
			return answer{}, api.Classify(ctx, h.cfg.Log, u.tool.name, err)
		}
		lines = append(lines, logLine{l.Name, l.TaskID, l.Attempt, l.Stream, l.At, l.Text})
	}
	return answer{value: must(lines)}, nil
}

// notRun names the run that there is not.
func notRun(f *api.Fault, name string) *api.Fault {
	if f.Kind == api.NotFound {
		f.Text, f.Field = "Run "+shortened(name)+" not found", "run"
	}
	return f
}
