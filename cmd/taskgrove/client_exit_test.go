package main

import (
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/api/apitest"
)

func TestTheExitCodeTellsHowATreeEnded(t *testing.T) {
	for name, tc := range map[string]struct {
		end  func(svc *apitest.Service)
		code int
	}{
		"completed": {func(svc *apitest.Service) { svc.Complete("r", `1`) }, exitOK},
		"failed":    {func(svc *apitest.Service) { svc.Fail("r", "no luck") }, exitTreeFailed},
		"cancelled": {func(*apitest.Service) { _, _, _ = runCommand(t, "cancel", "r") }, exitTreeCancelled},
	} {
		t.Run(name, func(t *testing.T) {
			svc := double(t)
			if _, note, code := runCommand(t, "submit", file(t, "t.json", `[{"id":"r","name":"r"}]`)); code != exitOK {
				t.Fatal(note)
			}
			tc.end(svc)
			if out, note, code := runCommand(t, "watch", "r"); code != tc.code || !strings.Contains(out, "final") {
				t.Errorf("exit %d, want %d\n%s%s", code, tc.code, out, note)
			}
		})
	}
}

// TestOptionalFailureHasItsExitCode: by the protocol the tree failed, but whatever could run has completed.
func TestOptionalFailureHasItsExitCode(t *testing.T) {
	for name, tc := range map[string]struct {
		dependencies string // of the root
		code         int
		out, note    string
	}{
		"optional":          {`[{"id":"a","required":false}]`, exitOptionalFailed, "all but 1 optional completed", "tree r: all but 1 optional completed"},
		"required by none":  {`[]`, exitTreeFailed, "r  failed", "tree r failed"},
		"required by some":  {`["a"]`, exitTreeFailed, "r  failed", "tree r failed"},
		"optional and root": {`[{"id":"a","required":false},{"id":"b"}]`, exitTreeFailed, "r  failed", "tree r failed"},
	} {
		t.Run(name, func(t *testing.T) {
			svc := double(t)
			document := `[{"id":"r","name":"r","dependencies":` + tc.dependencies + `},{"id":"a","name":"a","parent_id":"r"},{"id":"b","name":"b","parent_id":"r"}]`
			if _, note, code := runCommand(t, "submit", file(t, "t.json", document)); code != exitOK {
				t.Fatal(note)
			}
			svc.Fail("a", "no luck")
			svc.Complete("b", `1`)
			if strings.HasPrefix(name, "optional and") {
				svc.Fail("r", "no luck")
			} else {
				svc.Complete("r", `1`)
			}
			if _, note, code := runCommand(t, "watch", "r"); code != tc.code || !strings.Contains(note, tc.note) {
				t.Errorf("exit %d, want %d: %s", code, tc.code, note)
			}
			if out, _, _ := runCommand(t, "tree", "r"); !strings.Contains(out, tc.out) {
				t.Errorf("got %s, want %q in it", out, tc.out)
			}
		})
	}
}

// TestAFailedTreeNamesWhatFailedFirst: the root can complete in a tree that fails, so the tree's end is told beside the root's.
func TestAFailedTreeNamesWhatFailedFirst(t *testing.T) {
	for _, tt := range []struct {
		fact string
		end  func(*apitest.Service)
		tree string // how the tree ended
		note string
		code int
	}{
		{"one failed", func(svc *apitest.Service) { svc.Fail("b", "no\nluck"); svc.Complete("a", `1`) }, "failed",
			"tree r failed: 1 failed, 0 blocked of 3 tasks\n  fetch (b) failed: no luck\n", exitTreeFailed},
		{"several failed", func(svc *apitest.Service) { svc.Fail("b", "no luck"); svc.Fail("a", "later") }, "failed",
			"tree r failed: 2 failed, 0 blocked of 3 tasks\n  first, fetch (b) failed: no luck\n  \"taskgrove list --tree r --status failed\" lists all that failed\n", exitTreeFailed},
		{"one was cancelled", func(svc *apitest.Service) {
			svc.Complete("a", `1`)
			_, _, _ = runCommand(t, "cancel", "b", "--message", "not needed")
		}, "cancelled", "tree r was cancelled\n  fetch (b): not needed\n", exitTreeCancelled},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			svc := double(t)
			submit := []string{"submit", file(t, "t.json", `[{"id":"r","name":"root"},{"id":"a","name":"build","parent_id":"r"},{"id":"b","name":"fetch","parent_id":"r"}]`), "--idempotency-key", "k"}
			if _, note, code := runCommand(t, submit...); code != exitOK {
				t.Fatal(note)
			}
			svc.Complete("r", `1`)
			tt.end(svc)
			out, note, code := runCommand(t, append(submit, "--wait")...)
			if code != tt.code || !strings.HasSuffix(note, "taskgrove: "+tt.note) || !strings.Contains(out, "status     completed\ntree       "+tt.tree+"  ") {
				t.Errorf("exit %d, got\n%s%s\nwant %s", code, out, note, tt.note)
			}
			if out, _, _ := runCommand(t, append(submit, "--wait", "-o", "json")...); !strings.Contains(out, `"status":"completed"`) || !strings.Contains(out, `"tree_status":"`+tt.tree+`"`) {
				t.Errorf("as json: got %s", out)
			}
			if out, note, code := runCommand(t, "get", "r"); code != exitOK || !strings.Contains(out, "tree       "+tt.tree+"  ") {
				t.Errorf("get: exit %d, got\n%s%s", code, out, note)
			}
			if out, note, code := runCommand(t, "cancel", "r"); code != exitOK || !strings.HasPrefix(out, "r: nothing to cancel: its tree ") {
				t.Errorf("cancel: exit %d, got %s%s", code, out, note)
			}
		})
	}
}

func TestWhatCompletedWithoutSuccessSaysSo(t *testing.T) {
	svc := double(t)
	document := `[{"id":"r","name":"root"},{"id":"a","name":"build","parent_id":"r"},{"id":"b","name":"fetch","parent_id":"r"},{"id":"c","name":"fine","parent_id":"r"}]`
	if _, note, code := runCommand(t, "submit", file(t, "t.json", document)); code != exitOK {
		t.Fatal(note)
	}
	svc.Complete("a", `{"success":false,"return_code":2}`)
	svc.Complete("b", `{"success":false,"status_code":404}`)
	svc.Complete("c", `{"success":true,"return_code":0}`)
	svc.Complete("r", `{"success":false}`)
	for _, args := range [][]string{{"tree", "r"}, {"watch", "r"}, {"list", "--tasks"}} {
		out, note, code := runCommand(t, args...)
		if code != exitOK || strings.Count(out, "exit ") != 1 || !strings.Contains(out, "exit 2") || !strings.Contains(out, "HTTP 404") {
			t.Errorf("%v: exit %d, got\n%s%s", args, code, out, note)
		}
		if args[0] == "watch" && note != "completed without success: build (exit 2), fetch (HTTP 404)\n" {
			t.Errorf("the end: got %q", note)
		}
	}
	if out, _, _ := runCommand(t, "get", "a"); !strings.Contains(out, "completed  exit 2") {
		t.Errorf("got %s", out)
	}
}
