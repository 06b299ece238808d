package coordinator

import (
	"net"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/internal/record"
)

// Refusals of one source are recorded one by one up to a bound in each window, and after that counted: at the end of the window one entry stands for
// all of them. So are those of all sources together, and sources themselves beyond a bound: whatever is refused, a window adds a bounded number of
// entries to the record.
const (
	foldWindow  = time.Minute
	foldAlone   = 10  // refusals of one source that have entries of their own, in a window
	foldAll     = 200 // refusals of all sources that have
	foldSources = 100 // sources that are told apart; all others are one
	foldMethods = 8   // methods that an entry for several refusals names
)

// source is whose refusals are counted together.
type source struct {
	record.Caller
	namespace, code string
}

// fold are the refusals of a source in a window.
type fold struct {
	alone   int
	count   int64
	methods []string
	first   time.Time // of those that are counted
}

// folds are the refusals of a window. The zero value is ready. Whoever has it guards it.
type folds struct {
	until   time.Time // zero: no window has begun
	alone   int
	sources map[source]*fold
}

// take notes a refusal, and reports whether it gets an entry of its own.
func (f *folds) take(e *record.Entry, now time.Time) bool {
	if f.sources == nil {
		f.sources, f.until = map[source]*fold{}, now.Add(foldWindow)
	}
	of := source{e.Caller, e.Namespace, e.Code}
	if host, _, err := net.SplitHostPort(of.From); err == nil {
		of.From = host
	}
	one := f.sources[of]
	if one == nil && len(f.sources) >= foldSources {
		of = source{}
		one = f.sources[of]
	}
	if one == nil {
		one = &fold{}
		f.sources[of] = one
	}
	if one.alone < foldAlone && f.alone < foldAll && of != (source{}) {
		one.alone++
		f.alone++
		return true
	}
	if one.count++; one.count == 1 {
		one.first = now
	}
	one.name(e.Method)
	return false
}

// name notes a method.
func (f *fold) name(method string) {
	for _, m := range f.methods {
		if m == method {
			return
		}
	}
	if len(f.methods) <= foldMethods {
		f.methods = append(f.methods, method)
	}
}

// pause is how long the window lasts.
func (f *folds) pause(now time.Time) time.Duration {
	if f.sources == nil {
		return foldWindow
	}
	return max(f.until.Sub(now), time.Millisecond)
}

// end ends the window now.
func (f *folds) end() { f.until = time.Time{} }

// fold gives the entries of a window that is over.
func (f *folds) fold(now time.Time, coordinator string) (entries []*record.Entry) {
	if f.sources == nil || now.Before(f.until) {
		return nil
	}
	for of, one := range f.sources {
		if one.count == 0 {
			continue
		}
		e := &record.Entry{Kind: record.Refused, Namespace: of.namespace, Outcome: record.Denied, Code: of.code, Caller: of.Caller, Count: one.count, Coordinator: coordinator,
			Details: detail("since", record.At(one.first).String())}
		switch {
		case len(one.methods) == 1:
			e.Method, e.Permission = one.methods[0], string(methods[one.methods[0]].permission)
		case len(one.methods) > foldMethods:
			e.Details = Details(e.Details).with("methods", strings.Join(one.methods[:foldMethods], ", ")+", …")
		default:
			e.Details = Details(e.Details).with("methods", one.methods)
		}
		if of == (source{}) {
			e.Details = Details(e.Details).with("sources", "others")
		}
		entries = append(entries, e)
	}
	*f = folds{}
	return entries
}
