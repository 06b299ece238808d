package worker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestLease(t *testing.T) {
	const grace = 5 * time.Second
	for _, tt := range []struct {
		fact   string
		run    func(l *lease)
		fences time.Duration // after the start
	}{
		{"stops the kill grace before its end", func(l *lease) { l.extend(time.Now(), 30*time.Second) }, 25 * time.Second},
		{"counts from the sending, not from the answer", func(l *lease) {
			sent := time.Now()
			time.Sleep(4 * time.Second)
			l.extend(sent, 30*time.Second)
		}, 25 * time.Second},
		{"an extension moves the end", func(l *lease) {
			l.extend(time.Now(), 30*time.Second)
			time.Sleep(10 * time.Second)
			l.extend(time.Now(), 30*time.Second)
		}, 35 * time.Second},
		{"an older answer does not shorten it", func(l *lease) {
			sent := time.Now()
			time.Sleep(time.Second)
			l.extend(time.Now(), 30*time.Second)
			l.extend(sent, 30*time.Second)
		}, 26 * time.Second},
		{"the grace is at most half of it", func(l *lease) { l.extend(time.Now(), 4*time.Second) }, 2 * time.Second},
		{"an answer that comes after its end grants nothing", func(l *lease) {
			sent := time.Now()
			time.Sleep(26 * time.Second)
			if l.extend(sent, 30*time.Second) {
				t.Error("extended by an answer that is 26 s old")
			}
			l.extend(time.Now(), 10*time.Second)
		}, 31 * time.Second},
		{"one that ended before its first answer came is over at the third refusal", func(l *lease) {
			l.refuse()
			l.refuse()
			time.Sleep(time.Second)
			l.refuse()
		}, time.Second},
		{"refusals don't end a lease that was granted", func(l *lease) {
			l.extend(time.Now(), 30*time.Second)
			l.refuse()
			l.refuse()
			l.refuse()
		}, 25 * time.Second},
		{"what is over stays over", func(l *lease) {
			l.extend(time.Now(), 10*time.Second)
			time.Sleep(6 * time.Second)
			if l.extend(time.Now(), 10*time.Second) {
				t.Error("extended after the fence")
			}
		}, 5 * time.Second},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLease(grace)
				begin := time.Now()
				go tt.run(l)
				if !l.watch(t.Context()) {
					t.Fatal("watch ended without a fence")
				}
				if got := time.Since(begin); got != tt.fences {
					t.Errorf("fenced after %v, want %v", got, tt.fences)
				}
				if l.holds() {
					t.Error("holds after the fence")
				}
				synctest.Wait()
				time.Sleep(time.Minute) // lets run end
			})
		})
	}
}

func TestLeaseWithoutGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease(time.Second)
		if l.holds() || !l.Until().IsZero() {
			t.Error("holds before the first grant")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if l.watch(ctx) {
			t.Error("fenced though nothing was granted")
		}
	})
}

func TestLeaseTellsOfExtensions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease(time.Second)
		l.extend(time.Now(), 10*time.Second)
		changed := l.Changed()
		select {
		case <-changed:
			t.Fatal("changed without an extension")
		default:
		}
		time.Sleep(time.Second)
		l.extend(time.Now(), 10*time.Second)
		<-changed
		if got, want := time.Until(l.Until()), 10*time.Second; got != want {
			t.Errorf("ends in %v, want %v", got, want)
		}
	})
}

// A process that was frozen past its fence must not start anything before the fence goroutine has run.
func TestLeaseOfAFrozenProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease(time.Second)
		l.extend(time.Now(), 10*time.Second)
		time.Sleep(9 * time.Second) // nobody watches: as good as frozen
		if l.holds() {
			t.Error("holds at its fence")
		}
		if l.extend(time.Now().Add(-time.Second), 10*time.Second) {
			t.Error("an answer that waited through the freeze extended it")
		}
	})
}
