package jsonrpc

import (
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// artifactParams are the parameters of artifacts.list.
type artifactParams struct {
	TaskID string `json:"task_id,omitempty" required:"true" description:"the task"`
	ID     string `json:"id,omitempty" description:"the same"`
	Tree   bool   `json:"tree,omitempty" description:"the artifacts of all tasks of its tree"`
	Limit  int    `json:"limit,omitempty" description:"100 by default, 1000 at most"`
	Cursor string `json:"cursor,omitempty" description:"of the page before"`
}

// artifactGetParams are the parameters of artifacts.get.
type artifactGetParams struct {
	TaskID  string `json:"task_id,omitempty" required:"true" description:"the task"`
	ID      string `json:"id,omitempty" description:"the same"`
	Name    string `json:"name" required:"true" description:"of the artifact, as artifacts.list has it"`
	Attempt int    `json:"attempt,omitempty" description:"0: the last that has one of the name"`
}

// shownArtifact is an artifact on this wire.
type shownArtifact struct {
	Name      string   `json:"name" description:"a relative path"`
	TaskID    string   `json:"task_id"`
	TaskName  string   `json:"task_name"`
	Attempt   int      `json:"attempt"`
	Kind      string   `json:"kind" description:"file: the task named it; value: an output that was too large for the result"`
	SHA256    string   `json:"sha256" description:"of its content, in hexadecimal"`
	Size      int64    `json:"size" description:"bytes"`
	MediaType string   `json:"media_type"`
	CreatedAt *isoTime `json:"created_at"`
	URL       string   `json:"url" description:"where a GET reads it, on this server"`
}

type artifactList struct {
	Artifacts []shownArtifact `json:"artifacts"`
	Cursor    string          `json:"cursor,omitempty" description:"of the next page"`
}

func showArtifact(a *coordinator.Artifact) shownArtifact {
	parts := strings.Split(a.Name, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return shownArtifact{Name: a.Name, TaskID: a.TaskID, TaskName: a.TaskName, Attempt: a.Attempt, Kind: string(a.Kind), SHA256: a.SHA256, Size: a.Size, MediaType: a.MediaType,
		CreatedAt: timeOf(&a.Created), URL: "/tasks/" + url.PathEscape(a.TaskID) + "/artifacts/" + strings.Join(parts, "/") + "?attempt=" + strconv.Itoa(a.Attempt)}
}

// artifactsList answers artifacts.list.
func (h *Handler) artifactsList(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	f := coordinator.ArtifactFilter{TaskID: p.first("task_id", "id"), Tree: p.flag("tree", false), Limit: p.number("limit", 0, 0, 1000), Cursor: p.text("cursor")}
	p.only(artifactParams{})
	if p.err != nil {
		return nil, p.err
	}
	if f.TaskID == "" {
		return nil, needsTaskID()
	}
	page, err := x.svc.Artifacts(ctx, f)
	if err != nil {
		return nil, named404(err, "Task "+f.TaskID+" not found")
	}
	answer := artifactList{Artifacts: make([]shownArtifact, len(page.Items)), Cursor: page.Next}
	for i, a := range page.Items {
		answer.Artifacts[i] = showArtifact(a)
	}
	return appendJSON(nil, answer), nil
}

// artifactsGet answers artifacts.get: what an artifact is, and where its content is read.
func (h *Handler) artifactsGet(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	q := coordinator.ArtifactQuery{TaskID: p.first("task_id", "id"), Name: p.text("name"), Attempt: p.number("attempt", 0, 0, 1<<30)}
	p.only(artifactGetParams{})
	if p.err != nil {
		return nil, p.err
	}
	if q.TaskID == "" {
		return nil, needsTaskID()
	}
	a, err := x.svc.OpenArtifact(ctx, q)
	if err != nil {
		return nil, named404(err, "Artifact "+q.Name+" of task "+q.TaskID+" not found")
	}
	_ = a.Close()
	return appendJSON(nil, showArtifact(&a.Artifact)), nil
}

// download sends the content of an artifact. A browser saves it, whatever it holds, and shows nothing of it.
func (h *Handler) download(w http.ResponseWriter, r *http.Request) {
	refuse := func(err error) {
		fault := api.Classify(r.Context(), h.cfg.Log, "GET /tasks/{id}/artifacts/{name}", err)
		w.Header().Set("Cache-Control", "no-store")
		h.answer(w, api.HTTPStatus(fault.Kind), plainOf(fault), []byte("\n"))
	}
	q := coordinator.ArtifactQuery{TaskID: r.PathValue("id"), Name: r.PathValue("name")}
	if text := r.URL.Query().Get("attempt"); text != "" {
		var err error
		if q.Attempt, err = strconv.Atoi(text); err != nil || q.Attempt < 0 {
			refuse(invalid("attempt", "attempt must be a number from 0 on"))
			return
		}
	}
	ranged := false
	if from, ok := rangeFrom(r.Header.Get("Range")); ok && r.Header.Get("If-Range") == "" {
		q.Offset, ranged = from, from > 0
	}
	leave, err := h.enter(r.Context())
	if err != nil {
		refuse(err)
		return
	}
	defer leave()
	a, err := h.on(r).OpenArtifact(r.Context(), q)
	if err != nil {
		refuse(named404(err, "Artifact "+q.Name+" of task "+q.TaskID+" not found"))
		return
	}
	defer func() { _ = a.Close() }()
	head := w.Header()
	head.Set("Content-Type", "application/octet-stream")
	if kind, _, err := mime.ParseMediaType(a.MediaType); err == nil && harmless[kind] {
		head.Set("Content-Type", kind)
	}
	head.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": path.Base(a.Name)}))
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Content-Security-Policy", "sandbox")
	head.Set("Cache-Control", "no-store")
	head.Set("Accept-Ranges", "bytes")
	head.Set("ETag", `"`+a.SHA256+`"`)
	head.Set("Content-Length", strconv.FormatInt(a.Size-q.Offset, 10))
	status := http.StatusOK
	if ranged {
		head.Set("Content-Range", "bytes "+strconv.FormatInt(q.Offset, 10)+"-"+strconv.FormatInt(a.Size-1, 10)+"/"+strconv.FormatInt(a.Size, 10))
		status = http.StatusPartialContent
	}
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, a, make([]byte, 256<<10)); err != nil && r.Context().Err() == nil {
		panic(http.ErrAbortHandler) // the connection breaks off, so that nobody takes a part for the whole
	}
}

// harmless are types that a download may have: nothing runs of them.
var harmless = map[string]bool{"text/plain": true, "text/csv": true, "application/json": true, "application/zip": true, "application/gzip": true, "image/png": true, "image/jpeg": true}

// rangeFrom reads a range from a byte to the end: "bytes=100-". Others are not served: the whole is sent.
func rangeFrom(text string) (from int64, ok bool) {
	text, ok = strings.CutPrefix(text, "bytes=")
	if !ok {
		return 0, false
	}
	text, ok = strings.CutSuffix(text, "-")
	if !ok {
		return 0, false
	}
	from, err := strconv.ParseInt(text, 10, 64)
	return from, err == nil && from >= 0
}
