package jsonrpc

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
)

// signalParams are the parameters of tasks.signal.
type signalParams struct {
	TaskID         string `json:"task_id,omitempty" required:"true" description:"the task"`
	ID             string `json:"id,omitempty" description:"the same"`
	Name           string `json:"name" required:"true" description:"of the signal, at most 255 bytes"`
	Payload        any    `json:"payload,omitempty" description:"any JSON, at most 256 KiB"`
	IdempotencyKey string `json:"idempotency_key,omitempty" description:"a repetition gets the first answer"`
}

// signalled is the answer of tasks.signal.
type signalled struct {
	TaskID string `json:"task_id"`
	Status string `json:"status" description:"taken: the task waited for it; kept: it is there once the task waits; late: the first of its name counts"`
	State  string `json:"state" description:"of the task"`
}

// approveParams are the parameters of tasks.approve.
type approveParams struct {
	TaskID  string `json:"task_id,omitempty" description:"the task; required without token"`
	ID      string `json:"id,omitempty" description:"the same"`
	Choice  string `json:"choice" required:"true" description:"one of the task's: approve and reject, unless it names others"`
	Comment string `json:"comment,omitempty" description:"at most 4 KiB"`
	Payload any    `json:"payload,omitempty" description:"what is changed of what is asked for, where that may be"`
	Token   string `json:"token,omitempty" description:"of a one-time link, instead of task_id"`
}

// approved is the answer of tasks.approve.
type approved struct {
	TaskID string `json:"task_id"`
	Name   string `json:"name"`
	Choice string `json:"choice"`
	State  string `json:"state,omitempty" description:"of the task; not with token"`
}

// approvalLinkParams are the parameters of tasks.approval.link.
type approvalLinkParams struct {
	TaskID  string  `json:"task_id,omitempty" required:"true" description:"the task"`
	ID      string  `json:"id,omitempty" description:"the same"`
	Name    string  `json:"name" required:"true" description:"who the link is for: the answer is by link:NAME"`
	Expires float64 `json:"expires,omitempty" description:"seconds; 7 days by default, 90 days at most"`
}

// approvalLink is the answer of tasks.approval.link.
type approvalLink struct {
	TaskID    string   `json:"task_id"`
	Token     string   `json:"token"`
	Path      string   `json:"path" description:"on this server: a GET shows a page, a POST answers"`
	URL       *string  `json:"url" description:"null: the server does not know by which name it is reached"`
	ExpiresAt *isoTime `json:"expires_at"`
}

// value is a parameter that is any JSON; nil when absent or null.
func (p *params) value(name string) json.RawMessage {
	if !p.given(name) {
		return nil
	}
	return p.values[name]
}

// signal answers tasks.signal.
func (h *Handler) signal(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	id := p.first("task_id", "id")
	sent := coordinator.Signal{Name: p.text("name"), Payload: p.value("payload"), IdempotencyKey: cmp.Or(p.text("idempotency_key"), x.key)}
	p.only(signalParams{})
	if p.err != nil {
		return nil, p.err
	}
	if id == "" {
		return nil, needsTaskID()
	}
	got, err := x.svc.Signal(ctx, id, sent)
	if err != nil {
		return nil, named404(err, "Task "+id+" not found")
	}
	return appendJSON(nil, signalled{TaskID: got.Task.ID, Status: string(got.Status), State: got.Task.State.String()}), nil
}

// approve answers tasks.approve.
func (h *Handler) approve(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	id, token := p.first("task_id", "id"), p.text("token")
	answer := coordinator.Approval{Choice: p.text("choice"), Comment: p.text("comment"), Payload: p.value("payload")}
	if id != "" && token != "" {
		p.refuse("token", "alone: it says which task")
	}
	p.only(approveParams{})
	if p.err != nil {
		return nil, p.err
	}
	switch {
	case token != "":
		got, err := x.svc.ApproveByLink(ctx, token, answer)
		if err != nil {
			return nil, named404(err, "The link is none, or its time is over")
		}
		return appendJSON(nil, approved{TaskID: got.TaskID, Name: got.Name, Choice: got.Choice}), nil
	case id == "":
		return nil, needsTaskID()
	}
	got, err := x.svc.Approve(ctx, id, answer)
	if err != nil {
		return nil, named404(err, "Task "+id+" not found")
	}
	return appendJSON(nil, approved{TaskID: got.ID, Name: got.Name, Choice: answer.Choice, State: got.State.String()}), nil
}

// approvalLink answers tasks.approval.link.
func (h *Handler) approvalLink(ctx context.Context, x *exchange, raw json.RawMessage) (json.RawMessage, error) {
	p, err := named(raw)
	if err != nil {
		return nil, err
	}
	id := p.first("task_id", "id")
	o := coordinator.LinkOptions{Name: p.text("name"), Expires: time.Duration(p.seconds("expires", 0) * float64(time.Second))}
	p.only(approvalLinkParams{})
	if p.err != nil {
		return nil, p.err
	}
	if id == "" {
		return nil, needsTaskID()
	}
	got, err := x.svc.ApprovalLink(ctx, id, o)
	if err != nil {
		return nil, named404(err, "Task "+id+" not found")
	}
	return appendJSON(nil, approvalLink{TaskID: id, Token: got.Token, Path: got.Path, URL: nullable(&got.URL), ExpiresAt: timeOf(&got.Expires)}), nil
}
