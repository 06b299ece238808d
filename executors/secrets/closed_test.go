package secrets_test

import (
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/secrets"
)

// TestClosed: a model chooses no place for what the author has fixed.
func TestClosed(t *testing.T) {
	t.Parallel()
	d := executors.Description{Connection: &executors.Connection{TypeField: "driver", Fields: []string{"driver", "url", "host"}}}
	for fixed, closed := range map[string]bool{
		``: false, `{}`: false, `{"query":"SELECT 1"}`: false, `{"url":null}`: false, `{"connection":null}`: false, `{"driver":"sqlite"}`: false,
		`{"url":"postgres://u:p@h/d"}`: true, `{"URL":"x"}`: true, `{"url":{"secret":"a"}}`: true, `{"params":[{"secret":"a"}]}`: true, `{"connection":"c"}`: true,
	} {
		got := secrets.Closed(d, []byte(fixed))
		if want := d.Connection.Fields; closed && !slices.Equal(got, want) || !closed && got != nil {
			t.Errorf("%s: got %v", fixed, got)
		}
	}
	if got := secrets.Closed(executors.Description{}, []byte(`{"url":{"secret":"a"}}`)); got != nil {
		t.Errorf("without connections: got %v", got)
	}
}
