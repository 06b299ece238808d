package pg

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/sealed"
)

// The kinds of what is sealed: the envelope of one does not open as another.
const (
	kindPayload = "payload" // inputs, params, schemas, custom, control
	kindAttempt = "attempt" // result, error, detail
	kindChunk   = "chunk"
	kindHistory = "history"

	kindSchedule = "schedule" // a schedule's tree and parameters, and a run's parameters

	kindFlow = "flow" // the text of a flow, and what a run of one was given

	kindBundle = "bundle" // what a manifest says, and files of bundles

	kindProfile = "profile" // a registered profile

	kindCheckpoint = "checkpoint"
	kindAwait      = "await"  // data of a wait
	kindSignal     = "signal" // what was sent to one
)

// ErrSealedErrors: errors are sealed, so that Postgres can't look into them.
var ErrSealedErrors = errors.New("errors are sealed in this cluster, so that tasks can't be found by them")

// ErrSealedFilter: what was to be looked for is sealed, so that Postgres can't find it.
var ErrSealedFilter = errors.New("custom keys are sealed in this cluster, so that tasks can't be found by them; give trees labels")

// seals seals what rows hold, and opens it. One without a keyring does neither. A row has each value in its own column, or in the envelope
// of its column sealed, which counts where it has one.
type seals struct {
	ring *sealed.Keyring
	on   atomic.Bool // what is written is sealed

	conns *keyConnections // namespaces are looked up while a transaction holds another connection
	mu    sync.Mutex
	of    map[dag.TreeKey]dag.NamespaceKey // of trees; bounded
}

// SetKeyring gives the store the keys that values are sealed with; nil: none. Call it before the store is used.
func (s *Store) SetKeyring(ring *sealed.Keyring) { s.seals.ring = ring }

// SealValues has values sealed from now on, or not.
func (s *Store) SealValues(on bool) { s.seals.on.Store(on) }

// sealer seals values of some trees. A nil one seals nothing.
type sealer struct {
	of        map[dag.TreeKey]*sealed.Sealer
	digestKey []byte
	digestOf  int32 // number of the data key that it is derived from
}

// sealer has the keys of the trees; nil: what they hold is not sealed.
func (x *seals) sealer(ctx context.Context, trees ...dag.TreeKey) (*sealer, error) {
	if x == nil || !x.on.Load() {
		return nil, nil
	}
	z := &sealer{of: make(map[dag.TreeKey]*sealed.Sealer, len(trees))}
	var err error
	if z.digestOf, z.digestKey, err = x.ring.Derived(ctx, sealed.LabelDigests); err != nil {
		return nil, fmt.Errorf("key of digests: %w", err)
	}
	for _, t := range trees {
		if z.of[t] != nil {
			continue
		}
		namespace, err := x.namespace(ctx, t)
		if err != nil {
			return nil, err
		}
		one, err := x.ring.Sealer(ctx, namespace)
		if err != nil {
			return nil, fmt.Errorf("seal values of tree %d: %w", t, err)
		}
		z.of[t] = one
	}
	return z, nil
}

// ofEnded is sealer, of the trees of attempts that ended.
func (x *seals) ofEnded(ctx context.Context, ended []dag.Ended) (*sealer, error) {
	if x == nil || !x.on.Load() {
		return nil, nil
	}
	trees := make([]dag.TreeKey, len(ended))
	for i := range ended {
		trees[i] = ended[i].Task.Tree()
	}
	return x.sealer(ctx, trees...)
}

// knownTrees is of how many trees the namespace is remembered.
const knownTrees = 100_000

// belongs remembers the namespace of a tree, which never changes.
func (x *seals) belongs(tree dag.TreeKey, namespace dag.NamespaceKey) {
	if !x.can() {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.of == nil || len(x.of) >= knownTrees {
		x.of = map[dag.TreeKey]dag.NamespaceKey{}
	}
	x.of[tree] = namespace
}

// namespaceItself stands for the tree of what belongs to a namespace, and to no tree.
func namespaceItself(namespace dag.NamespaceKey) dag.TreeKey { return -1 - dag.TreeKey(namespace) }

// namespace is that of a tree, as keys are told it. A tree that is not there any more has the default one: what was read of it opens, or not.
func (x *seals) namespace(ctx context.Context, tree dag.TreeKey) (int32, error) {
	if tree < 0 {
		return int32(-1 - tree), nil
	}
	x.mu.Lock()
	known, ok := x.of[tree]
	x.mu.Unlock()
	if ok {
		return int32(known), nil
	}
	db, err := x.conns.database(ctx)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", sealed.ErrAway, err)
	}
	ctx, cancel := db.deadline(ctx)
	defer cancel()
	err = db.pool.QueryRow(ctx, sql("NamespaceOfTree"), tree).Scan(&known)
	if errors.Is(err, pgx.ErrNoRows) {
		return int32(dag.DefaultNamespaceKey), nil
	}
	if err != nil {
		return 0, fmt.Errorf("look for the namespace of tree %d: %w: %w", tree, sealed.ErrAway, err)
	}
	x.belongs(tree, known)
	return int32(known), nil
}

// can reports whether there may be sealed rows that can be opened.
func (x *seals) can() bool { return x != nil && x.ring.Can() }

