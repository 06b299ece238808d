package worker

import (
	"testing"
	"time"

	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// TestARefusedBeatTellsNothingOfCoordinators: an attempt that found tasks while its worker was frozen for longer than the lease failed, since the refusal that
// followed was taken for the word of an old coordinator.
func TestARefusedBeatTellsNothingOfCoordinators(t *testing.T) {
	w, s := deafWorker(t, closed(t), false)
	for _, row := range []struct {
		reply *workerv1.BeatReply
		want  bool
	}{
		{&workerv1.BeatReply{LeaseMs: 30_000, Ends: true, PartsInResults: true}, true},
		{&workerv1.BeatReply{Error: "the lease of this instance has ended"}, true},
		{&workerv1.BeatReply{LeaseMs: 30_000}, false},
	} {
		beat := s.nextBeat(false)
		row.reply.Number = beat.Number
		s.answeredBeat(beat.Number, time.Now(), row.reply)
		if w.ends.Load() != row.want || w.partsInResults.Load() != row.want {
			t.Errorf("after %v: got %v and %v", row.reply, w.ends.Load(), w.partsInResults.Load())
		}
	}
}
