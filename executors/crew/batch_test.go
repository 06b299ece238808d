package crew_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/crew"
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
)

var turnOK = modeltest.Turn{Text: "OK"}

// three is a batch of three works of one task each.
const three = `{"w1":{"agents":{"a":{"role":"R1"}},"tasks":{"t":{"description":"Greet {name}"}}},
	"w2":{"agents":{"a":{"role":"R2"}},"tasks":{"t":{"description":"Praise {name}"}}},
	"w3":{"agents":{"a":{"role":"R3"}},"tasks":{"t":{"description":"Leave {name}"}}}}`

func said(when, text string) modeltest.Turn {
	return modeltest.Turn{When: when, Text: text, Usage: &modeltest.Usage{Prompt: 10, Completion: 2, Cached: 1}}
}

func TestABatchRunsItsWorksOneAfterTheOther(t *testing.T) {
	t.Parallel()
	onEachWire(t, func(t *testing.T, b *bench) {
		b.Play("m", play(said("Greet Alice", "Hello"), said("Praise Alice", `{"ok":true}`), said("Leave Alice", "Bye")))
		b.set(three, `{"name":"Alice"}`)
		out, err := b.batch.Run(t.Context(), b.call)
		if err != nil {
			t.Fatal(err)
		}
		usage := func(n int) string {
			return fmt.Sprintf(`{"total_tokens":%d,"prompt_tokens":%d,"completion_tokens":%d,"cached_prompt_tokens":%d,"successful_requests":%d}`, 12*n, 10*n, 2*n, n, n)
		}
		work := func(agent, result string) string {
			return `{"status":"success","result":` + result + `,"token_usage":` + usage(1) + `,"tasks_output":[{"task":"t","agent":"` + agent + `","result":` + result + `}]}`
		}
		want := `{"status":"success","result":{"w1":` + work("R1", `"Hello"`) + `,"w2":` + work("R2", `{"ok":true}`) + `,"w3":` + work("R3", `"Bye"`) + `},"token_usage":` + usage(3) + `}`
		if text, _ := json.Marshal(out.Value()); string(text) != want {
			t.Errorf("got  %s\nwant %s", text, want)
		}
		if f := b.report.Fractions(); len(f) != 3 || f[2] != 1 {
			t.Errorf("progress is %v", f)
		}
	})
}

func TestAllWorksRunAlsoAfterAFailure(t *testing.T) {
	t.Parallel()
	b := newBench(t, "openai")
	for _, row := range []struct {
		w1, w3    modeltest.Turn
		permanent bool
		after     time.Duration
	}{
		{modeltest.Turn{When: "Greet", Fault: modeltest.FaultContext}, modeltest.Turn{When: "Leave", Fault: modeltest.FaultPolicy}, true, 0},
		{modeltest.Turn{When: "Greet", Fault: modeltest.FaultContext}, modeltest.Turn{When: "Leave", Fault: modeltest.FaultRate, RetryAfter: "5"}, false, 5 * time.Second},
	} {
		b.Play("m", play(row.w1, said("Praise Alice", "Great"), row.w3))
		b.set(three, `{"name":"Alice"}`)
		_, err := b.batch.Run(t.Context(), b.call)
		if err == nil || err.Error() != "Failed works: w1, w3" || executors.IsPermanent(err) != row.permanent || executors.RetryAfterOf(err) != row.after {
			t.Fatalf("got %v, permanent %t, after %v", err, executors.IsPermanent(err), executors.RetryAfterOf(err))
		}
		var detail struct {
			Status, Error string
			Result        any
			Usage         map[string]int `json:"token_usage"`
			Partial       map[string]struct {
				Status, Error string
				Result        any
			} `json:"partial_result"`
		}
		if err := json.Unmarshal([]byte(executors.DetailOf(err)), &detail); err != nil {
			t.Fatal(err)
		}
		if detail.Status != "failed" || detail.Error != "Failed works: w1, w3" || detail.Result != nil || detail.Usage["successful_requests"] != 1 ||
			detail.Partial["w2"].Result != "Great" || detail.Partial["w1"].Status != "failed" || detail.Partial["w1"].Error == "" {
			t.Errorf("detail is %s", executors.DetailOf(err))
		}
	}
}

