package modeltest

import (
	"strings"
	"time"
)

// Script is a recorded conversation: what a model answers, turn by turn.
type Script struct {
	Name string `yaml:"name"`
	// About says what it shows.
	About string `yaml:"about"`
	// Models are those that play it when it is served from a file.
	Models []string `yaml:"models"`
	Turns  []Turn   `yaml:"turns"`
}

// Turn is one answer. A request gets the first turn that fits it and is not used up.
type Turn struct {
	// When is a text that the conversation must have for the turn to fit; empty: it always fits. All of several lines must be in it.
	When string `yaml:"when"`
	// Last is a text that the last message must have.
	Last string `yaml:"last"`
	// Times is how often it is used; 0: once; negative: for ever.
	Times int `yaml:"times"`
	// Wants are texts that the request's body must have; else the test fails.
	Wants []string `yaml:"wants"`
	// Reply makes the turn of the request.
	Reply func(r *Request) Turn `yaml:"-"`

	// What is said.
	Text    string `yaml:"text"`
	Calls   []Call `yaml:"calls"`
	Refusal string `yaml:"refusal"` // of OpenAI a refusal, of Anthropic a stop reason
	// Finish is why the answer ends, by OpenAI's words: stop, length, tool_calls, content_filter. Empty: what fits.
	Finish string `yaml:"finish"`
	Usage  *Usage `yaml:"usage"` // nil: estimated
	// Fill appends that many bytes of text. Endless appends text until the client leaves.
	Fill    int  `yaml:"fill"`
	Endless bool `yaml:"endless"`

	// How it is said.
	Delay time.Duration `yaml:"delay"` // before the first byte
	Pace  time.Duration `yaml:"pace"`  // between two tokens of a stream
	// Hang stops after the text, with the end of the answer missing, until the client leaves. HangFirst sends nothing at all.
	Hang      bool `yaml:"hang"`
	HangFirst bool `yaml:"hang_first"`
	// Chunk is how many bytes are written at once; 0: between 1 and 97, by turns; negative: each event as a whole.
	Chunk int `yaml:"chunk"`
	// LineEnd of events; empty: "\n".
	LineEnd string `yaml:"line_end"`

	// What goes wrong.
	Fault   Fault  `yaml:"fault"`
	Late    bool   `yaml:"late"`    // the fault comes within the stream, after the text
	Status  int    `yaml:"status"`  // instead of the fault's own
	Message string `yaml:"message"` // instead of the fault's own
	// RetryAfter is the header of this name: seconds; "ms 1500" is OpenAI's retry-after-ms; "date 3s" is a date so far from now.
	RetryAfter string `yaml:"retry_after"`
	EchoKey    bool   `yaml:"echo_key"` // the error's message quotes the request's key
	Cut        Cut    `yaml:"cut"`
	Malformed  Garble `yaml:"malformed"`
	// ContentType and Raw replace those of the answer.
	ContentType string `yaml:"content_type"`
	Raw         string `yaml:"raw"`
}

// Call is a model's wish to call a tool.
type Call struct {
	ID   string `yaml:"id"` // empty: made
	Name string `yaml:"name"`
	// Arguments are JSON, or what a model wrote instead. Anthropic's format, when it does not stream, can't say what is no JSON: it has {}.
	Arguments string `yaml:"arguments"`
}

// Usage is what a turn is said to have used, in tokens.
type Usage struct {
	Prompt     int64 `yaml:"prompt"` // those from a cache too
	Completion int64 `yaml:"completion"`
	Cached     int64 `yaml:"cached"`
	Reasoning  int64 `yaml:"reasoning"`
}

// Fault is an error that a service answers.
type Fault string

// The faults.
const (
	FaultRate        Fault = "rate_limit"         // 429
	FaultQuota       Fault = "insufficient_quota" // 429; Anthropic: 400, billing
	FaultOverloaded  Fault = "overloaded"         // 503; Anthropic: 529
	FaultServer      Fault = "server_error"       // 500
	FaultUnavailable Fault = "unavailable"        // 503
	FaultGateway     Fault = "bad_gateway"        // 502, a page of HTML
	FaultTimeout     Fault = "timeout"            // 504
	FaultKey         Fault = "invalid_api_key"    // 401
	FaultPermission  Fault = "permission"         // 403
	FaultModel       Fault = "model_not_found"    // 404
	FaultContext     Fault = "context_length"     // 400
	FaultPolicy      Fault = "content_policy"     // 400
	FaultTooLarge    Fault = "too_large"          // 413
)

// Cut is where the connection ends too early.
type Cut string

// The cuts.
const (
	CutConnection Cut = "connection" // before any answer
	CutHeaders    Cut = "headers"    // after the headers
	CutMiddle     Cut = "middle"     // in the middle of the body, and of an event if it streams
	CutBetween    Cut = "between"    // between two events, and the body ends as if all were well; the last events are missing
)

// Garble is how an answer is malformed.
type Garble string

// The garbles.
const (
	GarbleJSON    Garble = "json"     // the middle of the answer is no JSON
	GarbleShape   Garble = "shape"    // JSON, of other types than the format's
	GarbleDeep    Garble = "deep"     // JSON of 100 000 levels
	GarbleEmpty   Garble = "empty"    // no choice, no content
	GarbleNoUsage Garble = "no_usage" // nothing about usage
	GarbleNothing Garble = "nothing"  // no body at all
)

// fits says whether the turn answers the request.
func (t *Turn) fits(r *Request) bool {
	text := ""
	for line := range strings.SplitSeq(t.When, "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if text == "" {
			text = r.Conversation()
		}
		if !strings.Contains(text, line) {
			return false
		}
	}
	return t.Last == "" || strings.Contains(r.last(), t.Last)
}

// missing is the first text that the request should have.
func (t *Turn) missing(r *Request) string {
	for _, want := range t.Wants {
		if !strings.Contains(string(r.Body), want) && !strings.Contains(r.Conversation(), want) {
			return want
		}
	}
	return ""
}

// finish is why the answer ends, by OpenAI's words.
func (t *Turn) finish() string {
	switch {
	case t.Finish != "":
		return t.Finish
	case len(t.Calls) > 0:
		return "tool_calls"
	}
	return "stop"
}

// PlayedBy are the models that play the script when it is served from a file: those that it names, or one called like it.
func (s *Script) PlayedBy() []string {
	if len(s.Models) > 0 {
		return s.Models
	}
	return []string{s.Name}
}
