package mcp

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"sync"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// inHand are the requests of sessions that are worked on. The SDK ends a session only when its calls have ended, so those that wait for a tree are ended
// first.
type inHand struct {
	mu       sync.Mutex
	requests map[holder]map[*http.Request]context.CancelCauseFunc // guarded by mu
}

// holder is a session together with whose it is: nobody ends the calls of another's.
type holder struct{ session, user string }

func holderOf(r *http.Request) holder {
	return holder{r.Header.Get(headerSession), callerID(api.CallerOf(r.Context(), coordinator.SurfaceMCP, r.RemoteAddr))}
}

// callerID names a caller to the SDK, in the namespace where it asks: a session stays in the one where it began.
func callerID(who coordinator.Caller) string {
	return strings.Join([]string{who.Name, who.User, who.KeyID, cmp.Or(who.Namespace, coordinator.DefaultNamespace)}, "\x00")
}

// take notes a request of a session, and gives it a context that [inHand.end] ends; done must be called.
func (h *inHand) take(r *http.Request) (_ *http.Request, done func()) {
	of := holderOf(r)
	if of.session == "" {
		return r, func() {}
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	r = r.WithContext(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.requests == nil {
		h.requests = map[holder]map[*http.Request]context.CancelCauseFunc{}
	}
	if h.requests[of] == nil {
		h.requests[of] = map[*http.Request]context.CancelCauseFunc{}
	}
	h.requests[of][r] = cancel
	return r, func() {
		cancel(nil)
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.requests[of], r)
		if len(h.requests[of]) == 0 {
			delete(h.requests, of)
		}
	}
}

// end ends the calls of a session.
func (h *inHand) end(of holder) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, cancel := range h.requests[of] {
		cancel(context.Canceled)
	}
}

// endAll ends the calls of all sessions.
func (h *inHand) endAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, of := range h.requests {
		for _, cancel := range of {
			cancel(api.ErrShutdown)
		}
	}
}
