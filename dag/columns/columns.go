// Package columns owns the form of a snapshot: the tasks of a tree as columns of bytes, which take a small part of what as many messages do. It must not
// know where tasks come from, and what becomes of them.
//
// Tasks come in parts, in the order of their places in the tree, which count from 1. In a part each column has one entry a task. Entries are numbers of
// variable length, as protobuf writes them: seven bits a byte, the lowest first, and the eighth bit set in all bytes but the last. A number that may be negative is
// folded as in sint64: 0, -1, 1, -2 are 0, 1, 2, 3. Times are milliseconds from another time to this one, folded, and raised by 1; 0: there is none.
package columns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// Task is a task of a snapshot.
type Task struct {
	Place        int    // in the tree, from 1
	ID           string // empty: ids were not asked for
	Name         string
	Parent       int // place of its parent; 0: it is the root
	Dependencies []Dependency
	State        dag.State
	Executor     string // empty: a group
	Pool         string
	Attempt      int
	ReadyAt      time.Time // of its newest attempt; zero: not known, as the next two. Whole milliseconds
	StartedAt    time.Time
	CompletedAt  time.Time
}

// Dependency is a task that another one depends on.
type Dependency struct {
	Place    int
	Required bool
}

// Part has some tasks of a tree.
type Part struct {
	Tasks        int
	Places       []byte   // how far each is behind the one before; of the first task of the tree, its place
	Names        []string // one a task
	IDs          []string // one a task, or none
	Parents      []byte   // places
	Dependencies []byte   // of each: how many; and of each of them twice how far before the task it is, folded, and 1 more if it is required
	States       []byte   // one byte each, a number of dag.State
	Executors    []string // executors that no part before has; they are numbered through all parts, from 0
	ExecutorOf   []byte   // their numbers
	Pools        []string // likewise
	PoolOf       []byte
	Attempts     []byte
	Ready        []byte // since the tree was created
	Started      []byte // since it was ready, or, where that is not known, since the tree was created
	Completed    []byte // since it was started; else ready; else since the tree was created
}

// Writer makes parts.
type Writer struct {
	created   int64
	before    int // place of the last task
	part      *Part
	size      int
	executors words
	pools     words
}

// words numbers what many tasks share.
type words map[string]uint64

func (w words) of(word string, fresh *[]string) uint64 {
	n, there := w[word]
	if !there {
		n = uint64(len(w))
		w[word] = n
		*fresh = append(*fresh, word)
	}
	return n
}

// NewWriter makes parts of a tree that was created at a time.
func NewWriter(created time.Time) *Writer {
	return &Writer{created: created.UnixMilli(), part: &Part{}, executors: words{}, pools: words{}}
}

// Add adds a task, whose place is above that of the one before.
func (w *Writer) Add(t *Task) {
	p := w.part
	p.Tasks++
	p.Places = binary.AppendUvarint(p.Places, uint64(t.Place-w.before))
	w.before = t.Place
	p.Names = append(p.Names, t.Name)
	if t.ID != "" {
		p.IDs = append(p.IDs, t.ID)
	}
	p.Parents = binary.AppendUvarint(p.Parents, uint64(t.Parent))
	p.Dependencies = binary.AppendUvarint(p.Dependencies, uint64(len(t.Dependencies)))
	for _, d := range t.Dependencies {
		n := fold(int64(t.Place-d.Place)) << 1
		if d.Required {
			n |= 1
		}
		p.Dependencies = binary.AppendUvarint(p.Dependencies, n)
	}
	p.States = append(p.States, byte(t.State))
	p.ExecutorOf = binary.AppendUvarint(p.ExecutorOf, w.executors.of(t.Executor, &p.Executors))
	p.PoolOf = binary.AppendUvarint(p.PoolOf, w.pools.of(t.Pool, &p.Pools))
	p.Attempts = binary.AppendUvarint(p.Attempts, uint64(t.Attempt))
	from := w.created
	for _, column := range []struct {
		to *[]byte
		at time.Time
	}{{&p.Ready, t.ReadyAt}, {&p.Started, t.StartedAt}, {&p.Completed, t.CompletedAt}} {
		if column.at.IsZero() {
			*column.to = append(*column.to, 0)
			continue
		}
		at := column.at.UnixMilli()
		*column.to = binary.AppendUvarint(*column.to, fold(at-from)+1)
		from = at
	}
	w.size += len(t.Name) + len(t.ID) + 2*len(t.Dependencies) + 16
}

