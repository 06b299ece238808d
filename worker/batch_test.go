package worker

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// wire records what a batcher sends, and when; each send takes a second.
type wire struct {
	mu    sync.Mutex
	begin time.Time
	sent  [][]int
	at    []time.Duration
	fail  int // that many sends ask for a repeat after 3 s
}

func (w *wire) send(_ context.Context, batch []int) ([]int, time.Duration) {
	w.mu.Lock()
	w.sent = append(w.sent, slices.Clone(batch))
	w.at = append(w.at, time.Since(w.begin))
	fail := w.fail > 0
	w.fail--
	w.mu.Unlock()
	time.Sleep(time.Second)
	if fail {
		return batch, 3 * time.Second
	}
	return nil, 0
}

func TestBatcher(t *testing.T) {
	const linger = 100 * time.Millisecond
	for _, tt := range []struct {
		fact  string
		fail  int
		items func(b *batcher[int])
		sent  [][]int
		at    []time.Duration
	}{
		{"idle: sends at once", 0, func(b *batcher[int]) { b.add(1) }, [][]int{{1}}, []time.Duration{0}},
		{"busy: lingers, then sends what has come", 0, func(b *batcher[int]) {
			b.add(1)
			time.Sleep(10 * time.Millisecond)
			b.add(2)
			time.Sleep(10 * time.Millisecond)
			b.add(3)
		}, [][]int{{1}, {2, 3}}, []time.Duration{0, 110 * time.Millisecond}},
		{"enough: does not linger", 0, func(b *batcher[int]) {
			b.add(1)
			time.Sleep(10 * time.Millisecond)
			b.add(2, 3, 4)
		}, [][]int{{1}, {2, 3, 4}}, []time.Duration{0, 10 * time.Millisecond}},
		{"a rush: the first waits a moment for the others", 0, func(b *batcher[int]) {
			b.expect(time.Now())
			b.add(1)
			time.Sleep(rushLinger / 2)
			b.add(2)
		}, [][]int{{1, 2}}, []time.Duration{rushLinger}},
		{"a rush of enough: goes at once", 0, func(b *batcher[int]) {
			b.expect(time.Now())
			b.add(1, 2, 3)
		}, [][]int{{1, 2, 3}}, []time.Duration{0}},
		{"a rush that goes on: no longer than the linger", 0, func(b *batcher[int]) {
			b.expect(time.Now())
			b.add(1)
			for range 1000 {
				time.Sleep(rushLinger / 2)
				b.expect(time.Now())
			}
		}, [][]int{{1}}, []time.Duration{100 * time.Millisecond}},
		{"never more than the largest batch", 0, func(b *batcher[int]) { b.add(1, 2, 3, 4, 5, 6) },
			[][]int{{1, 2, 3, 4}, {5, 6}}, []time.Duration{0, 100 * time.Millisecond}},
		{"at most so many under way", 0, func(b *batcher[int]) { b.add(1, 1, 1, 1, 1, 1, 1, 1, 3) },
			[][]int{{1, 1, 1, 1}, {1, 1, 1, 1}, {3}}, []time.Duration{0, 0, time.Second}},
		{"sizes bound a batch", 0, func(b *batcher[int]) { b.add(60, 60, 60) },
			[][]int{{60}, {60}, {60}}, []time.Duration{0, 100 * time.Millisecond, time.Second}},
		{"a single item larger than the bound goes alone", 0, func(b *batcher[int]) { b.add(500) },
			[][]int{{500}}, []time.Duration{0}},
		{"what must be sent again waits, and blocks nothing", 1, func(b *batcher[int]) {
			b.add(1)
			time.Sleep(2 * time.Second)
			b.add(2)
		}, [][]int{{1}, {2}, {1}}, []time.Duration{0, 2 * time.Second, 4 * time.Second}},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{begin: time.Now(), fail: tt.fail}
				b := &batcher[int]{
					max: 4, maxBytes: 100, size: func(n int) int { return n }, enough: 3, linger: linger, inFlight: 2,
					send: w.send, wake: make(chan struct{}, 1),
				}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					b.run(ctx)
				}()
				tt.items(b)
				time.Sleep(time.Minute)
				cancel()
				<-ended
				if len(w.sent) != len(tt.sent) {
					t.Fatalf("sent %v, want %v", w.sent, tt.sent)
				}
				for i := range w.sent {
					if !slices.Equal(w.sent[i], tt.sent[i]) {
						t.Errorf("batch %d is %v, want %v", i, w.sent[i], tt.sent[i])
					}
					if w.at[i] != tt.at[i] {
						t.Errorf("batch %d went after %v, want %v", i, w.at[i], tt.at[i])
					}
				}
			})
		})
	}
}
