package pg

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/sealed"
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

// keyedDigest begins a stored digest that is keyed: the number of the data key and an HMAC follow. Others have 32 bytes.
const keyedDigest = 2

// digests are what is stored of digests: keyed, where values are sealed, as who reads them could try values that are likely.
func (z *sealer) digests(d digests) digests {
	if z == nil {
		return d
	}
	return digests{keyedSum(z.digestOf, z.digestKey, d.digest), keyedSum(z.digestOf, z.digestKey, d.canonical)}
}

func keyedSum(number int32, key, digest []byte) []byte {
	if digest == nil {
		return nil
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(digest)
	return mac.Sum(binary.BigEndian.AppendUint32([]byte{keyedDigest}, uint32(number)))
}

// same reports whether a stored submission and another one are of the same tree.
func (x *seals) same(ctx context.Context, had, again digests) (bool, error) {
	stored := had.canonical
	if stored == nil {
		stored = had.digest
	}
	if len(stored) != 5+sha256.Size || stored[0] != keyedDigest {
		return had.same(again), nil
	}
	if !x.can() {
		return false, fmt.Errorf("the digest of a submission is sealed, and this process has no key: %w", sealed.ErrNoKey)
	}
	number := int32(binary.BigEndian.Uint32(stored[1:]))
	key, err := x.ring.DerivedAt(ctx, number, sealed.LabelDigests)
	if err != nil {
		return false, err
	}
	return had.same(digests{keyedSum(number, key, again.digest), keyedSum(number, key, again.canonical)}), nil
}

// digester takes the tasks of a submission one by one. It keeps as much memory as twice the largest of them.
type digester struct {
	digest, canonical hash.Hash
	scratch           []byte

	last   taskPolicies // of the last task
	policy []byte       // their text
}

// taskPolicies are what tasks of one tree mostly have alike.
type taskPolicies struct {
	priority                              dag.Priority
	retry                                 retryDigest
	onLost                                dag.OnLost
	repeatable                            bool
	timeout, scheduleToStart, treeTimeout time.Duration
	notBefore                             int64 // nanoseconds
}

// retryDigest is what a retry policy says within the protocol; what it says beyond is digested with the rest of that.
type retryDigest struct {
	MaxAttempts            int // exported, as the text of what is not is another one
	Backoff                dag.Backoff
	InitialDelay, MaxDelay time.Duration
}

func newDigester() *digester { return &digester{digest: sha256.New(), canonical: sha256.New()} }

func (d *digester) sums() digests { return digests{d.digest.Sum(nil), d.canonical.Sum(nil)} }

// add takes everything that makes two tasks the same.
func (d *digester) add(t *dag.Task) {
	p := taskPolicies{t.Priority, retryDigest{t.Retry.MaxAttempts, t.Retry.Backoff, t.Retry.InitialDelay, t.Retry.MaxDelay}, t.OnLost, t.Repeatable, t.Timeout, t.ScheduleToStart, t.TreeTimeout, t.NotBefore.UnixNano()}
	if p != d.last || d.policy == nil {
		d.last, d.policy = p, fmt.Append(nil, p.priority, p.retry, p.onLost, p.repeatable, p.timeout, p.scheduleToStart, p.treeTimeout, p.notBefore)
	}
	d.addBytes(t)
	d.addValues(t)
}

// addBytes is as version 0.2 has it, which must not change.
func (d *digester) addBytes(t *dag.Task) {
	b := d.scratch[:0]
	for _, s := range [...]string{t.ID, t.Name, t.ParentRef, t.UserID, t.Executor, t.Pool} {
		b = appendSized(b, s)
	}
	for _, raw := range [...]json.RawMessage{t.Inputs, t.Params, t.Schemas, t.Custom} {
		b = appendSized(b, raw)
	}
	for _, dep := range t.Dependencies {
		q := strconv.AppendBool(append(strconv.AppendQuote(nil, dep.Ref), ' '), dep.Optional)
		b = appendSized(b, strconv.AppendQuote(append(q, ' '), dep.Type))
	}
	if t.Demo {
		b = appendSized(b, "demo")
	}
	if t.Keyed {
		b = appendSized(b, "keyed")
	}
	if len(t.Faults) > 0 { // what could not be read is not the same as what is not there
		b = appendSized(b, "faulty")
	}
	b = appendLabels(b, t.Labels)
	if beyond := t.AppendBeyond(nil); beyond != nil {
		b = appendSized(appendSized(b, "beyond"), beyond)
	}
	b = appendSized(b, d.policy)
	d.digest.Write(b)
	d.scratch = b
}

// addValues takes what the document says. The executor follows from it, and from what workers announce, which may be more the
// next time; only a task of a Go caller has nothing else that names it.
func (d *digester) addValues(t *dag.Task) {
	b := d.scratch[:0]
	if t.Demo {
		b = appendSized(b, "demo")
	}
	if t.Keyed {
		b = appendSized(b, "keyed")
	}
	for _, s := range [...]string{t.ID, t.Name, t.ParentRef, t.UserID, t.Pool} {
		b = appendSized(b, s)
	}
	executor := ""
	if t.Params == nil && t.Schemas == nil && t.Executor != t.Name {
		executor = t.Executor
	}
	b = appendSized(b, executor)
	for _, raw := range [...]json.RawMessage{t.Inputs, t.Params, t.Schemas, t.Custom} {
		if raw == nil {
			raw = emptyObject // no object is an empty one
		}
		b = dag.AppendCanonical(b, raw)
	}
	b = binary.AppendUvarint(b, uint64(len(t.Dependencies)))
	for _, dep := range t.Dependencies {
		b = appendSized(b, dep.Ref)
		b = appendSized(b, cmp.Or(dep.Type, "result"))
		b = strconv.AppendBool(b, dep.Optional)
	}
	if len(t.Faults) > 0 { // what could not be read is not the same as what is not there
		b = appendSized(b, "faulty")
	}
	b = appendLabels(b, t.Labels)
	if beyond := t.AppendBeyond(nil); beyond != nil {
		b = appendSized(appendSized(b, "beyond"), beyond)
	}
	b = appendSized(b, d.policy)
	d.canonical.Write(b)
	d.scratch = b
}

// appendLabels appends labels by their keys; no labels are nothing, as before there were any.
func appendLabels(b []byte, labels map[string]string) []byte {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		b = appendSized(appendSized(appendSized(b, "label"), key), labels[key])
	}
	return b
}

var emptyObject = json.RawMessage("{}")

// appendSized appends a text and, before it, how long it is.
func appendSized[T ~string | ~[]byte](b []byte, text T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}
