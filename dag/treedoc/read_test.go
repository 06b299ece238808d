package treedoc

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// collect is all tasks and the error that ended them, or the first fault of one.
func collect(tasks iter.Seq2[*dag.Task, error]) (all []dag.Task, err error) {
	for t, e := range tasks {
		if e != nil {
			return all, e
		}
		if len(t.Faults) > 0 {
			return all, t.Faults[0]
		}
		all = append(all, *t)
	}
	return all, nil
}

func raw(s string) json.RawMessage { return json.RawMessage(s) }

func TestParseTask(t *testing.T) {
	deps := func(d ...dag.Dependency) dag.Task { return dag.Task{Dependencies: d} }
	for name, c := range map[string]struct {
		text string
		want dag.Task // Priority: Normal unless it has one
	}{
		"nothing":             {`{}`, dag.Task{}},
		"all of the protocol": {`{"name":"n","id":"i","user_id":"u","parent_id":"p","priority":3,"inputs":{"a":1},"schemas":{"method":"m"},"params":{"x":[]}}`, dag.Task{Name: "n", ID: "i", UserID: "u", ParentRef: "p", Priority: 3, Inputs: raw(`{"a":1}`), Schemas: raw(`{"method":"m"}`), Params: raw(`{"x":[]}`), Executor: "m"}},
		"null is absent": {`{"name":null,"id":null,"user_id":null,"parent_id":null,"priority":null,"dependencies":null,"inputs":null,"schemas":null,
			"params":null,"pool":null,"retry":null,"timeout":null,"schedule_to_start":null,"tree_timeout":null,"not_before":null,"on_lost":null,"repeatable":null,"mine":null}`, dag.Task{}},
		"all of ours": {`{"pool":"gpu","retry":{"max_attempts":3,"backoff":"linear","initial_delay":0.5,"max_delay":60.0},"timeout":90,"schedule_to_start":1.5,
			"tree_timeout":3600,"not_before":"2030-01-02T03:04:05.5+02:00","on_lost":"fail","repeatable":true}`, dag.Task{
			Pool: "gpu", Retry: dag.RetryPolicy{MaxAttempts: 3, Backoff: dag.Linear, InitialDelay: 500 * time.Millisecond, MaxDelay: time.Minute},
			Timeout: 90 * time.Second, ScheduleToStart: 1500 * time.Millisecond, TreeTimeout: time.Hour, OnLost: dag.FailLost, Repeatable: true,
			NotBefore: time.Date(2030, 1, 2, 1, 4, 5, 500_000_000, time.UTC),
		}},
		"kept for a month":               {`{"retention":"30d"}`, dag.Task{Retention: 30 * 24 * time.Hour}},
		"kept for ever":                  {`{"retention":"keep"}`, dag.Task{Retention: dag.KeepForever}},
		"nulls within a policy":          {`{"retry":{"max_attempts":null,"backoff":null,"initial_delay":null,"max_delay":2}}`, dag.Task{Retry: dag.RetryPolicy{MaxDelay: 2 * time.Second}}},
		"on_lost retry":                  {`{"on_lost":"retry","repeatable":false}`, dag.Task{}},
		"what the engine writes is gone": {`{"name":"n","status":"completed","progress":1.0,"result":{"a":1},"error":null,"created_at":"x","started_at":"x","updated_at":"x","completed_at":"x","has_children":true,"original_task_id":"o","has_copy":true,"has_references":true,"origin_type":"copy"}`, dag.Task{Name: "n"}},
		"other keys are kept":            {`{"project_id": 7 ,"name":"n", "Name":{"a" : "b c"},"no":null}`, dag.Task{Name: "n", Custom: raw(`{"project_id":7,"Name":{"a":"b c"}}`)}},
		"other keys keep their spelling": {`{"a\u0062\"":1}`, dag.Task{Custom: raw(`{"a\u0062\"":1}`)}},
		"keys may be escaped":            {`{"n\u0061me":"n"}`, dag.Task{Name: "n"}},
		"text may be escaped":            {`{"name":"\u00e9\n\ud83d\ude00\ufffd�\\ufffd"}`, dag.Task{Name: "é\n😀\uFFFD\uFFFD\\ufffd"}},
		"objects lose white space only":  {"{\"inputs\" : {\n \"a b\" : [ 1.50 , \" \\\" \" ] ,\t\"c\":\"\\\\\" } }", dag.Task{Inputs: raw(`{"a b":[1.50," \" "],"c":"\\"}`)}},
		"numbers stay as they are":       {`{"inputs":{"a":12345678901234567890.10,"b":1e400}}`, dag.Task{Inputs: raw(`{"a":12345678901234567890.10,"b":1e400}`)}},
		"escaped NUL within inputs":      {`{"inputs":{"a":"\u0000\ud800"}}`, dag.Task{Inputs: raw(`{"a":"\u0000\ud800"}`)}},
		"an integer by another spelling": {`{"priority":1.0,"retry":{"max_attempts":2e1}}`, dag.Task{Priority: 1, Retry: dag.RetryPolicy{MaxAttempts: 20}}},
		"a priority far out of range":    {`{"priority":99999}`, dag.Task{Priority: 32767}},
		"a priority beyond any number":   {`{"priority":-1e999}`, dag.Task{Priority: -32768}},
		"seconds beyond a duration":      {`{"timeout":1e300,"schedule_to_start":-1e999}`, dag.Task{Timeout: 1<<63 - 1, ScheduleToStart: -1 << 63}},
		"urgent":                         {`{"priority":0}`, dag.Task{Priority: dag.Urgent}},
		"no dependencies":                {`{"dependencies":[]}`, dag.Task{}},
		"dependency as text":             {`{"dependencies":["a", "b"]}`, deps(dag.Dependency{Ref: "a", Legacy: true}, dag.Dependency{Ref: "b", Legacy: true})},
		"dependency by id":               {`{"dependencies":[{"id":"a"}]}`, deps(dag.Dependency{Ref: "a"})},
		"dependency by name":             {`{"dependencies":[{"name":"a"}]}`, deps(dag.Dependency{Ref: "a", ByName: true})},
		"dependency by both: id wins":    {`{"dependencies":[{"name":"n","id":"i"}]}`, deps(dag.Dependency{Ref: "i"})},
		"dependency by name, empty id":   {`{"dependencies":[{"name":"n","id":""},{"id":null,"name":"m"}]}`, deps(dag.Dependency{Ref: "n", ByName: true}, dag.Dependency{Ref: "m", ByName: true})},
		"optional dependency":            {`{"dependencies":[{"id":"a","required":false,"type":"data"}]}`, deps(dag.Dependency{Ref: "a", Optional: true, Type: "data"})},
		"nulls within a dependency":      {`{"dependencies":[{"id":"a","required":null,"type":null}]}`, deps(dag.Dependency{Ref: "a"})},
		"dependency without reference":   {`{"dependencies":[{}, ""]}`, deps(dag.Dependency{}, dag.Dependency{Legacy: true})},
		"executor by type":               {`{"schemas":{"type":"http"}}`, dag.Task{Schemas: raw(`{"type":"http"}`), Executor: "rest_executor"}},
		"executor by params":             {`{"params":{"executor_id":"x"},"schemas":{"type":"http"}}`, dag.Task{Params: raw(`{"executor_id":"x"}`), Schemas: raw(`{"type":"http"}`), Executor: "x"}},
		"executor by name":               {`{"name":"rest_executor"}`, dag.Task{Name: "rest_executor", Executor: "rest_executor"}},
	} {
		t.Run(name, func(t *testing.T) {
			var known dag.Known
			known.Add("rest_executor", "http")
			if c.want.Priority == 0 && !strings.Contains(c.text, `"priority":0`) {
				c.want.Priority = dag.Normal
			}
			got, err := collect(Parse([]byte(c.text), Options{Executors: known}))
			if err != nil || len(got) != 1 {
				t.Fatalf("Parse = %d tasks, %v", len(got), err)
			}
			got[0].NotBefore = got[0].NotBefore.UTC()
			if !reflect.DeepEqual(got[0], c.want) {
				t.Errorf("Parse = %+v\nwant    %+v", got[0], c.want)
			}
		})
	}
}

