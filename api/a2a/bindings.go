package a2a

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"

	pb03 "github.com/a2aproject/a2a-go/a2apb"
	"github.com/a2aproject/a2a-go/v2/a2a"
	grpc03 "github.com/a2aproject/a2a-go/v2/a2agrpc/v0"
	grpc1 "github.com/a2aproject/a2a-go/v2/a2agrpc/v1"
	"github.com/a2aproject/a2a-go/v2/a2asrv"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// binding is the handler as a2a-go's servers of REST and gRPC want it.
type binding struct {
	h    *Handler
	line line // that clients of gRPC speak
}

var _ a2asrv.RequestHandler = binding{}

// Register serves both versions over gRPC.
func (h *Handler) Register(s *grpc.Server) {
	grpc1.NewHandler(binding{h, line1}).RegisterWith(s)
	pb03.RegisterA2AServiceServer(s, service03{grpc03.NewHandler(binding{h, line03})})
}

// service03 is the library's service of 0.3, which leaves out which update is the final one.
type service03 struct{ *grpc03.Handler }

// SendStreamingMessage implements the service.
func (s service03) SendStreamingMessage(r *pb03.SendMessageRequest, stream grpc.ServerStreamingServer[pb03.StreamResponse]) error {
	return s.Handler.SendStreamingMessage(r, stream03{stream})
}

// TaskSubscription implements the service.
func (s service03) TaskSubscription(r *pb03.TaskSubscriptionRequest, stream grpc.ServerStreamingServer[pb03.StreamResponse]) error {
	return s.Handler.TaskSubscription(r, stream03{stream})
}

type stream03 struct {
	grpc.ServerStreamingServer[pb03.StreamResponse]
}

// Send says of a terminal update that it is the final one.
func (s stream03) Send(r *pb03.StreamResponse) error {
	if u := r.GetStatusUpdate(); u != nil {
		switch u.GetStatus().GetState() {
		case pb03.TaskState_TASK_STATE_COMPLETED, pb03.TaskState_TASK_STATE_FAILED, pb03.TaskState_TASK_STATE_CANCELLED:
			u.Final = true
		}
	}
	return s.ServerStreamingServer.Send(r)
}

// rest serves REST, below its own path.
func (h *Handler) rest() http.Handler {
	served := a2asrv.NewRESTHandler(binding{h, line1}, a2asrv.WithTransportKeepAlive(h.cfg.KeepAlive))
	return http.StripPrefix(rest1, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := h.on(r.Context(), line1, r.RemoteAddr, r.Header)
		body, release, err := h.tasks.ReadBody(w, r, h.cfg.MaxBodyBytes)
		defer release()
		if err == nil {
			err = api.CountBytes(r.Context(), int64(len(body)))
		}
		if err == nil && len(body) > 0 && rawjson.Check(body) != nil {
			err = fault(codeParse, "the request is not JSON, or nests too deep")
		} else if err != nil {
			err = h.bodyFault(err)
		}
		if err != nil {
			refuseREST(w, h.faultOf(r.Context(), "read the request", err))
			return
		}
		ctx := context.WithValue(r.Context(), exchangeKey{}, &restExchange{x, body})
		r = r.WithContext(ctx)
		r.Body = io.NopCloser(bytes.NewReader(body))
		served.ServeHTTP(flushing{w}, r)
	}))
}

// flushing is an answer that can be flushed, as the library asks for, however it is wrapped.
type flushing struct{ http.ResponseWriter }

// Flush implements [http.Flusher].
func (f flushing) Flush() { _ = http.NewResponseController(f.ResponseWriter).Flush() } // the next write tells

// refuseREST answers with an error before the library has the request.
func refuseREST(w http.ResponseWriter, e *rpcError) {
	status, word := http.StatusBadRequest, "INVALID_ARGUMENT"
	if e.limited {
		status, word = http.StatusTooManyRequests, "RESOURCE_EXHAUSTED"
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(encode(map[string]any{"error": map[string]any{"code": status, "status": word, "message": e.text}}))
}

type exchangeKey struct{}

// restExchange is a request over REST, with the body as it was sent: the library's decoder makes floats of numbers.
type restExchange struct {
	*exchange
	body []byte
}

// exchange is the request that a call of the library belongs to.
func (b binding) exchange(ctx context.Context) (x *exchange, body []byte) {
	if r, ok := ctx.Value(exchangeKey{}).(*restExchange); ok {
		return r.exchange, r.body
	}
	headers, from := http.Header{}, ""
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		for name, values := range md {
			for _, value := range values {
				headers.Add(name, value)
			}
		}
	}
	if p, ok := peer.FromContext(ctx); ok {
		from = p.Addr.String()
	}
	return b.h.on(ctx, b.line, from, headers), nil
}

// out makes an error of the library's of whatever went wrong.
func (b binding) out(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	return b.h.faultOf(ctx, "A2A", err).asError()
}

func (b binding) sending(ctx context.Context, r *a2a.SendMessageRequest) (*exchange, *sending, error) {
	x, body := b.exchange(ctx)
	if body == nil {
		var err error
		if body, err = json.Marshal(r); err != nil {
			return nil, nil, invalid("%v", err)
		}
	}
	s, err := readSending(line1, body)
	return x, s, err
}

