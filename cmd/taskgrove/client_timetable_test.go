package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/flows"
)

// timetableFiles are a scheduler file and its flow, in a directory of their own; the path is the file's.
func timetableFiles(t *testing.T, scheduler string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"scheduler.yaml":   scheduler,
		"flows/a.yaml":     "flow: {id: a}\njobs:\n- {id: main, steps: [{id: s, type: noop, inputs: {region: '{{env.REGION}}'}}]}\n",
		"flows/other.yaml": "flow: {id: a}\njobs: []\n",
		"flows/bad.yaml":   "flow: {id: bad}\njobs:\n- {id: main, steps: [{id: s, type: nop}, {id: s, type: noop}]}\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "scheduler.yaml")
}

const wholeTimetable = `version: 1
timezone: Europe/Paris
items:
- {id: nightly, cron: "0 2 * * 1", cron_weekday: monday0, flow_yaml: flows/a.yaml, flow_job: main, env: {REGION: eu}, misfire_grace_time: 3600, overlap: queue, priority: 1, run_timeout_seconds: 600}
- {id: often, every_seconds: 900, start_at: "2027-01-01T00:00:00Z", timezone: UTC, flow: flows/a.yaml, env: {REGION: us}, jitter_seconds: 30, coalesce: false, paused: true}
`

// TestTimetableIsApplied: the flows of a scheduler file are registered and its items are schedules; a second time nothing changes, and --dry-run stores nothing.
func TestTimetableIsApplied(t *testing.T) {
	svc := double(t)
	file := timetableFiles(t, wholeTimetable)
	out, notes, code := runCommand(t, "schedule", "apply", file, "--dry-run")
	if code != exitOK || !strings.Contains(out, "OK: "+file) || !strings.Contains(out, "nightly would be created\noften would be created\n") {
		t.Fatalf("exit %d:\n%s%s", code, out, notes)
	}
	if _, err := svc.GetSchedule(t.Context(), "nightly"); err == nil {
		t.Error("--dry-run has stored something")
	}
	out, notes, code = runCommand(t, "schedule", "apply", file)
	if code != exitOK || !strings.Contains(notes, "a: version 1") || !strings.Contains(out, "nightly created") || !strings.Contains(out, "often created") {
		t.Fatalf("exit %d:\n%s%s", code, out, notes)
	}
	nightly, err := svc.GetSchedule(t.Context(), "nightly")
	if err != nil {
		t.Fatal(err)
	}
	if f := nightly.Flow; nightly.Cron != "0 2 * * tue" || nightly.Timezone != "Europe/Paris" || nightly.Overlap != "queue_one" || nightly.MisfireGrace != "3600" || nightly.Jitter != "" || nightly.Coalesce == nil || !*nightly.Coalesce ||
		f == nil || f.ID != "a" || f.Version != 0 || f.Job != "main" || f.Env["REGION"] != "eu" || *f.Priority != 1 || f.Timeout != 600 {
		t.Errorf("nightly is %+v with the flow %+v", nightly.Spec, f)
	}
	often, err := svc.GetSchedule(t.Context(), "often")
	if err != nil {
		t.Fatal(err)
	}
	if often.Every != "900" || often.StartAt == nil || often.Timezone != "UTC" || often.Overlap != "skip" || often.MisfireGrace != "300" || often.Jitter != "30" || *often.Coalesce || !often.IsPaused() || often.Flow.Env["REGION"] != "us" {
		t.Errorf("often is %+v", often.Spec)
	}
	out, notes, code = runCommand(t, "schedule", "apply", file)
	if code != exitOK || strings.Contains(notes, "version") || strings.Contains(notes, "unset_env") || !strings.Contains(out, "nightly unchanged") || !strings.Contains(out, "often unchanged") {
		t.Errorf("exit %d:\n%s%s", code, out, notes)
	}
	if again, err := svc.GetSchedule(t.Context(), "nightly"); err != nil || again.Revision != nightly.Revision {
		t.Error(again, err)
	}
	var report flows.Report
	if out, _, code = runCommand(t, "schedule", "apply", file, "--dry-run", "--json"); code != exitOK || json.Unmarshal([]byte(out), &report) != nil || !report.OK || report.FlowYAML != file {
		t.Errorf("exit %d: %s", code, out)
	}
}

