package flows_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/flows"
)

// TestOutcome: what jobs and steps have come to, by how tasks ended.
func TestOutcome(t *testing.T) {
	text, err := os.ReadFile("testdata/sequential.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tree, report := flows.Compile("f.yaml", text, "run-1", options())
	if tree == nil {
		t.Fatal(report.Errors)
	}
	cut := flows.End{Outcome: "skipped", SkipReason: "dependency_skipped"}
	look := flows.End{Outcome: "skipped", SkipReason: "no_data", Attempts: 1, Outputs: json.RawMessage(`{"count":1}`)}
	done := flows.End{Outcome: "success", Attempts: 1, Outputs: json.RawMessage(`{"count":1}`)}
	for _, row := range []struct {
		name string
		ends map[string]flows.End
		want string
	}{
		{"nothing has ended", nil, "SUCCESS ingest PENDING [look PENDING, load PENDING, tidy PENDING], report PENDING [send PENDING], nothing PENDING [], sweep PENDING [go PENDING]"},
		{"a step runs", map[string]flows.End{"ingest__look": done, "ingest__load": {Runs: true, Attempts: 1}}, "SUCCESS ingest RUNNING [look SUCCESS, load RUNNING, tidy PENDING] count, report PENDING [send PENDING], nothing PENDING [], sweep PENDING [go PENDING]"},
		{"a step finds nothing", map[string]flows.End{"ingest": {Outcome: "skipped", SkipReason: "no_data"}, "ingest__look": look, "ingest__load": cut, "ingest__tidy": cut, "report": {Outcome: "blocked"}, "report__send": {Outcome: "blocked"}, "nothing": {Outcome: "success"}, "sweep": {Outcome: "success"}, "sweep__go": done},
			"SUCCESS ingest SKIPPED no_data step [look SKIPPED no_data, load SKIPPED no_data, tidy SKIPPED no_data] count, report BLOCKED blocked_by:ingest [], nothing SUCCESS [], sweep SUCCESS [go SUCCESS] count"},
		{"a gate can't be judged", map[string]flows.End{"ingest": {Outcome: "success"}, "ingest__look": done, "ingest__load": done, "ingest__tidy": done, "report": {Outcome: "failed"}, "report__gate": {Outcome: "failed", Error: "when_error: line 1, column 1: when.type_error: no", ErrorKind: "when_error"}, "report__send": {Outcome: "blocked"},
			"nothing": {Outcome: "blocked"}, "sweep": {Outcome: "cancelled"}, "sweep__go": {Outcome: "cancelled"}},
			"FAILED ingest SUCCESS [look SUCCESS, load SUCCESS, tidy SUCCESS] count, report FAILED when.type_error [send BLOCKED], nothing BLOCKED flow_failed [], sweep CANCELLED [go CANCELLED]"},
		{"a run is cancelled", map[string]flows.End{"ingest": {Outcome: "cancelled"}, "ingest__look": {Outcome: "cancelled"}, "ingest__load": {Outcome: "cancelled"}, "ingest__tidy": {Outcome: "cancelled"}, "report": {Outcome: "skipped", SkipReason: "when_false"}, "report__send": cut},
			"CANCELLED ingest CANCELLED [look CANCELLED, load CANCELLED, tidy CANCELLED], report SKIPPED when_false [], nothing PENDING [], sweep PENDING [go PENDING]"},
	} {
		o := tree.Outcome(row.ends)
		var jobs []string
		for _, j := range o.Jobs {
			var steps []string
			for _, s := range j.Steps {
				steps = append(steps, strings.TrimSpace(fmt.Sprint(s.ID, " ", s.Status, " ", s.ReasonCode)))
			}
			line := strings.Join(strings.Fields(fmt.Sprint(j.ID, " ", j.Status, " ", j.ReasonCode, " ", j.SkipTrigger, " ", j.ErrorKind)), " ") + " [" + strings.Join(steps, ", ") + "]"
			for key := range j.Outputs {
				line += " " + key
			}
			jobs = append(jobs, line)
		}
		if got := o.Outcome + " " + strings.Join(jobs, ", "); got != row.want {
			t.Errorf("%s:\n%s\nwant\n%s", row.name, got, row.want)
		}
	}
}

// TestOutcomeOfLocks: a lock that was not given is why a job, or a step, ended, and a job's time that is up is its kind.
func TestOutcomeOfLocks(t *testing.T) {
	text, err := os.ReadFile("testdata/locks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tree, report := flows.Compile("f.yaml", text, "run-1", options())
	if tree == nil {
		t.Fatal(report.Errors)
	}
	late := flows.End{Outcome: "failed", Error: "its lock was not free in time", ErrorKind: "lock_timeout"}
	blocked, cut := flows.End{Outcome: "blocked"}, flows.End{Outcome: "skipped", SkipReason: "dependency_skipped"}
	for _, row := range []struct {
		name string
		ends map[string]flows.End
		want string
	}{
		{"the lock of a job", map[string]flows.End{"books": {Outcome: "failed", Error: "books__lock: no"}, "books__lock": late, "books__post": blocked, "books__sum": blocked},
			"FAILED books FAILED lock_timeout its lock was not free in time [BLOCKED BLOCKED]"},
		{"the time of a job", map[string]flows.End{"books": {Outcome: "failed", Error: "timeout", ErrorKind: "timeout"}, "books__post": {Outcome: "success"}, "books__sum": {Outcome: "cancelled"}},
			"FAILED books FAILED timeout timeout [SUCCESS CANCELLED]"},
		{"the lock of a step fails", map[string]flows.End{"nested": {Outcome: "failed", Error: "no"}, "nested__a": {Outcome: "success"}, "nested__s__lock": late, "nested__s__lock_2": blocked, "nested__s": blocked, "nested__b": blocked},
			"FAILED nested FAILED lock_timeout no [SUCCESS FAILED lock_timeout BLOCKED]"},
		{"the lock of a step is held", map[string]flows.End{"nested": {Outcome: "success"}, "nested__a": {Outcome: "success"}, "nested__s__lock": {Outcome: "success"}, "nested__s__lock_2": {Outcome: "skipped", SkipReason: "locked"}, "nested__s": cut, "nested__b": {Outcome: "success"}},
			"SUCCESS nested SUCCESS [SUCCESS SKIPPED locked SUCCESS]"},
		{"the lock of the run", map[string]flows.End{"run__lock": late, "books": blocked, "one": blocked, "nested": blocked}, "FAILED"},
	} {
		o := tree.Outcome(row.ends)
		got := o.Outcome
		for _, j := range o.Jobs {
			if j.Status == "PENDING" || j.Status == "BLOCKED" {
				continue
			}
			var steps []string
			for _, s := range j.Steps {
				steps = append(steps, strings.Join(strings.Fields(s.Status+" "+s.ReasonCode+" "+s.ErrorKind), " "))
			}
			got += " " + strings.Join(strings.Fields(fmt.Sprint(j.ID, " ", j.Status, " ", j.ErrorKind, " ", j.Reason)), " ") + " [" + strings.Join(steps, " ") + "]"
		}
		if got != row.want {
			t.Errorf("%s:\n%s\nwant\n%s", row.name, got, row.want)
		}
	}
}
