package grpcserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// wholeTree are the tasks of a tree that came in one message: as messages or as a document.
func (h *handler) wholeTree(tasks []*pb.NewTask, document *structpb.Value) (iter.Seq2[*dag.Task, error], error) {
	if document == nil {
		return h.newTasks(&pb.SubmitRequest{Tasks: tasks}, nil), nil
	}
	if len(tasks) > 0 {
		return nil, api.InvalidParameter("document", "a tree comes as tasks or as a document, not as both")
	}
	text, err := documentOf(document)
	if err != nil {
		return nil, err
	}
	return treedoc.Parse(text, treedoc.Options{Limits: h.cfg.Limits, Executors: h.cfg.Known}), nil
}

// documentOf is a value as JSON text. Numbers that are not what the client wrote, or no numbers, are faults.
func documentOf(value *structpb.Value) ([]byte, error) {
	reader := &valueReader{}
	plain := reader.read("document", value)
	if len(reader.faults) > 0 {
		return nil, api.InvalidParameters(reader.faults, reader.more)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(plain); err != nil {
		return nil, fmt.Errorf("encode document: %w", err)
	}
	return out.Bytes(), nil
}

// valueReader makes what encoding/json encodes of protobuf's values.
type valueReader struct {
	faults []api.ParameterFault
	more   int
}

func (r *valueReader) fault(path, reason string) {
	if len(r.faults) == dag.MaxProblems {
		r.more++
		return
	}
	path = shorten(path, 255)
	r.faults = append(r.faults, api.ParameterFault{Field: path, Text: path + " " + reason})
}

// maxExact is the largest whole number that a double, as which numbers come here, has apart from its neighbours.
const maxExact = 1 << 53

// read needs no bound of its own: messages don't nest deeper than protobuf lets them.
func (r *valueReader) read(path string, value *structpb.Value) any {
	switch v := value.GetKind().(type) {
	case *structpb.Value_NullValue:
		return nil
	case *structpb.Value_BoolValue:
		return v.BoolValue
	case *structpb.Value_StringValue:
		return v.StringValue
	case *structpb.Value_NumberValue:
		n := v.NumberValue
		switch {
		case math.IsNaN(n) || math.IsInf(n, 0):
			r.fault(path, "must be a number")
			return nil
		case n == math.Trunc(n) && math.Abs(n) >= maxExact:
			r.fault(path, fmt.Sprintf("must be below %d, or it would be rounded: send such numbers as tasks or as text", int64(maxExact)))
		}
		return n
	case *structpb.Value_ListValue:
		list := make([]any, len(v.ListValue.GetValues()))
		for i, item := range v.ListValue.GetValues() {
			list[i] = r.read(fmt.Sprintf("%s[%d]", path, i), item)
		}
		return list
	case *structpb.Value_StructValue:
		object := make(map[string]any, len(v.StructValue.GetFields()))
		for _, key := range slices.Sorted(maps.Keys(v.StructValue.GetFields())) { // so that the same faults are told
			object[key] = r.read(path+"."+key, v.StructValue.Fields[key])
		}
		return object
	}
	r.fault(path, "must be a JSON value")
	return nil
}