func (b binding) SendMessage(ctx context.Context, r *a2a.SendMessageRequest) (a2a.SendMessageResult, error) {
	x, s, err := b.sending(ctx, r)
	if err != nil {
		return nil, b.out(ctx, err)
	}
	task, err := b.h.send(ctx, x, s)
	if err != nil {
		return nil, b.out(ctx, err)
	}
	return decoded(task)
}

func (b binding) SendStreamingMessage(ctx context.Context, r *a2a.SendMessageRequest) iter.Seq2[a2a.Event, error] {
	return b.events(ctx, func(tell emit) error {
		x, s, err := b.sending(ctx, r)
		if err != nil {
			return err
		}
		return b.h.sendStreaming(ctx, x, s, tell)
	})
}

func (b binding) SubscribeToTask(ctx context.Context, r *a2a.SubscribeToTaskRequest) iter.Seq2[a2a.Event, error] {
	return b.events(ctx, func(tell emit) error {
		x, _ := b.exchange(ctx)
		after, err := lastEventID(x.headers, nil)
		if err != nil {
			return err
		}
		return b.h.subscribe(ctx, x, string(r.ID), after, tell)
	})
}

// errEnough says that who ranges over events wants no more.
var errEnough = errors.New("enough")

// events are what do tells, and its error.
func (b binding) events(ctx context.Context, do func(emit) error) iter.Seq2[a2a.Event, error] {
	return func(yield func(a2a.Event, error) bool) {
		err := do(func(_ int64, event a2a.Event) error {
			event, err := decoded(event)
			if err != nil {
				return err
			}
			if !yield(event, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(nil, b.out(ctx, err))
		}
	}
}

// decoded is an event whose data are values: what is shown otherwise holds JSON as it was stored, which gRPC can't.
func decoded[E a2a.Event](event E) (E, error) {
	var whole a2a.StreamResponse
	if err := json.Unmarshal(encode(a2a.StreamResponse{Event: event}), &whole); err != nil {
		return event, err
	}
	return whole.Event.(E), nil
}

func (b binding) GetTask(ctx context.Context, r *a2a.GetTaskRequest) (*a2a.Task, error) {
	x, _ := b.exchange(ctx)
	if r.HistoryLength != nil && *r.HistoryLength < 0 {
		return nil, b.out(ctx, invalid("historyLength must be an integer from 0 on"))
	}
	task, err := b.h.task(ctx, x, string(r.ID), r.HistoryLength)
	if err != nil {
		return nil, b.out(ctx, err)
	}
	return decoded(task)
}

func (b binding) ListTasks(ctx context.Context, r *a2a.ListTasksRequest) (*a2a.ListTasksResponse, error) {
	x, _ := b.exchange(ctx)
	list, err := b.h.list(ctx, x, r)
	if err != nil {
		return nil, b.out(ctx, err)
	}
	for i, task := range list.Tasks {
		if list.Tasks[i], err = decoded(task); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (b binding) CancelTask(ctx context.Context, r *a2a.CancelTaskRequest) (*a2a.Task, error) {
	x, _ := b.exchange(ctx)
	metadata, err := valuesOf(encode(r.Metadata), "metadata", nil)
	if err != nil {
		return nil, b.out(ctx, err)
	}
	reason, err := cancelReason(metadata)
	if err != nil {
		return nil, b.out(ctx, err)
	}
	task, err := b.h.cancel(ctx, x, string(r.ID), reason)
	if err != nil {
		return nil, b.out(ctx, err)
	}
	return decoded(task)
}

func (b binding) GetExtendedAgentCard(ctx context.Context, _ *a2a.GetExtendedAgentCardRequest) (*a2a.AgentCard, error) {
	return nil, b.out(ctx, errNoCard)
}

func (b binding) GetTaskPushConfig(ctx context.Context, r *a2a.GetTaskPushConfigRequest) (*a2a.PushConfig, error) {
	x, _ := b.exchange(ctx)
	config, err := b.h.pushConfig(ctx, x, string(r.TaskID), r.ID)
	return config, b.out(ctx, err)
}

func (b binding) ListTaskPushConfigs(ctx context.Context, r *a2a.ListTaskPushConfigRequest) (*a2a.ListTaskPushConfigResponse, error) {
	x, _ := b.exchange(ctx)
	configs, err := b.h.pushConfigs(ctx, x, string(r.TaskID))
	if err != nil {
		return nil, b.out(ctx, err)
	}
	return &a2a.ListTaskPushConfigResponse{Configs: configs}, nil
}

func (b binding) CreateTaskPushConfig(ctx context.Context, r *a2a.PushConfig) (*a2a.PushConfig, error) {
	x, body := b.exchange(ctx)
	if body == nil {
		body = encode(r)
	}
	config, err := b.h.setPushConfig(ctx, x, string(r.TaskID), body)
	return config, b.out(ctx, err)
}

func (b binding) DeleteTaskPushConfig(ctx context.Context, r *a2a.DeleteTaskPushConfigRequest) error {
	x, _ := b.exchange(ctx)
	return b.out(ctx, b.h.deletePushConfig(ctx, x, string(r.TaskID), r.ID))
}
