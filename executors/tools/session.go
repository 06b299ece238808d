package tools

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// maxTools is how many tools one agent may have: each costs the room of its description in every question to a model.
const maxTools = 128

// Session is the tools of one attempt, of all its agents. Safe for concurrent use.
type Session struct {
	registry *Registry
	call     *executors.Call

	mu   sync.Mutex
	open []io.Closer
	uses map[string][]int // of executors: their numbers, by what is the same in them
}

// Mark is filled in by a use of a tool that has an idempotency key: with both, a further attempt knows that this use is over.
type Mark struct {
	Says   string // stands for all that it said
	Number int    // among the uses that say the same; 0: the tool has no such key
}

type markKey struct{}

// WithMark has the use of a tool under the context fill in a mark.
func WithMark(ctx context.Context, m *Mark) context.Context {
	return context.WithValue(ctx, markKey{}, m)
}

// Made says which uses were over before the attempt began, their numbers by what they say. Further ones get other numbers.
func (s *Session) Made(made map[string][]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uses = made
}

// number is the how manieth use of its kind one is, of an executor with the same inputs: the least number that none has.
func (s *Session) number(ctx context.Context, use executors.ToolUse) int {
	sum := sha256.Sum256(use.Says())
	says := hex.EncodeToString(sum[:8])
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uses == nil {
		s.uses = map[string][]int{}
	}
	n := 1
	for slices.Contains(s.uses[says], n) {
		n++
	}
	s.uses[says] = append(s.uses[says], n)
	if m, ok := ctx.Value(markKey{}).(*Mark); ok {
		m.Says, m.Number = says, n
	}
	return n
}

// Session makes the tools of one attempt. The caller closes it.
func (r *Registry) Session(call *executors.Call) *Session { return &Session{registry: r, call: call} }

