package generate_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// requirements are the ten kinds that the protocol's first server documents, in our words, each with a recorded answer. A line of an answer is a
// task: its name, its parent, its executor, what it depends on ("?": in any case), and its inputs.
var requirements = []struct {
	name, inputs, answer string
	order                string // "a<b": b waits for a, also by way of others
	sideBySide           string // "a|b": neither waits for the other
}{
	{
		"two sources", `{"requirement": "Read two services at the same time, merge what they say, check it, and store it in the database", "executors": ["rest", "aggregate_results", "llm", "sql"]}`,
		`store - sql check {"driver": "sqlite", "database": "orders.db", "query": "insert into orders values (:doc)", "params": {"doc": "x"}}
		 one store rest - {"url": "https://one.example.org/orders", "fail_on_error": true}
		 two store rest - {"url": "https://two.example.org/orders", "fail_on_error": true}
		 merge store aggregate_results one,two {}
		 check store llm merge {"model": "gpt-4o", "messages": [{"role": "user", "content": "Are these orders whole? {{merge.results}}"}]}`,
		"one<merge two<merge merge<check check<store", "one|two",
	},
	{
		"extract, transform, load", `{"requirement": "Extract from a REST API, transform by filter and sum, load into a database; tell somebody when that fails", "executors": ["rest", "llm", "sql"]}`,
		`extract - rest - {"url": "https://example.org/sales", "retries": 3, "fail_on_error": true}
		 transform extract llm extract {"model": "gpt-4o", "messages": [{"role": "user", "content": "Sum by region: {{extract.json}}"}]}
		 load transform sql transform {"driver": "sqlite", "database": "sales.db", "query": "insert into sums values (:s)", "params": {"s": "x"}}
		 tell load rest load? {"url": "https://example.org/hooks/etl", "method": "POST", "json": {"done": true}}`,
		"extract<transform transform<load load<tell", "",
	},
	{
		"facts of a machine", `{"requirement": "Collect CPU and memory in parallel, analyze them with a command, then aggregate", "allow_commands": true, "executors": ["system_info", "command", "aggregate_results"]}`,
		`all - aggregate_results cpu,memory,analyze {}
		 cpu all system_info - {"resource": "cpu"}
		 memory all system_info - {"resource": "memory"}
		 analyze all command cpu,memory {"command": "wc -c", "stdin_from": "/memory/total"}`,
		"cpu<analyze memory<analyze analyze<all", "cpu|memory",
	},
	{
		"an API and a script", `{"requirement": "Call an API for users, pick the important fields with a Python script, validate, save to a file", "allow_commands": true, "executors": ["rest", "python", "file"]}`,
		`users - rest - {"url": "https://example.org/users", "fail_on_error": true}
		 pick users python users {"code": "def main(inputs):\n    return [u['id'] for u in inputs['users']['json']]"}
		 check pick python pick {"code": "def main(inputs):\n    assert inputs['pick']"}
		 save check file check,pick {"operation": "write", "path": "users.json", "content": "[]", "overwrite": true}`,
		"users<pick pick<check check<save", "",
	},
	{
		"two ways, then one", `{"requirement": "Fetch data, process it in two ways in parallel (filter and aggregate), merge both, save to a database", "executors": ["rest", "llm", "aggregate_results", "sql"]}`,
		`fetch - rest - {"url": "https://example.org/data"}
		 filter fetch llm fetch {"model": "gpt-4o", "messages": [{"role": "user", "content": "Only the open ones: {{ fetch.json }}"}]}
		 sum fetch llm fetch {"model": "gpt-4o", "messages": [{"role": "user", "content": "The sums of {{fetch.json}}"}]}
		 merge fetch aggregate_results filter,sum {}
		 save merge sql merge {"driver": "sqlite", "database": "data.db", "query": "insert into merged values (1)"}`,
		"fetch<filter fetch<sum filter<merge sum<merge merge<save", "filter|sum",
	},
	{
		"watch a machine", `{"requirement": "Monitor CPU, memory and disk in parallel, analyze, write a report, and notify if a threshold is exceeded"}`,
		`watch - - - {}
		 cpu watch system_info - {"resource": "cpu"}
		 memory watch system_info - {"resource": "memory"}
		 disk watch system_info - {"resource": "disk"}
		 metrics watch aggregate_results cpu,memory,disk {}
		 report watch llm metrics {"model": "gpt-4o", "messages": [{"role": "user", "content": "Report, and say ALARM above 90 %: {{metrics.results}}"}]}
		 notify watch rest report {"url": "https://example.org/hooks/ops", "method": "POST", "json": {"kind": "report"}}`,
		"cpu<metrics memory<metrics disk<metrics metrics<report report<notify", "cpu|memory cpu|disk memory|disk",
	},
	{
		"many downloads", `{"requirement": "Download from several sources at once, transform each dataset by itself, combine all in one output file", "executors": ["rest", "llm", "file"]}`,
		`combine - file a2,b2 {"operation": "write", "path": "out.json", "content": "[]", "overwrite": true}
		 a1 combine rest - {"url": "https://a.example.org"}
		 b1 combine rest - {"url": "https://b.example.org"}
		 a2 combine llm a1 {"model": "gpt-4o", "messages": [{"role": "user", "content": "Normalise {{a1.body}}"}]}
		 b2 combine llm b1 {"model": "gpt-4o", "messages": [{"role": "user", "content": "Normalise {{b1.body}}"}]}`,
		"a1<a2 b1<b2 a2<combine b2<combine", "a1|b1 a2|b2 a1|b2",
	},
	{
		"a token and a fallback", `{"requirement": "Get a token from API A, use it to call API B, process the data; if that fails, call a fallback API"}`,
		`token - rest - {"url": "https://a.example.org/token", "method": "POST", "fail_on_error": true}
		 data token rest token {"url": "https://b.example.org/data", "fail_on_error": true}
		 process data llm data {"model": "gpt-4o", "messages": [{"role": "user", "content": "{{data.json}}"}]}
		 fallback process rest process? {"url": "https://c.example.org/data"}`,
		"token<data data<process process<fallback", "",
	},
	{
		"categories", `{"requirement": "Fetch items, organize them into categories, process each category in parallel, aggregate all results"}`,
		`all - aggregate_results books,music {}
		 fetch all rest - {"url": "https://example.org/items"}
		 sort all llm fetch {"model": "gpt-4o", "messages": [{"role": "user", "content": "{{fetch.json}}"}]}
		 categories all - - {}
		 books categories llm sort {"model": "gpt-4o", "messages": [{"role": "user", "content": "The books of {{sort.content}}"}]}
		 music categories llm sort {"model": "gpt-4o", "messages": [{"role": "user", "content": "The music of {{sort.content}}"}]}`,
		"fetch<sort sort<books sort<music books<all music<all", "books|music",
	},
	{
		"a business", `{"requirement": "Fetch customers, validate them, process the orders of each in parallel, aggregate, calculate totals, and write a final report", "max_tokens": 8000}`,
		`report - llm totals {"model": "gpt-4o", "messages": [{"role": "user", "content": "A report of {{totals.content}}"}]}
		 customers report rest - {"url": "https://example.org/customers", "fail_on_error": true}
		 valid report llm customers {"model": "gpt-4o", "messages": [{"role": "user", "content": "Which are whole? {{customers.json}}"}]}
		 ann report rest valid {"url": "https://example.org/orders", "params": {"customer": "ann"}}
		 bob report rest valid {"url": "https://example.org/orders", "params": {"customer": "bob"}}
		 orders report aggregate_results ann,bob {}
		 totals report llm orders {"model": "gpt-4o", "messages": [{"role": "user", "content": "Totals of {{orders.results}}"}]}`,
		"customers<valid valid<ann valid<bob ann<orders bob<orders orders<totals totals<report", "ann|bob",
	},
}