func TestACancelledBatchKeepsWhatItHas(t *testing.T) {
	t.Parallel()
	for n := range 3 {
		onEachWire(t, func(t *testing.T, b *bench) {
			turns := []modeltest.Turn{said("Greet Alice", "Hello"), said("Praise Alice", "Great"), said("Leave Alice", "Bye")}
			turns[n] = modeltest.Turn{When: turns[n].When, HangFirst: true}
			b.Play("m", play(turns...))
			b.set(three, `{"name":"Alice"}`)
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() {
				b.Wait(t, n+1)
				cancel(executors.ErrCancelled)
			}()
			out, err := b.batch.Run(ctx, b.call)
			if !errors.Is(err, executors.ErrCancelled) || out.Kind() != executors.KindPartial {
				t.Fatalf("got %v", err)
			}
			got := seen(t, out)
			if got["status"] != "cancelled" || got["error"] != fmt.Sprintf("Task was cancelled. Completed %d/3 works. Token usage preserved.", n) || got["result"] != nil {
				t.Errorf("got %v", got)
			}
			works := got["partial_result"].(map[string]any)
			if len(works) != n+1 || works[fmt.Sprint("w", n+1)].(map[string]any)["status"] != "cancelled" {
				t.Errorf("works are %v", works)
			}
			if usage, _ := got["token_usage"].(map[string]any); usage["successful_requests"] != float64(n+1) || usage["total_tokens"].(float64) <= float64(12*n) { // the service had begun to work on the last one
				t.Errorf("usage is %v", usage)
			}
			if len(b.Requests()) != n+1 {
				t.Errorf("%d calls", len(b.Requests()))
			}
		})
	}
}

// TestBudgetsEndACrewAndABatch uses up each part of a budget in mid-work, under each policy.
func TestBudgetsEndACrewAndABatch(t *testing.T) {
	t.Parallel()
	for _, limit := range []string{"calls", "tokens", "seconds"} {
		for _, policy := range []string{"", "fail", "skip", "partial"} {
			t.Run(limit+" "+policy, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, "openai")
				for _, batch := range []bool{false, true} {
					second := said("", "never")
					if limit == "seconds" {
						second.Delay = 10 * time.Second
					}
					b.Play("m", play(modeltest.Turn{When: "Find facts about x", Text: "They move heat", Usage: &modeltest.Usage{Prompt: 4000, Completion: 500}}, second))
					works, e := pair, b.single
					if batch {
						works, e = `{"w1":{"agents":{"a":{"role":"R"}},"tasks":{"t":{"description":"Find facts about {topic}"}}},"w2":`+pair+`}`, b.batch
					}
					b.set(works, `{"topic":"x"}`)
					b.call.Params = json.RawMessage(strings.TrimSuffix(string(b.call.Params), "}") + `,"budget":` +
						map[string]string{"calls": `{"calls":1}`, "tokens": `{"tokens":4600}`, "seconds": `{"seconds":0.5}`}[limit] + `,"on_exhausted":"` + policy + `"}`)
					if policy == "" {
						b.call.Params = json.RawMessage(strings.Replace(string(b.call.Params), `,"on_exhausted":""`, "", 1))
					}
					out, err := e.Run(t.Context(), b.call)
					got := seen(t, out)
					switch policy {
					case "skip":
						if err != nil || got["skipped"] != true || !strings.HasPrefix(got["reason"].(string), "budget of ") {
							t.Errorf("got %v, %v", got, err)
						}
					case "partial":
						if err != nil || got["status"] != "partial" || got["budget_exhausted"] != limit || got["token_usage"] == nil {
							t.Fatalf("batch %t: got %v, %v", batch, got, err)
						}
						text := fmt.Sprint(got["result"])
						if !strings.Contains(text, "They move heat") {
							t.Errorf("batch %t: result is %v", batch, got["result"])
						}
					default:
						if err == nil || !executors.IsPermanent(err) || !strings.HasPrefix(err.Error(), "budget of ") || !strings.Contains(executors.DetailOf(err), "They move heat") {
							t.Errorf("batch %t: got %v, detail %s", batch, err, executors.DetailOf(err))
						}
					}
				}
			})
		}
	}
}

