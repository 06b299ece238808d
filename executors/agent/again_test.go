package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/agent"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/journal"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/tools"
)

// parrot is a model that answers by what it was told, and a tool that says how often it was used. Both count.
type parrot struct {
	asked    []string // the last message of each question
	made     []string // arguments of each use
	told     []model.Message
	approved bool // its tool needs an approval
	used     func(string, executors.Usage)
	answers  func(last string, n int) *model.Response
}

func (p *parrot) Ask(ctx context.Context, r *model.Request) (*model.Response, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	last := r.Messages[len(r.Messages)-1]
	p.asked, p.told = append(p.asked, last.Text()), r.Messages
	answer := p.answers(last.Text(), len(r.Messages))
	answer.Usage, answer.Model = executors.Usage{Calls: 1, PromptTokens: 10}, "m"
	p.used("m", answer.Usage)
	return answer, nil
}

func (p *parrot) Specs() []model.Tool {
	return []model.Tool{{Name: "look", Description: "looks", Schema: json.RawMessage(`{"type":"object","properties":{"q":{"type":"string"}}}`)}}
}

func (p *parrot) Use(ctx context.Context, wish model.ToolCall) (tools.Answer, error) {
	if ctx.Err() != nil {
		return tools.Answer{}, context.Cause(ctx)
	}
	p.made = append(p.made, string(wish.Arguments))
	return tools.Answer{Text: "saw " + string(wish.Arguments)}, nil
}

func (p *parrot) Asks(string) bool { return p.approved }

func (p *parrot) Check(_ string, arguments json.RawMessage) error {
	var in struct{ Q string }
	if err := json.Unmarshal(arguments, &in); err != nil {
		return errors.New("q must be text")
	}
	return nil
}

func wish(id, q string) model.ToolCall {
	return model.ToolCall{ID: id, Name: "look", Arguments: json.RawMessage(fmt.Sprintf(`{"q":%q}`, q))}
}

// looks is a model that looks at three things in two turns and then tells.
func looks(_ string, n int) *model.Response {
	switch n {
	case 2: // system and user
		return &model.Response{Message: model.Message{Role: model.Assistant, Calls: []model.ToolCall{wish("1", "a"), wish("2", "b")}}}
	case 5:
		return &model.Response{Message: model.Message{Role: model.Assistant, Parts: []model.Part{{Text: "one more"}}, Calls: []model.ToolCall{wish("3", "c")}}}
	}
	return &model.Response{Message: model.Text(model.Assistant, "all seen")}
}

var errKilled = errors.New("killed")

// attempt is one attempt; it is killed as soon as it has stored kill checkpoints, unless that is 0. What it stored afterwards is lost.
type attempt struct {
	saved   json.RawMessage
	used    executors.Usage
	session *agent.Session
	lines   func() []string
}

func (p *parrot) attempt(t *testing.T, checkpoint json.RawMessage, kill int, answered func(string) *journal.Ruled) (*attempt, *agent.Answer, error) {
	t.Helper()
	a := &attempt{}
	ctx, cancel := context.WithCancelCause(t.Context())
	call, said := conformance.Call(t, `{}`)
	a.lines = said.Lines
	call.Used = func(_ string, u executors.Usage) { a.used.Add(u) }
	saves := 0
	j, call := journal.Open(call, checkpoint, func(text json.RawMessage) error {
		if saves++; ctx.Err() == nil {
			a.saved = text
		}
		if saves == kill {
			cancel(errKilled)
		}
		return nil
	})
	p.used = call.Record
	a.session = agent.NewSession(p, call)
	a.session.Journal, a.session.Answered = j, answered
	answer, err := a.session.Work(agent.At(ctx, "0.0"), &agent.Agent{Name: "Ann", Models: []string{"m"}, System: "S", Tools: p}, agent.Job{Name: "task", Prompt: "Look"})
	if len(a.saved) == 0 {
		a.saved = checkpoint
	}
	return a, answer, err
}

// TestAnAttemptGoesOnWhereTheOneBeforeWasKilled kills an attempt after each thing that it stores: nothing that was stored is done again, the model
// is told the same, and all is counted once.
func TestAnAttemptGoesOnWhereTheOneBeforeWasKilled(t *testing.T) {
	t.Parallel()
	whole := &parrot{answers: looks}
	_, want, err := whole.attempt(t, nil, 0, nil)
	if err != nil || want.Text != "all seen" || len(whole.asked) != 3 || len(whole.made) != 3 {
		t.Fatalf("got %+v, %v after %d questions and %d uses", want, err, len(whole.asked), len(whole.made))
	}
	for kill := 1; kill <= 7; kill++ { // three answers, three uses, and the end
		p := &parrot{answers: looks}
		first, _, err := p.attempt(t, nil, kill, nil)
		if kill < 6 && !errors.Is(err, errKilled) {
			t.Fatalf("kill %d: the first attempt gives %v", kill, err)
		}
		second, got, err := p.attempt(t, first.saved, 0, nil)
		if err != nil || got.Text != want.Text || got.Uses != want.Uses || got.Model != "m" {
			t.Errorf("kill %d: got %+v, %v", kill, got, err)
		}
		if !reflect.DeepEqual(p.asked, whole.asked) || !reflect.DeepEqual(p.made, whole.made) || !reflect.DeepEqual(p.told, whole.told) {
			t.Errorf("kill %d: asked %q, used %q", kill, p.asked, p.made)
		}
		if u := second.session.Usage(); u.Calls != 3 || u.PromptTokens != 30 {
			t.Errorf("kill %d: the work took %+v", kill, u)
		}
		if u := first.used.Calls; second.used.Calls != 3 || u == 0 { // nobody has heard of the first one: the second tells all
			t.Errorf("kill %d: recorded %d and %d", kill, u, second.used.Calls)
		}
	}
}

