package aggregate_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors/aggregate"
	"github.com/taskgrove/taskgrove/executors/conformance"
)

func TestResult(t *testing.T) {
	for name, row := range map[string]struct{ inputs, want string }{
		"nothing":             {`{}`, `{"summary":"Task Results Aggregation","timestamp":"T","results":{},"result_count":0}`},
		"values stay exact":   {`{"a": 12345678901234567890.10, "b": [null]}`, `{"summary":"Task Results Aggregation","timestamp":"T","results":{"a":12345678901234567890.10,"b":[null]},"result_count":2}`},
		"marks are left out":  {`{"x": 1, "_pre_hook_executed": true, "_pre_hook_timestamp": "t"}`, `{"summary":"Task Results Aggregation","timestamp":"T","results":{"x":1},"result_count":1}`},
		"a null is a result":  {`{"x": null}`, `{"summary":"Task Results Aggregation","timestamp":"T","results":{"x":null},"result_count":1}`},
		"other marks are not": {`{"_x": 1}`, `{"summary":"Task Results Aggregation","timestamp":"T","results":{"_x":1},"result_count":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			call, _ := conformance.Call(t, row.inputs)
			got, err := aggregate.New().Run(t.Context(), call)
			if err != nil {
				t.Fatal(err)
			}
			result := got.Value().(*aggregate.Result)
			if at, err := time.Parse(time.RFC3339Nano, result.Timestamp); err != nil || time.Since(at) > time.Minute {
				t.Errorf("timestamp %s: %v", result.Timestamp, err)
			}
			result.Timestamp = "T"
			if text, _ := json.Marshal(result); string(text) != row.want {
				t.Errorf("got  %s\nwant %s", text, row.want)
			}
		})
	}
}
