package model

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/budget"
	"github.com/taskgrove/taskgrove/executors/headers"
	"github.com/taskgrove/taskgrove/executors/network"
)

// Kind is what kept a model from answering.
type Kind string

// The kinds. It is asked again later after those of the second row; the next model of a list is asked after all but the first three.
const (
	Refused  Kind = "refused"          // the request, or the key
	TooLong  Kind = "context_too_long" // the conversation, for the model
	BadShape Kind = "bad_answer"       // the answer is none by its schema, after a repair
	NotFound Kind = "model_not_found"
	NoMoney  Kind = "insufficient_quota"
	BadWire  Kind = "malformed" // the answer is none by the wire format, twice

	Busy       Kind = "rate_limit" // too many requests, or an overloaded service
	Broken     Kind = "server_error"
	Connection Kind = "connection"
	CutOff     Kind = "cut_off" // the answer broke off
	TimedOut   Kind = "timeout"
)

// Error says why a model did not answer. Its text holds no key.
type Error struct {
	Kind   Kind
	Model  string // as it was asked for
	Status int    // of HTTP; 0: none
	text   string
	after  time.Duration // how long the service wants to be left alone
	cause  error
}

// Error names the model, the status and what the service says.
func (e *Error) Error() string { return "model " + shown(e.Model) + ": " + e.text }

// Unwrap is what was beneath.
func (e *Error) Unwrap() error { return e.cause }

// later reports whether another attempt may help.
func (e *Error) later() bool {
	switch e.Kind {
	case Busy, Broken, CutOff, TimedOut:
		return true
	case Connection:
		return !executors.IsPermanent(e.cause)
	}
	return false
}

// elsewhere reports whether another model may answer.
func (e *Error) elsewhere() bool { return e.Kind != Refused && e.Kind != TooLong && e.Kind != BadShape }

// classed is the error as an attempt ends with it.
func (e *Error) classed() error {
	err := executors.WithKind(e, e.word())
	if e.later() {
		return executors.RetryAfter(err, e.after)
	}
	return executors.Permanent(err)
}

// Kinds are those of errors of tasks that ask models, for the descriptions of executors.
func Kinds() []executors.ErrorKind {
	return append(headers.Kinds(),
		executors.ErrorKind{Word: string(TooLong), Text: "The conversation is too long for the model"},
		executors.ErrorKind{Word: string(NotFound), Text: "The service has no such model"},
		executors.ErrorKind{Word: string(NoMoney), Text: "The account at the service is used up"},
		executors.ErrorKind{Word: string(BadShape), Text: "The answer does not fit the schema that it was asked for"},
		executors.ErrorKind{Word: string(BadWire), Text: "The service's answer can't be read"},
		executors.ErrorKind{Word: string(CutOff), Text: "The answer broke off"},
		executors.ErrorKind{Word: budget.KindExhausted, Text: "The task's budget is used up"},
	)
}

// word is the kind as tasks know it, who may name it in retry_on: the same words as for other services where there are some.
func (e *Error) word() string {
	switch e.Kind {
	case Refused:
		return headers.KindClient
	case Busy:
		return headers.KindBusy
	case Broken:
		return headers.KindServer
	case Connection:
		return executors.KindConnect
	}
	return string(e.Kind)
}

// said is what a service says of an error.
type said struct{ message, kind, code string }

// reading of an error's body, in the forms that services have.
func reading(text []byte) (s said, ok bool) {
	text = bytes.TrimSpace(text)
	var list []json.RawMessage
	if json.Unmarshal(text, &list) == nil && len(list) > 0 { // of Google
		text = list[0]
	}
	type fields struct {
		Error   json.RawMessage `json:"error"`
		Message json.RawMessage `json:"message"`
		Detail  json.RawMessage `json:"detail"`
		Type    json.RawMessage `json:"type"`
		Code    json.RawMessage `json:"code"`
	}
	var outer fields
	if len(text) == 0 || text[0] != '{' || unmarshal(text, &outer) != nil {
		return s, false
	}
	inner := outer
	if len(outer.Error) > 0 && outer.Error[0] == '{' {
		inner = fields{}
		if unmarshal(outer.Error, &inner) != nil {
			return s, false
		}
	}
	s.message = cmp.Or(word(inner.Message), word(inner.Error), word(inner.Detail), string(inner.Detail))
	s.kind, s.code = word(inner.Type), cmp.Or(word(inner.Code), string(inner.Code))
	return s, s.message != "" || s.kind != "" || s.code != ""
}

func word(raw json.RawMessage) (text string) {
	_ = json.Unmarshal(raw, &text) // else it is none
	return text
}

// inBand is the fault that an answer with status 200 holds; nil: none. It says what the service does.
func inBand(raw json.RawMessage) error {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	s, ok := reading([]byte(`{"error":` + string(raw) + `}`))
	if !ok {
		s = said{message: string(raw)}
	}
	return &inBandError{s}
}

// inBandError is an error that came in place of an answer, or within one.
type inBandError struct{ said said }

func (e *inBandError) Error() string { return e.said.message }

// statusOf is the status that an error within an answer stands for.
func statusOf(s said) int {
	for _, row := range []struct {
		word   string
		status int
	}{
		{"overloaded", 529}, {"rate_limit", 429}, {"insufficient_quota", 429}, {"invalid_request", 400}, {"context_length", 400}, {"authentication", 401},
		{"permission", 403}, {"not_found", 404}, {"too_large", 413}, {"timeout", 504},
	} {
		if strings.Contains(s.kind, row.word) || strings.Contains(s.code, row.word) {
			return row.status
		}
	}
	if status, err := strconv.Atoi(s.code); err == nil && status >= 400 && status < 600 {
		return status
	}
	return 500
}

