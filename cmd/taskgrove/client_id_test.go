package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/client"
)

// submitted submits a document and fails the test if it is not taken.
func submitted(t *testing.T, document string) {
	t.Helper()
	if _, note, code := runCommand(t, "submit", file(t, "t.json", document)); code != exitOK {
		t.Fatal(note)
	}
}

func TestShortIDs(t *testing.T) {
	const a, b, c = "0190a3c2-5b1e-4000-8000-000000000001", "0190a3c2-5b1f-4000-8000-000000000001", "77777777-5b1e-4000-8000-000000000001"
	for _, tt := range []struct {
		fact string
		ids  []string
		want string
	}{
		{"the cluster's are cut", []string{c}, "77777777"},
		{"as far as they differ", []string{a, b, c}, "0190a3c2-5b1e 0190a3c2-5b1f 77777777"},
		{"one that is there twice is one", []string{c, c}, "77777777"},
		{"others stay", []string{"nightly-run-of-all-reports", strings.ToUpper(a)}, "0190A3C2-5B1E-4000-8000-000000000001 nightly-run-of-all-reports"},
	} {
		if got := slices.Sorted(maps.Values(shortIDs(tt.ids))); strings.Join(got, " ") != tt.want {
			t.Errorf("%s: got %v, want %s", tt.fact, got, tt.want)
		}
	}
}

func TestCommandsTakeWhatPeopleSee(t *testing.T) {
	svc := double(t)
	submitted(t, `[{"id":"night","name":"nightly"},{"id":"night.a","name":"fetch orders","parent_id":"night"},{"id":"night.b","name":"send","parent_id":"night"}]`)
	submitted(t, `[{"name":"root"},{"name":"a child","parent_id":"root"}]`) // ids of the cluster's
	svc.Log("night.a", "hello")
	out, _, _ := runCommand(t, "tree", "night")
	want := "nightly (night)  pending  0%  of 3 tasks  "
	if !strings.HasPrefix(out, want) || !strings.Contains(out, "\n  fetch orders  night.a  pending (ready)") {
		t.Errorf("got\n%s", out)
	}
	out, _, _ = runCommand(t, "list", "--name", "root", "-o", "json")
	_, rest, _ := strings.Cut(out, `"id":"`)
	short := rest[:8]
	if out, _, _ = runCommand(t, "tree", short); !strings.Contains(out, "root ("+short+")") || !strings.Contains(out, "root       "+short+"  ") {
		t.Errorf("short ids: got\n%s", out)
	}
	for _, args := range [][]string{{"get"}, {"tree"}, {"why"}, {"logs"}, {"rerun"}, {"cancel"}, {"watch"}, {"verify", "--tree"}, {"list", "--tree"}} {
		for _, ref := range []string{"night.a", "night/fetch orders", "nig/send", short} {
			if _, note, code := runCommand(t, append(args, ref)...); code == exitUsage || code == exitError {
				t.Errorf("%v %s: exit %d: %s", args, ref, code, note)
			}
			if args[0] == "cancel" { // so that watch ends
				_, _, _ = runCommand(t, "cancel", "night")
			}
		}
		for ref, fault := range map[string]string{"nope": "not found", "night/nope": "not found"} {
			if _, note, code := runCommand(t, append(args, ref)...); code != exitError || !strings.Contains(note, fault) {
				t.Errorf("%v %s: exit %d: %s", args, ref, code, note)
			}
		}
		_, note, code := runCommand(t, append(args, "night.")...)
		if code != exitUsage || !strings.Contains(note, "night. stands for several tasks") ||
			!strings.Contains(note, "\n  night.a  fetch orders") || !strings.Contains(note, "\n  night.b  send          ") {
			t.Errorf("%v, ambiguous: exit %d: %s", args, code, note)
		}
	}
}

func TestGetShowsTimesInputsAndAttempts(t *testing.T) {
	svc := double(t)
	submitted(t, `[{"id":"r","name":"root","inputs":{"n":1}}]`)
	svc.Fail("r", "no luck")
	out, note, code := runCommand(t, "get", "r")
	for _, want := range []string{"\ncreated    2", "s ago)\n", "\ncompleted  2", "\ninputs:\n{\n  \"n\": 1\n}\n", "\nattempts:\n  NUMBER  OUTCOME  WORKER  STARTED", "\n  1       failed   -       ", "no luck\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("exit %d, want %q in\n%s%s", code, want, out, note)
		}
	}
}

