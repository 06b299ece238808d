package treedoc

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

func TestCacheIsRead(t *testing.T) {
	for text, want := range map[string]dag.Cache{
		`{"for":"24h"}`: {For: 24 * time.Hour},
		`{"for":90,"version":"2","key":"rates-{{inputs.day}}"}`: {Key: "rates-{{inputs.day}}", Version: "2", For: 90 * time.Second},
		`{"for":0.5,"version":null,"key":null}`:                 {For: 500 * time.Millisecond},
		`{"for":"7d"}`:                                          {For: 168 * time.Hour},
		`{"for":"1.5d30m"}`:                                     {For: 36*time.Hour + 30*time.Minute},
	} {
		tasks, faults := built(t, `[{"name":"a","schemas":{"method":"noop"},"inputs":{"day":"x"},"cache":`+text+`}]`)
		if faults != "" || tasks[0].Control == nil || !reflect.DeepEqual(tasks[0].Control.Cache, &want) {
			t.Errorf("%s: got %+v, %s", text, tasks[0].Control, faults)
		}
	}
	if tasks, faults := built(t, `[{"name":"a","cache":null}]`); faults != "" || tasks[0].Control != nil {
		t.Errorf("null: got %+v, %s", tasks[0].Control, faults)
	}
}

// TestFaultsOfCacheAreToldOnce: all of them, each with its path.
func TestFaultsOfCacheAreToldOnce(t *testing.T) {
	for text, want := range map[string]string{
		`"cache":true`:         "cache: must be an object",
		`"cache":{}`:           "cache.for: is required: how old a success may be",
		`"cache":{"for":"1w"}`: "cache.for: must be a number of seconds, or a text as 7d or 1h30m, in d, h, m, s and ms",
		`"cache":{"for":"d"}`:  "cache.for: must be a number of seconds, or a text as 7d or 1h30m, in d, h, m, s and ms",
		`"cache":{"for":"999999999999999999999d"}`:        "cache.for: must be a number of seconds, or a text as 7d or 1h30m, in d, h, m, s and ms",
		`"cache":{"for":"367d"}`:                          "cache.for: must be 0.001 to 31622400 seconds",
		`"cache":{"for":0}`:                               "cache.for: must be longer than nothing",
		`"cache":{"for":-1}`:                              "cache.for: must be 0.001 to 31622400 seconds",
		`"cache":{"for":1,"ttl":2,"x":3}`:                 "cache.ttl: there is no such key; did you mean for? | cache.x: is not known; there are key, version and for",
		`"cache":{"for":1,"key":7,"version":7}`:           "cache.key: must be a string | cache.version: must be a string",
		`"cache":{"for":1,"key":"{{deps.x.result}}"}`:     `cache.key: "{{deps.x.result}}": the task does not depend on 'x': it has no dependencies (template.missing_key)`,
		`"cache":{"for":1},"repeat":{"until":"true"}`:     "cache: not together with repeat: a task that repeats looks at what changes",
		`"cache":{"for":1},"artifacts":["a"]`:             "cache: not together with artifacts: files are of the task that made them",
		`"cache":{"for":1},"outputs":{"a":"{{task.id}}"}`: "cache: outputs of the task may name its result alone, not task: they are taken as they were made",
	} {
		if _, faults := built(t, `[{"name":"a","schemas":{"method":"noop"},`+text+`}]`); faults != want {
			t.Errorf("%s: got\n%s, want\n%s", text, faults, want)
		}
	}
	if _, faults := built(t, `[{"name":"a","schemas":{"method":"sleep_executor"},"cache":{"for":1}}]`); faults != "cache: a task of sleep_executor waits, or finds tasks, which no earlier one can do for it" {
		t.Errorf("a sleep: got %s", faults)
	}
	if _, faults := built(t, `[{"name":"a","schemas":{"method":"x"},"cache":{"for":1,"version":"a\u0000b","key":"\u0000"}}]`); faults != "cache.version: must be valid UTF-8 without NUL | cache.key: must be valid UTF-8 without NUL" {
		t.Errorf("NUL: got %s", faults)
	}
	if _, faults := built(t, `[{"name":"a","cache":{"for":1,"version":"`+strings.Repeat("é", 256)+`"}}]`); faults != "cache.version: must be at most 255 characters, got 256 | cache: a group, which runs nothing, can't have it" {
		t.Error(faults)
	}
}
