package worker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/modelkey"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// Bounds of the asking for a key. Coordinators that do not have it are silent, and the one that has it may not know yet that the attempt runs here.
const (
	keyWithin = 8 * time.Second        // altogether
	keyAnswer = 500 * time.Millisecond // for the first answer; each further one is given twice as long, as coordinators may be busy
	keyPause  = 100 * time.Millisecond
)

// heldKey is the key of a model that came with the request which started an attempt, from when its executor asks for it to the attempt's end.
type heldKey struct {
	mu    sync.Mutex
	asked bool // and answered: with the key, or with why there is none
	keys  []modelkey.Key
	why   error
}

// forget lets go of the key when the attempt has ended.
func (h *heldKey) forget() {
	if h.mu.TryLock() { // else it is being asked for, in vain
		h.keys, h.asked, h.why = nil, true, errKeyGone
		h.mu.Unlock()
	}
}

var (
	errKeyGone    = executors.Permanent(errors.New("it came with the request that started the task, and no coordinator has it any more (they keep it in memory only): execute the task again, with the key"))
	errKeyRefused = executors.Permanent(errors.New("it came with the request that started the task, and NATS's permissions don't let this worker ask for it: give the server those of taskgrove nats-config"))
	errKeyNoReply = errors.New("it came with the request that started the task, and no coordinator can be reached")
)

// modelKey is [executors.Call.ModelKey] of an attempt whose work is keyed.
func (w *Worker) modelKey(ctx context.Context, a *attempt, provider string) (string, error) {
	h := &a.held
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.asked {
		keys, err := w.askKeys(ctx, a)
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if err != nil && !executors.IsPermanent(err) {
			return "", err
		}
		h.asked, h.keys, h.why = true, keys, err
		for _, key := range keys {
			a.out.hide(key.Secrets()...)
		}
	}
	if h.why != nil {
		return "", h.why
	}
	for _, key := range h.keys {
		if secret := key.For(provider); secret != "" {
			return secret, nil
		}
	}
	return "", nil
}

// askKeys asks all coordinators, until one answers or the time is up.
func (w *Worker) askKeys(ctx context.Context, a *attempt) ([]modelkey.Key, error) {
	opener, err := modelkey.NewOpener()
	if err != nil {
		return nil, err
	}
	request := &workerv1.ModelKeyRequest{Version: workerv1.Version, Grant: a.grant(), PublicKey: opener.Public()}
	heard := false // somebody listened, and nobody answered
	within := keyAnswer
	for until := time.Now().Add(keyWithin); time.Now().Before(until) && ctx.Err() == nil; pause(ctx, keyPause) {
		reply := &workerv1.ModelKeyReply{}
		err := w.requestWithin(ctx, min(within, time.Until(until)), queue.ModelKey, request, reply)
		within *= 2
		switch {
		case err == nil:
			if keys := opened(opener, reply); len(keys) > 0 {
				return keys, nil
			}
		case errors.Is(err, context.DeadlineExceeded) && w.conn.Connected():
			heard = true
		}
	}
	switch {
	case !heard:
		return nil, errKeyNoReply
	case slices.ContainsFunc(w.conn.Refused(), func(what string) bool { return strings.Contains(what, string(queue.ModelKey)) }):
		return nil, errKeyRefused
	}
	return nil, errKeyGone
}

// mostKeys is how many keys an answer may have.
const mostKeys = 64

// opened are the keys of an answer, in their order.
func opened(opener *modelkey.Opener, reply *workerv1.ModelKeyReply) (keys []modelkey.Key) {
	for _, sealed := range append([][]byte{reply.Sealed}, reply.More[:min(len(reply.More), mostKeys)]...) {
		if key, err := opener.Open(sealed); err == nil && key.Given() {
			keys = append(keys, key)
		}
	}
	return keys
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
