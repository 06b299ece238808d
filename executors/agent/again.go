package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/taskgrove/taskgrove/executors/journal"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/tools"
)

type placeKey struct{}

// At says where among the jobs of a task those are which a context is used for: each has another place. It is the same in each attempt.
func At(ctx context.Context, place string) context.Context {
	return context.WithValue(ctx, placeKey{}, place)
}

// laneOf is the record of a job; nil: it has no place, or there is no journal.
func (s *Session) laneOf(ctx context.Context, about ...string) *journal.Lane {
	place, _ := ctx.Value(placeKey{}).(string)
	if place == "" {
		return nil
	}
	return s.Journal.Lane(place, about...)
}

// again is the answer of a job that an earlier attempt has done.
func (w *work) again(done *journal.Done) *Answer {
	w.log(w.agent, "has done "+w.job.Name+" in an earlier attempt")
	w.uses, w.model, w.short = done.Uses, done.Model, done.Short
	w.Session.uses.Add(int64(done.Uses))
	w.usage.Add(done.Usage)
	w.count(&model.Response{Usage: done.Usage}, false)
	return w.answer(done.Text, done.JSON)
}

// record notes how the job ended. What the agent has done stays noted when it was interrupted: another attempt goes on there.
func (w *work) record(answer *Answer, err error) {
	switch {
	case err == nil:
		all := w.usage
		all.Add(w.below)
		w.lane.End(journal.Done{Text: answer.Text, JSON: answer.JSON, Model: answer.Model, Uses: answer.Uses, Short: answer.Short, Usage: all})
	case w.astray:
		w.lane.Forget()
	}
}

// saidBy is an answer of a model as it is recorded.
func saidBy(r *model.Response) journal.Said {
	said := journal.Said{Text: r.Message.Text(), Finish: r.Finish, Model: r.Model, Usage: r.Usage}
	for _, c := range r.Message.Calls {
		said.Calls = append(said.Calls, journal.Call{ID: c.ID, Name: c.Name, Arguments: string(c.Arguments)})
	}
	return said
}

// saidBefore is an answer of a model that an earlier attempt was given.
func (w *work) saidBefore(s *journal.Said) *model.Response {
	m := model.Message{Role: model.Assistant}
	if s.Text != "" {
		m.Parts = []model.Part{{Text: s.Text}}
	}
	for _, c := range s.Calls {
		m.Calls = append(m.Calls, model.ToolCall{ID: c.ID, Name: c.Name, Arguments: json.RawMessage(c.Arguments)})
	}
	r := &model.Response{Message: m, Finish: s.Finish, Model: s.Model, Usage: s.Usage}
	w.count(r, false)
	w.usage.Add(r.Usage)
	w.model = r.Model
	return r
}

// usedBefore is the answer of a tool that an earlier attempt was given.
func (w *work) usedBefore(c model.ToolCall) (tools.Answer, bool) {
	used := w.lane.Used(c.Name)
	if used == nil {
		return tools.Answer{}, false
	}
	w.below.Add(used.Below)
	w.count(&model.Response{Usage: used.Below}, false)
	return tools.Answer{Text: used.Text, Failed: used.Failed}, true
}

// settle waits until it is stored what the agent is about to do: an attempt that has to do it again does the same then, by the same key.
func (w *work) settle(ctx context.Context) {
	if !w.unstored {
		return
	}
	w.unstored = false
	if err := w.call.Stored(ctx); err != nil && ctx.Err() == nil {
		w.log(w.agent, "goes on without: "+err.Error())
	}
}

// place is where the jobs are that a tool gives to others.
func (w *work) place(ctx context.Context) context.Context {
	if w.lane == nil {
		return ctx
	}
	return At(ctx, w.lane.At()+"/"+strconv.Itoa(w.uses))
}

// Waits is the end of an attempt that goes on in another one, when somebody has said whether a tool may be used.
type Waits struct {
	ID        string // of the question, the same until it is answered
	Agent     string
	Tool      string
	Arguments json.RawMessage // as the model wishes them
	Schema    json.RawMessage // of the arguments
	Wrong     string          // what is wrong with the arguments of the last answer; empty: nothing, or there was none
}

// Error says what is waited for.
func (w *Waits) Error() string {
	text := fmt.Sprintf("%s wishes to use %s with %s", w.Agent, w.Tool, cut(string(w.Arguments), 2<<10))
	if w.Wrong != "" {
		text += " (the arguments that were given instead don't fit: " + w.Wrong + ")"
	}
	return text
}