// Bounds of what is shown of a service's own words.
const maxSaid = 600

// words is a text from outside for an error: one line, bounded, without keys.
func (s *Session) words(text string) string {
	text = s.redactor().Text(clean(text))
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	return head(text, maxSaid)
}

// head is at most so many bytes of a text.
func head(text string, most int) string {
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// refused is the error of a status other than 2xx.
func (s *Session) refused(r *route, status int, h http.Header, text []byte) *Error {
	what, ok := reading(text)
	if !ok {
		what.message = strings.TrimSpace(string(text))
	}
	e := s.judged(r, status, what)
	if e.Kind == Busy || status == http.StatusServiceUnavailable {
		e.after = delay(h, time.Now())
	}
	return e
}

// judged is the error that a status and a service's words stand for.
func (s *Session) judged(r *route, status int, what said) *Error {
	e := &Error{Kind: Broken, Model: r.asked, Status: status}
	message := s.words(what.message)
	e.text = fmt.Sprintf("%s answers %d", s.words(r.provider), status)
	if label := s.words(cmp.Or(what.code, what.kind)); label != "" && label != "null" {
		e.text += " (" + label + ")"
	}
	if message != "" {
		e.text += ": " + message
	}
	lower := strings.ToLower(message)
	switch {
	case status >= 300 && status < 400:
		e.Kind, e.text = Refused, fmt.Sprintf("%s answers %d: a redirect, which is not followed", r.provider, status)
	case outOfMoney(status, what, lower):
		e.Kind = NoMoney
	case status == http.StatusTooManyRequests || status == 529:
		e.Kind = Busy
	case status == http.StatusRequestTimeout || status == http.StatusConflict || status == http.StatusTooEarly || status >= 500:
	case tooLong(what, lower):
		e.Kind, e.text = TooLong, "the conversation is too long for it: "+e.text
	case status == http.StatusNotFound || strings.Contains(what.code, "model_not_found") || status == 400 && strings.HasPrefix(lower, "invalid model"):
		e.Kind = NotFound
	default:
		e.Kind = Refused
	}
	return e
}

func outOfMoney(status int, what said, message string) bool {
	return strings.Contains(what.code, "insufficient_quota") || strings.Contains(what.kind, "insufficient_quota") ||
		status == http.StatusPaymentRequired || status == 400 && strings.Contains(message, "credit balance is too low")
}

func tooLong(what said, message string) bool {
	return strings.Contains(what.code, "context_length_exceeded") || strings.Contains(message, "prompt is too long") ||
		strings.Contains(message, "maximum context length") || strings.Contains(message, "context window")
}

// failed is the error of a connection that was not made, or broke.
func (s *Session) failed(ctx context.Context, r *route, err error) error {
	if ctx.Err() != nil {
		if cause := context.Cause(ctx); errors.As(cause, new(*silence)) {
			return &Error{Kind: TimedOut, Model: r.asked, text: s.words(r.provider) + " " + cause.Error(), cause: cause}
		}
		return context.Cause(ctx)
	}
	classed := network.Classed(err)
	return &Error{Kind: Connection, Model: r.asked, text: s.words(r.provider + ": " + classed.Error()), cause: classed}
}

// silence is the cause of a call whose service says nothing for too long.
type silence struct{}

func (*silence) Error() string { return "is silent for too long" }

// delay is how long a service wants to be left alone, by whichever header it says it in; 0: it does not.
func delay(h http.Header, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil && ms > 0 {
		return time.Duration(min(ms*float64(time.Millisecond), float64(headers.MostRetryAfter)))
	}
	if after := headers.RetryAfter(h, now); after > 0 {
		return after
	}
	if seconds, err := strconv.ParseFloat(strings.TrimSpace(h.Get("Retry-After")), 64); err == nil && seconds > 0 {
		return time.Duration(min(seconds*float64(time.Second), float64(headers.MostRetryAfter)))
	}
	var longest, exhausted time.Duration
	for name, values := range h {
		what, ok := resetOf(strings.ToLower(name))
		if !ok {
			continue
		}
		after := until(values[0], now)
		longest = max(longest, after)
		if left := h.Get(what); left == "0" {
			exhausted = max(exhausted, after)
		}
	}
	if exhausted > 0 {
		return exhausted
	}
	return longest
}

// resetOf says which header tells what is left of the limit whose reset a header tells: x-ratelimit-reset-tokens and
// x-ratelimit-remaining-tokens, anthropic-ratelimit-tokens-reset and anthropic-ratelimit-tokens-remaining.
func resetOf(name string) (remaining string, ok bool) {
	if what, ok := strings.CutPrefix(name, "x-ratelimit-reset-"); ok {
		return "X-Ratelimit-Remaining-" + what, true
	}
	if what, ok := strings.CutSuffix(name, "-reset"); ok && strings.HasPrefix(what, "anthropic-ratelimit-") {
		return what + "-remaining", true
	}
	return "", false
}

// until reads how long a limit lasts: 6m0s, 20ms, seconds, or a date of RFC 3339.
func until(text string, now time.Time) time.Duration {
	text = strings.TrimSpace(text)
	d, err := time.ParseDuration(text)
	if seconds, bad := strconv.ParseFloat(text, 64); bad == nil && seconds < headers.MostRetryAfter.Seconds() {
		d, err = time.Duration(seconds*float64(time.Second)), nil
	}
	if at, bad := time.Parse(time.RFC3339, text); bad == nil {
		d, err = at.Sub(now), nil
	}
	if err != nil {
		return 0
	}
	return min(max(0, d), headers.MostRetryAfter)
}