// Close closes what the tools keep open.
func (s *Session) Close() error {
	s.mu.Lock()
	open := s.open
	s.open = nil
	s.mu.Unlock()
	var errs []error
	for _, c := range slices.Backward(open) {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// keep closes something at the session's end.
func (s *Session) keep(c io.Closer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = append(s.open, c)
}

// entry is a tool as it is used: with the call whose Redact knows what secrets it was made with.
type entry struct {
	Tool
	spec model.Tool
	call *executors.Call
	asks bool // each use needs an approval
}

// Resolve makes the tools of a list as tasks write it (a JSON array, null or nil). Errors are all that is wrong with it, each classed
// ([executors.IsPermanent]), with texts that begin with path and the place in the list: "works.agents.ann.tools[0]: …". The set has what could
// be made.
func (s *Session) Resolve(ctx context.Context, path string, list json.RawMessage) (*Set, []error) {
	set := &Set{session: s, tools: map[string]*entry{}}
	at := rawjson.SkipSpace(list, 0)
	if at == len(list) || list[at] == 'n' {
		return set, nil
	}
	if list[at] != '[' {
		return set, []error{executors.Permanent(fmt.Errorf("%s: must be a list of tools", path))}
	}
	var faults []error
	i := 0
	for one := range rawjson.Elements(list) {
		made, err := s.make(ctx, one)
		if err == nil {
			err = set.add(made)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s[%d]: %w", path, i, err))
		}
		if i++; len(faults) >= maxTools {
			break
		}
	}
	return set, faults
}

// make makes what one element of a list stands for.
func (s *Session) make(ctx context.Context, one json.RawMessage) ([]*entry, error) {
	var text string
	switch one[0] {
	case '"':
		text, _ = rawjson.Unquote(one)
		return s.ofText(text)
	case '{':
		return s.ofObject(ctx, one)
	}
	return nil, executors.Permanent(errors.New(`must be a text such as "MyTool(x=1)", or an object with tool, executor or mcp`))
}

// ofText makes the tool that a text names (spec 8.11).
func (s *Session) ofText(text string) ([]*entry, error) {
	w, err := parse(text)
	if err != nil {
		return nil, executors.Permanent(fmt.Errorf("Invalid tool string syntax: %s: %w", shown(text), err)) //nolint:staticcheck // the text of spec 8.11
	}
	kind, ok := s.registry.kinds[w.name]
	if !ok {
		return nil, executors.Permanent(errors.New(s.registry.notFound(w.name)))
	}
	arguments, err := w.object(kind.Inputs)
	if err != nil {
		return nil, executors.Permanent(fmt.Errorf("Invalid tool string syntax: %s: %w", shown(text), err)) //nolint:staticcheck // the text of spec 8.11
	}
	return s.ofKind(kind, arguments)
}

// object is the arguments as an object. Those without a name take the names of the schema's properties, in the order in which it has them.
func (w *written) object(schema json.RawMessage) (json.RawMessage, error) {
	fields := properties(schema)
	out := []byte{'{'}
	seen := map[string]bool{}
	add := func(name string, value json.RawMessage) error {
		if seen[name] {
			return fmt.Errorf("argument %s is there twice", name)
		}
		seen[name] = true
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = fmt.Appendf(out, "%q:%s", name, value)
		return nil
	}
	if len(w.positional) > len(fields) {
		return nil, fmt.Errorf("%d arguments without a name, and %s takes %d arguments", len(w.positional), w.name, len(fields))
	}
	for i, value := range w.positional {
		_ = add(fields[i].name, value) // they differ
	}
	for i, name := range w.names {
		if err := add(name, w.named[i]); err != nil {
			return nil, err
		}
	}
	return append(out, '}'), nil
}

// ofKind makes a tool of a kind.
func (s *Session) ofKind(kind Kind, arguments json.RawMessage) (_ []*entry, err error) {
	d := kind.Description
	if len(d.Inputs) == 0 {
		d.Inputs = json.RawMessage(`{"type": "object", "additionalProperties": false}`)
	}
	call, err := s.resolve(d, arguments)
	if err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil {
			err = executors.Permanent(fmt.Errorf("tool %s can't be made: panic: %s", kind.ID, redacted(call, fmt.Sprint(p))))
		}
	}()
	tool, err := kind.New(call)
	if err != nil {
		return nil, err
	}
	if c, ok := tool.(io.Closer); ok {
		s.keep(c)
	}
	return []*entry{{Tool: tool, spec: tool.Spec(), call: call}}, nil
}

// resolve is a call with inputs that the task's author wrote, checked, with secrets in their places.
func (s *Session) resolve(d executors.Description, fixed json.RawMessage) (*executors.Call, error) {
	if s.call.Toolbox != nil {
		return s.call.Toolbox.Resolve(d, fixed)
	}
	call := *s.call
	call.Inputs, call.Schemas = fixed, nil
	if err := s.registry.checker.Check(d, &call); err != nil {
		return nil, err
	}
	return &call, nil
}

// names that both wire formats take.
var modelName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// add puts tools into the set.
func (s *Set) add(all []*entry) error {
	for _, e := range all {
		name := e.spec.Name
		if !modelName.MatchString(name) {
			return executors.Permanent(fmt.Errorf("name: %q: want 1 to 64 letters, digits, - and _", shown(name)))
		}
		for other := range s.tools {
			if strings.EqualFold(other, name) {
				return executors.Permanent(fmt.Errorf("name: the agent has a tool of the name %s before: set another", shown(other)))
			}
		}
		if len(s.tools) == maxTools {
			return executors.Permanent(fmt.Errorf("an agent may have %d tools", maxTools))
		}
		var err error
		if e.spec.Schema, err = fit(e.spec.Schema); err != nil {
			return executors.Permanent(fmt.Errorf("tool %s has a schema that can't be used: %w", name, err))
		}
		s.tools[name] = e
		s.specs = append(s.specs, e.spec)
	}
	return nil
}

// redacted is a text without the secrets that a call was given.
func redacted(call *executors.Call, text string) string {
	if call.Redact == nil {
		return text
	}
	return call.Redact(text)
}
