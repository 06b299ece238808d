package workdir

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
)

// When the directory of a job goes, once its run has ended; see flows.
const (
	cleanupOnSuccess = "on_success"
	cleanupAlways    = "always"
	cleanupNever     = "never"
)

// flowStep is what params say of the step of a flow that a task is.
type flowStep struct {
	Flow      string         `json:"flow_id"`
	Run       string         `json:"run_id"`
	Job       string         `json:"job_id"`
	Step      string         `json:"step_id"`
	Dir       string         `json:"dir"`  // of an item of a step: what its directory is called, in the place of the job's; empty: it is that of the job
	From      []string       `json:"from"` // with whose files that begins: the first of these that has any
	Workspace *flowWorkspace `json:"workspace"`
}

type flowWorkspace struct {
	Layout  map[string]string `json:"layout"`
	Cleanup string            `json:"cleanup_policy"`
}

// flowID is what the parts of a path may be that come from a flow.
var flowID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// stepOf reads params; nil: the task is no step that shares a directory. Params are anybody's, so all is checked here again.
func stepOf(params json.RawMessage) (*flowStep, error) {
	var shares struct {
		Workspace json.RawMessage `json:"workspace"`
		Flow      json.RawMessage `json:"flow_id"`
	}
	if len(params) == 0 || json.Unmarshal(params, &shares) != nil || len(shares.Workspace) == 0 || len(shares.Flow) == 0 {
		return nil, nil
	}
	s := &flowStep{}
	if err := json.Unmarshal(params, s); err != nil {
		return nil, badStep("%v", err)
	}
	if s.Workspace == nil {
		return nil, nil
	}
	for _, id := range []struct{ field, text string }{{"flow_id", s.Flow}, {"run_id", s.Run}, {"job_id", s.Job}, {"step_id", s.Step}} {
		if !validID(id.text) {
			return nil, badStep("%s: %.100q is not 1 to 64 letters, digits, '.', '_' and '-', or is . or ..", id.field, id.text)
		}
	}
	for _, name := range append([]string{s.files()}, s.From...) {
		if !validID(name) {
			return nil, badStep("dir, from: %.100q is not 1 to 64 letters, digits, '.', '_' and '-', or is . or ..", name)
		}
	}
	if len(s.From) > maxFrom {
		return nil, badStep("from: has %d names, the most is %d", len(s.From), maxFrom)
	}
	layout := map[string]string{"artifacts": "artifacts", "scratch": "scratch", "manifests": "manifests"}
	maps.Copy(layout, s.Workspace.Layout)
	s.Workspace.Layout = layout
	names := slices.Sorted(maps.Keys(layout))
	for _, name := range names {
		dir := layout[name]
		if !fs.ValidPath(dir) || dir == "." || strings.ContainsAny(dir, "\\\x00\n\r") || len(dir) > 200 {
			return nil, badStep("workspace.layout.%.100s: %.100q is not the name of a directory within that of a job", name, dir)
		}
		for _, other := range names {
			if has := layout[other]; other != name && (has == dir || strings.HasPrefix(has, dir+"/")) {
				return nil, badStep("workspace.layout.%.100s: %.100q is, or holds, the directory of %.100s", name, dir, other)
			}
		}
	}
	switch s.Workspace.Cleanup {
	case "":
		s.Workspace.Cleanup = cleanupOnSuccess
	case cleanupOnSuccess, cleanupAlways, cleanupNever:
	default:
		return nil, badStep("workspace.cleanup_policy: %.100q is none of on_success, always and never", s.Workspace.Cleanup)
	}
	return s, nil
}

// maxFrom is how many directories an item may begin with, at most.
const maxFrom = 16

func validID(text string) bool { return flowID.MatchString(text) && text != "." && text != ".." }

// files is what the files are kept as: those of the job, or of an item.
func (s *flowStep) files() string { return cmp.Or(s.Dir, s.Job) }

func badStep(format string, args ...any) error {
	return executors.Permanent(fmt.Errorf("params: "+format, args...))
}
