package docker

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/moby/moby/client"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/taskgrove/taskgrove/executors"
)

// DefaultGrace is the time between the stop signal and SIGKILL if none is configured (spec 8.7).
const DefaultGrace = 5 * time.Second

// defaultHost is the engine's address when DOCKER_HOST is not set.
const defaultHost = client.DefaultDockerHost

// Config configures an engine and its executor.
type Config struct {
	// Off switches the executor off, whatever engine there is.
	Off bool
	// Policy is what the tasks of a pool may do, as its operator says; it is asked at each attempt. nil: the zero Policy.
	Policy func(pool string) Policy
	// Pools are the names of pools that have a policy, for what the executor says of them at its start. nil: unknown.
	Pools func() []string
	// MaxOutputBytes is how much is kept of a container's output. 0: 1 MiB.
	MaxOutputBytes int
	// Grace is the time from the stop signal to SIGKILL. 0: [DefaultGrace].
	Grace time.Duration
}

func (c *Config) policy(pool string) Policy {
	if c.Policy == nil {
		return Policy{}
	}
	return c.Policy(pool)
}

// Engine runs containers under the guards of its configuration. Safe for concurrent use. It connects when it is first used; [Engine.Close]
// ends what it keeps open.
type Engine struct {
	cfg      Config
	instance string // on every container of this engine
	warden   warden

	connect sync.Once
	cli     *client.Client
	cliErr  error

	mu     sync.Mutex
	active map[string]bool // names of the containers of running calls

	sweeping sync.Once
	stop     context.CancelFunc // ends the sweeper; nil: none runs
	swept    chan struct{}      // closed when it has ended
}

// NewEngine makes one. It opens nothing yet.
func NewEngine(cfg Config) *Engine {
	if cfg.Grace <= 0 {
		cfg.Grace = DefaultGrace
	}
	e := &Engine{cfg: cfg, instance: uuid.NewString(), active: map[string]bool{}}
	e.warden.instance = e.instance
	return e
}

// untraced keeps the client from spans of its own: pings and sweeps are of no task, and each would be a trace.
var untraced = client.WithTraceProvider(noop.NewTracerProvider())

// client is the connection to the engine, made at the first call.
func (e *Engine) client() (*client.Client, error) {
	e.connect.Do(func() { e.cli, e.cliErr = client.New(client.FromEnv, untraced) })
	if e.cliErr != nil {
		return nil, fmt.Errorf("DOCKER_HOST and the variables beside it: %w", e.cliErr)
	}
	return e.cli, nil
}

// pingWithin bounds the question whether there is an engine.
const pingWithin = 3 * time.Second

// Disabled says why no container can run here, and what to do; empty: the engine answers.
func (e *Engine) Disabled() string {
	if off := e.switchedOff(); off != "" {
		return off
	}
	host := os.Getenv(client.EnvOverrideHost)
	if host == "" {
		host = defaultHost
	}
	cli, err := e.client()
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), pingWithin)
		defer cancel()
		_, err = cli.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
	}
	switch {
	case err == nil:
		return ""
	case strings.Contains(err.Error(), "permission denied"):
		return fmt.Sprintf("this worker may not use the Docker engine at %s: add its user to the group that owns the socket", host)
	}
	return fmt.Sprintf("no Docker engine (19.03 or newer) answers at %s (%v): start it, or set DOCKER_HOST, and restart the worker", host, rootCause(err))
}

func (e *Engine) switchedOff() string {
	if e.cfg.Off {
		return "containers are not allowed on this worker; TASKGROVE_DOCKER_ALLOW=true allows them"
	}
	return ""
}

// Close ends the sweeper and the warden, and closes connections. No Run may be in progress.
func (e *Engine) Close() error {
	e.sweeping.Do(func() {}) // none begins from here on
	if e.stop != nil {
		e.stop()
		<-e.swept
	}
	e.warden.close()
	e.connect.Do(func() {})
	if e.cli != nil {
		return e.cli.Close()
	}
	return nil
}

