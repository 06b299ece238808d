package coordinator

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// The bubble of each test fails it when a goroutine is left.

func TestAThousandWatchersAskNoMoreThanOne(t *testing.T) {
	t.Parallel()
	count := func(watchers int) (lookups, looks int) {
		synctest.Test(t, func(t *testing.T) {
			s := newStage()
			var seats []*seat
			for range watchers {
				seats = append(seats, s.watch(t, "root", 0, nil))
			}
			synctest.Wait()
			for range 20 {
				before, was := s.asked()
				s.happen(3)
				synctest.Wait()
				if now, is := s.asked(); now != before || is != was+1 {
					t.Errorf("%d watchers: a wake-up took %d look-ups and %d looks, want one look", watchers, now-before, is-was)
				}
			}
			s.finish()
			synctest.Wait()
			for _, w := range seats {
				w.want(t, 1, 61)
				if !w.done || w.err != nil {
					t.Fatalf("a watcher did not end with the execution: %v", w.err)
				}
			}
			s.empty(t)
			lookups, looks = s.asked()
		})
		return lookups, looks
	}
	oneLookups, oneLooks := count(1)
	lookups, looks := count(1000)
	if lookups > oneLookups || looks > oneLooks {
		t.Errorf("1000 watchers took %d look-ups and %d looks, one %d and %d", lookups, looks, oneLookups, oneLooks)
	}
}

func TestALateWatcherMissesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		s.happen(10)
		early := s.watch(t, "root", 0, nil)
		synctest.Wait()
		for range 20 {
			s.happen(eventsAtOnce) // so that the window has lost the first ones
			synctest.Wait()
		}
		at := s.tree.Sequence
		afters := []int64{0, 3, at - windowEvents - 700, at - windowEvents, at - 1, at, at + 2}
		var late []*seat
		for i, after := range afters {
			late = append(late, s.watch(t, []string{"root", "child"}[i%2], after, nil))
		}
		s.happen(1) // while they come
		synctest.Wait()
		s.happen(5)
		s.finish()
		synctest.Wait()
		early.want(t, 1, at+7)
		for i, after := range afters {
			late[i].want(t, after+1, at+7)
		}
		s.empty(t)
	})
}

// A watcher that takes nothing holds up nobody for long, makes nothing grow, and gets all when it goes on.
func TestASlowWatcherIsCutLoose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		release := make(chan struct{})
		slow := s.watch(t, "root", 0, func(*Event) { <-release })
		quick := s.watch(t, "root", 0, nil)
		synctest.Wait()
		began := time.Now()
		const n = 40 * eventsAtOnce
		s.happen(n)
		time.Sleep(n / windowEvents * slowWatcher)
		synctest.Wait()
		quick.want(t, 1, n)
		if took := time.Since(began); took > time.Minute {
			t.Errorf("the quick one took %s", took)
		}
		f := s.feeds.ids["root"]
		f.mu.Lock()
		if len(f.window) > windowEvents+eventsAtOnce || len(f.attached) != 1 {
			t.Errorf("the window has %d events, and %d watchers are attached", len(f.window), len(f.attached))
		}
		f.mu.Unlock()
		close(release)
		synctest.Wait()
		slow.want(t, 1, n)
		s.happen(1)
		synctest.Wait()
		slow.want(t, 1, n+1)
		slow.cancel()
		quick.cancel()
		synctest.Wait()
		s.empty(t)
	})
}

// Watchers learn at once that events can't be read, and go on where they were when they can be.
func TestWatchersOutliveTheStoresAbsence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		var seats []*seat
		for range 50 {
			seats = append(seats, s.watch(t, "root", 0, nil))
		}
		synctest.Wait()
		s.happen(5)
		synctest.Wait()
		away := errors.New("away")
		s.fail(away)
		_, before := s.asked()
		time.Sleep(watchFallback) // a look without news notices, too
		synctest.Wait()
		if _, looks := s.asked(); looks != before+1 {
			t.Errorf("noticing took %d looks, want one", looks-before)
		}
		for i, w := range seats {
			if !w.done || !errors.Is(w.err, away) {
				t.Fatalf("got done %t, %v", w.done, w.err)
			}
			w.want(t, 1, 5)
			seats[i] = s.watch(t, "root", 5, nil)
		}
		synctest.Wait()
		for _, w := range seats {
			if !w.done || !errors.Is(w.err, away) {
				t.Fatalf("while it is away: got done %t, %v", w.done, w.err)
			}
		}
		s.empty(t)
		s.fail(nil)
		s.happen(2)
		for i := range seats {
			seats[i] = s.watch(t, "root", 5, nil)
		}
		synctest.Wait()
		s.finish()
		synctest.Wait()
		for _, w := range seats {
			w.want(t, 6, 8)
		}
		s.empty(t)
	})
}

func TestWatchersHearWhatExecutorsReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		one, other := s.watch(t, "root", 0, nil), s.watch(t, "root", 0, nil)
		synctest.Wait()
		data, err := proto.Marshal(&workerv1.Progress{Fraction: 0.5, Message: "half", Attempt: &workerv1.Attempt{Number: 1}})
		if err != nil {
			t.Fatal(err)
		}
		s.publish(data)
		synctest.Wait()
		late := s.watch(t, "root", 0, nil)
		synctest.Wait()
		for w, want := range map[*seat]string{one: "[child half]", other: "[child half]", late: "[]"} {
			if got := fmt.Sprint(w.said); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			w.cancel()
		}
		synctest.Wait()
		s.empty(t)
	})
}

// A watch outlives the end of an execution that was followed by another before it was read.
func TestAWatchGoesOnWithTheNextExecution(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		s.happen(2)
		s.finish()
		s.tree.Unfinished, s.tree.ExecutionStart = 1, 3
		s.happen(1)
		whole, current := s.watch(t, "root", 1, nil), s.watch(t, "root", 0, nil)
		synctest.Wait()
		s.finish()
		synctest.Wait()
		whole.want(t, 2, 5)
		current.want(t, 4, 5)
		s.empty(t)
	})
}

func TestAnUnknownTaskIsNotWatched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		w := s.watch(t, "nope", 0, nil)
		synctest.Wait()
		if !errors.Is(w.err, pg.ErrNotFound) {
			t.Errorf("got %v", w.err)
		}
		s.empty(t)
	})
}
