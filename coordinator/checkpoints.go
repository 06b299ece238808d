package coordinator

import (
	"context"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/envelope"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/internal/rawjson"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// keepNotes stores what attempts noted that beats brought, and names in the answers those whose note is stored. The others' workers send them
// again. keys are the workers that still have a lease, by instance.
func (c *Coordinator) keepNotes(ctx context.Context, list []*beating, keys map[string]dag.WorkerKey) {
	for _, b := range list {
		key, ok := keys[b.m.Instance]
		if len(b.m.Checkpoints) == 0 || !ok || b.reply.Error != "" {
			continue
		}
		var notes []pg.Checkpoint
		at := map[dag.Key]int{}
		for _, m := range b.m.Checkpoints {
			note, ok := c.noteOf(ctx, m)
			if !ok {
				continue
			}
			if i, twice := at[note.Task]; twice { // the later one counts
				if notes[i].Attempt < note.Attempt || notes[i].Attempt == note.Attempt && notes[i].Number < note.Number {
					notes[i] = note
				}
				continue
			}
			at[note.Task] = len(notes)
			notes = append(notes, note)
		}
		if len(notes) == 0 {
			continue
		}
		failpoint.Hit("coordinator.before-note")
		stored, err := c.store.SetCheckpoints(ctx, key, notes)
		if err != nil {
			c.log.Warn("checkpoints could not be stored", "worker_id", b.worker, "checkpoints", len(notes), "error", err)
			continue
		}
		failpoint.Hit("coordinator.after-note")
		for _, n := range notes {
			if stored[n.Task] {
				b.reply.Noted = append(b.reply.Noted, attemptOf(n.Task, n.Attempt))
			}
		}
	}
}

// noteOf reads what an attempt noted; false: nobody who may note it sent it, or it can't be read.
func (c *Coordinator) noteOf(ctx context.Context, m *workerv1.Checkpoint) (pg.Checkpoint, bool) {
	k, n := dag.Key(m.GetAttempt().GetTask()), int32(m.GetAttempt().GetNumber())
	if !c.proves(ctx, k, n, m.Token) {
		return pg.Checkpoint{}, false
	}
	if err := envelope.OpenCheckpoint(c.attemptKey(k, n, m.Token), m); err != nil {
		c.log.Warn("a checkpoint can't be opened", "task_key", int64(k), "attempt", n, "error", err)
		return pg.Checkpoint{}, false
	}
	if len(m.Data) > workerv1.MaxCheckpoint || rawjson.Check(m.Data) != nil {
		return pg.Checkpoint{}, false
	}
	return pg.Checkpoint{Task: k, Attempt: n, Number: int64(m.Number), Data: m.Data}, true
}

// readNote puts into res what its attempt noted last. What can't be stored is left out: an earlier note may be there.
func readNote(res *dag.Result, r *workerv1.Result) {
	res.Noted = r.Noted
	m := r.GetCheckpoint()
	if m == nil || len(m.Data) == 0 || len(m.Data) > workerv1.MaxCheckpoint || rawjson.Check(m.Data) != nil {
		return
	}
	res.Noted, res.Note, res.NoteNumber = true, m.Data, int64(m.Number)
}
