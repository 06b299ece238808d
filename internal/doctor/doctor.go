// Package doctor judges the facts of a cluster: what is wrong with it, and how to mend that.
//
// It owns the table of checks, their words and bounds, and the judgement over facts that others gather. It must not know how a fact is had:
// it has no clock, no Postgres and no NATS.
package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Severity is how bad a finding is.
type Severity string

// The severities, from the best on.
const (
	OK      Severity = "ok"
	Note    Severity = "note"    // worth knowing; nothing has to be done
	Warning Severity = "warning" // works, and will not for ever, or not as well as it should
	Problem Severity = "problem" // does not work, or may lose what is stored
)

var severities = []Severity{Problem, Warning, Note, OK}

// rank orders severities, the worst first.
func (s Severity) rank() int { return slices.Index(severities, s) }

// Finding is what a check found. It holds nothing secret: texts name users, hosts and files, and no password, token or key.
type Finding struct {
	Check    string // id in [Checks]
	Severity Severity
	Subject  string   // what it is about, where there are several: a stream, a worker; empty: the cluster
	Found    string   // one sentence
	Mend     []string // what to do, a step each: a sentence or a command; none with [OK]
	Link     string   // page of the documentation
}

// Check is one thing that is looked at.
type Check struct {
	ID    string
	Area  string
	Title string // what is looked at
	Why   string // what goes wrong otherwise
	Mend  []string
	See   string // another page that says more, "reliability.md#poolers"; empty: none
}

// Link is where the documentation has the check.
func (c *Check) Link() string { return "docs/doctor.md#" + c.ID }

// find is a finding of a check: what to do is the check's, unless the finding says more exactly.
func find(id string, severity Severity, subject, found string, mend ...string) Finding {
	check := CheckOf(id)
	if check == nil {
		panic("doctor: no check " + id)
	}
	f := Finding{Check: id, Severity: severity, Subject: subject, Found: found, Link: check.Link()}
	if severity != OK {
		f.Mend = mend
		if len(mend) == 0 {
			f.Mend = check.Mend
		}
	}
	return f
}

// Failed is the finding of a check that could not be made.
func Failed(id, subject string, err error) Finding {
	return find(id, Problem, subject, "could not be looked at: "+oneLine(err.Error()))
}

// New is a finding that somebody else has judged, of a check of the table.
func New(id string, severity Severity, subject, found string, mend ...string) Finding {
	return find(id, severity, subject, found, mend...)
}

// oneLine is a text without what would break it into lines.
func oneLine(text string) string {
	return strings.Join(strings.Fields(text), " ")
}

// Worst is the worst severity of the findings; of none [OK].
func Worst(findings []Finding) Severity {
	worst := OK
	for i := range findings {
		if findings[i].Severity.rank() < worst.rank() {
			worst = findings[i].Severity
		}
	}
	return worst
}

// Sort puts the worst first, and within a severity in the order of the table.
func Sort(findings []Finding) {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity.rank(), b.Severity.rank()), cmp.Compare(place(a.Check), place(b.Check)), cmp.Compare(a.Subject, b.Subject))
	})
}

// Probe gathers facts and judges them. Check stands for it in the finding of a probe that does not end.
type Probe struct {
	Check string
	Run   func(ctx context.Context) []Finding
}

// grace is how long after its time a probe may take to notice that it is over.
const grace = time.Second

// Run runs probes side by side, each for a time at most. One that does not end in time is a finding; it is not waited for.
func Run(ctx context.Context, within time.Duration, probes ...Probe) []Finding {
	found := make([][]Finding, len(probes))
	var all sync.WaitGroup
	for i, p := range probes {
		all.Go(func() { found[i] = p.within(ctx, within) })
	}
	all.Wait()
	return slices.Concat(found...)
}

func (p Probe) within(ctx context.Context, most time.Duration) []Finding {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	done := make(chan []Finding, 1) // room for the answer of a probe that nobody waits for any more
	go func() { done <- p.Run(ctx) }()
	late := time.NewTimer(most + grace)
	defer late.Stop()
	select {
	case found := <-done:
		return found
	case <-late.C:
		return []Finding{find(p.Check, Problem, "", fmt.Sprintf("gave no answer within %s: it hangs", most))}
	}
}
