package treedoc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// TestFaultsOfLimitsAreToldOnce: all faults of what a task asks for come together, each with its path, and each once, whoever finds it.
func TestFaultsOfLimitsAreToldOnce(t *testing.T) {
	long := strings.Repeat("é", 128)
	for text, want := range map[string]string{
		`"limits":{}`:                          "limits: must be an array of objects",
		`"rates":"x"`:                          "rates: must be an array of objects",
		`"lock":"x"`:                           "lock: must be an object",
		`"limits":["k"]`:                       "limits[0]: must be an object",
		`"limits":[{}],"rates":[{}],"lock":{}`: "limits[0].key: is required | rates[0].key: is required | rates[0].per: is required | rates[0].max: is required | lock.key: is required",
		`"limits":[{"key":7,"max":5},{"key":"","max":5},{"key":"a\nb","max":5},{"key":"` + long + `","max":5}]`: "limits[0].key: must be a string | limits[1].key: must not be empty | " +
			"limits[2].key: must not hold control characters | limits[3].key: must be at most 255 bytes, got 256",
		`"limits":[{"key":"k","max":0,"cost":-1},{"key":"l","max":1000001},{"key":"m","max":"5"},{"key":"n","max":1.5}]`: "limits[0].max: must be 1 to 1000000, got 0 | " +
			"limits[0].cost: must be 1 to 1000000, got -1 | limits[1].max: must be 1 to 1000000, got 1000001 | limits[2].max: must be an integer | limits[3].max: must be an integer",
		`"limits":[{"key":"k","max":5,"cost":6}]`:                    "limits[0].cost: must be at most max, which is 5, got 6: it would wait for ever",
		`"limits":[{"key":"k","max":5},{"key":"k","max":6}]`:         "limits[1].key: is the key of limits[0], too",
		`"limits":[{"key":"k","max":5,"key":"l"}]`:                   "limits[0].key: must not be there twice",
		`"limits":[{"key":"k","limit":5,"foo":1}]`:                   "limits[0].limit: there is no such key; did you mean max? | limits[0].foo: is not known; there are key, max and cost",
		`"lock":{"key":"k","on_contention":"die","x":1}`:             "lock.on_contention: must be wait, fail or skip | lock.x: is not known; there are key, on_contention, wait_timeout and hold",
		`"lock":{"key":"k","hold":"ever"}`:                           "lock.hold: must be attempt or parent",
		`"lock":{"key":"k","hold":"parent"}`:                         "lock.hold: is for the task's parent 'root', which must depend on the task, so that it can't end before it",
		`"lock":{"key":"k","wait_timeout":"1h"}`:                     "lock.wait_timeout: must be a number of seconds",
		`"lock":{"key":"k","wait_timeout":-1}`:                       "lock.wait_timeout: must be 0 to 31622400 seconds",
		`"lock":{"key":"k","wait_timeout":0.0001}`:                   "lock.wait_timeout: must be at least 0.001 seconds, or 0 for none",
		`"lock":{"key":"k","wait_timeout":5,"on_contention":"fail"}`: "lock.wait_timeout: is of a task that waits, and on_contention is fail",
		`"rates":[{"key":"k","per":"day","max":0},{"key":"k","per":"hour","max":1,"burst":0}]`: "rates[0].per: must be second, minute or hour | rates[0].max: must be 1 to 1000000, got 0 | " +
			"rates[1].key: is the key of rates[0], too | rates[1].burst: must be 1 to 1000000, got 0",
		`"limits":[` + strings.TrimSuffix(strings.Repeat(`{"key":"k","max":1},`, 40), ",") + `]`: "limits: must be at most 8 | limits[1].key: is the key of limits[0], too | " +
			"limits[2].key: is the key of limits[0], too | limits[3].key: is the key of limits[0], too | limits[4].key: is the key of limits[0], too | limits[5].key: is the key of limits[0], too | " +
			"limits[6].key: is the key of limits[0], too | limits[7].key: is the key of limits[0], too",
		`"schemas":null,"lock":{"key":"k"},"limits":[{"key":"k","max":1}],"rates":[{"key":"k","per":"hour","max":1}]`: "limits: a group, which runs nothing, can't have it | " +
			"lock: a group, which runs nothing, can't have it | rates: a group, which runs nothing, can't have it",
		`"lock":{"key":"{{input.x}}"}`:                           `lock.key: "{{input.x}}": begins with none of inputs, task, tree (template.unknown_root)`,
		`"lock":{"key":"{{deps.a.result}}"}`:                     `lock.key: "{{deps.a.result}}": begins with none of inputs, task, tree (template.unknown_root)`,
		`"lock":{"key":"a-{{inputs.x}}"}`:                        `lock.key: "{{inputs.x}}": the inputs have no such value as they are submitted, or it is empty, and the key is made then (template.missing_key)`,
		`"inputs":{"x":{"a":1}},"lock":{"key":"a-{{inputs.x}}"}`: `lock.key: "{{inputs.x}}": is an object or a list, and a key is a text (template.missing_key)`,
		`"inputs":{"x":null},"lock":{"key":"{{inputs.x}}"}`:      `lock.key: "{{inputs.x}}": is null, and a key is a text (template.missing_key)`,
		`"lock":{"key":"{{task.attempt}}"}`:                      `lock.key: "{{task.attempt}}": task has id, name, user_id (template.missing_key)`,
		`"lock":{"key":"{{inputs}}"}`:                            `lock.key: "{{inputs}}": is no value: name one of its members (template.syntax)`,
		`"lock":{"key":"{{inputs.x"}`:                            `lock.key: "{{inputs.x": has no }} after it (template.syntax)`,
		`"inputs":{"x":"{{deps.root.result}}"},"template":true,"dependencies":["root"],"lock":{"key":"{{inputs.x}}"}`: `lock.key: "{{inputs.x}}": the input is a template, which is rendered ` +
			`when the task runs, and the key is made when it is submitted (template.missing_key)`,
		`"inputs":{"a":"k","b":"k"},"rates":[{"key":"{{inputs.a}}","per":"hour","max":1},{"key":"{{inputs.b}}","per":"hour","max":1}]`: "rates[1].key: is the key of rates[0], too",
		`"limits":[{"key":"{{task.id}}","max":1},{"key":"{{task.id}}","max":2}]`:                                                       "limits[1].key: is the key of limits[0], too",
		`"inputs":{"a":"` + strings.Repeat("a", 600) + `"},"lock":{"key":"{{inputs.a}}{{inputs.a}}{{inputs.a}}"}`:                      "lock.key: must be at most 255 bytes, got more than 1024",
		`"lock":{"key":"{{inputs.a:` + strings.Repeat("x", 1024) + `}}"}`:                                                              "lock.key: with templates must be at most 1024 bytes, got 1037",
		`"limits":[{"key":"{{task.id}}` + strings.Repeat("x", 220) + `","max":1}]`:                                                     "limits[0].key: must be at most 255 bytes, got 256",
	} {
		if !strings.Contains(text, `"schemas"`) {
			text = `"schemas":{"method":"noop"},` + text
		}
		b := dag.NewBuilder(dag.Limits{}, func() string { return "new" })
		for task, err := range Parse([]byte(`[{"id":"root","name":"root"},{"id":"b","name":"b","parent_id":"root",`+text+`}]`), Options{}) {
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
			if !strings.HasPrefix(p.Reason, "tasks[1]."+p.Field+": ") {
				t.Errorf("%s: field %s of %s", text, p.Field, p.Reason)
			}
			got = append(got, strings.TrimPrefix(p.Reason, "tasks[1]."))
		}
		wanted := strings.Split(want, " | ")
		if slices.Sort(got); !slices.Equal(got, sorted(wanted)) {
			t.Errorf("%s: faults\n%q\nwant\n%q", text, got, wanted)
		}
	}
}