// answerOf writes a recorded answer as a model does.
func answerOf(t *testing.T, lines string) string {
	t.Helper()
	var tasks []map[string]any
	for line := range strings.SplitSeq(lines, "\n") {
		parts := strings.SplitN(strings.TrimSpace(line), " ", 5)
		if len(parts) != 5 || !json.Valid([]byte(parts[4])) {
			t.Fatalf("%q is no task", line)
		}
		task := map[string]any{"id": parts[0], "name": parts[0], "inputs": json.RawMessage(parts[4])}
		if parts[1] != "-" {
			task["parent_id"] = parts[1]
		}
		if parts[2] != "-" {
			task["schemas"] = map[string]string{"method": parts[2] + "_executor"}
		}
		var after []map[string]any
		for _, dep := range strings.Split(parts[3], ",") {
			if name, inAnyCase := strings.CutSuffix(dep, "?"); name != "-" {
				after = append(after, map[string]any{"id": name, "required": !inAnyCase})
			}
		}
		if after != nil {
			task["dependencies"] = after
		}
		tasks = append(tasks, task)
	}
	text, err := json.MarshalIndent(tasks, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return "Here is the tree.\n\n```json\n" + string(text) + "\n```\n"
}

// TestTheTenRequirements, over both wire formats: each tree has the order that was asked for, and a cluster takes it.
func TestTheTenRequirements(t *testing.T) {
	c := cluster.Start(t, cluster.Options{})
	for i, row := range requirements {
		t.Run(row.name, func(t *testing.T) {
			s := modeltest.Start(t)
			s.Play("*", modeltest.Script{Turns: []modeltest.Turn{{Text: answerOf(t, row.answer), Wants: []string{"The requirement:"}}}})
			inputs := strings.TrimSuffix(row.inputs, "}") + fmt.Sprintf(`, "model": %q}`, []string{"gpt-4o", "claude-x"}[i%2])
			r, err := ask(t, s, inputs)
			if err != nil {
				t.Fatal(err)
			}
			tasks := wantTree(t, r, "", func(string) bool { return true })
			after := waits(tasks)
			for pair := range strings.FieldsSeq(row.order) {
				first, then, _ := strings.Cut(pair, "<")
				if !after[then][first] {
					t.Errorf("%s does not wait for %s", then, first)
				}
			}
			for pair := range strings.FieldsSeq(row.sideBySide) {
				a, b, _ := strings.Cut(pair, "|")
				if after[a][b] || after[b][a] {
					t.Errorf("%s and %s are not side by side", a, b)
				}
			}
			text, _ := json.Marshal(r.Tasks)
			out, err := c.Service().Submit(t.Context(), coordinator.SubmitOptions{Hold: true}, treedoc.Parse(text, treedoc.Options{}))
			if err != nil || out.Tasks != len(tasks) || len(out.Warnings) > 0 {
				t.Errorf("a cluster says %+v, %v of %s", out, err, text)
			}
			for _, task := range r.Tasks { // no reference is left to an id that the model gave
				for k := range task.Dependencies {
					dep := tasks[slices.IndexFunc(tasks, func(d *dag.Task) bool { return d.ID == task.Dependencies[k].ID })]
					for _, was := range []string{"{{" + dep.Name + ".", "{{ " + dep.Name + ".", "['" + dep.Name + "']", `"/` + dep.Name + "/"} {
						if strings.Contains(string(task.Inputs), was) {
							t.Errorf("%s still refers to %s: %s", task.Name, was, task.Inputs)
						}
					}
				}
			}
		})
	}
}

// waits are what each task waits for, by name, also by way of others.
func waits(tasks []*dag.Task) map[string]map[string]bool {
	byID := map[string]*dag.Task{}
	for _, t := range tasks {
		byID[t.ID] = t
	}
	all := map[string]map[string]bool{}
	var visit func(of string, t *dag.Task)
	visit = func(of string, t *dag.Task) {
		for _, d := range t.Dependencies {
			if dep := byID[d.Ref]; !all[of][dep.Name] {
				all[of][dep.Name] = true
				visit(of, dep)
			}
		}
	}
	for _, t := range tasks {
		all[t.Name] = map[string]bool{}
		visit(t.Name, t)
	}
	return all
}
