package treedoc

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

// warned are the warnings about a document, as "field: what was meant".
func warned(t *testing.T, text string) (all []string) {
	t.Helper()
	w := &Warnings{Known: func(id string) bool { return id == "rest_executors" }, Inputs: map[string]InputKeys{
		"command_executor": {Names: []string{"command", "env", "stdin_from", "timeout"}, Required: []string{"command"}},
		"rest_executor":    {Names: []string{"data", "json", "method", "url"}, Required: []string{"url"}},
		"noop_executor":    {},
	}}
	var known dag.Known
	for id := range w.Inputs {
		known.Add(id, "")
	}
	for task, err := range w.See(Parse([]byte(text), Options{Executors: known})) {
		if err != nil || len(task.Faults) > 0 {
			t.Fatalf("%s: %v, %v", text, err, task.Faults)
		}
	}
	for _, one := range w.All() {
		_, meant, ok := strings.Cut(one.Reason, "did you mean ")
		if !ok {
			t.Errorf("%v says nothing of what was meant", one)
		}
		all = append(all, one.Field+": "+strings.TrimSuffix(meant, "?"))
	}
	return all
}

func TestWarnings(t *testing.T) {
	for text, want := range map[string][]string{
		// keys that are right, or another's
		`{"name":"a","project_id":1,"meta":{"dependecies":1},"owner":"x","tags":[],"description":"","tool":1}`:                                                             nil,
		`{"name":"a","status":"completed","result":{"a":1},"schemas":{"method":"noop_executor"},"executor":"noop_executor","attempt":1,"blocked_by":[],"tree_status":"x"}`: nil,
		`[{"name":"a","schemas":{"method":"m","type":"t","input_schema":{},"output_schema":{},"model":1,"works":1,"mine":1},"params":{"executor_id":"m","name":"x"}}]`:     nil,
		`{"name":"a","dependencies":[{"id":"b","type":"x"}],"retry":{"max_attempts":1}}`:                                                                                   nil,
		`{"name":"a","schemas":{"method":"other_executor"},"inputs":{"comand":1}}`:                                                                                         nil,
		`{"name":"a","schemas":{"method":"command_executor"},"inputs":{"command":"x","mine":1}}`:                                                                           nil,
		`{"name":"a","schemas":{"method":"rest"},"inputs":{"url":"x","uri":1,"body":2}}`:                                                                                   nil,
		`{"name":"a","schemas":{"method":"rest"},"inputs":{"method":"GET"}}`:                                                                                               nil,
		`{"name":"a","schemas":{"method":"noop"},"inputs":{"uri":1}}`:                                                                                                      nil,
		// inputs in place of a required one
		`{"name":"a","schemas":{"method":"rest_executor"},"inputs":{"uri":"x"}}`:    {"tasks[0].inputs.uri: url"},
		`{"name":"a","schemas":{"method":"rest"},"inputs":{"body":1,"uri":"x"}}`:    {"tasks[0].inputs.uri: url"},
		`{"name":"a","schemas":{"method":"rest"},"inputs":{"urll":"x","body":1}}`:   {"tasks[0].inputs.urll: url"},
		`{"name":"a","schemas":{"method":"command"},"inputs":{"cmd":"x","evn":{}}}`: {"tasks[0].inputs.evn: env", "tasks[0].inputs.cmd: command"},
		`[{"name":"a","schemas":{"method":"command"},"inputs":{"command":"x","jsn":1}},` + // the same key of two executors
			`{"name":"b","parent_id":"a","schemas":{"method":"rest"},"inputs":{"url":"x","jsn":1}}]`: {"tasks[1].inputs.jsn: json"},
		// executors
		`{"name":"a","schemas":{"method":"command_executr"}}`:                              {"tasks[0].schemas.method: command_executor"},
		`{"name":"a","schemas":{"method":"comand"},"params":{"x":1}}`:                      {"tasks[0].schemas.method: command_executor"},
		`{"name":"a","schemas":{"method":"mine"},"params":{"executor_id":"rest_excutor"}}`: {"tasks[0].params.executor_id: rest_executor"},
		`{"name":"a","schemas":{"method":"rest_executors"}}`:                               nil,
		`{"name":"a","schemas":{"method":"gpu_executor"}}`:                                 nil,
		// keys that were meant
		`[{"name":"a"},{"name":"b","dependecies":["a"],"retries":3,"time_out":5}]`: {"tasks[1].dependecies: dependencies", "tasks[1].retries: retry", "tasks[1].time_out: timeout"},
		`{"name":"a","dependsOn":["b"],"Inputs":{},"needs":[],"executor":"noop_executor"}`: {
			"tasks[0].dependsOn: dependencies", "tasks[0].Inputs: inputs", "tasks[0].needs: dependencies", "tasks[0].executor: schemas.method"},
		`{"name":"a","schemas":{"metod":"m","inputs":{}},"params":{"executor":"x"}}`:             {"tasks[0].schemas.metod: method", "tasks[0].schemas.inputs: input_schema", "tasks[0].params.executor: executor_id"},
		`{"name":"a","schemas":{"method":"command_executor"},"inputs":{"comand":1,"Timeout":2}}`: {"tasks[0].inputs.comand: command", "tasks[0].inputs.Timeout: timeout"},
		`{"name":"a","schemas":{"method":"command_executor"},"inputs":{"stdin\u0046rom":1}}`:     {"tasks[0].inputs.stdinFrom: stdin_from"},
	} {
		if got := warned(t, text); !reflect.DeepEqual(got, want) {
			t.Errorf("%s\n got %q\nwant %q", text, got, want)
		}
	}
}

