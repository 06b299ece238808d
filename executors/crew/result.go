package crew

import (
	"encoding/json"
	"strings"
	"sync/atomic"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/agent"
	"github.com/taskgrove/taskgrove/executors/budget"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// Statuses of a [Result].
const (
	statusSuccess   = "success"
	statusFailed    = "failed"
	statusCancelled = "cancelled"
	statusPartial   = "partial"
)

// Result is what a crew or a batch gives (spec 8.11).
type Result struct {
	Status string `json:"status"`
	Error  string `json:"error,omitempty"`
	// Value is the text of the last task, or what is in it if that is an object or a list of JSON; of a batch, the results of its works by
	// their names.
	Value any                `json:"result"`
	Usage *budget.TokenUsage `json:"token_usage,omitempty"`
	Cost  *budget.Cost       `json:"cost,omitempty"`
	Tasks []*TaskOutput      `json:"tasks_output,omitempty"` // of a crew
	// Partial is what the works of a batch gave that was not done to its end, by their names.
	Partial *works `json:"partial_result,omitempty"`
	// Interrupted is what had arrived of the answer that was under way.
	Interrupted string `json:"interrupted,omitempty"`
}

// TaskOutput is what a task of a crew gave.
type TaskOutput struct {
	Task  string `json:"task"`
	Agent string `json:"agent"`
	Value any    `json:"result"`
	// Note says why the agent had to come to an end.
	Note string `json:"note,omitempty"`

	text string // as other tasks are told
}

const (
	maxInterrupted = 64 << 10 // bytes
	leastKept      = 1 << 10  // of a result, however many there are
	resultsKept    = 4        // as many results of the largest size as an attempt keeps together
)

// room is how many bytes of results an attempt still keeps. Safe for concurrent use.
type room struct {
	each int
	left atomic.Int64
}

func newRoom(each int) *room {
	r := &room{each: each}
	r.left.Store(int64(each) * resultsKept)
	return r
}

// keep is an answer as a value: JSON of its own if it has a schema or consists of an object or list, or its text. What there is no room for is
// cut, and then it is text.
func (r *room) keep(a *agent.Answer) any {
	value, size := any(a.Text), len(a.Text)
	if len(a.JSON) > 0 {
		value, size = a.JSON, len(a.JSON)
	} else if text := agent.Unfenced(a.Text); strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
		if found, err := rawjson.Compact([]byte(text)); err == nil {
			value, size = json.RawMessage(found), len(found)
		}
	}
	most := max(min(r.each, int(r.left.Load())), leastKept)
	if raw, ok := value.(json.RawMessage); ok && size <= most {
		raw = rawjson.Storable(raw, levelsAround)
		if value = raw; raw == nil {
			value = a.Text
		}
	} else {
		value = cut(a.Text, most)
	}
	r.left.Add(-int64(min(size, most)))
	return value
}

const levelsAround = 8 // of JSON, around a result of a task within a result of a batch

func newOutput(t *task, who *member, a *agent.Answer, r *room) *TaskOutput {
	o := &TaskOutput{Task: t.key, Agent: who.name(), Note: a.Short, Value: r.keep(a), text: a.Text}
	if len(a.JSON) > 0 {
		o.text = string(a.JSON)
	}
	o.text = cut(o.text, maxHanded)
	return o
}

// spend adds to a result what its models have used.
func (r *Result) spend(u executors.Usage) {
	if r.Cost = budget.CostOf(u); u.Calls > 0 || u.TotalTokens() > 0 {
		r.Usage = budget.TokenUsageOf(u)
	}
}

// works are results by name, in the order of the document.
type works struct {
	names []string
	of    map[string]*Result
}

func (w *works) set(name string, r *Result) {
	if w.of == nil {
		w.of = map[string]*Result{}
	}
	if w.of[name] == nil {
		w.names = append(w.names, name)
	}
	w.of[name] = r
}

// MarshalJSON writes them as an object.
func (w *works) MarshalJSON() ([]byte, error) {
	text := []byte{'{'}
	for i, name := range w.names {
		key, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(w.of[name])
		if err != nil {
			return nil, err
		}
		if i > 0 {
			text = append(text, ',')
		}
		text = append(append(append(text, key...), ':'), value...)
	}
	return append(text, '}'), nil
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
