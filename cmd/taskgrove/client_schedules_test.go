package main

import (
	"context"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/grpcserver"
	"github.com/taskgrove/taskgrove/coordinator"
)

// TestInstantsByCommands: a schedule's instants are listed as clocks of its zone read.
func TestInstantsByCommands(t *testing.T) {
	double(t)
	next := func(args ...string) (string, string, int) {
		return runCommand(t, append([]string{"schedule", "next"}, args...)...)
	}
	out, _, code := next("30 2 * * *", "--timezone", "Europe/Berlin", "-n", "3", "--after", "2026-03-28T00:00:00Z")
	if want := "Sat 2026-03-28 02:30:00 +01:00\nSun 2026-03-29 03:30:00 +02:00\nMon 2026-03-30 02:30:00 +02:00\n"; code != exitOK || out != want {
		t.Errorf("exit %d:\n%s", code, out)
	}
	if out, _, code = next("@hourly"); code != exitOK || strings.Count(out, "+00:00\n") != 5 {
		t.Errorf("exit %d:\n%s", code, out)
	}
	if out, _, code = next("0 0 1 1 *", "-n", "1", "--after", "2026-03-28T00:00:00Z", "-o", "json"); code != exitOK || out != "[\"2027-01-01T00:00:00Z\"]\n" {
		t.Errorf("exit %d:\n%s", code, out)
	}
	for want, args := range map[string][]string{
		`cron: minute "61": must be *, numbers from 0 to 59`: {"61 2 * * *"},
		`did you mean Europe/Berlin?`:                        {"@daily", "--timezone", "europe/berlin"},
		`cron: never fires: no day of any year fits`:         {"0 0 30 2 *"},
		`n: must be 1 to 1000`:                               {"@daily", "-n", "1001"},
		`takes one argument, [CRON], but there are 5`:        {"0", "2", "*", "*", "*"},
	} {
		if out, notes, code := next(args...); code != exitUsage || !strings.Contains(notes, want) {
			t.Errorf("%q: exit %d, want %q:\n%s%s", args, code, want, out, notes)
		}
	}
}

// TestInstantsOffline: --cron asks no cluster, and answers in the shape of flows 11.
func TestInstantsOffline(t *testing.T) {
	t.Setenv("TASKGROVE_SERVER", "127.0.0.1:1")
	for _, row := range []struct {
		args  []string
		code  int
		out   string
		notes string
	}{
		{[]string{"--cron", "30 2 * * *", "--timezone", "Europe/Berlin", "-n", "2", "--after", "2026-03-28T12:00:00Z", "-o", "json"}, exitOK, `{"next":["2026-03-29T01:30:00Z","2026-03-30T00:30:00Z"]}` + "\n", ""},
		{[]string{"--cron", "0 2 * * *", "-n", "1", "--after", "2026-03-28T12:00:00Z"}, exitOK, "2026-03-29T02:00:00Z\n", ""},
		{[]string{"--cron", "61 2 * * *", "--timezone", "Mars", "-o", "json"}, exitUsage, `"errors":["cron: minute`, "timezone: "},
		{[]string{"--cron", "0 2 * * *", "-n", "0"}, exitUsage, "", "takes 1 to 1000"},
		{[]string{"--cron", "0 2 * * *", "0 3 * * *"}, exitUsage, "", "or by --cron"},
		{nil, exitUsage, "", "or by --cron"},
	} {
		out, notes, code := runCommand(t, append([]string{"schedule", "next"}, row.args...)...)
		if code != row.code || !strings.Contains(out, row.out) || !strings.Contains(notes, row.notes) {
			t.Errorf("%q: exit %d: %s%s", row.args, code, out, notes)
		}
	}
}

const scheduleText = `taskgrove: 1
schedules:
- id: nightly
  description: what came in yesterday
  cron: 0 2 * * *
  timezone: Europe/Berlin
  parameters: {day: "{{schedule.local_date}}"}
  tree:
    taskgrove: 1
    name: nightly
    parameters: {day: {type: string, required: true}, lines: {type: integer, default: 2}}
    tasks:
    - {name: report, executor: command, inputs: {command: "echo {{parameters.day}}"}}
- {id: after, on: {schedule: nightly}, tree: [{name: a, schemas: {method: noop_executor}}], paused: true}
`

