package crew_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
)

// pair is a crew of two, the second of whom builds on the first.
const pair = `{
	"agents": {
		"researcher": {"role": "Researcher", "goal": "Find facts about {topic}", "backstory": "You are thorough.", "verbose": false, "allow_delegation": false},
		"writer": {"role": "Writer", "goal": "Write well"}
	},
	"tasks": {
		"zeta": {"description": "Find facts about {topic}", "expected_output": "Facts", "agent": "researcher"},
		"alpha": {"description": "Write an article", "expected_output": "An article", "agent": "writer"}
	}
}`

func TestASequentialCrewWorksInTheOrderOfItsTasks(t *testing.T) {
	t.Parallel()
	onEachWire(t, func(t *testing.T, b *bench) {
		b.Play("m", play(
			modeltest.Turn{When: "You are Researcher.\nYou are thorough.\nfacts about heat pumps\nWhat is expected", Text: "They move heat",
				Usage: &modeltest.Usage{Prompt: 100, Completion: 10, Cached: 40}},
			modeltest.Turn{When: "You are Writer.\nWrite an article\n<result task=\"zeta\" agent=\"Researcher\">\nThey move heat", Text: "Heat pumps: a story",
				Usage: &modeltest.Usage{Prompt: 50, Completion: 20}},
		))
		b.set(pair, `{"topic": "heat pumps"}`)
		_, got, err := b.run(t, b.single)
		if err != nil {
			t.Fatal(err)
		}
		want := `{"status":"success","result":"Heat pumps: a story",
			"token_usage":{"total_tokens":180,"prompt_tokens":150,"completion_tokens":30,"cached_prompt_tokens":40,"successful_requests":2},
			"tasks_output":[{"task":"zeta","agent":"Researcher","result":"They move heat"},{"task":"alpha","agent":"Writer","result":"Heat pumps: a story"}]}`
		if !same(got, want) {
			t.Errorf("got %v", got)
		}
		if b.used.TotalTokens() != 180 {
			t.Errorf("recorded %+v", b.used)
		}
		var agents []string
		for _, p := range b.pieces {
			if p.Kind == executors.PieceToken && !slices.Contains(agents, p.Agent) {
				agents = append(agents, p.Agent)
			}
		}
		if fmt.Sprint(agents) != "[Researcher Writer]" {
			t.Errorf("tokens came from %v", agents)
		}
		if n := len(b.report.Fractions()); n != 2 {
			t.Errorf("%d steps of progress", n)
		}
	})
}

