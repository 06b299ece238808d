package grpccall

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

const (
	keptMessages = 1000 // of a stream, unless max_messages says how many to read
	maxLineBytes = 8 << 10
	around       = 16 // levels that a result may get around a message
)

// Result is an answer (spec 8.5).
type Result struct {
	Success         bool            `json:"success"`
	Server          string          `json:"server"`
	Service         string          `json:"service"`
	Method          string          `json:"method"`
	Request         json.RawMessage `json:"request"`
	Response        json.RawMessage `json:"response"`
	Metadata        Metadata        `json:"metadata"`
	Messages        *int            `json:"message_count,omitempty"` // nil: not a stream
	Truncated       bool            `json:"truncated,omitempty"`
	TruncatedFields []string        `json:"truncated_fields,omitempty"`
}

// Metadata is what the server sent before and after its answer. Names are in lower case, several values are joined by ", ", and those of
// -bin names are base64.
type Metadata struct {
	Headers  map[string]string `json:"headers"`
	Trailers map[string]string `json:"trailers"`
}

// exchange is one call.
type exchange struct {
	plan     *plan
	conn     *connection
	method   protoreflect.MethodDescriptor
	types    *source
	reporter executors.Reporter
	most     int // bytes of a message, and of what is kept of a stream

	stream grpc.ClientStream
	came   int      // messages
	kept   [][]byte // the first of them, as JSON
	bytes  int      // of kept
	cut    bool     // some are not kept
}

// run makes the call. With an error, the result has what came of a stream until then.
func (x *exchange) run(ctx context.Context) (*Result, error) {
	requests, err := x.requests()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(ctx, x.plan.metadata))
	var sending sync.WaitGroup
	defer sending.Wait()
	defer cancel() // ends the stream, whatever its state
	desc := &grpc.StreamDesc{ClientStreams: x.method.IsStreamingClient(), ServerStreams: x.method.IsStreamingServer()}
	path := fmt.Sprintf("/%s/%s", x.plan.service, x.method.Name())
	if x.stream, err = x.conn.NewStream(ctx, desc, path); err != nil {
		return nil, err
	}
	if desc.ClientStreams {
		sending.Go(func() { x.send(requests) }) // beside the answers: a server may want to answer each
	} else {
		x.send(requests)
	}
	if err := x.receive(); err != nil {
		if desc.ServerStreams && x.came > 0 {
			partial := x.result()
			partial.Success = false
			return partial, err
		}
		return nil, err
	}
	return x.result(), nil
}

// requests are the messages to send.
func (x *exchange) requests() ([]proto.Message, error) {
	texts, field := x.plan.in.Requests, "requests[%d]"
	if texts == nil {
		texts, field = []json.RawMessage{x.plan.in.Request}, "request"
	}
	if !x.method.IsStreamingClient() && x.plan.in.Requests != nil {
		return nil, invalid(fmt.Sprintf("requests: method %s takes one message: give request", x.method.Name()))
	}
	messages := make([]proto.Message, len(texts))
	for i, text := range texts {
		err := x.fill(&messages[i], text)
		if err != nil && x.types.again() {
			if x.method, err = x.types.method(); err != nil {
				return nil, err
			}
			err = x.fill(&messages[i], text)
		}
		if err != nil {
			if strings.Contains(field, "%d") {
				field = fmt.Sprintf(field, i)
			}
			return nil, invalid(field + ": " + err.Error())
		}
	}
	return messages, nil
}

// fill makes one message. Its errors show no values.
func (x *exchange) fill(to *proto.Message, text []byte) error {
	message := dynamicpb.NewMessage(x.method.Input())
	if err := (protojson.UnmarshalOptions{Resolver: strict{x.types}}).Unmarshal(text, message); err != nil {
		return misfit(err, x.method.Input())
	}
	if size := proto.Size(message); size > x.most {
		return fmt.Errorf("%d bytes are more than a message may have, %d", size, x.most)
	}
	*to = message
	return nil
}

