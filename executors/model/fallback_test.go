package model_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
)

// TestAListOfModelsFallsBack in its order, after faults that another model may not have.
func TestAListOfModelsFallsBack(t *testing.T) {
	t.Parallel()
	for fault, on := range map[modeltest.Fault]bool{
		modeltest.FaultRate: true, modeltest.FaultQuota: true, modeltest.FaultOverloaded: true, modeltest.FaultServer: true, modeltest.FaultUnavailable: true,
		modeltest.FaultGateway: true, modeltest.FaultTimeout: true, modeltest.FaultModel: true,
		modeltest.FaultKey: false, modeltest.FaultPermission: false, modeltest.FaultContext: false, modeltest.FaultPolicy: false, modeltest.FaultTooLarge: false,
	} {
		for _, w := range wires {
			s := modeltest.Start(t)
			s.Play("first", modeltest.Script{Turns: []modeltest.Turn{{Fault: fault, Times: -1}}})
			s.Play("second", modeltest.Script{Turns: []modeltest.Turn{{Text: "Here.", Times: -1}}})
			b := newBench(t, model.Config{})
			r := say("Hi", "first", "second")
			r.Stream = w.stream
			resp, err := b.session(w.at(s)).Ask(t.Context(), r)
			switch {
			case on && (err != nil || resp.Message.Text() != "Here." || len(resp.Skipped) != 1 || resp.Skipped[0].Model != "first" || resp.Skipped[0].Reason == "" || resp.Usage.Calls != 1):
				t.Errorf("%s over %s: got %+v, %v", fault, w.name, resp, err)
			case !on && (err == nil || len(s.Requests()) != 1):
				t.Errorf("%s over %s: went on: %+v, %v", fault, w.name, resp, err)
			}
		}
	}
}

func TestWhenNoModelOfAListAnswers(t *testing.T) {
	t.Parallel()
	s := modeltest.Start(t)
	for name, turn := range map[string]modeltest.Turn{
		"gone": {Fault: modeltest.FaultModel}, "busy": {Fault: modeltest.FaultRate, RetryAfter: "40"}, "busier": {Fault: modeltest.FaultRate, RetryAfter: "20"},
	} {
		turn.Times = -1
		s.Play(name, modeltest.Script{Turns: []modeltest.Turn{turn}})
	}
	b := newBench(t, model.Config{})
	_, err := b.session(wires[0].at(s)).Ask(t.Context(), say("Hi", "gone", "busy", "busier"))
	if executors.IsPermanent(err) || executors.RetryAfterOf(err) != 20*time.Second || !strings.HasPrefix(err.Error(), "none of 3 models answered: model gone: ") || !strings.Contains(err.Error(), "model busier: ") {
		t.Errorf("got %v after %v", err, executors.RetryAfterOf(err))
	}
	if _, err = b.session(wires[0].at(s)).Ask(t.Context(), say("Hi", "gone", "nobody")); !executors.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}

// TestAFallbackCountsWhatTheFirstModelUsed before its answer broke off.
func TestAFallbackCountsWhatTheFirstModelUsed(t *testing.T) {
	t.Parallel()
	for _, w := range wires {
		if !w.stream {
			continue
		}
		s := modeltest.Start(t)
		s.Play("first", modeltest.Script{Turns: []modeltest.Turn{{Text: "A long beginning of an answer that", Cut: modeltest.CutMiddle}}})
		s.Play("second", modeltest.Script{Turns: []modeltest.Turn{{Text: "Here.", Usage: &modeltest.Usage{Prompt: 5, Completion: 2}}}})
		b := newBench(t, model.Config{})
		r := say("Hi", "first", "second")
		r.Stream = true
		resp, err := b.session(w.at(s)).Ask(t.Context(), r)
		if err != nil || resp.Usage.Calls != 2 || resp.Usage.CompletionTokens <= 2 || resp.Usage != b.used || !resp.Estimated {
			t.Errorf("%s: got %+v, %v, recorded %+v", w.name, resp, err, b.used)
		}
	}
}

