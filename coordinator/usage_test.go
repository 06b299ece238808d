package coordinator

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// TestUsageOnTheWire: a worker's word on usage is stored within bounds, each model and currency once.
func TestUsageOnTheWire(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		fact string
		sent []*workerv1.Usage
		want []dag.Used
	}{
		{"none", nil, nil},
		{"nothing was used", []*workerv1.Usage{{Model: "m", Currency: "USD"}}, nil},
		{"all numbers", []*workerv1.Usage{{Model: "m", Currency: "USD", Calls: 1, Prompt: 2, Completion: 3, Cached: 4, CostNanos: 5, Unpriced: 6}},
			[]dag.Used{{Model: "m", Currency: "USD", Calls: 1, Prompt: 2, Completion: 3, Cached: 4, CostNanos: 5, Unpriced: 6}}},
		{"a model twice, and in another currency", []*workerv1.Usage{{Model: "m", Calls: 1}, {Model: "m", Currency: "EUR", Calls: 2}, {Model: "m", Calls: 4}},
			[]dag.Used{{Model: "m", Calls: 5}, {Model: "m", Currency: "EUR", Calls: 2}}},
		{"numbers that can't be", []*workerv1.Usage{{Model: "m", Calls: -1, Prompt: math.MaxInt64, Cached: math.MinInt64}},
			[]dag.Used{{Model: "m", Prompt: mostOfOneUsage}}},
		{"names that can't be stored", []*workerv1.Usage{{Model: "a\x00\xff", Currency: strings.Repeat("é", 50), Calls: 1}},
			[]dag.Used{{Model: "a\uFFFD\uFFFD", Currency: "éééééééé", Calls: 1}}},
	} {
		if got := readUsage(row.sent); !slices.Equal(got, row.want) {
			t.Errorf("%s: got %v, want %v", row.fact, got, row.want)
		}
	}
	var many []*workerv1.Usage
	for i := range 1000 {
		many = append(many, &workerv1.Usage{Model: fmt.Sprint(i), Calls: 1})
	}
	if got := readUsage(many); len(got) != mostModels {
		t.Errorf("%d models of one attempt are stored", len(got))
	}
}

func TestUsageInSeveralCurrencies(t *testing.T) {
	t.Parallel()
	got := UsageOf([]dag.Used{{Model: "a", Currency: "USD", Calls: 1, CostNanos: 5}, {Model: "b", Currency: "EUR", Calls: 1, CostNanos: 7},
		{Model: "c", Currency: "USD", Calls: 2, CostNanos: 1}, {Model: "d", Calls: 1, Unpriced: 1}}, false)
	if nameless := UsageOf([]dag.Used{{Model: "a", Calls: 1, CostNanos: 5}}, false); len(nameless.Costs) != 1 || nameless.Costs[0].Nanos != 5 {
		t.Errorf("a cost without a currency is lost: %+v", nameless)
	}
	if want := []Cost{{6, "USD"}, {7, "EUR"}}; !slices.Equal(got.Costs, want) || got.Calls != 5 || got.Unpriced != 1 || got.Models != nil {
		t.Errorf("got %+v", got)
	}
}
