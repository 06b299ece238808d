package apitest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/flows"
)

// flowID finds the id of a flow: this service compiles none.
var flowID = regexp.MustCompile(`id: ([A-Za-z0-9._-]+)`)

// keptRun is a run in memory. It never runs.
type keptRun struct {
	info coordinator.FlowRunInfo
	text string
}

func idOfFlow(text []byte) (string, error) {
	found := flowID.FindSubmatch(text)
	if found == nil {
		return "", &coordinator.InvalidArgumentError{Field: "flow.id", Reason: "is required"}
	}
	return string(found[1]), nil
}

// ValidateFlow says what is wrong with a flow: here, that it has no id.
func (s *Service) ValidateFlow(_ context.Context, spec coordinator.FlowCheck) (*flows.Report, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("ValidateFlow"); err != nil {
		return nil, err
	}
	text := spec.Text
	switch versions := s.flows[spec.Flow]; {
	case (spec.Flow == "") == (len(text) == 0):
		return nil, &coordinator.InvalidArgumentError{Field: "flow", Reason: "is required: the id of a registered flow, or a text"}
	case spec.Flow != "" && len(versions) == 0:
		return nil, fmt.Errorf("flow %s: %w", spec.Flow, coordinator.ErrNotFound)
	case spec.Flow != "":
		text = versions[cmp.Or(spec.Version, len(versions))-1].Text
	}
	out := &flows.Report{OK: true, FlowYAML: cmp.Or(spec.Name, "flow"), Errors: []flows.Fault{}, Warnings: []flows.Fault{}}
	if _, err := idOfFlow(text); err != nil {
		out.OK, out.Errors = false, append(out.Errors, flows.Fault{Code: flows.CodeMissing, Alias: "schema:missing", Loc: "flow.id", Line: 1, Column: 7, Msg: "must be there"})
	}
	return out, nil
}

// ApplyFlow keeps a flow.
func (s *Service) ApplyFlow(_ context.Context, spec coordinator.FlowSpec) (*coordinator.FlowInfo, error) {
	id, err := idOfFlow(spec.Text)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("ApplyFlow"); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(spec.Text)
	of := &coordinator.FlowInfo{ID: id, SHA256: sum[:], Text: spec.Text, UserID: spec.UserID, CreatedBy: coordinator.AnonymousName, CreatedAt: time.Now().Truncate(time.Microsecond), Bundle: spec.Bundle}
	if spec.Preview {
		return &coordinator.FlowInfo{ID: id, UserID: spec.UserID, CreatedBy: of.CreatedBy}, nil
	}
	versions := s.flows[id]
	if n := len(versions); n > 0 && string(versions[n-1].Text) == string(spec.Text) && versions[n-1].Bundle == spec.Bundle {
		return withoutText(versions[n-1]), nil
	} else if n > 0 {
		of.UserID = versions[0].UserID
	}
	of.Version = len(versions) + 1
	if s.flows == nil {
		s.flows = map[string][]*coordinator.FlowInfo{}
	}
	s.flows[id] = append(versions, of)
	out := withoutText(of)
	out.Fresh = true
	return out, nil
}

func withoutText(f *coordinator.FlowInfo) *coordinator.FlowInfo {
	one := *f
	one.Text = nil
	return &one
}

// Flow shows a flow.
func (s *Service) Flow(_ context.Context, id string, version int) (*coordinator.FlowInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Flow"); err != nil {
		return nil, err
	}
	versions := s.flows[id]
	if version = cmp.Or(version, len(versions)); version < 1 || version > len(versions) {
		return nil, coordinator.ErrNotFound
	}
	one := *versions[version-1]
	one.Versions = len(versions)
	return &one, nil
}

// Flows lists flows.
func (s *Service) Flows(_ context.Context, f coordinator.FlowFilter) (page coordinator.Page[*coordinator.FlowInfo], err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Flows"); err != nil {
		return page, err
	}
	for _, id := range slices.Sorted(maps.Keys(s.flows)) {
		if of := s.flows[id][len(s.flows[id])-1]; id > f.Cursor && (f.UserID == "" || f.UserID == of.UserID) {
			page.Items = append(page.Items, withoutText(of))
		}
	}
	if limit := cmp.Or(f.Limit, 100); len(page.Items) > limit {
		page.Items = page.Items[:limit]
		page.Next = page.Items[limit-1].ID
	}
	return page, nil
}

// DeleteFlow deletes a flow.
func (s *Service) DeleteFlow(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("DeleteFlow"); err != nil {
		return err
	}
	if s.flows[id] == nil {
		return coordinator.ErrNotFound
	}
	delete(s.flows, id)
	return nil
}

// RunFlow keeps a run.
func (s *Service) RunFlow(_ context.Context, spec coordinator.FlowRunSpec) (*coordinator.FlowRunInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("RunFlow"); err != nil {
		return nil, err
	}
	text, version := spec.Text, 0
	switch versions := s.flows[spec.Flow]; {
	case (spec.Flow == "") == (len(text) == 0):
		return nil, &coordinator.InvalidArgumentError{Field: "flow", Reason: "is required: the id of a registered flow, or a text"}
	case spec.Flow != "" && len(versions) == 0:
		return nil, fmt.Errorf("flow %s: %w", spec.Flow, coordinator.ErrNotFound)
	case spec.Flow != "":
		version = cmp.Or(spec.Version, len(versions))
		text = versions[version-1].Text
	}
	return s.keepRun(text, version, spec.RunID, spec.UserID, spec.FlowGiven)
}

