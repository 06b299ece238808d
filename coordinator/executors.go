package coordinator

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

// Executor is an executor as the catalogue shows it: what it says of itself, and who has it.
type Executor struct {
	ID, Type, Name, Description string
	Tags                        []string
	Inputs, Output              json.RawMessage // JSON Schemas; nil: anything, or nobody has said
	Cancelable, Repeatable      bool
	Timeout                     time.Duration // of an attempt whose task has none; 0: none
	Secrets                     bool          // inputs may be {"secret": "name"}
	Connection                  *ConnectionUse
	Examples                    []ExecutorExample

	BuiltIn bool
	Pools   []string // of the live workers that have it: those that are not named like another executor
	Workers int      // live ones that have it, and that it is on with
	Differs string   // how the descriptions of live workers differ; empty: they don't. Shown is the one that most have
}

// ConnectionUse says what an executor takes from a connection of its worker.
type ConnectionUse struct {
	Types  []string // that fit
	Fields []string // inputs that it sets; a task that names a connection sets none of them
}

// ExecutorExample is a use of an executor.
type ExecutorExample struct {
	Title           string
	Inputs          json.RawMessage // a JSON object
	Params, Schemas json.RawMessage // likewise; nil: none. Schemas are those beside the executor's id
}

// A page of the catalogue has as many executors, or descriptions of as many bytes.
const (
	executorsAtOnce     = 200
	executorBytesAtOnce = 2 << 20
)

// Executors shows a page of the catalogue; see [Reader].
func (c *Coordinator) Executors(ctx context.Context, cursor string) (page Page[*Executor], err error) {
	list, err := c.catalogue.read(ctx)
	if err != nil {
		return page, c.internal("list executors", err)
	}
	ids := slices.Sorted(maps.Keys(list.by))
	at, _ := slices.BinarySearch(ids, cursor+"\x00") // the first after it
	if cursor == "" {
		at = 0
	}
	last := min(len(ids), at+executorsAtOnce)
	shown, err := list.show(ctx, ids[at:last])
	if err != nil {
		return page, c.internal("list executors", err)
	}
	size := 0
	for i, e := range shown {
		if size += len(e.Inputs) + len(e.Output) + 1024; size > executorBytesAtOnce && i > 0 {
			last, shown = at+i, shown[:i]
			break
		}
	}
	page.Items = shown
	if last < len(ids) {
		page.Next = ids[last-1]
	}
	return page, nil
}

// Executor shows one executor; see [Reader].
func (c *Coordinator) Executor(ctx context.Context, id string) (*Executor, error) {
	list, err := c.catalogue.read(ctx)
	if err != nil {
		return nil, c.internal("show executor", err)
	}
	if list.by[id] == nil && list.by[id+"_executor"] != nil {
		id += "_executor"
	}
	if list.by[id] == nil {
		return nil, ErrNotFound
	}
	shown, err := list.show(ctx, []string{id})
	if err != nil {
		return nil, c.internal("show executor", err)
	}
	return shown[0], nil
}

// listing is the catalogue as it stands, without what executors say of themselves.
type listing struct {
	store *pg.Store
	by    map[string]*listed
	own   map[string][]string // executors by the pool that is called like them
}

// listed is an executor in the catalogue.
type listed struct {
	builtIn *Executor
	latest  []byte         // hash of the description that a worker last had; nil: none
	having  map[string]int // by hash: live workers
	silent  int            // live workers of an older version, which have its pool
	pools   map[string]bool
}

func (c *catalogue) read(ctx context.Context) (*listing, error) {
	stored, err := c.store.Descriptions(ctx)
	if err != nil {
		return nil, err
	}
	workers, err := c.store.DescribingWorkers(ctx)
	if err != nil {
		return nil, err
	}
	l := &listing{store: c.store, by: map[string]*listed{}, own: map[string][]string{}}
	for i := range c.builtIn {
		l.at(c.builtIn[i].ID).builtIn = &c.builtIn[i]
	}
	executor := map[string]string{} // by hash
	for _, d := range stored {
		executor[string(d.Hash)] = d.Executor
		if one := l.at(d.Executor); one.latest == nil {
			one.latest = d.Hash
		}
	}
	for _, w := range workers {
		l.count(w, executor)
	}
	return l, nil
}

