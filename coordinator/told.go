package coordinator

import (
	"context"
	"crypto/sha256"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// told is the catalogue as workers are told it, for a few seconds.
type told struct {
	mu    sync.Mutex
	ids   []string
	body  [][]byte // by ids
	known []byte
	until time.Time
}

const (
	tellFor = 5 * time.Second
	// mostTold is how many executors workers are told of, in the order of their ids.
	mostTold      = 1000
	catalogueRoom = 256 << 10 // bytes of descriptions in an answer, of one at least
)

// runCatalogue tells workers what the executors of live workers say of themselves.
func (c *Coordinator) runCatalogue(ctx context.Context) error {
	return c.serve(ctx, queue.Catalogue, 16, func(ctx context.Context, batch []request) {
		for _, r := range batch {
			if data, err := proto.Marshal(c.tellCatalogue(ctx, r.data)); err == nil {
				r.reply(data)
			}
		}
	})
}

func (c *Coordinator) tellCatalogue(ctx context.Context, data []byte) *workerv1.CatalogueReply {
	m := &workerv1.CatalogueRequest{}
	if err := proto.Unmarshal(data, m); err != nil {
		return &workerv1.CatalogueReply{Error: "the request can't be read", Final: true}
	}
	attempt := m.GetGrant().GetAttempt()
	if !c.proves(ctx, dag.Key(attempt.GetTask()), int32(attempt.GetNumber()), m.GetGrant().GetToken()) {
		return &workerv1.CatalogueReply{Error: "wrong token", Final: true}
	}
	t := &c.catalogue.told
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Now().After(t.until) {
		if err := c.catalogue.tell(ctx, t); err != nil {
			c.log.Warn("the catalogue could not be told", "error", err)
			return &workerv1.CatalogueReply{Error: "the catalogue can't be read, try again"}
		}
	}
	return t.page(m.After, m.Known)
}

// tell reads the catalogue of executors that live workers have. The caller holds t's lock.
func (c *catalogue) tell(ctx context.Context, t *told) error {
	list, err := c.read(ctx)
	if err != nil {
		return err
	}
	ids := slices.DeleteFunc(slices.Sorted(maps.Keys(list.by)), func(id string) bool {
		return len(list.by[id].having) == 0 && list.by[id].silent == 0
	})
	ids = ids[:min(len(ids), mostTold)]
	shown, err := list.show(ctx, ids)
	if err != nil {
		return err
	}
	t.ids, t.body = ids, make([][]byte, len(ids))
	sum := sha256.New()
	for i, e := range shown {
		t.body[i], err = deterministic.Marshal(briefly(e))
		if err != nil {
			return err
		}
		one := sha256.Sum256(t.body[i])
		sum.Write(one[:])
	}
	t.known, t.until = sum.Sum(nil), time.Now().Add(tellFor)
	return nil
}

var deterministic = proto.MarshalOptions{Deterministic: true}

// briefly is what making tasks for an executor takes.
func briefly(e *Executor) *workerv1.Description {
	m := &workerv1.Description{
		Id: e.ID, Type: e.Type, Name: e.Name, Description: e.Description, Tags: e.Tags, Inputs: e.Inputs,
		Cancelable: e.Cancelable, Repeatable: e.Repeatable, TimeoutMs: e.Timeout.Milliseconds(), Secrets: e.Secrets,
	}
	if len(m.Inputs) > workerv1.MaxCatalogueInputs {
		m.Inputs = nil
	}
	if e.Connection != nil {
		m.Connection, m.ConnectionTypes, m.ConnectionFields = true, e.Connection.Types, e.Connection.Fields
	}
	return m
}

// page is what comes after an id.
func (t *told) page(after string, known []byte) *workerv1.CatalogueReply {
	reply := &workerv1.CatalogueReply{Known: t.known}
	if after == "" && slices.Equal(known, t.known) {
		reply.Unchanged = true
		return reply
	}
	at, size := 0, 0
	if after != "" {
		at, _ = slices.BinarySearch(t.ids, after+"\x00") // the first after it
	}
	for ; at < len(t.ids); at++ {
		if size += len(t.body[at]); size > catalogueRoom && len(reply.Descriptions) > 0 {
			reply.More = true
			break
		}
		reply.Descriptions = append(reply.Descriptions, t.body[at])
	}
	return reply
}
