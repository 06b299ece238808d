package journal_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/journal"
)

// attempt is one attempt of a run, whose checkpoint may be given to the next.
type attempt struct {
	*journal.Journal
	call  *executors.Call
	used  executors.Usage // that was recorded
	saved json.RawMessage
	said  *conformance.Recorder
}

// begin begins an attempt with what the one before has left. spent is what the cluster knows of earlier ones.
func begin(t *testing.T, checkpoint json.RawMessage, spent executors.Usage) *attempt {
	t.Helper()
	a := &attempt{}
	call, said := conformance.Call(t, `{}`)
	call.Spent, a.said = spent, said
	call.Used = func(_ string, u executors.Usage) { a.used.Add(u) }
	a.Journal, a.call = journal.Open(call, checkpoint, func(text json.RawMessage) error {
		a.saved = text
		return nil
	})
	return a
}

func TestALaneAnswersWhatItWasToldBefore(t *testing.T) {
	t.Parallel()
	a := begin(t, nil, executors.Usage{})
	l := a.Lane("0.0", "agent", "prompt")
	if l.Said() != nil || l.Used("x") != nil || l.Ruled("x") != nil || l.Done() != nil {
		t.Fatal("an empty lane knows something")
	}
	l.Say(journal.Said{Text: "I use x", Calls: []journal.Call{{ID: "c1", Name: "x", Arguments: `{"q":1}`}}, Model: "m"})
	l.Rule(journal.Ruled{Name: "x", Choice: "edit", Arguments: json.RawMessage(`{"q":2}`)})
	l.Use(journal.Used{Name: "x", Text: "two"})
	l.Say(journal.Said{Text: "It is two"})

	b := begin(t, a.saved, executors.Usage{})
	l = b.Lane("0.0", "agent", "prompt")
	if s := l.Said(); s == nil || s.Text != "I use x" || s.Calls[0].Arguments != `{"q":1}` {
		t.Fatalf("got %+v", s)
	}
	if r := l.Ruled("x"); r == nil || string(r.Arguments) != `{"q":2}` {
		t.Fatalf("got %+v", r)
	}
	if r := l.Ruled("x"); r != nil {
		t.Fatalf("ruled again: %+v", r)
	}
	if u := l.Used("x"); u == nil || u.Text != "two" {
		t.Fatalf("got %+v", u)
	}
	if s := l.Said(); s == nil || s.Text != "It is two" {
		t.Fatalf("got %+v", s)
	}
	if l.Said() != nil {
		t.Fatal("there is more than was recorded")
	}
	l.End(journal.Done{Text: "two", Uses: 1})
	c := begin(t, b.saved, executors.Usage{})
	if d := c.Lane("0.0", "agent", "prompt").Done(); d == nil || d.Text != "two" || d.Uses != 1 {
		t.Fatalf("got %+v", d)
	}
}

// TestAnotherWayForgetsTheOld: what was recorded counts only as far as the work goes the same way.
func TestAnotherWayForgetsTheOld(t *testing.T) {
	t.Parallel()
	record := func() *attempt {
		a := begin(t, nil, executors.Usage{})
		l := a.Lane("0.0", "p")
		l.Say(journal.Said{Text: "1"})
		l.Use(journal.Used{Name: "x", Text: "2"})
		l.Say(journal.Said{Text: "3"})
		return a
	}
	b := begin(t, record().saved, executors.Usage{})
	if b.Lane("0.0", "other prompt").Said() != nil || b.Lane("0.1", "p").Said() != nil {
		t.Error("another job is answered")
	}
	b = begin(t, record().saved, executors.Usage{})
	l := b.Lane("0.0", "p")
	l.Said()
	if l.Used("y") != nil || l.Used("x") != nil || l.Said() != nil {
		t.Error("another tool is answered, or what comes after it")
	}
	l.Use(journal.Used{Name: "y", Text: "new"})
	c := begin(t, b.saved, executors.Usage{})
	l = c.Lane("0.0", "p")
	if l.Said() == nil || l.Used("y").Text != "new" || l.Said() != nil {
		t.Error("the new way is not what counts")
	}
	l.Forget()
	if begin(t, c.saved, executors.Usage{}).Lane("0.0", "p").Said() != nil {
		t.Error("what was forgotten is there")
	}
}

// TestWhatIsGivenToOthersEndsWithTheirAnswer: lanes below a lane last until the use of a tool that they are of has its answer.
func TestWhatIsGivenToOthersEndsWithTheirAnswer(t *testing.T) {
	t.Parallel()
	a := begin(t, nil, executors.Usage{})
	l := a.Lane("0.1", "p")
	other := a.Lane("0.10", "p") // begins like it
	other.Say(journal.Said{Text: "other"})
	l.Say(journal.Said{Calls: []journal.Call{{Name: "delegate"}}})
	below := a.Lane("0.1/1", "q")
	below.Say(journal.Said{Text: "below"})
	below.End(journal.Done{Text: "done"})
	if d := begin(t, a.saved, executors.Usage{}).Lane("0.1/1", "q").Done(); d == nil || d.Text != "done" {
		t.Fatal("between its end and the answer it is done again")
	}
	l.Use(journal.Used{Name: "delegate", Text: "done"})
	b := begin(t, a.saved, executors.Usage{})
	if b.Lane("0.1/1", "q").Done() != nil || b.Lane("0.10", "p").Said() == nil {
		t.Error("the wrong lanes are left")
	}
}

