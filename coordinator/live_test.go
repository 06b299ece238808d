package coordinator

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// says lets an attempt tell a text, as a coordinator passes it on.
func (s *stage) says(t *testing.T, attempt int32, number uint64, text string) {
	t.Helper()
	data, err := proto.Marshal(&workerv1.Live{Attempt: &workerv1.Attempt{Task: int64(watchedTree.Key(1)), Number: uint32(attempt)}, Number: number,
		Pieces: []*workerv1.Piece{{Kind: "token", Text: text}}})
	if err != nil {
		t.Fatal(err)
	}
	s.publishTo(liveTopic(watchedTree), data)
}

// ends lets the attempt end, and says so.
func (s *stage) ends(kind dag.EventType) {
	s.mu.Lock()
	s.tree.Sequence++
	s.events = append(s.events, pg.TreeEvent{Event: dag.Event{Type: kind, Attempt: 1}, ID: "child", Sequence: s.tree.Sequence})
	s.attempt = 0
	s.mu.Unlock()
	s.publish(nil)
}

// hearing orders what is told after a look behind that look: time that passes does not.
var hearing sync.Mutex

// heard collects what is told live.
func heard(to *[]string) func(*Event) {
	return func(e *Event) {
		hearing.Lock()
		defer hearing.Unlock()
		for _, p := range e.Pieces {
			*to = append(*to, fmt.Sprintf("%s %d %s", e.TaskID, e.Attempt, p.Text))
		}
	}
}

func wantHeard(t *testing.T, got []string, want ...string) {
	t.Helper()
	hearing.Lock()
	defer hearing.Unlock()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPiecesAreToldInTheirOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		var got []string
		w := s.watch(t, "root", 0, heard(&got))
		synctest.Wait()
		for _, number := range []uint64{1, 3, 2, 2, 1, 5, 4} { // some come by another coordinator, or twice
			s.says(t, 1, number, fmt.Sprint(number))
		}
		synctest.Wait()
		wantHeard(t, got, "child 1 1", "child 1 2", "child 1 3", "child 1 4", "child 1 5")
		s.says(t, 1, 7, "7") // the sixth is lost
		synctest.Wait()
		wantHeard(t, got[5:])
		time.Sleep(earlyFor)
		synctest.Wait()
		wantHeard(t, got[5:], "child 1 7")
		s.says(t, 1, 6, "6")
		s.says(t, 2, 1, "of another attempt")
		s.publishTo(liveTopic(watchedTree), []byte("garbage"))
		s.publishTo(liveTopic(watchedTree), nil)
		synctest.Wait()
		wantHeard(t, got[6:])
		w.cancel()
		synctest.Wait()
		s.empty(t)
	})
}

func TestNoPieceComesAfterTheEndOfItsAttempt(t *testing.T) {
	t.Parallel()
	for _, end := range []dag.EventType{dag.EventCompleted, dag.EventFailed, dag.EventCancelled, dag.EventRetry} {
		synctest.Test(t, func(t *testing.T) {
			s := newStage()
			var got []string
			w := s.watch(t, "root", 0, func(e *Event) {
				if heard(&got)(e); e.TaskID == "child" && e.Sequence > 0 {
					got = append(got, "end")
				}
			})
			synctest.Wait()
			s.says(t, 1, 1, "in time")
			synctest.Wait()
			s.says(t, 1, 3, "waits for what is before it")
			synctest.Wait()
			s.says(t, 1, 4, "still in time")
			s.ends(end) // both are read at once
			synctest.Wait()
			s.says(t, 1, 2, "too late")
			time.Sleep(earlyFor)
			synctest.Wait()
			wantHeard(t, got, "child 1 in time", "child 1 waits for what is before it", "child 1 still in time", "end")
			late := []string{}
			other := s.watch(t, "root", 1, heard(&late)) // nor does one who comes later hear it
			synctest.Wait()
			s.says(t, 1, 5, "much too late")
			synctest.Wait()
			wantHeard(t, late)
			w.cancel()
			other.cancel()
			synctest.Wait()
			s.empty(t)
		})
	}
}

// An attempt may end before its feed has looked it up: what it told is told, between its beginning and its end.
func TestPiecesOfAShortAttemptAreToldBeforeItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		var got []string
		w := s.watch(t, "root", 0, func(e *Event) {
			if heard(&got)(e); e.Sequence > 0 {
				got = append(got, fmt.Sprint(e.Sequence))
			}
		})
		synctest.Wait()
		release := s.holdLooks() // all of it happens during one look
		s.happen(1)
		synctest.Wait()
		s.says(t, 1, 2, "second")
		s.says(t, 1, 1, "first")
		s.ends(dag.EventCompleted)
		synctest.Wait()
		release()
		synctest.Wait()
		wantHeard(t, got, "1", "child 1 first", "child 1 second", "2")
		w.cancel()
		synctest.Wait()
		s.empty(t)
	})
}

// Pieces cost one question for each attempt, and no look at the tree.
func TestPiecesAreNoReasonToLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		var got []string
		w := s.watch(t, "root", 0, heard(&got))
		synctest.Wait()
		s.says(t, 1, 1, "first")
		synctest.Wait()
		lookups, looks := s.asked()
		questions := s.runningAsked
		for i := range 1000 {
			s.says(t, 1, uint64(i+2), "x")
			synctest.Wait()
		}
		if now, is := s.asked(); now != lookups || is != looks || s.runningAsked != questions || questions != 1 {
			t.Errorf("1000 pieces took %d look-ups, %d looks and %d questions", now-lookups, is-looks, s.runningAsked-questions)
		}
		if len(got) != 1001 {
			t.Errorf("%d pieces were told, want 1001", len(got))
		}
		w.cancel()
		synctest.Wait()
		s.empty(t)
	})
}

