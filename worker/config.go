package worker

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/secrets"
	"github.com/taskgrove/taskgrove/internal/ledger"
	"github.com/taskgrove/taskgrove/internal/workerfile"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// Pool is a queue that the worker serves.
type Pool struct {
	Name        string
	Concurrency int // slots: how many attempts it has in hand at most, from take to result; 0: as [Config.Concurrency] says
}

// Config is what a worker needs to know. Zero fields get their defaults.
type Config struct {
	// ID of the worker, unique in the cluster: 1 to 64 letters, digits, - and _. Its NATS user has the same name. The members of a group,
	// which share the user called like the group and trust each other, have ids of two such names: group.member. If the id is
	// empty, [Dial] takes the user of its URL, and if there is none, derives one from the host name.
	ID string
	// Executors are what the worker can run; 1 to 1000, with ids of 1 to 128 bytes. The worker owns them, and closes those that
	// are an io.Closer.
	Executors []executors.Executor
	// Override are the ids that several executors may have: the last one takes the place of the others. Any other id is refused when two
	// have it.
	Override []string

	// Pools: empty means one for each executor, named like it. None that is named like an executor that is off is served
	// ([executors.Disabler]).
	Pools    []Pool
	OwnPools bool // also serve one pool for each executor, named like it ([dag.PoolOf]), besides those in Pools
	// Concurrency is the slots of each pool that names no number. 0: what suits the executor of the pool's name
	// ([executors.Description]), and in other pools the least that suits one of the executors. All pools together have at most 20 000.
	Concurrency int
	// Ahead is how many attempts of a pool may be claimed before a slot is free for them, while runs are so short that they start
	// within milliseconds; default 1024; below 0: none.
	Ahead int
	// LineWait is how long an attempt that was claimed ahead waits for a slot before it is handed back; default [dag.LineWait]. Three tenths
	// of it are how much work is claimed ahead.
	LineWait time.Duration

	Prefix string // of the cluster's NATS subjects and streams; default tg

	Beat       time.Duration // between beats; default 5 s
	KillGrace  time.Duration // how long before the end of its lease the worker tells executors to stop; default 5 s, at most half a lease
	DrainGrace time.Duration // how long running attempts may go on when a drain begins; default 25 s
	FlushGrace time.Duration // how long a drain waits for receipts after the last attempt stopped; default 10 s

	// Login is what the worker proves itself to NATS with, besides what the URL says.
	Login queue.Login

	MaxKept        int // the worker takes no tasks while more results than this have no receipt; default 10 000, at most 20 000
	MaxKeptBytes   int // the same for their size; default 128 MiB
	MaxResultBytes int // a larger result fails its attempt for good; default 16 MiB
	MaxInputBytes  int // larger inputs fail their attempt for good; default 64 MiB
	InlineBytes    int // a larger result travels as chunks; default 1 MiB, at most half of NATS's maximum
	MaxLogBytes    int // log text of one attempt; the rest is dropped, and a last line says so; default 1 MiB

	// TaskLogs is where lines that tasks write go besides the cluster: "stdout", as JSON, or "otlp", to what OpenTelemetry's variables name; default "off".
	TaskLogs string
	// TaskLogsSealed lets lines of attempts whose values are sealed go there, too, in plain text.
	TaskLogsSealed bool

	Resend    time.Duration // after which a result without receipt is sent again, doubling up to six times this; default 10 s
	AskWithin time.Duration // how long one request may take before it is repeated, four times as long for a part of a payload; default 5 s

	// WorkerFile is the path of the operator's file with connections and secrets; empty: none. Its faults keep the worker from starting. A later
	// version of it counts within a second, unless it is faulty.
	WorkerFile string
	SecretsDir string // a directory with a file for each secret, such as a mounted Secret of Kubernetes; empty: none
	// AgentTools are the ids of executors that agents may use as tools, where the worker's file says nothing else of their pool.
	AgentTools []string
	// DemoSleepScale is by how much longer demonstrations last than their executors say (spec 3.10); default 1; below 0: they take no time.
	DemoSleepScale float64

	// WorkDir is the directory below which steps of flows work that share files, in one for each worker process; empty: one of this user's below the
	// system's directory for temporary files.
	WorkDir string

	// Hooks are called around each attempt.
	Hooks []Hook

	// Validate checks a call's inputs before its executor runs; an error fails the attempt for good. nil: they are checked
	// against the executor's schema and the task's own.
	Validate func(executors.Description, *executors.Call) error

	Host  string       // shown to operators; default the host's name
	Build string       // version of the program, shown to operators; default the main module's, as the go command stamped it
	Log   *slog.Logger // default slog.Default()
	Meter metric.Meter // default the global provider's
	Trace trace.Tracer // default the global provider's
	// TraceInside: processes and services that attempts start and call are not told which trace they belong to.
	TraceInside bool

	replaced []executors.Executor // by Override; the worker only closes them

	secrets  *secrets.Store     // made when the worker is
	policies *workerfile.Source // likewise
	off      []*workerv1.Fault  // executors that are off, and the pools that are not served therefore
	why      map[string]string  // the reason for each pool's slots; nil: not set yet
}