// TestSpendingIsCountedOnce: what an attempt used that nobody heard of again counts with the next one, and only with that.
func TestSpendingIsCountedOnce(t *testing.T) {
	t.Parallel()
	one := executors.Usage{Calls: 1, PromptTokens: 10, CostNanos: 5, Currency: "USD"}
	use := func(a *attempt) {
		a.call.Used("m", one)
		a.Lane("0.0", "p").Say(journal.Said{Text: "x"})
	}
	first := begin(t, nil, executors.Usage{})
	use(first)
	if first.used != one || first.call.Spent != (executors.Usage{}) {
		t.Fatalf("recorded %+v", first.used)
	}
	heard := begin(t, first.saved, one) // the first one reported
	if heard.call.Spent != one || heard.used != (executors.Usage{}) {
		t.Errorf("counted twice: %+v and %+v", heard.call.Spent, heard.used)
	}
	lost := begin(t, first.saved, executors.Usage{})
	if lost.call.Spent != one || lost.used != one {
		t.Errorf("not counted: %+v and %+v", lost.call.Spent, lost.used)
	}
	use(lost) // which is lost too
	again := begin(t, lost.saved, executors.Usage{})
	if again.used.Calls != 2 || again.call.Spent.Calls != 2 {
		t.Errorf("after two lost ones: %+v and %+v", again.call.Spent, again.used)
	}
	two := one
	two.Add(one)
	if reported := begin(t, lost.saved, two); reported.used.Calls != 0 || reported.call.Spent.Calls != 2 {
		t.Errorf("after one that reported for both: %+v and %+v", reported.call.Spent, reported.used)
	}
	call, _ := conformance.Call(t, `{}`)
	call.IdempotencyKey = "another run"
	if _, own := journal.Open(call, lost.saved, func(json.RawMessage) error { return nil }); own.Spent.Calls != 0 {
		t.Errorf("another run pays: %+v", own.Spent)
	}
}

// TestNumbersOfUsesAreKept: the numbers of uses that are over don't come again, in whatever order the others come.
func TestNumbersOfUsesAreKept(t *testing.T) {
	t.Parallel()
	a := begin(t, nil, executors.Usage{})
	l := a.Lane("0.0", "p")
	l.Say(journal.Said{Text: "1"})
	l.Use(journal.Used{Name: "x", Says: "aa", Number: 2}) // 1 was under way
	l.Use(journal.Used{Name: "x", Says: "bb", Number: 1})
	l.Use(journal.Used{Name: "y"})
	l.End(journal.Done{Text: "done"})
	if got := begin(t, a.saved, executors.Usage{}).Made(); !reflect.DeepEqual(got, map[string][]int{"aa": {2}, "bb": {1}}) {
		t.Errorf("got %v", got)
	}
	call, _ := conformance.Call(t, `{}`)
	call.IdempotencyKey = "another run"
	if j, _ := journal.Open(call, a.saved, func(json.RawMessage) error { return nil }); len(j.Made()) != 0 || j.Lane("0.0", "p").Done() == nil {
		t.Error("keys are of one run, and what is done is done")
	}
}

func TestQuestionsKeepTheirIds(t *testing.T) {
	t.Parallel()
	a := begin(t, nil, executors.Usage{})
	l := a.Lane("0.0", "p")
	l.Say(journal.Said{Text: "1"})
	id := l.Ask("rm", json.RawMessage(`{"path":"/x"}`))
	b := begin(t, a.saved, executors.Usage{})
	l = b.Lane("0.0", "p")
	l.Said()
	if again := l.Ask("rm", json.RawMessage(`{"path":"/x"}`)); again != id {
		t.Errorf("got %s, want %s", again, id)
	}
	if other := l.Ask("rm", json.RawMessage(`{"path":"/y"}`)); other == id {
		t.Error("another question has the same id")
	}
	further := l.AskAgain("rm", json.RawMessage(`{"path":"/y"}`))
	if further == id || l.Ask("rm", json.RawMessage(`{"path":"/y"}`)) != further {
		t.Errorf("got %s, want another", further)
	}
	other := b.Lane("0.1", "p")
	if beside := other.Ask("rm", json.RawMessage(`{"path":"/y"}`)); beside == further {
		t.Error("two lanes ask the same question")
	}
	b.Await(further)
	if c := begin(t, b.saved, executors.Usage{}); c.Awaits() != further {
		t.Errorf("awaits %s", c.Awaits())
	}
	other.Rule(journal.Ruled{Name: "rm", Choice: "refuse"})
	if b.Awaits() != further {
		t.Error("an answer to another question ends the wait")
	}
	l.Rule(journal.Ruled{Name: "rm", Choice: "refuse"})
	if b.Awaits() != "" || l.Ask("rm", json.RawMessage(`{"path":"/y"}`)) == further {
		t.Error("what was answered is still asked")
	}
}

