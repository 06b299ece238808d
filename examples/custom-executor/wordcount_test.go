package main

import (
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
)

func TestWordCountConforms(t *testing.T) {
	conformance.Test(t, func(*testing.T) executors.Executor { return wordCount{} }, conformance.Features{
		Quick:   `{"text": "one two\nthree"}`,
		Instant: true,
		Missing: map[string]string{`{}`: "[word_count_executor] text is required in inputs"},
	})
}

func TestWordsAreCounted(t *testing.T) {
	for inputs, want := range map[string]int{
		`{"text": ""}`:                                0,
		`{"text": "one two\nthree"}`:                  3,
		`{"text": "one two three", "min_length": 4}`:  1,
		`{"text": "one two three", "min_length": 10}`: 0,
		`{"text": "süß", "min_length": 4}`:            0, // letters, not bytes
	} {
		call, _ := conformance.Call(t, inputs)
		got, err := wordCount{}.Run(t.Context(), call)
		if err != nil || got.Value().(*wordCountResult).Words != want {
			t.Errorf("%s: got %+v, %v, want %d", inputs, got, err, want)
		}
	}
}
