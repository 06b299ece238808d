package worker_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/executors"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// told is what an attempt tells live, until it has told the piece that ends so.
func (h *harness) told(end string) (all []*workerv1.Live) {
	h.t.Helper()
	for {
		m := next(h, h.live, "the message that ends with "+end)
		if all = append(all, m); strings.HasSuffix(m.Pieces[len(m.Pieces)-1].Text, end) {
			return all
		}
	}
}

// pieceTexts is what messages say, and the bytes that they say are missing.
func pieceTexts(all []*workerv1.Live) (text string, dropped int) {
	var b strings.Builder
	before := &workerv1.Piece{}
	for _, m := range all {
		for _, p := range m.Pieces {
			if p.Kind == "dropped" {
				n, _ := strconv.Atoi(p.Text)
				dropped += n
			}
			if p.Kind != before.Kind || p.Agent != before.Agent || p.Kind != "token" {
				fmt.Fprintf(&b, "[%s %s %s]", p.Kind, p.Agent, p.Name)
			}
			b.WriteString(p.Text)
			before = p
		}
	}
	return b.String(), dropped
}

func TestPiecesAreToldInOrderAndNoneAfterTheEnd(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	over := make(chan struct{})
	h.runWorker(does(func(_ context.Context, call *executors.Call) (any, error) {
		call.Reporter.Progress(.5, "half")
		call.Tell(executors.Piece{Kind: executors.PieceModelCall, Name: "gpt"})
		first := next(h, h.live, "the first message") // at once, without a pause
		if first.Number != 1 || len(first.Token) == 0 || first.Attempt.Task != 1 {
			t.Errorf("first came %v", first)
		}
		for i := range 200 {
			call.Tell(executors.Piece{Kind: executors.PieceToken, Agent: "a", Text: fmt.Sprintf("%d ", i)})
		}
		call.Tell(executors.Piece{Kind: executors.PieceToolCall, Agent: "a", Name: "search", Text: "{}"})
		call.Tell(executors.Piece{Kind: executors.PieceToken, Agent: "b", Text: "end"})
		go func() {
			defer close(over)
			next(h, h.results, "the result")
			call.Tell(executors.Piece{Kind: executors.PieceToken, Text: "too late"})
		}()
		return nil, nil
	}))
	h.offer(work(1))
	<-over
	all := h.told("end")
	if len(h.live) > 0 {
		t.Error("there is more after the end")
	}
	var want strings.Builder
	for i := range 200 {
		fmt.Fprintf(&want, "%d ", i)
	}
	if got, dropped := pieceTexts(all); got != "[token a ]"+want.String()+"[tool_call a search]{}[token b ]end" || dropped > 0 {
		t.Errorf("got %s, %d bytes dropped", got, dropped)
	}
	for i, m := range all {
		if m.Number != uint64(i+2) || m.Fraction != .5 {
			t.Errorf("message %d is %v", i, m)
		}
	}
	if n := len(all); n > 3 {
		t.Errorf("%d messages came in an instant, want few", n)
	}
}

// A secret that is spread over pieces is not told; what only began like one is.
func TestPiecesHoldNoSecretInParts(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	_, has := holdsSecrets(t)
	h.runWorker(takesSecrets(func(_ context.Context, call *executors.Call) (any, error) {
		token := func(agent, text string) {
			call.Tell(executors.Piece{Kind: executors.PieceToken, Agent: agent, Text: text})
			time.Sleep(2 * time.Millisecond) // some are sent in between
		}
		for _, c := range "it is " + canary + "!" {
			token("a", string(c))
		}
		for _, c := range canary { // two agents at once
			token("b", string(c))
			token("c", string(c))
		}
		token("b", " ")
		token("c", canary[:6])
		call.Tell(executors.Piece{Kind: executors.PieceToolCall, Agent: "c", Name: canary, Text: `{"key":"` + canary + `"}`})
		token("d", canary[:6]) // what was held back comes at the end
		return nil, nil
	}), has)
	h.offer(work(1, func(w *workerv1.Work) {
		w.Inputs, w.References = []byte(`{"token":{"secret":"canary"}}`), []string{"token"}
	}))
	h.wantResult(1, completed)
	all := h.told(canary[:6])
	got, _ := pieceTexts(all)
	if strings.Contains(got, canary) || !strings.HasPrefix(got, "[token a ]it is ***!") || !strings.HasSuffix(got, "[token c ]"+canary[:6]+`[tool_call c ***]{"key":"***"}[token d ]`+canary[:6]) {
		t.Errorf("got %s", got)
	}
	letters := map[string]string{}
	for _, m := range all {
		for _, p := range m.Pieces {
			letters[p.Agent] += p.Text
		}
	}
	if letters["b"] != "*** " || !strings.HasPrefix(letters["c"], "***"+canary[:6]) {
		t.Errorf("b says %q and c %q", letters["b"], letters["c"])
	}
}

func TestPiecesThatComeTooFastAreDroppedFromTheMiddle(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	const size = 3 << 20
	h.runWorker(does(func(_ context.Context, call *executors.Call) (any, error) {
		call.Tell(executors.Piece{Kind: executors.PieceToken, Text: "first"})
		next(h, h.live, "the first message") // there is a pause after it
		call.Tell(executors.Piece{Kind: executors.PieceToken, Text: "begin " + strings.Repeat("ä", size/2) + " end"})
		for range 1000 {
			call.Tell(executors.Piece{Kind: executors.PieceToolCall, Name: strings.Repeat("n", 10_000), Text: strings.Repeat("t", 10_000)})
		}
		call.Tell(executors.Piece{Kind: executors.PieceToken, Text: "the last"})
		return nil, nil
	}))
	h.offer(work(1))
	h.wantResult(1, completed)
	all := h.told("the last")
	got, dropped := pieceTexts(all)
	if !strings.HasPrefix(got, "[token  ]begin ää") || !strings.HasSuffix(got, "the last") || dropped < size-100<<10 || !utf8.ValidString(got) {
		t.Errorf("got %.60s…%s, %d bytes dropped", got, got[max(0, len(got)-60):], dropped)
	}
	for _, m := range all {
		bytes := 0
		for _, p := range m.Pieces {
			bytes += len(p.Text) + len(p.Name)
		}
		if bytes > 20<<10 || len(m.Pieces) > 1000 {
			t.Errorf("a message has %d bytes in %d pieces", bytes, len(m.Pieces))
		}
	}
}
