package envelope_test

import (
	"bytes"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/internal/attemptkey"
	"github.com/taskgrove/taskgrove/internal/envelope"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

const canary = "CANARY-7f3a"

func key(t testing.TB, fill byte) *attemptkey.Key {
	t.Helper()
	k, err := attemptkey.New(3, bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func attempt(number uint32) *workerv1.Attempt { return &workerv1.Attempt{Task: 7, Number: number} }

// kind is one kind of message: how it is sealed, opened, and where its envelope is.
type kind struct {
	message func() proto.Message
	seal    func(*attemptkey.Key, proto.Message) error
	open    func(*attemptkey.Key, proto.Message) error
	sealed  func(proto.Message) *[]byte
	moved   map[string]func(proto.Message) // changes of the place
}

func result(end any) *workerv1.Result {
	r := &workerv1.Result{Attempt: attempt(2), Error: canary, Detail: canary}
	switch end := end.(type) {
	case *workerv1.Result_Completed:
		r.End, r.Error, r.Detail = end, "", ""
	case *workerv1.Result_Cancelled:
		r.End = end
	case *workerv1.Result_Failed:
		r.End = end
	}
	return r
}

var kinds = map[string]kind{
	"work": {
		func() proto.Message {
			return &workerv1.Work{Attempt: attempt(2), Inputs: []byte(canary), Params: []byte(canary), Schemas: []byte(canary), References: []string{canary}}
		},
		func(k *attemptkey.Key, m proto.Message) error { return envelope.SealWork(k, m.(*workerv1.Work)) },
		func(k *attemptkey.Key, m proto.Message) error { return envelope.OpenWork(k, m.(*workerv1.Work)) },
		func(m proto.Message) *[]byte { return &m.(*workerv1.Work).Sealed },
		map[string]func(proto.Message){"another attempt": func(m proto.Message) { m.(*workerv1.Work).Attempt.Number++ }},
	},
	"inputs": {
		func() proto.Message {
			return &workerv1.InputsReply{Data: []byte(canary), Size: 100, References: []string{canary}}
		},
		func(k *attemptkey.Key, m proto.Message) error {
			return envelope.SealInputs(k, attempt(2), 5, m.(*workerv1.InputsReply))
		},
		func(k *attemptkey.Key, m proto.Message) error {
			return envelope.OpenInputs(k, attempt(2), 5, m.(*workerv1.InputsReply))
		},
		func(m proto.Message) *[]byte { return &m.(*workerv1.InputsReply).Sealed },
		map[string]func(proto.Message){"another size": func(m proto.Message) { m.(*workerv1.InputsReply).Size++ }},
	},
	"completion": {
		func() proto.Message { return result(&workerv1.Result_Completed{Completed: []byte(canary)}) },
		func(k *attemptkey.Key, m proto.Message) error { return envelope.SealResult(k, m.(*workerv1.Result)) },
		func(k *attemptkey.Key, m proto.Message) error { return envelope.OpenResult(k, m.(*workerv1.Result)) },
		func(m proto.Message) *[]byte { return &m.(*workerv1.Result).Sealed },
		map[string]func(proto.Message){
			"another end":  func(m proto.Message) { m.(*workerv1.Result).End = &workerv1.Result_TimedOut{} },
			"another task": func(m proto.Message) { m.(*workerv1.Result).Attempt.Task++ },
		},
	},
	"failure": {
		func() proto.Message {
			r := result(&workerv1.Result_Failed{Failed: &workerv1.Failed{Permanent: true}})
			r.Checkpoint = &workerv1.Checkpoint{Number: 3, Data: []byte(canary)}
			return r
		},
		func(k *attemptkey.Key, m proto.Message) error { return envelope.SealResult(k, m.(*workerv1.Result)) },
		func(k *attemptkey.Key, m proto.Message) error { return envelope.OpenResult(k, m.(*workerv1.Result)) },
		func(m proto.Message) *[]byte { return &m.(*workerv1.Result).Sealed },
		map[string]func(proto.Message){"a completion": func(m proto.Message) { m.(*workerv1.Result).End = &workerv1.Result_Completed{} }},
	},
	"cancellation": {
		func() proto.Message {
			return result(&workerv1.Result_Cancelled{Cancelled: &workerv1.Cancelled{Value: []byte(canary)}})
		},
		func(k *attemptkey.Key, m proto.Message) error { return envelope.SealResult(k, m.(*workerv1.Result)) },
		func(k *attemptkey.Key, m proto.Message) error { return envelope.OpenResult(k, m.(*workerv1.Result)) },
		func(m proto.Message) *[]byte { return &m.(*workerv1.Result).Sealed },
		map[string]func(proto.Message){"another size": func(m proto.Message) { m.(*workerv1.Result).GetCancelled().ValueSize++ }},
	},
	"part": {
		func() proto.Message {
			return &workerv1.ChunkRequest{Grant: &workerv1.Grant{Attempt: attempt(2)}, Index: 1, Count: 3, Data: []byte(canary)}
		},
		func(k *attemptkey.Key, m proto.Message) error {
			envelope.SealPart(k, m.(*workerv1.ChunkRequest))
			return nil
		},
		func(k *attemptkey.Key, m proto.Message) error {
			return envelope.OpenPart(k, m.(*workerv1.ChunkRequest))
		},
		func(m proto.Message) *[]byte { return &m.(*workerv1.ChunkRequest).Data },
		map[string]func(proto.Message){
			"another place": func(m proto.Message) { m.(*workerv1.ChunkRequest).Index = 2 },
			"fewer parts":   func(m proto.Message) { m.(*workerv1.ChunkRequest).Count = 2 },
		},
	},
	"lines": {
		func() proto.Message {
			return &workerv1.LogBatch{Lines: []*workerv1.LogLine{{Attempt: attempt(2), Number: 4, Text: canary}}}
		},
		func(k *attemptkey.Key, m proto.Message) error {
			return envelope.SealLogs(k, attempt(2), m.(*workerv1.LogBatch))
		},
		func(k *attemptkey.Key, m proto.Message) error { return envelope.OpenLogs(k, m.(*workerv1.LogBatch)) },
		func(m proto.Message) *[]byte { return &m.(*workerv1.LogBatch).Sealed },
		map[string]func(proto.Message){"another place": func(m proto.Message) { m.(*workerv1.LogBatch).First++ }},
	},
	"progress": {
		func() proto.Message { return &workerv1.Progress{Attempt: attempt(2), Message: canary} },
		func(k *attemptkey.Key, m proto.Message) error {
			envelope.SealProgress(k, m.(*workerv1.Progress))
			return nil
		},
		func(k *attemptkey.Key, m proto.Message) error {
			return envelope.OpenProgress(k, m.(*workerv1.Progress))
		},
		func(m proto.Message) *[]byte { return &m.(*workerv1.Progress).Sealed },
		map[string]func(proto.Message){"another attempt": func(m proto.Message) { m.(*workerv1.Progress).Attempt.Number++ }},
	},
	"checkpoint": {
		func() proto.Message {
			return &workerv1.Checkpoint{Attempt: attempt(2), Number: 9, Data: []byte(canary)}
		},
		func(k *attemptkey.Key, m proto.Message) error {
			envelope.SealCheckpoint(k, m.(*workerv1.Checkpoint))
			return nil
		},
		func(k *attemptkey.Key, m proto.Message) error {
			return envelope.OpenCheckpoint(k, m.(*workerv1.Checkpoint))
		},
		func(m proto.Message) *[]byte { return &m.(*workerv1.Checkpoint).Sealed },
		map[string]func(proto.Message){
			"another number": func(m proto.Message) { m.(*workerv1.Checkpoint).Number++ }, "another attempt": func(m proto.Message) { m.(*workerv1.Checkpoint).Attempt.Number++ },
		},
	},
	"live": {
		func() proto.Message {
			return &workerv1.Live{Attempt: attempt(2), Number: 9, Pieces: []*workerv1.Piece{{Kind: "token", Text: canary, Name: canary, Agent: canary}}}
		},
		func(k *attemptkey.Key, m proto.Message) error { return envelope.SealLive(k, m.(*workerv1.Live)) },
		func(k *attemptkey.Key, m proto.Message) error { return envelope.OpenLive(k, m.(*workerv1.Live)) },
		func(m proto.Message) *[]byte { return &m.(*workerv1.Live).Sealed },
		map[string]func(proto.Message){"another number": func(m proto.Message) { m.(*workerv1.Live).Number++ }},
	},
}

func encoded(t testing.TB, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestMessagesAreSealedAndOpened: nothing of what is secret is left readable, and at the other end all of it is there.
func TestMessagesAreSealedAndOpened(t *testing.T) {
	t.Parallel()
	for name, k := range kinds {
		m := k.message()
		if err := k.seal(key(t, 'k'), m); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(encoded(t, m), []byte(canary)) {
			t.Errorf("%s: it is readable: %v", name, m)
		}
		if err := k.open(key(t, 'k'), m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want := k.message()
		if b, ok := m.(*workerv1.LogBatch); ok {
			b.Attempt, b.First = nil, 0
		}
		if !proto.Equal(m, want) {
			t.Errorf("%s: got %v, want %v", name, m, want)
		}
		if err := k.open(nil, k.message()); err != nil {
			t.Errorf("%s that is not sealed: %v", name, err)
		}
	}
}

// TestWhatWasTamperedWithDoesNotOpen: cut, changed, moved, without the key, under another, or in place of another kind.
func TestWhatWasTamperedWithDoesNotOpen(t *testing.T) {
	t.Parallel()
	for name, k := range kinds {
		try := func(fact string, with *attemptkey.Key, change func(proto.Message)) {
			t.Helper()
			m := k.message()
			if err := k.seal(key(t, 'k'), m); err != nil {
				t.Fatal(err)
			}
			change(m)
			if err := k.open(with, m); !errors.Is(err, attemptkey.ErrOpen) {
				t.Errorf("%s, %s: got %v", name, fact, err)
			}
		}
		for fact, change := range k.moved {
			try(fact, key(t, 'k'), change)
		}
		try("another key", key(t, 'x'), func(proto.Message) {})
		try("no key", nil, func(proto.Message) {})
		try("cut", key(t, 'k'), func(m proto.Message) { at := k.sealed(m); *at = (*at)[:len(*at)-1] })
		try("changed", key(t, 'k'), func(m proto.Message) { at := k.sealed(m); (*at)[len(*at)/2] ^= 1 })
		for other, o := range kinds {
			if other == name || o.sealed == nil {
				continue
			}
			theirs := o.message()
			if err := o.seal(key(t, 'k'), theirs); err != nil {
				t.Fatal(err)
			}
			try("the envelope of "+other, key(t, 'k'), func(m proto.Message) { *k.sealed(m) = *o.sealed(theirs) })
		}
	}
}

// FuzzOpen: whatever a message is, nothing panics, and what was not sealed under the key does not open.
func FuzzOpen(f *testing.F) {
	k := key(f, 'k')
	for _, one := range kinds {
		m := one.message()
		if err := one.seal(key(f, 'x'), m); err != nil {
			f.Fatal(err)
		}
		f.Add(encoded(f, m))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, one := range kinds {
			m := one.message()
			proto.Reset(m)
			if proto.Unmarshal(data, m) != nil {
				continue
			}
			was := proto.Clone(m)
			if err := one.open(k, m); err == nil && !proto.Equal(was, m) {
				t.Errorf("%s: %x opened", name, data)
			}
		}
	})
}
