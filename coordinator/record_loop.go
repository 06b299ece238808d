package coordinator

import (
	"context"
	"time"

	"github.com/taskgrove/taskgrove/internal/record"
)

const (
	recordTrimEvery = 10 * time.Minute // how often old entries are looked for
	recordTrimBatch = 10_000           // deleted in one transaction
	recordHeadEvery = 10 * time.Minute // how often the head is logged
)

// runRecord appends what waits until ctx ends, and what is left then.
func (c *Coordinator) runRecord(ctx context.Context) error {
	r := c.recorder
	if r == nil {
		<-ctx.Done()
		return nil
	}
	var err error
	if r.mirror, err = openMirror(r.cfg.Mirror, r.store, r.log); err != nil {
		return err
	}
	defer r.mirror.close()
	err = c.insist(ctx, func(ctx context.Context) error { return r.begin(ctx) })
	for err == nil && ctx.Err() == nil {
		r.step(ctx)
	}
	r.finish(ctx)
	return nil
}

// begin makes the record ready: with a key, its newest entry has one.
func (r *recorder) begin(ctx context.Context) error {
	if key := r.cfg.Keys.First(); key.ID() != "" {
		entry := r.event("", "Record.Key", "", Details{"key": key.ID()})
		if err := r.alone(entry, func() error { return r.store.BeginKey(ctx, key, entry) }); err != nil {
			return err
		}
	}
	r.mu.Lock()
	r.running = true
	r.mu.Unlock()
	return nil
}

// alone appends an entry by a transaction of its own, which may turn out not to need it.
func (r *recorder) alone(entry *record.Entry, do func() error) error {
	r.appending.Lock()
	defer r.appending.Unlock()
	if err := do(); err != nil || entry.Seq == 0 {
		return err
	}
	r.mirror.add([]*record.Entry{entry})
	r.hint()
	return nil
}

// step waits for entries and appends them.
func (r *recorder) step(ctx context.Context) {
	pause := r.pause(time.Now())
	if pause > 0 && !wait(ctx, r.wake, pause) {
		return
	}
	intents, later := r.take(time.Now())
	if len(intents)+len(later) == 0 {
		return
	}
	if err := r.append(context.WithoutCancel(ctx), intents, later); err != nil {
		r.log.Warn("the audit record could not be kept; calls that change anything are refused", "error", err)
		sleep(ctx, 100*time.Millisecond)
	}
}

// pause is how long there is nothing to append.
func (r *recorder) pause(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case len(r.waiting) > 0 || len(r.later) >= recordBatch:
		return 0
	case len(r.later) > 0:
		return r.since.Add(recordLinger).Sub(now)
	}
	return r.folds.pause(now)
}

// take gives what is to be appended.
func (r *recorder) take(now time.Time) (intents []*intent, later []*record.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.folds.fold(now, r.name) {
		r.add(e)
	}
	if r.lost > 0 {
		r.log.Error("entries of the audit record found no room and are lost; their calls have no outcome on record", "entries", r.lost)
		r.meter.recordLost(r.lost)
		r.lost = 0
	}
	n := min(len(r.waiting), recordBatch)
	for _, w := range r.waiting[:n] {
		if !w.abandoned {
			intents = append(intents, w)
		}
	}
	r.waiting = r.waiting[n:]
	if n == 0 && len(r.later) < recordBatch && now.Before(r.since.Add(recordLinger)) && r.running {
		return nil, nil
	}
	m := min(len(r.later), recordBatch)
	later, r.later = r.later[:m:m], r.later[m:]
	return intents, later
}