// Owner says whose a container is.
type Owner struct {
	Pool    string // its policy counts
	Task    string // id, for people
	Key     string // the same for all attempts of one run of the task: a container of a lower Attempt is ended before this one starts
	Attempt int
	Lease   executors.Lease // nil: without end
	Environ []executors.Variable
	// Report is told of pulls. nil: nobody.
	Report executors.Reporter
}

// OwnerOf is the owner of an attempt's container.
func OwnerOf(call *executors.Call) Owner {
	return Owner{
		Pool: call.Pool, Task: call.TaskID, Key: call.IdempotencyKey, Attempt: call.Attempt,
		Lease: call.Lease, Environ: call.Environ(), Report: call.Reporter,
	}
}

// Streams are attached to a container from its first instruction on.
type Streams struct {
	// Stdin is copied to the container, whose input ends with it. nil: no input. Run does not wait for a read that hangs: the caller ends it.
	Stdin io.Reader
	// Stdout and Stderr must be set; they may be the same.
	Stdout, Stderr io.Writer
}

// Exit tells how a container ended.
type Exit struct {
	Container string // its id
	Code      int    // 128 and more: by a signal
	OOMKilled bool   // it had more memory than it may
	Killed    bool   // by SIGKILL, and neither by this package nor, as far as the engine knows, for its memory
	Image     string // the whole name that the image was found by
	ImageID   string // sha256:... of the image's configuration
	Digest    string // sha256:... of the manifest, which a registry has it under; empty: it never came from one
}

// Container says what to run, and how. Zero values leave it to the image, the engine and the pool's [Policy].
type Container struct {
	Image      string
	Pull       Pull
	Auth       *Auth
	Command    []string // empty: the image's own
	Entrypoint []string // empty: the image's own
	Env        map[string]string
	User       string
	WorkingDir string

	Mounts   []Mount
	Tmpfs    map[string]int64 // bytes of a file system in memory, by its place in the container
	ReadOnly bool             // the root file system
	Networks []string

	CPU    float64 // cores
	Memory int64   // bytes
	Shm    int64   // bytes of /dev/shm
	Pids   int64
	GPUs   *GPUs

	// Files is a directory of this host that is copied to /taskgrove in the container before it starts. Empty: nothing is.
	Files string
	// Exited is called when the container has exited by itself, before it is removed. Its error is that of Run. nil: nobody asks.
	Exited func(ctx context.Context, exit Exit, in Inside) error

	// What follows is refused unless the policy allows it.
	Privileged  bool
	CapAdd      []string
	Devices     []string // paths of the host
	Namespaces  []string // of the host: pid, ipc, uts, user
	SecurityOpt []string

	CapDrop []string
	Init    bool          // an init of the engine's is process 1
	Grace   time.Duration // from the stop signal to SIGKILL; 0, or more than the configured: as configured
	Limit   time.Duration // how long it may run; 0, or more: a day. It says when a sweep may take it for dead; ending it is the caller's
	Keep    bool          // stop it only: it is removed a day after its end
}

// Pull says when an image is fetched.
type Pull string

// The values of Pull. The zero value is [PullMissing].
const (
	PullAlways  Pull = "always"
	PullMissing Pull = "missing"
	PullNever   Pull = "never"
)

// Auth is a login at the registry that the image is from.
type Auth struct {
	Username      string `json:"username,omitempty"`
	Password      string `json:"password,omitempty"`
	IdentityToken string `json:"identity_token,omitempty"` // instead of both
}

// Mount is a directory or file of the host, or a named volume.
type Mount struct {
	Source   string // an absolute path of the host, or the name of a volume
	Target   string // absolute path in the container
	ReadOnly bool
}

// GPUs is a request for graphics processors.
type GPUs struct {
	Count int      // -1: all
	IDs   []string // instead of Count
}

// longest is how long a container may run at most.
const longest = 24 * time.Hour

// limit is how long the container may run.
func (c *Container) limit() time.Duration {
	if c.Limit <= 0 || c.Limit > longest {
		return longest
	}
	return c.Limit
}
