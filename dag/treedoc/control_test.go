package treedoc

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

// TestFaultsOfControlAreToldOnce: all faults of what a task says beyond the protocol come together, each with its path, and each once, whoever finds it:
// the reader of the document or the builder of the tree.
func TestFaultsOfControlAreToldOnce(t *testing.T) {
	const outcomes = "must be success, skipped, failed, cancelled or blocked"
	const kind = "must be 1 to 64 letters, digits, _, - or dots"
	for text, want := range map[string]string{
		`"dependencies":[{"id":"a","accept":"sucess"}]`:               "dependencies[0].accept: must be a list of outcomes, or any",
		`"dependencies":[{"id":"a","accept":7}]`:                      "dependencies[0].accept: must be a list of outcomes, or any",
		`"dependencies":[{"id":"a","accept":{"failed":true}}]`:        "dependencies[0].accept: must be a list of outcomes, or any",
		`"dependencies":[{"id":"a","accept":[ ]}]`:                    "dependencies[0].accept: must name an outcome, or be any",
		`"dependencies":[{"id":"a","accept":["any"]}]`:                "dependencies[0].accept[0]: any stands alone, in no list",
		`"dependencies":[{"id":"a","accept":["failed",1,"x",null]}]`:  "dependencies[0].accept[1]: must be a string | dependencies[0].accept[2]: " + outcomes + " | dependencies[0].accept[3]: must be a string",
		`"dependencies":[{"id":"a","accept":["ok"],"otherwise":"x"}]`: "dependencies[0].accept[0]: " + outcomes + " | dependencies[0].otherwise: must be block or skip",
		`"dependencies":[{"id":"a","merge":"no","skips":1}]`:          "dependencies[0].merge: must be true or false | dependencies[0].skips: must be true or false",
		`"dependencies":[{"id":"a","skips":true}]`:                    "dependencies[0].skips: only the dependencies of a fold may have it",
		`"fold":true`:              "fold: only a group may have it, and the task has the executor 'noop'",
		`"fold":1,"template":"no"`: "fold: must be true or false | template: must be true or false",
		`"allow_failure":"yes"`:    "allow_failure: must be true or false",
		`"outputs":[1]`:            "outputs: must be an object",
		`"outcome":"done"`:         "outcome: " + outcomes,
		`"retry":{"retry_on":["a b",1,"ok","é"],"no_retry_on":"x"}`: "retry.retry_on[0]: " + kind + " | retry.retry_on[1]: must be a string | retry.retry_on[3]: " + kind + " | retry.no_retry_on: must be an array of strings",
		`"retry":{"multiplier":"2","jitter":"some"}`:                "retry.multiplier: must be a number from 1 to 1000 | retry.jitter: must be full or none",
		`"repeat":{}`:            "repeat.until: is required",
		`"repeat":{"until":" "}`: "repeat.until: is required",
		`"repeat":{"until":1,"max":"x","delay":"y"}`: "repeat.until: must be a string | repeat.max: must be an integer | repeat.delay: must be a number of seconds",
		`"repeat":{"until":"true","max":0,"often":1,"delay":-1}`: "repeat.delay: must be 0 to 315360000 seconds | repeat.often: is not known; there are until, max and delay | " +
			"repeat.max: must be 1 to 100000, got 0",
		`"artifacts":"x"`:                  "artifacts: must be an array of strings",
		`"artifacts":[1,"/x","ok","../y"]`: "artifacts[0]: must be a string | artifacts[1]: must be a path within the task's directory, without .. | artifacts[3]: must be a path within the task's directory, without ..",
	} {
		b := dag.NewBuilder(dag.Limits{}, func() string { return "new" })
		for task, err := range Parse([]byte(`[{"id":"root","name":"root"},{"id":"a","name":"a","parent_id":"root"},{"id":"b","name":"b","parent_id":"root","schemas":{"method":"noop"},`+text+`}]`), Options{}) {
			if err != nil {
				t.Fatal(text, err)
			}
			if _, err := b.Add(task); err != nil {
				t.Fatal(text, err)
			}
		}
		_, err := b.Build()
		bad, ok := errors.AsType[*dag.InvalidTreeError](err)
		if !ok {
			t.Errorf("%s: %v, want faults", text, err)
			continue
		}
		var got []string
		for _, p := range bad.Problems {
			got = append(got, strings.TrimPrefix(p.Reason, "tasks[2]."))
		}
		wanted := strings.Split(want, " | ")
		if slices.Sort(got); !slices.Equal(got, sorted(wanted)) {
			t.Errorf("%s: faults\n%q\nwant\n%q", text, got, wanted)
		}
	}
}

func sorted(texts []string) []string {
	slices.Sort(texts)
	return texts
}

// TestOutputsAreOfARun: where the task is known to wait, or to find tasks, what would be made of its result is refused.
func TestOutputsAreOfARun(t *testing.T) {
	for _, executor := range []string{"wait_executor", "approval_executor", "map_executor", "subtree_executor"} {
		b := dag.NewBuilder(dag.Limits{}, func() string { return "new" })
		text := `[{"name":"a","schemas":{"method":"` + executor + `"},"outputs":{"o":"{{result}}"},"repeat":{"until":"true"},"artifacts":["x"]}]`
		for task, err := range Parse([]byte(text), Options{}) {
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.Add(task); err != nil {
				t.Fatal(err)
			}
		}
		_, err := b.Build()
		bad, ok := errors.AsType[*dag.InvalidTreeError](err)
		if !ok || len(bad.Problems) != 3 {
			t.Errorf("%s: %v, want three faults", executor, err)
			continue
		}
		for i, field := range []string{"outputs", "repeat", "artifacts"} {
			if !strings.HasPrefix(bad.Problems[i].Reason, "tasks[0]."+field+": is of what a run returns") {
				t.Errorf("%s: %s", executor, bad.Problems[i].Reason)
			}
		}
	}
}
