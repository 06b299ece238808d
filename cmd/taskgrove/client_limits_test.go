package main

import (
	"strings"
	"testing"
)

// tried is a command line, what it prints and how it ends.
type tried struct {
	args string
	want string
	code int
}

func tryAll(t *testing.T, all []tried) {
	t.Helper()
	for _, tt := range all {
		out, notes, code := runCommand(t, strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(out+notes, tt.want) {
			t.Errorf("%s: got %d, want %d and %q:\n%s%s", tt.args, code, tt.code, tt.want, out, notes)
		}
	}
}

// TestLimitsByCommands: limits are set, shown and taken away.
func TestLimitsByCommands(t *testing.T) {
	double(t)
	tryAll(t, []tried{
		{"limits", "there are no limits", exitOK},
		{"limits set --key warehouse --max 5 --reason x", "key warehouse: 5\n", exitOK},
		{"limits set --rate api --max 100 --per minute --burst 10", "rate api: 100 per minute, burst 10\n", exitOK},
		{"limits set --pool gpu --max 0", "pool gpu: 0\n", exitOK},
		{"limits set --user amy --running 3 --waiting 1000", "user amy: running 3, waiting 1000\n", exitOK},
		{"limits weight amy 2.5", "user amy: weight 2.5\n", exitOK},
		{"limits", "key   warehouse  5", exitOK},
		{"limits list --all", "rate  api        100 per minute, burst 10", exitOK},
		{"limits list", "user  amy        running 3, waiting 1000, weight 2.5", exitOK},
		{"limits list -o json", `{"burst":0,"counted":true,"held":0,"key":"warehouse","max":5,"owner":null,"per":"","reason":"x","revision":1,"running":null,"set_at":`, exitOK},
		{"limits set --key warehouse --max 6 -o json", `"key":"warehouse"`, exitOK},
		{"limits set --rate api --max -1", "max: must be 0 to 1000000; per: must be second, minute or hour", exitUsage},
		{"limits set --key warehouse", "max: is required", exitUsage},
		{"limits set --max 1", "give one of --key, --rate, --pool and --user", exitUsage},
		{"limits set --key a --pool b --max 1", "give one of --key", exitUsage},
		{"limits weight amy much", "the weight is a number", exitUsage},
		{"limits weight amy 0", "weight: must be 0.01 to 100", exitUsage},
		{"limits delete --key warehouse", "key warehouse: no limit\n", exitOK},
		{"limits delete --key warehouse", "delete the limit of key warehouse: not found", exitError},
		{"limits set --key k --max 1 --waiting 3 --per hour", "waiting: goes with a user only; per: goes with a rate only", exitUsage},
		{"limits delete --pool gpu -o json", `"deleted":true`, exitOK},
	})
}

// TestPausesByCommands: trees, pools and everything are paused, shown and resumed.
func TestPausesByCommands(t *testing.T) {
	double(t)
	if _, note, code := runCommand(t, "submit", file(t, "a.json", `{"id": "night-1", "name": "night", "schemas": {"method": "x"}}`)); code != exitOK {
		t.Fatalf("exit %d: %s", code, note)
	}
	tryAll(t, []tried{
		{"pause", "there are no pauses", exitOK},
		{"pause night-1 --reason asked", " ago by anonymous: asked\n", exitOK},
		{"pause night-1 --reason other", "by anonymous: asked\n", exitOK},
		{"tree night-1", "tree night-1: paused ", exitOK},
		{"pause --pool gpu", "pool gpu: paused ", exitOK},
		{"pause --all --reason upgrade", "everything: paused", exitOK},
		{"pauses", "tree night-1  anonymous", exitOK},
		{"pause", "upgrade", exitOK},
		{"pauses -o json", `"pool":"gpu"`, exitOK},
		{"pools", "pool gpu: paused ", exitOK},
		{"tree night-1 -o json", `"paused":{"at":"`, exitOK},
		{"tree night-1 -o json", `"by":"anonymous","reason":"asked","what":"tree night-1"}`, exitOK},
		{"pools", " ago by anonymous: upgrade\n", exitOK},
		{"tree night-1", "everything: paused", exitOK},
		{"resume night-1", "tree night-1: goes on\n", exitOK},
		{"resume night-1", "resume tree night-1: not found", exitError},
		{"resume --pool gpu -o json", `"resumed":true`, exitOK},
		{"resume --all", "everything: goes on\n", exitOK},
		{"resume", "name a tree", exitUsage},
		{"pause nope", "not found", exitError},
		{"pause night-1 --all", "name a tree, or give --pool or --all", exitUsage},
		{"pause --pool gpu --all", "name a tree, or give --pool or --all", exitUsage},
		{"pause --reason x", "--reason: name a tree", exitUsage},
		{"pauses", "there are no pauses", exitOK},
	})
	if out, _, _ := runCommand(t, "tree", "night-1"); strings.Contains(out, "paused") {
		t.Errorf("nothing is paused, and the tree says\n%s", out)
	}
}

// TestFaultsOfAFileAndOfTheCluster: limits that no operator has set a max for are told with what is wrong with the file, and with their places.
func TestFaultsOfAFileAndOfTheCluster(t *testing.T) {
	double(t)
	tryAll(t, []tried{{"limits set --key known --max 3", "key known: 3", exitOK}})
	name := file(t, "a.yaml", `- {name: root, schemas: {method: x}, limits: [{key: nobody}, {key: known}]}
- {name: a, parent_id: root, schemas: {method: x}, limits: [{key: known, cost: 4}, {key: "t-{{task.id}}"}, {key: "{{inputs.x}}", max: 2}]}
- {name: b, parent_id: root, schemas: {method: x}, limits: [{key: own, max: 0, cost: 3}], priority: 9}
- {name: c, parent_id: root, schemas: {method: x}, limits: [{key: "", max: 1}, {key: own, max: 1, cost: 2}, {key: "u-{{tree.user_id}}"}]}
`)
	_, notes, code := runCommand(t, "submit", name)
	at := 0
	for _, want := range []string{
		`a.yaml:1:47: tasks[0].limits[0].max: is required, as no operator has set one for the key "nobody"`,
		`tasks[1].limits[0].cost: must be at most 3, which an operator has set for the key "known", got 4`,
		`tasks[1].limits[1].max: is required, as the key names an id, which is known only when the tree is stored`,
		`tasks[1].limits[2].key: "{{inputs.x}}": the inputs have no such value`,
		`tasks[2].limits[0].max: must be 1 to 1000000, got 0`,
		`tasks[2].priority: `,
		`tasks[3].limits[0].key: must not be empty`,
		`tasks[3].limits[1].cost: must be at most max, which is 1, got 2`,
	} {
		i := strings.Index(notes[at:], want)
		if i < 0 {
			t.Fatalf("%q is missing, or in another place, in\n%s", want, notes)
		}
		at += i
	}
	if code != exitUsage || strings.Count(notes, "tasks[2].limits[0]") > 1 || strings.Contains(notes, "tasks[3].limits[2]") || strings.Contains(notes, "[0].limits[1]") {
		t.Errorf("exit code %d:\n%s", code, notes)
	}
}
