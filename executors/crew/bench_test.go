package crew_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/crew"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/tools"
)

// wires are both formats.
var wires = []string{"openai", "anthropic"}

// onEachWire runs a test with each format.
func onEachWire(t *testing.T, test func(t *testing.T, b *bench)) {
	for _, api := range wires {
		t.Run(api, func(t *testing.T) {
			t.Parallel()
			test(t, newBench(t, api))
		})
	}
}

// bench is a service of models, and both executors, whose models are asked there.
type bench struct {
	*modeltest.Server
	models        *model.Models
	registry      *tools.Registry
	single, batch *crew.Executor
	service       string // inputs that say where models are asked
	call          *executors.Call
	report        *conformance.Recorder

	mu     sync.Mutex
	pieces []executors.Piece
	used   executors.Usage
}

func newBench(t *testing.T, api string, kinds ...tools.Kind) *bench {
	b := &bench{Server: modeltest.Start(t)}
	base := b.OpenAI()
	if api == "anthropic" {
		base = b.Anthropic() + "/v1"
	}
	models := model.New(model.Config{}, network.New(network.Config{Guard: network.Guard{Loopback: true}}), nil)
	t.Cleanup(func() { _ = models.Close() })
	b.service = fmt.Sprintf(`"api_key":%q,"api_base":%q`, b.Key(), base)
	if api == "anthropic" { // only an operator says which format an address has
		b.service += `,"api":"anthropic"`
	}
	registry := tools.NewRegistry(kinds...)
	b.models, b.registry = models, registry
	b.single, b.batch = crew.New(crew.Config{}, models, registry), crew.NewBatch(crew.Config{}, models, registry)
	b.call, b.report = conformance.Call(t, `{}`)
	if api == "anthropic" {
		b.call.Connection = "claude"
	}
	b.call.Live = func(p executors.Piece) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.pieces = append(b.pieces, p)
	}
	b.call.Used = func(_ string, u executors.Usage) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.used.Add(u)
	}
	return b
}

// set gives the call its works and inputs.
func (b *bench) set(works, inputs string) {
	b.call.Params = json.RawMessage(`{"works":` + works + `}`)
	b.call.Inputs = json.RawMessage(`{` + b.service + strings.Replace(`,`+strings.TrimPrefix(inputs, `{`), `,}`, `}`, 1))
	b.call.Schemas = json.RawMessage(`{"model":"m"}`)
}

// run runs an executor and gives its result, of which encoding/json makes what users see.
func (b *bench) run(t *testing.T, e *crew.Executor) (*crew.Result, map[string]any, error) {
	t.Helper()
	out, err := e.Run(t.Context(), b.call)
	result, _ := out.Value().(*crew.Result)
	return result, seen(t, out), err
}

// seen is a result as users see it.
func seen(t *testing.T, out *executors.Outcome) map[string]any {
	t.Helper()
	text, err := json.Marshal(out.Value())
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		t.Fatal(err)
	}
	return object
}

// same compares as JSON.
func same(got any, want string) bool {
	text, _ := json.Marshal(got)
	var g, w any
	if json.Unmarshal(text, &g) != nil || json.Unmarshal([]byte(want), &w) != nil {
		return false
	}
	return fmt.Sprint(g) == fmt.Sprint(w)
}

// uses is a turn that wants tools to be used.
func uses(name string, arguments ...string) modeltest.Turn {
	t := modeltest.Turn{}
	for _, a := range arguments {
		t.Calls = append(t.Calls, modeltest.Call{Name: name, Arguments: a})
	}
	return t
}

func play(turns ...modeltest.Turn) modeltest.Script { return modeltest.Script{Turns: turns} }
