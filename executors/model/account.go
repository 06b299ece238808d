package model

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/budget"
)

const (
	// answerTokens is how long an answer is taken to be at most, for a budget, where nobody says.
	answerTokens = 4096
	// leastTokens is how many there must be room for.
	leastTokens = 16
	imageTokens = 1600 // of an image, about
)

// account is what one call costs, from its reservation to its end.
type account struct {
	session  *Session
	route    *route
	price    budget.Price
	priced   bool
	currency string
	prompt   int64 // estimated
	reserved *budget.Reservation
}

// open makes room for a call in the budget, and bounds the answer by it.
func (s *Session) open(q *question) (*account, error) {
	a := &account{session: s, route: q.route, prompt: promptTokens(q.Request)}
	a.price, a.priced = s.models.prices.Of(q.route.names()...)
	a.currency = s.models.prices.Currency()
	if err := s.countable(a); err != nil {
		return nil, err
	}
	meter, answers := s.opts.Meter, q.answers()
	most := min(int64(q.MaxTokens), maxTokens)
	q.max = q.MaxTokens
	if room, limited := meter.Room(a.prompt, a.price); limited && most == 0 {
		most = min(answerTokens, max(room/answers, leastTokens))
		q.max = int(most)
	}
	if most == 0 {
		most = answerTokens
	}
	most *= answers
	var err error
	a.reserved, err = meter.Reserve(budget.Need{Calls: 1, Tokens: a.prompt + most, Cost: a.price.Most(a.prompt, most)})
	return a, err
}

// countable says that a budget of money can't be kept any more, as the prices have changed since the task began.
func (s *Session) countable(a *account) error {
	if s.opts.Meter.Limits().Money == 0 {
		return nil
	}
	used := s.opts.Meter.Used()
	switch {
	case !a.priced:
		return s.invalid([]string{fmt.Sprintf("budget.money: model %s has no price any more", shown(a.route.asked))})
	case used.Currency != "" && used.Currency != a.currency:
		return s.invalid([]string{fmt.Sprintf("budget.money: prices are in %s now, and what the task has used is in %s", a.currency, used.Currency)})
	}
	return nil
}

// answers is how many answers a question asks for, each of as many tokens as it may have.
func (q *question) answers() int64 {
	most := 1.0
	for _, name := range []string{"n", "best_of"} {
		var n float64
		if json.Unmarshal(q.Extra[name], &n) == nil {
			most = max(most, min(n, maxAnswers))
		}
	}
	return int64(most)
}

// maxAnswers bounds the numbers that are reckoned with.
const maxAnswers = 1 << 20

// close settles a call that was answered, or began to be, and records it. Where the service does not say what it used, or the answer broke
// off before it did, the texts tell.
func (a *account) close(q *question, d *draft, cut bool) {
	used, written := d.usage.usage(), d.written()
	if used.PromptTokens == 0 { // it does not say, or what nobody believes
		used.PromptTokens, q.tally.estimated = a.prompt, true
	}
	if !d.usage.known || (cut || used.CompletionTokens == 0) && written > used.CompletionTokens {
		used.CompletionTokens, q.tally.estimated = written, true
	}
	if a.priced {
		used.CostNanos, used.Currency = a.price.Cost(used), a.currency
	} else {
		used.Unpriced = 1
	}
	a.reserved.Settle(used)
	a.session.call.Record(q.route.asked, used)
	q.tally.used.Add(used)
}

// tally is what all calls for one request have used.
type tally struct {
	used      executors.Usage
	estimated bool
}

// drop gives the room of a call back that was not answered.
func (a *account) drop() { a.reserved.Settle(executors.Usage{}) }

// tell says to those who watch that a model is asked.
func (s *Session) tell(ctx context.Context, q *question) {
	if ctx.Err() == nil {
		s.call.Tell(executors.Piece{Kind: executors.PieceModelCall, Agent: q.Agent, Name: q.route.asked})
	}
}

// tokens is about how many a text has.
func tokens(text string) int64 {
	beyond := 0
	for i := range len(text) {
		if text[i] >= 0x80 {
			beyond++
		}
	}
	return int64((len(text)-beyond+3)/4 + (beyond+1)/2)
}

// promptTokens is about how many a model reads.
func promptTokens(r *Request) (n int64) {
	for i := range r.Messages {
		m := &r.Messages[i]
		n += 4
		for _, p := range m.Parts {
			if p.Image != nil || p.ImageURL != "" {
				n += imageTokens
			}
			n += tokens(p.Text)
		}
		for _, c := range m.Calls {
			n += tokens(c.Name) + tokens(string(c.Arguments))
		}
	}
	for _, t := range r.Tools {
		n += tokens(t.Name) + tokens(t.Description) + tokens(string(t.Schema))
	}
	return n + tokens(string(r.Schema))
}

// written is about how many tokens of an answer have come.
func (d *draft) written() (n int64) {
	for _, c := range d.choices {
		n += tokens(c.text.String()) + tokens(c.refusal.String())
		for _, call := range c.calls {
			n += tokens(call.name) + tokens(call.arguments.String())
		}
	}
	return n
}

// ended reports whether the answer says of itself that it is whole.
func (d *draft) ended() bool {
	for _, c := range d.choices {
		if c.finish == "" {
			return false
		}
	}
	return len(d.choices) > 0
}