// faults are what protojson's errors say without a value. The space after the colon is not always a plain one.
var faults = regexp.MustCompile(`unknown field "[^"]*"|unable to resolve "[^"]*"|duplicate field "[^"]*"|required field [\w.]+ not set|` +
	`invalid value for \w+ (type|field [\w.]+)|(syntax error|unexpected token)`)

// misfit says why a text does not fit a message.
func misfit(err error, to protoreflect.MessageDescriptor) error {
	fault := faults.FindString(err.Error())
	if fault == "" {
		fault = "a value of another type"
	}
	return fmt.Errorf("does not fit %s: %s", to.FullName(), fault)
}

// send sends the messages. If the stream ends before, receive hears why.
func (x *exchange) send(messages []proto.Message) {
	for _, m := range messages {
		if x.stream.SendMsg(m) != nil {
			return
		}
	}
	_ = x.stream.CloseSend() // it always succeeds
}

// receive takes the answers, or the one answer.
func (x *exchange) receive() error {
	for {
		message := dynamicpb.NewMessage(x.method.Output())
		err := x.stream.RecvMsg(message)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		text, err := x.text(message)
		if err != nil {
			return executors.Permanent(err)
		}
		x.came++
		if !x.method.IsStreamingServer() {
			x.kept = append(x.kept, text)
			return nil
		}
		x.keep(text)
		if most := x.plan.in.MaxMessages; most > 0 && x.came >= most {
			x.cut = true
			return nil
		}
	}
}

// keep keeps and reports one message of a stream.
func (x *exchange) keep(text []byte) {
	x.reporter.Log("log", cut(string(text), maxLineBytes))
	most := x.plan.in.MaxMessages
	if most > 0 {
		x.reporter.Progress(float64(x.came)/float64(most), fmt.Sprintf("%d messages", x.came))
	} else {
		most = keptMessages
	}
	if x.cut || len(x.kept) >= most || x.bytes+len(text) > x.most {
		x.cut = true
		return
	}
	x.bytes += len(text)
	x.kept = append(x.kept, text)
}

// text is a message as JSON that can be stored.
func (x *exchange) text(message proto.Message) ([]byte, error) {
	text, err := protojson.MarshalOptions{AllowPartial: true, EmitDefaultValues: x.plan.in.EmitDefaults, Resolver: x.types}.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("the answer has no form in JSON: %w", err)
	}
	text, err = rawjson.Compact(text) // protojson varies its spaces
	if err != nil {
		return nil, fmt.Errorf("the answer can't be stored: %w", err)
	}
	if text = rawjson.Storable(text, around); text == nil {
		return nil, fmt.Errorf("the answer can't be stored: %w", rawjson.ErrDepth)
	}
	return text, nil
}

func (x *exchange) result() *Result {
	in := x.plan.in
	r := &Result{Success: true, Server: in.Server, Service: in.Service, Method: in.Method, Request: in.Request, Truncated: x.cut}
	if in.Requests != nil {
		r.Request, _ = json.Marshal(in.Requests) // of raw JSON
	}
	list := append(append([]byte{'['}, bytes.Join(x.kept, []byte{','})...), ']')
	if x.method.IsStreamingServer() {
		r.Response, r.Messages = list, &x.came
		r.TruncatedFields = executors.TruncatedFields(map[string]bool{"response": x.came > len(x.kept)})
	} else {
		r.Response = bytes.Join(x.kept, nil)
	}
	headers, _ := x.stream.Header() // the stream has begun, or its error was told
	r.Metadata.Headers = shown(headers)
	r.Metadata.Trailers = map[string]string{}
	if !x.cut || in.MaxMessages == 0 { // else the stream has not ended
		r.Metadata.Trailers = shown(x.stream.Trailer())
	}
	return r
}

// shown is metadata as a result has it.
func shown(md metadata.MD) map[string]string {
	all := make(map[string]string, len(md))
	for name, values := range md {
		for i, value := range values {
			if strings.HasSuffix(name, "-bin") {
				value = base64.StdEncoding.EncodeToString([]byte(value))
			}
			values[i] = executors.Text([]byte(value))
		}
		all[name] = strings.Join(values, ", ")
	}
	return all
}