// TestWhatAnAgentDidWrongIsBegunAnew: another attempt does not go the way again that ended in a failure of the agent's own.
func TestWhatAnAgentDidWrongIsBegunAnew(t *testing.T) {
	t.Parallel()
	p := &parrot{answers: func(string, int) *model.Response { return &model.Response{Message: model.Text(model.Assistant, "")} }}
	first, _, err := p.attempt(t, nil, 0, nil)
	if err == nil || !strings.Contains(err.Error(), "the model gives no answer") {
		t.Fatalf("got %v", err)
	}
	p.answers = looks
	if _, got, err := p.attempt(t, first.saved, 0, nil); err != nil || got.Text != "all seen" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestSomebodyIsAskedBeforeATool(t *testing.T) {
	t.Parallel()
	ruled := map[string]*journal.Ruled{}
	answered := func(id string) *journal.Ruled { return ruled[id] }
	p := &parrot{answers: looks, approved: true}
	var checkpoint json.RawMessage
	next := func(r *journal.Ruled, wants string, uses int) *agent.Waits {
		t.Helper()
		a, got, err := p.attempt(t, checkpoint, 0, answered)
		checkpoint = a.saved
		w, _ := errors.AsType[*agent.Waits](err)
		if w == nil {
			if wants != "" || err != nil {
				t.Fatalf("got %+v, %v", got, err)
			}
			return nil
		}
		if string(w.Arguments) != wants || w.Tool != "look" || len(p.made) != uses || len(w.Schema) == 0 || ruled[w.ID] != nil {
			t.Fatalf("asks %+v after %q", w, p.made)
		}
		ruled[w.ID] = r
		return w
	}
	next(nil, `{"q":"a"}`, 0)
	first := next(&journal.Ruled{Choice: agent.Accept}, `{"q":"a"}`, 0) // nobody has said anything: the same question
	next(&journal.Ruled{Choice: agent.Edit, Arguments: json.RawMessage(`{"q":7}`)}, `{"q":"b"}`, 1)
	again := next(&journal.Ruled{Choice: agent.Edit, Arguments: json.RawMessage(`{"q":"B"}`)}, `{"q":"b"}`, 1)
	if again.Wrong == "" || again.ID == first.ID || !strings.Contains(again.Error(), "q must be text") {
		t.Errorf("wrong arguments are taken: %v", again)
	}
	next(&journal.Ruled{Choice: agent.Refuse, Comment: "not c"}, `{"q":"c"}`, 2)
	next(nil, "", 2)
	if want := []string{`{"q":"a"}`, `{"q":"B"}`}; !reflect.DeepEqual(p.made, want) || len(p.asked) != 3 {
		t.Errorf("used %q after %d questions", p.made, len(p.asked))
	}
	var said []string
	for _, m := range p.told {
		if m.Role == model.ToolRole {
			said = append(said, fmt.Sprint(m.Failed, " ", m.Text()))
		}
	}
	want := []string{`false saw {"q":"a"}`, `false [look was used with other arguments, which a person has set: {"q":"B"}]` + "\n" + `saw {"q":"B"}`,
		`true A person has refused this use of look. They say: not c`}
	if !reflect.DeepEqual(said, want) {
		t.Errorf("the model is told %q", said)
	}
}

// TestNobodyIsAskedTwice kills the attempt between somebody's word and the use of the tool.
func TestNobodyIsAskedTwice(t *testing.T) {
	t.Parallel()
	p := &parrot{answers: looks, approved: true}
	var id string
	first, _, err := p.attempt(t, nil, 0, func(string) *journal.Ruled { return nil })
	if w, ok := errors.AsType[*agent.Waits](err); ok {
		id = w.ID
	}
	second, _, err := p.attempt(t, first.saved, 1, func(got string) *journal.Ruled {
		if got != id {
			t.Errorf("asks for %s, not %s", got, id)
		}
		return &journal.Ruled{Choice: agent.Accept}
	})
	if !errors.Is(err, errKilled) || len(p.made) != 0 {
		t.Fatalf("got %v after %q", err, p.made)
	}
	_, _, err = p.attempt(t, second.saved, 0, func(got string) *journal.Ruled { // the answer comes with one attempt only
		if got == id {
			t.Error("asks again")
		}
		return nil
	})
	if w, ok := errors.AsType[*agent.Waits](err); !ok || string(w.Arguments) != `{"q":"b"}` || len(p.made) != 1 {
		t.Errorf("got %v after %q", err, p.made)
	}
}

func TestNobodyCanBeAsked(t *testing.T) {
	t.Parallel()
	p := &parrot{answers: looks, approved: true}
	if _, _, err := p.attempt(t, nil, 0, nil); err == nil || !executors.IsPermanent(err) || err.Error() != "look needs an approval, which can't be asked for here" || len(p.made) != 0 {
		t.Errorf("got %v", err)
	}
}
