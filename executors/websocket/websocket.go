// Package websocket speaks with WebSocket servers (spec 8.6).
//
// It owns the exchange of messages that inputs describe: what is sent, which message counts as the reply, and how the connection ends. It must
// not know what the messages mean.
//
// A connection lives for one attempt. It ends with a close frame, also when the attempt is cancelled. Credentials never show in errors.
package websocket

import (
	"context"
	"encoding/json"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/headers"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/network"
)

// ID is the executor's id.
const ID = "websocket_executor"

// DefaultMessageBytes is the largest message when nothing else is configured.
const DefaultMessageBytes = 4 << 20

// Config configures a worker's WebSocket connections.
type Config struct {
	// MaxMessageBytes bounds a message that is sent or taken, and all replies of an attempt together. 0: [DefaultMessageBytes].
	MaxMessageBytes int
}

// Executor is websocket_executor. It keeps nothing between attempts.
type Executor struct {
	cfg     Config
	network *network.Network
}

// New makes one, whose connections go through n.
func New(cfg Config, n *network.Network) *Executor {
	if cfg.MaxMessageBytes <= 0 {
		cfg.MaxMessageBytes = DefaultMessageBytes
	}
	return &Executor{cfg, n}
}

// Check implements [executors.Checker]: proxies and authorities must be usable.
func (e *Executor) Check(context.Context) error { return e.network.Check() }

// Describe implements [executors.Executor].
func (e *Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "WebSocket Executor", Type: "websocket",
		Description: "Sends messages to a WebSocket server and returns its replies",
		Tags:        []string{"websocket", "ws", "realtime"},
		Inputs:      inputSchema, Output: outputSchema,
		Kinds:      headers.Kinds(),
		Cancelable: true, Concurrency: executors.Waiting, Secrets: true,
		Connection: &executors.Connection{Types: []string{"websocket"}, Fields: []string{"url", "tls", "auth"}},
		Examples:   examples,
	}
}

// Demo implements [executors.Demonstrator] (spec 3.10, 8.6).
func (e *Executor) Demo(call *executors.Call) (any, time.Duration) {
	var in input
	_ = inputs.Decode(ID, call, &in) // a demonstration takes any inputs
	p := &plan{in: &in}
	p.setURL()
	text, _, _ := frame(in.Message, "")
	result := &Result{Success: true, URL: p.result, MessageSent: string(text), Response: json.RawMessage("null")}
	if in.WaitResponse == nil || *in.WaitResponse {
		result.Response = json.RawMessage(`{"type":"message","data":"Demo WebSocket response"}`)
	}
	return result, 200 * time.Millisecond
}

// Run implements [executors.Executor].
func (e *Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	p, err := e.plan(call)
	if err != nil {
		return nil, err
	}
	ctx, cancel, err := executors.LimitTime(ctx, ID, p.in.Timeout, "Response timeout")
	if err != nil {
		return nil, err
	}
	defer cancel()
	s, err := e.dial(ctx, p, call)
	if err != nil {
		return nil, p.failure(ctx, err)
	}
	result, err := s.run(ctx)
	s.close(ctx)
	if err != nil {
		err = p.failure(ctx, err)
		if len(result.Responses) > 0 {
			return executors.Partial(result), err
		}
		return nil, err
	}
	return executors.Completed(result), nil
}

// Result is what came of the messages (spec 8.6).
type Result struct {
	Success     bool            `json:"success"`
	URL         string          `json:"url"`
	MessageSent string          `json:"message_sent"`        // the last one
	Response    json.RawMessage `json:"response"`            // to it; null if none was awaited
	Encoding    string          `json:"encoding,omitempty"`  // of Response: empty, or base64
	Responses   []Reply         `json:"responses,omitempty"` // of exchanges
	Skipped     int             `json:"skipped,omitempty"`   // messages that did not count
	Subprotocol string          `json:"subprotocol,omitempty"`
}

// Reply is what came of one exchange.
type Reply struct {
	MessageSent string          `json:"message_sent"`
	Response    json.RawMessage `json:"response"`
	Encoding    string          `json:"encoding,omitempty"`
}
