package coordinator

import (
	"context"
	"errors"
	"iter"
	"math"
	"time"

	"github.com/taskgrove/taskgrove/internal/record"
	"github.com/taskgrove/taskgrove/pg"
)

const (
	recordStep   = 500              // entries looked at in one step of a list
	recordSteps  = 40               // of one call; then the page is short
	recordPage   = 1000             // entries read at a time in order
	recordAgain  = 30 * time.Second // after which a follower looks without having been told: hints may be lost
	recordFaults = 100              // that one report of a check tells
)

// recordCursor is the kind of cursors of the record.
const recordCursor = "a"

// Record lists calls and events, newest first; see [Recorded].
func (c *Coordinator) Record(ctx context.Context, f RecordFilter) (page Page[*RecordedCall], err error) {
	before := int64(math.MaxInt64)
	if f.Cursor != "" {
		if err := cursorFrom(recordCursor, f.Cursor, &before); err != nil {
			return page, err
		}
	}
	if f.Limit, err = limitOf(f.Limit); err != nil {
		return page, err
	}
	if err := f.check(); err != nil {
		return page, err
	}
	if !f.Before.IsZero() {
		last, err := c.store.RecordNumberAt(ctx, f.Before)
		if err != nil {
			return page, c.internal("list the audit record", err)
		}
		before = min(before, last+1)
	}
	by := pg.RecordBy{Task: f.Task, Caller: f.Caller, Namespace: c.recordNamespace(f.Namespace)}
	for range recordSteps {
		numbers, err := c.store.RecordNumbers(ctx, by, before, recordStep)
		if err != nil {
			return page, c.internal("list the audit record", err)
		}
		if len(numbers) == 0 {
			return page, nil
		}
		calls, err := c.store.RecordCalls(ctx, numbers)
		if err != nil {
			return page, c.internal("list the audit record", err)
		}
		for _, call := range calls {
			shown := recordedCall(call)
			switch {
			case !f.Since.IsZero() && shown.At.Before(f.Since):
				return page, nil
			case !f.fits(shown, by.Namespace):
				continue
			case len(page.Items) == f.Limit:
				page.Next = cursorTo(recordCursor, page.Items[len(page.Items)-1].Seq)
				return page, nil
			}
			page.Items = append(page.Items, shown)
		}
		before = numbers[len(numbers)-1]
	}
	page.Next = cursorTo(recordCursor, before)
	return page, nil
}

// recordNamespace is the namespace of which a caller may see entries; empty: all.
func (c *Coordinator) recordNamespace(named string) string {
	switch named {
	case AllNamespaces:
		return ""
	case "":
		return c.namespace
	}
	return named
}

func (f *RecordFilter) check() error {
	for field, value := range map[string]string{"namespace": f.Namespace, "caller": f.Caller, "method": f.Method, "task": f.Task} {
		if !text(value) || len(value) > 4*255 {
			return &InvalidArgumentError{Field: field, Reason: "must be at most 255 characters of UTF-8 without NUL"}
		}
	}
	switch f.Outcome {
	case "", record.Done, record.Failed, record.Denied, record.Unknown:
		return nil
	}
	return &InvalidArgumentError{Field: "outcome", Reason: "must be done, failed, refused or unknown"}
}

// fits reports whether a call is selected, but for its time.
func (f *RecordFilter) fits(call *RecordedCall, namespace string) bool {
	is := func(want, got string) bool { return want == "" || want == got }
	return is(namespace, call.Namespace) && is(f.Caller, call.Caller.Name) && is(f.Method, call.Method) && is(f.Task, call.Task) && is(string(f.Outcome), string(call.Outcome))
}

// recordedCall puts the two entries of a call together.
func recordedCall(call pg.RecordedCall) *RecordedCall {
	out := &RecordedCall{RecordEntry: *call.Entry}
	switch end := call.End; {
	case end != nil:
		out.EndedAt, out.Outcome, out.Code, out.Error = end.At.Time, end.Outcome, end.Code, end.Error
		if out.Details == nil {
			out.Details = map[string]string{}
		}
		for name, value := range end.Details {
			out.Details[name] = value
		}
	case out.Kind == record.Begun:
		out.Outcome = record.Unknown
	}
	return out
}

// ReadRecord gives entries in their order; see [Recorded].
func (c *Coordinator) ReadRecord(ctx context.Context, r RecordRange) iter.Seq2[*RecordEntry, error] {
	return func(yield func(*RecordEntry, error) bool) {
		if err := c.readRecord(ctx, r, func(e *RecordEntry) bool { return yield(e, nil) }); err != nil {
			yield(nil, err)
		}
	}
}

func (c *Coordinator) readRecord(ctx context.Context, r RecordRange, yield func(*RecordEntry) bool) error {
	if r.Follow && !r.Before.IsZero() {
		return &InvalidArgumentError{Field: "before", Reason: "does not go together with follow"}
	}
	var news <-chan []byte
	if r.Follow {
		var err error
		if news, err = c.queue.SubscribeEvents(ctx, recordTopic, 1); err != nil {
			return unavailable(err)
		}
	}
	var namespace *string
	if only := c.recordNamespace(r.Namespace); only != "" {
		namespace = &only
	}
	if !r.Since.IsZero() {
		last, err := c.store.RecordNumberAt(ctx, r.Since)
		if err != nil {
			return c.internal("read the audit record", err)
		}
		r.After = max(r.After, last)
	}
	for {
		entries, err := c.store.RecordEntries(ctx, r.After, recordPage, namespace)
		if err != nil {
			return c.internal("read the audit record", err)
		}
		for _, e := range entries {
			if !r.Before.IsZero() && !e.At.Before(r.Before) || !yield(e) {
				return nil
			}
			r.After = e.Seq
		}
		switch {
		case len(entries) == recordPage:
		case !r.Follow:
			return nil
		case !moreNews(ctx, news):
			return ctx.Err()
		}
	}
}

// moreNews waits for news, or a while, and reports whether to go on.
func moreNews(ctx context.Context, news <-chan []byte) bool {
	t := time.NewTimer(recordAgain)
	defer t.Stop()
	select {
	case _, open := <-news:
		return open && ctx.Err() == nil
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// VerifyRecord checks the chain; see [Recorded].
func (c *Coordinator) VerifyRecord(ctx context.Context, heads []RecordHead) iter.Seq2[*RecordReport, error] {
	return func(yield func(*RecordReport, error) bool) {
		check := record.NewChecker(c.cfg.Record.Keys, false, heads...)
		report := func(done bool, faults []record.Fault) *RecordReport {
			r := &RecordReport{Head: check.Head(), Faults: faults, Done: done}
			r.Entries, r.Unchecked = check.Entries()
			return r
		}
		for after := int64(0); ; after = check.Head().Seq {
			entries, err := c.store.RecordEntries(ctx, after, recordPage, nil)
			if err != nil {
				yield(nil, c.internal("verify the audit record", err))
				return
			}
			var faults []record.Fault
			for _, e := range entries {
				if more := check.Add(e); len(faults) < recordFaults {
					faults = append(faults, more...)
				}
			}
			if len(entries) < recordPage {
				yield(report(true, append(faults, check.End()...)), nil)
				return
			}
			if !yield(report(false, faults), nil) || errors.Is(ctx.Err(), context.Canceled) {
				return
			}
		}
	}
}
