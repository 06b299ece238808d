package main

import (
	"encoding/xml"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shownInDocument reads docs/performance.md and the results that it shows.
func shownInDocument(t *testing.T) (text string, shown []*results) {
	t.Helper()
	data, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range shownResults(string(data)) {
		r, err := readResults("results", name)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, r)
	}
	return string(data), shown
}

// TestDocumentAgreesWithResults: the tables and plots of docs/performance.md are those of the stored results that it names, and
// no other plot lies there. `go run ./tests/bench -only -` writes them again.
func TestDocumentAgreesWithResults(t *testing.T) {
	text, shown := shownInDocument(t)
	d, err := render(text, "performance", shown)
	if err != nil {
		t.Fatal(err)
	}
	if d.text != text {
		t.Error("docs/performance.md is not what its results make: run go run ./tests/bench -only -")
	}
	files, err := filepath.Glob("../../docs/performance/*.svg")
	if err != nil {
		t.Fatal(err)
	}
	for i, file := range files {
		files[i] = filepath.Base(file)
		if svg, err := os.ReadFile(file); err != nil || string(svg) != d.plots[files[i]] {
			t.Errorf("docs/performance/%s is not what the results make (%v)", files[i], err)
		}
	}
	if want := slices.Sorted(maps.Keys(d.plots)); !slices.Equal(files, want) {
		t.Errorf("got plots %v, want %v", files, want)
	}
}

// TestEveryFigureSaysItsSlots: each figure that the document shows names the worker processes and their slots.
func TestEveryFigureSaysItsSlots(t *testing.T) {
	_, shown := shownInDocument(t)
	for _, r := range shown {
		for _, name := range r.Order {
			if got := r.setup(name); got == "?" {
				t.Errorf("%s: %s: workers and slots are not recorded", r.name, name)
			}
		}
	}
}

// TestRenderRefusesADocumentWithoutMarks: what people wrote is never replaced by mistake.
func TestRenderRefusesADocumentWithoutMarks(t *testing.T) {
	_, shown := shownInDocument(t)
	for _, text := range []string{"", "# Performance\n", beginMark + "a.json -->\n", endMark + beginMark + "a.json -->\n"} {
		if d, err := render(text, "performance", shown); err == nil {
			t.Errorf("render(%q) = %q, want an error", text, d.text)
		}
	}
}

// TestPlotIsReadable: the plot is well-formed, tells its numbers in words, names its curves, brings its colours for light and dark
// pages, and loads nothing.
func TestPlotIsReadable(t *testing.T) {
	svg := plot{title: "Tasks & slots", xLabel: "slots", yLabel: "tasks/s", curves: []curve{
		{name: "Taskgrove", xs: []float64{16, 4000}, ys: []float64{3600, 24_000}},
		{name: "River", xs: []float64{16, 2000}, ys: []float64{5100, 18_400}},
	}}.svg()
	for decoder := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := decoder.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{`role="img"`, "<title id=\"title\">Tasks &amp; slots</title>", "Taskgrove: 3600 at 16, 24000 at 4000. River: 5100 at 16, 18400 at 2000.",
		">Taskgrove</text>", ">River</text>", "prefers-color-scheme:dark"} {
		if !strings.Contains(svg, want) {
			t.Errorf("the plot lacks %q", want)
		}
	}
	for _, bad := range []string{"url(", "href", "@import", "NaN", "Inf"} {
		if strings.Contains(svg, bad) {
			t.Errorf("the plot has %q", bad)
		}
	}
}
