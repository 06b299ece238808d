package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/agent"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/tools"
)

// wires are both formats, streamed and whole.
var wires = []struct {
	api    string
	stream bool
}{{"openai", false}, {"openai", true}, {"anthropic", false}, {"anthropic", true}}

// onEachWire runs a test against a service that plays the script.
func onEachWire(t *testing.T, script modeltest.Script, test func(t *testing.T, b *bench)) {
	for _, w := range wires {
		t.Run(fmt.Sprintf("%s stream=%t", w.api, w.stream), func(t *testing.T) {
			t.Parallel()
			test(t, newBench(t, w.api, w.stream, script))
		})
	}
}

// bench is a service of models, and an attempt that uses it.
type bench struct {
	*modeltest.Server
	session *agent.Session
	call    *executors.Call
	report  *conformance.Recorder

	mu     sync.Mutex
	pieces []executors.Piece
}

// heard says whether the words have come as pieces of an answer.
func (b *bench) heard(words string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all strings.Builder
	for _, p := range b.pieces {
		all.WriteString(p.Text)
	}
	return strings.Contains(all.String(), words)
}

func newBench(t *testing.T, api string, stream bool, script modeltest.Script) *bench {
	b := &bench{Server: modeltest.Start(t)}
	b.Play("m", script)
	b.call, b.report = conformance.Call(t, `{}`)
	if stream {
		b.call.Live = func(p executors.Piece) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.pieces = append(b.pieces, p)
		}
	}
	base := b.OpenAI()
	if api == "anthropic" {
		base = b.Anthropic() + "/v1"
	}
	models := model.New(model.Config{}, network.New(network.Config{Guard: network.Guard{Loopback: true}}), nil)
	t.Cleanup(func() { _ = models.Close() })
	session, err := models.Session(b.call, model.Options{ID: "x_executor", Key: b.Key(), BaseURL: base, API: api})
	if err != nil {
		t.Fatal(err)
	}
	b.session = agent.NewSession(session, b.call)
	return b
}

func (b *bench) told(kind executors.PieceKind) (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.pieces {
		if p.Kind == kind {
			all = append(all, p.Agent+" "+p.Name+" "+p.Text)
		}
	}
	return all
}

// kit is tools of functions.
type kit map[string]func(ctx context.Context, args string) (string, error)

func (k kit) Specs() (all []model.Tool) {
	for name := range k {
		all = append(all, model.Tool{Name: name, Description: "does " + name, Schema: json.RawMessage(`{"type":"object","properties":{"q":{"type":"string"}}}`)})
	}
	return all
}

func (k kit) Use(ctx context.Context, wish model.ToolCall) (tools.Answer, error) {
	if !json.Valid(wish.Arguments) {
		return tools.Answer{Text: "the arguments are no JSON", Failed: true}, nil
	}
	text, err := k[wish.Name](ctx, string(wish.Arguments))
	if ctx.Err() != nil {
		return tools.Answer{}, context.Cause(ctx)
	}
	if err != nil {
		return tools.Answer{Text: err.Error(), Failed: true}, nil
	}
	return tools.Answer{Text: text}, nil
}

// echo answers with its arguments.
func echo(_ context.Context, args string) (string, error) { return "found " + args, nil }

func calls(name string, arguments ...string) modeltest.Turn {
	t := modeltest.Turn{}
	for _, a := range arguments {
		t.Calls = append(t.Calls, modeltest.Call{Name: name, Arguments: a})
	}
	return t
}

func ann(k agent.Tools) *agent.Agent {
	return &agent.Agent{Name: "Ann", Models: []string{"m"}, System: "You are Ann.", Tools: k}
}

var errand = agent.Job{Name: "task errand", Prompt: "Do the errand."}

func TestAnAgentUsesToolsAndAnswers(t *testing.T) {
	t.Parallel()
	script := modeltest.Script{Turns: []modeltest.Turn{
		calls("look", `{"q":"a"}`, `{"q":"b"}`),
		{When: "found {\"q\":\"a\"}\nfound {\"q\":\"b\"}", Text: "All done", Usage: &modeltest.Usage{Prompt: 30, Completion: 3, Cached: 10}},
	}}
	onEachWire(t, script, func(t *testing.T, b *bench) {
		got, err := b.session.Work(t.Context(), ann(kit{"look": echo}), errand)
		if err != nil || got.Text != "All done" || got.Uses != 2 || got.Short != "" {
			t.Fatalf("got %+v, %v", got, err)
		}
		if u := b.session.Usage(); u.Calls != 2 || u.CachedTokens != 10 || u.PromptTokens <= 30 {
			t.Errorf("usage is %+v", u)
		}
		if b.call.Live == nil {
			return
		}
		if got := b.told(executors.PieceToolCall); len(got) != 2 || got[0] != `Ann look {"q":"a"}` {
			t.Errorf("told calls %q", got)
		}
		if got := b.told(executors.PieceToolResult); len(got) != 2 || got[1] != `Ann look found {"q":"b"}` {
			t.Errorf("told results %q", got)
		}
		if got := strings.Join(b.told(executors.PieceToken), "|"); !strings.HasPrefix(got, "Ann  ") {
			t.Errorf("tokens are not Ann's: %q", got)
		}
	})
}