func TestParseTimes(t *testing.T) {
	for text, want := range map[string]time.Time{
		"2030-01-02T03:04:05Z":        time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
		"2030-01-02T03:04:05.25Z":     time.Date(2030, 1, 2, 3, 4, 5, 250_000_000, time.UTC),
		"2030-01-02T03:04:05+01:30":   time.Date(2030, 1, 2, 1, 34, 5, 0, time.UTC),
		"2030-01-02T03:04:05+0130":    time.Date(2030, 1, 2, 1, 34, 5, 0, time.UTC),
		"2030-01-02T03:04:05.000001":  time.Date(2030, 1, 2, 3, 4, 5, 1000, time.UTC),
		"2030-01-02 03:04:05":         time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
		"2030-01-02 03:04:05.5+00:00": time.Date(2030, 1, 2, 3, 4, 5, 500_000_000, time.UTC),
		"2030-01-02T03:04":            time.Date(2030, 1, 2, 3, 4, 0, 0, time.UTC),
		"2030-01-02T03:04-01:00":      time.Date(2030, 1, 2, 4, 4, 0, 0, time.UTC),
		"2030-01-02":                  time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC),
	} {
		got, err := collect(Parse([]byte(`{"not_before":"`+text+`"}`), Options{}))
		if err != nil || !got[0].NotBefore.Equal(want) {
			t.Errorf("not_before %q = %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestForms(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"an array":                         {`[{"name":"a"},{"name":"b"}]`, []string{"a", "b"}},
		"an array with white space":        {" [ { \"name\" : \"a\" } ,\n\t{\"name\":\"b\"} ]\r\n", []string{"a", "b"}},
		"an empty array":                   {` [ ] `, nil},
		"one task":                         {` {"name":"a"} `, []string{"a"}},
		"one task that begins alike":       {`{"tas":1,"name":"a"}`, []string{"a"}},
		"one task that begins more alike":  {`{"tasksx":1,"name":"a"}`, []string{"a"}},
		"one task whose value looks alike": {`{"name":"tasks"}`, []string{"tasks"}},
		"wrapped":                          {`{"tasks":[{"name":"a"},{"name":"b"}]}`, []string{"a", "b"}},
		"wrapped, with white space":        {" { \"tasks\" : [ {\"name\":\"a\"} ] } ", []string{"a"}},
		"wrapped, empty":                   {`{"tasks":[]}`, nil},
		"a key tasks within an array":      {`[{"name":"a","tasks":1}]`, []string{"a"}},
		"wrapped, with a schema":           {`{"$schema":"../tree.schema.json","tasks":[{"name":"a"}]}`, []string{"a"}},
		"wrapped, with a schema, wide":     {"{ \"$schema\" : \"x\" ,\n \"tasks\" : [ {\"name\":\"a\"} ] }", []string{"a"}},
		"one task with a schema":           {`{"$schema":"../tree.schema.json","name":"a"}`, []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			for way, tasks := range ways(c.text, Options{}) {
				all, err := collect(tasks)
				var got []string
				for _, task := range all {
					got = append(got, task.Name)
				}
				if err != nil || !reflect.DeepEqual(got, c.want) {
					t.Errorf("%s: %q, %v, want %q", way, got, err, c.want)
				}
			}
		})
	}
}

