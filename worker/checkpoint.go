package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/envelope"
	"github.com/taskgrove/taskgrove/internal/rawjson"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

const (
	noteEvery = time.Second // an extra beat for notes, at most; one that somebody waits for is sent at once
	noteDepth = 512         // levels of JSON
)

// notes is what an attempt noted last, and how far that has come. The output's mu guards it.
type notes struct {
	data    []byte // JSON
	number  uint64 // of the last note; 0: there was none
	stored  uint64 // of the last one that a coordinator has
	told    uint64 // of the last one whose beat was answered, whether it was stored or not
	waiting bool   // in voices.noting
	resumed bool   // the attempt was given a note of an earlier one
	moved   chan struct{}
}

// begin says what the attempt goes on from.
func (o *output) begin(checkpoint []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.notes.resumed = len(checkpoint) > 0
}

// Checkpoint implements [executors.Reporter].
func (o *output) Checkpoint(data json.RawMessage) error {
	if err := rawjson.Check(data); err != nil {
		return fmt.Errorf("a checkpoint is JSON: %w", err)
	}
	if rawjson.Depth(data) > noteDepth {
		return fmt.Errorf("a checkpoint nests at most %d levels", noteDepth)
	}
	kept, err := redacted(o.redact(), slices.Clone(data))
	if err != nil {
		return err
	}
	if n := max(len(data), len(kept)); n > executors.MaxCheckpointBytes {
		return fmt.Errorf("a checkpoint has %d bytes, the most is %d", n, executors.MaxCheckpointBytes)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil // its result says more
	}
	o.notes.data = kept
	o.notes.number++
	o.note()
	return nil
}

// note puts the attempt among those whose notes are to be sent. The caller holds mu.
func (o *output) note() {
	v := &o.w.voices
	if o.notes.waiting {
		return
	}
	o.notes.waiting = true
	v.mu.Lock()
	v.noting = append(v.noting, o)
	v.mu.Unlock()
	signal(v.hasNoting)
}

// Stored waits until what was noted last is stored, and says why that can't be waited for. See [executors.Call.Stored].
func (o *output) Stored(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, storedWithin, errNotStored)
	defer cancel()
	o.mu.Lock()
	number := o.notes.number
	if o.notes.waiting {
		o.a.session.wantBeat()
	}
	o.mu.Unlock()
	for {
		o.mu.Lock()
		if o.notes.moved == nil {
			o.notes.moved = make(chan struct{})
		}
		stored, told, moved, closed := o.notes.stored, o.notes.told, o.notes.moved, o.closed
		o.mu.Unlock()
		switch {
		case stored >= number || closed:
			return nil
		case told >= number:
			return errNotStored
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// storedWithin is how long an attempt waits for its note to be stored.
const storedWithin = 5 * time.Second

// errNotStored: a coordinator that knows no checkpoints answered, or none did.
var errNotStored = errors.New("the checkpoint is not stored yet")

// flushNotes has a beat take notes along at once, then at most every [noteEvery], until ctx ends.
func (v *voices) flushNotes(ctx context.Context) error {
	return v.every(ctx, 0, noteEvery, v.hasNoting, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		for _, o := range v.noting {
			o.a.session.wantBeat()
		}
	})
}

// noted is a note that is under way with a beat.
type noted struct {
	o      *output
	number uint64
}

// takeNotes puts the notes of the session's attempts into a beat. What does not fit goes with another one.
func (s *session) takeNotes(beat *workerv1.Beat) (taken []noted) {
	v := &s.w.voices
	v.mu.Lock()
	var mine []*output
	v.noting = slices.DeleteFunc(v.noting, func(o *output) bool {
		if o.a.session != s {
			return false
		}
		mine = append(mine, o)
		return true
	})
	v.mu.Unlock()
	room := min(workerv1.MaxCheckpoints, s.w.conn.MaxPayload()/2)
	for _, o := range mine {
		o.mu.Lock()
		o.notes.waiting = false
		switch {
		case o.closed, o.notes.stored == o.notes.number:
		case len(o.notes.data) > room:
			o.note()
		default:
			room -= len(o.notes.data)
			beat.Checkpoints, taken = append(beat.Checkpoints, o.checkpoint()), append(taken, noted{o, o.notes.number})
		}
		o.mu.Unlock()
	}
	return taken
}

// checkpoint is the last note as it is sent. The caller holds mu.
func (o *output) checkpoint() *workerv1.Checkpoint {
	m := &workerv1.Checkpoint{Attempt: o.a.work.Attempt, Token: o.a.work.Token, Number: o.notes.number, Data: o.notes.data}
	if k := o.a.key.Load(); k != nil {
		envelope.SealCheckpoint(k, m)
	}
	return m
}

// answeredNotes says what became of notes that a beat took along: those of the attempts that its answer names are stored. answered: there was one.
func answeredNotes(taken []noted, answered bool, stored []*workerv1.Attempt) {
	for _, n := range taken {
		there := slices.ContainsFunc(stored, func(a *workerv1.Attempt) bool { return keyOf(a) == keyOf(n.o.a.work.Attempt) })
		n.o.answeredNote(n.number, answered, there)
	}
}

func (o *output) answeredNote(number uint64, answered, stored bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := &o.notes
	if stored {
		n.stored = max(n.stored, number)
	}
	if answered {
		n.told = max(n.told, number)
	}
	if !stored && n.stored < n.number && !o.closed { // with the next beat, whenever that is
		v := &o.w.voices
		if !n.waiting {
			n.waiting = true
			v.mu.Lock()
			v.noting = append(v.noting, o)
			v.mu.Unlock()
		}
	}
	n.awake()
}

// awake lets those go on who wait for a note to be stored. The caller holds the output's mu.
func (n *notes) awake() {
	if n.moved != nil {
		close(n.moved)
		n.moved = nil
	}
}

// goesOn reports whether another attempt may go on after one that ended so.
func goesOn(o dag.Outcome) bool {
	switch o {
	case dag.OutcomeCompleted, dag.OutcomeSkipped, dag.OutcomeRepeated, dag.OutcomeExpanded:
		return false
	}
	return true
}

// bring puts the last note into the result of an attempt that another one will go on from, unless it is stored already.
func (o *output) bring(r *workerv1.Result) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r.Noted = o.notes.number > 0 || o.notes.resumed
	if goesOn(endOf(r)) && o.notes.stored < o.notes.number {
		r.Checkpoint = &workerv1.Checkpoint{Number: o.notes.number, Data: o.notes.data}
	}
}
