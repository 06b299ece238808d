package agent

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/trace"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/journal"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/tools"
)

// Agent is who works.
type Agent struct {
	Name    string   // for people: pieces, spans and log lines have it
	Models  []string // the next one is asked if one can't answer
	System  string   // what the model is told first; empty: nothing
	Tools   Tools    // nil: none
	Turns   int      // answers of the model with uses of tools, before it must come to an end; 0: [DefaultTurns]
	Verbose bool     // log lines show what was said

	Temperature *float64
	MaxTokens   int // of an answer; 0: the provider's default
	Extra       map[string]json.RawMessage
	// Pace is called before each question; it may wait. nil: nothing is waited for.
	Pace func(ctx context.Context) error
}

// Tools are those that an agent may use. [tools.Set] is one.
type Tools interface {
	// Specs are what the model is told. They stay the same.
	Specs() []model.Tool
	// Use does what a model asks for, whatever that is. An error ends the work.
	Use(ctx context.Context, wish model.ToolCall) (tools.Answer, error)
}

// Asking is implemented by [Tools] some of which need an approval before each use.
type Asking interface {
	// Asks reports whether a use of the tool needs an approval.
	Asks(tool string) bool
	// Check says what is wrong with arguments for it; nil: nothing.
	Check(tool string, arguments json.RawMessage) error
}

// Job is what an agent shall do.
type Job struct {
	Name   string          // for errors and log lines
	Prompt string          // what the model is told of it
	Schema json.RawMessage // the answer must be JSON of this schema; nil: text
}

// Answer is what came of a job.
type Answer struct {
	Text  string          // as the model wrote it
	JSON  json.RawMessage // compact; nil, unless the job has a schema
	Model string          // that gave it
	Uses  int             // of tools
	// Short says why the agent had to come to an end before it wanted to; empty: it had not.
	Short string
}

// What an agent may do if nobody says. Sizes are in bytes.
const (
	DefaultTurns  = 25
	MaxTurns      = 100
	maxCalls      = 16       // uses of tools that one answer may ask for; the others are left out
	maxUses       = 1000     // of tools, by all agents of an attempt
	maxAnswer     = 32 << 10 // of a tool, that the model reads
	maxArguments  = 64 << 10 // that a model writes for a tool
	maxPrompt     = 1 << 20  // all that a model is told at once
	maxSame       = 2        // times that the same use may give the same answer before the model is told; after that, it must come to an end
	maxFailures   = 5        // turns in a row in which no use succeeds
	maxLoggedText = 2 << 10
)

// Session is the agents of one attempt: who answers them, and what they have done so far. Safe for concurrent use.
type Session struct {
	ask  model.Asker
	call *executors.Call
	uses *atomic.Int64 // of tools
	// Trace is where spans begin; nil: at the global provider.
	Trace trace.Tracer
	// Journal is what was done before, and where is recorded what is done; nil: nowhere. Jobs that have no place ([At]) are not in it.
	Journal *journal.Journal
	// Answered is what somebody said of a use of a tool that needs an approval, by the question's id ([Waits]); nil: nobody has. A nil Answered:
	// nobody can be asked.
	Answered func(id string) *journal.Ruled

	mu    sync.Mutex
	usage executors.Usage
	heard string
}

// NewSession makes one for an attempt.
func NewSession(ask model.Asker, call *executors.Call) *Session {
	return &Session{ask: ask, call: call, uses: new(atomic.Int64)}
}

// Fork makes one for other agents of the same attempt, with an account of its own. The bound on uses of tools is of all together.
func (s *Session) Fork() *Session {
	return &Session{ask: s.ask, call: s.call, uses: s.uses, Trace: s.Trace, Journal: s.Journal, Answered: s.Answered}
}

// Usage is what all agents have used so far, whatever became of it.
func (s *Session) Usage() executors.Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.usage
}

// Interrupted is what had arrived of the answer that an error cut off last; empty: nothing.
func (s *Session) Interrupted() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard
}

func (s *Session) count(r *model.Response, failed bool) {
	if r == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.usage.Add(r.Usage)
	if text := textOf(r.Message); failed && text != "" {
		s.heard = text
	}
}

// log tells whoever reads the attempt's log what an agent does.
func (s *Session) log(a *Agent, line string) {
	s.call.Reporter.Log("log", a.Name+": "+line)
}
