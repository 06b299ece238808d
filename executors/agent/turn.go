package agent

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/journal"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/tools"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// turn makes the uses of tools that a message asks for, one after the other, and adds it and the answers to the conversation. Each call
// that stays in the message gets its answer, as services demand.
func (w *work) turn(ctx context.Context, m model.Message) error {
	asked := len(m.Calls)
	m.Calls = slices.Clone(m.Calls[:min(asked, maxCalls)])
	for i := range m.Calls {
		if c := &m.Calls[i]; len(c.Arguments) > maxArguments {
			c.Arguments = json.RawMessage(`{"error":"these arguments were too long"}`)
		}
		if c := &m.Calls[i]; w.specOf(c.Name) == nil {
			c.Name = sendable(c.Name)
		}
	}
	w.add(m)
	succeeded := false
	for i, c := range m.Calls {
		answer, err := w.use(ctx, c)
		if err != nil {
			return err
		}
		succeeded = succeeded || !answer.Failed
		if i == len(m.Calls)-1 && asked > maxCalls {
			answer.Text = fmt.Sprintf("%s\n[%d more uses of tools were left out: %d are allowed at once]", answer, asked-maxCalls, maxCalls)
		}
		w.add(answer.Message(c))
	}
	if w.failures++; succeeded {
		w.failures = 0
	}
	if w.failures >= maxFailures && w.short == "" {
		w.short = fmt.Sprintf("no use of a tool has succeeded in %d turns", w.failures)
	}
	return nil
}

// sendable is the name of a tool that does not exist, as services take it back.
func sendable(name string) string {
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return '_'
	}, name)
	return cmp.Or(name[:min(len(name), 64)], "unnamed")
}

// use makes one use of a tool, or says why not.
func (w *work) use(ctx context.Context, c model.ToolCall) (tools.Answer, error) {
	if ctx.Err() != nil {
		return tools.Answer{}, context.Cause(ctx)
	}
	key := sha256.Sum256(append([]byte(c.Name+" "), canonical(c.Arguments)...))
	if refused, ok := w.refusal(c, key); ok {
		w.tell(c, refused)
		return refused, nil
	}
	w.uses++
	ruled := w.lane.Ruled(c.Name)
	if answer, ok := w.usedBefore(c); ok {
		w.remember(key, answer)
		return answer, nil
	}
	if ruled == nil && w.asks(c.Name) {
		var err error
		if ruled, err = w.rule(c); err != nil {
			return tools.Answer{}, err
		}
	}
	w.settle(ctx)
	w.log(w.agent, "uses "+c.Name+w.shown(string(c.Arguments)))
	w.call.Tell(executors.Piece{Kind: executors.PieceToolCall, Agent: w.agent.Name, Name: c.Name, Text: string(c.Arguments)})
	var mark tools.Mark
	ctx, span := w.startTool(ctx, w.agent, w.specOf(c.Name), c)
	answer, err := w.useAs(tools.WithMark(w.place(ctx), &mark), c, ruled)
	w.endTool(span, answer, err)
	if err != nil {
		return answer, err
	}
	answer.Text, answer.JSON = cut(executors.Text([]byte(answer.String())), maxAnswer), nil
	w.below.Add(w.lane.Use(journal.Used{Name: c.Name, Text: answer.Text, Failed: answer.Failed, Says: mark.Says, Number: mark.Number}))
	w.remember(key, answer)
	w.tell(c, answer)
	return answer, nil
}

// tell shows an answer to those who watch.
func (w *work) tell(c model.ToolCall, answer tools.Answer) {
	w.call.Tell(executors.Piece{Kind: executors.PieceToolResult, Agent: w.agent.Name, Name: c.Name, Text: answer.Text})
	said := "answered"
	if answer.Failed {
		said = "failed"
	}
	line := fmt.Sprintf("%s %s (%d bytes)", c.Name, said, len(answer.Text))
	if answer.Failed {
		line += ": " + cut(answer.Text, 500)
	} else {
		line += w.shown(answer.Text)
	}
	w.log(w.agent, line)
}

// refusal is the answer to a wish that is not even tried.
func (w *work) refusal(c model.ToolCall, key digest) (tools.Answer, bool) {
	switch {
	case w.short != "":
		return failed("No tool can be used any more."), true
	case w.specOf(c.Name) == nil:
		return failed("There is no tool " + cut(c.Name, 100) + ". Use only the tools that you were given: " + w.names() + "."), true
	case w.Session.uses.Add(1) > maxUses:
		w.short = fmt.Sprintf("the attempt has used tools %d times", maxUses)
		return failed("No tool can be used any more."), true
	case w.same[key].times >= maxSame:
		if w.warned {
			w.short = "it repeats the same uses of tools"
		}
		w.warned = true
		return failed("You have used " + c.Name + " with the same arguments before, with the same answer. It was not used again. Work with what you have, or try something else."), true
	}
	return tools.Answer{}, false
}

// digest stands for a text.
type digest = [sha256.Size]byte

// repeat is the last answer to a use of a tool, and how often it came in a row.
type repeat struct {
	answer digest
	times  int
}

func (w *work) remember(key digest, answer tools.Answer) {
	last, now := w.same[key], sha256.Sum256([]byte(answer.Text))
	if last.answer != now {
		last = repeat{answer: now}
	}
	last.times++
	w.same[key] = last
}

func (w *work) specOf(name string) *model.Tool {
	if i := slices.IndexFunc(w.specs, func(t model.Tool) bool { return t.Name == name }); i >= 0 {
		return &w.specs[i]
	}
	return nil
}

func (w *work) names() string {
	var all bytes.Buffer
	for i, t := range w.specs {
		if i > 0 {
			all.WriteString(", ")
		}
		all.WriteString(t.Name)
	}
	return all.String()
}

func failed(text string) tools.Answer { return tools.Answer{Text: text, Failed: true} }

// canonical is the same for arguments that say the same, as far as space and the order of names go.
func canonical(arguments json.RawMessage) []byte {
	var value any
	if rawjson.Check(arguments) != nil || json.Unmarshal(arguments, &value) != nil {
		return arguments
	}
	text, err := json.Marshal(value)
	if err != nil {
		return arguments
	}
	return text
}