// ways are the readings that must all come to the same.
func ways(text string, opts Options) map[string]iter.Seq2[*dag.Task, error] {
	return map[string]iter.Seq2[*dag.Task, error]{
		"Parse":               Parse([]byte(text), opts),
		"Read":                Read(strings.NewReader(text), opts),
		"Read, byte by byte":  Read(iotest.OneByteReader(strings.NewReader(text)), opts),
		"Read, in halves":     Read(iotest.HalfReader(strings.NewReader(text)), opts),
		"Read, end with data": Read(iotest.DataErrReader(strings.NewReader(text)), opts),
	}
}

func TestRefusals(t *testing.T) {
	deep := func(n int) string {
		return `[{"inputs":{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}}]`
	}
	for name, c := range map[string]struct {
		text  string
		index int
		field string
		want  string
	}{
		"nothing":                    {``, -1, "", "not valid JSON at line 1, column 1: unexpected end"},
		"white space":                {"  \n", -1, "", "not valid JSON at line 2, column 1: unexpected end"},
		"null":                       {`null`, -1, "", "Params must be a dict (single task) or list (tasks array)"},
		"text":                       {`"tasks"`, -1, "", "Params must be a dict (single task) or list (tasks array)"},
		"a NUL byte":                 {"\x00", -1, "", "Params must be a dict (single task) or list (tasks array)"},
		"an item that is no object":  {`[{"name":"a"}, 7]`, 1, "", "tasks[1]: must be an object"},
		"an item that is null":       {`[null]`, 0, "", "tasks[0]: must be an object"},
		"an item that is an array":   {`[[]]`, 0, "", "tasks[0]: must be an object"},
		"array not closed":           {`[{"name":"a"}`, -1, "", "not valid JSON at line 1, column 14: unexpected end"},
		"array with a comma behind":  {`[{},]`, -1, "", "not valid JSON at line 1, column 5: unexpected ']', want a task"},
		"array without commas":       {`[{}{}]`, -1, "", "not valid JSON at line 1, column 4: unexpected '{', want ',' or ']'"},
		"garbage behind":             {`[{}] x`, -1, "", "not valid JSON at line 1, column 6: unexpected 'x', want the end"},
		"a second document":          {`{}{}`, -1, "", "not valid JSON at line 1, column 3: unexpected '{', want the end"},
		"a NUL byte behind":          {"[]\x00", -1, "", "not valid JSON at line 1, column 3: unexpected byte 0x00, want the end"},
		"wrapped, no array":          {`{"tasks":{}}`, -1, "tasks", "Tasks must be a list"},
		"wrapped, not ended":         {`{"tasks":`, -1, "", "not valid JSON at line 1, column 10: unexpected end"},
		"wrapped, with another key":  {`{"tasks":[],"a":1}`, -1, "tasks", besideTasks},
		"wrapped, after another key": {`{"a":1,"tasks":[]}`, -1, "tasks", besideTasks},
		"wrapped, not closed":        {`{"tasks":[]`, -1, "", "not valid JSON at line 1, column 12: unexpected end"},
		"wrapped, badly closed":      {`{"tasks":[]]`, -1, "", "not valid JSON at line 1, column 12: unexpected ']', want '}'"},
		"task not closed":            {`[{"name":"a"`, 0, "", "tasks[0]: not valid JSON at line 1, column 13: unexpected end"},
		"task closed wrongly":        {`[{"name":"a"]`, 0, "", "tasks[0]: not valid JSON at line 1, column 13: unexpected ']', want ',' or '}'"},
		"broken in the second task":  {`[{"name":"a"}, {"name":}]`, 1, "", "tasks[1]: not valid JSON at line 1, column 24: unexpected '}', want a value"},
		"key without quotes":         {`{name:"a"}`, 0, "", "tasks[0]: not valid JSON at line 1, column 2: unexpected 'n', want a key"},
		"no colon":                   {`{"name" "a"}`, 0, "", "tasks[0]: not valid JSON at line 1, column 9: unexpected '\"', want ':'"},
		"a comma behind":             {`{"name":"a",}`, 0, "", "tasks[0]: not valid JSON at line 1, column 13: unexpected '}', want a key"},
		"a bad word":                 {`{"repeatable":tru}`, 0, "", "tasks[0]: not valid JSON at line 1, column 18: unexpected '}', want true"},
		"a bad number":               {`{"priority":01}`, 0, "", "tasks[0]: not valid JSON at line 1, column 14: unexpected '1', want ',' or '}'"},
		"a number without fraction":  {`{"priority":1.}`, 0, "", "tasks[0]: not valid JSON at line 1, column 15: unexpected '}', want a digit"},
		"not a number":               {`{"timeout":NaN}`, 0, "", "tasks[0]: not valid JSON at line 1, column 12: unexpected 'N', want a value"},
		"a bad escape":               {`{"name":"\x"}`, 0, "", "tasks[0]: not valid JSON at line 1, column 11: unexpected 'x', want an escape"},
		"a bad unicode escape":       {`{"name":"\u00g0"}`, 0, "", "tasks[0]: not valid JSON at line 1, column 14: unexpected 'g', want a hexadecimal digit"},
		"a raw line end in text":     {"{\"name\":\"a\nb\"}", 0, "", "tasks[0]: not valid JSON at line 1, column 11: unexpected byte 0x0a in a string"},
		"not UTF-8":                  {"{\"name\":\"a\xff\"}", 0, "", "tasks[0]: must be valid UTF-8"},
		"not UTF-8, in inputs":       {"[{},{\"inputs\":{\"\xc3\":1}}]", 1, "", "tasks[1]: must be valid UTF-8"},
		"half a character":           {`{"name":"\ud800"}`, 0, "name", "tasks[0].name: must be valid Unicode"},
		"half a character in a list": {`{"dependencies":["\udc00\ufffd"]}`, 0, "dependencies[0]", "tasks[0].dependencies[0]: must be valid Unicode"},
		"too deep":                   {deep(255), 0, "", "tasks[0]: not valid JSON at line 1, column 271: nested deeper than 256 levels"},
		"name no text":               {`{"name":7}`, 0, "name", "tasks[0].name: must be a string"},
		"id no text":                 {`[{"id":"a"},{"id":7}]`, 1, "id", "tasks[1].id: must be a string"},
		"user_id no text":            {`{"user_id":[]}`, 0, "user_id", "tasks[0].user_id: must be a string"},
		"parent_id no text":          {`{"parent_id":false}`, 0, "parent_id", "tasks[0].parent_id: must be a string"},
		"priority no number":         {`{"priority":"high"}`, 0, "priority", "tasks[0].priority: must be an integer"},
		"priority no integer":        {`{"priority":1.5}`, 0, "priority", "tasks[0].priority: must be an integer"},
		"inputs no object":           {`[{},{},{},{"inputs":[1]}]`, 3, "inputs", "tasks[3].inputs: must be an object"},
		"schemas no object":          {`{"schemas":"x"}`, 0, "schemas", "tasks[0].schemas: must be an object"},
		"params no object":           {`{"params":1}`, 0, "params", "tasks[0].params: must be an object"},
		"dependencies no array":      {`{"dependencies":{"id":"a"}}`, 0, "dependencies", "tasks[0].dependencies: must be an array"},
		"dependency a number":        {`{"dependencies":["a",7]}`, 0, "dependencies[1]", "tasks[0].dependencies[1]: must be a string or an object"},
		"dependency null":            {`{"dependencies":[null]}`, 0, "dependencies[0]", "tasks[0].dependencies[0]: must be a string or an object"},
		"dependency id a number":     {`{"dependencies":[{"id":7}]}`, 0, "dependencies[0].id", "tasks[0].dependencies[0].id: must be a string"},
		"dependency name a number":   {`{"dependencies":[{"name":7}]}`, 0, "dependencies[0].name", "tasks[0].dependencies[0].name: must be a string"},
		"dependency type a number":   {`{"dependencies":[{"type":7}]}`, 0, "dependencies[0].type", "tasks[0].dependencies[0].type: must be a string"},
		"dependency required text":   {`{"dependencies":[{"required":"no"}]}`, 0, "dependencies[0].required", "tasks[0].dependencies[0].required: must be true or false"},
		"dependency id twice":        {`{"dependencies":[{"id":"a","\u0069d":"b"}]}`, 0, "dependencies[0].id", "tasks[0].dependencies[0].id: must not be there twice"},
		"dependency with a key that is not known": {`{"dependencies":["a",{"id":"a","x":null}]}`, 0, "dependencies[1].x",
			"tasks[0].dependencies[1].x: is not known; there are id, name, required, type, accept, otherwise, merge and skips"},
		"dependency with a key that is meant":    {`{"dependencies":[{"id":"a","optional":true}]}`, 0, "dependencies[0].optional", "tasks[0].dependencies[0].optional: there is no such key; did you mean required: false?"},
		"dependency with a key that is misspelt": {`{"dependencies":[{"id":"a","otherwize":"skip"}]}`, 0, "dependencies[0].otherwize", "tasks[0].dependencies[0].otherwize: there is no such key; did you mean otherwise?"},
		"too many dependencies":                  {`{"dependencies":["a","b","c","d"]}`, 0, "dependencies", "tasks[0].dependencies: must be at most 3"},
		"pool no text":                           {`{"pool":7}`, 0, "pool", "tasks[0].pool: must be a string"},
		"retry no object":                        {`{"retry":3}`, 0, "retry", "tasks[0].retry: must be an object"},
		"retry with an unknown key":              {`{"retry":{"attempts":3}}`, 0, "retry.attempts", "tasks[0].retry.attempts: is not known; there are max_attempts, backoff, initial_delay, max_delay, multiplier, jitter, retry_on and no_retry_on"},
		"retry attempts no integer":              {`{"retry":{"max_attempts":1.5}}`, 0, "retry.max_attempts", "tasks[0].retry.max_attempts: must be an integer"},
		"retry back-off no text":                 {`{"retry":{"backoff":1}}`, 0, "retry.backoff", "tasks[0].retry.backoff: must be a string"},
		"retry delay no number":                  {`{"retry":{"initial_delay":"1s"}}`, 0, "retry.initial_delay", "tasks[0].retry.initial_delay: must be a number of seconds"},
		"retry key twice":                        {`{"retry":{"max_delay":1,"max_delay":2}}`, 0, "retry.max_delay", "tasks[0].retry.max_delay: must not be there twice"},
		"timeout no number":                      {`{"timeout":"30"}`, 0, "timeout", "tasks[0].timeout: must be a number of seconds"},
		"not_before no time":                     {`{"not_before":"tomorrow"}`, 0, "not_before", "tasks[0].not_before: must be a time as in 2006-01-02T15:04:05Z"},
		"not_before a number":                    {`{"not_before":0}`, 0, "not_before", "tasks[0].not_before: must be a time as in 2006-01-02T15:04:05Z"},
		"on_lost unknown":                        {`{"on_lost":"ignore"}`, 0, "on_lost", "tasks[0].on_lost: must be retry or fail"},
		"repeatable no bool":                     {`{"repeatable":1}`, 0, "repeatable", "tasks[0].repeatable: must be true or false"},
		"a key twice":                            {`{"name":"a","n\u0061me":"b"}`, 0, "name", "tasks[0].name: must not be there twice"},
		"a key twice, once null":                 {`{"name":null,"name":"b"}`, 0, "name", "tasks[0].name: must not be there twice"},
		"an engine's key twice":                  {`{"status":1,"status":1}`, 0, "status", "tasks[0].status: must not be there twice"},
		"a key within inputs twice":              {`{"inputs":{"a":[0,{"b":1,"\u0062":2}]}}`, 0, "inputs.a[1].b", "tasks[0].inputs.a[1].b: must not be there twice"},
		"within params":                          {`{"params":{"a":1,"a":1}}`, 0, "params.a", "tasks[0].params.a: must not be there twice"},
		"within schemas":                         {`{"schemas":{"input_schema":{"type":"object","type":"object"}}}`, 0, "schemas.input_schema.type", "tasks[0].schemas.input_schema.type: must not be there twice"},
		"within another key":                     {`{"mine":{"a":{},"a":{}}}`, 0, "mine.a", "tasks[0].mine.a: must not be there twice"},
		"within a list of another":               {`{"mine":[{"a":{},"a":{}}]}`, 0, "mine[0].a", "tasks[0].mine[0].a: must not be there twice"},
		"another key twice":                      {`{"mine":1,"m\u0069ne":null}`, 0, "mine", "tasks[0].mine: must not be there twice"},
	} {
		t.Run(name, func(t *testing.T) {
			for way, tasks := range ways(c.text, Options{Limits: dag.Limits{Dependencies: 3}}) {
				_, err := collect(tasks)
				bad, ok := errors.AsType[*dag.InvalidTaskError](err)
				if !ok {
					t.Fatalf("%s: %v, want an *InvalidTaskError", way, err)
				}
				if bad.Reason != c.want || bad.Index != c.index || bad.Field != c.field || bad.Code != dag.InvalidField {
					t.Errorf("%s: %d, %q, %q\nwant %d, %q, %q", way, bad.Index, bad.Field, bad.Reason, c.index, c.field, c.want)
				}
			}
		})
	}
	if _, err := collect(Parse([]byte(deep(254)), Options{})); err != nil {
		t.Errorf("nested 100 deep: %v, want it accepted", err)
	}
}

