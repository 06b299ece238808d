package grpcserver

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"connectrpc.com/vanguard"
	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// WebPath is what the paths of the calls of trees begin with; [WebPaths] are all.
const WebPath = "/taskgrove.v1.Taskgrove/"

// WebTypes are the content types of requests to a [Web]: of Connect, where plain calls are JSON or protobuf as they are, and of gRPC-Web. None
// of them may be sent by a page of another origin without leave.
var WebTypes = []string{"application/json", "application/proto", "application/connect+json", "application/connect+proto",
	"application/grpc-web", "application/grpc-web+proto", "application/grpc-web+json"}

// Web serves the same service for clients that have no gRPC, such as browsers and curl: Connect and gRPC-Web over any version of HTTP.
// Streams of messages to the server are not served: [pb.TaskgroveServer.SubmitTree] stands in for Submit. It is an [http.Handler].
type Web struct {
	cfg    Config
	next   http.Handler
	bodies *semaphore.Weighted // bytes of requests in memory
}

// maxAnswerBytes is how large one message of an answer may be, as for the Go client.
const maxAnswerBytes = 256 << 20

// bodiesAtOnce is how many of the largest requests may be in memory at once.
const bodiesAtOnce = 8

// NewWeb makes a handler. Of cfg it takes what is about calls; addresses, connections and TLS are those of the HTTP server.
func NewWeb(access *coordinator.Access, cfg Config) *Web {
	cfg = cfg.withDefaults()
	around := &calls{cfg}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(cfg.MaxMessageBytes), grpc.UnaryInterceptor(around.unary), grpc.StreamInterceptor(around.stream))
	register(server, newHandler(access, cfg, coordinator.SurfaceConnect, context.Background()))
	var served []*vanguard.Service
	for _, s := range services {
		served = append(served, vanguard.NewService(s.desc.ServiceName, server,
			vanguard.WithTargetProtocols(vanguard.ProtocolGRPC), vanguard.WithTargetCodecs(vanguard.CodecProto), vanguard.WithNoTargetCompression(),
			vanguard.WithMaxMessageBufferBytes(maxAnswerBytes)))
	}
	transcoder, err := vanguard.NewTranscoder(served,
		vanguard.WithCodec(func(resolver vanguard.TypeResolver) vanguard.Codec { return newJSONCodec(resolver) }),
		vanguard.WithCompression(vanguard.CompressionGzip, newCompressor, newDecompressor(cfg.MaxMessageBytes)),
		vanguard.WithUnknownHandler(http.HandlerFunc(unknownCall)))
	if err != nil {
		panic(fmt.Sprintf("transcode the services: %v", err)) // the code is wrong, not what it was given
	}
	return &Web{cfg: cfg, next: transcoder, bodies: semaphore.NewWeighted(bodiesAtOnce * (int64(cfg.MaxMessageBytes) + 1))}
}

// ServeHTTP reads the whole request, which is one message, before anything else looks at it.
func (h *Web) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	kind := ""
	if r.Method == http.MethodPost {
		var ok bool
		if kind, ok = webType(r.Header); !ok {
			refuseCall(w, http.StatusUnsupportedMediaType, connect.CodeInvalidArgument, "the content type must be one of "+strings.Join(WebTypes, ", "))
			return
		}
		r.Header.Set("Content-Type", kind)
		if !enveloped(kind) {
			r.Header.Set("Connect-Protocol-Version", "1") // which people with curl leave out
		}
	}
	body := &webBody{bodies: h.bodies}
	defer body.release()
	data, refusal := body.read(w, r, h.cfg.MaxMessageBytes)
	if refusal == nil {
		data, refusal = body.unpack(r, kind, data, h.cfg.MaxMessageBytes)
	}
	if refusal != nil { // is told by the interceptors, in the words of the client's protocol, on a request without fields
		data = emptyMessage(kind)
		for _, name := range packings {
			r.Header.Del(name)
		}
		if r.Method == http.MethodGet {
			data, r.URL.RawQuery = nil, emptyQuery
		}
	}
	ctx, leave := apart(r.Context(), &webCall{refusal: refusal})
	defer leave()
	if !unaryCall(r.URL.Path) { // a stream keeps nothing of its request
		ctx = context.WithValue(ctx, firstMessage{}, body.release)
	}
	r = r.WithContext(ctx)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
	h.next.ServeHTTP(w, r)
}

// webType is the content type of a request, without parameters.
func webType(header http.Header) (kind string, ok bool) {
	types := header.Values("Content-Type")
	if len(types) != 1 {
		return "", false
	}
	kind, parameters, err := mime.ParseMediaType(types[0])
	if charset, is := parameters["charset"]; err != nil || is && !strings.EqualFold(charset, "utf-8") {
		return "", false
	}
	return kind, slices.Contains(WebTypes, kind)
}

