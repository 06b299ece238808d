package generate

import (
	"strings"
	"testing"
	"time"
)

func TestFindTasks(t *testing.T) {
	const tasks = `[{"name": "a"}]`
	for name, row := range map[string]struct{ answer, want, fault string }{
		"bare":                         {tasks, tasks, ""},
		"fenced":                       {"```json\n" + tasks + "\n```", tasks, ""},
		"fenced without a language":    {"```\n" + tasks + "\n```", tasks, ""},
		"prose around":                 {"Here is [1] your tree [of tasks]:\n" + tasks + "\nEnjoy {it}!", tasks, ""},
		"a list in the prose":          {`I used ["rest_executor", "noop_executor"]. ` + tasks, tasks, ""},
		"an empty list in the prose":   {`I left out []. ` + tasks, tasks, ""},
		"only an empty list":           {`There is nothing to do: []`, `[]`, ""},
		"wrapped":                      {`{"tasks": ` + tasks + `}`, tasks, ""},
		"wrapped with more":            {`{"thoughts": "two [steps]", "tasks": ` + tasks + `, "count": 1}`, tasks, ""},
		"wrapped, and none":            {`{"tasks": []}`, `[]`, ""},
		"deeper":                       {`{"answer": {"plan": ` + tasks + `}}`, tasks, ""},
		"one task":                     {`{"name": "a", "dependencies": []}`, `[{"name": "a", "dependencies": []}]`, ""},
		"the first of two":             {tasks + ` or ` + `[{"name": "b"}]`, tasks, ""},
		"nothing":                      {"", "", "holds no JSON array of tasks"},
		"a refusal":                    {"I'm sorry, I can't help with that.", "", "holds no JSON array of tasks"},
		"numbers":                      {"[1, 2, 3]", "", "holds no JSON array of tasks"},
		"cut off":                      {`[{"name": "a"}, {"name": "b"`, "", "has a fault at byte 28"},
		"cut off in a fence":           {"```json\n[{\"name\": \"a\"}, {\"na", "", "has a fault"},
		"what follows a fault":         {`[{"name": a}] no: ` + tasks, "", "has a fault"},
		"a comment":                    {"[{\"name\": \"a\"} // first\n]", "", "has a fault"},
		"a trailing comma":             {`[{"name": "a"},]`, "", "has a fault"},
		"a name twice":                 {`[{"name": "a", "name": "b"}]`, "", "has a fault"},
		"a name twice, once in escape": {`[{"name": "a", "n\u0061me": "b"}]`, "", "has a fault"},
		"not UTF-8":                    {"[{\"name\": \"a\xff\"}]", "", "has a fault"},
		"too deep":                     {`[{"name": ` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}]`, "", "nested over 48 levels"},
		"too large":                    {strings.Repeat(" ", maxAnswerBytes) + tasks, "", "more than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := findTasks(row.answer)
			if row.fault != "" {
				if err == nil || !strings.Contains(err.Error(), row.fault) {
					t.Errorf("got %s, %v, want %q", got, err, row.fault)
				}
				return
			}
			if err != nil || string(got) != row.want {
				t.Errorf("got %s, %v, want %s", got, err, row.want)
			}
		})
	}
}

// TestFindTasksIsQuick: an answer that looks like the beginning of an array everywhere is given up soon.
func TestFindTasksIsQuick(t *testing.T) {
	for _, part := range []string{"[", "{", "[1,", `{"a":[1],`, `["a",`, "[[],", `{"a":{`, `"[1,2`, `[1 `, "{ [", `{"\`} {
		begin := time.Now()
		_, _ = findTasks(strings.Repeat(part, (256<<10)/len(part)))
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("%q: took %v", part, took)
		}
	}
}