func TestABudgetInInputsCountsUnlessItIsAVariable(t *testing.T) {
	t.Parallel()
	b := newBench(t, "openai")
	b.Play("m", play(modeltest.Turn{When: "a trip for 1000 EUR", Text: "Go to Rome"}))
	b.set(`{"agents":{"a":{"role":"R"}},"tasks":{"t":{"description":"Plan a trip for {budget}"}}}`, `{"budget":"1000 EUR"}`)
	if _, got, err := b.run(t, b.single); err != nil || got["result"] != "Go to Rome" {
		t.Errorf("got %v, %v", got, err)
	}
	b.Play("m", play(turnOK, turnOK))
	b.set(pair, `{"topic":"x","budget":{"calls":1},"on_exhausted":"skip"}`)
	if _, got, err := b.run(t, b.single); err != nil || got["skipped"] != true {
		t.Errorf("got %v, %v", got, err)
	}
	b.call.Spent = executors.Usage{Calls: 1} // by an earlier attempt
	b.Play("m", play())
	if _, got, err := b.run(t, b.single); err != nil || got["skipped"] != true {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestDemonstrationsLookLikeTheReferences(t *testing.T) {
	t.Parallel()
	b := newBench(t, "openai")
	b.set(pair, `{}`)
	got, takes := b.single.Demo(b.call)
	want := `{"status":"success","result":"Completed: Find facts about {topic}\nCompleted: Write an article",
		"token_usage":{"total_tokens":6000,"prompt_tokens":4200,"completion_tokens":1800,"cached_prompt_tokens":0,"successful_requests":2}}`
	if !same(got, want) || takes != time.Second {
		t.Errorf("got %+v, %v", got, takes)
	}
	b.set(three, `{}`)
	got, takes = b.batch.Demo(b.call)
	text, _ := json.Marshal(got)
	if takes != 6*time.Second || !strings.Contains(string(text), `"w2":{"status":"success","result":"Completed: Praise {name}"`) || !strings.Contains(string(text), `"total_tokens":4500`) {
		t.Errorf("got %s, %v", text, takes)
	}
	b.call.Params, b.call.Schemas = nil, nil
	if got, takes := b.single.Demo(b.call); takes != time.Second || got == nil {
		t.Errorf("got %+v, %v", got, takes)
	}
	if got, takes := b.batch.Demo(b.call); takes != 4*time.Second || got == nil {
		t.Errorf("got %+v, %v", got, takes)
	}
}

// TestResultsAreBounded has twelve works whose answers are larger than one may be.
func TestResultsAreBounded(t *testing.T) {
	t.Parallel()
	const most = 4 << 10
	b := newBench(t, "openai")
	b.Play("m", play(modeltest.Turn{Fill: 2 * most, Times: 6, Chunk: -1}, modeltest.Turn{Text: `[` + strings.Repeat(`"x",`, most/2) + `1]`, Times: 6, Chunk: -1}))
	works := ""
	for i := range 12 {
		works += fmt.Sprintf(`"w%d":%s,`, i, one("", ""))
	}
	b.set(`{`+strings.TrimSuffix(works, ",")+`}`, `{}`)
	out, err := crew.NewBatch(crew.Config{MaxResultBytes: most}, b.models, b.registry).Run(t.Context(), b.call)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(out.Value())
	if err != nil || len(text) > 16*most || !strings.Contains(string(text), "[cut: 4096 of ") || !strings.Contains(string(text), "[cut: 1024 of ") {
		t.Errorf("the result has %d bytes, %v", len(text), err)
	}
}
