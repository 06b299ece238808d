package worker

import (
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/executors"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// descriptions are what a worker's executors say of themselves, as they are sent. Beats have their hashes, and coordinators ask for
// those that the cluster has not.
type descriptions struct {
	hashes [][]byte          // of the executors that are on, sorted
	bodies map[string][]byte // by hash

	mu     sync.Mutex
	wanted [][]byte             // that the last answers asked for
	sent   map[string]time.Time // when each was sent last
}

// describeAgain is after how long a description is sent again that a coordinator still asks for: it may have no room.
const describeAgain = time.Minute

func newDescriptions(k kinds, off []*workerv1.Fault) *descriptions {
	d := &descriptions{bodies: map[string][]byte{}, sent: map[string]time.Time{}}
	for _, one := range k {
		if slices.ContainsFunc(off, func(f *workerv1.Fault) bool { return f.Executor == one.description.ID }) {
			continue
		}
		body := describe(one.description)
		hash := sha256.Sum256(body)
		d.hashes = append(d.hashes, hash[:])
		d.bodies[string(hash[:])] = body
	}
	slices.SortFunc(d.hashes, slices.Compare)
	return d
}

// describe is a description in at most [workerv1.MaxDescriptionBytes]: what is large is left out, examples first, the schema of the
// inputs last.
func describe(d executors.Description) []byte {
	m := &workerv1.Description{
		Id: d.ID, Type: clean(d.Type, 256), Name: clean(d.Name, 1024), Description: clean(d.Description, 4096),
		Inputs: d.Inputs, Output: d.Output, Cancelable: d.Cancelable, Repeatable: d.Repeatable, TimeoutMs: d.Timeout.Milliseconds(),
		Secrets: d.Secrets, Connection: d.Connection != nil,
	}
	for _, tag := range d.Tags {
		m.Tags = append(m.Tags, clean(tag, 256))
	}
	if c := d.Connection; c != nil {
		m.ConnectionTypes, m.ConnectionFields = c.Types, c.Fields
	}
	for _, e := range d.Examples {
		m.Examples = append(m.Examples, &workerv1.Description_Example{Title: clean(e.Title, 1024), Inputs: e.Inputs, Params: e.Params, Schemas: e.Schemas})
	}
	for _, leaveOut := range []func(){
		func() {}, func() { m.Examples = nil }, func() { m.Output = nil }, func() { m.Inputs = nil },
		func() { m = &workerv1.Description{Id: d.ID, Type: m.Type, Name: m.Name, Description: m.Description} },
	} {
		leaveOut()
		body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err == nil && len(body) <= workerv1.MaxDescriptionBytes {
			return body
		}
	}
	body, _ := proto.Marshal(&workerv1.Description{Id: d.ID}) // its texts can't be written
	return body
}

// asked takes what an answer to a beat asks for. It reports whether any of it can be sent at once.
func (d *descriptions) asked(hashes [][]byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted = hashes
	return slices.ContainsFunc(hashes, d.due)
}

// due reports whether a description is the worker's, and was not sent just before.
func (d *descriptions) due(hash []byte) bool {
	return d.bodies[string(hash)] != nil && time.Since(d.sent[string(hash)]) > describeAgain
}

// take gives as many of the descriptions that were asked for as fit into a beat.
func (d *descriptions) take() (bodies [][]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	size := 0
	for _, hash := range d.wanted {
		if !d.due(hash) {
			continue
		}
		body := d.bodies[string(hash)]
		if size += len(body); size > workerv1.MaxDescriptionsBytes {
			break
		}
		d.sent[string(hash)] = time.Now()
		bodies = append(bodies, body)
	}
	return bodies
}
