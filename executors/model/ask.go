package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
)

// Ask implements [Asker]. It asks the models of the request one after the other until one answers. Errors are permanent or say when to try
// again; those of services are an [*Error], and one of a budget is a [*budget.Exhausted].
func (s *Session) Ask(ctx context.Context, r *Request) (*Response, error) {
	ctx, cancel := s.opts.Meter.Context(ctx)
	defer cancel()
	routes, err := s.prepare(ctx, r)
	if err != nil {
		return nil, err
	}
	var skipped []Skipped
	var failures []*Error
	var sofar *Response
	var spent tally
	for _, route := range routes {
		resp, err := s.answer(ctx, &question{Request: r, route: route, tally: &spent})
		if resp != nil || spent.used.Calls > 0 {
			sofar = cmp.Or(resp, &Response{Message: Message{Role: Assistant}, Model: route.name})
			sofar.Usage, sofar.Estimated, sofar.Skipped = spent.used, spent.estimated, skipped
		}
		failure, ok := errors.AsType[*Error](err)
		if !ok { // it is answered, or has ended
			return sofar, err
		}
		failures = append(failures, failure)
		if !failure.elsewhere() {
			break
		}
		skipped = append(skipped, Skipped{route.asked, failure.text})
	}
	return sofar, together(failures)
}

// together is the error of models that did not answer. Another attempt may help if it may with one of them.
func together(failures []*Error) error {
	if len(failures) == 1 {
		return failures[0].classed()
	}
	texts := make([]string, len(failures))
	var after time.Duration
	later := false
	for i, f := range failures {
		texts[i] = f.Error()
		if f.later() && (!later || f.after < after) {
			after, later = f.after, true
		}
	}
	last := failures[len(failures)-1]
	err := executors.WithKind(&several{fmt.Sprintf("none of %d models answered: %s", len(failures), strings.Join(texts, "; ")), last}, last.word())
	if later {
		return executors.RetryAfter(err, after)
	}
	return executors.Permanent(err)
}

// several is the error of several models.
type several struct {
	text string
	last *Error
}

func (e *several) Error() string { return e.text }

func (e *several) Unwrap() error { return e.last }

// answer asks one model, until its answer is one by the request's schema: once more at most.
func (s *Session) answer(ctx context.Context, q *question) (*Response, error) {
	if q.Schema == nil {
		return s.readable(ctx, q)
	}
	schema, err := inputs.Compile(q.Schema)
	if err != nil {
		return nil, s.invalid([]string{"output_schema: " + err.Error()})
	}
	var first *Response
	for repaired := false; ; repaired = true {
		resp, err := s.readable(ctx, q)
		if err != nil {
			return cmp.Or(resp, first), err
		}
		if len(resp.Message.Calls) > 0 { // of tools: the answer comes later
			return resp, nil
		}
		text := resp.Message.Text()
		value, faults := structured(schema, text)
		if len(faults) == 0 {
			resp.Message.Parts, resp.Repaired = []Part{{Text: string(value)}}, repaired
			return resp, nil
		}
		bad := &Error{Kind: BadShape, Model: q.route.asked}
		what := s.words(strings.Join(faults, "; "))
		switch {
		case resp.Finish == "content_filter":
			bad.text = "it refuses to answer: " + s.words(cmp.Or(text, "it does not say why"))
		case resp.Finish == "length":
			bad.text = "its answer was cut off at the most tokens that it may write, before its JSON was complete: raise max_tokens"
		case repaired:
			bad.text = "its answer does not fit output_schema, also after it was told what is wrong: " + what
		default:
			again := *q.Request
			again.Messages = append(append([]Message{}, q.Messages...), resp.Message,
				Text(User, "That answer does not fit the JSON Schema of the answer: "+what+". Answer again, with JSON of that schema and nothing else."))
			first = resp
			q = &question{Request: &again, route: q.route, tally: q.tally, plainUsage: q.plainUsage}
			continue
		}
		return resp, bad
	}
}

// readable asks one model, and once more if its answer can't be read at all.
func (s *Session) readable(ctx context.Context, q *question) (*Response, error) {
	resp, err := s.once(ctx, q)
	failure, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		return resp, err
	case failure.Kind == BadWire:
	case failure.Kind == Refused && !q.plainUsage && q.Stream && strings.Contains(failure.text, "stream_options"):
		q.plainUsage = true
	default:
		return resp, err
	}
	return s.once(ctx, q)
}
