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
	"github.com/taskgrove/taskgrove/api/treefiles"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// wholeTree is a tree that came in one message.
type wholeTree struct {
	tasks iter.Seq2[*dag.Task, error]
	file  *treefiles.File // that it was made of; nil: none
}

// wholeTree reads a tree that came in one message: as messages, as a document, or as a tree file.
func (h *handler) wholeTree(tasks []*pb.NewTask, document *structpb.Value, parameters *structpb.Struct) (*wholeTree, error) {
	if document == nil {
		if parameters != nil {
			return nil, api.InvalidParameter("parameters", "parameters are of a tree file, which comes as the document")
		}
		return &wholeTree{tasks: h.newTasks(&pb.SubmitRequest{Tasks: tasks}, nil)}, nil
	}
	if len(tasks) > 0 {
		return nil, api.InvalidParameter("document", "a tree comes as tasks or as a document, not as both")
	}
	text, err := jsonOf("document", document)
	if err != nil {
		return nil, err
	}
	out := &wholeTree{}
	switch {
	case treefiles.Is(text):
		if out.file, err = h.treeFile(text, parameters); err != nil {
			return nil, err
		}
		text = out.file.Document()
	case parameters != nil:
		return nil, api.InvalidParameter("parameters", "the document has no parameters: only a tree file has, with the key taskgrove")
	}
	out.tasks = treedoc.Parse(text, treedoc.Options{Limits: h.cfg.Limits, Executors: h.cfg.Known})
	return out, nil
}

// treeFile reads a tree file.
func (h *handler) treeFile(text []byte, parameters *structpb.Struct) (*treefiles.File, error) {
	var values []byte
	if parameters != nil {
		var err error
		if values, err = jsonOf("parameters", structpb.NewStructValue(parameters)); err != nil {
			return nil, err
		}
	}
	return treefiles.ReadValue("document", text, values, h.cfg.Known)
}

// explain says of the faults of the tree where they stand in the file that it was made of.
func (t *wholeTree) explain(err error) error {
	if err == nil || t.file == nil {
		return err
	}
	return t.file.Explain(err)
}

// jsonOf is the value of a field as JSON text. Numbers that are not what the client wrote, or no numbers, are faults.
func jsonOf(field string, value *structpb.Value) ([]byte, error) {
	reader := &valueReader{}
	plain := reader.read(field, value)
	if len(reader.faults) > 0 {
		return nil, api.InvalidParameters(reader.faults, reader.more)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(plain); err != nil {
		return nil, fmt.Errorf("encode %s: %w", field, err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
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
