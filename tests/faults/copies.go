package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// copyHeader marks copies, so that they are not copied again.
const copyHeader = "Fault-Copy"

// Copier publishes second copies of messages that it finds in WORK and RESULTS, some at once and some late: a network
// or a client that delivers twice.
type Copier struct {
	Work, Results atomic.Int64 // copies that were published
	nc            *nats.Conn
	stop          context.CancelFunc
	running       sync.WaitGroup
}

// StartCopier copies about one message in every few until Stop is called. url is a coordinator's.
func StartCopier(url string) (*Copier, error) {
	nc, err := nats.Connect(url, nats.Name("copier"), nats.MaxReconnects(-1))
	if err != nil {
		return nil, fmt.Errorf("connect copier: %w", err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	c := &Copier{nc: nc, stop: stop}
	c.running.Go(func() { c.copy(ctx, js, "TG_WORK", &c.Work) })
	c.running.Go(func() { c.copy(ctx, js, "TG_RESULTS", &c.Results) })
	return c, nil
}

// Stop ends the copying.
func (c *Copier) Stop() {
	c.stop()
	c.running.Wait()
	c.nc.Close()
}

// copy walks behind the end of a stream.
func (c *Copier) copy(ctx context.Context, js jetstream.JetStream, name string, count *atomic.Int64) {
	var next uint64
	for ctx.Err() == nil {
		time.Sleep(time.Millisecond)
		stream, err := js.Stream(ctx, name)
		if err != nil {
			continue
		}
		state := stream.CachedInfo().State
		if state.LastSeq < next { // made anew
			next = 0
		}
		for next = max(next, state.FirstSeq); next <= state.LastSeq && ctx.Err() == nil; next++ {
			if rand.IntN(4) != 0 {
				continue
			}
			m, err := stream.GetMsg(ctx, next)
			if err != nil || m.Header.Get(copyHeader) != "" {
				continue
			}
			again := &nats.Msg{Subject: m.Subject, Data: m.Data, Header: nats.Header{copyHeader: {"1"}}}
			for key, values := range m.Header {
				again.Header[key] = values
			}
			if rand.IntN(2) == 0 {
				if c.nc.PublishMsg(again) == nil {
					count.Add(1)
				}
				continue
			}
			c.running.Go(func() {
				select {
				case <-time.After(rand.N(300 * time.Millisecond)):
				case <-ctx.Done():
					return
				}
				if c.nc.PublishMsg(again) == nil {
					count.Add(1)
				}
			})
		}
	}
}