// maxInHand bounds the attempts that one beat has to list, so that it fits into a message.
const maxInHand = 20_000

// The ledger has a place for each pool that coordinators take.
var _ [ledger.MostPools - workerv1.MaxPools]struct{}

// nameRule is that of [queue.ValidName].
const nameRule = "want 1 to 64 letters, digits, - and _"

const instrumentation = "github.com/taskgrove/taskgrove/worker"

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c *Config) setDefaults() {
	c.override()
	c.setPools()
	orDefault(&c.Ahead, 1024)
	orDefault(&c.LineWait, dag.LineWait)
	orDefault(&c.DemoSleepScale, 1)
	orDefault(&c.Beat, 5*time.Second)
	orDefault(&c.KillGrace, 5*time.Second)
	orDefault(&c.DrainGrace, 25*time.Second)
	orDefault(&c.FlushGrace, 10*time.Second)
	orDefault(&c.MaxKept, 10_000)
	orDefault(&c.MaxKeptBytes, 128<<20)
	orDefault(&c.MaxResultBytes, 16<<20)
	orDefault(&c.MaxInputBytes, 64<<20)
	orDefault(&c.InlineBytes, 1<<20)
	orDefault(&c.MaxLogBytes, 1<<20)
	orDefault(&c.Resend, 10*time.Second)
	orDefault(&c.AskWithin, 5*time.Second)
	if c.Host == "" {
		c.Host, _ = os.Hostname()
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		orDefault(&c.Build, buildOf(info))
	}
	if c.Validate == nil {
		c.Validate = inputs.NewChecker(inputs.DefaultCapacity).Check
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Meter == nil {
		c.Meter = otel.Meter(instrumentation)
	}
	if c.Trace == nil {
		c.Trace = otel.Tracer(instrumentation)
	}
}

// buildOf is the version of a program's main module; "(devel)" where it has none.
func buildOf(info *debug.BuildInfo) string {
	const most = 64 // as much as fits into a table
	return info.Main.Version[:min(len(info.Main.Version), most)]
}

// setPools gives every pool its slots, and each executor its pool where that is asked for.
func (c *Config) setPools() {
	named := c.Pools
	c.Pools = slices.Clone(named)
	own := c.OwnPools || len(named) == 0
	if own {
		for _, e := range c.Executors {
			if isNil(e) {
				continue // which validate reports
			}
			own := dag.PoolOf(e.Describe().ID)
			if !slices.ContainsFunc(named, func(p Pool) bool { return p.Name == own }) && !slices.ContainsFunc(c.Pools, func(p Pool) bool { return p.Name == own }) {
				c.Pools = append(c.Pools, Pool{Name: own})
			}
		}
	}
	c.dropPools(own, named)
	c.setSlots()
}

// dropPools drops the pools of executors that are off: their tasks would fail here, and may succeed at another worker. A second
// call finds what the first has dropped.
func (c *Config) dropPools(own bool, named []Pool) {
	before := c.off
	c.off = nil
	for _, e := range c.Executors {
		d, ok := e.(executors.Disabler)
		if !ok || isNil(e) || d.Disabled() == "" {
			continue
		}
		id := e.Describe().ID
		pool := dag.PoolOf(id)
		f := &workerv1.Fault{Executor: clean(id, workerv1.MaxNameBytes), Text: clean(d.Disabled(), workerv1.MaxFaultText)}
		f.Unasked = own && !slices.ContainsFunc(named, func(p Pool) bool { return p.Name == pool })
		if i := slices.IndexFunc(before, func(b *workerv1.Fault) bool { return b.Executor == f.Executor }); i >= 0 {
			f.Unasked = before[i].Unasked
		}
		kept := slices.DeleteFunc(slices.Clone(c.Pools), func(p Pool) bool { return p.Name == pool })
		dropped := slices.ContainsFunc(before, func(f *workerv1.Fault) bool { return f.Pool == pool })
		if queue.ValidName(pool) && (own || dropped || len(kept) < len(c.Pools)) {
			f.Pool = pool
		}
		c.Pools = kept
		c.off = append(c.off, f)
	}
}

// validate reports every fault of the configuration at once.
func (c *Config) validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	switch {
	case c.ID == "":
		fault("id is empty")
	case !queue.ValidWorker(c.ID):
		fault("id %q: %s, or two such names with a dot: group.member", c.ID, nameRule)
	}
	if c.Prefix != "" && !queue.ValidName(c.Prefix) {
		fault("prefix %q: %s", c.Prefix, nameRule)
	}
	c.validateExecutors(fault)
	switch n := len(c.Pools); {
	case n > workerv1.MaxPools:
		fault("%d pools, at most %d", n, workerv1.MaxPools)
	case n == 0 && len(c.off) > 0:
		fault("no pool is left to serve: executor %s is off: %s", c.off[0].Executor, c.off[0].Text)
	}
	c.validatePools(fault)
	c.validateSizes(fault)
	return errors.Join(faults...)
}

