package pg

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"strconv"

	"github.com/taskgrove/taskgrove/dag"
)

// digests tell whether two submissions are of the same tree.
type digests struct {
	// digest is that of the bytes. Submissions that version 0.2 stored have no other, and its coordinators compare no other.
	digest []byte
	// canonical is that of the values: it does not depend on how a document is spelt. nil: unknown.
	canonical []byte
}

// same reports whether a stored submission and another one are of the same tree.
func (had digests) same(again digests) bool {
	if had.canonical == nil {
		return bytes.Equal(had.digest, again.digest)
	}
	return bytes.Equal(had.canonical, again.canonical)
}

// digester takes the tasks of a submission one by one. It keeps as much memory as twice the largest of them.
type digester struct {
	digest, canonical hash.Hash
	scratch           []byte
}

func newDigester() *digester { return &digester{digest: sha256.New(), canonical: sha256.New()} }

func (d *digester) sums() digests { return digests{d.digest.Sum(nil), d.canonical.Sum(nil)} }

// add takes everything that makes two tasks the same.
func (d *digester) add(t *dag.Task) {
	d.addBytes(t)
	d.addValues(t)
}

// addBytes is as version 0.2 has it, which must not change.
func (d *digester) addBytes(t *dag.Task) {
	b := d.scratch[:0]
	put := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	for _, s := range []string{t.ID, t.Name, t.ParentRef, t.UserID, t.Executor, t.Pool} {
		put(s)
	}
	for _, raw := range [][]byte{t.Inputs, t.Params, t.Schemas, t.Custom} {
		put(string(raw))
	}
	for _, dep := range t.Dependencies {
		put(fmt.Sprintf("%q %t %q", dep.Ref, dep.Optional, dep.Type))
	}
	if len(t.Faults) > 0 { // what could not be read is not the same as what is not there
		put("faulty")
	}
	put(fmt.Sprint(t.Priority, t.Retry, t.OnLost, t.Repeatable, t.Timeout, t.ScheduleToStart, t.TreeTimeout, t.NotBefore.UnixNano()))
	d.digest.Write(b)
	d.scratch = b
}

// addValues takes what the document says. The executor follows from it, and from what workers announce, which may be more the
// next time; only a task of a Go caller has nothing else that names it.
func (d *digester) addValues(t *dag.Task) {
	b := d.scratch[:0]
	put := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	for _, s := range []string{t.ID, t.Name, t.ParentRef, t.UserID, t.Pool} {
		put(s)
	}
	executor := ""
	if t.Params == nil && t.Schemas == nil && t.Executor != t.Name {
		executor = t.Executor
	}
	put(executor)
	for _, raw := range [][]byte{t.Inputs, t.Params, t.Schemas, t.Custom} {
		if raw == nil {
			raw = []byte("{}") // no object is an empty one
		}
		b = dag.AppendCanonical(b, raw)
	}
	b = binary.AppendUvarint(b, uint64(len(t.Dependencies)))
	for _, dep := range t.Dependencies {
		put(dep.Ref)
		put(cmp.Or(dep.Type, "result"))
		b = strconv.AppendBool(b, dep.Optional)
	}
	if len(t.Faults) > 0 { // what could not be read is not the same as what is not there
		put("faulty")
	}
	put(fmt.Sprint(t.Priority, t.Retry, t.OnLost, t.Repeatable, t.Timeout, t.ScheduleToStart, t.TreeTimeout, t.NotBefore.UnixNano()))
	d.canonical.Write(b)
	d.scratch = b
}
