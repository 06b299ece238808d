package builtin_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/executors/conformance"
)

// TestEveryExecutorConforms fails for an executor that has no entry here.
func TestEveryExecutorConforms(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
		}
	}))
	defer server.Close()
	features := map[string]conformance.Features{
		"system_info_executor": {Quick: `{"resource": "all"}`, Instant: true},
		"command_executor": {
			Quick:   `{"command": "echo hello"}`,
			Slow:    `{"command": "sleep 600"}`,
			Missing: map[string]string{`{}`: "[command_executor] command is required in inputs"},
		},
		"rest_executor": {
			Quick:   `{"url": "` + server.URL + `/quick"}`,
			Slow:    `{"url": "` + server.URL + `/slow", "timeout": 600}`,
			Missing: map[string]string{`{"method": "GET"}`: "[rest_executor] url is required in inputs"},
		},
		"aggregate_results_executor": {Quick: `{"task": {"a": 1}}`, Instant: true},
		"noop_executor":              {Quick: `{"value": 1}`, Instant: true},
		"noop_repeatable_executor":   {Quick: `{}`, Instant: true},
		"sleep_executor": {
			Quick:   `{"seconds": 0.01}`,
			Slow:    `{"seconds": 600}`,
			Missing: map[string]string{`{"fail": "x"}`: "[sleep_executor] seconds is required in inputs"},
		},
	}
	cfg := builtin.Config{Command: command.Config{Allow: true, Grace: time.Second}}
	for i, e := range builtin.New(cfg) {
		id := e.Describe().ID
		t.Run(id, func(t *testing.T) {
			f, ok := features[id]
			if !ok {
				t.Fatalf("no features for %s: add an entry above", id)
			}
			conformance.Test(t, func(*testing.T) executors.Executor { return builtin.New(cfg)[i] }, f)
		})
	}
}

func TestCatalogueHoldsTheRegistrysExecutorsInTheOrderOfTheSpec(t *testing.T) {
	var known dag.Known
	var ids, declared []string
	for d := range builtin.Catalogue() {
		ids = append(ids, d.ID)
		if d.Repeatable {
			declared = append(declared, d.ID)
		}
		known.Add(d.ID, d.Type)
	}
	want := []string{"system_info_executor", "command_executor", "rest_executor", "aggregate_results_executor",
		"noop_executor", "noop_repeatable_executor", "sleep_executor"}
	if !slices.Equal(ids, want) {
		t.Errorf("got  %v\nwant %v", ids, want)
	}
	repeatable := []string{"system_info_executor", "aggregate_results_executor", "noop_repeatable_executor"}
	if !slices.Equal(declared, repeatable) {
		t.Errorf("repeatable are %v, want %v", declared, repeatable)
	}
	for typ, want := range map[string]string{"stdio": "system_info_executor", "http": "rest_executor", "core": "aggregate_results_executor"} {
		if got := dag.ChooseExecutor("", nil, []byte(`{"type":"`+typ+`"}`), known); got != want {
			t.Errorf("type %s stands for %q, want %q", typ, got, want)
		}
	}
}