// TestLimitsAreRead: what a document says, with what it leaves out, and null as if it were not there.
func TestLimitsAreRead(t *testing.T) {
	for text, want := range map[string]*dag.Limiting{
		`"limits":[{"key":"k","max":5},{"key":"l","cost":2,"max":null}]`: {Limits: []dag.Limit{{Key: "k", Max: 5}, {Key: "l", Cost: 2}}},
		`"lock":{"key":"k"}`:                                           {Lock: &dag.Lock{Key: "k"}},
		`"lock":{"key":"k","on_contention":"skip"}`:                    {Lock: &dag.Lock{Key: "k", OnContention: dag.SkipOnContention}},
		`"lock":{"key":"k","on_contention":"wait","wait_timeout":1.5}`: {Lock: &dag.Lock{Key: "k", WaitTimeout: 1500 * time.Millisecond}},
		`"rates":[{"key":"k","per":"minute","max":100,"burst":10}]`:    {Rates: []dag.Rate{{Key: "k", Per: time.Minute, Max: 100, Burst: 10}}},
		`"limits":[],"rates":[],"lock":null`:                           nil,
		`"limits":null`:                                                nil,
	} {
		for task, err := range Parse([]byte(`[{"name":"a",`+text+`}]`), Options{}) {
			if err != nil || len(task.Faults) > 0 {
				t.Fatal(text, err, task.Faults)
			}
			if got := task.Limiting; fmt.Sprintf("%+v", plain(got)) != fmt.Sprintf("%+v", plain(want)) {
				t.Errorf("%s: got %+v, want %+v", text, plain(got), plain(want))
			}
		}
	}
}

// plain is what is asked for, without pointers.
func plain(l *dag.Limiting) any {
	if l == nil {
		return nil
	}
	var lock dag.Lock
	if l.Lock != nil {
		lock = *l.Lock
	}
	return []any{l.Limits, lock, l.Rates}
}