// TestBundlesOfTimetables: the bundle of an item is pushed, its flow is registered with it, and the schedule has values of its files of the environment. With faults nothing is pushed.
func TestBundlesOfTimetables(t *testing.T) {
	svc := double(t)
	manifest, cache := copied(t), t.TempDir()
	dir := filepath.Dir(manifest)
	rewrite(t, filepath.Join(dir, "prod.env"), "GREETING_KEY", "UNUSED=x\nGREETING_KEY")
	write := func(name, text string) string {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	write("files/flows/other.yaml", "flow: {id: other}\njobs:\n- {id: main, steps: [{id: s, type: noop, inputs: {key: '{{env.GREETING_KEY}}', at: '{{env.TASKGROVE_BUNDLE_DIR}}'}}]}\n")
	const entry = "timezone: UTC\nitems:\n- {id: a, cron: '0 2 * * *', bundle_manifest: manifest.yaml}\n"
	all := write("scheduler.yaml", entry+"- {id: b, cron: '0 3 * * *', bundle_manifest: manifest.yaml, flow_yaml: flows/other.yaml, env: {GREETING_KEY: evening}, allow_stale_bundle: true}\n")
	stored := func() string {
		t.Helper()
		list, err := svc.Bundles(t.Context(), coordinator.BundleFilter{})
		kept, flowsErr := svc.Flows(t.Context(), coordinator.FlowFilter{})
		if err != nil || flowsErr != nil {
			t.Fatal(err, flowsErr)
		}
		text := fmt.Sprintf("%d:", len(list.Items))
		for _, f := range kept.Items {
			text += fmt.Sprintf(" %s.%d of %s", f.ID, f.Version, f.Bundle)
		}
		return text
	}
	apply := func(want int, args ...string) string {
		t.Helper()
		out, notes, code := runCommand(t, append([]string{"schedule", "apply", "--bundle-dir", cache}, args...)...)
		if code != want {
			t.Fatalf("%v: exit %d, want %d\n%s%s", args, code, want, out, notes)
		}
		return out + notes
	}
	apply(exitOK, all, "--dry-run")
	bad := write("bad.yaml", entry+"- {id: b, cron: '0 3 * * *', bundle_manifest: manifest.yaml, flow_yaml: flows/none.yaml}\n- {id: c, cron: '0 3 * * *', bundle_manifest: manifest.yaml, flow_job: none}\n")
	text := apply(exitUsage, bad)
	for _, want := range []string{"items[1].flow_yaml: spec.bundle_file - flows/none.yaml: ", "items[2].flow_job: spec.unknown_job"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if got := stored(); got != "0:" {
		t.Errorf("with faults, and without effect, is stored %s", got)
	}
	apply(exitOK, all)
	if got := stored(); got != "1: greet.1 of greetings other.1 of greetings" {
		t.Errorf("stored is %s", got)
	}
	for id, want := range map[string]string{"a": "greet map[GREETING_KEY:morning]", "b": "other map[GREETING_KEY:evening]"} {
		is, err := svc.GetSchedule(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(is.Flow.ID, " ", is.Flow.Env); got != want {
			t.Errorf("%s runs %s, want %s", id, got, want)
		}
	}
	if text := apply(exitOK, all); !strings.Contains(text, "a unchanged") || !strings.Contains(text, "b unchanged") {
		t.Error(text)
	}
	if err := os.Rename(filepath.Join(dir, "files"), filepath.Join(dir, "away")); err != nil {
		t.Fatal(err)
	}
	if text := apply(exitUsage, all); !strings.Contains(text, "items[0].bundle_manifest: spec.bundle_fetch - the source fails, and allow_stale_bundle") || strings.Contains(text, "items[1]") {
		t.Error(text)
	}
	stale := write("stale.yaml", "timezone: UTC\nitems:\n- {id: a, cron: '0 2 * * *', bundle_manifest: manifest.yaml, allow_stale_bundle: true}\n")
	if text := apply(exitOK, stale); !strings.Contains(text, "the source of greetings fails") || !strings.Contains(text, "a unchanged") {
		t.Error(text)
	}
}

// TestFaultsOfTimetablesByCommands: all faults of all files at once, with file, line and column, before a cluster is asked.
func TestFaultsOfTimetablesByCommands(t *testing.T) {
	t.Setenv("TASKGROVE_SERVER", "127.0.0.1:1")
	file := timetableFiles(t, `timezone: UTC
items:
- {id: a, cron: "0 2 * * *", flow_yaml: flows/a.yaml}
- {id: b, cron: "61 2 * * *", flow_yaml: flows/bad.yaml}
- {id: c, cron: "0 2 * * *", flow_yaml: flows/none.yaml}
- {id: d, cron: "0 2 * * *", flow_yaml: flows/other.yaml}
- {id: e, cron: "0 2 * * *", bundle_manifest: b.yaml}
- {id: f, cron: "0 2 * * *", flow_yaml: flows/a.yaml, flow_job: none, env: {REGION: eu, API_TOKEN: x}}
`)
	out, notes, code := runCommand(t, "schedule", "apply", file, "--json")
	var report flows.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitUsage || report.OK {
		t.Fatalf("exit %d, %v:\n%s%s", code, err, out, notes)
	}
	said := map[string]bool{}
	for _, f := range report.Errors {
		said[strings.TrimSpace(strings.TrimPrefix(f.File, filepath.Dir(file))+" "+f.Loc+" "+string(f.Code))] = true
		if f.Line == 0 || f.Column == 0 {
			t.Errorf("%+v has no place", f)
		}
	}
	for _, want := range []string{
		"items[0].env spec.missing_env", "items[1].cron spec.cron", "/flows/bad.yaml jobs[0].steps[0].type spec.unknown_step_type", "/flows/bad.yaml jobs[0].steps[1].id spec.duplicate_step_id",
		"items[2].flow_yaml spec.flow_file", "items[3].flow_yaml spec.flow_twice", "items[4].bundle_manifest spec.bundle_fetch", "items[5].env secret.inline_value",
	} {
		if !said[want] {
			t.Errorf("%q is not told in\n%s", want, out)
		}
	}
	if out, notes, code = runCommand(t, "schedule", "apply", file); code != exitUsage || out != "" || !strings.Contains(notes, "INVALID: "+file) || !strings.Contains(notes, "bad.yaml:3:") {
		t.Errorf("exit %d:\n%s%s", code, out, notes)
	}
	plain := timetableFiles(t, "taskgrove: 1\nitems: []\n")
	if _, notes, code = runCommand(t, "schedule", "apply", plain); code != exitUsage || !strings.Contains(notes, "items: is no key of a file of schedules") {
		t.Errorf("exit %d: %s", code, notes)
	}
	if _, notes, code = runCommand(t, "schedule", "apply", "--timetable", plain); code != exitUsage || !strings.Contains(notes, "taskgrove: spec.unknown_key") {
		t.Errorf("exit %d: %s", code, notes)
	}
}
