package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove"
	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/grpcserver"
	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
)

// double serves the service in memory and makes it the server of client commands.
func double(t *testing.T) *apitest.Service {
	t.Helper()
	svc := apitest.New()
	doubleOf(t, svc)
	return svc
}

// doubleOf is double for a service of the test's own.
func doubleOf(t *testing.T, svc coordinator.Service) {
	t.Helper()
	doubleAt(t, coordinator.NewAccess(svc, coordinator.AllowAll), grpcserver.Config{})
}

// doubleAt is double for a server of the test's own.
func doubleAt(t *testing.T, access *coordinator.Access, cfg grpcserver.Config) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listener = listener
	server, err := grpcserver.Listen(access, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	t.Setenv("TASKGROVE_SERVER", listener.Addr().String())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir()) // the user's own contexts are none of the test's
	t.Setenv("HOME", t.TempDir())
}

// runCommand runs a command line as main does.
func runCommand(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return runWithInput(t, strings.NewReader(""), args...)
}

// runWithInput is runCommand with something to read.
func runWithInput(t *testing.T, in io.Reader, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, notes bytes.Buffer
	started := false
	root := newRoot(&started)
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(&out)
	root.SetErr(&notes)
	code = report(root.ExecuteContext(t.Context()), started, &notes)
	return out.String(), notes.String(), code
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestClientCommands(t *testing.T) {
	double(t).Explain("a", coordinator.Wait{Kind: coordinator.WaitCapacity, Text: "a slot:\n3 come first", Ahead: 3})
	tree := file(t, "tree.yaml", "tasks:\n- {id: r, name: root, schemas: {method: noop_executor}}\n- {id: a, name: child, parent_id: r, priority: 1}\n")
	same := file(t, "tree.json", `[{"id":"r2","name":"root"},{"id":"a2","name":"child","parent_id":"r2"}]`)
	cycle := file(t, "cycle.json", `[{"id":"x","name":"x","dependencies":["x"]}]`)
	twice := file(t, "twice.yaml", "- {id: d1, name: d1}\n---\n- {id: d2, name: d2}\n")
	repeated := file(t, "repeated.yaml", "name: a\ninputs:\n  x: 1\n  x: 2\n")
	repeatedJSON := file(t, "repeated.json", `[{"name":"a","inputs":{"x":1,"x":2}}]`)
	control := file(t, "control.yaml", "- {id: c, name: c, inputs: {x: \"a\\x01b\"}}\n")
	text := file(t, "text.yaml", "hello\n")
	nan := file(t, "nan.yaml", "- {id: n, name: n, inputs: {x: .nan}}\n")
	escape := file(t, "escape.json", `[{"id":"e","name":"x\u001b[2Jy\nz"}]`)
	timed := file(t, "timed.json", `[{"id":"tt1","name":"below","parent_id":"tt"},{"id":"tt","name":"root","tree_timeout":60}]`)
	below := file(t, "below.json", `[{"id":"tb","name":"root"},{"id":"tb1","name":"below","parent_id":"tb","tree_timeout":60}]`)
	for _, tc := range []struct {
		name      string
		args      []string
		out, note string // parts of stdout and stderr
		code      int
	}{
		{"a yaml tree is submitted", []string{"submit", tree}, "r\n", "", exitOK},
		{"a json tree is, too", []string{"submit", same, "-o", "json"}, `"tree_id":"r2"`, "", exitOK},
		{"faults name their fields", []string{"submit", cycle}, "", "cycle.json:1:23: Circular dependency detected", exitUsage},
		{"a document that is no tree has no index", []string{"submit", text}, "", "text.yaml:1:1: must be a list of tasks, one task, or an object with tasks", exitUsage},
		{"a file that is not there", []string{"submit", "no-such-file"}, "", "no such file", exitUsage},
		{"a task is shown", []string{"get", "a"}, "child", "", exitOK},
		{"as json", []string{"get", "a", "-o", "json"}, `"parent_id":"r"`, "", exitOK},
		{"what has not begun has no attempt", []string{"get", "a"}, "attempt  -\n", "", exitOK},
		{"an unknown one is not", []string{"get", "nope"}, "", "not found", exitError},
		{"a tree is drawn", []string{"tree", "a"}, "\n  child", "", exitOK},
		{"trees are listed", []string{"list"}, "PROGRESS", "", exitOK},
		{"with a wrong status", []string{"list", "--status", "odd"}, "", "--status", exitUsage},
		{"with a wrong format", []string{"list", "-o", "xml"}, "", "--output: takes text, wide, json or yaml, not \"xml\"", exitUsage},
		{"with one that only others take", []string{"get", "a", "-o", "wide"}, "", "--output: takes text, json or yaml, not \"wide\"", exitUsage},
		{"with more columns", []string{"list", "-o", "wide"}, "CREATED", "", exitOK},
		{"nothing matches", []string{"list", "--name", "nope"}, "", "no tree matches\n", exitOK},
		{"nor for programs", []string{"list", "--tasks", "--name", "nope", "-o", "json"}, "", "no task matches\n", exitOK},
		{"tasks are listed", []string{"list", "--tasks", "-o", "json", "--limit", "1"}, `"id":`, "", exitOK},
		{"workers", []string{"workers"}, "POOLS", "", exitOK},
		{"with those that wait for a slot", []string{"workers"}, "14+3", "", exitOK},
		{"with what keeps them from work", []string{"workers"}, "w1: executor x is off: it has no device\n", "", exitOK},
		{"pools", []string{"pools", "-o", "json"}, "[", "", exitOK},
		{"why a task does not run", []string{"why", "a"}, "child (a): ready\n  waits for a slot: 3 come first\n", "", exitOK},
		{"as json, too", []string{"why", "a", "-o", "json"}, `"kind":"capacity"`, "", exitOK},
		{"one that has no reason", []string{"why", "r"}, "root (r): ready\n", "", exitOK},
		{"and an unknown one", []string{"why", "nope"}, "", "not found", exitError},
		{"a task is cancelled", []string{"cancel", "a"}, "a: ", "", exitOK},
		{"a second time changes nothing", []string{"cancel", "a"}, "a: nothing to cancel: it was cancelled 0s ago\n", "", exitOK},
		{"and tells what it is", []string{"cancel", "a", "-o", "json"}, `"done":false,"id":"a","message":"Task a is already cancelled, cannot cancel","status":"cancelled"`, "", exitOK},
		{"an unknown id does not keep others from being cancelled", []string{"cancel", "nope", "r2"}, "r2: Cancelled", "nope was not cancelled", exitError},
		{"yaml of two documents", []string{"submit", twice}, "d1\nd2\n", "", exitOK},
		{"a key twice in yaml", []string{"submit", repeated}, "", "repeated.yaml:4:3: tasks[0].inputs.x: must not be there twice", exitUsage},
		{"and in json", []string{"submit", repeatedJSON}, "", "tasks[0].inputs.x: must not be there twice", exitUsage},
		{"control characters in yaml", []string{"submit", control}, "c\n", "", exitOK},
		{"no number in yaml", []string{"submit", nan}, "", "nan.yaml:1:32: .nan is not a number", exitUsage},
		{"a name that steers terminals", []string{"submit", escape}, "e\n", "", exitOK},
		{"is shown in one line, without its effect", []string{"get", "e"}, "x\ufffd[2Jy z\n", "", exitOK},
		{"also in a tree", []string{"tree", "e"}, "x\ufffd[2Jy z ", "", exitOK},
		{"the root's tree_timeout is known", []string{"submit", timed}, "tt\n", "", exitOK},
		{"that of another task is a fault", []string{"submit", below}, "", "below.json:1:72: tasks[1].tree_timeout: only the root", exitUsage},
		{"tasks are selected by what they are", []string{"list", "--state", "cancelled", "--name", "child"}, "child", "", exitOK},
		{"and by their tree", []string{"list", "--tree", "r2", "--limit", "1"}, "r2  root", "there may be more: go on with --cursor ", exitOK},
		{"of which there is one", []string{"list", "--tree", "r", "--user", "me"}, "", "--user", exitUsage},
		{"a task does not run as trees do", []string{"list", "--tasks", "--running"}, "", "--state running", exitUsage},
		{"a time that is none", []string{"list", "--since", "yesterday"}, "", "takes a duration before now", exitUsage},
		{"the beginning of an id", []string{"get", "tt1", "-o", "json"}, `"id":"tt1"`, "", exitOK},
		{"TREE/name", []string{"get", "r2/child", "-o", "json"}, `"id":"a2"`, "", exitOK},
		{"the version", []string{"version", "-o", "json"}, `"version":"` + taskgrove.Version, "", exitOK},
		{"no argument", []string{"get"}, "", "get needs an argument: TASK\nusage: taskgrove get TASK", exitUsage},
		{"too many", []string{"get", "a", "b"}, "", "get takes one argument, TASK, but there are 2: \"a\" \"b\"\nusage: ", exitUsage},
		{"one too few", []string{"signal", "a"}, "", "signal takes TASK NAME, but there is only \"a\"\nusage: ", exitUsage},
		{"too many for two", []string{"signal", "a", "b", "c"}, "", "signal takes TASK NAME, but there are 3: \"a\" \"b\" \"c\"\nusage: ", exitUsage},
		{"one too many", []string{"list", "a"}, "", "list takes no arguments, but there is \"a\"\nusage: ", exitUsage},
		{"of a command below another", []string{"context", "use"}, "", "context use needs an argument: NAME\nusage: ", exitUsage},
		{"a misspelt flag", []string{"list", "--limt", "3"}, "", "there is no flag --limt; did you mean --limit?\nusage: ", exitUsage},
		{"an unknown letter", []string{"list", "-z"}, "", "there is no flag -z\nusage: ", exitUsage},
		{"a flag without its value", []string{"list", "--limit"}, "", "--limit: a value is missing after it\n", exitUsage},
		{"a misspelt command", []string{"submi"}, "", "Did you mean this?\n\tsubmit\n", exitUsage},
		{"a server that is not there", []string{"list", "--server", "127.0.0.1:1"}, "", "taskgrove dev", exitUnreachable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, note, code := runCommand(t, tc.args...)
			if code != tc.code || !strings.Contains(out, tc.out) || !strings.Contains(note, tc.note) {
				t.Errorf("%v: exit %d, want %d\nstdout: %s\nstderr: %s", tc.args, code, tc.code, out, note)
			}
			if strings.Contains(out, "\x1b") {
				t.Error("piped output has escape codes")
			}
		})
	}
}

