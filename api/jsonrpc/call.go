package jsonrpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// Call is a call that another surface took in its own words, and makes as one of this dialect.
type Call struct {
	Method  string          // of /tasks or /system
	Params  json.RawMessage // JSON that [Handler.Body] has passed; nil: none
	LLMKeys []string        // as the header X-LLM-API-KEY has them

	// See is shown each event of a tree that the call waits for; nil: nobody looks. Its error ends the waiting, not the tree.
	See func(*coordinator.Event) error
}

// Answer is what a [Call] gave.
type Answer struct {
	Result json.RawMessage // nil: null
	Next   string          // cursor of a list's next page; empty: there is none
}

// Call makes a call on the service given, which speaks for a caller, and waits as the call says. It streams nothing: use_streaming is
// refused. The error is a fault as a client may see it.
func (h *Handler) Call(ctx context.Context, svc coordinator.Service, c Call) (answer Answer, fault *api.Fault) {
	do := h.tasks[c.Method]
	if do == nil {
		do = h.system[c.Method]
	}
	if do == nil {
		return answer, &api.Fault{Kind: api.Invalid, Text: "Unknown task method: " + c.Method}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "/tasks", http.NoBody)
	if err != nil {
		return answer, api.Classify(ctx, h.cfg.Log, c.Method, err)
	}
	headers := headersOnly{}
	x := &exchange{svc: svc, w: headers, r: r, single: true, id: null, llmKeys: c.LLMKeys, release: func() {}, whole: true, see: c.See}
	asking, cancel := context.WithTimeout(ctx, h.cfg.RequestTimeout)
	defer cancel()
	defer func() {
		if value := recover(); value != nil {
			answer, fault = Answer{}, api.Panicked(ctx, h.cfg.Log, c.Method, value, debug.Stack())
		}
	}()
	result, err := do(asking, x, c.Params)
	if errors.Is(err, errStreamed) {
		return answer, &api.Fault{Kind: api.Invalid, Text: "use_streaming is not supported here", Field: "use_streaming"}
	}
	if err != nil {
		return answer, api.Classify(asking, h.cfg.Log, c.Method, err)
	}
	return Answer{Result: result, Next: http.Header(headers).Get(headerNextCursor)}, nil
}

// Wait waits until the tree of a task has ended, or for so long at most, and answers as tasks.execute with wait does. see is that of [Call].
func (h *Handler) Wait(ctx context.Context, svc coordinator.Service, id string, most time.Duration, see func(*coordinator.Event) error) (json.RawMessage, *api.Fault) {
	leave, err := h.enter(ctx)
	if err != nil {
		return nil, api.Classify(ctx, h.cfg.Log, "wait", err)
	}
	defer leave()
	tree, err := svc.Tree(ctx, id)
	if err != nil {
		return nil, api.Classify(ctx, h.cfg.Log, "wait", named404(err, "Task "+id+" not found"))
	}
	answer := &started{Success: true, Protocol: "jsonrpc", TaskID: id, RootTaskID: tree.ID, Status: string(tree.Status),
		Message: "Task execution goes on", did: coordinator.Started}
	if tree.Unfinished == 0 && tree.Sequence == 0 {
		answer.Message = "Task tree has not been executed"
		answer.outcome = &outcome{TreeStatus: tree.Status, TreeProgress: fraction(tree.Progress)}
		return appendJSON(nil, answer), nil
	}
	h.await(ctx, svc, answer, min(most, h.cfg.MaxWait), see)
	return appendJSON(nil, answer), nil
}

// Body reads a request's body within the handler's bounds, and checks that it is JSON. release gives back its share of the memory for
// all bodies. With a status of HTTP the request is refused, with the text.
func (h *Handler) Body(w http.ResponseWriter, r *http.Request) (body []byte, release func(), status int, text string) {
	body, release, failure := h.body(w, r)
	if failure == nil {
		if err := check(body); err != nil {
			failure = &rpcError{code: codeParse, data: err.Error()}
		}
	}
	if failure == nil && kind(body) == '[' {
		n := 0
		for range elements(body) {
			if n++; n > h.cfg.MaxBatch {
				failure = &rpcError{code: codeRequest, data: fmt.Sprintf("a batch holds at most %d requests", h.cfg.MaxBatch)}
				break
			}
		}
		if failure == nil {
			failure = h.counted(r.Context(), n)
		}
	}
	if failure != nil {
		failure.tell(w.Header())
		return nil, release, failure.httpStatus(), failure.data
	}
	return body, release, 0, ""
}

// headersOnly is a response of which nothing but the headers is wanted.
type headersOnly http.Header

func (h headersOnly) Header() http.Header         { return http.Header(h) }
func (h headersOnly) Write(b []byte) (int, error) { return 0, errGone }
func (h headersOnly) WriteHeader(int)             {}