func TestAModelThatRepeatsItselfIsToldAndThenEnded(t *testing.T) {
	t.Parallel()
	same := calls("look", `{ "q": "a" }`)
	again := calls("look", `{"q":"a"}`)
	script := modeltest.Script{Turns: []modeltest.Turn{
		same, again,
		{Last: "found", Calls: again.Calls},                 // the third time
		{Last: "It was not used again", Calls: again.Calls}, // told, and it goes on
		{Last: "Give your final answer", Text: "Well then", Wants: []string{"tool"}},
	}}
	onEachWire(t, script, func(t *testing.T, b *bench) {
		ran := 0
		look := func(context.Context, string) (string, error) { ran++; return "found", nil }
		got, err := b.session.Work(t.Context(), ann(kit{"look": look}), errand)
		if err != nil || got.Text != "Well then" || !strings.Contains(got.Short, "repeats") || ran != 2 {
			t.Fatalf("got %+v, %v; the tool ran %d times", got, err, ran)
		}
	})
}

func TestAskingAgainForWhatChangesIsNoLoop(t *testing.T) {
	t.Parallel()
	b := newBench(t, "openai", false, modeltest.Script{Turns: []modeltest.Turn{
		{Last: "found 5", Text: "Five"},
		{Times: -1, Calls: []modeltest.Call{{Name: "look", Arguments: `{}`}}},
	}})
	n := 0
	look := func(context.Context, string) (string, error) { n++; return fmt.Sprint("found ", n), nil }
	if got, err := b.session.Work(t.Context(), ann(kit{"look": look}), errand); err != nil || got.Text != "Five" || got.Short != "" {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestTurnsAreBounded(t *testing.T) {
	t.Parallel()
	script := modeltest.Script{Turns: []modeltest.Turn{
		{Last: "Give your final answer", Text: "As far as I got"},
		{Times: -1, Reply: func(r *modeltest.Request) modeltest.Turn {
			return calls("look", fmt.Sprintf(`{"q":"%d"}`, len(r.Messages)))
		}},
	}}
	onEachWire(t, script, func(t *testing.T, b *bench) {
		a := ann(kit{"look": echo})
		a.Turns = 3
		got, err := b.session.Work(t.Context(), a, errand)
		if err != nil || got.Text != "As far as I got" || got.Uses != 3 || got.Short == "" || len(b.Requests()) != 4 {
			t.Fatalf("got %+v, %v after %d requests", got, err, len(b.Requests()))
		}
		if last := string(b.Requests()[3].ToolChoice); !strings.Contains(last, "none") {
			t.Errorf("tool_choice is %s", last)
		}
	})
}

func TestAModelThatGoesOnAfterTheEndFails(t *testing.T) {
	t.Parallel()
	b := newBench(t, "openai", false, modeltest.Script{Turns: []modeltest.Turn{
		{Times: -1, Reply: func(r *modeltest.Request) modeltest.Turn {
			return calls("look", fmt.Sprintf(`{"q":"%d"}`, len(r.Messages)))
		}},
	}})
	a := ann(kit{"look": echo})
	a.Turns = 2
	_, err := b.session.Work(t.Context(), a, errand)
	if err == nil || err.Error() != "Ann, task errand: the model goes on using tools after it was told to stop: it has used up its turns" || executors.IsPermanent(err) {
		t.Fatalf("got %v", err)
	}
}

func TestUsesOfOneAnswerAreBounded(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf(`{"q":"%d"}`, i))
	}
	script := modeltest.Script{Turns: []modeltest.Turn{calls("look", many...), {When: "24 more uses of tools were left out", Text: "OK"}}}
	onEachWire(t, script, func(t *testing.T, b *bench) {
		if got, err := b.session.Work(t.Context(), ann(kit{"look": echo}), errand); err != nil || got.Uses != 16 {
			t.Fatalf("got %+v, %v", got, err)
		}
	})
}

