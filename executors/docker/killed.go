package docker

import (
	"context"
	"time"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"
)

const (
	killedCode = 128 + 9 // of a program that SIGKILL ended

	reasonWithin = 2 * time.Second // the wait for an engine that may yet say why
)

// whyKilled asks the engine whether a container that has exited had more memory than it may. The engine learns that from an event of its
// own, which may come after the exit; and it gets lost when the container's cgroup is gone before the one who watches it has looked.
func (r *run) whyKilled(ctx context.Context) {
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
	defer cancel()
	got, err := r.cli.ContainerInspect(asking, r.exit.Container, client.ContainerInspectOptions{})
	if err != nil || got.Container.State == nil {
		return
	}
	r.exit.OOMKilled = got.Container.State.OOMKilled
	if r.exit.OOMKilled || r.exit.Code != killedCode {
		return
	}
	r.exit.OOMKilled = r.toldOfMemory(ctx, got.Container.State.StartedAt)
	r.exit.Killed = !r.exit.OOMKilled
}

// toldOfMemory waits a moment for the event that says that the container had too little memory. The event may have been before: since is the
// container's start, by the engine's clock.
func (r *run) toldOfMemory(ctx context.Context, since string) bool {
	listening, cancel := context.WithTimeout(ctx, reasonWithin)
	defer cancel()
	told := r.cli.Events(listening, client.EventsListOptions{
		Since:   since,
		Filters: client.Filters{}.Add("type", string(events.ContainerEventType)).Add("event", string(events.ActionOOM)).Add("container", r.exit.Container),
	})
	select {
	case <-told.Messages:
		return true
	case <-told.Err: // of the context's end, too
		return false
	}
}
