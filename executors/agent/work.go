package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/journal"
	"github.com/taskgrove/taskgrove/executors/model"
)

// Work lets the agent work on a job. Its error is the model's, classed as it was, or says what an agent did that ended its work: that another
// attempt may avoid.
func (s *Session) Work(ctx context.Context, a *Agent, j Job) (answer *Answer, err error) {
	ctx, span := s.startAgent(ctx, a, j)
	w := &work{Session: s, agent: a, job: j, same: map[digest]repeat{}, turns: min(a.Turns, MaxTurns)}
	defer func() { endAgent(span, w, answer, err) }()
	if w.turns <= 0 {
		w.turns = DefaultTurns
	}
	if a.Tools != nil {
		w.specs = a.Tools.Specs()
	}
	if a.System != "" {
		w.say(model.System, a.System)
	}
	prompt := j.Prompt
	if len(j.Schema) > 0 && len(w.specs) > 0 {
		prompt += "\n\nYour final answer must be nothing but JSON that fits this JSON Schema:\n" + string(j.Schema)
	}
	w.say(model.User, prompt)
	w.lane = s.laneOf(ctx, a.Name, prompt, string(j.Schema))
	if done := w.lane.Done(); done != nil {
		return w.again(done), nil
	}
	defer func() { w.record(answer, err) }()
	s.log(a, "begins "+j.Name)
	text, err := w.talk(ctx)
	if err != nil {
		return nil, err
	}
	answer, err = w.result(ctx, text)
	if err != nil {
		return nil, err
	}
	s.log(a, fmt.Sprintf("has done %s (%d bytes)%s", j.Name, len(answer.Text), w.shown(answer.Text)))
	return answer, nil
}

// work is one job of one agent.
type work struct {
	*Session
	agent *Agent
	job   Job
	specs []model.Tool

	messages []model.Message
	size     int // of their texts, in bytes
	turns    int // that are left
	uses     int
	usage    executors.Usage
	below    executors.Usage // of jobs that it gave to others
	model    string
	same     map[digest]repeat // by name and arguments
	warned   bool              // of repeating itself
	failures int               // turns in a row in which no use succeeded
	short    string
	lane     *journal.Lane // nil: nothing is recorded
	astray   bool          // what went wrong is the agent's own doing
	unstored bool          // what it was told to do may be lost with its worker
}

func (w *work) say(role model.Role, text string) { w.add(model.Text(role, text)) }

func (w *work) add(m model.Message) {
	w.messages = append(w.messages, m)
	w.size += sizeOf(m)
}

// talk asks and uses tools until the model answers with a text.
func (w *work) talk(ctx context.Context) (string, error) {
	for nudged := false; ; {
		choice := ""
		if w.short == "" && w.turns <= 0 {
			w.short = "it has used up its turns"
		}
		if w.short != "" {
			choice = "none"
			w.say(model.User, "No tool can be used any more. Give your final answer to the task now, as well as you can with what you know.")
			w.log(w.agent, "must come to an end: "+w.short)
		}
		r, err := w.question(ctx, choice, w.nativeSchema())
		if err != nil {
			return "", err
		}
		text := textOf(r.Message)
		switch {
		case r.Finish == "content_filter":
			return "", executors.Permanent(w.failure("the service's content filter stopped the answer"))
		case len(r.Message.Calls) > 0 && w.short != "":
			return "", w.failure("the model goes on using tools after it was told to stop: " + w.short)
		case len(r.Message.Calls) > 0 && len(w.specs) > 0:
			w.turns--
			if err := w.turn(ctx, r.Message); err != nil {
				return "", err
			}
		case text != "":
			if r.Finish == "length" {
				w.log(w.agent, "the answer was cut off at the model's limit of tokens")
			}
			return text, nil
		case nudged || w.short != "":
			return "", w.failure("the model gives no answer")
		default:
			nudged = true
			w.say(model.User, "Your answer was empty. Give your final answer to the task.")
		}
	}
}

// nativeSchema is what the service itself is told to keep to: an agent with tools is told in words, so that it may use them first.
func (w *work) nativeSchema() json.RawMessage {
	if len(w.specs) > 0 {
		return nil
	}
	return w.job.Schema
}

// question asks the model once, and remembers what it says.
func (w *work) question(ctx context.Context, choice string, schema json.RawMessage) (*model.Response, error) {
	if err := w.fit(); err != nil {
		return nil, err
	}
	if said := w.lane.Said(); said != nil {
		return w.saidBefore(said), nil
	}
	if w.agent.Pace != nil {
		if err := w.agent.Pace(ctx); err != nil {
			return nil, err
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r, err := w.ask.Ask(ctx, &model.Request{
		Models: w.agent.Models, Messages: w.messages, Tools: w.specs, ToolChoice: choice, Schema: schema,
		Temperature: w.agent.Temperature, MaxTokens: w.agent.MaxTokens, Extra: w.agent.Extra,
		Stream: w.call.Live != nil, Agent: w.agent.Name,
	})
	w.count(r, err != nil)
	if r != nil {
		w.usage.Add(r.Usage)
		w.model = r.Model
	}
	if err != nil {
		return nil, executors.Ended(ctx, err)
	}
	w.lane.Say(saidBy(r))
	w.unstored = w.lane != nil
	return r, nil
}

// fit makes the conversation small enough to be sent: the oldest answers of tools give way.
func (w *work) fit() error {
	for i := range w.messages {
		if w.size <= maxPrompt {
			return nil
		}
		m := &w.messages[i]
		if m.Role != model.ToolRole {
			continue
		}
		w.size -= sizeOf(*m)
		m.Parts = []model.Part{{Text: "[this answer was left out to make room; use the tool again if you need it]"}}
		w.size += sizeOf(*m)
	}
	if w.size <= maxPrompt {
		return nil
	}
	err := w.failure(fmt.Sprintf("what the model would be told has %d bytes, more than %d", w.size, maxPrompt))
	if w.model == "" { // nothing was asked yet, and another attempt says the same
		err = executors.Permanent(err)
	}
	return err
}

// failure is what an agent did that ended its work. Another attempt begins the job anew.
func (w *work) failure(text string) error {
	w.astray = true
	return errors.New(w.agent.Name + ", " + w.job.Name + ": " + text)
}

// shown is a text for the log of a verbose agent.
func (w *work) shown(text string) string {
	if !w.agent.Verbose {
		return ""
	}
	return ": " + cut(text, maxLoggedText)
}

// textOf is what a message says.
func textOf(m model.Message) string {
	var all strings.Builder
	for _, p := range m.Parts {
		all.WriteString(p.Text)
	}
	return strings.TrimSpace(executors.Text([]byte(all.String())))
}

func sizeOf(m model.Message) (size int) {
	for _, p := range m.Parts {
		size += len(p.Text) + len(p.Image) + len(p.ImageURL)
	}
	for _, c := range m.Calls {
		size += len(c.Name) + len(c.Arguments)
	}
	return size
}

// cut is at most max bytes of a text, and says what is missing.
func cut(text string, max int) string {
	if len(text) <= max {
		return text
	}
	kept := strings.ToValidUTF8(text[:max], "")
	return fmt.Sprintf("%s [cut: %d of %d bytes]", kept, len(kept), len(text))
}
