package coordinator

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/internal/doctor"
	"github.com/taskgrove/taskgrove/pg"
)

// A roll call asks all coordinators over NATS who they are: only while somebody wants a diagnosis. It costs a message to each, and one from each.
const (
	rollTopic  = "roll"
	rolledPart = "rolled."
	rollWithin = 2 * time.Second // then those that are left are silent
	rollMost   = 1000            // answers
)

// rollAnswer is what a coordinator says of itself.
type rollAnswer struct {
	Instance string            `json:"instance"`
	Clock    int64             `json:"clock_us"` // since 1970
	Settings map[string]string `json:"settings"`
}

// runRollCalls answers roll calls.
func (c *Coordinator) runRollCalls(ctx context.Context) error {
	calls, err := c.queue.SubscribeEvents(ctx, rollTopic, 16)
	if err != nil {
		return err
	}
	for id := range calls {
		if len(id) == 0 || len(id) > 64 {
			continue
		}
		answer, err := json.Marshal(rollAnswer{c.instance, time.Now().UnixMicro(), c.comparable()})
		if err == nil {
			err = c.queue.PublishEvent(rolledPart+string(id), answer)
		}
		if err != nil && ctx.Err() == nil {
			c.log.Warn("a roll call could not be answered", "error", err)
		}
	}
	return ctx.Err()
}

// comparable are the settings that should be the same for all coordinators.
func (c *Coordinator) comparable() map[string]string {
	cfg := &c.cfg
	out := map[string]string{
		"TASKGROVE_LEASE": cfg.Lease.String(), "TASKGROVE_RETENTION": cfg.Retention.String(), "TASKGROVE_POOL_IDLE": cfg.PoolIdle.String(),
		"TASKGROVE_INLINE_INPUT_BYTES": strconv.Itoa(cfg.InlineBytes), "TASKGROVE_MAX_INPUT_BYTES": strconv.Itoa(cfg.MaxInputs), "TASKGROVE_MAX_RESULT_BYTES": strconv.Itoa(cfg.MaxResult),
		"the bounds of trees": fmt.Sprint(cfg.Limits), "TASKGROVE_SEAL_VALUES": strconv.FormatBool(cfg.Seal.Values),
		"the archive": cmp.Or(cfg.ArchiveAt, "none"),
	}
	for name, value := range c.queue.Settings() {
		out[name] = value
	}
	if c.keyring.Can() {
		out["the master key"] = c.keyring.Master()
	}
	return out
}

// rollCall asks the coordinators that are alive, and waits until all have answered, or for a while.
func (c *Coordinator) rollCall(ctx context.Context, live []pg.LiveCoordinator) []doctor.Coordinator {
	out := make([]doctor.Coordinator, len(live))
	at := map[string]int{}
	for i, l := range live {
		out[i] = doctor.Coordinator{Name: l.Name, Instance: l.Instance, Version: l.Version, Level: int(l.Level), LeaseUntil: l.LeaseUntil}
		at[l.Instance] = i
	}
	ctx, cancel := context.WithTimeout(ctx, rollWithin)
	defer cancel()
	id := rand.Text()
	answers, err := c.queue.SubscribeEvents(ctx, rolledPart+id, rollMost)
	if err != nil {
		return out
	}
	begin := time.Now()
	if err := c.queue.PublishEvent(rollTopic, []byte(id)); err != nil {
		return out
	}
	for left := len(live); left > 0; {
		data, ok := <-answers
		if !ok {
			break
		}
		var a rollAnswer
		i, known := 0, false
		if json.Unmarshal(data, &a) == nil {
			i, known = at[a.Instance]
		}
		if !known || out[i].Answered {
			continue
		}
		took := time.Since(begin)
		out[i].Answered, out[i].Settings = true, a.Settings
		out[i].Within = took/2 + time.Millisecond
		out[i].Skew = time.UnixMicro(a.Clock).Sub(begin.Add(took / 2))
		left--
	}
	return out
}

// Beats say what their worker's clock shows. They come with a delay, mostly of milliseconds.
const (
	beatDelay  = time.Second      // that is nothing
	clockKept  = 10 * time.Minute // without a beat, a clock is forgotten
	clockFresh = 30 * time.Second // the least delayed beat within that counts
	clocksKept = 20_000
)

// clocks are how far the clocks of workers are off, by instance, as their beats to this coordinator tell.
type clocks struct {
	mu sync.Mutex
	by map[string]clockOff
}

type clockOff struct {
	skew time.Duration
	at   time.Time
}

// hear takes note of a beat that was sent at a time by the worker's clock, and came now.
func (c *clocks) hear(instance string, sentMs int64, now time.Time) {
	if sentMs <= 0 {
		return
	}
	skew := time.UnixMilli(sentMs).Sub(now)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[string]clockOff{}
	}
	if was, known := c.by[instance]; known && skew < was.skew && now.Sub(was.at) < clockFresh {
		return // it came with more delay
	}
	if len(c.by) >= clocksKept {
		for name, o := range c.by {
			if now.Sub(o.at) > clockKept {
				delete(c.by, name)
			}
		}
		if len(c.by) >= clocksKept {
			return
		}
	}
	c.by[instance] = clockOff{skew, now}
}

// of is how far a clock is ahead; known: a beat has told lately.
func (c *clocks) of(instance string, now time.Time) (skew time.Duration, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, known := c.by[instance]
	return o.skew, known && now.Sub(o.at) < clockKept
}
