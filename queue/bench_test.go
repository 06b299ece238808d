package queue_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/queue"
)

// body is about what an attempt with small inputs needs.
var body = []byte(strings.Repeat("x", 300))

func workMessages(n int) []queue.WorkMessage {
	messages := make([]queue.WorkMessage, n)
	for i := range messages {
		messages[i] = queue.WorkMessage{Pool: "rest", Priority: 2, Data: body}
	}
	return messages
}

// BenchmarkPublishWork stores batches of 2000.
func BenchmarkPublishWork(b *testing.B) {
	h := newHouse(b)
	c := h.coordinator("rest")
	messages := workMessages(2000)
	b.ReportAllocs()
	for b.Loop() {
		if err := c.PublishWork(b.Context(), messages); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(messages))/b.Elapsed().Seconds(), "msgs/s")
}

// BenchmarkTakeAck takes and acks what lies in WORK, in takes of up to 1000.
func BenchmarkTakeAck(b *testing.B) {
	h := newHouse(b)
	c := h.coordinator("rest")
	taker := h.worker("w1").Taker("rest")
	messages := workMessages(2000)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		if err := c.PublishWork(b.Context(), messages); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		for n := 0; n < len(messages); {
			taken, err := taker.Take(b.Context(), 1000)
			if err != nil {
				b.Fatal(err)
			}
			for _, d := range taken {
				d.Ack()
			}
			n += len(taken)
		}
	}
	b.ReportMetric(float64(b.N*len(messages))/b.Elapsed().Seconds(), "msgs/s")
}

// onBoth runs a benchmark with a coordinator and a worker of the pool "rest" on the embedded server and on an external one.
func onBoth(b *testing.B, run func(b *testing.B, c, w *queue.Conn)) {
	b.Run("embedded", func(b *testing.B) {
		h := newHouse(b)
		run(b, h.coordinator("rest"), h.worker("w1"))
	})
	b.Run("external", func(b *testing.B) {
		connect, _ := external(b, queue.ServerUser{Name: "c1"}, queue.ServerUser{Name: "w1", Pools: []string{"rest"}})
		c := connect("c1")
		must(b, c.EnsurePools(b.Context(), "rest"))
		run(b, c, connect("w1"))
	})
}

// BenchmarkTakeOne takes and acks what lies in WORK one by one, as a worker with one slot does.
func BenchmarkTakeOne(b *testing.B) {
	onBoth(b, func(b *testing.B, c, w *queue.Conn) {
		taker := w.Taker("rest")
		must(b, c.PublishWork(b.Context(), workMessages(b.N)))
		b.ReportAllocs()
		b.ResetTimer()
		for range b.N {
			taken, err := taker.Take(b.Context(), 1)
			must(b, err)
			taken[0].Ack()
		}
	})
}

// BenchmarkRequest asks a coordinator that answers at once, one request after the other.
func BenchmarkRequest(b *testing.B) {
	onBoth(b, func(b *testing.B, c, w *queue.Conn) {
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		go func() { _ = c.Serve(ctx, queue.Claim, func(_ string, data []byte, reply func([]byte)) { reply(data) }) }()
		eventually(b, "answer", func() bool {
			_, err := w.Request(b.Context(), queue.Claim, body)
			return err == nil
		})
		b.ResetTimer()
		for range b.N {
			_, err := w.Request(b.Context(), queue.Claim, body)
			must(b, err)
		}
	})
}

// BenchmarkFlow publishes and takes at the same time, takes of up to 1000.
func BenchmarkFlow(b *testing.B) {
	h := newHouse(b)
	c := h.coordinator("rest")
	taker := h.worker("w1").Taker("rest")
	messages := workMessages(1000)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		for n := 0; n < b.N*len(messages); {
			taken, err := taker.Take(ctx, 1000)
			if err != nil {
				b.Error(err)
				return
			}
			for _, d := range taken {
				d.Ack()
			}
			n += len(taken)
		}
	}()
	b.ResetTimer()
	for range b.N {
		if err := c.PublishWork(ctx, messages); err != nil && ctx.Err() == nil {
			b.Fatal(err)
		}
	}
	<-done
	b.ReportMetric(float64(b.N*len(messages))/b.Elapsed().Seconds(), "msgs/s")
}

// BenchmarkWake is one hop to an idle worker with free slots: from the publish to the return of Take.
func BenchmarkWake(b *testing.B) {
	for name, slots := range map[string]int{"slots=1": 1, "slots=100": 100} {
		b.Run(name, func(b *testing.B) {
			onBoth(b, func(b *testing.B, c, w *queue.Conn) { wake(b, c, w.Taker("rest"), slots) })
		})
	}
}

func wake(b *testing.B, c *queue.Conn, taker *queue.Taker, slots int) {
	taken := make(chan time.Time)
	go func() {
		for range b.N {
			work, err := taker.Take(b.Context(), slots)
			if err != nil {
				b.Error(err)
				return
			}
			at := time.Now()
			work[0].Ack()
			taken <- at
		}
	}()
	message := workMessages(1)
	b.ReportAllocs()
	b.ResetTimer()
	var total time.Duration
	for range b.N {
		began := time.Now()
		must(b, c.PublishWork(b.Context(), message))
		at := <-taken
		total += at.Sub(began)
	}
	b.ReportMetric(float64(total.Microseconds())/float64(b.N), "µs/hop")
}

// BenchmarkResults publishes results one by one and consumes them.
func BenchmarkResults(b *testing.B) {
	onBoth(b, func(b *testing.B, c, w *queue.Conn) {
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		arrived := make(chan struct{}, 1)
		n := 0
		go func() {
			_ = c.ConsumeResults(ctx, 1000, func(m *queue.ResultMessage) {
				m.Ack()
				if n++; n == b.N {
					arrived <- struct{}{}
				}
			})
		}()
		b.ResetTimer()
		for range b.N {
			must(b, w.PublishResults(ctx, body))
		}
		<-arrived
	})
}
