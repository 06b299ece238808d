package coordinator

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

// Bounds of looking for earlier successes.
const (
	cacheInputBytes = 4 << 20  // of what tells a task; one with more is told by nothing, and runs
	cacheLooks      = 4        // at once
	reusedBytes     = 32 << 20 // of the successes by which the tasks of one batch end; the others are looked for in the next
)

// lookUp looks for earlier successes by which tasks may end that would run otherwise, and adds them to the verdicts. Those that are too much together are left out: they are
// judged later.
func (e *evaluation) lookUp(ctx context.Context) error {
	var some []int
	bytes := 0
	for i := range e.verdicts {
		if v := &e.verdicts[i]; v.Flags&dag.FlagCache != 0 && v.Waits && v.Is.Error == "" && v.Is.Holds {
			some = append(some, i)
		}
	}
	for len(some) > 0 && bytes < reusedBytes {
		now := some[:min(len(some), cacheLooks)]
		some = some[len(now):]
		var looks errgroup.Group
		for _, i := range now {
			looks.Go(func() error { return e.c.lookUp(ctx, &e.verdicts[i]) })
		}
		if err := looks.Wait(); err != nil {
			return err
		}
		for _, i := range now {
			if by := e.verdicts[i].Is.Cached; by != nil {
				bytes += len(by.Result) + len(by.Outputs)
			}
		}
	}
	if len(some) > 0 {
		e.verdicts = slices.DeleteFunc(e.verdicts, func(v pg.Verdict) bool {
			return v.Flags&dag.FlagCache != 0 && v.Waits && v.Is.Error == "" && v.Is.Holds && !v.Is.Looked
		})
	}
	return nil
}

// Outcomes of looking for an earlier success, in metrics.
const (
	cacheHit    = "hit"
	cacheMiss   = "miss"
	cacheFresh  = "fresh"  // nothing is looked for: a user wants the task to run
	cacheUntold = "untold" // nothing tells the task, as its inputs are too large or can't be rendered; or it could not be looked for
)

// lookUp looks for the success by which one task may end. What can't be looked for runs.
func (c *Coordinator) lookUp(ctx context.Context, v *pg.Verdict) error {
	v.Is.Looked = true
	if v.Unreadable != nil || v.Control == nil || v.Control.Cache == nil || v.Flags&dag.FlagDemo != 0 {
		return nil
	}
	outcome, err := c.earlier(ctx, v)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		c.log.Warn("an earlier success could not be looked for; the task runs", "task_id", v.ID, "error", err)
		v.Digest, v.Is.Cached = nil, nil
	}
	c.meter.cached.Add(context.Background(), 1, labelled("outcome", outcome))
	return nil
}

// earlier tells the task, and finds the success of an equal one.
func (c *Coordinator) earlier(ctx context.Context, v *pg.Verdict) (outcome string, err error) {
	text, err := c.cacheText(ctx, v.Condition)
	if errors.Is(err, pg.ErrNotFound) { // it waits no more: the decision sees that
		return cacheUntold, nil
	}
	if err != nil || text == nil {
		return cacheUntold, err
	}
	if v.Digest, err = c.store.CacheDigest(ctx, v.Task.Tree(), text); err != nil {
		return cacheUntold, err
	}
	if v.Flags&dag.FlagFresh != 0 {
		return cacheFresh, nil
	}
	if v.Is.Cached, err = c.store.FindCached(ctx, v.Condition, v.Digest); err != nil {
		return cacheUntold, err
	}
	if v.Is.Cached == nil || v.Control.Cache.Key != "" && holdsArtifact(v.Is.Cached.Result) {
		v.Is.Cached = nil // or else: files of another tree, which goes away; without a key, the inputs name the same ones
		return cacheMiss, nil
	}
	return cacheHit, nil
}

// holdsArtifact reports whether a result may refer to a file.
func holdsArtifact(result []byte) bool {
	return bytes.Contains(result, []byte(`"artifact"`)) && bytes.Contains(result, []byte(`"sha256"`))
}

// cacheText is what tells a task; nil: nothing does, and its worker will say why.
func (c *Coordinator) cacheText(ctx context.Context, of *pg.Condition) ([]byte, error) {
	w, err := c.store.ToBeRun(ctx, of, cacheInputBytes)
	if errors.Is(err, pg.ErrTooLarge) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	merged, err := c.merge(w)
	if err != nil || w.Control == nil || w.Control.Cache == nil {
		return nil, nil //nolint:nilerr // its worker hears of it
	}
	r := dag.Rendering{TaskID: w.ID, Name: w.Name, TreeID: w.TreeID, UserID: w.UserID, Attempt: int64(w.Attempt)}
	text, err := dag.CacheText(&r, w.Executor, w.Control, w.Inputs, merged, w.Params, w.Schemas, w.Scope, cacheInputBytes)
	if err != nil {
		return nil, nil //nolint:nilerr // likewise
	}
	return text, nil
}