func TestAnAnswerOfJSONIsAValue(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"a": 1}`:                  `{"a":1}`,
		"```json\n[1, 2]\n```":      `[1,2]`,
		`42`:                        `"42"`,
		`{"a": 1} and more`:         `"{\"a\": 1} and more"`,
		strings.Repeat("[", 20_000): `"` + strings.Repeat("[", 20_000) + `"`,
	} {
		b := newBench(t, "openai")
		b.Play("m", play(modeltest.Turn{Text: text, Chunk: -1}))
		b.set(`{"agents":{"a":{"role":"R"}},"tasks":{"t":{"description":"D"}}}`, `{}`)
		if _, got, err := b.run(t, b.single); err != nil || !same(got["result"], want) {
			t.Errorf("%.40s: got %.60v, %v", text, got["result"], err)
		}
	}
}

func TestASchemaMakesTheAnswerJSON(t *testing.T) {
	t.Parallel()
	onEachWire(t, func(t *testing.T, b *bench) {
		b.Play("m", play(modeltest.Turn{Text: `{"rating": 7}`, Wants: []string{"rating"}}))
		for _, name := range []string{"output_schema", "output_json", "output_pydantic", "response_model"} {
			b.Play("m", play(modeltest.Turn{Text: `{"rating": 7}`, Wants: []string{"rating"}}))
			b.set(`{"agents":{"a":{"role":"R"}},"tasks":{"t":{"description":"D","`+name+`":{"type":"object","properties":{"rating":{"type":"integer"}},"required":["rating"],"additionalProperties":false}}}}`, `{}`)
			if _, got, err := b.run(t, b.single); err != nil || !same(got["result"], `{"rating":7}`) {
				t.Errorf("%s: got %v, %v", name, got, err)
			}
		}
	})
}

func TestContextSaysWhoseResultsATaskGets(t *testing.T) {
	t.Parallel()
	b := newBench(t, "openai")
	b.Play("m", play(
		modeltest.Turn{When: "Do one", Text: "RESULT-1"}, modeltest.Turn{When: "Do two", Text: "RESULT-2"},
		modeltest.Turn{When: "Do three", Text: "RESULT-3"}, modeltest.Turn{When: "Do four", Text: "RESULT-4"},
	))
	b.set(`{"agents":{"a":{"role":"R"}},"tasks":{
		"one":{"description":"Do one"}, "two":{"description":"Do two"},
		"three":{"description":"Do three","context":["one"]}, "four":{"description":"Do four","context":[]}}}`, `{}`)
	if _, _, err := b.run(t, b.single); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", "1", "1", ""} {
		text := b.Requests()[i].Conversation()
		for _, n := range []string{"1", "2", "3"} {
			if strings.Contains(text, "RESULT-"+n) != (n == want) {
				t.Errorf("task %d is told of RESULT-%s: %t", i+1, n, n != want)
			}
		}
	}
}

func TestAsynchronousTasksRunBesideOneAnother(t *testing.T) {
	t.Parallel()
	b := newBench(t, "openai")
	slow := 300 * time.Millisecond
	b.Play("m", play(
		modeltest.Turn{When: "Do one", Text: "RESULT-1", Delay: slow}, modeltest.Turn{When: "Do two", Text: "RESULT-2", Delay: slow},
		modeltest.Turn{When: "Do three\nRESULT-1\nRESULT-2", Text: "RESULT-3"}, modeltest.Turn{When: "Do four\nRESULT-1\nRESULT-3", Text: "RESULT-4"},
	))
	b.set(`{"agents":{"a":{"role":"R"}},"tasks":{
		"one":{"description":"Do one","async_execution":true}, "two":{"description":"Do two","async_execution":true},
		"three":{"description":"Do three","async_execution":true,"context":["one","two"]}, "four":{"description":"Do four","context":["one","three"]}}}`, `{}`)
	begun := time.Now()
	_, got, err := b.run(t, b.single)
	if err != nil || got["result"] != "RESULT-4" || len(got["tasks_output"].([]any)) != 4 {
		t.Fatalf("got %v, %v", got, err)
	}
	if took := time.Since(begun); took > 2*slow {
		t.Logf("took %v", took) // a busy machine may be slow; the order of the requests tells
	}
	if first, second := b.Requests()[0].Conversation(), b.Requests()[1].Conversation(); strings.Contains(first+second, "RESULT-") {
		t.Error("the second task waited for the first one")
	}
}

func TestValuesOfVariablesAreData(t *testing.T) {
	t.Parallel()
	b := newBench(t, "openai")
	b.Play("m", play(modeltest.Turn{Text: "OK"}))
	b.set(`{"agents":{"a":{"role":"Expert for {topic}","goal":"{n} {yes} {list} {nothing}","backstory":"{up.stdout} {up.list} {no.such} {{topic}} {\"a\": 1} { topic }"}},
		"tasks":{"t":{"description":"{topic}"}}}`,
		`{"topic":"{n} {secret}","n":1.50,"yes":true,"list":[1,{"a":"b"}],"nothing":null,"up":{"stdout":"line","list":[1]}}`)
	if _, _, err := b.run(t, b.single); err != nil {
		t.Fatal(err)
	}
	system, user := b.Requests()[0].Messages[0].Text, b.Requests()[0].Messages[1].Text
	for _, want := range []string{"You are Expert for {n} {secret}.", `1.50 true [1,{"a":"b"}] null`, `line [1] {no.such} {topic} {"a": 1} { topic }`} {
		if !strings.Contains(system, want) {
			t.Errorf("%q lacks %q", system, want)
		}
	}
	if !strings.Contains(user, "Your task:\n{n} {secret}\n") {
		t.Errorf("got %q", user)
	}
	b.set(`{"agents":{"a":{"role":"R"}},"tasks":{"t":{"description":"Use {api_key}"}}}`, `{}`)
	if _, _, err := b.run(t, b.single); err == nil || !strings.Contains(err.Error(), "variable {api_key} is not in inputs") {
		t.Errorf("a key can be put into a prompt: %v", err)
	}
}

func TestModelsFallBackInOrder(t *testing.T) {
	t.Parallel()
	onEachWire(t, func(t *testing.T, b *bench) {
		b.Play("bad", play(modeltest.Turn{Fault: modeltest.FaultOverloaded, Times: -1}))
		b.Play("m", play(modeltest.Turn{Text: "from m", Times: -1}))
		for _, where := range []string{`"llm":["bad","m"]`, `"llm":{"model":["bad","m"],"temperature":0.1,"max_tokens":50}`, `"verbose":true`} {
			b.set(`{"agents":{"a":{"role":"R",`+where+`}},"tasks":{"t":{"description":"D"}}}`, `{}`)
			b.call.Schemas = json.RawMessage(`{"model":["bad","m"]}`)
			if _, got, err := b.run(t, b.single); err != nil || got["result"] != "from m" {
				t.Errorf("%s: got %v, %v", where, got, err)
			}
		}
		if body := string(b.Requests()[2].Body); !strings.Contains(body, `0.1`) || b.Requests()[2].MaxTokens != 50 {
			t.Errorf("sent %s", body)
		}
	})
}

func TestAFailedCrewFailsTheTask(t *testing.T) {
	t.Parallel()
	b := newBench(t, "openai")
	b.Play("m", play(modeltest.Turn{When: "Find facts", Text: "They move heat"}, modeltest.Turn{When: "Write an article", Fault: modeltest.FaultRate, RetryAfter: "9"}))
	b.set(pair, `{"topic": "heat pumps"}`)
	out, err := b.single.Run(t.Context(), b.call)
	if err == nil || executors.IsPermanent(err) || executors.RetryAfterOf(err) != 9*time.Second {
		t.Fatalf("got %v, after %v", err, executors.RetryAfterOf(err))
	}
	var detail map[string]any
	if json.Unmarshal([]byte(executors.DetailOf(err)), &detail) != nil || detail["status"] != "failed" || detail["result"] != nil || detail["error"] != err.Error() {
		t.Errorf("detail is %s", executors.DetailOf(err))
	}
	if usage, _ := detail["token_usage"].(map[string]any); usage["successful_requests"] != 1.0 {
		t.Errorf("usage is %v", detail["token_usage"])
	}
	if out.Kind() != executors.KindPartial {
		t.Errorf("outcome %+v", out)
	}
}

// TestCancelReachesEveryCall cancels while each of the crew's calls is under way.
func TestCancelReachesEveryCall(t *testing.T) {
	t.Parallel()
	for n := range 2 {
		onEachWire(t, func(t *testing.T, b *bench) {
			turns := []modeltest.Turn{{When: "Find facts", Text: "They move heat"}, {When: "Write an article", Text: "The end"}}
			turns[n] = modeltest.Turn{When: turns[n].When, Text: "The beginning", Hang: true}
			b.Play("m", play(turns...))
			b.set(pair, `{"topic": "heat pumps"}`)
			ctx, cancel := context.WithCancelCause(t.Context())
			arrived := make(chan struct{})
			tell := b.call.Live
			b.call.Live = func(p executors.Piece) {
				tell(p)
				if p.Kind == executors.PieceToken && strings.Contains(p.Text, "ning") {
					close(arrived)
				}
			}
			var stopped time.Time
			go func() {
				<-arrived
				stopped = time.Now()
				cancel(executors.ErrCancelled)
			}()
			out, err := b.single.Run(ctx, b.call)
			if !errors.Is(err, executors.ErrCancelled) || time.Since(stopped) > 30*time.Second {
				t.Fatalf("got %v after %v", err, time.Since(stopped))
			}
			<-b.Requests()[n].Ended()
			got := seen(t, out)
			want := fmt.Sprintf("Task was cancelled. Completed %d/2 tasks. Token usage preserved.", n)
			if got["status"] != "cancelled" || got["error"] != want || got["result"] != nil || got["interrupted"] != "The beginning" {
				t.Errorf("got %v", got)
			}
			if done, _ := got["tasks_output"].([]any); len(done) != n {
				t.Errorf("done are %v", done)
			}
			if usage, _ := got["token_usage"].(map[string]any); usage["successful_requests"] != float64(n+1) {
				t.Errorf("usage is %v", usage)
			}
		})
	}
	b := newBench(t, "openai")
	b.set(pair, `{"topic": "x"}`)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(executors.ErrCancelled)
	out, err := b.single.Run(ctx, b.call)
	if got := seen(t, out); !errors.Is(err, executors.ErrCancelled) || got["error"] != "Task was cancelled before crew execution started" {
		t.Errorf("got %v, %v", got, err)
	}
	out, err = b.batch.Run(ctx, func() *executors.Call { b.set(`{"w":`+pair+`}`, `{"topic":"x"}`); return b.call }())
	if got := seen(t, out); !errors.Is(err, executors.ErrCancelled) || got["error"] != "Task was cancelled before batch execution started" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestAnAgentHasSoMuchTimeAndNoMore(t *testing.T) {
	t.Parallel()
	b := newBench(t, "openai")
	b.Play("m", play(modeltest.Turn{HangFirst: true}))
	b.set(`{"agents":{"a":{"role":"R","max_execution_time":1}},"tasks":{"t":{"description":"D"}}}`, `{}`)
	_, err := b.single.Run(t.Context(), b.call)
	if err == nil || err.Error() != "R, task t: execution timed out after 1 seconds (max_execution_time)" {
		t.Fatalf("got %v", err)
	}
}

func TestTemplatesOfTheReference(t *testing.T) {
	t.Parallel()
	b := newBench(t, "openai")
	b.Play("m", play(modeltest.Turn{Text: "OK"}))
	b.set(`{"agents":{"a":{"role":"R","system_template":"<s>{{ .System }}</s>","prompt_template":"<p>{{ .Prompt }}</p>","response_template":"x","inject_date":true}},
		"tasks":{"t":{"description":"D","markdown":true}}}`, `{}`)
	if _, _, err := b.run(t, b.single); err != nil {
		t.Fatal(err)
	}
	m := b.Requests()[0].Messages
	if !strings.HasPrefix(m[0].Text, "<s>You are R.") || !strings.Contains(m[0].Text, "Today is 20") || !strings.HasPrefix(m[1].Text, "<p>Your task:\nD") || !strings.Contains(m[1].Text, "Markdown") {
		t.Errorf("got %q, %q", m[0].Text, m[1].Text)
	}
}
