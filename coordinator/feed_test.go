package coordinator

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// The bubble of each test fails it when a goroutine is left.

func TestAThousandWatchersAskNoMoreThanOne(t *testing.T) {
	t.Parallel()
	count := func(watchers int) (lookups, looks int) {
		synctest.Test(t, func(t *testing.T) {
			s := newStage()
			release := s.holdLooks() // until all have come
			var seats []*seat
			for range watchers {
				seats = append(seats, s.watch(t, "root", 0, nil))
			}
			synctest.Wait()
			release()
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

// A look that began after a watcher came tells it where the tree is; that takes two for any number that come together.
func TestLateWatchersShareALook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		s.happen(3)
		seats := []*seat{s.watch(t, "root", 0, nil)}
		synctest.Wait()
		lookups, looks := s.asked()
		release := s.holdLooks()
		for range 1000 {
			seats = append(seats, s.watch(t, "root", 0, nil))
		}
		synctest.Wait()
		release()
		synctest.Wait()
		if now, is := s.asked(); now != lookups || is > looks+2 {
			t.Errorf("1000 late watchers took %d look-ups and %d looks, want none and at most 2", now-lookups, is-looks)
		}
		s.finish()
		synctest.Wait()
		for _, w := range seats {
			w.want(t, 1, 4)
		}
		s.empty(t)
	})
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
		f := s.feeds.ids[watched{id: "root"}]
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
		for w, want := range map[*seat]string{one: "[child a child half]", other: "[child a child half]", late: "[]"} {
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

// A watcher that comes after a re-run sees nothing of the execution before, even if the feed knows of that one only.
func TestAWatcherAfterARerun(t *testing.T) {
	t.Parallel()
	for name, looking := range map[string]bool{"before the feed's next look": false, "during a look that began before": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage()
				s.happen(2)
				first := s.watch(t, "root", 0, nil)
				synctest.Wait()
				release := func() {}
				if looking {
					release = s.holdLooks()
					s.finish()
					synctest.Wait()
				} else {
					s.finishUnheard()
				}
				s.rerun()
				current, after := s.watch(t, "root", 0, nil), s.watch(t, "child", 3, nil)
				synctest.Wait()
				release()
				synctest.Wait()
				for _, w := range []*seat{current, after} {
					w.want(t, 4, 4)
					if w.done {
						t.Errorf("a watch ended with the execution before: %v", w.err)
					}
				}
				s.finish()
				synctest.Wait()
				current.want(t, 4, 5)
				after.want(t, 4, 5)
				first.want(t, 1, map[bool]int64{true: 3, false: 5}[looking])
				s.empty(t)
			})
		})
	}
}

// A tree that has the ids of one that was deleted is not read through the feed of that one.
func TestAnIDThatWasStoredAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		s.happen(5)
		first := s.watch(t, "root", 0, nil)
		synctest.Wait()
		s.replace()
		whole, rest := s.watch(t, "root", 0, nil), s.watch(t, "root", 1, nil)
		synctest.Wait()
		s.happen(2)
		synctest.Wait()
		s.finish()
		synctest.Wait()
		first.want(t, 1, 5)
		if !errors.Is(first.err, ErrNotFound) {
			t.Errorf("the watch of the deleted tree: got %v", first.err)
		}
		whole.want(t, 1, 3)
		rest.want(t, 2, 3)
		s.empty(t)
	})
}

// A slow watcher keeps a feed that has ended; who comes later gets one that lives.
func TestNobodyJoinsAFeedThatHasEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		release := make(chan struct{})
		slow := s.watch(t, "root", 0, func(*Event) { <-release })
		synctest.Wait()
		s.happen(2)
		s.finish()
		synctest.Wait()
		s.rerun()
		later := s.watch(t, "root", 0, nil)
		synctest.Wait()
		s.finish()
		synctest.Wait()
		later.want(t, 4, 5)
		close(release)
		synctest.Wait()
		slow.want(t, 1, 3)
		for _, w := range []*seat{later, slow} {
			if !w.done || w.err != nil {
				t.Errorf("got done %t, %v", w.done, w.err)
			}
		}
		s.empty(t)
	})
}

func TestAWatchOfAFinishedTreeEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		s.happen(2)
		s.finish()
		for _, after := range []int64{0, 2, 3, 4} {
			w := s.watch(t, "root", after, nil)
			synctest.Wait()
			w.want(t, min(after, 3)+1, 3)
			if !w.done || w.err != nil {
				t.Errorf("after %d: got done %t, %v", after, w.done, w.err)
			}
		}
		s.empty(t)
	})
}

func TestAnUnknownTaskIsNotWatched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		w := s.watch(t, "nope", 0, nil)
		synctest.Wait()
		if !errors.Is(w.err, ErrNotFound) {
			t.Errorf("got %v", w.err)
		}
		s.empty(t)
	})
}
