package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/taskgrove/taskgrove/executors"
)

// Times of the sweep.
const (
	sweepEvery = 5 * time.Minute
	sweepOne   = 10 * time.Second // for one container, which another worker may be sweeping, too
	late       = 10 * time.Minute // clocks of two hosts differ by less
	keptFor    = 24 * time.Hour
)

// endOlder ends the containers of earlier attempts on this engine. It fails if there is one of a later attempt: then this one is lost.
func (e *Engine) endOlder(ctx context.Context, cli *client.Client, owner Owner) error {
	all, err := cli.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", labelKey+"="+keyOf(owner))})
	if err != nil {
		return classed("look for containers of earlier attempts", err)
	}
	for _, c := range all.Items {
		attempt, _ := strconv.Atoi(c.Labels[labelAttempt])
		switch {
		case attempt > owner.Attempt:
			return executors.ErrLeaseLost
		case attempt < owner.Attempt:
			if err := dispose(ctx, cli, c.ID, c.Labels[labelKeep] != ""); err != nil {
				return fmt.Errorf("end the container of attempt %d: %w", attempt, rootCause(err))
			}
		}
	}
	return nil
}

// Watch sweeps now and every few minutes, until Close. Only the first call begins it.
func (e *Engine) Watch() {
	e.sweeping.Do(func() {
		ctx, stop := context.WithCancel(context.Background())
		e.stop, e.swept = stop, make(chan struct{})
		go func() { // ends with Close
			defer close(e.swept)
			for ctx.Err() == nil {
				if n, err := e.Sweep(ctx); n > 0 {
					slog.Info("removed containers that dead workers left", "containers", n)
				} else if err != nil && ctx.Err() == nil {
					slog.Debug("sweep of containers", "error", err)
				}
				select {
				case <-ctx.Done():
				case <-time.After(sweepEvery):
				}
			}
		}()
	})
}

// Sweep removes what attempts left on the engine whose workers are known to be dead, and says how many containers that were. It takes a
// container for left if
//
//   - it is this engine's own, and no call of [Engine.Run] has it,
//   - its worker ran on this host, in this process's pid namespace, and that process is gone,
//   - its time was over ten minutes ago: no attempt outlives its timeout,
//   - it has not run for ten minutes: an attempt removes its container at once, or
//   - it was kept on purpose, and stopped a day ago.
//
// So it never ends what a living worker runs, whichever host that is on.
func (e *Engine) Sweep(ctx context.Context) (removed int, err error) {
	cli, err := e.client()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, sweepEvery)
	defer cancel()
	all, err := cli.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", labelInstance)})
	if err != nil {
		return 0, err
	}
	for _, c := range all.Items {
		left, keep := e.left(ctx, cli, c)
		if !left || keep && c.State != container.StateRunning {
			continue
		}
		removing, done := context.WithTimeout(ctx, sweepOne)
		failed := insist(removing, cli, c.ID, keep)
		done()
		if failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		removed++
	}
	return removed, err
}

// left reports whether a container is left over, and whether it is only to be stopped.
func (e *Engine) left(ctx context.Context, cli *client.Client, c container.Summary) (left, keep bool) {
	keep = c.Labels[labelKeep] != ""
	running := c.State == container.StateRunning || c.State == container.StatePaused || c.State == container.StateRestarting
	if !running {
		idle := idleFor(ctx, cli, c)
		if keep {
			return idle > keptFor, false
		}
		if idle > late {
			return true, false
		}
	}
	if ends, err := strconv.ParseInt(c.Labels[labelEnds], 10, 64); err == nil && time.Since(time.Unix(ends, 0)) > late {
		return true, keep
	}
	if c.Labels[labelInstance] == e.instance {
		for _, name := range c.Names { // with a slash before it
			if e.has(name[min(1, len(name)):]) {
				return false, keep
			}
		}
		return true, keep
	}
	return gone(c.Labels[labelProcess]), keep
}

// idleFor is how long a container has not been running.
func idleFor(ctx context.Context, cli *client.Client, c container.Summary) time.Duration {
	since := time.Unix(c.Created, 0)
	if got, err := cli.ContainerInspect(ctx, c.ID, client.ContainerInspectOptions{}); err == nil && got.Container.State != nil {
		if at, err := time.Parse(time.RFC3339Nano, got.Container.State.FinishedAt); err == nil && at.After(since) {
			since = at
		}
	} else {
		return 0 // unknown
	}
	return time.Since(since)
}

func (e *Engine) has(name string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.active[name]
}

// hold takes a container under guard: the warden ends it when this process is gone or the lease ends.
func (e *Engine) hold(name string, lease executors.Lease) error {
	e.mu.Lock()
	e.active[name] = true
	e.mu.Unlock()
	if err := e.warden.hold(name, lease); err != nil {
		e.release(name, true)
		return fmt.Errorf("start the warden of containers: %w", err)
	}
	return nil
}

// release ends the guard. If the container could not be removed, the warden keeps it, and the next sweep tries again.
func (e *Engine) release(name string, gone bool) {
	if gone {
		e.warden.free(name)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.active, name)
}
