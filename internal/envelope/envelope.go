// Package envelope owns which fields of the messages between coordinators and workers are sealed, and to what each is bound, for both ends.
//
// It must not know where messages go, or whose key is whose.
package envelope

import (
	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/internal/attemptkey"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

func place(kind attemptkey.Kind, a *workerv1.Attempt, index, of uint64) attemptkey.Place {
	return attemptkey.Place{Kind: kind, Task: a.GetTask(), Attempt: a.GetNumber(), Index: index, Of: of}
}

func seal(k *attemptkey.Key, at attemptkey.Place, m proto.Message) ([]byte, error) {
	plain, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	return k.Seal(at, plain), nil
}

func open(k *attemptkey.Key, at attemptkey.Place, sealed []byte, into proto.Message) error {
	if k == nil {
		return attemptkey.ErrOpen
	}
	plain, err := k.Open(at, sealed)
	if err != nil {
		return err
	}
	if proto.Unmarshal(plain, into) != nil {
		return attemptkey.ErrOpen
	}
	return nil
}

// SealWork seals what a work is about.
func SealWork(k *attemptkey.Key, m *workerv1.Work) (err error) {
	values := &workerv1.WorkValues{Inputs: m.Inputs, Params: m.Params, Schemas: m.Schemas, References: m.References}
	m.Inputs, m.Params, m.Schemas, m.References, m.Repeatable = nil, nil, nil, nil, false // before its claim it could not be opened
	m.Sealed, err = seal(k, place(attemptkey.Work, m.Attempt, 0, 0), values)
	return err
}

// OpenWork opens a work; one that is not sealed stays as it is. [attemptkey.ErrOpen], also without a key.
func OpenWork(k *attemptkey.Key, m *workerv1.Work) error {
	if len(m.Sealed) == 0 {
		return nil
	}
	v := &workerv1.WorkValues{}
	if err := open(k, place(attemptkey.Work, m.Attempt, 0, 0), m.Sealed, v); err != nil {
		return err
	}
	m.Inputs, m.Params, m.Schemas, m.References, m.Sealed = v.Inputs, v.Params, v.Schemas, v.References, nil
	return nil
}

// SealInputs seals a part of large inputs of an attempt.
func SealInputs(k *attemptkey.Key, a *workerv1.Attempt, offset uint64, m *workerv1.InputsReply) (err error) {
	values := &workerv1.WorkValues{Inputs: m.Data, References: m.References}
	m.Data, m.References = nil, nil
	m.Sealed, err = seal(k, place(attemptkey.Inputs, a, offset, m.Size), values)
	return err
}

// OpenInputs opens a part of large inputs; one that is not sealed stays as it is. [attemptkey.ErrOpen].
func OpenInputs(k *attemptkey.Key, a *workerv1.Attempt, offset uint64, m *workerv1.InputsReply) error {
	if len(m.Sealed) == 0 {
		return nil
	}
	v := &workerv1.WorkValues{}
	if err := open(k, place(attemptkey.Inputs, a, offset, m.Size), m.Sealed, v); err != nil {
		return err
	}
	m.Data, m.References, m.Sealed = v.Inputs, v.References, nil
	return nil
}

// resultPlace binds a result to how the attempt ended. Numbers are part of the format.
func resultPlace(m *workerv1.Result) attemptkey.Place {
	var end, size uint64
	switch e := m.End.(type) {
	case *workerv1.Result_Completed:
		end = 1
	case *workerv1.Result_CompletedInChunks:
		end, size = 2, e.CompletedInChunks
	case *workerv1.Result_Failed:
		end = 3
	case *workerv1.Result_Cancelled:
		end, size = 4, e.Cancelled.GetValueSize()
	case *workerv1.Result_Returned:
		end = 5
	case *workerv1.Result_TimedOut:
		end = 6
	}
	return place(attemptkey.Result, m.Attempt, end, size)
}

// SealResult seals the value and the texts of a result. What was sealed stays as it is.
func SealResult(k *attemptkey.Key, m *workerv1.Result) (err error) {
	if len(m.Sealed) > 0 {
		return nil
	}
	values := &workerv1.ResultValues{Error: m.Error, Detail: m.Detail}
	switch e := m.End.(type) {
	case *workerv1.Result_Completed:
		values.Value, e.Completed = e.Completed, nil
	case *workerv1.Result_Cancelled:
		if e.Cancelled != nil {
			values.Value, e.Cancelled.Value = e.Cancelled.Value, nil
		}
	}
	m.Error, m.Detail = "", ""
	m.Sealed, err = seal(k, resultPlace(m), values)
	return err
}

// OpenResult opens a result; one that is not sealed stays as it is. [attemptkey.ErrOpen].
func OpenResult(k *attemptkey.Key, m *workerv1.Result) error {
	if len(m.Sealed) == 0 {
		return nil
	}
	v := &workerv1.ResultValues{}
	if err := open(k, resultPlace(m), m.Sealed, v); err != nil {
		return err
	}
	switch e := m.End.(type) {
	case *workerv1.Result_Completed:
		e.Completed = v.Value
	case *workerv1.Result_Cancelled:
		if e.Cancelled != nil {
			e.Cancelled.Value = v.Value
		}
	}
	m.Error, m.Detail, m.Sealed = v.Error, v.Detail, nil
	return nil
}

// SealPart seals a part of a large result.
func SealPart(k *attemptkey.Key, m *workerv1.ChunkRequest) {
	m.Data = k.Seal(place(attemptkey.Part, m.GetGrant().GetAttempt(), uint64(m.Index), uint64(m.Count)), m.Data)
	m.Sealed = true
}

// OpenPart opens a part of a large result; one that is not sealed stays as it is. [attemptkey.ErrOpen].
func OpenPart(k *attemptkey.Key, m *workerv1.ChunkRequest) error {
	if !m.Sealed {
		return nil
	}
	if k == nil {
		return attemptkey.ErrOpen
	}
	data, err := k.Open(place(attemptkey.Part, m.GetGrant().GetAttempt(), uint64(m.Index), uint64(m.Count)), m.Data)
	if err != nil {
		return err
	}
	m.Data, m.Sealed = data, false
	return nil
}

// SealLogs seals lines of one attempt.
func SealLogs(k *attemptkey.Key, a *workerv1.Attempt, m *workerv1.LogBatch) (err error) {
	if len(m.Lines) == 0 {
		return nil
	}
	lines := &workerv1.LogBatch{Lines: m.Lines}
	m.Attempt, m.First, m.Lines = a, m.Lines[0].Number, nil
	m.Sealed, err = seal(k, place(attemptkey.Logs, a, m.First, 0), lines)
	return err
}

// OpenLogs opens lines; those that are not sealed stay as they are. Lines of another attempt than the key's are left out. [attemptkey.ErrOpen].
func OpenLogs(k *attemptkey.Key, m *workerv1.LogBatch) error {
	if len(m.Sealed) == 0 {
		return nil
	}
	lines := &workerv1.LogBatch{}
	if err := open(k, place(attemptkey.Logs, m.Attempt, m.First, 0), m.Sealed, lines); err != nil {
		return err
	}
	m.Lines, m.Sealed = nil, nil
	for _, l := range lines.Lines {
		if l.GetAttempt().GetTask() == m.Attempt.GetTask() && l.GetAttempt().GetNumber() == m.Attempt.GetNumber() {
			m.Lines = append(m.Lines, l)
		}
	}
	return nil
}

// SealProgress seals what is said with progress.
func SealProgress(k *attemptkey.Key, m *workerv1.Progress) {
	if m.Message != "" {
		m.Sealed, m.Message = k.Seal(place(attemptkey.Progress, m.Attempt, 0, 0), []byte(m.Message)), ""
	}
}

// OpenProgress opens it. [attemptkey.ErrOpen].
func OpenProgress(k *attemptkey.Key, m *workerv1.Progress) error {
	if len(m.Sealed) == 0 {
		return nil
	}
	if k == nil {
		return attemptkey.ErrOpen
	}
	text, err := k.Open(place(attemptkey.Progress, m.Attempt, 0, 0), m.Sealed)
	if err != nil {
		return err
	}
	m.Message, m.Sealed = string(text), nil
	return nil
}

// SealLive seals what an attempt tells live.
func SealLive(k *attemptkey.Key, m *workerv1.Live) (err error) {
	pieces := &workerv1.Live{Pieces: m.Pieces}
	m.Pieces = nil
	m.Sealed, err = seal(k, place(attemptkey.Live, m.Attempt, m.Number, 0), pieces)
	return err
}

// OpenLive opens it; what is not sealed stays as it is. [attemptkey.ErrOpen].
func OpenLive(k *attemptkey.Key, m *workerv1.Live) error {
	if len(m.Sealed) == 0 {
		return nil
	}
	pieces := &workerv1.Live{}
	if err := open(k, place(attemptkey.Live, m.Attempt, m.Number, 0), m.Sealed, pieces); err != nil {
		return err
	}
	m.Pieces, m.Sealed = pieces.Pieces, nil
	return nil
}
