package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// StreamState is how full a stream is, and how many copies of it are whole.
type StreamState struct {
	Name     string // "work", "results" or "logs", whatever the prefix
	Messages uint64
	Bytes    uint64
	MaxBytes int64 // 0: none of its own
	Copies   int   // that are up to date
	Wanted   int   // copies that it should have
}

// StreamStates tells how full the streams are. A stream that is missing has no row.
func (c *Conn) StreamStates(ctx context.Context) (states []StreamState, err error) {
	for _, s := range []struct{ name, stream string }{{"work", c.names.work}, {"results", c.names.results}, {"logs", c.names.logs}} {
		err := c.call(ctx, func(ctx context.Context) error {
			stream, err := c.js.Stream(ctx, s.stream)
			if err != nil {
				return err
			}
			states = append(states, stateOf(s.name, stream.CachedInfo(), c.cfg.Replicas))
			return nil
		})
		if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return states, fmt.Errorf("state of stream %s: %w", s.stream, err)
		}
	}
	return states, nil
}

func stateOf(name string, info *jetstream.StreamInfo, wanted int) StreamState {
	s := StreamState{Name: name, Messages: info.State.Msgs, Bytes: info.State.Bytes, MaxBytes: max(info.Config.MaxBytes, 0), Copies: 1, Wanted: max(wanted, 1)}
	if info.Cluster != nil {
		for _, r := range info.Cluster.Replicas {
			if r.Current && !r.Offline {
				s.Copies++
			}
		}
	}
	return s
}

// Reconnects is how often the connection broke and was made again.
func (c *Conn) Reconnects() uint64 { return c.nc.Stats().Reconnects }
