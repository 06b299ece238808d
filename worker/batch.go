package worker

import (
	"context"
	"sync"
	"time"
)

// batcher collects items and sends them in batches: at once when nothing is under way and no rush of them is expected, otherwise after
// a short linger or when enough are waiting, so that batches are as large as the load and no larger.
type batcher[T any] struct {
	max      int           // items in one batch
	maxBytes int           // their size; a larger single item goes alone
	enough   int           // that many are sent without lingering
	linger   time.Duration // at most, and only while a batch is under way or a rush is expected
	inFlight int           // batches under way at once
	size     func(T) int   // nil: sizes do not matter

	// send delivers a batch. It returns the items that must be sent again, and after how long. It owns the slice.
	send func(ctx context.Context, batch []T) (again []T, after time.Duration)

	wake chan struct{} // capacity 1: there may be something in queue

	mu    sync.Mutex
	queue []T
	rush  time.Time // until then more is about to come
}

// repeat is what a batch's sender wants sent again.
type repeat[T any] struct {
	items []T
	at    time.Time
}

// add queues items. It never blocks; what bounds the queue is that each item holds a slot or counts as kept.
func (b *batcher[T]) add(items ...T) {
	if len(items) == 0 {
		return
	}
	b.mu.Lock()
	b.queue = append(b.queue, items...)
	b.mu.Unlock()
	signal(b.wake)
}

// expect says that many items are about to come: the first of them waits a moment for the others.
func (b *batcher[T]) expect(now time.Time) {
	b.mu.Lock()
	b.rush = now.Add(rushLinger)
	b.mu.Unlock()
}

// waiting is how many items wait, and until when more are about to come.
func (b *batcher[T]) waiting() (n int, rush time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue), b.rush
}

// next cuts a batch off the queue.
func (b *batcher[T]) next() []T {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.queue), b.max)
	if b.size != nil {
		bytes := 0
		for i, item := range b.queue[:n] {
			if bytes += b.size(item); bytes > b.maxBytes && i > 0 {
				n = i
				break
			}
		}
	}
	batch := b.queue[:n:n]
	if n == len(b.queue) {
		b.queue = nil
	} else {
		b.queue = b.queue[n:]
	}
	return batch
}

// requeue queues what is due again, and returns the rest.
func (b *batcher[T]) requeue(later []repeat[T], now time.Time) []repeat[T] {
	kept := later[:0]
	for _, r := range later {
		if r.at.After(now) {
			kept = append(kept, r)
		} else {
			b.add(r.items...)
		}
	}
	return kept
}

// run sends until ctx ends, and returns when every send has. What is still queued then stays where it is.
func (b *batcher[T]) run(ctx context.Context) error {
	var (
		flying  int
		later   []repeat[T]
		linger  time.Time // when the batch that is being collected goes; zero: not lingering
		senders sync.WaitGroup
		done    = make(chan repeat[T], b.inFlight) // one place for each that can be under way
		timer   = time.NewTimer(time.Hour)
	)
	defer senders.Wait()
	defer timer.Stop()
	for {
		now := time.Now()
		later = b.requeue(later, now)
		waiting, rush := b.waiting()
		if waiting > 0 && linger.IsZero() {
			linger = now.Add(b.linger)
		}
		if waiting > 0 && flying < b.inFlight {
			if flying == 0 && !now.Before(rush) || waiting >= b.enough || !now.Before(linger) {
				linger = time.Time{}
				batch := b.next()
				flying++
				senders.Go(func() {
					again, after := b.send(ctx, batch)
					done <- repeat[T]{again, time.Now().Add(after)}
				})
				continue
			}
		}
		next := now.Add(time.Hour)
		if !linger.IsZero() && flying < b.inFlight {
			if next = linger; flying == 0 && rush.Before(next) {
				next = rush
			}
		}
		for _, r := range later {
			if r.at.Before(next) {
				next = r.at
			}
		}
		timer.Reset(next.Sub(now))
		select {
		case <-ctx.Done():
			return nil
		case <-b.wake:
		case <-timer.C:
		case r := <-done:
			flying--
			if len(r.items) > 0 {
				later = append(later, r)
			}
		}
	}
}
