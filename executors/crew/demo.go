package crew

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/budget"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

const demoSecondsPerWork = 2 // of a batch

// worksOfDemo are the works to demonstrate; nil: there are none. A demonstration takes them from schemas, too.
func worksOfDemo(call *executors.Call) json.RawMessage {
	if works := worksIn(fieldsOf(call.Params)); !empty(works) {
		return works
	}
	return fieldsOf(call.Schemas)["works"]
}

// demoCrew is the reference's result of a crew that is demonstrated.
func demoCrew(works json.RawMessage) *Result {
	fields := fieldsOf(works)
	agents := max(1, countOf(fields["agents"]))
	var lines []string
	count := 0
	each(fields["tasks"], func(name string, t json.RawMessage) {
		count++
		description, _ := rawjson.Unquote(quoted(fieldsOf(t)["description"]))
		if description == "" {
			description = "Demo task: " + name
		}
		lines = append(lines, "Completed: "+description)
	})
	if count == 0 {
		lines, count = []string{"Completed: Execute demo task"}, 1
	}
	tokens := int64(1500 * count * agents)
	return &Result{
		Status: statusSuccess, Value: executors.Text([]byte(strings.Join(lines, "\n"))),
		Usage: &budget.TokenUsage{Total: tokens, Prompt: tokens * 7 / 10, Completion: tokens * 3 / 10, Requests: int64(count)},
	}
}

func demoBatch(call *executors.Call) (any, time.Duration) {
	var all works
	each(worksOfDemo(call), func(name string, work json.RawMessage) {
		if kindOf(work) == "object" && len(all.names) < maxWorks {
			all.set(name, demoCrew(work))
		}
	})
	if len(all.names) == 0 {
		all.set("work_1", demoCrew(nil))
		all.set("work_2", demoCrew(nil))
	}
	total := &budget.TokenUsage{}
	for _, r := range all.of {
		total.Total, total.Prompt, total.Completion = total.Total+r.Usage.Total, total.Prompt+r.Usage.Prompt, total.Completion+r.Usage.Completion
		total.Requests += r.Usage.Requests
	}
	return &Result{Status: statusSuccess, Value: &all, Usage: total}, time.Duration(demoSecondsPerWork*len(all.names)) * time.Second
}

// each yields the entries of an object, or of a list, which have no names.
func each(value json.RawMessage, yield func(name string, value json.RawMessage)) {
	for name, one := range members(value) {
		yield(name, one)
	}
	for one := range rawjson.Elements(value) {
		yield("", one)
	}
}

func countOf(value json.RawMessage) (n int) {
	each(value, func(string, json.RawMessage) { n++ })
	return n
}
