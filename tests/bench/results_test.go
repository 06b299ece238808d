package main

import (
	"strings"
	"testing"
	"time"
)

// sitting is results with the values given for each figure, by round.
func sitting(t *testing.T, figures map[string]map[int]float64) *results {
	t.Helper()
	r, err := newResults(time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	for name, byRound := range figures {
		for round, v := range byRound {
			r.add(measured{figure{name, "tasks/s", v}, 16, 1}, round)
		}
	}
	return r
}

// TestRatioStaysWithinARound: a round in which the machine was slow moves both figures alike.
func TestRatioStaysWithinARound(t *testing.T) {
	for _, c := range []struct {
		fact       string
		above, to  map[int]float64
		want       float64
		unmeasured bool
	}{
		{fact: "round by round", above: map[int]float64{0: 10, 1: 40, 2: 90}, to: map[int]float64{0: 20, 1: 80, 2: 90}, want: 0.5},
		{fact: "rounds without the other's figure: the medians", above: map[int]float64{3: 10, 4: 40, 5: 90}, to: map[int]float64{0: 20, 1: 80, 2: 90}, want: 0.5},
		{fact: "more rounds of the other", above: map[int]float64{1: 10}, to: map[int]float64{0: 10, 1: 20}, want: 0.5},
		{fact: "never measured", above: map[int]float64{1: 10}, unmeasured: true},
	} {
		got, ok := sitting(t, map[string]map[int]float64{"a": c.above, "b": c.to}).ratio("a", "b")
		if got != c.want || ok == c.unmeasured {
			t.Errorf("%s: got %v, %v, want %v, %v", c.fact, got, ok, c.want, !c.unmeasured)
		}
	}
}

// TestResumeStaysWithinASitting: figures are added only to those of the same program, machine and hour, in rounds of their own.
func TestResumeStaysWithinASitting(t *testing.T) {
	for _, c := range []struct {
		fact   string
		change func(now *results)
		why    string // empty: it is the same sitting
	}{
		{"at once", func(*results) {}, ""},
		{"later", func(now *results) { now.At = now.At.Add(sittingBreak + time.Minute) }, "its last figure is 31m0s old"},
		{"other code", func(now *results) { now.Program = "other" }, "another program"},
		{"another machine", func(now *results) { now.Machine = "other" }, "another machine"},
	} {
		dir := t.TempDir()
		before := sitting(t, map[string]map[int]float64{"a": {0: 10, 1: 20}})
		before.addLimit(floorRate, 40, 2)
		if err := before.save(dir); err != nil {
			t.Fatal(err)
		}
		now, err := newResults(before.Until)
		if err != nil {
			t.Fatal(err)
		}
		c.change(now)
		got, err := resume(dir, before.name, now)
		switch {
		case c.why == "" && err != nil:
			t.Errorf("%s: %v", c.fact, err)
		case c.why == "" && (got.nextRound() != 3 || got.name != before.name):
			t.Errorf("%s: got round %d of %s, want 3 of %s", c.fact, got.nextRound(), got.name, before.name)
		case c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why)):
			t.Errorf("%s: got error %v, want one with %q", c.fact, err, c.why)
		}
	}
}

// TestBarsTableSaysWhatIsMissing: a bar is reached, not reached or not measured, and a sitting without River says so.
func TestBarsTableSaysWhatIsMissing(t *testing.T) {
	with := map[string]map[int]float64{flatClaimed: {0: 1000}, flatName(100_000, 16): {0: 700}, flatName(100_000, 64): {0: 800}}
	table := func() string {
		var b strings.Builder
		sitting(t, with).barsTable(&b)
		return b.String()
	}
	text := table()
	for _, want := range []string{
		"| flat 100000, 16 slots | 1 × 16 | 0.700 (700 against 1000 tasks/s) | at least 0.7 × flat 100000, claimed | yes |",
		"| flat 100000, 64 slots | 1 × 16 | 0.800 (800 against 1000 tasks/s) | at least 0.85 × flat 100000, claimed | no |",
		"| flat 100000, 64 slots |  | not measured | at least 1.5 × River 50000, 64 workers |  |",
		"River was not measured in this sitting.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("got\n%s\nwithout %q", text, want)
		}
	}
	with[riverName(riverJobs, 64)] = map[int]float64{0: 500}
	if text := table(); strings.Contains(text, "River was not measured") || !strings.Contains(text, "| 1.600 (800 against 500 tasks/s) |") {
		t.Errorf("got\n%s\nwithout River's figure", text)
	}
}

// TestPeerFiguresReadWhatPeersPrints: names with commas and spaces, both units.
func TestPeerFiguresReadWhatPeersPrints(t *testing.T) {
	got := peerFigures("river     insert, then work (serial)                         5100 /s  runs: 5100\n" +
		"river     hop p99                                            8.25 ms  runs: 8.25\nnoise\n")
	if len(got) != 2 || got[riverSerial] != 5100 || got["hop p99"] != 8.25 {
		t.Errorf("got %v", got)
	}
}