func TestWishesThatMakeNoSenseAreAnswered(t *testing.T) {
	t.Parallel()
	script := modeltest.Script{Turns: []modeltest.Turn{
		calls("no such\x00tool: é", `{}`),
		{Last: "There is no tool no_such_tool___", Calls: []modeltest.Call{{Name: "rm_rf", Arguments: `{}`}}},
		{Last: "There is no tool rm_rf", Calls: []modeltest.Call{{Name: "look", Arguments: `{"q": oops`}}},
		calls("look", `{"q":"a"}`),
		{When: `found {"q":"a"}`, Text: "OK"},
	}}
	for _, stream := range []bool{false, true} {
		b := newBench(t, "openai", stream, script)
		got, err := b.session.Work(t.Context(), ann(kit{"look": echo}), errand)
		if err != nil || got.Text != "OK" {
			t.Fatalf("got %+v, %v", got, err)
		}
		if asked := b.Requests()[3].Messages; !strings.Contains(asked[len(asked)-1].Text, "no JSON") {
			t.Errorf("it was told %+v", asked[len(asked)-1])
		}
	}
}

func TestUsesThatNeverSucceedComeToAnEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t, "anthropic", false, modeltest.Script{Turns: []modeltest.Turn{
		{Last: "Give your final answer", Text: "I can't"},
		{Times: -1, Reply: func(r *modeltest.Request) modeltest.Turn {
			return calls("look", fmt.Sprintf(`{"q":"%d"}`, len(r.Messages)))
		}},
	}})
	broken := func(context.Context, string) (string, error) { return "", errors.New("the service is down") }
	got, err := b.session.Work(t.Context(), ann(kit{"look": broken}), errand)
	if err != nil || got.Text != "I can't" || got.Uses != 5 || !strings.Contains(got.Short, "no use of a tool has succeeded") {
		t.Fatalf("got %+v, %v", got, err)
	}
	answers := b.Requests()[1].Messages
	if last := answers[len(answers)-1]; last.Text != "the service is down" || !last.IsError {
		t.Errorf("the model was told %+v", last)
	}
}

func TestAnswersOfToolsAreCut(t *testing.T) {
	t.Parallel()
	b := newBench(t, "openai", false, modeltest.Script{Turns: []modeltest.Turn{calls("look", `{}`), {Text: "OK"}}})
	flood := func(context.Context, string) (string, error) { return strings.Repeat("é\x00", 1<<20), nil }
	if _, err := b.session.Work(t.Context(), ann(kit{"look": flood}), errand); err != nil {
		t.Fatal(err)
	}
	messages := b.Requests()[1].Messages
	text := messages[len(messages)-1].Text
	if len(text) > 33<<10 || !strings.HasSuffix(text, "bytes]") || strings.Contains(text, "\x00") {
		t.Errorf("the model was told %d bytes, ending in %q", len(text), text[max(0, len(text)-60):])
	}
}

func TestOldAnswersMakeRoom(t *testing.T) {
	t.Parallel()
	b := newBench(t, "openai", false, modeltest.Script{Turns: []modeltest.Turn{
		{When: "this answer was left out to make room", Text: "OK"},
		{Times: -1, Reply: func(r *modeltest.Request) modeltest.Turn {
			var args []string
			for i := range 16 {
				args = append(args, fmt.Sprintf(`{"q":"%d-%d"}`, len(r.Messages), i))
			}
			return calls("look", args...)
		}},
	}})
	page := func(_ context.Context, args string) (string, error) { return args + strings.Repeat("x", 32000), nil }
	got, err := b.session.Work(t.Context(), ann(kit{"look": page}), errand)
	if err != nil || got.Text != "OK" {
		t.Fatalf("got %+v, %v", got, err)
	}
	for _, r := range b.Requests() {
		if len(r.Body) > 1100<<10 {
			t.Errorf("a request has %d bytes", len(r.Body))
		}
	}
}

func TestAPromptThatIsTooLargeIsRefusedBeforeItIsPaidFor(t *testing.T) {
	t.Parallel()
	b := newBench(t, "openai", false, modeltest.Script{})
	_, err := b.session.Work(t.Context(), ann(nil), agent.Job{Name: "task errand", Prompt: strings.Repeat("x", 1<<20)})
	if err == nil || !executors.IsPermanent(err) || !strings.Contains(err.Error(), "more than 1048576") || len(b.Requests()) != 0 {
		t.Fatalf("got %v", err)
	}
}