// TestFaultsAreToldBeforeAnythingIsAsked, all at once.
func TestFaultsAreToldBeforeAnythingIsAsked(t *testing.T) {
	t.Parallel()
	s := modeltest.Start(t)
	b := newBench(t, model.Config{})
	session := b.session(wires[2].at(s))
	request := &model.Request{
		Models: []string{"m", "a b"}, MaxTokens: -1, ToolChoice: "nobody",
		Messages: []model.Message{
			{Role: "robot"}, {Role: model.ToolRole}, {Role: model.System, Parts: []model.Part{{ImageURL: "https://x/y"}}},
			{Role: model.User, Parts: []model.Part{{Image: []byte("x"), MediaType: "image/tiff"}, {ImageURL: "file:///etc/passwd"}}},
		},
		Tools:  []model.Tool{{Name: "a b"}, {Name: "x"}, {Name: "x", Schema: []byte("[]")}},
		Schema: []byte(`{"anyOf": [{"type": "object"}]}`),
	}
	err := session.Check(t.Context(), request)
	if !executors.IsPermanent(err) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{
		"[x_executor] messages[0]: role \"robot\" is not system", "messages[1]: a tool's answer needs the id", "messages[2]: only the user shows images",
		"messages[3]: an image must be PNG", "messages[3]: the address of an image must begin with https://", "tools[0]: \"a b\" is no tool's name",
		"tools[2]: there is another tool x", "tools[2]: its schema must be a JSON object", "tool_choice: there is no tool \"nobody\"",
		"output_schema: an answer is an object", "output_schema: anyOf at its root", "max_tokens must be above 0", "model: \"a b\" is no model's name",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %s:\n%v", want, err)
		}
	}
	if _, asked := session.Ask(t.Context(), request); asked == nil || asked.Error() != err.Error() || len(s.Requests()) != 0 {
		t.Errorf("asked: %v", asked)
	}
	if err := session.Check(t.Context(), &model.Request{}); err == nil || err.Error() != "[x_executor] messages is empty; model is required" {
		t.Errorf("got %v", err)
	}
	only := &model.Request{Models: []string{"m"}, Messages: []model.Message{model.Text(model.System, "x")}}
	if err := session.Check(t.Context(), only); err == nil || !strings.Contains(err.Error(), "Anthropic's format needs one of the user") {
		t.Errorf("got %v", err)
	}
}

func TestStructuredAnswers(t *testing.T) {
	t.Parallel()
	const schema = `{"type":"object","properties":{"city":{"type":"string"},"degrees":{"type":"number"}},"required":["city","degrees"],"additionalProperties":false}`
	for name, row := range map[string]struct {
		script   modeltest.Script
		text     string // of the answer; else a part of the error
		repaired bool
		err      string
		asked    int
	}{
		"right":       {modeltest.Recorded("structured"), `{"city":"Paris","degrees":18}`, false, "", 1},
		"repaired":    {modeltest.Recorded("structured-repaired"), `{"city":"Paris","degrees":18}`, true, "", 2},
		"wrong twice": {modeltest.Recorded("structured-wrong"), "", false, "does not fit output_schema, also after it was told what is wrong: missing property 'degrees'", 2},
		"fenced":      {modeltest.Script{Turns: []modeltest.Turn{{Text: "```json\n{\"city\":\"Paris\",\"degrees\":18}\n```"}}}, `{"city":"Paris","degrees":18}`, false, "", 1},
		"cut":         {modeltest.Script{Turns: []modeltest.Turn{{Text: `{"city":"Par`, Finish: "length"}}}, "", false, "raise max_tokens", 1},
		"refused":     {modeltest.Recorded("refusal"), "", false, "it refuses to answer", 1},
		"tools first": {modeltest.Script{Turns: []modeltest.Turn{{Calls: []modeltest.Call{{Name: "get_time", Arguments: "{}"}}}}}, "", false, "", 1},
	} {
		for _, w := range wires {
			t.Run(name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				s := modeltest.Start(t)
				s.Play("m", row.script)
				b := newBench(t, model.Config{})
				r := say("Weather?")
				r.Stream, r.Schema = w.stream, []byte(schema)
				if name == "tools first" {
					r.Tools = []model.Tool{{Name: "get_time"}}
				}
				resp, err := b.session(w.at(s)).Ask(t.Context(), r)
				for _, sent := range s.Requests() {
					if sent.Refused() != "" || !strings.Contains(string(sent.Body), `"degrees"`) {
						t.Errorf("sent %s: %s", sent.Body, sent.Refused())
					}
				}
				if len(s.Requests()) != row.asked || resp.Usage.Calls != int64(row.asked) {
					t.Errorf("asked %d times, used %+v, want %d", len(s.Requests()), resp.Usage, row.asked)
				}
				if row.err != "" {
					failure, _ := errors.AsType[*model.Error](err)
					if failure == nil || failure.Kind != model.BadShape || !executors.IsPermanent(err) || !strings.Contains(err.Error(), row.err) {
						t.Errorf("got %v", err)
					}
					return
				}
				if err != nil || resp.Message.Text() != row.text || resp.Repaired != row.repaired {
					t.Errorf("got %+v, %v", resp, err)
				}
				if row.asked == 2 && !strings.Contains(s.Requests()[1].Conversation(), "degrees: got string, want number") {
					t.Errorf("was told %s", s.Requests()[1].Conversation())
				}
			})
		}
	}
}
