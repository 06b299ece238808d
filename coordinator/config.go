package coordinator

import (
	"encoding/json"
	"log/slog"
	"os"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/internal/archive"
	"github.com/taskgrove/taskgrove/internal/doctor"
)

// Config is what a coordinator needs to know. Zero fields get their defaults.
type Config struct {
	Name    string // of this process, for operators; default the host's name
	Version string // of this process, for operators
	// Levels are the feature levels that this process has; default [dag.AllLevels].
	Levels dag.Levels

	Lease     time.Duration // of a worker, from each beat; default 30 s
	Retention time.Duration // how long finished trees are kept; 0: for ever
	PoolIdle  time.Duration // after how long a pool is closed that no worker serves and no unfinished tree needs; default 10 min
	Limits    dag.Limits
	// Known are the built-in executors, and those that the process was given; those that workers announce are learned.
	Known dag.Known
	// Given are those of Known that the process was given: nobody knows what they wait for.
	Given []string
	// Catalogue gives what the built-in executors say of themselves; nil: nothing. It is asked once.
	Catalogue func() []Executor
	// InputKeys are the keys of the inputs of executors, as far as they are known; likely mistakes are warned of, also in these executors' ids.
	InputKeys map[string]treedoc.InputKeys
	// Flows gives what a flow is compiled with: the executors that its steps may name, and what is known of these. Values of a run are added. Default: Known and InputKeys.
	Flows func() flows.Options
	// FlowExecutor is what flows are told of an executor that only workers describe; nil: nothing, so that its steps may have any inputs.
	FlowExecutor func(Executor) *flows.Executor
	// InputFaults gives what finds faults in the inputs of a tree's tasks, of executors that are known here; nil: nothing does. Results of
	// dependencies are still to come. Each tree gets one of its own.
	InputFaults func() func(*dag.Task) []InputFault
	// SchemaFaults are the violations of a JSON Schema by a value, for signals; nil: nothing is checked. The value is valid JSON.
	SchemaFaults func(schema, value json.RawMessage) []string
	// BaseURL is by which URL clients reach the HTTP listener, for links; empty: it is not known.
	BaseURL string
	// Repeatable are the executors whose tasks may run twice at once without harm, whatever the tasks say of themselves.
	Repeatable []string

	Window      int           // ready tasks published per lane of a pool without workers; default 16
	Batch       int           // the most claims or results in one transaction; default 4096
	Submissions int           // of large trees at once, each with a connection of its own, and four times as many in all; more wait; default 8
	Linger      time.Duration // how long a settle waits for more results while there is a queue; default 5 ms
	// ScaleAhead is how far the demand that autoscalers are told looks ahead: about as long as a new worker takes to come. Default 30 s.
	ScaleAhead time.Duration
	Republish  time.Duration // after which a published task that nobody claimed is looked after; default 15 s
	// Audit is the pause between two passes of the auditor; default 20 s; below 0: this process does not audit.
	Audit time.Duration
	// Stuck is how long overdue work may wait before the auditor reports it; default 10 min.
	Stuck time.Duration

	InlineBytes int // larger inputs are asked for by the worker; default 128 KiB
	MaxInputs   int // of one task, merged; default 64 MiB
	MaxResult   int // of one attempt, when it comes in parts; not less than any worker's own bound; default 16 MiB

	Artifacts ArtifactConfig // files that tasks make, and logs of attempts that ended
	// Archive is where trees are written before retention deletes them; nil: they are deleted without.
	Archive archive.Store
	// ArchiveAt says where it is, for comparing coordinators with each other; empty: there is none.
	ArchiveAt string

	// PodCost tells Kubernetes what it costs to take a worker's pod away; nil: it is not told.
	PodCost  PodCost
	Webhooks WebhookConfig
	Seal     SealConfig
	Record   RecordConfig
	Roles    RoleSettings // where callers are asked who they are; see [Coordinator.StoredRoles]

	// Resting is for a coordinator that only answers: Run is never called, and trees may be submitted and executed without it.
	Resting bool

	// Probes are looks of a diagnosis at what only the process knows.
	Probes []doctor.Probe

	Log *slog.Logger // default slog.Default()
}

func (c Config) orDefaults() Config {
	if c.Name == "" {
		c.Name, _ = os.Hostname()
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&c.Lease, 30 * time.Second}, {&c.Linger, 5 * time.Millisecond}, {&c.Republish, 15 * time.Second}, {&c.Audit, 20 * time.Second}, {&c.Stuck, 10 * time.Minute}, {&c.PoolIdle, 10 * time.Minute}, {&c.ScaleAhead, 30 * time.Second}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	for _, d := range []struct {
		field *int
		value int
	}{{&c.Window, 16}, {&c.Batch, 4096}, {&c.Submissions, 8}, {&c.InlineBytes, 128 << 10}, {&c.MaxInputs, 64 << 20}, {&c.MaxResult, 16 << 20}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	c.Artifacts = c.Artifacts.orDefaults()
	if c.Levels == nil {
		c.Levels = dag.AllLevels
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}