func (l *listing) at(id string) *listed {
	if l.by[id] == nil {
		l.by[id] = &listed{having: map[string]int{}, pools: map[string]bool{}}
		l.own[dag.PoolOf(id)] = append(l.own[dag.PoolOf(id)], id)
	}
	return l.by[id]
}

// count adds a live worker.
func (l *listing) count(w pg.DescribingWorker, executor map[string]string) {
	if len(w.Described) == 0 {
		for pool := range w.Pools {
			for _, id := range l.own[pool] {
				one := l.by[id]
				one.silent++
				one.pools[pool] = true
			}
		}
	}
	for _, hash := range w.Described {
		id, stored := executor[string(hash)]
		if !stored {
			continue // until the worker has sent it
		}
		one := l.by[id]
		one.having[string(hash)]++
		for pool := range w.Pools {
			if pool == dag.PoolOf(id) || l.own[pool] == nil {
				one.pools[pool] = true
			}
		}
	}
}

// show reads what executors say of themselves.
func (l *listing) show(ctx context.Context, ids []string) ([]*Executor, error) {
	var hashes [][]byte
	for _, id := range ids {
		one := l.by[id]
		for hash := range one.having {
			hashes = append(hashes, []byte(hash))
		}
		if len(one.having) == 0 && one.builtIn == nil {
			hashes = append(hashes, one.latest)
		}
	}
	bodies, err := l.store.DescriptionBodies(ctx, hashes)
	if err != nil {
		return nil, err
	}
	out := make([]*Executor, len(ids))
	for i, id := range ids {
		out[i] = l.by[id].show(id, bodies)
	}
	return out, nil
}

// show is the description that most live workers have; else the coordinator's own, else the latest.
func (x *listed) show(id string, bodies map[string][]byte) *Executor {
	variants := slices.SortedFunc(maps.Keys(x.having), func(a, b string) int {
		return cmp.Or(cmp.Compare(x.having[b], x.having[a]), strings.Compare(a, b))
	})
	e := Executor{ID: id}
	switch {
	case len(variants) > 0:
		e, _ = executorOf(bodies[variants[0]])
	case x.builtIn != nil:
		e = *x.builtIn
	default:
		e, _ = executorOf(bodies[string(x.latest)])
	}
	e.ID, e.BuiltIn, e.Workers, e.Pools = id, x.builtIn != nil, x.silent, slices.Sorted(maps.Keys(x.pools))
	for _, n := range x.having {
		e.Workers += n
	}
	e.Differs = x.differs(e, variants, bodies)
	return &e
}

// differs says how many live workers describe their inputs or output in another way than is shown.
func (x *listed) differs(shown Executor, variants []string, bodies map[string][]byte) string {
	inputs, output, other := 0, 0, 0
	for _, hash := range variants {
		e, ok := executorOf(bodies[hash])
		if !ok {
			continue
		}
		switch n := x.having[hash]; {
		case !bytes.Equal(e.Inputs, shown.Inputs):
			inputs += n
		case !bytes.Equal(e.Output, shown.Output):
			output += n
		case e.Cancelable != shown.Cancelable || e.Repeatable != shown.Repeatable || e.Type != shown.Type:
			other += n
		}
	}
	var texts []string
	for _, part := range []struct {
		n    int
		what string
	}{{inputs, "other inputs"}, {output, "another output"}, {other, "other properties"}} {
		if part.n > 0 {
			texts = append(texts, fmt.Sprintf("%d of %d live workers describe %s", part.n, shown.Workers, part.what))
		}
	}
	return strings.Join(texts, "; ")
}