func TestErrorsNameTheTask(t *testing.T) {
	for text, want := range map[string]string{
		`{"id":"i","name":"n","inputs":1}`: "i", `{"name":"n","inputs":1}`: "n", `{"inputs":1,"name":"n"}`: "n", `{"inputs":1}`: "",
	} {
		_, err := collect(Parse([]byte(text), Options{}))
		if bad, ok := errors.AsType[*dag.InvalidTaskError](err); !ok || bad.Task != want {
			t.Errorf("%s: %v, want it to name %q", text, err, want)
		}
	}
}

// TestEveryFaultIsTold has several faults in several tasks; reading goes on after each.
func TestEveryFaultIsTold(t *testing.T) {
	text := `[{"name":7,"id":"a","priority":"high","dependencies":["x",7,{"id":8},{"id":"y","id":"z"}]},
		null, "text", [{"name":"b"}], 1e3 ,true,
		{"name":"c","retry":{"attempts":3,"max_delay":"1s"},"timeout":"1m"}, {"name":"d"}]`
	want := []string{
		"a tasks[0].name: must be a string", "a tasks[0].priority: must be an integer",
		"a tasks[0].dependencies[1]: must be a string or an object", "a tasks[0].dependencies[2].id: must be a string",
		"a tasks[0].dependencies[3].id: must not be there twice",
		" tasks[1]: must be an object", " tasks[2]: must be an object", " tasks[3]: must be an object", " tasks[4]: must be an object", " tasks[5]: must be an object",
		"c tasks[6].retry.attempts: is not known; there are max_attempts, backoff, initial_delay, max_delay, multiplier, jitter, retry_on and no_retry_on",
		"c tasks[6].retry.max_delay: must be a number of seconds", "c tasks[6].timeout: must be a number of seconds",
	}
	for way, tasks := range ways(text, Options{}) {
		var got []string
		n := 0
		for task, err := range tasks {
			if err != nil {
				t.Fatal(way, err)
			}
			for _, f := range task.Faults {
				if f.Index != n {
					t.Errorf("%s: %v has index %d, want %d", way, f, f.Index, n)
				}
				got = append(got, f.Task+" "+f.Reason)
			}
			n++
		}
		if !reflect.DeepEqual(got, want) || n != 8 {
			t.Errorf("%s: %d tasks, faults\n%q\nwant\n%q", way, n, got, want)
		}
	}
}