// Size is about how many bytes the part has that is being made.
func (w *Writer) Size() int { return w.size }

// Cut is the part that was made since the last one, which may have no tasks.
func (w *Writer) Cut() *Part {
	p := w.part
	w.part, w.size = &Part{}, 0
	return p
}

func fold(n int64) uint64 { return uint64(n)<<1 ^ uint64(n>>63) }

func unfold(n uint64) int64 { return int64(n>>1) ^ -int64(n&1) }

// Reader reads the parts of one tree, in their order.
type Reader struct {
	created   int64
	before    int
	executors []string
	pools     []string
}

// NewReader reads the parts of a tree that was created at a time.
func NewReader(created time.Time) *Reader { return &Reader{created: created.UnixMilli()} }

// errPart says that a part is not as it should be.
var errPart = errors.New("a part of a snapshot can't be read")

// column is what is left of one.
type column struct {
	left []byte
	bad  bool
}

func (c *column) next() uint64 {
	v, n := binary.Uvarint(c.left)
	if n <= 0 {
		c.bad, c.left = true, nil
		return 0
	}
	c.left = c.left[n:]
	return v
}

// Read gives the tasks of a part.
func (r *Reader) Read(p *Part) ([]Task, error) {
	if p.Tasks < 0 || len(p.Names) != p.Tasks || len(p.States) != p.Tasks || len(p.IDs) != 0 && len(p.IDs) != p.Tasks {
		return nil, fmt.Errorf("%w: of %d tasks it has %d names, %d states and %d ids", errPart, p.Tasks, len(p.Names), len(p.States), len(p.IDs))
	}
	r.executors, r.pools = append(r.executors, p.Executors...), append(r.pools, p.Pools...)
	places, parents, dependencies := &column{left: p.Places}, &column{left: p.Parents}, &column{left: p.Dependencies}
	executors, pools, attempts := &column{left: p.ExecutorOf}, &column{left: p.PoolOf}, &column{left: p.Attempts}
	ready, started, completed := &column{left: p.Ready}, &column{left: p.Started}, &column{left: p.Completed}
	out := make([]Task, p.Tasks)
	for i := range out {
		t := &out[i]
		r.before += int(places.next())
		t.Place, t.Name, t.State = r.before, p.Names[i], dag.State(p.States[i])
		if len(p.IDs) > 0 {
			t.ID = p.IDs[i]
		}
		t.Parent, t.Attempt = int(parents.next()), int(attempts.next())
		for n := dependencies.next(); n > 0 && !dependencies.bad; n-- {
			d := dependencies.next()
			t.Dependencies = append(t.Dependencies, Dependency{Place: t.Place - int(unfold(d>>1)), Required: d&1 == 1})
		}
		t.Executor, t.Pool = wordAt(r.executors, executors), wordAt(r.pools, pools)
		from := r.created
		t.ReadyAt = timeAt(ready, &from)
		t.StartedAt = timeAt(started, &from)
		t.CompletedAt = timeAt(completed, &from)
	}
	if slices.ContainsFunc([]*column{places, parents, dependencies, executors, pools, attempts, ready, started, completed}, func(c *column) bool { return c.bad || len(c.left) > 0 }) {
		return nil, fmt.Errorf("%w: a column has not an entry for each of %d tasks", errPart, p.Tasks)
	}
	return out, nil
}

func wordAt(words []string, c *column) string {
	n := c.next()
	if n >= uint64(len(words)) {
		c.bad = true
		return ""
	}
	return words[n]
}

func timeAt(c *column, from *int64) time.Time {
	n := c.next()
	if n == 0 {
		return time.Time{}
	}
	*from += unfold(n - 1)
	return time.UnixMilli(*from)
}
