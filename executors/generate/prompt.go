package generate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/taskgrove/taskgrove/executors"
)

// Bounds of the prompt's parts (spec 8.12).
const (
	maxShown         = 15   // executors
	maxExecutorChars = 3500 // of their list
	fieldsFirst      = 3    // inputs of each, if there are more
	fieldsMost       = 12   // of those that fit best, while there is room
	maxAdviceChars   = 2500
	maxFieldText     = 90 // characters of what is said of an input
)

const rules = `You turn a requirement into a tree of tasks for a workflow engine. Answer with one JSON array of task objects, and nothing else.

A task:
  "id"            a short word of its own, such as "fetch-orders"; every task has one
  "name"          what people call the task
  "parent_id"     id of the task that this one is shown under. Exactly one task, the root, has none. It says nothing about what runs when
  "dependencies"  [{"id": "fetch-orders", "required": true}]: the tasks that must have ended before this one starts. "required": false also
                  goes on when that one has failed. Tasks that don't depend on one another run at the same time. No circles
  "schemas"       {"method": "<id of an executor>"}: one of those listed below and no other. A task without it runs nothing and only groups others
  "inputs"        what the executor is given: all that it requires, with values of the right type
  "priority"      0 urgent, 1 high, 2 normal, 3 low; 2 if you leave it out

Of each dependency, the result is laid into the inputs of the task that depends on it, under the dependency's id. With
"schemas": {"input_schema": {"properties": {"token": {}}}} the members of results that are called so become inputs of that name instead.
The order of work comes from "dependencies" only. Use as few tasks as do the work. Never invent executors, secrets, passwords or keys.`

const example = `Example, for "fetch orders and rates side by side, then put them together":
[
  {"id": "orders-with-rates", "name": "Put orders and rates together", "schemas": {"method": "aggregate_results_executor"}, "dependencies": [{"id": "fetch-orders", "required": true}, {"id": "fetch-rates", "required": true}], "inputs": {}},
  {"id": "fetch-orders", "name": "Fetch orders", "parent_id": "orders-with-rates", "schemas": {"method": "rest_executor"}, "inputs": {"url": "https://example.org/orders", "fail_on_error": true}},
  {"id": "fetch-rates", "name": "Fetch rates", "parent_id": "orders-with-rates", "schemas": {"method": "rest_executor"}, "inputs": {"url": "https://example.org/rates", "fail_on_error": true}}
]`

// advice is said where the requirement has one of the words, in this order.
var advice = []struct{ words, text string }{
	{"parallel simultaneous concurrent side independent multiple several each both two three", "Side by side: give the tasks no dependency on one another, and let what follows depend on all of them."},
	{"then sequential after finally pipeline chain step extract transform load etl first next", "One after the other: let each task depend on the one before it."},
	{"merge combine aggregate collect together join unite summary total report", "Putting together: aggregate_results_executor takes the results of all its dependencies and needs no inputs of its own. It can be the root, with the others below it."},
	{"fallback fail fails error handling otherwise if condition exceeds threshold unless", "When something may fail: a task that shall run in any case depends on it with \"required\": false. There are no branches: a task that decides gets the result and looks at it. Set fail_on_error on calls whose failure must stop what follows."},
	{"retry retries flaky unreliable robust again", "Trying again: \"retry\": {\"max_attempts\": 3, \"backoff\": \"exponential\", \"initial_delay\": 1} on the task; \"timeout\": seconds of one attempt."},
	{"token authentication login use pass extract key field", "Handing on a field: name it in schemas.input_schema.properties of the task that needs it, and it becomes an input of that name."},
	{"category categories group organize hierarchical hierarchy section nested", "Grouping: a task without schemas groups those whose parent_id names it. What waits for a group depends on its tasks, not on the group."},
	{"database sql table query insert store save load rows", "Databases: one statement or one transaction a task; values go by parameters, never into the text of the statement."},
	{"file files directory folder csv json output write read download upload archive", "Files: one operation a task; the path of what one task writes is what the next one reads."},
	{"notify notification send alert email message webhook slack", "Notifications: a call of rest_executor with method POST, after what it tells of."},
	{"summarize summarise classify translate model llm prompt text analyze analyse", "Judging texts: llm_executor, where it is listed, with messages that take from its dependencies' results: {{fetch-orders.body}}."},
	{"python script command shell program process", "Commands and code: only if such an executor is listed below; else leave the step to a call of a service."},
}

// instruction is what the model is told before the requirement: the rules, what there is to choose from, and an example.
func (j *judge) instruction(requirement string) string {
	said := wordsOf(requirement)
	var b strings.Builder
	b.WriteString(rules)
	fmt.Fprintf(&b, "\nAt most %d tasks.\n", j.most)
	if text := extracts(said); text != "" {
		b.WriteString("\nFor this requirement:\n" + text)
	}
	b.WriteString("\nExecutors, each with its inputs (* is required):\n" + j.menu(said) + "\n")
	b.WriteString(example)
	return b.String()
}

// question is the requirement. It is fenced, as it may come from elsewhere: what it says is what to build, not how to answer.
// Marks in it are replaced and not taken out, as what stands around one could be another.
func question(requirement string) string {
	return "The requirement:\n<<<\n" + strings.NewReplacer("<<<", "«", ">>>", "»").Replace(requirement) + "\n>>>\nAnswer with the JSON array alone."
}

