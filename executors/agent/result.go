package agent

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// result makes the answer of a text. One that does not fit the job's schema may be repaired once, without tools.
func (w *work) result(ctx context.Context, text string) (*Answer, error) {
	if len(w.job.Schema) == 0 {
		return w.answer(text, nil), nil
	}
	schema, err := inputs.Compile(w.job.Schema)
	if err != nil {
		return nil, w.failure("the schema of the answer can't be used: " + err.Error())
	}
	value, faults := read(schema, text)
	if len(faults) == 0 {
		return w.answer(text, value), nil
	}
	w.log(w.agent, "the answer does not fit the schema, and is asked for again: "+strings.Join(faults, "; "))
	w.say(model.Assistant, text)
	w.say(model.User, "That is not as demanded: "+strings.Join(faults, "; ")+
		".\nAnswer again with nothing but JSON that fits this JSON Schema:\n"+string(w.job.Schema))
	choice := ""
	if len(w.specs) > 0 {
		choice = "none"
	}
	r, err := w.question(ctx, choice, w.job.Schema)
	if err != nil {
		return nil, err
	}
	text = textOf(r.Message)
	if value, faults = read(schema, text); len(faults) > 0 {
		return nil, w.failure("the answer does not fit the schema: " + strings.Join(faults, "; "))
	}
	return w.answer(text, value), nil
}

func (w *work) answer(text string, value json.RawMessage) *Answer {
	return &Answer{Text: text, JSON: value, Model: w.model, Uses: w.uses, Short: w.short}
}

// read finds the JSON in an answer, and what is wrong with it.
func read(schema *inputs.Schema, text string) (json.RawMessage, []string) {
	value, err := rawjson.Compact([]byte(Unfenced(text)))
	if err != nil {
		return nil, []string{"it is not valid JSON"}
	}
	return value, schema.Faults(value)
}

// Unfenced is what stands in a text's code fence, if the text is nothing else; any other text is as it was.
func Unfenced(text string) string {
	text = strings.TrimSpace(text)
	inner, ok := strings.CutPrefix(text, "```")
	if !ok {
		return text
	}
	if inner, ok = strings.CutSuffix(inner, "```"); !ok {
		return text
	}
	_, inner, ok = strings.Cut(inner, "\n") // the language
	if !ok || strings.Contains(inner, "```") {
		return text
	}
	return strings.TrimSpace(inner)
}