func TestGetShowsTheDetailOfTheLastAttempt(t *testing.T) {
	var out strings.Builder
	writeAttempts(&out, []client.Attempt{{Number: 1, Detail: "old"}, {Number: 2, Error: "boom", Detail: "Traceback:\n\tline 1\x1b[2J\n"}}, time.Now())
	if !strings.HasSuffix(out.String(), "boom\ndetail of attempt 2:\nTraceback:\n\tline 1\ufffd[2J\n") || strings.Contains(out.String(), "old") {
		t.Errorf("got %q", out.String())
	}
	out.Reset()
	writeAttempts(&out, []client.Attempt{{Number: 1, Detail: `{"status":"failed"}`}}, time.Now())
	if !strings.HasSuffix(out.String(), "detail of attempt 1:\n{\n  \"status\": \"failed\"\n}\n") {
		t.Errorf("got %q", out.String())
	}
}

// TestGetShowsWhatNeverStarted: an attempt that was claimed ahead and handed back has its worker and the reason, and no times of a run.
func TestGetShowsWhatNeverStarted(t *testing.T) {
	svc := double(t)
	submitted(t, `[{"id":"r","name":"root","schemas":{"method":"noop_executor"}}]`)
	svc.Start("r")
	svc.HandBack("r", "no slot was free in time")
	out, note, code := runCommand(t, "get", "r")
	for _, want := range []string{"\nstatus    pending (ready)\n", "\nattempt   2\n", "\n  1       returned  w1      -        -     no slot was free in time\n"} {
		if !strings.Contains(out, want) || strings.Contains(out, "\nstarted") {
			t.Errorf("exit %d, want %q in\n%s%s", code, want, out, note)
		}
	}
	svc.Start("r")
	if out, _, _ = runCommand(t, "get", "r"); !strings.Contains(out, "no slot was free in time\n  2       running ") {
		t.Errorf("got\n%s", out)
	}
	out, _, _ = runCommand(t, "get", "r", "--attempts", "-o", "json")
	first, _, _ := strings.Cut(out, "}")
	if !strings.Contains(first, `"counted":false`) || !strings.Contains(first, `"outcome":"returned"`) || strings.Contains(first, "started_at") {
		t.Errorf("got %s", first)
	}
}

func TestLogsOfATreeNameTheTask(t *testing.T) {
	svc := double(t)
	submitted(t, `[{"id":"r","name":"root","schemas":{"method":"noop_executor"}},{"id":"g","name":"group","parent_id":"r"},`+
		`{"id":"a","name":"fetch","parent_id":"g","schemas":{"method":"noop_executor"}},{"id":"b","name":"fetch","parent_id":"g","schemas":{"method":"noop_executor"}},`+
		`{"id":"c","name":"a name that is longer than lines wait for","parent_id":"g","schemas":{"method":"noop_executor"}}]`)
	svc.Log("c", "line")
	for i, id := range []string{"a", "b", "r"} {
		svc.Log(id, fmt.Sprint("line ", i))
	}
	for _, tt := range []struct {
		args []string
		out  string
		note string
		code int
	}{
		{[]string{"logs", "r"}, "a name that is longer than lines wait for | line\nfetch     | line 0\nfetch (b) | line 1\nroot      | line 2\n", "", exitOK},
		{[]string{"logs", "r", "--only"}, "line 2\n", "", exitOK},
		{[]string{"logs", "a"}, "line 0\n", "", exitOK},
		{[]string{"logs", "r", "--tail", "2"}, "fetch     | line 1\nroot      | line 2\n", "", exitOK},
		{[]string{"logs", "r", "--since", "2999-01-01"}, "", "there are no lines\n", exitOK},
		{[]string{"logs", "r", "--since", "1h", "-o", "yaml", "--tail", "1"}, "---\nat: \"", "", exitOK},
		{[]string{"logs", "a", "--attempt", "2"}, "", "attempt", exitUsage},
		{[]string{"logs", "a", "--tail", "0"}, "", "--tail", exitUsage},
	} {
		out, note, code := runCommand(t, tt.args...)
		if code != tt.code || !strings.HasPrefix(out, tt.out) || tt.out == "" && out != "" || !strings.Contains(note, tt.note) {
			t.Errorf("%v: exit %d, want %d\n%s%s", tt.args, code, tt.code, out, note)
		}
	}
}