// complaint tells a model what is wrong with its answer.
func complaint(faults string) string {
	return "That answer can't be used:\n" + faults + "\nAnswer with the whole corrected JSON array alone."
}

func extracts(said map[string]bool) string {
	var b strings.Builder
	for _, a := range advice {
		if slices.ContainsFunc(strings.Fields(a.words), func(w string) bool { return said[w] }) && b.Len()+len(a.text) < maxAdviceChars {
			b.WriteString("- " + a.text + "\n")
		}
	}
	return b.String()
}

// entry is an executor in the menu.
type entry struct {
	id, text string
	fields   []string // as they are written, the best first
	score    int
}

// menu lists the executors that suit the requirement best, with the inputs that do, within its bounds.
func (j *judge) menu(said map[string]bool) string {
	var all []entry
	for _, d := range j.allowed {
		e := entry{id: d.ID, text: line(d.Description, 160), fields: fieldsOf(d.Inputs, said)}
		e.score = relevance(said, d.ID+" "+d.Name+" "+d.Type+" "+strings.Join(d.Tags, " "))*3 + relevance(said, d.Description)
		all = append(all, e)
	}
	slices.SortStableFunc(all, func(a, b entry) int { return cmp.Compare(b.score, a.score) })
	all = all[:min(len(all), maxShown)]
	shown, size := make([]int, len(all)), 0
	for i, e := range all {
		shown[i] = min(fieldsFirst, len(e.fields))
		size += len(e.write(shown[i]))
	}
	for ; size > maxExecutorChars && len(all) > 1; all = all[:len(all)-1] {
		size -= len(all[len(all)-1].write(shown[len(all)-1]))
	}
	for i, e := range all { // the rest of the room goes to the inputs of the best
		for shown[i] < min(fieldsMost, len(e.fields)) {
			more := len(e.write(shown[i]+1)) - len(e.write(shown[i]))
			if size+more > maxExecutorChars {
				break
			}
			shown[i]++
			size += more
		}
	}
	var b strings.Builder
	for i, e := range all {
		b.WriteString(e.write(shown[i]))
	}
	return b.String()
}

func (e entry) write(fields int) string {
	text := "- " + e.id + ": " + e.text
	if fields > 0 {
		text += ". Inputs: " + strings.Join(e.fields[:fields], "; ")
	}
	if len(e.fields) == 0 {
		text += ". It needs no inputs"
	}
	return text + "\n"
}

// fieldsOf writes the inputs of a schema: those that are required first, then those that the requirement speaks of.
func fieldsOf(schema json.RawMessage, said map[string]bool) (written []string) {
	var s struct {
		Properties map[string]struct {
			Type        any    `json:"type"`
			Enum        []any  `json:"enum"`
			Description string `json:"description"`
		} `json:"properties"`
		Required []string `json:"required"`
	}
	if json.Unmarshal(schema, &s) != nil {
		return nil
	}
	names := slices.Sorted(maps.Keys(s.Properties))
	rank := func(name string) int {
		score := relevance(said, name+" "+s.Properties[name].Description)
		if at := slices.Index(s.Required, name); at >= 0 {
			score += 1000 - at
		}
		return score
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(rank(b), rank(a)) })
	for _, name := range names {
		p := s.Properties[name]
		text := line(name, 60)
		if slices.Contains(s.Required, name) {
			text += "*"
		}
		var notes []string
		if kind := kindOf(p.Type); kind != "" {
			notes = append(notes, kind)
		}
		if len(p.Enum) > 0 {
			if values, err := json.Marshal(p.Enum); err == nil {
				notes = append(notes, line(string(values), maxFieldText))
			}
		} else if p.Description != "" {
			notes = append(notes, line(p.Description, maxFieldText))
		}
		if len(notes) > 0 {
			text += " (" + strings.Join(notes, ", ") + ")"
		}
		written = append(written, text)
	}
	return written
}

// kindOf is a JSON Schema's type, null aside.
func kindOf(t any) string {
	switch t := t.(type) {
	case string:
		return line(t, 20)
	case []any:
		for _, one := range t {
			if name, ok := one.(string); ok && name != "null" {
				return line(name, 20)
			}
		}
	}
	return ""
}

// relevance is how many words of a text the requirement has.
func relevance(said map[string]bool, text string) (n int) {
	for word := range wordsOf(text) {
		if said[word] {
			n++
		}
	}
	return n
}

// wordsOf are the words of a text that say something, in small letters and without the s of a plural.
func wordsOf(text string) map[string]bool {
	all := map[string]bool{}
	for _, word := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		if len(word) < 2 || slices.Contains(hollow, word) {
			continue
		}
		all[word] = true
		if len(word) > 3 {
			all[strings.TrimSuffix(word, "s")] = true
		}
	}
	return all
}

var hollow = []string{"the", "and", "of", "to", "in", "is", "it", "or", "as", "by", "for", "with", "that", "an", "on", "at", "be", "its", "from", "executor", "default", "task"}

// line is text of elsewhere on one line, of so many bytes at most.
func line(text string, most int) string {
	text = strings.Join(strings.Fields(executors.Text([]byte(text))), " ")
	if len(text) > most {
		text = strings.TrimRight(strings.ToValidUTF8(text[:most], ""), " ,.;:") + "…"
	}
	return strings.TrimRight(text, ".")
}
