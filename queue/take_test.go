package queue_test

import (
	"testing"
)

func TestTakePrefersUrgentWork(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator("rest")
	publish(t, c, "rest", 3, numbered("low", 10)...)
	publish(t, c, "rest", 0, numbered("urgent", 10)...)
	publish(t, c, "rest", 2, numbered("normal", 10)...)

	taker := h.worker("w1").Taker("rest")
	for _, want := range []int{0, 2, 3} {
		taken := take(t, taker, 10)
		if len(taken) != 10 {
			t.Fatalf("took %d, want 10", len(taken))
		}
		for _, d := range taken {
			if d.Priority != want || d.Pool != "rest" || d.Delivered != 1 {
				t.Fatalf("took %+v, want priority %d", d, want)
			}
		}
	}
}

func TestTakeWakesAnIdleWorker(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator("rest")
	taker := h.worker("w1").Taker("rest")
	for i := range 200 {
		publish(t, c, "rest", i%4, "one")
		if taken := take(t, taker, 1+i%3); len(taken) != 1 {
			t.Fatalf("took %d, want 1", len(taken))
		}
	}
}
