package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/envelope"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/internal/rawjson"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// errBusy: a coordinator has no room now. It does not count as a failure.
var errBusy = errors.New("coordinators are busy")

// insistFor bounds the repetition of a request for one part of a payload.
const insistFor = 2 * time.Minute

// encode writes a result as JSON; nil is null. Of names that an object has several times only the last is left: the work is done, and
// what repeats may well come from a service that it asked.
func encode(value any) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case json.RawMessage:
		if len(v) == 0 || string(v) == "null" {
			return nil, nil
		}
		if !utf8.Valid(v) {
			v = bytes.ToValidUTF8(v, []byte("\uFFFD"))
		}
		return checked(v)
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, err
	}
	data := bytes.TrimSuffix(out.Bytes(), []byte("\n"))
	if string(data) == "null" {
		return nil, nil
	}
	return checked(data)
}

// checked is a result that can be reported.
func checked(data []byte) ([]byte, error) {
	out, err := rawjson.LastNames(data)
	if err != nil {
		return nil, fmt.Errorf("the executor's result is %w", err)
	}
	return out, nil
}

// attach puts an encoded value into a result: inline, or as parts that are stored. A value that can't be attached fails a completed
// attempt; a cancelled one goes without its partial result.
func (w *Worker) attach(a *attempt, r *workerv1.Result, value []byte) {
	var err error
	switch {
	case len(value) > w.cfg.MaxResultBytes:
		err = executors.Permanent(fmt.Errorf("result has %d bytes, the most is %d", len(value), w.cfg.MaxResultBytes))
	case len(value) <= min(w.cfg.InlineBytes, w.conn.MaxPayload()/2):
		setValue(r, value, 0)
		return
	default:
		ctx, cancel := w.uploading(a)
		r.PartsBefore, err = w.upload(ctx, a, value)
		cancel()
		if err == nil {
			setValue(r, nil, uint64(len(value)))
			if r.PartsBefore { // NATS may lose them
				a.value = value
			}
			return
		}
	}
	if o := endOf(r); o == dag.OutcomeCancelled {
		return
	}
	switch {
	case executors.IsPermanent(err):
		setEnd(r, dag.OutcomeFailed)
		r.GetFailed().Permanent = true
	case errors.Is(err, executors.ErrCancelled):
		setEnd(r, dag.OutcomeCancelled)
	case a.ctx.Err() != nil: // interrupted: done, but nothing to show for it
		setEnd(r, dag.OutcomeReturned)
	default:
		setEnd(r, dag.OutcomeFailed)
	}
	r.Error = err.Error()
}

// refusal is the error in an answer.
func refusal(text string, final, busy, away bool) error {
	switch {
	case text == "":
		return nil
	case final:
		return executors.Permanent(errors.New(text))
	case away:
		return errors.New(text)
	case busy:
		return fmt.Errorf("%w: %s", errBusy, text)
	}
	return errors.New(text)
}

// given is what an attempt starts from.
type given struct {
	inputs     json.RawMessage
	references []string          // inputs that may name secrets
	control    *workerv1.Control // nil: the task says nothing beyond the protocol
	submitted  json.RawMessage   // the inputs before they were rendered; nil: they have no templates
}

// inputs are what the attempt starts from, fetched in parts when that is too large for its message.
func (w *Worker) inputs(ctx context.Context, a *attempt) (given, error) {
	switch {
	case a.work.InputsSize > 0:
		return w.fetchInputs(ctx, a)
	case len(a.work.Inputs) == 0:
		return given{inputs: json.RawMessage("{}"), control: a.work.Control}, nil
	}
	return given{inputs: a.work.Inputs, references: a.work.References, control: a.work.Control}, nil
}

// fetchInputs asks for the parts one after the other; the first reply says how many bytes there are.
func (w *Worker) fetchInputs(ctx context.Context, a *attempt) (given, error) {
	in := given{control: a.work.Control}
	var data []byte
	var scope uint64 // how much of their end the values for templates are
	for first, size := true, uint64(0); first || uint64(len(data)) < size; first = false {
		key := a.key.Load()
		request := &workerv1.InputsRequest{Version: workerv1.Version, Grant: a.grant(), Offset: uint64(len(data)), Keyed: key != nil}
		err := w.insist(ctx, func() error {
			reply := &workerv1.InputsReply{}
			err := w.enter(ctx)
			if err == nil {
				err = w.requestWithin(ctx, w.partWithin(), queue.Inputs, request, reply)
				w.leave()
			}
			if err == nil {
				err = refusal(reply.Error, reply.Final, reply.Busy, false)
			}
			if err == nil {
				err = envelope.OpenInputs(key, a.work.Attempt, request.Offset, reply)
			}
			switch {
			case err != nil:
				return err
			case reply.Size > uint64(w.cfg.MaxInputBytes):
				return executors.Permanent(fmt.Errorf("inputs have %d bytes, the most is %d", reply.Size, w.cfg.MaxInputBytes))
			case !first && reply.Size != size:
				return executors.Permanent(fmt.Errorf("inputs changed from %d to %d bytes", size, reply.Size))
			case len(reply.Data) == 0 || uint64(len(reply.Data)) > reply.Size-uint64(len(data)):
				return fmt.Errorf("got %d bytes where %d are left", len(reply.Data), reply.Size-uint64(len(data)))
			}
			size = reply.Size
			if len(reply.References) > 0 { // an older coordinator, which names none, may have sent another part
				in.references = reply.References
			}
			if reply.Control != nil {
				in.control, scope = reply.Control, reply.ScopeSize
			}
			data = append(data, reply.Data...)
			failpoint.Hit("worker.after-inputs-part")
			return nil
		})
		if err != nil {
			return given{}, fmt.Errorf("fetch inputs at %d: %w", request.Offset, err)
		}
	}
	if scope > uint64(len(data)) {
		return given{}, executors.Permanent(fmt.Errorf("inputs have %d bytes, and the values for their templates %d", len(data), scope))
	}
	in.inputs = data[:uint64(len(data))-scope]
	if scope > 0 {
		in.control.Scope = data[len(in.inputs):]
	}
	return in, nil
}

// insist repeats an operation, with back-off, until it succeeds, fails for good, or ctx ends; then it returns ctx's
// cause. After [insistFor] under a lease without a word, or with refusals only, the last error stands: coordinators were there, so that
// the fault lies with the attempt.
func (w *Worker) insist(ctx context.Context, operation func() error) error {
	begin := time.Now()
	for tries := 1; ; tries++ {
		err := operation()
		if errors.Is(err, errBusy) || !w.leased() {
			begin = time.Now()
		}
		if err == nil || executors.IsPermanent(err) || time.Since(begin) > insistFor {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		w.quiet.warn("payload", "a large payload does not get through", "tries", tries, "error", err)
		timer := time.NewTimer(backOff(tries))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}
