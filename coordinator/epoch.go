package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/taskgrove/taskgrove/pg"
	"github.com/taskgrove/taskgrove/queue"
)

const (
	// checkServerEvery is how often a coordinator looks which server holds the database.
	checkServerEvery = 2 * time.Second
	// tellEpochEvery is how often it tells the others which epoch of the database is the newest that it knows.
	tellEpochEvery = 5 * time.Second
	// lookAtHintEvery is how often it looks whether that is still left in NATS.
	lookAtHintEvery = time.Minute
)

// epochTopic is of events in which coordinators tell each other the newest epoch.
const epochTopic = "epoch"

// LearnEpoch reads which epoch of the database coordinators have used, as far as NATS knows, and has the store use no older one. It is for a
// process that starts; later, coordinators tell each other.
func LearnEpoch(ctx context.Context, fence *pg.Fence, conn *queue.Conn) error {
	text, err := conn.Hint(ctx)
	if err != nil || text == "" {
		return err
	}
	learnEpoch(fence, []byte(text))
	return nil
}

// learnEpoch takes what another coordinator has told. What can't be read is no news.
func learnEpoch(fence *pg.Fence, told []byte) {
	var e pg.Epoch
	if json.Unmarshal(told, &e) == nil && e.ID != "" && e.Timeline > 0 {
		fence.Learn(e)
	}
}

// runServer looks which server holds the database, and tells the others of a new one.
func (c *Coordinator) runServer(ctx context.Context) error {
	told, err := c.subscribeEpochs(ctx)
	if err != nil {
		return nil // ctx has ended
	}
	fence := c.store.Fence()
	found := make(chan struct{}, 1) // there may be a newer one
	fence.OnChange(func(pg.Epoch) { wake(found) })
	look, tell := time.NewTicker(checkServerEvery), time.NewTicker(tellEpochEvery)
	defer look.Stop()
	defer tell.Stop()
	hint := &epochHint{hints: c.queue}
	was := fence.Newest()
	for {
		select {
		case <-ctx.Done():
			return nil
		case data, ok := <-told:
			if !ok {
				return nil
			}
			learnEpoch(fence, data)
			c.noticeEpoch(&was)
			continue
		case <-look.C:
			c.lookAtServer(ctx)
			continue
		case <-found:
		case <-tell.C:
		}
		c.noticeEpoch(&was)
		c.tellEpoch(ctx, was, hint)
	}
}

// subscribeEpochs listens to the others. It returns an error only when ctx has ended.
func (c *Coordinator) subscribeEpochs(ctx context.Context) (told <-chan []byte, err error) {
	return told, c.insist(ctx, func(ctx context.Context) error {
		told, err = c.queue.SubscribeEvents(ctx, epochTopic, 16)
		return err
	})
}

// lookAtServer asks the server, and logs when it is refused, or used again.
func (c *Coordinator) lookAtServer(ctx context.Context) {
	err := c.store.CheckServer(ctx)
	former, refused := errors.AsType[*pg.FormerError](err)
	switch {
	case refused && c.fenced.CompareAndSwap(false, true):
		c.log.Error("the database is not used until its present server is found", "error", former)
	case err == nil && c.fenced.CompareAndSwap(true, false):
		c.log.Info("the present server of the database is found", "epoch", c.store.Fence().Newest().String())
	case err != nil && !refused && ctx.Err() == nil:
		c.log.Debug("which server holds the database could not be seen", "error", err)
	}
}

// noticeEpoch logs that a newer epoch than before has become known.
func (c *Coordinator) noticeEpoch(was *pg.Epoch) {
	newest := c.store.Fence().Newest()
	if !newest.Newer(*was) {
		return
	}
	if was.ID != "" {
		c.log.Warn("the database has moved to another server, or was restored", "before", was.String(), "now", newest.String())
	}
	*was = newest
}

// tellEpoch tells the other coordinators which epoch is the newest, and leaves it in NATS for those that start later.
func (c *Coordinator) tellEpoch(ctx context.Context, e pg.Epoch, hint *epochHint) {
	if e.ID == "" {
		return
	}
	text, err := json.Marshal(e)
	if err != nil {
		return
	}
	if err := c.queue.PublishEvent(epochTopic, text); err != nil {
		c.log.Debug("the epoch of the database was not told to other coordinators", "error", err)
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	newer, err := hint.leave(ctx, e, string(text), time.Now())
	if err != nil {
		c.log.Warn("the epoch of the database could not be left in NATS for coordinators that start later", "error", err)
	}
	learnEpoch(c.store.Fence(), []byte(newer))
}

// epochHint is what coordinators that start later read. A NATS that lost its streams has lost it, too, so it is looked at again.
type epochHint struct {
	hints interface { // those of the queue
		Hint(ctx context.Context) (string, error)
		SetHint(ctx context.Context, text string) error
	}
	left string    // what is there, as far as is known; empty: not known
	seen time.Time // when it was there
}

// leave makes e, as the text, the hint, unless one is there that is as new: a newer one is returned. While it is known to be there, nothing is asked.
func (h *epochHint) leave(ctx context.Context, e pg.Epoch, text string, now time.Time) (newer string, err error) {
	if h.left == text && now.Sub(h.seen) < lookAtHintEvery {
		return "", nil
	}
	h.left = ""
	before, err := h.hints.Hint(ctx)
	if err != nil {
		return "", nil // soon again
	}
	var known pg.Epoch
	switch {
	case json.Unmarshal([]byte(before), &known) != nil || e.Newer(known):
		if err := h.hints.SetHint(ctx, text); err != nil {
			return "", err
		}
	case known.Newer(e):
		return before, nil
	}
	h.left, h.seen = text, now
	return "", nil
}
