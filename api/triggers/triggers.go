// Package triggers is the door by which others begin runs of schedules: the webhooks that they call.
//
// It owns what such a call looks like over HTTP, and its answers. It must not know how calls are signed, or what a run is.
package triggers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"os"
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
// such webhook; 405; 408: its body did not come; 409: the schedule is paused; 413; 415; 429: too many runs wait. But for 202, nothing is stored.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, "a webhook is called with POST")
		return
	}
	event := coordinator.ScheduleEvent{Namespace: r.PathValue("namespace"), Schedule: r.PathValue("schedule")}
	if fault := headers(r, &event); fault != nil { // before the body is read
		h.fault(r.Context(), w, fault)
		return
	}
	if fault := typeFault(r.Header); fault != "" {
		refuse(w, http.StatusUnsupportedMediaType, fault)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, coordinator.MaxEventBytes))
	if err != nil {
		status, text := bodyFault(err)
		refuse(w, status, text)
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

// headers reads the headers of a call that are signed. An *[coordinator.InvalidArgumentError] has all that is wrong with them.
func headers(r *http.Request, event *coordinator.ScheduleEvent) error {
	var twice []string
	for _, of := range []struct {
		name string
		into *string
	}{{"webhook-id", &event.ID}, {"webhook-timestamp", &event.Timestamp}, {"webhook-signature", &event.Signature}} {
		values := r.Header.Values(of.name)
		*of.into = r.Header.Get(of.name)
		if len(values) > 1 {
			twice = append(twice, of.name)
		}
	}
	return event.Check(twice...)
}

// typeFault is why the body is of a kind that is not taken; empty: it is taken. A compressed one would be signed as nobody reads it.
func typeFault(header http.Header) string {
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	switch {
	case err != nil, len(header.Values("Content-Type")) > 1, kind != "application/json" && !strings.HasSuffix(kind, "+json"):
		return "the content type must be application/json"
	case !strings.EqualFold(cmp.Or(header.Get("Content-Encoding"), "identity"), "identity"), len(header.Values("Content-Encoding")) > 1:
		return "the body must not be compressed: there must be no Content-Encoding"
	}
	return ""
}

// bodyFault says why a body could not be read: whoever sends it is to blame.
func bodyFault(err error) (status int, text string) {
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return http.StatusRequestEntityTooLarge, "the body must be at most 256 KiB"
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return http.StatusRequestTimeout, "the body did not come in time"
	}
	return http.StatusBadRequest, "the body could not be read to its end"
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