// TestSchedulesByCommands: schedules are made of files, shown, changed and taken away.
func TestSchedulesByCommands(t *testing.T) {
	double(t)
	path := file(t, "s.yaml", scheduleText)
	changed := file(t, "changed.yaml", strings.Replace(scheduleText, "0 2 * * *", "30 2 * * *", 1))
	half := file(t, "half.yaml", strings.Replace(scheduleText, "on: {schedule: nightly}", "on: {schedule: weekly}", 1))
	turned := file(t, "turned.yaml", "taskgrove: 1\nschedules:\n- {id: then, on: {schedule: before}, tree: [{name: a}]}\n- {id: before, cron: '@daily', tree: [{name: a}]}\n")
	resumed := file(t, "resumed.yaml", strings.Replace(scheduleText, "0 2 * * *", "30 2 * * *\n  paused: false", 1))
	bad := file(t, "bad.yaml", strings.Replace(scheduleText, "cron: 0 2 * * *", "crontab: 0 2 * * *\n  overlap: maybe", 1))
	circle := file(t, "circle.yaml", "taskgrove: 1\nschedules:\n- {id: outside, on: {schedule: nightly}, tree: [{name: a}]}\n- {id: nightly, on: {schedule: between}, tree: [{name: a}]}\n- {id: between, on: {schedule: after}, tree: [{name: a}]}\n")
	tryAll(t, []tried{
		{"schedule", "there are no schedules", exitOK},
		{"schedule create " + bad, "bad.yaml:5:3: schedules[0].crontab: is no key of a schedule: write cron\n  " + bad + ":6:3: schedules[0].overlap: must be skip, queue_one, allow or cancel_other\n", exitUsage},
		{"schedule list", "there are no schedules", exitOK},
		{"schedule apply " + half, "half.yaml:14:20: schedules[1].on.schedule: there is no schedule \"weekly\"", exitUsage},
		{"schedule list", "there are no schedules", exitOK},
		{"schedule apply " + turned, "before created, next at 20", exitOK},
		{"schedule delete then", "then deleted", exitOK},
		{"schedule delete before", "before deleted", exitOK},
		{"schedule create " + path, "nightly created, next at 20", exitOK},
		{"schedule create " + path, "schedules[0]: create schedule: conflict: there is a schedule of that id", exitError},
		{"schedule apply " + path, "nightly unchanged, next at 20", exitOK},
		{"schedule apply " + changed + " -o json", `[{"change":"changed","id":"nightly","next":"20`, exitOK},
		{"schedule apply " + changed, "after unchanged, paused\n", exitOK},
		{"schedule", "30 2 * * * Europe/Berlin", exitOK},
		{"schedule list", "after nightly", exitOK},
		{"schedule list -o json", `"cron":"30 2 * * *"`, exitOK},
		{"schedule get nightly", "begins       30 2 * * * Europe/Berlin\n", exitOK},
		{"schedule get nightly -o json", `"tree":{"taskgrove":1,"name":"nightly"`, exitOK},
		{"schedule apply " + circle, "not accepted:\n  " + circle + ":4:22: schedules[1].on.schedule: runs of between begin, by others or at once, with ends of this schedule's\n", exitUsage},
		{"schedule get between", "not found", exitError},
		{"schedule get nobody", "not found", exitError},
		{"schedule pause nightly --reason holidays", "nightly: paused\n", exitOK},
		{"schedule get nightly", "ago) by anonymous: holidays\n", exitOK},
		{"schedule apply " + changed, "nightly unchanged, paused\n", exitOK},
		{"schedule apply " + resumed, "nightly changed, next at 20", exitOK},
		{"schedule apply " + resumed, "nightly unchanged, next at 20", exitOK},
		{"schedule pause nightly", "nightly: paused\n", exitOK},
		{"schedule resume nightly", "nightly: next at 20", exitOK},
		{"schedule runs nightly", "there are no runs", exitOK},
		{"schedule trigger nightly --set day=2026-11-28 --set lines=3 --idempotency-key k", "nightly: run at 20", exitOK},
		{"schedule trigger nightly --overlap maybe", "overlap: must be skip", exitUsage},
		{"schedule trigger nightly --set day", "--set: want NAME=VALUE", exitUsage},
		{"schedule runs nightly", "INSTANT", exitOK},
		{"schedule runs nightly -o json", `[{"schedule":"nightly","kind":"trigger","fire_time":"20`, exitOK},
		{"schedule backfill nightly --from 2026-01-01T00:00:00Z --to 2026-01-11T00:00:00Z --max-concurrent 3", "nightly: backfill 1 of 10 instants, 3 at once\n", exitOK},
		{"schedule backfill nightly --from 2026-01-01T00:00:00Z --to 2026-01-01T00:00:00Z", "to: must be after from", exitUsage},
		{"schedule backfill nightly --from 2026-01-01", "say --from and --to", exitUsage},
		{"schedule delete nightly", "the runs of after begin with its ends", exitError},
		{"schedule delete after", "after deleted\n", exitOK},
		{"schedule delete nightly -o json", `{"deleted":true,"id":"nightly"}`, exitOK},
		{"schedule list", "there are no schedules", exitOK},
		{"schedule create " + file(t, "none", "x"), "must be an object", exitUsage},
		{"schedule create nowhere.yaml", "nowhere.yaml", exitUsage},
	})
}

// TestOrdinaryUsersApplySchedules: who may see their own schedules only is not told of an id whether it is there, and may make a schedule of a new one.
func TestOrdinaryUsersApplySchedules(t *testing.T) {
	svc := apitest.New()
	doubleAt(t, coordinator.NewAccess(svc, func(_ context.Context, _ coordinator.Caller, call coordinator.Call) (coordinator.Grant, error) {
		if call.Method == "GetSchedule" {
			return coordinator.Grant{}, &coordinator.DeniedError{User: "ann", Operation: "see schedules of", Permission: "schedules.read", Namespace: "default", Own: true}
		}
		return coordinator.Grant{}, nil
	}), grpcserver.Config{})
	path := file(t, "s.yaml", scheduleText)
	tryAll(t, []tried{
		{"schedule apply " + path, "nightly created, next at 20", exitOK},
		{"schedule apply " + path, "schedules[0]: create schedule: conflict: there is a schedule of that id", exitError},
	})
}

// TestParametersOfRunsAreTyped as the tree file says, from the command line, too.
func TestParametersOfRunsAreTyped(t *testing.T) {
	types := parameterTypes([]byte(`{"taskgrove":1,"parameters":{"a":{"type":"integer"},"b":{"default":[1]},"c":{"type":"string"},"d":{"default":"x"}}}`))
	for name, want := range map[string]string{"a": "3", "b": "3", "c": `"3"`, "d": `"3"`, "e": `"3"`} {
		if got := string(typedValue("3", types[name])); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if types := parameterTypes([]byte(`"taskgrove: 1\nparameters: {a: {type: boolean}}"`)); types["a"] != "boolean" {
		t.Errorf("of a text: %v", types)
	}
}