// enveloped types have a head of five bytes before each message.
func enveloped(kind string) bool { return kind != "application/json" && kind != "application/proto" }

func emptyMessage(kind string) []byte {
	switch {
	case enveloped(kind) && strings.HasSuffix(kind, "+json"):
		return []byte{0, 0, 0, 0, 2, '{', '}'}
	case enveloped(kind):
		return make([]byte, 5)
	case kind == "application/json":
		return []byte("{}")
	}
	return nil
}

// emptyQuery is a message without fields in the place of a body (Connect's GET).
const emptyQuery = "connect=v1&encoding=json&message=%7B%7D"

// webCall is what the interceptors know of a call that came by a [Web].
type webCall struct {
	refusal error           // why it is not let in; nil: it is
	stopped context.Context // ends when the HTTP server stops
}

type webKey struct{}

// apart is a context for gRPC's server, which cuts a call off without a word when the request's context ends. It ends when the client has
// gone; that the HTTP server stops is known to the interceptors alone, which then say so.
func apart(request context.Context, call *webCall) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(request))
	stopped, stop := context.WithCancelCause(context.Background())
	call.stopped = stopped
	unhook := context.AfterFunc(request, func() {
		if cause := context.Cause(request); errors.Is(cause, api.ErrShutdown) {
			stop(cause)
		} else {
			cancel(cause)
		}
	})
	return context.WithValue(ctx, webKey{}, call), func() { unhook(); stop(nil); cancel(nil) }
}

// untilWebStops is ctx, ended also when the HTTP server stops by which the call came.
func untilWebStops(ctx context.Context) (context.Context, func()) {
	call, ok := ctx.Value(webKey{}).(*webCall)
	if !ok {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	unhook := context.AfterFunc(call.stopped, func() { cancel(api.ErrShutdown) })
	return ctx, func() { unhook(); cancel(nil) }
}

// refusalOf is why a call is not let in.
func refusalOf(ctx context.Context) error {
	if call, ok := ctx.Value(webKey{}).(*webCall); ok {
		return call.refusal
	}
	return nil
}

func unknownCall(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost && r.Method != http.MethodGet {
		w.Header().Set("Allow", "GET, POST")
		refuseCall(w, http.StatusMethodNotAllowed, connect.CodeUnimplemented, "calls are sent by POST")
		return
	}
	refuseCall(w, http.StatusNotFound, connect.CodeUnimplemented, fmt.Sprintf("there is no call %.100q here", strings.TrimPrefix(r.URL.Path, WebPath)))
}

// Refuse answers a call that was not let in, in the words of the client's protocol. The headers are its caller's.
func (h *Web) Refuse(w http.ResponseWriter, r *http.Request, f *api.Fault) {
	st, _ := status.FromError(statusOf(f))
	kind, _ := webType(r.Header)
	header := w.Header()
	switch {
	case strings.HasPrefix(kind, "application/grpc-web"): // an answer without messages: its end is among the headers
		header.Set("Content-Type", kind)
		header.Set("Grpc-Status", strconv.Itoa(int(st.Code())))
		header.Set("Grpc-Message", url.PathEscape(st.Message()))
		if details, err := proto.Marshal(st.Proto()); err == nil {
			header.Set("Grpc-Status-Details-Bin", base64.RawStdEncoding.EncodeToString(details))
		}
		w.WriteHeader(http.StatusOK)
	case strings.HasPrefix(kind, "application/connect+"): // a stream that ends at once
		end, _ := json.Marshal(map[string]any{"error": connectError(st)}) // texts
		header.Set("Content-Type", kind)
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(append(binary.BigEndian.AppendUint32([]byte{2}, uint32(len(end))), end...))
	default:
		header.Set("Content-Type", "application/json")
		w.WriteHeader(api.HTTPStatus(f.Kind))
		_ = json.NewEncoder(w).Encode(connectError(st))
	}
}

// connectError is a status as Connect has it.
func connectError(st *status.Status) map[string]any {
	out := map[string]any{"code": connect.Code(st.Code()).String(), "message": st.Message()}
	var details []map[string]string
	for _, one := range st.Proto().GetDetails() {
		details = append(details, map[string]string{"type": strings.TrimPrefix(one.GetTypeUrl(), "type.googleapis.com/"), "value": base64.RawStdEncoding.EncodeToString(one.GetValue())})
	}
	if details != nil {
		out["details"] = details
	}
	return out
}

// refuseCall answers as Connect does, where no protocol is known to answer in.
func refuseCall(w http.ResponseWriter, status int, code connect.Code, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"code": code.String(), "message": text})
}