// seal puts values into one envelope; nil if all are nil.
func (z *sealer) seal(tree dag.TreeKey, kind string, values ...[]byte) []byte {
	n := 0
	any := false
	for _, v := range values {
		n, any = n+binary.MaxVarintLen32+len(v), any || v != nil
	}
	if !any {
		return nil
	}
	plain := make([]byte, 0, n)
	for _, v := range values {
		if v == nil {
			plain = append(plain, 0)
			continue
		}
		plain = append(binary.AppendUvarint(plain, uint64(len(v))+1), v...)
	}
	return z.of[tree].Seal(kind, plain)
}

// open puts what an envelope has in the places of the values; it may have fewer. A nil envelope changes nothing.
func (x *seals) open(ctx context.Context, tree dag.TreeKey, kind string, envelope []byte, values ...*[]byte) error {
	if envelope == nil {
		return nil
	}
	if !x.can() {
		return fmt.Errorf("values of tree %d are sealed, and this process has no key: %w", tree, sealed.ErrNoKey)
	}
	namespace, err := x.namespace(ctx, tree)
	if err != nil {
		return err
	}
	plain, err := x.ring.Open(ctx, sealed.Use{Namespace: namespace, Kind: kind}, envelope)
	if err != nil {
		return fmt.Errorf("values of tree %d: %w", tree, err)
	}
	for _, v := range values {
		if len(plain) == 0 { // a version that sealed less has written it
			return nil
		}
		size, used := binary.Uvarint(plain)
		if used <= 0 || size > uint64(len(plain)-used)+1 {
			return fmt.Errorf("values of tree %d: %w", tree, sealed.ErrChanged)
		}
		plain = plain[used:]
		if size > 0 {
			*v, plain = plain[:size-1:size-1], plain[size-1:]
		}
	}
	return nil
}

// openText is open for texts.
func (x *seals) openText(ctx context.Context, tree dag.TreeKey, envelope []byte, result *[]byte, message, detail *string, more ...*[]byte) error {
	if envelope == nil {
		return nil
	}
	var e, d []byte
	if err := x.open(ctx, tree, kindAttempt, envelope, append([]*[]byte{result, &e, &d}, more...)...); err != nil {
		return err
	}
	if e != nil && message != nil {
		*message = string(e)
	}
	if d != nil && detail != nil {
		*detail = string(d)
	}
	return nil
}

// textOrNil is a text; nil for an empty one.
func textOrNil(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

// storableJSON fails as Postgres does if a value that it will not see is no JSON: see [Lasting].
func storableJSON(raw []byte) error {
	if raw == nil || json.Valid(raw) && utf8.Valid(raw) {
		return nil
	}
	return &pgconn.PgError{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "22P02", Message: "invalid input syntax for type json"}
}

// storableText is storableJSON for texts.
func storableText(text string) error {
	if utf8.ValidString(text) && bytes.IndexByte([]byte(text), 0) < 0 {
		return nil
	}
	return &pgconn.PgError{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "22021", Message: "invalid byte sequence for encoding \"UTF8\""}
}

// storable says whether Postgres would have taken an attempt's values.
func storable(e *dag.Ended) error {
	return errors.Join(storableJSON(e.Result), storableText(e.Error), storableText(e.Detail), storableJSON(e.Outputs))
}

// payload is the envelope of what a task carries.
func (z *sealer) payload(tree dag.TreeKey, t *dag.Task) []byte {
	return z.seal(tree, kindPayload, t.Inputs, t.Params, t.Schemas, t.Custom, t.Control.Stored())
}

// storablePayload says whether Postgres would have taken what a task carries.
func storablePayload(t *dag.Task) error {
	return errors.Join(storableJSON(t.Inputs), storableJSON(t.Params), storableJSON(t.Schemas), storableJSON(t.Custom), storableJSON(t.Control.Stored()))
}

// Unreadable reports whether an error means that a sealed value can't be opened, however often it is tried.
func Unreadable(err error) bool {
	return errors.Is(err, sealed.ErrChanged) || errors.Is(err, sealed.ErrNoKey)
}

// openWork opens what was read for workers. What can't be opened says so ([Work.Unreadable]); what can't be opened now is left out: it is found
// by reconcile.
func (x *seals) openWork(ctx context.Context, work map[dag.Key]*Work) {
	for key, w := range work {
		if err := x.openOne(ctx, w); Unreadable(err) {
			w.Unreadable = err
		} else if err != nil {
			delete(work, key)
		}
	}
}

// openOne opens what was read for one attempt.
func (x *seals) openOne(ctx context.Context, w *Work) error {
	if err := x.open(ctx, w.Key.Tree(), kindPayload, w.sealed, &w.Inputs, &w.Params, &w.Schemas, new([]byte), &w.control); err != nil {
		return err
	}
	w.sealed = nil
	if err := x.open(ctx, w.Key.Tree(), kindCheckpoint, w.sealedCheckpoint, &w.Checkpoint); err != nil {
		return err
	}
	w.sealedCheckpoint = nil
	for _, r := range w.sealedResults {
		if err := x.open(ctx, w.Key.Tree(), kindAttempt, r.envelope, (*[]byte)(&w.Results[r.at].Result)); err != nil {
			return err
		}
	}
	if w.sealedAnswer != nil {
		if err := x.open(ctx, w.Key.Tree(), kindSignal, w.sealedAnswer, &w.answer); err != nil {
			return err
		}
		w.sealedAnswer = nil
	}
	if w.answer != nil {
		w.Answer = readAnswer(w.answer)
		w.answer = nil
	}
	if w.sealedResults != nil {
		w.sealedResults = nil
		w.Results = slices.DeleteFunc(w.Results, func(r dag.DependencyResult) bool { return r.Result == nil })
	}
	return nil
}
