package coordinator

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/sealed"
	"github.com/taskgrove/taskgrove/pg"
)

// Sealing is about the keys that values are sealed with. It is for the cluster's admins.
type Sealing interface {
	// SealStatus is how values are sealed, with which keys, and how far the walker has come.
	SealStatus(ctx context.Context) (*SealStatus, error)
	// RotateDataKeys makes new data keys: of a namespace, or, if that is empty, of all that have one and of the cluster. Values that are stored are sealed
	// anew in the background, and then the old keys are deleted. It returns the new ones. [ErrNotFound]: there is no such namespace; [ErrConflict]: there
	// is no master key.
	RotateDataKeys(ctx context.Context, namespace string) ([]SealKey, error)
	// RewrapDataKeys wraps with the current master key what others wrap, and returns how many data keys. [ErrConflict]: there is no master key.
	RewrapDataKeys(ctx context.Context) (int, error)
	// RotateTokens begins another generation of the secret that tokens and keys of attempts are made of, and gives its number.
	RotateTokens(ctx context.Context) (int, error)
}

// SealStatus is how values are sealed. It has no secret.
type SealStatus struct {
	Sealed     bool      // new values are
	Since      time.Time // zero: never changed
	Master     string    // name of the master key; empty: there is none
	Keys       []SealKey // by number
	Round      int64     // of the walker, the latest; 0: none
	UnderWay   bool      // it is
	Rows       int64     // that it wrote anew, or has to write in the next
	Generation int       // of the secret of tokens
}

// SealKey is a data key as it is shown.
type SealKey struct {
	Number    int
	Namespace string // empty: of the cluster itself
	Master    string // name of the master key that wraps it
	Created   time.Time
	Retired   time.Time // zero: values are sealed with it
}

func (g *guarded) SealStatus(ctx context.Context) (*SealStatus, error) {
	return ask(ctx, g, Call{Method: "SealStatus", Namespace: AllNamespaces}, func() (*SealStatus, error) { return g.next.SealStatus(ctx) })
}

func (g *guarded) RotateDataKeys(ctx context.Context, namespace string) ([]SealKey, error) {
	return ask(ctx, g, Call{Method: "RotateDataKeys", Namespace: AllNamespaces, Details: detail("namespace", namespace)}, func() ([]SealKey, error) {
		return g.next.RotateDataKeys(ctx, namespace)
	})
}

func (g *guarded) RewrapDataKeys(ctx context.Context) (int, error) {
	return ask(ctx, g, Call{Method: "RewrapDataKeys", Namespace: AllNamespaces}, func() (int, error) { return g.next.RewrapDataKeys(ctx) })
}

func (g *guarded) RotateTokens(ctx context.Context) (int, error) {
	return ask(ctx, g, Call{Method: "RotateTokens", Namespace: AllNamespaces}, func() (int, error) { return g.next.RotateTokens(ctx) })
}

// errNoMaster: there is nothing to wrap with.
var errNoMaster = fmt.Errorf("%w: this cluster has no master key: set TASKGROVE_SEAL_KEY_FILE or TASKGROVE_SEAL_KEY", ErrConflict)

// SealStatus is how values are sealed; see [Sealing].
func (c *Coordinator) SealStatus(ctx context.Context) (*SealStatus, error) {
	state, since, err := c.store.Sealing(ctx)
	if err != nil {
		return nil, c.internal("read how values are sealed", err)
	}
	out := &SealStatus{Sealed: state == pg.SealingOn, Since: since}
	if c.keyring.Can() {
		out.Master = c.keyring.Master()
		keys, err := c.keyring.Keys(ctx)
		if err != nil {
			return nil, c.keysError("read data keys", err)
		}
		for i := range keys {
			out.Keys = append(out.Keys, c.sealKey(ctx, &keys[i]))
		}
	}
	tables, err := c.store.SealTables(ctx)
	if err != nil {
		return nil, c.internal("read how values are sealed", err)
	}
	for _, t := range tables {
		out.Round, out.UnderWay, out.Rows = t.Round, out.UnderWay || !t.Done, out.Rows+t.Rows
	}
	if err := c.lookForSecrets(ctx, time.Now()); err != nil {
		return nil, c.internal("read the secrets of tokens", err)
	}
	c.secrets.mu.Lock()
	defer c.secrets.mu.Unlock()
	out.Generation = int(c.secrets.rows[len(c.secrets.rows)-1].Number)
	return out, nil
}

