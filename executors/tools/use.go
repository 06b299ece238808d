package tools

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// Bounds of one use.
const (
	maxArguments = 256 << 10 // bytes
	maxNesting   = 64        // levels of the arguments
	maxAnswer    = 64 << 10  // bytes that a model reads
	maxFailure   = 4 << 10   // bytes of an error
)

// Set is the tools of one agent. Safe for concurrent use.
type Set struct {
	session *Session
	tools   map[string]*entry
	specs   []model.Tool
}

// Specs are what a model is told, in the order of the list. The caller must not change them.
func (s *Set) Specs() []model.Tool { return s.specs }

// Use does what a model asks for. Whatever is wrong with the wish (there is no such tool, its schema refuses the arguments) and errors of the
// tool are answers that have Failed set. An error means that the attempt has ended: it is the cause of ctx.
//
// Bounds of the number of uses, pieces and spans are the caller's.
func (s *Set) Use(ctx context.Context, wish model.ToolCall) (Answer, error) {
	if ctx.Err() != nil {
		return Answer{}, context.Cause(ctx)
	}
	e := s.tools[wish.Name]
	if e == nil {
		return failed(fmt.Sprintf("there is no tool %q; the tools are: %s", shown(wish.Name), s.names())), nil
	}
	args, err := s.arguments(e, wish.Arguments)
	if err != nil {
		return failed(err.Error()), nil
	}
	answer, err := e.run(ctx, args)
	if err != nil {
		if ctx.Err() != nil {
			return Answer{}, context.Cause(ctx)
		}
		answer = failed(redacted(e.call, err.Error())) // before it is cut
	}
	return answer.bounded(e.call), nil
}

// Asks reports whether each use of a tool needs an approval.
func (s *Set) Asks(tool string) bool {
	e := s.tools[tool]
	return e != nil && e.asks
}

// Check says what is wrong with arguments for a tool; nil: nothing.
func (s *Set) Check(tool string, arguments json.RawMessage) error {
	e := s.tools[tool]
	if e == nil {
		return fmt.Errorf("there is no tool %q", shown(tool))
	}
	_, err := s.arguments(e, arguments)
	return err
}

func failed(text string) Answer { return Answer{Text: "Error: " + cut(text, maxFailure), Failed: true} }

func (s *Set) names() string {
	var names []string
	for _, spec := range s.specs {
		names = append(names, spec.Name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// arguments checks what a model wrote.
func (s *Set) arguments(e *entry, args json.RawMessage) (json.RawMessage, error) {
	args = bytes.TrimSpace(args)
	switch {
	case len(args) == 0 || string(args) == "null":
		args = json.RawMessage(`{}`)
	case len(args) > maxArguments:
		return nil, fmt.Errorf("the arguments have %d bytes, at most %d", len(args), maxArguments)
	case rawjson.Depth(args) > maxNesting:
		return nil, fmt.Errorf("the arguments are nested deeper than %d levels", maxNesting)
	case !json.Valid(args) || args[0] != '{':
		return nil, errors.New("the arguments are not a JSON object")
	}
	if err := rawjson.CheckNames(args); err != nil {
		return nil, fmt.Errorf("the arguments: %w", err)
	}
	d := executors.Description{ID: e.spec.Name, Inputs: e.spec.Schema}
	return args, s.session.registry.checker.Check(d, &executors.Call{Inputs: args})
}

// run runs the tool. A panic is its error.
func (e *entry) run(ctx context.Context, args json.RawMessage) (answer Answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			e.call.Reporter.Log("log", redacted(e.call, fmt.Sprintf("tool %s: panic: %v\n%s", e.spec.Name, p, debug.Stack())))
			err = fmt.Errorf("the tool failed: panic: %v", p)
		}
	}()
	return e.Run(ctx, e.call, args)
}

// bounded is the answer as it may go on: without secrets, as text that can be stored, cut to what a model should read.
func (a Answer) bounded(call *executors.Call) Answer {
	text := redacted(call, executors.Text([]byte(a.String())))
	if a.JSON != nil && a.Text == "" && len(text) <= maxAnswer && json.Valid([]byte(text)) {
		return Answer{JSON: json.RawMessage(text), Failed: a.Failed}
	}
	return Answer{Text: cut(text, maxAnswer), Failed: a.Failed}
}

// cut is the beginning of a text, and says so.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	note := fmt.Sprintf("… [cut: %d of %d bytes]", most, len(text))
	return strings.ToValidUTF8(text[:most-len(note)], "") + note
}
