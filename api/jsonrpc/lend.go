package jsonrpc

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// What this dialect lends to a surface that tells the same in an envelope of its own.

// EncodeEvent is the data of an event (spec 5.4).
func EncodeEvent(e *coordinator.Event) json.RawMessage { return encodeEvent(e) }

// FinalOf is the final event of a tree that has ended, made of its state.
func FinalOf(tree *coordinator.TreeStatus) *coordinator.Event { return finalOf(tree) }

// ReadBody reads a request's body of at most so many bytes, bounded together with all bodies that this handler reads. release gives back
// its share, and may be called more than once. Errors: *[http.MaxBytesError], [api.ErrOverload], or the client's connection broke.
func (h *Handler) ReadBody(w http.ResponseWriter, r *http.Request, most int64) (body []byte, release func(), err error) {
	if r.ContentLength > most {
		return nil, func() {}, &http.MaxBytesError{Limit: most}
	}
	share := int64(0)
	grow := func(to int64) bool {
		if !h.bodies.TryAcquire(to - share) {
			return false
		}
		share = to
		return true
	}
	release = func() {
		h.bodies.Release(share)
		share = 0
	}
	body, err = readAll(http.MaxBytesReader(w, r.Body, most), r.ContentLength, most, grow)
	if errors.Is(err, errNoRoom) {
		err = api.ErrOverload
	}
	return body, release, err
}