// append appends in one transaction and tells those who wait. What nobody waits for goes back into the line if that fails.
func (r *recorder) append(ctx context.Context, intents []*intent, later []*record.Entry) error {
	entries := make([]*record.Entry, 0, len(intents)+len(later))
	lasting := false
	for _, w := range intents {
		entries = append(entries, w.entry)
		lasting = lasting || w.lasting
	}
	entries = append(entries, later...)
	r.appending.Lock()
	defer r.appending.Unlock()
	before, err := r.store.AppendRecord(ctx, r.cfg.Keys.First(), lasting, entries)
	r.meter.appended(len(entries), err)
	if err == nil {
		r.noteHead(before.Head, entries)
	}
	r.mu.Lock()
	for _, w := range intents {
		switch {
		case err != nil:
			w.done <- errNotRecorded
		case w.abandoned:
			r.add(r.endOf(w.entry, nil, context.Canceled))
		default:
			w.done <- nil
		}
	}
	if err != nil {
		r.later = append(later, r.later...)
		r.since = time.Now()
	}
	r.mu.Unlock()
	if err != nil {
		return err
	}
	r.mirror.add(entries)
	r.hint()
	return nil
}

// noteHead looks whether the record still has what this coordinator knows of it.
func (r *recorder) noteHead(before record.Head, entries []*record.Entry) {
	if before.Seq < r.head.Seq || before.Seq == r.head.Seq && before.Hash != r.head.Hash && before.Seq > 0 && r.head.Seq > 0 {
		r.log.Error("the audit record is not as this coordinator left it: it was cut or rewritten, or Postgres was restored, or failed over, to an earlier state",
			"known", r.head.String(), "found", before.String())
		r.meter.recordBroken()
	}
	last := entries[len(entries)-1]
	r.head = record.Head{Seq: last.Seq, Hash: last.Hash}
}

// finish appends what is left. Calls that still wait are refused.
func (r *recorder) finish(ctx context.Context) {
	r.mu.Lock()
	r.running = false
	for _, w := range r.waiting {
		w.done <- errNotRecorded
	}
	r.waiting = nil
	r.folds.end()
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordFlush)
	defer cancel()
	for ctx.Err() == nil {
		_, later := r.take(time.Now())
		if len(later) == 0 {
			return
		}
		if err := r.append(ctx, nil, later); err != nil {
			r.log.Warn("the end of the audit record could not be kept yet", "error", err)
			sleep(ctx, 100*time.Millisecond)
		}
	}
}

// runRecordRetention deletes entries whose time is over.
func (c *Coordinator) runRecordRetention(ctx context.Context) error {
	r := c.recorder
	if r == nil || r.cfg.Retention == 0 {
		<-ctx.Done()
		return nil
	}
	for wait(ctx, nil, recordTrimEvery) {
		if err := r.trim(ctx, time.Now().Add(-r.cfg.Retention)); err != nil && ctx.Err() == nil {
			c.log.Warn("old entries of the audit record could not be deleted", "error", err)
		}
	}
	return nil
}

// trim deletes the entries that were made before a time, batch by batch; each is recorded.
func (r *recorder) trim(ctx context.Context, before time.Time) error {
	for ctx.Err() == nil {
		var gone int64
		entry := r.event("", record.Trimmed, "", nil)
		err := r.alone(entry, func() (err error) {
			gone, err = r.store.TrimRecord(ctx, r.cfg.Keys.First(), before, recordTrimBatch, entry)
			return err
		})
		if err != nil || gone < recordTrimBatch {
			return err
		}
	}
	return nil
}

// runRecordHeads logs the head of the record every so often: whoever keeps logs elsewhere finds a record that was cut or rewritten.
func (c *Coordinator) runRecordHeads(ctx context.Context) error {
	r := c.recorder
	if r == nil {
		<-ctx.Done()
		return nil
	}
	last := int64(0)
	for wait(ctx, nil, recordHeadEvery) {
		head, err := c.lastingHead(ctx)
		if err != nil {
			continue
		}
		if head.Seq != last {
			c.log.Info("head of the audit record", "head", head.String())
		}
		last = head.Seq
	}
	return nil
}

// lastingHead is a head of the record that is on disk.
func (c *Coordinator) lastingHead(ctx context.Context) (record.Head, error) {
	head, err := c.store.RecordHead(ctx)
	if err == nil {
		err = onDisk(ctx, c.store)
	}
	return head.Head, err
}
