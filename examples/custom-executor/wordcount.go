package main

import (
	"context"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/executors"
)

const wordCountID = "word_count_executor"

// wordCount counts the words of a text. It holds no state, so that any number of attempts may use it at once.
type wordCount struct{}

// Describe says what the executor is and takes. The worker checks inputs against the schema before it calls Run.
func (wordCount) Describe() executors.Description {
	return executors.Description{
		ID:          wordCountID,
		Name:        "Word Count Executor",
		Description: "Counts the words of a text",
		Type:        "text",
		Inputs: json.RawMessage(`{
			"type": "object",
			"properties": {
				"text": {"type": "string"},
				"min_length": {"type": "integer", "minimum": 1, "default": 1}
			},
			"required": ["text"]
		}`),
		Cancelable: true, // Run looks at its context
	}
}

type wordCountInput struct {
	Text      *string `json:"text"`
	MinLength int     `json:"min_length"`
}

type wordCountResult struct {
	Words int `json:"words"`
}

// Run counts. What it returns becomes the task's result; the value that it returns together with an error is the partial
// result of a task that was cancelled.
func (wordCount) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	var in wordCountInput
	if err := json.Unmarshal(call.Inputs, &in); err != nil {
		return nil, executors.Invalid(wordCountID, "inputs: "+err.Error())
	}
	if in.Text == nil {
		return nil, executors.Invalid(wordCountID, "text is required in inputs")
	}
	result := &wordCountResult{}
	read := 0
	for line := range strings.Lines(*in.Text) {
		if ctx.Err() != nil {
			return executors.Partial(result), context.Cause(ctx)
		}
		for _, word := range strings.Fields(line) {
			if utf8.RuneCountInString(word) >= in.MinLength {
				result.Words++
			}
		}
		read += len(line)
		call.Reporter.Progress(float64(read)/float64(len(*in.Text)), "counting")
	}
	return executors.Completed(result), nil
}
