package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/pg"
)

// fakeHints is a NATS that keeps a hint.
type fakeHints struct {
	text      string
	asked     int
	set       int
	ask, keep error
}

func (f *fakeHints) Hint(context.Context) (string, error) {
	f.asked++
	return f.text, f.ask
}

func (f *fakeHints) SetHint(_ context.Context, text string) error {
	f.set++
	if f.keep == nil {
		f.text = text
	}
	return f.keep
}

// The hint is asked for once, then once a minute; when it was lost, it is left again. An older one is replaced, a newer one is learnt.
func TestTheHintOfTheEpochComesBack(t *testing.T) {
	epoch := func(timeline int64, id string) (pg.Epoch, string) {
		e := pg.Epoch{System: 1, Timeline: timeline, ID: id}
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		return e, string(text)
	}
	is, text := epoch(2, "b")
	_, older := epoch(1, "a")
	_, newer := epoch(3, "c")
	away := errors.New("away")
	nats := &fakeHints{text: text}
	hint := &epochHint{hints: nats}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		fact       string
		before     func()
		after      time.Duration
		asked, set int // calls
		learns     string
		fails      bool
		left       string
	}{
		{"another coordinator left it", func() {}, 0, 1, 0, "", false, text},
		{"it is known to be there", func() {}, 5 * time.Second, 0, 0, "", false, text},
		{"it was lost, and that is not seen yet", func() { nats.text = "" }, 5 * time.Second, 0, 0, "", false, ""},
		{"NATS does not answer", func() { nats.ask = away }, time.Minute, 1, 0, "", false, ""},
		{"it can't be left", func() { nats.ask, nats.keep = nil, away }, 5 * time.Second, 1, 1, "", true, ""},
		{"it is left again", func() { nats.keep = nil }, 5 * time.Second, 1, 1, "", false, text},
		{"it is there", func() {}, 5 * time.Second, 0, 0, "", false, text},
		{"an older one is there", func() { nats.text = older }, time.Minute, 1, 1, "", false, text},
		{"what can't be read is there", func() { nats.text = "{" }, time.Minute, 1, 1, "", false, text},
		{"a newer one is there", func() { nats.text = newer }, time.Minute, 1, 0, newer, false, newer},
		{"still", func() {}, 5 * time.Second, 1, 0, newer, false, newer},
	} {
		step.before()
		now = now.Add(step.after)
		nats.asked, nats.set = 0, 0
		learns, err := hint.leave(t.Context(), is, text, now)
		if learns != step.learns || (err != nil) != step.fails || nats.asked != step.asked || nats.set != step.set || nats.text != step.left {
			t.Errorf("%s: learns %q, %v, asked %d times, set %d times, the hint is %q, want %+v", step.fact, learns, err, nats.asked, nats.set, nats.text, step)
		}
	}
}
