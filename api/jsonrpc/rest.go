package jsonrpc

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// read is a GET that answers as a method does, in plain JSON.
type read struct {
	path   string // a pattern of [http.ServeMux]
	params any    // what the query may have
	id     string // the parameter that {id} of the path is; empty: none
	do     method
}

// reads are the GETs for people with curl and a browser.
func (h *Handler) reads() []read {
	return []read{
		{"/tasks", listParams{}, "", h.list},
		{"/tasks/{id}", struct{}{}, "task_id", h.get("Task ID is required")},
		{"/tasks/{id}/tree", struct{}{}, "task_id", h.tree},
		{"/tasks/{id}/children", childrenQuery{}, "parent_id", h.children},
		{"/tasks/{id}/why", struct{}{}, "task_id", h.why},
		{"/tasks/{id}/attempts", struct{}{}, "task_id", h.attempts},
		{"/tasks/{id}/artifacts", artifactsQuery{}, "task_id", h.artifactsList},
	}
}

type childrenQuery struct {
	Limit  int    `json:"limit,omitempty"`
	Cursor string `json:"cursor,omitempty"`
}

type artifactsQuery struct {
	Tree   bool   `json:"tree,omitempty"`
	Limit  int    `json:"limit,omitempty"`
	Cursor string `json:"cursor,omitempty"`
}

// serve answers a read.
func (h *Handler) serve(read read) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), h.cfg.RequestTimeout)
		defer cancel()
		raw, err := queryParams(r.URL.Query(), read.params)
		var result json.RawMessage
		if err == nil {
			if read.id != "" {
				raw[read.id] = appendJSON(nil, r.PathValue("id"))
			}
			x := &exchange{svc: h.on(r), w: w, r: r, single: true, id: null, release: func() {}, whole: true}
			result, err = read.do(ctx, x, appendJSON(nil, raw))
		}
		if err == nil && result == nil {
			err = &api.Fault{Kind: api.NotFound, Text: "Task " + r.PathValue("id") + " not found"}
		}
		status := http.StatusOK
		if err != nil {
			fault := api.Classify(ctx, h.cfg.Log, "GET "+read.path, err)
			status = api.HTTPStatus(fault.Kind)
			result = plainOf(fault)
		}
		w.Header().Set("Cache-Control", "no-store")
		h.answer(w, status, pretty(r, result), []byte("\n"))
	}
}

// plainError is the answer of a read that fails.
type plainError struct {
	Error string `json:"error"`
	Field string `json:"field,omitempty"`
	// Permission is the one that the caller lacks.
	Permission string `json:"permission,omitempty"`
}

func plainOf(f *api.Fault) json.RawMessage {
	return appendJSON(nil, plainError{f.Text, f.Field, f.Permission})
}

// plainly reports whether a request is a read, which is answered without an envelope.
func (h *Handler) plainly(r *http.Request) bool {
	_, pattern := h.mux.Handler(r)
	return slices.ContainsFunc(h.reads(), func(one read) bool { return pattern == "GET "+one.path })
}

// pretty is a result for people, if one is likely to look: a browser, or who asks for it.
func pretty(r *http.Request, result json.RawMessage) json.RawMessage {
	if !r.URL.Query().Has("pretty") && !strings.Contains(r.Header.Get("Accept"), "text/html") {
		return result
	}
	var out bytes.Buffer
	if json.Indent(&out, result, "", "  ") != nil {
		return result
	}
	return out.Bytes()
}

// queryParams are the parameters of a query, as the method takes them: numbers and booleans by the field of known; "labels.KEY" and "custom.KEY"
// are keys of the objects.
func queryParams(query url.Values, known any) (map[string]json.RawMessage, error) {
	out := map[string]json.RawMessage{}
	labels := map[string]string{}
	for name, values := range query {
		if name == "pretty" || name == api.NamespaceParameter {
			continue
		}
		if len(values) > 1 {
			return nil, invalid(name, "%s must not be there twice", name)
		}
		if key, ok := strings.CutPrefix(name, "labels."); ok {
			labels[key] = values[0]
			continue
		}
		out[name] = appendJSON(nil, values[0])
		switch kindOf(known, name) {
		case reflect.Int:
			if _, err := strconv.Atoi(values[0]); err == nil {
				out[name] = json.RawMessage(values[0])
			}
		case reflect.Bool:
			if on, err := strconv.ParseBool(values[0]); err == nil {
				out[name] = appendJSON(nil, on)
			}
		case reflect.Invalid:
			if !strings.HasPrefix(name, "custom.") {
				return nil, (&params{values: map[string]json.RawMessage{name: nil}}).unknown(known)
			}
		}
	}
	if len(labels) > 0 {
		out["labels"] = appendJSON(nil, labels)
	}
	return out, nil
}

// unknown is the fault of a parameter that is no field of known.
func (p *params) unknown(known any) error {
	_, ofTasks := known.(listParams)
	p.onlyOr(known, ofTasks)
	return p.err
}

// kindOf is the kind of the field of that name in JSON.
func kindOf(known any, name string) reflect.Kind {
	t := reflect.TypeOf(known)
	for i := range t.NumField() {
		if field, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); field == name {
			return t.Field(i).Type.Kind()
		}
	}
	return reflect.Invalid
}

// attempt is a try to run a task.
type attempt struct {
	Attempt    int          `json:"attempt"`
	Outcome    string       `json:"outcome"`
	Worker     string       `json:"worker,omitempty"`
	Error      *string      `json:"error"`
	StartedAt  *isoTime     `json:"started_at"`
	FinishedAt *isoTime     `json:"finished_at"`
	Usage      *usageObject `json:"usage,omitempty"`
}

// attempts answers GET /tasks/{id}/attempts.
func (h *Handler) attempts(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	id := p.text("task_id")
	if p.err != nil {
		return nil, p.err
	}
	list, err := x.svc.Attempts(ctx, id)
	if err != nil {
		return nil, named404(err, "Task "+id+" not found")
	}
	answer := make([]attempt, 0, len(list))
	for i := range list {
		answer = append(answer, attemptOf(&list[i]))
	}
	return appendJSON(nil, answer), nil
}

func attemptOf(a *coordinator.Attempt) attempt {
	outcome := a.Outcome.String()
	if a.Running {
		outcome = "running"
	}
	return attempt{Attempt: a.Number, Outcome: outcome, Worker: a.Worker, Error: nullable(&a.Error),
		StartedAt: timeOf(&a.StartedAt), FinishedAt: timeOf(&a.FinishedAt), Usage: usageOf(a.Usage)}
}
