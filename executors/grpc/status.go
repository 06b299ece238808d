package grpccall

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// kindPrefix begins the kinds of errors that stand for a status; its code follows in lower case.
const kindPrefix = "grpc_"

// sameClock is how long before ours the server may notice our deadline.
const sameClock = 100 * time.Millisecond

// Of an error's text: what a server may make us store.
const (
	maxMessageText = 2 << 10
	maxDetailText  = 4 << 10
)

// explain makes the error of an attempt: why it was ended, if it was; else `<CODE>: <message>` with the details, without secrets, and
// classed by whether a repetition may help.
func (p *plan) explain(ctx context.Context, err error) error {
	st, ok := status.FromError(err)
	if deadline, has := ctx.Deadline(); ok && has && (st.Code() == codes.DeadlineExceeded || st.Code() == codes.Canceled) && time.Until(deadline) < sameClock {
		<-ctx.Done() // the server has the same deadline, and its clock may ring first
	}
	if ctx.Err() != nil {
		return executors.Ended(ctx, err)
	}
	if !ok {
		return p.masked(err)
	}
	text := fmt.Sprintf("%s: %s", code.Code(st.Code()), cut(st.Message(), maxMessageText))
	var pause time.Duration
	if details := st.Details(); len(details) > 0 {
		text += " (" + cut(p.details(details, &pause), maxDetailText) + ")"
	}
	failure := executors.WithKind(errors.New(executors.Text([]byte(p.secrets.Mask(text)))), kindPrefix+strings.ToLower(code.Code(st.Code()).String()))
	if !repeatable(st) {
		return executors.Permanent(failure)
	}
	return executors.RetryAfter(failure, pause)
}

// masked masks an error that is no status, and keeps its class.
func (p *plan) masked(err error) error {
	text := errors.New(executors.Text([]byte(p.secrets.Mask(cut(err.Error(), maxMessageText)))))
	if kind := executors.KindOf(err); kind != "" {
		text = executors.WithKind(text, kind)
	}
	if executors.IsPermanent(err) {
		return executors.Permanent(text)
	}
	return text
}

// repeatable reports whether a call that ended so may end otherwise another time.
func repeatable(st *status.Status) bool {
	switch st.Code() {
	case codes.ResourceExhausted: // the server's quota; but a message stays as large as it is
		return !strings.Contains(st.Message(), "larger than max")
	case codes.Unavailable, codes.DeadlineExceeded, codes.Aborted, codes.Canceled, codes.Internal, codes.Unknown:
		return true
	}
	return false
}

// details are the details of a status as JSON, and the pause that the server asks for.
func (p *plan) details(details []any, pause *time.Duration) string {
	var all []string
	for _, detail := range details {
		message, ok := detail.(proto.Message)
		if !ok { // of a type that is not linked in
			all = append(all, "a detail that can't be read")
			continue
		}
		if retry, ok := message.(*errdetails.RetryInfo); ok {
			*pause = max(*pause, retry.GetRetryDelay().AsDuration())
		}
		name := string(message.ProtoReflect().Descriptor().FullName())
		text, err := protojson.Marshal(message)
		if err == nil {
			text, err = rawjson.Compact(text)
		}
		if err != nil {
			text = []byte("?")
		}
		all = append(all, name+" "+string(text))
	}
	return strings.Join(all, "; ")
}

// cut bounds a text.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
