package mcp

import (
	"context"
	"fmt"
	"sync"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// Progress is told at most so often, apart from the end, which is always told.
const progressPause = 100 * time.Millisecond

// progress tells a client how far a call has come. What it tells always grows, as the protocol wants, also where nothing but a step was taken.
type progress struct {
	asked   context.Context // ends with the request
	route   context.Context // by which the SDK finds the request's stream
	session *sdk.ServerSession
	token   any
	alive   sync.WaitGroup
	stop    context.CancelFunc

	mu    sync.Mutex
	value float64 // 0 to 1
	told  time.Time
	last  string // the latest message
}

// almost is the most that is told before the end.
const almost = 0.99

// newProgress begins to tell; end must be called.
func newProgress(asked, route context.Context, session *sdk.ServerSession, token any) *progress {
	p := &progress{asked: asked, route: route, session: session, token: token, last: "working"}
	ctx, stop := context.WithCancel(asked)
	p.stop = stop
	p.alive.Go(func() { p.keepAlive(ctx) })
	return p
}

// end returns when nothing is told any more.
func (p *progress) end() {
	p.stop()
	p.alive.Wait()
}

// keepAlive says now and then that the call goes on: clients give up on those that are silent.
func (p *progress) keepAlive(ctx context.Context) {
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.mu.Lock()
			if time.Since(p.told) >= keepAlive/2 {
				p.tell(0, p.last)
			}
			p.mu.Unlock()
		}
	}
}

// see tells of an event of the tree that is waited for.
func (p *progress) see(e *coordinator.Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = said(e)
	if e.Type == coordinator.EventFinal {
		p.tell(1, p.last)
	} else if time.Since(p.told) >= progressPause {
		p.tell(min(e.TreeProgress, almost), p.last)
	}
	return nil
}

// tell sends a notification. Whether it arrives makes no difference to the call. The caller holds mu.
func (p *progress) tell(value float64, message string) {
	p.value = max(value, p.value+(1-p.value)/1000) // of the way that is left, so that it never gets there
	p.told = time.Now()
	_ = p.session.NotifyProgress(p.route, &sdk.ProgressNotificationParams{ProgressToken: p.token, Progress: p.value, Total: 1, Message: message})
}

// said is an event in words.
func said(e *coordinator.Event) string {
	name := e.Name
	if name == "" {
		name = e.TaskID
	}
	switch e.Type {
	case coordinator.EventExecution:
		return "the tree has started"
	case coordinator.EventStart:
		return fmt.Sprintf("%s has started", name)
	case coordinator.EventCompleted:
		return fmt.Sprintf("%s has completed", name)
	case coordinator.EventSkipped:
		return fmt.Sprintf("%s was skipped: %s", name, prefix(dag.SkipReason(e.Result), 500))
	case coordinator.EventExpanded:
		return fmt.Sprintf("%s has found tasks, and waits for them", name)
	case coordinator.EventAwaiting:
		return fmt.Sprintf("%s waits for something from outside", name)
	case coordinator.EventRepeat:
		return fmt.Sprintf("%s has run, and runs once more", name)
	case coordinator.EventSignal:
		return fmt.Sprintf("%s dropped a signal that is not what it asks for, and waits on", name)
	case coordinator.EventLate:
		return "the tree is late, and goes on"
	case coordinator.EventFailed:
		return fmt.Sprintf("%s has failed: %s", name, prefix(e.Error, 500))
	case coordinator.EventCancelled:
		return fmt.Sprintf("%s was cancelled", name)
	case coordinator.EventRetry:
		return fmt.Sprintf("%s will be tried again: %s", name, prefix(e.Error, 500))
	case coordinator.EventFinal:
		return "the tree has ended: " + string(e.Status)
	}
	if e.Message != "" {
		return name + ": " + prefix(e.Message, 500)
	}
	return name + " goes on"
}
