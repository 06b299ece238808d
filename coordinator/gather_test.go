package coordinator

import (
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

// TestPressingResults: a batch of results is not kept waiting for more if one of them offers its slot, or may give back what others wait for.
func TestPressingResults(t *testing.T) {
	t.Parallel()
	for fact, row := range map[string]struct {
		results []dag.Result
		want    bool
	}{
		"plain ones":          {[]dag.Result{{Task: 1, Facts: dag.FactsOf(1, 0, dag.Normal, 1)}, {Task: 2}}, false},
		"one offers its slot": {[]dag.Result{{Task: 1}, {Task: 2, Offer: true}}, true},
		"one is limited":      {[]dag.Result{{Task: 1}, {Task: 2, Facts: dag.FactsOf(1, dag.FlagLimited, dag.Low, 7)}}, true},
		"one is repeatable":   {[]dag.Result{{Task: 1, Facts: dag.FactsOf(1, dag.FlagRepeatable, dag.Low, 7)}}, false},
		"none":                {nil, false},
	} {
		if got := (&delivery{results: row.results}).presses(); got != row.want {
			t.Errorf("%s: got %v", fact, got)
		}
	}
}
