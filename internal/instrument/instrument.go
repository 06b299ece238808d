// Package instrument is the tables of all metrics that processes expose.
//
// It owns how a metric is described: name, type, unit, help and labels, as instruments and reference page share them. It must not know
// how anything is measured.
package instrument

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is the type of a metric, as Prometheus calls it.
type Kind string

// The types.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Metric describes one.
type Metric struct {
	Name   string // as OpenTelemetry has it: "taskgrove.claims"
	Kind   Kind
	Unit   string // "s" or empty
	Help   string
	Labels []string
}

// Table is what a process has.
type Table []Metric

// Help is what a metric of the table tells; a name that is not in it is a mistake in the program, and panics.
func (t Table) Help(name string) string {
	i := slices.IndexFunc(t, func(m Metric) bool { return m.Name == name })
	if i < 0 {
		panic("metric " + name + " is not in its table")
	}
	return t[i].Help
}

// Shown is the name in Prometheus.
func (m Metric) Shown() string {
	name := strings.ReplaceAll(m.Name, ".", "_")
	if m.Unit == "s" {
		name += "_seconds"
	}
	if m.Kind == Counter {
		name += "_total"
	}
	return name
}

// rows are the table's in Markdown.
func (t Table) rows() string {
	var b strings.Builder
	b.WriteString("| Metric | Type | Labels | Tells |\n|---|---|---|---|\n")
	for _, m := range t {
		labels := make([]string, len(m.Labels))
		for i, l := range m.Labels {
			labels[i] = "`" + l + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Shown(), m.Kind, strings.Join(labels, ", "), m.Help)
	}
	return b.String()
}