var rating = json.RawMessage(`{"type":"object","properties":{"rating":{"type":"integer"}},"required":["rating"],"additionalProperties":false}`)

func TestAnAnswerBySchemaIsRepairedOnce(t *testing.T) {
	t.Parallel()
	job := agent.Job{Name: "task rate", Prompt: "Rate it.", Schema: rating}
	script := modeltest.Script{Turns: []modeltest.Turn{
		calls("look", `{"q":"a"}`),
		{When: "found", Text: `It is a solid 7`, Wants: []string{"rating"}},
		{Last: "That is not as demanded", Text: "{\"rating\": 7}"},
	}}
	onEachWire(t, script, func(t *testing.T, b *bench) {
		got, err := b.session.Work(t.Context(), ann(kit{"look": echo}), job)
		if err != nil || string(got.JSON) != `{"rating":7}` {
			t.Fatalf("got %+v, %v", got, err)
		}
	})
	fenced := modeltest.Script{Turns: []modeltest.Turn{calls("look", `{"q":"a"}`), {When: "found", Text: "```json\n{\"rating\": 7}\n```"}}}
	onEachWire(t, fenced, func(t *testing.T, b *bench) {
		got, err := b.session.Work(t.Context(), ann(kit{"look": echo}), job)
		if err != nil || string(got.JSON) != `{"rating":7}` || len(b.Requests()) != 2 {
			t.Fatalf("got %+v, %v", got, err)
		}
	})
}

func TestAnEmptyAnswerIsAskedForAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, "openai", false, modeltest.Script{Turns: []modeltest.Turn{{Text: " "}, {Last: "Your answer was empty", Text: "Here"}}})
	if got, err := b.session.Work(t.Context(), ann(nil), errand); err != nil || got.Text != "Here" {
		t.Fatalf("got %+v, %v", got, err)
	}
}

// TestTheEndReachesACallInFlight ends the context while the model answers, and while a tool works.
func TestTheEndReachesACallInFlight(t *testing.T) {
	t.Parallel()
	script := modeltest.Script{Turns: []modeltest.Turn{calls("look", `{}`), {Text: "The beginning of", Hang: true}}}
	onEachWire(t, script, func(t *testing.T, b *bench) {
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			b.Wait(t, 2)
			for b.call.Live != nil && !b.heard("beginning of") && t.Context().Err() == nil {
				time.Sleep(time.Millisecond)
			}
			cancel(executors.ErrCancelled)
		}()
		_, err := b.session.Work(ctx, ann(kit{"look": echo}), errand)
		if !errors.Is(err, executors.ErrCancelled) {
			t.Fatalf("got %v", err)
		}
		<-b.Requests()[1].Ended()
		if b.call.Live != nil && b.session.Interrupted() != "The beginning of" {
			t.Errorf("interrupted is %q", b.session.Interrupted())
		}
		if u := b.session.Usage(); u.Calls < 1 {
			t.Errorf("usage is %+v", u)
		}
	})
	tool := modeltest.Script{Turns: []modeltest.Turn{calls("look", `{}`)}}
	onEachWire(t, tool, func(t *testing.T, b *bench) {
		ctx, cancel := context.WithCancelCause(t.Context())
		hang := func(ctx context.Context, _ string) (string, error) {
			cancel(executors.ErrTimeout)
			<-ctx.Done()
			return "", nil
		}
		if _, err := b.session.Work(ctx, ann(kit{"look": hang}), errand); !errors.Is(err, executors.ErrTimeout) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestErrorsKeepTheirClass(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		turn      modeltest.Turn
		permanent bool
		after     time.Duration
	}{
		"rate":    {modeltest.Turn{Fault: modeltest.FaultRate, RetryAfter: "7"}, false, 7 * time.Second},
		"server":  {modeltest.Turn{Fault: modeltest.FaultServer}, false, 0},
		"context": {modeltest.Turn{Fault: modeltest.FaultContext}, true, 0},
		"key":     {modeltest.Turn{Fault: modeltest.FaultKey, EchoKey: true}, true, 0},
	} {
		b := newBench(t, "openai", true, modeltest.Script{Turns: []modeltest.Turn{calls("look", `{}`), row.turn}})
		_, err := b.session.Work(t.Context(), ann(kit{"look": echo}), errand)
		if err == nil || executors.IsPermanent(err) != row.permanent || executors.RetryAfterOf(err) != row.after || strings.Contains(err.Error(), b.Key()) {
			t.Errorf("%s: got %v, permanent %t, after %v", name, err, executors.IsPermanent(err), executors.RetryAfterOf(err))
		}
	}
}