func TestFaultsOfATaskAreBounded(t *testing.T) {
	text := `{"name":"a","dependencies":[` + strings.Repeat("7,", 5000) + `7]}`
	for task, err := range Parse([]byte(text), Options{}) {
		if err != nil || len(task.Faults) != dag.MaxProblems {
			t.Errorf("%d faults, %v, want %d", len(task.Faults), err, dag.MaxProblems)
		}
	}
}

func TestPlacesCountLinesAndCharacters(t *testing.T) {
	long := strings.Repeat("  {\"name\": \"é木\"},\n", 4000) // more than a window
	for text, want := range map[string]string{
		"[\n  {\"name\": \"é\"},\n  {\"é木😀\": tru}\n]": "tasks[1]: not valid JSON at line 3, column 14: unexpected '}', want true",
		"[\n" + long + "  x]":          "tasks[4000]: not valid JSON at line 4002, column 3: unexpected 'x', want a value",
		"[\n" + long + "  {\"name\"}]": "tasks[4000]: not valid JSON at line 4002, column 10: unexpected '}', want ':'",
		"[\n" + long + "  {}\n\n":      "not valid JSON at line 4004, column 1: unexpected end",
		"[\n" + long + "  {\n \"name":  "tasks[4000]: not valid JSON at line 4003, column 7: unexpected end",
	} {
		for way, tasks := range ways(text, Options{}) {
			if _, err := collect(tasks); err == nil || err.Error() != want {
				t.Errorf("%s: %v, want %q", way, err, want)
			}
		}
	}
}

