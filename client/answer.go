package client

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// SignalStatus says what became of a signal.
type SignalStatus string

// What becomes of signals. Servers may add others.
const (
	SignalTaken SignalStatus = "taken" // the task waited for it
	SignalKept  SignalStatus = "kept"  // it is there once the task waits
	SignalLate  SignalStatus = "late"  // the first of its name counts
)

// Signal is what is sent to a task.
type Signal struct {
	Name           string
	Payload        any    // is encoded as JSON; a [json.RawMessage] as it is
	IdempotencyKey string // a signal with the key of one that was sent before gets the answer of that; empty: none
}

// Signalled is the answer to a signal.
type Signalled struct {
	Status SignalStatus
	Task   *Task // as it is now
}

// payloadOf is a value as JSON; nil: nothing.
func payloadOf(value any) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case json.RawMessage: // the server says what is wrong with it
		return v, nil
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode payload: %w", err)
	}
	return text, nil
}

// Signal sends a task the signal that it waits for, or will wait for. [ErrNotFound]; [ErrInvalid]: it never waits for that, or the payload is not
// what it asks for; [ErrConflict]: it has ended.
func (c *Client) Signal(ctx context.Context, taskID string, s Signal) (*Signalled, error) {
	payload, err := payloadOf(s.Payload)
	if err != nil {
		return nil, err
	}
	got, err := c.rpc.Signal(ctx, &pb.SignalRequest{TaskId: taskID, Name: s.Name, Payload: payload, IdempotencyKey: s.IdempotencyKey})
	if err != nil {
		return nil, wrap(ctx, err, "signal %s", taskID)
	}
	return &Signalled{Status: SignalStatus(got.Status), Task: taskOf(got.Task)}, nil
}

// The choices of an approval that names none.
const (
	ChoiceApprove = "approve"
	ChoiceReject  = "reject"
)

// Approval is the answer to an approval.
type Approval struct {
	Choice  string // one of the task's
	Comment string
	Payload any // what is changed of what is asked for, where that may be; nil: nothing
}

// Approve answers the approval that a task waits for. [ErrNotFound]; [ErrInvalid]: that is none of its choices; [ErrConflict]: it does not wait for
// one, or not any more.
func (c *Client) Approve(ctx context.Context, taskID string, a Approval) (*Task, error) {
	payload, err := payloadOf(a.Payload)
	if err != nil {
		return nil, err
	}
	got, err := c.rpc.Approve(ctx, &pb.ApproveRequest{TaskId: taskID, Choice: a.Choice, Comment: a.Comment, Payload: payload})
	if err != nil {
		return nil, wrap(ctx, err, "approve %s", taskID)
	}
	return taskOf(got), nil
}

// ApproveByLink answers what the link with the token asks, and tells the id of the task. Errors as of [Client.Approve]; [ErrNotFound]: the token is
// none, or the time of the link is over.
func (c *Client) ApproveByLink(ctx context.Context, token string, a Approval) (taskID string, err error) {
	got, err := c.rpc.Approve(ctx, &pb.ApproveRequest{Token: token, Choice: a.Choice, Comment: a.Comment})
	if err != nil {
		return "", wrap(ctx, err, "approve by link")
	}
	return got.Id, nil
}

// ApprovalLink is a link by which whoever has it can answer an approval, once.
type ApprovalLink struct {
	Token   string    `json:"token"`
	Path    string    `json:"path"`          // of the HTTP listener
	URL     string    `json:"url,omitempty"` // empty: the coordinator does not know by which name it is reached
	Expires time.Time `json:"expires_at"`
}

// LinkApproval makes a link to the approval that a task waits for: name says who it is for, and the answer is by link:NAME. It counts for the time
// given; 0: 7 days. Errors as of [Client.Approve].
func (c *Client) LinkApproval(ctx context.Context, taskID, name string, expires time.Duration) (*ApprovalLink, error) {
	r := &pb.LinkApprovalRequest{TaskId: taskID, Name: name}
	if expires != 0 {
		r.Expires = durationpb.New(expires)
	}
	got, err := c.rpc.LinkApproval(ctx, r)
	if err != nil {
		return nil, wrap(ctx, err, "link to the approval of %s", taskID)
	}
	return &ApprovalLink{Token: got.Token, Path: got.Path, URL: got.Url, Expires: at(got.ExpiresAt)}, nil
}