func (c *Coordinator) sealKey(ctx context.Context, k *sealed.DataKey) SealKey {
	out := SealKey{Number: int(k.Number), Master: k.Master, Created: k.Created}
	if k.Namespace != sealed.Cluster {
		out.Namespace = c.spaces.name(ctx, dag.NamespaceKey(k.Namespace))
	}
	if k.Retired != nil {
		out.Retired = *k.Retired
	}
	return out
}

// keysError is an error of keys as callers see it.
func (c *Coordinator) keysError(what string, err error) error {
	if sealed.IsAway(err) {
		return fmt.Errorf("%w: %s: the keys can't be had now", ErrUnavailable, what)
	}
	return c.internal(what, err)
}

// RotateDataKeys makes new data keys; see [Sealing].
func (c *Coordinator) RotateDataKeys(ctx context.Context, namespace string) ([]SealKey, error) {
	if !c.keyring.Can() {
		return nil, errNoMaster
	}
	var of []int32
	if namespace != "" {
		key, err := c.spaces.key(ctx, namespace)
		if err != nil {
			return nil, err
		}
		of = append(of, int32(key))
	} else {
		keys, err := c.keyring.Keys(ctx)
		if err != nil {
			return nil, c.keysError("read data keys", err)
		}
		for i := range keys {
			if keys[i].Retired == nil {
				of = append(of, keys[i].Namespace)
			}
		}
	}
	var out []SealKey
	for _, one := range of {
		fresh, err := c.keyring.Rotate(ctx, one)
		if err != nil {
			c.keysChanged()
			return nil, c.keysError("rotate data keys", err)
		}
		out = append(out, c.sealKey(ctx, fresh))
	}
	c.log.Info("data keys were rotated", "keys", len(out))
	c.keysChanged()
	return out, nil
}

// RewrapDataKeys wraps data keys anew; see [Sealing].
func (c *Coordinator) RewrapDataKeys(ctx context.Context) (int, error) {
	if !c.keyring.Can() {
		return 0, errNoMaster
	}
	n, err := c.keyring.Rewrap(ctx)
	if err != nil {
		return n, c.keysError("wrap data keys anew", err)
	}
	c.log.Info("data keys were wrapped anew", "keys", n)
	return n, nil
}

// dataKeysTold is the topic of changes of data keys.
const dataKeysTold = "datakeys"

// keysChanged tells all coordinators that data keys have changed. They see it by themselves in time.
func (c *Coordinator) keysChanged() {
	if err := c.queue.PublishEvent(dataKeysTold, nil); err != nil {
		c.log.Warn("other coordinators could not be told that data keys have changed; they see it in time", "error", err)
	}
}

// afterChange is how long after a change of keys a round begins, and after a round old keys are deleted.
func (c *Coordinator) afterChange() time.Duration {
	if d := c.walkAfter.Load(); d > 0 {
		return time.Duration(d)
	}
	return walkAfter
}

const (
	walkAfter   = 15 * time.Second // after a change, every process seals with the new key
	walkEvery   = 10 * time.Second // looks whether there is something to do
	walkAgain   = 10 * time.Minute // before another round, when one could write nothing of what is left; it doubles
	walkLongest = 24 * time.Hour
	writersPoll = 200 * time.Millisecond
)

// walker is what a coordinator knows of its rounds.
type walker struct {
	written int           // in the round, by this process
	pause   time.Duration // before the next one
	rest    time.Time     // until then nothing begins
	pruned  time.Time
}