// A watcher that takes nothing holds up others for an instant only, and a window of pieces has the bound of any.
func TestAWatcherWhoIsSlowWithPiecesSlowsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		var got []string
		quick := s.watch(t, "root", 0, heard(&got))
		asleep := make(chan struct{})
		slow := s.watch(t, "root", 0, func(*Event) { <-asleep })
		synctest.Wait()
		s.says(t, 1, 1, "first")
		synctest.Wait()
		began := time.Now()
		text := strings.Repeat("x", 16<<10)
		const many = 2000
		for i := range many {
			s.says(t, 1, uint64(i+2), text)
			synctest.Wait()
			if f := s.feeds.trees[watchedTree]; f.bytes > windowBytes+2*len(text) {
				t.Fatalf("the window has %d bytes", f.bytes)
			}
		}
		if took := time.Since(began); len(got) != many+1 || took > time.Second {
			t.Errorf("who is quick heard %d of %d in %v", len(got), many+1, took)
		}
		close(asleep)
		s.happen(1)
		s.finish()
		synctest.Wait()
		slow.want(t, 1, 2)
		quick.want(t, 1, 2)
		s.empty(t)
	})
}

func TestAWorkerMayTellSoMuchAndNoMore(t *testing.T) {
	t.Parallel()
	c := deaf()
	own := own(c, 1)
	of := func(pieces ...*workerv1.Piece) *workerv1.Live {
		return &workerv1.Live{Attempt: own.Attempt, Token: own.Token, Number: 9, Fraction: 7, Pieces: pieces}
	}
	long := strings.Repeat("x", liveBytes/2)
	var many []*workerv1.Piece
	for range 2 * livePieces {
		many = append(many, &workerv1.Piece{Kind: "token"})
	}
	for fact, tt := range map[string]struct {
		told *workerv1.Live
		want int // pieces that are passed on
	}{
		"as it should be":     {of(&workerv1.Piece{Kind: "token", Text: "a"}, &workerv1.Piece{Kind: "dropped", Text: "7"}), 2},
		"nothing":             {of(), 0},
		"of an unknown kind":  {of(&workerv1.Piece{Kind: "token", Text: "a"}, &workerv1.Piece{Kind: "html", Text: "<b>"}), 1},
		"too long":            {of(&workerv1.Piece{Kind: "token", Text: long}, &workerv1.Piece{Kind: "token", Text: long}, &workerv1.Piece{Kind: "token", Text: "a"}), 2},
		"too many":            {of(many...), livePieces},
		"a name that is long": {of(&workerv1.Piece{Kind: "tool_call", Name: strings.Repeat("n", pieceName+1)}), 0},
		"a wrong token":       {&workerv1.Live{Attempt: own.Attempt, Token: []byte("wrong"), Pieces: many}, 0},
		"no attempt":          {&workerv1.Live{Pieces: many}, 0},
	} {
		got := c.checkedLive(t.Context(), tt.told)
		if len(got.GetPieces()) != tt.want || len(got.GetToken()) > 0 || got.GetFraction() != 0 || tt.want > 0 && got.GetNumber() != 9 {
			t.Errorf("%s: got %d pieces, want %d: %v", fact, len(got.GetPieces()), tt.want, got)
		}
	}
	now := time.Now()
	var limits liveLimits
	sum := 0
	for range 1000 {
		if limits.allows("w", liveBytes, now) {
			sum += liveBytes
		}
	}
	if sum > 2*liveRate || sum < liveRate {
		t.Errorf("a worker told %d bytes in an instant", sum)
	}
	if !limits.allows("another", liveBytes, now) || limits.allows("w", liveBytes, now) || !limits.allows("w", liveBytes, now.Add(time.Second)) {
		t.Error("others are held up, or the rate does not recover")
	}
	for i := range 3 * liveKept {
		limits.allows(fmt.Sprint(i), 1, now)
	}
	if len(limits.workers) > liveKept {
		t.Errorf("the rates of %d workers are kept", len(limits.workers))
	}
}

// TestAttemptsDoNotDisturbOneAnother: neither the end of an earlier one nor what it still tells changes how one is heard that runs.
func TestAttemptsDoNotDisturbOneAnother(t *testing.T) {
	t.Parallel()
	k, now := watchedTree.Key(1), time.Now()
	says := func(attempt uint32, number uint64) *workerv1.Live {
		return &workerv1.Live{Attempt: &workerv1.Attempt{Task: int64(k), Number: attempt}, Number: number}
	}
	s := speakers{}
	look := func() {
		s.learn([]dag.Key{k}, map[dag.Key]pg.Label{k: {ID: "child"}}, map[dag.Key]int32{k: 2}, now)
	}
	look()
	if got := s.order([]*workerv1.Live{says(2, 1)}, now); len(got) != 1 {
		t.Fatalf("got %v", got)
	}
	s.waiting = []*workerv1.Live{says(2, 2)}
	show := func(*workerv1.Live, pg.Label) *Event { return &Event{Type: EventProgress} }
	if got := s.weave([]*Event{{Type: EventRetry, TaskID: "child", Attempt: 1}}, now, show); len(got) != 1 || len(s.waiting) != 1 {
		t.Errorf("with the end of the first, %d events are told, and %d messages wait", len(got), len(s.waiting))
	}
	look() // as the first, whose worker was lost, tells something
	if got := s.order([]*workerv1.Live{says(2, 1), says(1, 9), says(2, 2)}, now); len(got) != 1 || got[0].Number != 2 {
		t.Errorf("got %v", got)
	}
	if got := s.weave([]*Event{{Type: EventCompleted, TaskID: "child", Attempt: 2}}, now, show); len(got) != 1 || len(s.known) != 0 {
		t.Errorf("after its end %d are known", len(s.known))
	}
}