// keepRun keeps a run, unless it is there. The caller holds mu.
func (s *Service) keepRun(text []byte, version int, runID, user string, given coordinator.FlowGiven) (*coordinator.FlowRunInfo, error) {
	id, err := idOfFlow(text)
	if err != nil {
		return nil, err
	}
	runID = cmp.Or(runID, uuid.NewString())
	for _, r := range s.runs {
		if r.info.FlowID == id && r.info.RunID == runID {
			if r.text != string(text) || !reflect.DeepEqual(r.info.Given, given) {
				return nil, fmt.Errorf("%w: run %s of %s is there, and is of another text or with other values: resume it with the new text, or choose another run id", coordinator.ErrConflict, runID, id)
			}
			out := r.listed()
			out.Existing = true
			return out, nil
		}
	}
	sum := sha256.Sum256(text)
	r := &keptRun{text: string(text), info: coordinator.FlowRunInfo{FlowID: id, RunID: runID, TreeID: uuid.NewString(), Revision: 1, Outcome: "RUNNING", Version: version, SHA256: sum[:], UserID: user,
		CreatedBy: coordinator.AnonymousName, CreatedAt: time.Now().Truncate(time.Microsecond), Given: given}}
	s.runs = append(s.runs, r)
	return r.listed(), nil
}

func (r *keptRun) listed() *coordinator.FlowRunInfo {
	one := r.info
	one.Jobs = nil
	return &one
}

// run finds a run. The caller holds mu.
func (s *Service) flowRun(name string) (*keptRun, error) {
	for _, r := range s.runs {
		if name == r.info.RunID || name == r.info.FlowID+"/"+r.info.RunID {
			return r, nil
		}
	}
	return nil, coordinator.ErrNotFound
}

// FlowRun shows a run.
func (s *Service) FlowRun(_ context.Context, name string) (*coordinator.FlowRunInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("FlowRun"); err != nil {
		return nil, err
	}
	r, err := s.flowRun(name)
	if err != nil {
		return nil, err
	}
	out := r.listed()
	out.Jobs = r.info.Jobs
	out.Revisions = []coordinator.FlowRevision{{Revision: out.Revision, TreeID: out.TreeID, Outcome: out.Outcome, Version: out.Version, SHA256: out.SHA256, CreatedBy: out.CreatedBy, CreatedAt: out.CreatedAt}}
	return out, nil
}

// SetJobs says what the jobs of a run have come to.
func (s *Service) SetJobs(run string, jobs []flows.JobOutcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, err := s.flowRun(run); err == nil {
		r.info.Jobs = jobs
	}
}

// FlowRuns lists runs.
func (s *Service) FlowRuns(_ context.Context, f coordinator.FlowRunFilter) (page coordinator.Page[*coordinator.FlowRunInfo], err error) {
	if err := f.Check(); err != nil {
		return page, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("FlowRuns"); err != nil {
		return page, err
	}
	for _, r := range slices.Backward(s.runs) {
		if i := r.info; (f.Flow == "" || f.Flow == i.FlowID) && (f.UserID == "" || f.UserID == i.UserID) && (f.Outcome == "" || f.Outcome == i.Outcome) && !i.CreatedAt.Before(f.Since) {
			one := r.listed()
			one.Given = coordinator.FlowGiven{}
			page.Items = append(page.Items, one)
		}
	}
	return page, nil
}

// CancelFlowRun cancels a run.
func (s *Service) CancelFlowRun(_ context.Context, name, reason string) (*coordinator.Cancellation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("CancelFlowRun"); err != nil {
		return nil, err
	}
	r, err := s.flowRun(name)
	if err != nil {
		return nil, err
	}
	if r.info.Outcome != "RUNNING" {
		return &coordinator.Cancellation{Outcome: coordinator.AlreadyEnded}, nil
	}
	r.info.Outcome = "CANCELLED"
	return &coordinator.Cancellation{Outcome: coordinator.Cancelled, Reason: reason}, nil
}

// ResumeFlowRun has a run go on.
func (s *Service) ResumeFlowRun(_ context.Context, spec coordinator.FlowResume) (*coordinator.FlowRunInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("ResumeFlowRun"); err != nil {
		return nil, err
	}
	r, err := s.flowRun(spec.Run)
	if err != nil {
		return nil, err
	}
	edited := len(spec.Text) > 0 && string(spec.Text) != r.text
	switch {
	case r.info.Outcome == "RUNNING" && edited:
		return nil, fmt.Errorf("%w: run %s of %s has not ended: cancel it first, or wait", coordinator.ErrConflict, r.info.RunID, r.info.FlowID)
	case r.info.Outcome == "RUNNING":
		out := r.listed()
		out.Existing = true
		return out, nil
	case edited:
		r.info.Revision++
		r.info.TreeID, r.text = uuid.NewString(), string(spec.Text)
	}
	r.info.Outcome = "RUNNING"
	return r.listed(), nil
}

// RestartFlowRun keeps another run.
func (s *Service) RestartFlowRun(_ context.Context, spec coordinator.FlowRestart) (*coordinator.FlowRunInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("RestartFlowRun"); err != nil {
		return nil, err
	}
	r, err := s.flowRun(spec.Run)
	if errors.Is(err, coordinator.ErrNotFound) {
		return nil, err
	}
	return s.keepRun([]byte(strings.Clone(r.text)), r.info.Version, spec.RunID, r.info.UserID, r.info.Given)
}
