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
	values := &workerv1.WorkValues{Inputs: m.Inputs, Params: m.Params, Schemas: m.Schemas, References: m.References, Control: m.Control, Answer: m.Answer, Checkpoint: m.Checkpoint}
	m.Control, m.Answer, m.Checkpoint = nil, nil, nil
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
	m.Control, m.Answer, m.Checkpoint = v.Control, v.Answer, v.Checkpoint
	return nil
}

// SealInputs seals a part of large inputs of an attempt.
func SealInputs(k *attemptkey.Key, a *workerv1.Attempt, offset uint64, m *workerv1.InputsReply) (err error) {
	values := &workerv1.WorkValues{Inputs: m.Data, References: m.References, Control: m.Control}
	m.Data, m.References, m.Control = nil, nil, nil
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
	m.Data, m.References, m.Control, m.Sealed = v.Inputs, v.References, v.Control, nil
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
	case *workerv1.Result_Skipped:
		end, size = 7, e.Skipped.GetValueSize()
	case *workerv1.Result_Expanded:
		end, size = 8, e.Expanded.GetTasksSize()
	case *workerv1.Result_Awaiting:
		end = 9
	case *workerv1.Result_Repeated:
		end, size = 10, e.Repeated.GetValueSize()
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
	case *workerv1.Result_Skipped:
		values.Value, e.Skipped.Value = e.Skipped.GetValue(), nil
	case *workerv1.Result_Expanded:
		values.Value, e.Expanded.Tasks = e.Expanded.GetTasks(), nil
	case *workerv1.Result_Awaiting:
		values.Data, e.Awaiting.Data = e.Awaiting.GetData(), nil
	case *workerv1.Result_Repeated:
		values.Value, e.Repeated.Value = e.Repeated.GetValue(), nil
	}
	values.Outputs, m.Outputs = m.Outputs, nil
	if m.Checkpoint != nil {
		values.Checkpoint, m.Checkpoint.Data = m.Checkpoint.Data, nil
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
	case *workerv1.Result_Skipped:
		if e.Skipped != nil {
			e.Skipped.Value = v.Value
		}
	case *workerv1.Result_Expanded:
		if e.Expanded != nil {
			e.Expanded.Tasks = v.Value
		}
	case *workerv1.Result_Awaiting:
		if e.Awaiting != nil {
			e.Awaiting.Data = v.Data
		}
	case *workerv1.Result_Repeated:
		if e.Repeated != nil {
			e.Repeated.Value = v.Value
		}
	}
	m.Outputs = v.Outputs
	if m.Checkpoint != nil {
		m.Checkpoint.Data = v.Checkpoint
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

// SealArtifact seals what a request about files asks.
func SealArtifact(k *attemptkey.Key, m *workerv1.ArtifactRequest) (err error) {
	ask := m.Ask
	m.Ask = nil
	m.Sealed, err = seal(k, place(attemptkey.Artifact, m.GetGrant().GetAttempt(), m.Number, 0), ask)
	return err
}

// OpenArtifact opens it; what is not sealed stays as it is. [attemptkey.ErrOpen].
func OpenArtifact(k *attemptkey.Key, m *workerv1.ArtifactRequest) error {
	if len(m.Sealed) == 0 {
		return nil
	}
	m.Ask = &workerv1.ArtifactAsk{}
	if err := open(k, place(attemptkey.Artifact, m.GetGrant().GetAttempt(), m.Number, 0), m.Sealed, m.Ask); err != nil {
		return err
	}
	m.Sealed = nil
	return nil
}

// SealArtifactReply seals what an answer to the request with that number holds.
func SealArtifactReply(k *attemptkey.Key, a *workerv1.Attempt, number uint64, m *workerv1.ArtifactReply) (err error) {
	values := &workerv1.ArtifactReply{Found: m.Found, Data: m.Data}
	m.Found, m.Data = nil, nil
	m.Sealed, err = seal(k, place(attemptkey.ArtifactReply, a, number, 0), values)
	return err
}

// OpenArtifactReply opens it; what is not sealed stays as it is. [attemptkey.ErrOpen].
func OpenArtifactReply(k *attemptkey.Key, a *workerv1.Attempt, number uint64, m *workerv1.ArtifactReply) error {
	if len(m.Sealed) == 0 {
		return nil
	}
	values := &workerv1.ArtifactReply{}
	if err := open(k, place(attemptkey.ArtifactReply, a, number, 0), m.Sealed, values); err != nil {
		return err
	}
	m.Found, m.Data, m.Sealed = values.Found, values.Data, nil
	return nil
}

// SealArchivedLog seals the log of an attempt.
func SealArchivedLog(k *attemptkey.Key, m *workerv1.ArtifactLog) {
	m.Data, m.Sealed = nil, k.Seal(place(attemptkey.ArchivedLog, m.Attempt, 0, 0), m.Data)
}

// OpenArchivedLog opens it; what is not sealed stays as it is. [attemptkey.ErrOpen].
func OpenArchivedLog(k *attemptkey.Key, m *workerv1.ArtifactLog) (err error) {
	if len(m.Sealed) == 0 {
		return nil
	}
	if k == nil {
		return attemptkey.ErrOpen
	}
	m.Data, err = k.Open(place(attemptkey.ArchivedLog, m.Attempt, 0, 0), m.Sealed)
	m.Sealed = nil
	return err
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

// SealCheckpoint seals what an attempt noted.
func SealCheckpoint(k *attemptkey.Key, m *workerv1.Checkpoint) {
	m.Sealed, m.Data = k.Seal(place(attemptkey.Checkpoint, m.Attempt, m.Number, 0), m.Data), nil
}

// OpenCheckpoint opens it; one that is not sealed stays as it is. [attemptkey.ErrOpen].
func OpenCheckpoint(k *attemptkey.Key, m *workerv1.Checkpoint) error {
	if len(m.Sealed) == 0 {
		return nil
	}
	if k == nil {
		return attemptkey.ErrOpen
	}
	data, err := k.Open(place(attemptkey.Checkpoint, m.Attempt, m.Number, 0), m.Sealed)
	if err != nil {
		return err
	}
	m.Data, m.Sealed = data, nil
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
