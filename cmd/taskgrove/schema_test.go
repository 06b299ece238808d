package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/taskgrove/taskgrove/internal/schedulefile"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

func TestSchemaIsTheOneOfTheDocuments(t *testing.T) {
	want, err := os.ReadFile("../../docs/tree.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if out, note, code := runCommand(t, "schema"); code != exitOK || out != string(want) || note != "" {
		t.Errorf("exit %d, %d bytes, want the %d of docs/tree.schema.json; %s", code, len(out), len(want), note)
	}
}

// printedSchema is what taskgrove schema prints of a kind of document.
func printedSchema(t *testing.T, kind string) *jsonschema.Schema {
	t.Helper()
	out, note, code := runCommand(t, "schema", kind)
	if code != exitOK || note != "" {
		t.Fatal(code, note)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(kind+".json", value); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(kind + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// TestSchemaOfSchedules: what the schema takes, the reader takes; and it refuses what the reader does, as far as a schema can tell.
func TestSchemaOfSchedules(t *testing.T) {
	schema := printedSchema(t, "schedules")
	check := func(name string, text []byte, good bool) {
		t.Helper()
		if _, err := schedulefile.Read(name, text); (err == nil) != good {
			t.Errorf("%s is read: %v", name, err)
		}
		f, err := treefile.Decode(name, text)
		if err != nil {
			t.Fatal(err)
		}
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(f.JSON)))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(document); (err == nil) != good {
			t.Errorf("%s by the schema: %v", name, err)
		}
	}
	nightly, err := os.ReadFile("../../examples/schedules/nightly.yaml")
	if err != nil {
		t.Fatal(err)
	}
	check("nightly.yaml", nightly, true)
	const one = "taskgrove: 1\nschedules:\n- {id: a, tree: {taskgrove: 1, name: x, tasks: [{name: y}]}, %s}\n"
	for _, keys := range []string{"cron: '@daily'", "every: 90", "every: 1h30m", "on: {schedule: b}", "on: {schedule: b, outcome: [failed, cancelled]}", "on: {schedule: b, outcome: any}",
		"cron: '@daily', overlap: queue_one, misfire_grace: 12h, coalesce: false, jitter: 60, start_at: '2026-11-28T06:00:00Z', max_runs: 3, after_success: true, due: '06:00', paused: true, user_id: ann, labels: {team: a}, parameters: {day: x}, timezone: Europe/Berlin, description: d"} {
		check(keys, fmt.Appendf(nil, one, keys), true)
	}
	for _, keys := range []string{"crontab: '@daily'", "description: none", "cron: '@daily', every: 90", "cron: 5", "every: 1.5", "cron: '@daily', overlap: no", "cron: '@daily', coalesce: 1", "cron: '@daily', max_runs: -1",
		"cron: '@daily', start_at: 5", "cron: '@daily', labels: {team: [a]}", "on: {schedule: b, outcome: never}", "on: {schedules: b}"} {
		check(keys, fmt.Appendf(nil, one, keys), false)
	}
	check("a tree's text", []byte("taskgrove: 1\nschedules:\n- {id: a, cron: '@daily', tree: \"taskgrove: 1\\nname: x\\ntasks: [{name: y}]\\n\"}\n"), true)
	check("a document", []byte("taskgrove: 1\nschedules:\n- {id: a, cron: '@daily', tree: [{name: x}]}\n"), true)
	check("no schedules", []byte("taskgrove: 1\nschedules: []\n"), false)
}
