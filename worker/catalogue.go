package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/executors"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// catalogue is what the executors of the whole cluster say of themselves, as a coordinator told it last. Safe for concurrent use.
type catalogue struct {
	asking chan struct{} // holds a token while somebody asks
	list   []executors.Description
	known  []byte
	until  time.Time // that nobody is asked again
}

// Bounds of what coordinators are asked for the catalogue.
const (
	catalogueWithin = 3 * time.Second // for one answer
	catalogueFor    = 5 * time.Second // that an answer holds
	catalogueSilent = time.Minute     // that a coordinator which knows no such request is not asked again
	cataloguePages  = 1000
	catalogueMost   = 16 << 20 // bytes
)

// of gives the catalogue, asked for on behalf of an attempt. Where no coordinator tells it, it is what this worker can run. The caller must
// not change it.
func (c *catalogue) of(ctx context.Context, w *Worker, a *attempt) ([]executors.Description, error) {
	select {
	case c.asking <- struct{}{}:
		defer func() { <-c.asking }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if time.Now().Before(c.until) {
		return c.list, nil
	}
	list, known, err := w.askCatalogue(ctx, a, c.known)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, errUnchanged):
		c.until = time.Now().Add(catalogueFor)
	case err != nil:
		w.quiet.warn("catalogue", "no coordinator tells the cluster's executors, so those of this worker are taken for all", "error", err)
		c.list, c.known, c.until = w.own(), nil, time.Now().Add(silentFor(err))
	default:
		c.list, c.known, c.until = list, known, time.Now().Add(catalogueFor)
	}
	return c.list, nil
}

// silentFor is how long nobody is asked again after a failure.
func silentFor(err error) time.Duration {
	if errors.Is(err, queue.ErrNoCoordinator) || errors.Is(err, context.DeadlineExceeded) {
		return catalogueSilent
	}
	return catalogueFor
}

// own are the executors of this worker that are on.
func (w *Worker) own() (all []executors.Description) {
	for _, hash := range w.described.hashes {
		if d, ok := described(w.described.bodies[string(hash)]); ok {
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(a, b executors.Description) int { return strings.Compare(a.ID, b.ID) })
	return all
}

var errUnchanged = errors.New("the catalogue is as it was")

// askCatalogue asks for all pages.
func (w *Worker) askCatalogue(ctx context.Context, a *attempt, known []byte) (list []executors.Description, as []byte, err error) {
	request := &workerv1.CatalogueRequest{Version: workerv1.Version, Grant: a.grant(), Known: known}
	size := 0
	for range cataloguePages {
		reply := &workerv1.CatalogueReply{}
		if err := w.requestWithin(ctx, catalogueWithin, queue.Catalogue, request, reply); err != nil {
			return nil, nil, err
		}
		switch {
		case reply.Error != "":
			return nil, nil, errors.New(reply.Error)
		case len(reply.Known) == 0:
			return nil, nil, errors.New("the coordinator is busy")
		case len(list) > 0 && !slices.Equal(as, reply.Known):
			return nil, nil, errors.New("the catalogue changed in between")
		case reply.Unchanged:
			return nil, nil, errUnchanged
		}
		for _, body := range reply.Descriptions {
			d, ok := described(body)
			if size += len(body); !ok || size > catalogueMost {
				return nil, nil, fmt.Errorf("the catalogue can't be read after %q", request.After)
			}
			list, request.After = append(list, d), d.ID
		}
		if as = reply.Known; !reply.More || len(reply.Descriptions) == 0 {
			return list, as, nil
		}
		request.Known = nil
	}
	return nil, nil, errors.New("the catalogue has no end")
}

// described reads a description.
func described(body []byte) (executors.Description, bool) {
	m := &workerv1.Description{}
	if proto.Unmarshal(body, m) != nil || m.Id == "" {
		return executors.Description{}, false
	}
	d := executors.Description{
		ID: m.Id, Type: m.Type, Name: m.Name, Description: m.Description, Tags: m.Tags, Inputs: m.Inputs,
		Cancelable: m.Cancelable, Repeatable: m.Repeatable, Timeout: time.Duration(m.TimeoutMs) * time.Millisecond, Secrets: m.Secrets,
	}
	if m.Connection {
		d.Connection = &executors.Connection{Types: m.ConnectionTypes, Fields: m.ConnectionFields}
	}
	return d, true
}
