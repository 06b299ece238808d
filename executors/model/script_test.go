package model_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
)

// TestRecordedConversations plays each script over both wires, streamed and not.
func TestRecordedConversations(t *testing.T) {
	t.Parallel()
	type row struct {
		kind  model.Kind // empty: it answers
		text  string     // of the answer, or a part of the error
		later bool       // another attempt may help
		after time.Duration
	}
	failing := map[string]row{
		"rate-limited":      {model.Busy, "429", true, time.Second},
		"rate-limited-ms":   {model.Busy, "429", true, 300 * time.Millisecond},
		"rate-limited-date": {model.Busy, "429", true, time.Second}, // or 2: dates have seconds
		"quota":             {model.NoMoney, "", false, 0},
		"overloaded":        {"", "overload", true, 0},
		"server-error":      {model.Broken, "500", true, 0},
		"wrong-key":         {model.Refused, "401", false, 0},
		"no-such-model":     {model.NotFound, "404", false, 0},
		"context-too-long":  {model.TooLong, "the conversation is too long for it", false, 0},
		"cut-connection":    {model.Connection, "", true, 0},
		"cut-headers":       {model.CutOff, "broke off", true, 0},
		"cut-middle":        {model.CutOff, "broke off", true, 0},
		"malformed-json":    {}, "malformed-shape": {}, "malformed-deep": {}, "malformed-empty": {}, "wrong-type": {}, "no-body": {},
		"good": {}, "no-usage": {}, "length": {}, "filtered": {}, "refusal": {}, "compatible": {}, "slow": {}, "tools": {}, "tool": {},
		"echoed-key": {model.Broken, "***", true, 0},
	}
	for name, want := range failing {
		for _, w := range wires {
			t.Run(name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				s := modeltest.Start(t)
				s.Play("m", modeltest.Recorded(name))
				b := newBench(t, model.Config{})
				r := say("Hi")
				r.Stream, r.Tools = w.stream, []model.Tool{{Name: "get_weather", Schema: []byte(weather)}, {Name: "get_time"}}
				resp, err := b.session(w.at(s)).Ask(t.Context(), r)
				if want == (row{}) {
					if err != nil || resp.Usage.Calls == 0 {
						t.Fatalf("got %+v, %v", resp, err)
					}
					return
				}
				failure, _ := errors.AsType[*model.Error](err)
				if failure == nil || want.kind != "" && failure.Kind != want.kind || !strings.Contains(strings.ToLower(err.Error()), want.text) || executors.IsPermanent(err) == want.later {
					t.Errorf("got %+v: %v, want %+v", failure, err, want)
				}
				if after := executors.RetryAfterOf(err); want.after > 0 && (after < want.after || after > want.after+time.Second) {
					t.Errorf("again after %v, want %v", after, want.after)
				}
				if strings.Contains(err.Error(), s.Key()) {
					t.Errorf("shows the key: %v", err)
				}
			})
		}
	}
}

// TestFinishesAreInOpenAIsWords.
func TestFinishesAreInOpenAIsWords(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"good": "stop", "length": "length", "refusal": "content_filter", "tool": "tool_calls"} {
		for _, w := range wires {
			s := modeltest.Start(t)
			s.Play("m", modeltest.Recorded(name))
			b := newBench(t, model.Config{})
			r := say("Hi")
			r.Stream, r.Tools = w.stream, []model.Tool{{Name: "get_weather", Schema: []byte(weather)}}
			if resp, err := b.session(w.at(s)).Ask(t.Context(), r); err != nil || resp.Finish != want {
				t.Errorf("%s over %s: got %+v, %v, want %s", name, w.name, resp, err, want)
			}
		}
	}
}

// TestACancelledCallEndsWithWhatHadCome, within a second, and the service sees that nobody listens.
func TestACancelledCallEndsWithWhatHadCome(t *testing.T) {
	t.Parallel()
	for _, w := range wires {
		if !w.stream {
			continue
		}
		s := modeltest.Start(t)
		s.Play("m", modeltest.Script{Turns: []modeltest.Turn{{Text: "Once upon a time there was.", Hang: true}}})
		b := newBench(t, model.Config{})
		ctx, cancel := context.WithCancelCause(t.Context())
		var start time.Time
		go func() {
			for b.streamed() != "Once upon a time there was." {
				<-b.told
			}
			start = time.Now()
			cancel(executors.ErrCancelled)
		}()
		r := say("Hi")
		r.Stream = true
		resp, err := b.session(w.at(s)).Ask(ctx, r)
		within(t, 30*time.Second, "the end", start)
		if !errors.Is(err, executors.ErrCancelled) || resp == nil || resp.Message.Text() != "Once upon a time there was." || !resp.Estimated || resp.Usage.CompletionTokens < 5 || b.used != resp.Usage {
			t.Errorf("%s: got %+v, %v, recorded %+v", w.name, resp, err, b.used)
		}
		<-s.Requests()[0].Ended()
		if !s.Requests()[0].Left() {
			t.Errorf("%s: the service went on", w.name)
		}
	}
}

// TestSilenceEndsACall, before an answer and within it.
func TestSilenceEndsACall(t *testing.T) {
	t.Parallel()
	for _, w := range wires {
		for name, turn := range map[string]modeltest.Turn{"first": {HangFirst: true}, "within": {Text: "Well,", Hang: true}} {
			s := modeltest.Start(t)
			s.Play("m", modeltest.Script{Turns: []modeltest.Turn{turn}})
			b := newBench(t, model.Config{Wait: 300 * time.Millisecond, Silence: 300 * time.Millisecond})
			r := say("Hi")
			r.Stream = w.stream
			_, err := b.session(w.at(s)).Ask(t.Context(), r)
			if failure, _ := errors.AsType[*model.Error](err); failure == nil || failure.Kind != model.TimedOut || executors.IsPermanent(err) {
				t.Errorf("%s, %s: got %v", w.name, name, err)
			}
		}
	}
}

// TestAnswersAreBounded: an endless one ends, and so does one that is too large.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	for _, w := range wires {
		for name, turn := range map[string]modeltest.Turn{"endless": {Endless: true}, "large": {Fill: 3 << 20}} {
			s := modeltest.Start(t)
			s.Play("m", modeltest.Script{Turns: []modeltest.Turn{turn}})
			b := newBench(t, model.Config{MaxAnswerBytes: 1 << 20})
			r := say("Hi")
			r.Stream = w.stream
			_, err := b.session(w.at(s)).Ask(t.Context(), r)
			if err == nil || !executors.IsPermanent(err) || !strings.Contains(err.Error(), "larger than this worker takes") {
				t.Errorf("%s, %s: got %v", w.name, name, err)
			}
		}
	}
}
