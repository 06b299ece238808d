package treedoc

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// built reads a document and checks it: its tasks, and what is wrong with it.
func built(t *testing.T, document string) (tasks []*dag.Task, faults string) {
	t.Helper()
	b := dag.NewBuilder(dag.Limits{}, func() string { return "new" })
	for task, err := range Parse([]byte(document), Options{}) {
		if err != nil {
			t.Fatal(document, err)
		}
		if _, err := b.Add(task); err != nil {
			t.Fatal(document, err)
		}
		tasks = append(tasks, task)
	}
	_, err := b.Build()
	var all []string
	if bad, ok := errors.AsType[*dag.InvalidTreeError](err); ok {
		for _, p := range bad.Problems {
			all = append(all, strings.TrimPrefix(p.Reason, "tasks[0]."))
		}
	}
	return tasks, strings.Join(all, " | ")
}

func TestUniqueIsRead(t *testing.T) {
	for text, want := range map[string]dag.Unique{
		`{"key":"nightly"}`:                          {Key: "nightly"},
		`{"key":"é","while":"running"}`:              {Key: "é"},
		`{"key":"k","for":90}`:                       {Key: "k", For: 90 * time.Second},
		`{"key":"k","for":"1h30m","while":null}`:     {Key: "k", For: 90 * time.Minute},
		`{"key":"k","for":0.5,"on_conflict":""}`:     {Key: "k", For: 500 * time.Millisecond},
		`{"on_conflict":"return","key":"k"}`:         {Key: "k", Return: true},
		`{"key":"k","on_conflict":"refuse"}`:         {Key: "k"},
		`{"key":"` + strings.Repeat("é", 255) + `"}`: {Key: strings.Repeat("é", 255)},
	} {
		tasks, faults := built(t, `[{"name":"a","unique":`+text+`}]`)
		if faults != "" || !reflect.DeepEqual(tasks[0].Unique, &want) {
			t.Errorf("%s: got %+v, %s", text, tasks[0].Unique, faults)
		}
	}
	if tasks, faults := built(t, `[{"name":"a","unique":null}]`); faults != "" || tasks[0].Unique != nil {
		t.Errorf("null: got %+v, %s", tasks[0].Unique, faults)
	}
}

// TestFaultsOfUniqueAreToldOnce: all of them, each with its path.
func TestFaultsOfUniqueAreToldOnce(t *testing.T) {
	for text, want := range map[string]string{
		`"k"`:                     "unique: must be an object",
		`{}`:                      "unique.key: is required",
		`{"key":""}`:              "unique.key: must not be empty",
		`{"key":"  "}`:            "unique.key: must not be empty",
		`{"key":7,"for":true}`:    "unique.key: must be a string | unique.for: must be a number of seconds, or a text as 7d or 1h30m",
		`{"key":"k","while":"x"}`: "unique.while: must be running",
		`{"key":"a\nb"}`:          "unique.key: must be a text without control characters",
		`{"key":"` + strings.Repeat("é", 256) + `"}`: "unique.key: must be at most 255 characters, got 256",
		`{"key":"k","for":"1w"}`:                     "unique.for: must be a number of seconds, or a text as 7d or 1h30m, in d, h, m, s and ms",
		`{"key":"k","for":"-1h"}`:                    "unique.for: must be a number of seconds, or a text as 7d or 1h30m, in d, h, m, s and ms",
		`{"key":"k","for":-1}`:                       "unique.for: must be 0.001 to 31622400 seconds",
		`{"key":"k","for":"9000h"}`:                  "unique.for: must be 0.001 to 31622400 seconds",
		`{"key":"k","for":0}`:                        "unique.for: must be longer than nothing",
		`{"key":"k","for":1,"while":"running"}`:      "unique.for: not together with while: say until when the key is taken in one way",
		`{"key":"k","on_conflict":"wait"}`:           "unique.on_conflict: must be refuse or return",
		`{"key":"k","ttl":1,"x":1}`:                  "unique.ttl: there is no such key; did you mean for? | unique.x: is not known; there are key, while, for and on_conflict",
		`{"key":"k","key":"l"}`:                      "unique.key: must not be there twice",
	} {
		if _, faults := built(t, `[{"name":"a","unique":`+text+`}]`); faults != want {
			t.Errorf("%s: got\n%s, want\n%s", text, faults, want)
		}
	}
	if _, faults := built(t, `[{"name":"a"},{"name":"b","parent_id":"a","unique":{"key":"k"}}]`); faults != "tasks[1].unique: only the root task may have it: it is the tree's" {
		t.Error(faults)
	}
}