// runWalker seals rows anew after sealing was switched on and after data keys were rotated, and deletes the old keys. One process at a time makes a
// step; which one, each step decides.
func (c *Coordinator) runWalker(ctx context.Context) error {
	told, err := c.queue.SubscribeEvents(ctx, dataKeysTold, 16)
	if err != nil {
		return err
	}
	w := &walker{}
	for {
		if c.keyring.Can() {
			if err := c.walk(ctx, w); err != nil && ctx.Err() == nil {
				c.log.Warn("rows could not be sealed anew; that is tried again", "error", err)
			}
		}
		select {
		case _, ok := <-told:
			if !ok {
				return ctx.Err()
			}
			if c.keyring.Can() {
				c.keyring.Forget()
				w.pruned = time.Time{}
			}
		case <-time.After(min(walkEvery, c.afterChange()) - rand.N(c.afterChange()/8)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// walk does what there is to do, until nothing is.
func (c *Coordinator) walk(ctx context.Context, w *walker) error {
	if time.Since(w.pruned) > time.Minute {
		if err := c.keyring.Prune(ctx); err != nil {
			return err
		}
		w.pruned = time.Now()
	}
	for ctx.Err() == nil {
		work, err := c.store.SealWork(ctx, c.afterChange())
		switch {
		case err != nil || !work.On:
			return err
		case !work.Done:
			if err := c.walkRound(ctx, w); err != nil {
				return err
			}
		case work.Covered:
			if work.Retired {
				return c.dropKeys(ctx, w)
			}
			return nil
		case !work.Ripe || time.Now().Before(w.rest):
			return nil
		default:
			if err := c.writersEnd(ctx); err != nil {
				return err
			}
			if err := c.store.BeginSealRound(ctx, work.Round); err != nil {
				return err
			}
			w.written = 0
		}
	}
	return ctx.Err()
}

// writersEnd waits until the transactions have ended that write now: they may have a value that is sealed with an old key.
func (c *Coordinator) writersEnd(ctx context.Context) error {
	mark, err := c.store.WriterMark(ctx)
	if err != nil {
		return err
	}
	for {
		if ended, err := c.store.WritersEnded(ctx, mark); err != nil || ended {
			return err
		}
		if !sleep(ctx, writersPoll) {
			return ctx.Err()
		}
	}
}

// walkRound goes on with the round, until it is done or another process makes a step.
func (c *Coordinator) walkRound(ctx context.Context, w *walker) error {
	left := 0
	for {
		begin := time.Now()
		step, err := c.store.SealStep(ctx)
		if err != nil {
			return err
		}
		if step.Err != nil {
			c.log.Warn("a value can't be opened, and stays as it is", "error", step.Err)
		}
		if w.written, left = w.written+step.Written, left+step.Left; step.Idle {
			break
		}
		if step.Written > 0 && !sleep(ctx, min(time.Since(begin), time.Second)) { // others want Postgres, too
			return ctx.Err()
		}
	}
	switch {
	case w.written > 0 || left == 0:
		w.pause = 0
	default:
		w.pause = min(max(walkAgain, 2*w.pause), walkLongest)
		w.rest = time.Now().Add(w.pause)
		c.log.Warn("rows can't be sealed anew", "rows", left, "next_try", w.pause.String())
	}
	if !sleep(ctx, writersPoll) { // when another process makes the steps
		return ctx.Err()
	}
	return nil
}

// dropKeys deletes the keys with which no row is sealed, and tells the others.
func (c *Coordinator) dropKeys(ctx context.Context, w *walker) error {
	gone, err := c.store.DropDataKeys(ctx, c.afterChange())
	if err != nil || len(gone) == 0 {
		return err
	}
	c.log.Info("retired data keys were deleted: nothing is sealed with them", "keys", gone)
	if err := c.keyring.Prune(ctx); err != nil {
		return err
	}
	c.keysChanged()
	return nil
}