// validateExecutors reports executors that are missing, and ids that coordinators would refuse.
func (c *Config) validateExecutors(fault func(string, ...any)) {
	switch n := len(c.Executors); {
	case n == 0:
		fault("no executors")
	case n > workerv1.MaxExecutors:
		fault("%d executors, at most %d", n, workerv1.MaxExecutors)
	}
	ids := map[string]executors.Executor{}
	for i, e := range c.Executors {
		if isNil(e) {
			fault("executors[%d] is nil", i)
			continue
		}
		switch id := e.Describe().ID; {
		case id == "":
			fault("executor %T has no id", e)
		case len(id) > workerv1.MaxNameBytes:
			fault("executor %.64q: its id has %d bytes, at most %d", id, len(id), workerv1.MaxNameBytes)
		case !utf8.ValidString(id) || strings.Contains(id, "\x00"):
			fault("executor %q: its id must be valid UTF-8 without NUL", id)
		case ids[id] != nil:
			fault("%s", twice(id, ids[id], e))
		default:
			ids[id] = e
		}
	}
}

// isNil reports whether there is no executor: nil, or a nil pointer.
func isNil(e executors.Executor) bool {
	v := reflect.ValueOf(e)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}

// validatePools reports faults of pools, each by its name.
func (c *Config) validatePools(fault func(string, ...any)) {
	total, seen := 0, map[string]bool{}
	for _, p := range c.Pools {
		switch {
		case p.Name == "":
			fault("a pool has no name")
		case !queue.ValidName(p.Name):
			fault("pool %q: %s", p.Name, nameRule)
		case p.Concurrency < 1:
			fault("pool %q: concurrency is %d, at least 1", p.Name, p.Concurrency)
		case seen[p.Name]:
			fault("pool %q is named twice", p.Name)
		}
		seen[p.Name] = true
		total += p.Concurrency
	}
	if total > maxInHand {
		fault("concurrency of all pools is %d, at most %d", total, maxInHand)
	}
	if c.MaxKept > maxInHand {
		fault("max kept results is %d, at most %d", c.MaxKept, maxInHand)
	}
}

// validateSizes reports times and sizes below zero.
func (c *Config) validateSizes(fault func(string, ...any)) {
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"beat", c.Beat}, {"kill grace", c.KillGrace}, {"drain grace", c.DrainGrace}, {"flush grace", c.FlushGrace},
		{"resend", c.Resend}, {"ask within", c.AskWithin},
	} {
		if d.value < 0 {
			fault("%s is %v, below zero", d.name, d.value)
		}
	}
	for _, n := range []struct {
		name  string
		value int
	}{
		{"max kept", c.MaxKept}, {"max kept bytes", c.MaxKeptBytes}, {"max result bytes", c.MaxResultBytes},
		{"max input bytes", c.MaxInputBytes}, {"inline bytes", c.InlineBytes}, {"max log bytes", c.MaxLogBytes},
	} {
		if n.value < 0 {
			fault("%s is %d, below zero", n.name, n.value)
		}
	}
}