// TestACommandDoesNotWaitForEver speaks to a server that accepts connections and says nothing.
func TestACommandDoesNotWaitForEver(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // nothing was sent
	t.Setenv("TASKGROVE_SERVER", listener.Addr().String())
	for _, args := range [][]string{{"get", "a"}, {"why", "a"}, {"cancel", "a"}, {"list"}} {
		_, note, code := runCommand(t, append(args, "--request-timeout", "50ms")...)
		if code != exitUnreachable || !strings.Contains(note, "no answer in time") {
			t.Errorf("%v: exit %d, want %d: %s", args, code, exitUnreachable, note)
		}
	}
	if _, note, code := runCommand(t, "get", "a", "--request-timeout", "soon"); code != exitUsage || !strings.Contains(note, "--request-timeout") {
		t.Errorf("exit %d, want %d: %s", code, exitUsage, note)
	}
}

func TestTreeTimeoutOfTheDocumentYieldsToTheFlag(t *testing.T) {
	svc := double(t)
	tree := file(t, "t.yaml", "name: r\ntree_timeout: 60\n")
	for _, tc := range []struct {
		args []string
		want time.Duration
	}{{[]string{"submit", tree}, time.Minute}, {[]string{"submit", tree, "--timeout", "5s"}, 5 * time.Second}} {
		if _, note, code := runCommand(t, tc.args...); code != exitOK {
			t.Fatal(note)
		}
		if got := svc.LastSubmit().Timeout; got != tc.want {
			t.Errorf("%v: got %v, want %v", tc.args, got, tc.want)
		}
	}
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestOutputThatCannotBeWrittenIsAnError(t *testing.T) {
	double(t)
	if _, note, code := runCommand(t, "submit", file(t, "t.json", `[{"id":"r","name":"r"}]`)); code != exitOK {
		t.Fatal(note)
	}
	for _, args := range [][]string{{"list"}, {"list", "-o", "json"}, {"get", "r"}, {"tree", "r"}, {"workers"}} {
		started := false
		root := newRoot(&started)
		root.SetArgs(args)
		root.SetOut(full{})
		if code := report(root.ExecuteContext(t.Context()), started, io.Discard); code != exitError {
			t.Errorf("%v: exit %d, want %d", args, code, exitError)
		}
	}
}

func TestIDsThatAreTakenAreToldInOrder(t *testing.T) {
	double(t)
	var tasks []string
	for i := range 30 {
		tasks = append(tasks, fmt.Sprintf(`{"id":"t%d","name":"t%d","parent_id":"t0"}`, i, i))
	}
	tasks[0] = `{"id":"t0","name":"root"}`
	tree := file(t, "t.json", "["+strings.Join(tasks, ",")+"]")
	if _, note, code := runCommand(t, "submit", tree); code != exitOK || note != "" {
		t.Fatal(note)
	}
	_, note, code := runCommand(t, "submit", tree)
	lines := strings.Split(strings.TrimSpace(note), "\n")
	if code != exitOK || len(lines) != maxTaken+1 || lines[maxTaken] != "… and 10 more ids, which id_map of -o json has" {
		t.Errorf("exit %d, got\n%s", code, note)
	}
	for i, line := range lines[:min(len(lines), maxTaken)] {
		if !strings.HasPrefix(line, fmt.Sprintf("id t%d was taken: ", i)) {
			t.Errorf("line %d: got %s", i, line)
		}
	}
}

func TestRerunSaysWhyNothingRuns(t *testing.T) {
	svc := double(t)
	for _, document := range []string{`[{"id":"r","name":"r"},{"id":"a","name":"a","parent_id":"r"}]`, `[{"id":"one","name":"one"}]`, `[{"id":"done","name":"done"}]`} {
		if _, note, code := runCommand(t, "submit", file(t, "t.json", document)); code != exitOK {
			t.Fatal(note)
		}
	}
	svc.Complete("a", `1`)
	svc.Complete("done", `1`)
	for _, id := range []string{"r", "one"} {
		if _, note, code := runCommand(t, "cancel", id); code != exitOK {
			t.Fatal(note)
		}
	}
	for _, tc := range []struct {
		id, out, note string
		code          int
	}{
		{"r", "r: nothing to run\n", "r was cancelled; --cancelled runs it again", exitTreeCancelled},
		{"a", "r: nothing to run: completed; --force runs it again\n", "", exitOK},
		{"one", "one: nothing to run\n", "one was cancelled; --cancelled runs it again", exitTreeCancelled},
		{"done", "done: nothing to run: 1 completed; --force runs it again\n", "", exitOK},
	} {
		if out, note, code := runCommand(t, "rerun", tc.id); code != tc.code || out != tc.out || !strings.Contains(note, tc.note) {
			t.Errorf("%s: exit %d, got %q, want %d and %q\n%s", tc.id, code, out, tc.code, tc.out, note)
		}
	}
	if out, note, code := runCommand(t, "rerun", "r", "--cancelled"); code != exitOK || out != "r: started, 1 task\n" {
		t.Errorf("exit %d, got %q\n%s", code, out, note)
	}
	if out, note, code := runCommand(t, "rerun", "one", "--force"); code != exitOK || out != "one: started, 1 task\n" {
		t.Errorf("by force: exit %d, got %q\n%s", code, out, note)
	}
}

// TestWaitingForAHeldTreeEnds waits for one that an earlier submission with the same key holds.
func TestWaitingForAHeldTreeEnds(t *testing.T) {
	double(t)
	tree := file(t, "t.json", `[{"id":"r","name":"r"}]`)
	if _, note, code := runCommand(t, "submit", tree, "--hold", "--idempotency-key", "k"); code != exitOK {
		t.Fatal(note)
	}
	if _, note, code := runCommand(t, "submit", tree, "--wait", "--idempotency-key", "k"); code != exitError || !strings.Contains(note, "rerun starts them") {
		t.Errorf("exit %d, want %d: %s", code, exitError, note)
	}
}

func TestEventLineNamesItsTask(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 10, 0, time.Local)
	for _, tc := range []struct {
		event client.Event
		want  string
	}{
		{client.Event{At: at, Type: client.EventCompleted, TaskID: "a", Name: "child"}, "00:00:10.000  task_completed  child (a)"},
		{client.Event{At: at, Type: client.EventProgress, TaskID: "a", Attempt: 1, Progress: 0.5, Message: "half"}, "00:00:10.000  progress  a  50%  half"},
	} {
		if got := eventLine(&tc.event); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}

func TestLiveViewFitsTheScreen(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 10, 0, time.UTC)
	tree := &client.Tree{ID: "r", Status: client.StatusInProgress, Progress: 0.5, Tasks: 1000, Completed: 500, Running: 1, StartedAt: now.Add(-5 * time.Second)}
	tasks := []*client.Task{
		{ID: "a", Name: "done", Status: client.StatusCompleted, State: "completed"},
		{ID: "b", Name: "waits", Status: client.StatusPending, State: "waiting"},
		{ID: "c", Name: "failed", Status: client.StatusFailed, State: "failed", Error: "two\nlines"},
		{ID: "d", Name: "runs", Status: client.StatusInProgress, State: "running", StartedAt: now.Add(-1500 * time.Millisecond)},
	}
	got := liveView(tree, tasks, nil, nil, 60, 7, now)
	want := "r  in_progress  50%  500 completed  1 running  of 1000 tasks\n" +
		"5.0s\n" +
		"[██████████████████████████░░░░░░░░░░░░░░░░░░░░░░░░░░]  50%\n"
	// In the order of the tree; what is done gives way first.
	if !strings.HasPrefix(got, want) || !strings.Contains(got, "▶ runs") || !strings.Contains(got, "1.5s") ||
		!strings.Contains(got, "✗ failed") || strings.Contains(got, "done") {
		t.Errorf("got\n%s", got)
	}
	if lines := strings.Count(got, "\n"); lines != 7 {
		t.Errorf("got %d lines, want 7", lines)
	}
	for line := range strings.Lines(got) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 60 {
			t.Errorf("a line of %d columns: %s", n, line)
		}
	}
}

func TestSnake(t *testing.T) {
	for name, want := range map[string]string{"ID": "id", "TreeID": "tree_id", "CompletedAt": "completed_at", "IDMap": "id_map", "InHand": "in_hand"} {
		if got := snake(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}
