// Package grpccall calls methods of gRPC services (spec 8.5).
//
// It owns the call that inputs describe: where the descriptors of the method come from, the connection, the messages, and the classes of
// status codes. It must not know what a service means by its messages.
//
// A call is sent once: repeating it is for the task's policy to decide. Credentials never show in errors.
package grpccall

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/network"
)

// ID is the executor's id.
const ID = "grpc_executor"

// DefaultMessageBytes is the largest message when nothing else is configured: what gRPC's own clients take.
const DefaultMessageBytes = 4 << 20

// Config configures a worker's gRPC calls.
type Config struct {
	// MaxMessageBytes bounds a message that is sent or taken, and what a result holds of a stream's. 0: [DefaultMessageBytes].
	MaxMessageBytes int
}

// Executor is grpc_executor. It keeps connections and descriptors between attempts, until it is closed.
type Executor struct {
	cfg         Config
	network     *network.Network
	connections connections
	library     library
}

// New makes one, whose connections go through n.
func New(cfg Config, n *network.Network) *Executor {
	if cfg.MaxMessageBytes <= 0 {
		cfg.MaxMessageBytes = DefaultMessageBytes
	}
	return &Executor{cfg: cfg, network: n}
}

// Check implements [executors.Checker]: proxies and authorities must be usable.
func (e *Executor) Check(context.Context) error { return e.network.Check() }

// Close closes the connections.
func (e *Executor) Close() error {
	e.connections.close()
	return nil
}

// Describe implements [executors.Executor].
func (e *Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "gRPC Executor", Type: "grpc",
		Description: "Calls a method of a gRPC service and returns its answer as JSON",
		Tags:        []string{"grpc", "rpc", "api"},
		Inputs:      inputSchema, Output: outputSchema,
		Kinds: []executors.ErrorKind{
			{Word: kindPrefix + "*", Text: "The call ends with that status, in lower case: `grpc_unavailable`, `grpc_resource_exhausted`, `grpc_not_found`"},
			{Word: executors.KindConnect, Text: "There is no connection to the service"},
		},
		Cancelable: true, Concurrency: executors.Waiting, Secrets: true,
		Connection: &executors.Connection{Types: []string{"grpc"}, Fields: []string{"server", "tls", "auth"}},
		Examples:   examples,
	}
}

// Demo implements [executors.Demonstrator] (spec 3.10, 8.5).
func (e *Executor) Demo(call *executors.Call) (any, time.Duration) {
	var in input
	_ = inputs.Decode(ID, call, &in) // a demonstration takes any inputs
	request := in.Request
	if len(request) == 0 {
		request = []byte("{}")
	}
	return &Result{
		Success: true, Server: in.Server, Service: in.Service, Method: in.Method, Request: request,
		Response: []byte(`{"message":"Demo gRPC response"}`), Metadata: Metadata{Headers: map[string]string{}, Trailers: map[string]string{}},
	}, 150 * time.Millisecond
}

// Run implements [executors.Executor].
func (e *Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	plan, err := e.plan(call)
	if err != nil {
		return nil, err
	}
	ctx, cancel, err := executors.LimitTime(ctx, ID, plan.in.Timeout, "DEADLINE_EXCEEDED: timeout")
	if err != nil {
		return nil, err
	}
	defer cancel()
	result, err := e.call(ctx, plan, call)
	if err == nil {
		return executors.Completed(result), nil
	}
	err = plan.explain(ctx, err)
	if result != nil {
		return executors.Partial(result), err
	}
	return nil, err
}

// call connects, learns what the method takes, and makes the call. With an error, the result may hold what came until then.
func (e *Executor) call(ctx context.Context, p *plan, call *executors.Call) (*Result, error) {
	conn, err := e.connections.take(p.peer, func() (*connection, error) { return e.dial(p) })
	if err != nil {
		return nil, err
	}
	keep := false
	defer func() { e.connections.release(conn, keep) }()
	if err := conn.ready(ctx); err != nil {
		return nil, err
	}
	source := newSource(ctx, e, p, conn)
	defer source.close()
	method, err := source.method()
	if err != nil {
		keep = usable(err)
		return nil, unavailable(conn, err)
	}
	x := &exchange{plan: p, conn: conn, method: method, types: source, reporter: call.Reporter, most: e.cfg.MaxMessageBytes}
	result, err := x.run(ctx)
	keep = usable(err)
	source.doubt(err)
	return result, unavailable(conn, err)
}

// unavailable prefers the reason why there is no connection to what gRPC made of it.
func unavailable(conn *connection, err error) error {
	if status.Code(err) == codes.Unavailable {
		return conn.reason(err)
	}
	return err
}
