package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/nats-io/nats.go/jetstream"
)

// hintKey is where the metadata of RESULTS holds the hint.
const hintKey = "taskgrove.hint"

// Hint is what [Conn.SetHint] left; empty: nothing, or the stream is not there, or was made again since.
func (c *Conn) Hint(ctx context.Context) (text string, err error) {
	err = c.call(ctx, func(ctx context.Context) error {
		is, err := c.js.Stream(ctx, c.names.results)
		if err == nil {
			text = is.CachedInfo().Config.Metadata[hintKey]
		}
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the hint: %w", closedErr(err))
	}
	return text, nil
}

// SetHint leaves a text for processes that start later, as long as there are streams. It is for a rare change: the server writes files.
func (c *Conn) SetHint(ctx context.Context, text string) error {
	c.ensuring.Lock()
	defer c.ensuring.Unlock()
	err := c.call(ctx, func(ctx context.Context) error {
		is, err := c.js.Stream(ctx, c.names.results)
		if err != nil {
			return err
		}
		cfg := is.CachedInfo().Config
		if cfg.Metadata[hintKey] == text {
			return nil
		}
		cfg.Metadata = maps.Clone(cfg.Metadata)
		if cfg.Metadata == nil {
			cfg.Metadata = map[string]string{}
		}
		cfg.Metadata[hintKey] = text
		_, err = c.js.UpdateStream(ctx, cfg)
		return err
	})
	if err != nil {
		return fmt.Errorf("leave a hint: %w", closedErr(err))
	}
	return nil
}