// TestWhatDoesNotFit: long answers of tools are cut, and what can't be made to fit leaves the checkpoint before.
func TestWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	noise := func(seed uint64, n int) string { // that can't be compressed much
		r := rand.New(rand.NewPCG(seed, 1))
		out := make([]byte, n)
		for i := range out {
			out[i] = byte('!' + r.IntN(90))
		}
		return string(out)
	}
	a := begin(t, nil, executors.Usage{})
	l := a.Lane("0.0", "p")
	for i := range 20 {
		l.Say(journal.Said{Text: fmt.Sprint("turn ", i)})
		l.Use(journal.Used{Name: "read", Text: noise(uint64(i), 30_000)})
		if len(a.saved) > journal.MaxBytes || !json.Valid(a.saved) {
			t.Fatalf("%d bytes", len(a.saved))
		}
	}
	b := begin(t, a.saved, executors.Usage{})
	l = b.Lane("0.0", "p")
	for i := range 20 {
		if s := l.Said(); s == nil || s.Text != fmt.Sprint("turn ", i) {
			t.Fatalf("turn %d: got %+v", i, s)
		}
		if u := l.Used("read"); u == nil || !strings.HasPrefix(u.Text, noise(uint64(i), 30_000)[:200]) || !strings.Contains(u.Text, "30000 bytes in all") {
			t.Fatalf("turn %d: got %.300v", i, u)
		}
	}
	before := b.saved
	l.Say(journal.Said{Text: noise(99, 100_000)})
	if string(b.saved) != string(before) {
		t.Error("what does not fit is stored")
	}
	if lines := strings.Join(b.said.Lines(), "\n"); strings.Count(lines, "does not fit a checkpoint") != 1 {
		t.Errorf("it says %s", lines)
	}
	l.End(journal.Done{Text: "short"})
	if d := begin(t, b.saved, executors.Usage{}).Lane("0.0", "p").Done(); d == nil || d.Text != "short" {
		t.Error("once it fits again it is not stored")
	}
}

// TestTextsCompress: what reads like language fits several times over before anything is cut.
func TestTextsCompress(t *testing.T) {
	t.Parallel()
	a := begin(t, nil, executors.Usage{})
	l := a.Lane("0.0", "p")
	text := strings.Repeat("The heat pump moves heat from the cold side to the warm side, and needs work for it. ", 350)
	for range 8 {
		l.Use(journal.Used{Name: "read", Text: text})
	}
	b := begin(t, a.saved, executors.Usage{})
	l = b.Lane("0.0", "p")
	for range 8 {
		if u := l.Used("read"); u == nil || u.Text != text {
			t.Fatalf("got %.60v", u)
		}
	}
}

func TestCheckpointsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`5`, `"x"`, `{}`, `{"journal":2,"lanes":{"0.0":{}}}`, `{"journal":1,"lanes":{"0.0":null}}`, `{"journal":1,"gzip":"AAAA"}`, `{"journal":1,"lanes":[]}`,
		`{"journal":1,"gzip":"H4sIAAAAAAAA/wEAAP//AAAAAAAAAAA="}`, `{`, strings.Repeat(" ", 1<<20) + `{"journal":1}`,
	} {
		a := begin(t, json.RawMessage(text), executors.Usage{})
		if lines := strings.Join(a.said.Lines(), "\n"); a.Resumed() || strings.Count(lines, "can't be used") != 1 {
			t.Errorf("%.40s: it says %s", text, lines)
		}
		if l := a.Lane("0.0", "p"); l.Said() != nil {
			t.Errorf("%.40s: something is there", text)
		}
	}
}

func TestANilJournalRecordsNothing(t *testing.T) {
	t.Parallel()
	var j *journal.Journal
	l := j.Lane("0.0", "p")
	l.Say(journal.Said{Text: "x"})
	l.Use(journal.Used{Name: "x", Number: 1})
	l.Rule(journal.Ruled{Name: "x"})
	l.End(journal.Done{})
	l.Forget()
	if l.Said() != nil || l.Used("x") != nil || l.Ruled("x") != nil || l.Done() != nil || l.At() != "" || j.Resumed() || j.Made() != nil || j.Awaits() != "" {
		t.Error("it has something")
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(`{"journal":1,"lanes":{"0.0":{"print":"x","steps":[{"said":{"text":"a"}},{"used":{"name":"t"}},{}]}},"made":{"aa":[1,2]}}`))
	f.Add([]byte(`{"journal":1,"gzip":"AAAA"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > journal.MaxBytes {
			return
		}
		a := begin(t, text, executors.Usage{})
		l := a.Lane("0.0", "p")
		for range 3 {
			l.Said()
			l.Ruled("t")
			l.Used("t")
		}
		l.Say(journal.Said{Text: "x"})
		if a.saved != nil && (!json.Valid(a.saved) || len(a.saved) > journal.MaxBytes) {
			t.Errorf("saved %q", a.saved)
		}
	})
}
