package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// everything is a tree that says all that one may say beyond the protocol.
const everything = `[
	{"id":"r","name":"r","schemas":{},"fold":true,"dependencies":[{"id":"handler","skips":true},{"id":"found"},{"id":"poll"},{"id":"old"},{"id":"wait"}]},
	{"id":"fails","name":"fails","parent_id":"r","schemas":{"method":"sleep_executor"},"template":true,"inputs":{"seconds":"{{deps.old.result.n}}"},"allow_failure":true,"dependencies":[{"id":"old","merge":false}],
	 "retry":{"max_attempts":2,"initial_delay":0,"multiplier":3,"jitter":"none","retry_on":["timeout"],"no_retry_on":["input"]}},
	{"id":"handler","name":"handler","parent_id":"r","schemas":{"method":"noop_executor"},"template":true,"inputs":{"error":"{{deps.fails.error}}"},
	 "outputs":{"said":"{{result.echo:nothing}}"},"artifacts":["out/*.csv"],"limits":[{"key":"c-{{inputs.customer:none}}","max":5,"cost":2}],"lock":{"key":"{{tree.id}}","wait_timeout":90.5},
	 "rates":[{"key":"api","per":"hour","max":100,"burst":7}],"dependencies":[{"id":"fails","accept":["failed"],"otherwise":"skip","merge":false}]},
	{"id":"gate","name":"gate","parent_id":"r","schemas":{},"when":"deps.old.outcome == \"success\"","dependencies":[{"id":"old","accept":"any"}]},
	{"id":"poll","name":"poll","parent_id":"r","schemas":{"method":"noop_executor"},"repeat":{"until":"attempt >= 3","max":5,"delay":0.01},"dependencies":["gate"]},
	{"id":"found","name":"found","parent_id":"r","schemas":{"method":"map_executor"},"inputs":{"items":[1,2],"task":{"name":"item {{index}}","schemas":{"method":"noop_executor"},"inputs":{"n":"{{item}}"}}}},
	{"id":"old","name":"old","parent_id":"r","schemas":{"method":"noop_executor"},"outcome":"success","result":{"n":-1},"attempts":4},
	{"id":"wait","name":"wait","parent_id":"r","schemas":{"method":"wait_executor"},"inputs":{"signal":"go","timeout":3600}}]`

// TestWhatIsExportedIsSubmittedAgain: a tree with all that one may say beyond the protocol comes back as the same document, what it found left out; with
// --keep-ended, what has ended stays as it was, and the rest goes on.
func TestWhatIsExportedIsSubmittedAgain(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Coordinator: func(s *config.Coordinator) { s.GRPCAddr = "127.0.0.1:0" }})
	t.Setenv("TASKGROVE_SERVER", c.Coordinators[0].P.GRPC)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	submit := func(document string, more ...string) string {
		t.Helper()
		out, note, code := runCommand(t, append([]string{"submit", file(t, "tree.json", document)}, more...)...)
		if code != exitOK {
			t.Fatalf("exit %d: %s\n%s", code, note, document)
		}
		return strings.TrimSpace(out)
	}
	root := submit(everything)
	all := func(root string) (document string, byName map[string]map[string]any) {
		t.Helper()
		text, note, code := runCommand(t, "tree", root, "-o", "json")
		if code != exitOK {
			t.Fatalf("exit %d: %s", code, note)
		}
		var e struct{ Tasks []map[string]any }
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatal(err)
		}
		byName = map[string]map[string]any{}
		for _, task := range e.Tasks {
			byName[task["name"].(string)] = task
		}
		return text, byName
	}
	rests := func(root string) {
		t.Helper()
		c.For(t).Eventually("only the wait goes on", func() error {
			_, tasks := all(root)
			for name, task := range tasks {
				if settled := task["outcome"] != "" && task["outcome"] != nil; settled == (name == "r" || name == "wait") {
					return fmt.Errorf("%s is %v", name, task["state"])
				}
			}
			if tasks["wait"]["state"] != "awaiting" {
				return fmt.Errorf("wait is %v", tasks["wait"]["state"])
			}
			return nil
		})
	}
	rests(root)
	document, was := all(root)
	if got := was["fails"]; got["error_kind"] != "input" || got["attempt"] != 1.0 {
		t.Errorf("got fails %v", got)
	}
	for _, got := range was {
		if limits, has := got["limits"].([]any); has && !reflect.DeepEqual(limits, []any{map[string]any{"key": "c-{{inputs.customer:none}}", "max": 5.0, "cost": 2.0}}) {
			t.Errorf("%v asks for %v", got["name"], limits)
		}
	}
	if got := was["poll"]; got["repeats"] != 2.0 || got["repeat_exhausted"] != false || was["item 1"]["found"] != true || was["old"]["imported"] != true {
		t.Errorf("got poll %v, item %v, old %v", got, was["item 1"], was["old"])
	}
	said := func(tasks map[string]map[string]any) map[string]map[string]any {
		out := map[string]map[string]any{}
		for name, task := range tasks {
			if task["found"] == true {
				continue
			}
			only := map[string]any{"imported": task["imported"]}
			for _, key := range documentKeys {
				if key != "id" && key != "parent_id" {
					only[key] = task[key]
				}
			}
			if list, ok := task["dependencies"].([]any); ok { // the ids are the cluster's in a copy
				for _, d := range list {
					delete(d.(map[string]any), "id")
				}
			}
			out[name] = only
		}
		return out
	}
	again := submit(document)
	rests(again)
	_, now := all(again)
	if want, got := said(was), said(now); !reflect.DeepEqual(got, want) {
		for name := range want {
			if !reflect.DeepEqual(got[name], want[name]) {
				t.Errorf("%s: got\n%v\nwant\n%v", name, got[name], want[name])
			}
		}
	}
	if now["poll"]["attempt"] != 3.0 || len(now) != len(was) {
		t.Errorf("what had run did not run again: %v, %d tasks of %d", now["poll"], len(now), len(was))
	}
	document, was = all(root)
	kept := submit(document, "--keep-ended")
	rests2 := func() error {
		_, tasks := all(kept)
		if tasks["wait"]["state"] != "awaiting" {
			return fmt.Errorf("wait is %v", tasks["wait"]["state"])
		}
		return nil
	}
	c.For(t).Eventually("the rest goes on", rests2)
	_, now = all(kept)
	for name, task := range was {
		got := now[name]
		switch {
		case task["found"] == true:
			if got != nil {
				t.Errorf("%s was found, and is there: %v", name, got)
			}
		case name == "r" || name == "wait":
			if got["imported"] != nil {
				t.Errorf("%s: got %v", name, got)
			}
		case got["imported"] != true || got["outcome"] != task["outcome"] || got["error"] != task["error"] || !reflect.DeepEqual(got["result"], task["result"]):
			t.Errorf("%s: got %v\nwant as it ended: %v", name, got, task)
		}
	}
	if out, note, code := runCommand(t, "signal", kept+"/wait", "go"); code != exitOK {
		t.Fatalf("exit %d: %s%s", code, out, note)
	}
	c.For(t).Settled(kept)
	if _, tasks := all(kept); tasks["r"]["outcome"] != "success" {
		t.Errorf("the root is %v", tasks["r"])
	}
}