// TestEachKeyIsMeantByItsMisspelling leaves a letter out of each key of more than four letters; none may be taken for another.
func TestEachKeyIsMeantByItsMisspelling(t *testing.T) {
	for prefix, keys := range map[string][]Key{"%s": taskKeys, `"schemas":{%s}`: schemasKeys, `"params":{%s}`: paramsKeys} {
		for _, k := range keys {
			if len(k.Name) < 5 {
				continue
			}
			wrong := k.Name[:2] + k.Name[3:]
			got := warned(t, fmt.Sprintf(`{"name":"a",`+prefix+`}`, fmt.Sprintf("%q:1", wrong)))
			if len(got) != 1 || !strings.HasSuffix(got[0], wrong+": "+k.Name) {
				t.Errorf("%s: %q, want %s", wrong, got, k.Name)
			}
			for _, m := range k.Meant {
				if got := warned(t, fmt.Sprintf(`{"name":"a",`+prefix+`}`, fmt.Sprintf("%q:1", m.word))); len(got) != 1 {
					t.Errorf("%s: %q, want one warning", m.word, got)
				}
			}
		}
	}
}

func TestWarningsAreBounded(t *testing.T) {
	w := &Warnings{}
	key := "depen" + strings.Repeat("d", 100_000)
	for range 1000 {
		w.Look(&dag.Task{Custom: raw(`{"dependecies":1,"` + key + `":1,"time_out":2}`)})
	}
	all := w.All()
	size := 0
	for _, one := range all {
		size += len(one.Field) + len(one.Reason)
	}
	if len(all) != MaxWarnings || size > MaxWarnings*300 || all[MaxWarnings-1].Field != "tasks" {
		t.Errorf("%d warnings of %d bytes, the last %+v", len(all), size, all[len(all)-1])
	}
	w = &Warnings{}
	for range MaxWarnings {
		w.Look(&dag.Task{Custom: raw(`{"time_out":2}`)})
	}
	if all := w.All(); len(all) != MaxWarnings || all[MaxWarnings-1].Field == "tasks" {
		t.Errorf("just as many as there is room for: %+v", all)
	}
}

func TestUnknownKeysCostLittle(t *testing.T) {
	var b strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&b, `,"dependencie%d":1`, i)
	}
	w := &Warnings{}
	w.Look(&dag.Task{Custom: raw(`{"time_out":1` + b.String() + `}`)})
	if len(w.judged) != maxJudged || len(w.All()) != MaxWarnings {
		t.Errorf("%d keys were compared, %d warnings", len(w.judged), len(w.All()))
	}
}

func BenchmarkWarnings(b *testing.B) {
	var known dag.Known
	known.Add("rest_executor", "http")
	var tasks []*dag.Task
	for i := range 1000 {
		for task, err := range Parse(fmt.Appendf(nil, smallTask, i, i, i), Options{Executors: known}) {
			if err != nil {
				b.Fatal(err)
			}
			tasks = append(tasks, task)
		}
	}
	keys := map[string]InputKeys{"rest_executor": {Names: []string{"url", "method", "headers", "n"}, Required: []string{"url"}}}
	b.ReportAllocs()
	for b.Loop() {
		w := &Warnings{Inputs: keys}
		for _, task := range tasks {
			w.Look(task)
		}
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "tasks/s")
}
