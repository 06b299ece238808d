package agent

import (
	"context"
	"fmt"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/journal"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/tools"
)

// Choices of whoever is asked about a use of a tool.
const (
	Accept = "accept"
	Edit   = "edit"   // with other arguments
	Refuse = "refuse" // the model is told so
)

// asks reports whether a use of a tool needs an approval.
func (w *work) asks(tool string) bool {
	a, ok := w.agent.Tools.(Asking)
	return ok && a.Asks(tool)
}

// rule is what somebody said of a use of a tool. Its error is [*Waits] as long as nobody has.
func (w *work) rule(c model.ToolCall) (*journal.Ruled, error) {
	ask := w.agent.Tools.(Asking)
	if err := ask.Check(c.Name, c.Arguments); err != nil { // nobody need be asked: the tool says what is wrong
		return &journal.Ruled{Name: c.Name, Choice: Accept}, nil
	}
	if w.lane == nil || w.Answered == nil {
		return nil, executors.Permanent(fmt.Errorf("%s needs an approval, which can't be asked for here", c.Name))
	}
	id := w.lane.Ask(c.Name, c.Arguments)
	waits := &Waits{ID: id, Agent: w.agent.Name, Tool: c.Name, Arguments: c.Arguments, Schema: w.specOf(c.Name).Schema}
	ruled := w.Answered(id)
	if ruled == nil {
		w.log(w.agent, "waits for an approval to use "+c.Name)
		return nil, waits
	}
	ruled.Name = c.Name
	if ruled.Choice == Edit {
		if err := ask.Check(c.Name, ruled.Arguments); err != nil {
			waits.Wrong = cut(err.Error(), 500)
			waits.ID = w.lane.AskAgain(c.Name, c.Arguments)
			return nil, waits
		}
	}
	w.lane.Rule(*ruled)
	w.unstored = true
	return ruled, nil
}

// useAs uses a tool as somebody said, if somebody was asked.
func (w *work) useAs(ctx context.Context, c model.ToolCall, ruled *journal.Ruled) (tools.Answer, error) {
	switch {
	case ruled == nil || ruled.Choice == Accept:
		return w.agent.Tools.Use(ctx, c)
	case ruled.Choice == Edit:
		c.Arguments = ruled.Arguments
		answer, err := w.agent.Tools.Use(ctx, c)
		answer.Text = fmt.Sprintf("[%s was used with other arguments, which a person has set: %s]\n%s", c.Name, cut(string(ruled.Arguments), 4<<10), answer)
		return answer, err
	}
	text := "A person has refused this use of " + c.Name + "."
	if ruled.Comment != "" {
		text += " They say: " + cut(executors.Text([]byte(ruled.Comment)), 4<<10)
	}
	return failed(text), nil
}