func TestManyUnknownKeysTwice(t *testing.T) {
	for n := 1; n < 40; n++ {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"key%d":%d,`, i, i)
		}
		all := b.String()
		got, err := collect(Parse([]byte("{"+all[:len(all)-1]+"}"), Options{}))
		if err != nil || string(got[0].Custom) != "{"+all[:len(all)-1]+"}" {
			t.Fatalf("%d keys: %v", n, err)
		}
		for i := range n {
			if _, err := collect(Parse(fmt.Appendf(nil, `{%s"key%d":0}`, all, i), Options{})); err == nil {
				t.Fatalf("key %d of %d twice: accepted", i, n)
			}
		}
	}
}

func TestLongFieldNamesAreShortened(t *testing.T) {
	key := strings.Repeat("é", 200)
	_, err := collect(Parse([]byte(`{"`+key+`":1,"`+key+`":1}`), Options{}))
	if want := "tasks[0]." + strings.Repeat("é", 50) + "…: must not be there twice"; err == nil || err.Error() != want {
		t.Errorf("%v, want %q", err, want)
	}
}

func TestATaskIsBounded(t *testing.T) {
	opts := Options{Limits: dag.Limits{PayloadBytes: 1, Dependencies: 1, IDChars: 1}}
	long := `[{"name":"a"},{"name":"` + strings.Repeat("x", opts.maxTask()) + `"}]`
	want := fmt.Sprintf("tasks[1]: must be at most %d bytes in all", opts.maxTask())
	for way, tasks := range ways(long, opts) {
		if way == "Read, byte by byte" {
			continue
		}
		if _, err := collect(tasks); err == nil || err.Error() != want {
			t.Errorf("%s: %.100v, want %q", way, err, want)
		}
	}
}

// endless is an array of tasks without end.
type endless struct{ read, most int }

func (e *endless) Read(p []byte) (n int, err error) {
	const task = `{"name":"task","inputs":{"a":1}},`
	if e.read == 0 {
		p[0], n = '[', 1
	}
	for n < len(p) {
		at := (e.read + n - 1) % len(task)
		n += copy(p[n:], task[at:])
	}
	e.read += n
	e.most = max(e.most, n)
	return n, nil
}

func TestReadHoldsLittleOfTheStream(t *testing.T) {
	source, seen := &endless{}, 0
	for task, err := range Read(source, Options{}) {
		if err != nil || task.Name != "task" {
			t.Fatal(task, err)
		}
		if seen++; seen == 100_000 {
			break
		}
	}
	if source.most > firstWindow {
		t.Errorf("asked for %d bytes at once, want at most %d", source.most, firstWindow)
	}
	if ahead := source.read - seen*len(`{"name":"task","inputs":{"a":1}},`); ahead > firstWindow {
		t.Errorf("read %d bytes ahead, want at most %d", ahead, firstWindow)
	}
}

func TestReadGivesTheReadersError(t *testing.T) {
	broken := errors.New("broken")
	for _, text := range []string{"", "[", `[{"name":"a"`, `[{"name":"a"}`, `[{"name":"a"},`, `[]`, `{"tasks"`, `{"tasks":`, `{"tasks":[]`} {
		_, err := collect(Read(io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)), Options{}))
		if !errors.Is(err, broken) || err.Error() != "read tasks: broken" {
			t.Errorf("after %q: %v, want the reader's error", text, err)
		}
	}
	_, err := collect(Read(idle{}, Options{}))
	if !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("from an idle reader: %v, want %v", err, io.ErrNoProgress)
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

func TestTasksShareNothingWithTheirDocument(t *testing.T) {
	data := []byte(`[{"name":"name","id":"id","inputs":{"a":"b"},"mine":"custom","dependencies":["x"]}]`)
	got, err := collect(Parse(data, Options{}))
	if err != nil {
		t.Fatal(err)
	}
	clear(data)
	want := dag.Task{
		Name: "name", ID: "id", Priority: dag.Normal, Inputs: raw(`{"a":"b"}`), Custom: raw(`{"mine":"custom"}`),
		Dependencies: []dag.Dependency{{Ref: "x", Legacy: true}},
	}
	if !reflect.DeepEqual(got[0], want) {
		t.Errorf("task = %+v, want %+v", got[0], want)
	}
}

func TestObject(t *testing.T) {
	for text, want := range map[string]string{
		``: "", ` `: "", `null`: "", `{}`: `{}`, ` { "a" : 1 } `: `{"a":1}`, `{"a":"b c"}`: `{"a":"b c"}`,
	} {
		if got, err := Object([]byte(text)); err != nil || string(got) != want {
			t.Errorf("Object(%q) = %s, %v, want %s", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		`[]`: "must be an object", `7`: "must be an object", `{}x`: "not valid JSON at line 1, column 3: unexpected 'x', want the end",
		`{`: "not valid JSON at line 1, column 2: unexpected end", "{\"\xff\":1}": "must be valid UTF-8", "\x00": "not valid JSON at line 1, column 1: unexpected byte 0x00, want a value",
	} {
		if got, err := Object([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("Object(%q) = %s, %v, want %q", text, got, err, want)
		}
	}
}
