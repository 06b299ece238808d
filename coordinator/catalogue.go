package coordinator

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/pg"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// catalogue learns from beats what the workers' executors say of themselves. Nothing depends on it but what is shown: it may lag.
// Safe for concurrent use.
type catalogue struct {
	store     *pg.Store
	newcomers *newcomers
	builtIn   []Executor
	log       *slog.Logger

	told told

	mu   sync.Mutex
	seen map[string]time.Time // hashes of stored descriptions: when it was last recorded that a worker has them
}

// mostSeen bounds the hashes that are remembered; when there are more, all are looked up anew.
const mostSeen = 100_000

func newCatalogue(store *pg.Store, n *newcomers, log *slog.Logger) *catalogue {
	return &catalogue{store: store, newcomers: n, log: log, seen: map[string]time.Time{}}
}

// learn records the descriptions that a beat brings, and says which of those that it names are wanted. What fails is tried again with
// a later beat.
func (c *catalogue) learn(ctx context.Context, worker string, m *workerv1.Beat) (wanted [][]byte) {
	unknown := c.unseen(m.Described)
	if len(unknown) == 0 {
		return nil
	}
	stored, err := c.store.SeeDescriptions(ctx, unknown)
	if err != nil {
		c.log.Warn("descriptions of executors can't be read", "worker_id", worker, "error", err)
		return nil
	}
	c.saw(stored)
	unknown = without(unknown, stored)
	var news []pg.Description
	for _, body := range m.Descriptions {
		d, ok := readDescription(body, m.Executors)
		if !ok || !slices.ContainsFunc(unknown, func(h []byte) bool { return slices.Equal(h, d.Hash) }) ||
			c.newcomers.describes(worker, d.Hash, len(body)) {
			continue
		}
		news = append(news, d)
	}
	if len(news) > 0 {
		if stored, err = c.store.AddDescriptions(ctx, news); err != nil {
			c.log.Warn("descriptions of executors can't be stored", "worker_id", worker, "error", err)
		}
		c.saw(stored)
		unknown = without(unknown, stored)
	}
	return unknown[:min(len(unknown), workerv1.MaxDescribe)]
}

// unseen are the hashes that are not known to be stored, or of which that must be recorded again.
func (c *catalogue) unseen(hashes [][]byte) (unseen [][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range hashes {
		if time.Since(c.seen[string(h)]) > recordExecutors {
			unseen = append(unseen, h)
		}
	}
	return unseen
}

func (c *catalogue) saw(hashes [][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.seen) > mostSeen {
		clear(c.seen)
	}
	for _, h := range hashes {
		c.seen[string(h)] = time.Now()
	}
}

func without(hashes, others [][]byte) [][]byte {
	return slices.DeleteFunc(hashes, func(h []byte) bool {
		return slices.ContainsFunc(others, func(o []byte) bool { return slices.Equal(h, o) })
	})
}

// readDescription checks what a worker sent. It is not ok if it is too large, can't be read, or is of an executor that the worker has not.
func readDescription(body []byte, ids []string) (d pg.Description, ok bool) {
	e, ok := executorOf(body)
	if !ok || !slices.Contains(ids, e.ID) {
		return pg.Description{}, false
	}
	hash := sha256.Sum256(body)
	return pg.Description{Hash: hash[:], Executor: e.ID, Body: body}, true
}

// executorOf reads a description.
func executorOf(body []byte) (e Executor, ok bool) {
	m := &workerv1.Description{}
	if len(body) > workerv1.MaxDescriptionBytes || proto.Unmarshal(body, m) != nil {
		return e, false
	}
	for _, text := range append([][]byte{m.Inputs, m.Output}, partsOf(m.Examples)...) {
		if len(text) > 0 && !json.Valid(text) {
			return e, false
		}
	}
	e = Executor{
		ID: m.Id, Type: m.Type, Name: m.Name, Description: m.Description, Tags: m.Tags, Inputs: orNil(m.Inputs), Output: orNil(m.Output),
		Cancelable: m.Cancelable, Repeatable: m.Repeatable, Secrets: m.Secrets, Timeout: time.Duration(m.TimeoutMs) * time.Millisecond,
	}
	if m.Connection {
		e.Connection = &ConnectionUse{Types: m.ConnectionTypes, Fields: m.ConnectionFields}
	}
	for _, x := range m.Examples {
		e.Examples = append(e.Examples, ExecutorExample{Title: x.Title, Inputs: orNil(x.Inputs), Params: orNil(x.Params), Schemas: orNil(x.Schemas)})
	}
	return e, true
}

// orNil makes no text of an empty one, which is no JSON.
func orNil(text []byte) json.RawMessage {
	if len(text) == 0 {
		return nil
	}
	return text
}

func partsOf(examples []*workerv1.Description_Example) (all [][]byte) {
	for _, e := range examples {
		all = append(all, e.Inputs, e.Params, e.Schemas)
	}
	return all
}
