package noop_test

import (
	"encoding/json"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/noop"
)

func TestRun(t *testing.T) {
	for name, row := range map[string]struct {
		inputs, result, err string
		permanent           bool
	}{
		"nothing":             {`{}`, `{}`, "", false},
		"value":               {`{"value": [1, 2.50]}`, `[1,2.50]`, "", false},
		"null is a value":     {`{"value": null}`, `null`, "", false},
		"other inputs":        {`{"task-2": {"a": 1}}`, `{}`, "", false},
		"fail":                {`{"fail": "no luck"}`, ``, "no luck", false},
		"fail for good":       {`{"fail": "no luck", "permanent": true}`, ``, "no luck", true},
		"null is no failure":  {`{"fail": null}`, `{}`, "", false},
		"fail with no reason": {`{"fail": ""}`, ``, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			call, _ := conformance.Call(t, row.inputs)
			got, err := noop.New().Run(t.Context(), call)
			if row.result == "" {
				if err == nil || err.Error() != row.err || executors.IsPermanent(err) != row.permanent {
					t.Errorf("got %v, %v", got, err)
				}
				return
			}
			if text, _ := json.Marshal(got.Value()); err != nil || string(text) != row.result {
				t.Errorf("got %s, %v, want %s", text, err, row.result)
			}
		})
	}
}
