// Package ssh runs commands on other hosts (spec 8.4).
//
// It owns the connections to hosts, which attempts share; whose host keys are trusted; how a command is kept from outliving its attempt on a
// host; and the shape of the result. It must not know which addresses may be dialled (package network does) or where a secret came from.
package ssh

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// ID is the executor's id.
const ID = "ssh_executor"

// Config says what a worker's ssh_executor may do.
type Config struct {
	// MaxOutputBytes is how much is kept of stdout, of stderr, and of all downloads together. 0: 1 MiB.
	MaxOutputBytes int
	// Grace is the time from SIGTERM to SIGKILL. 0: 2 s.
	Grace time.Duration
	// KnownHosts is the file with the host keys that are trusted. Empty: ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts, as far as they
	// exist.
	KnownHosts string
	// Insecure lets tasks do without the check of the host key. Connections may always, as an operator wrote them.
	Insecure bool
	// KeyDir is the directory where a task's key_file lies. Empty: tasks have none. A connection's may lie anywhere.
	KeyDir string
	// Agent is the socket of an agent whose keys tasks may use. Empty: none.
	Agent string
	// IdleTimeout is how long a connection stays open without an attempt. 0: 1 min.
	IdleTimeout time.Duration
	// KeepAlive is how often a connection is asked for a sign of life. It is given up when the answer takes as long. 0: 15 s.
	KeepAlive time.Duration
}

// Executor is ssh_executor. It keeps connections open between attempts, until it is closed.
type Executor struct {
	cfg  Config
	net  *network.Network
	pool *pool
}

// New makes one that opens its connections through net.
func New(cfg Config, net *network.Network) *Executor {
	if cfg.MaxOutputBytes <= 0 {
		cfg.MaxOutputBytes = executors.DefaultOutputBytes
	}
	if cfg.Grace <= 0 {
		cfg.Grace = 2 * time.Second
	}
	if cfg.IdleTimeout <= 0 {
		cfg.IdleTimeout = time.Minute
	}
	if cfg.KeepAlive <= 0 {
		cfg.KeepAlive = 15 * time.Second
	}
	return &Executor{cfg: cfg, net: net, pool: newPool(cfg.IdleTimeout, cfg.KeepAlive)}
}

// Close closes all connections; it ends whatever still runs over them.
func (e *Executor) Close() error {
	e.pool.close()
	return nil
}

// Describe implements [executors.Executor].
func (e *Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "SSH Executor", Type: "ssh",
		Description: "Runs a command on another host and returns its exit code and output",
		Tags:        []string{"ssh", "remote", "command"},
		Inputs:      inputSchema, Output: outputSchema,
		Kinds: []executors.ErrorKind{
			{Word: executors.KindExit, Text: "The command ended with another code than 0, or by a signal, and `fail_on_error` is set"},
			{Word: executors.KindConnect, Text: "The host, or one on the way to it, can't be reached, or does not let the user in"},
		},
		Cancelable: true, Concurrency: executors.Waiting, Secrets: true,
		Connection: &executors.Connection{Types: []string{"ssh"}, Fields: []string{"host", "port", "username", "password", "key", "key_file",
			"passphrase", "certificate", "agent", "known_hosts", "host_key", "verify_host_key", "jump"}},
		Examples: examples,
	}
}

// Demo implements [executors.Demonstrator] (spec 8.4).
func (e *Executor) Demo(call *executors.Call) (any, time.Duration) {
	in := struct {
		Host     string `json:"host"`
		Username string `json:"username"`
		Command  string `json:"command"`
	}{"demo.example.com", "demo", "echo 'Hello from remote server'"}
	_ = json.Unmarshal(call.Inputs, &in) // what is of another type keeps its default
	return &Result{
		Command: in.Command, Host: in.Host, Username: in.Username, Success: true,
		Stdout: "Hello from remote server\nDemo SSH execution result",
	}, 500 * time.Millisecond
}

// Run implements [executors.Executor]. A command that exits with another code than 0 is a success of the task, unless fail_on_error is set.
// When the context ends, the command's process group is gone from the host before Run returns, if the host still answers, and what it wrote
// until then is the partial result.
func (e *Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	in, err := read(call)
	if err != nil {
		return nil, err
	}
	ctx, cancel, err := executors.LimitTime(ctx, ID, in.Timeout, "Command timeout")
	if err != nil {
		return nil, err
	}
	defer cancel()
	r, err := e.route(call, in)
	if err != nil {
		return nil, err
	}
	scratch := workdir.NewScratch("")
	defer scratch.Remove()
	defer in.close()
	if err := in.fetch(ctx, call, scratch); err != nil {
		return nil, err
	}
	w := &work{in: in, call: call, cfg: &e.cfg, result: Result{Command: in.Command, Host: in.Host, Username: in.Username}}
	defer w.discard()
	if err := e.work(ctx, w, r); err != nil {
		return w.partial(), executors.Ended(ctx, err)
	}
	if in.FailOnError && !w.result.Success {
		return w.partial(), w.result.failure()
	}
	shown, err := w.shown(ctx)
	if err != nil {
		return nil, err
	}
	return executors.Completed(shown), nil
}

// work finds a connection and does everything over it. Nothing has happened on the host when a connection turns out to be broken before its
// first session is open, so another one is taken.
func (e *Executor) work(ctx context.Context, w *work, r *route) error {
	for try := 0; ; try++ {
		c, err := e.pool.take(ctx, r.key, w.in.sessions(), r.dial)
		if err != nil {
			return err
		}
		err = w.over(ctx, c)
		c.give(w.in.sessions())
		if err == nil || ctx.Err() != nil || w.begun || try == maxStale || !isStale(err) {
			return err
		}
	}
}

// maxStale is how many connections an attempt finds broken, or full, before it gives up.
const maxStale = 10

func invalid(format string, args ...any) error {
	return executors.Invalid(ID, fmt.Sprintf(format, args...))
}
