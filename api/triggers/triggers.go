// Package triggers is the door by which others begin runs of schedules: the webhooks that they call.
//
// It owns what such a call looks like over HTTP, and its answers. It must not know how calls are signed, or what a run is.
package triggers

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// Path is the pattern of [http.ServeMux] that a [Handler] serves.
const Path = coordinator.TriggerPath + "{namespace}/{schedule}"

// requestTime is how long a call may take once its body is here.
const requestTime = 30 * time.Second

// Handler answers calls. Safe for concurrent use.
type Handler struct {
	access *coordinator.Access
	log    *slog.Logger
}

// New makes a handler on the service that access gives.
func New(access *coordinator.Access, log *slog.Logger) *Handler {
	if log == nil {
		log = slog.Default()
	}
	return &Handler{access: access, log: log}
}

// answer is what the caller is told of the run.
type answer struct {
	Schedule string `json:"schedule"`
	FireTime string `json:"fire_time"`
	Status   string `json:"status"`
	Reason   string `json:"reason,omitempty"`
	TreeID   string `json:"tree_id,omitempty"`
}

// ServeHTTP takes a call. 202: its run is stored, or that of an earlier call with its id; 400: it can't be taken as it is; 401: it is not signed with a secret of the webhook, or there is no
// such webhook; 405; 409: the schedule is paused; 413; 415; 429: too many runs wait. But for 202, nothing is stored.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, "a webhook is called with POST")
		return
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		refuse(w, http.StatusUnsupportedMediaType, "the content type must be application/json")
		return
	}
	event := coordinator.ScheduleEvent{Namespace: r.PathValue("namespace"), Schedule: r.PathValue("schedule")}
	for name, into := range map[string]*string{"webhook-id": &event.ID, "webhook-timestamp": &event.Timestamp, "webhook-signature": &event.Signature} {
		values := r.Header.Values(name)
		if len(values) > 1 {
			refuse(w, http.StatusBadRequest, name+": must be there once")
			return
		}
		*into = r.Header.Get(name)
	}
	if err := event.Check(); err != nil { // before the body is read
		h.fault(r.Context(), w, err)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, coordinator.MaxEventBytes))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		refuse(w, http.StatusRequestEntityTooLarge, "the body must be at most 256 KiB")
		return
	}
	if err != nil {
		h.fault(r.Context(), w, err)
		return
	}
	event.Body = body
	ctx, cancel := context.WithTimeout(r.Context(), requestTime)
	defer cancel()
	run, err := h.access.For(api.CallerOf(ctx, coordinator.SurfaceHTTP, r.RemoteAddr)).TakeEvent(ctx, event)
	if err != nil {
		h.fault(ctx, w, err)
		return
	}
	write(w, http.StatusAccepted, answer{run.Schedule, run.FireTime.UTC().Format(time.RFC3339Nano), run.Status, run.Reason, run.TreeID})
}

// fault says why a call is not taken. Its path is not logged: it may name what is not the caller's.
func (h *Handler) fault(ctx context.Context, w http.ResponseWriter, err error) {
	fault := api.Classify(ctx, h.log, "POST "+Path, err)
	if fault.RetryAfter > 0 {
		w.Header().Set("Retry-After", api.Seconds(fault.RetryAfter))
	}
	refuse(w, api.HTTPStatus(fault.Kind), fault.Text)
}

func refuse(w http.ResponseWriter, status int, text string) {
	write(w, status, map[string]string{"error": text})
}

func write(w http.ResponseWriter, status int, v any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
