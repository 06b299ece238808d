package node

import (
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/api/a2a"
	"github.com/taskgrove/taskgrove/api/grpcserver"
	"github.com/taskgrove/taskgrove/api/httpserver"
	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/api/mcp"
	"github.com/taskgrove/taskgrove/api/signin"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/internal/artifact/s3"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/pg"
	"github.com/taskgrove/taskgrove/queue"
	"github.com/taskgrove/taskgrove/worker"
)

// This file says where each setting goes, of a worker together with worker.FromSettings and builtin.FromSettings. A test
// changes one setting after the other and looks whether it arrives.

// coordinatorParts are the configurations of a coordinator's parts.
type coordinatorParts struct {
	migrate     bool
	podCost     bool
	store       pg.Config // without what postgres says
	postgres    postgresLogin
	tls         tlsParts
	queue       queue.Config
	artifacts   s3.Config // without an endpoint: NATS keeps them
	archive     archiveParts
	coordinator coordinator.Config
	grpc        grpcserver.Config // Addr is empty: not served
	http        httpserver.Config // Addr is empty: not served
	jsonrpc     jsonrpc.Config
	mcp         mcp.Config
	auth        authConfig
	roles       rolesConfig
	signin      *signin.Handler // nil: nobody signs in with a browser
	issuers     []string        // where they do
	audit       auditConfig
	a2a         a2a.Config
	routes      routes
	bounds      callerBounds
	porch       *porch // nil: no HTTP, or not opened
}

func partsOfCoordinator(cfg *config.Coordinator, opts Options, log *slog.Logger) coordinatorParts {
	name := cfg.Name
	if name == "" {
		name, _ = os.Hostname() // no name is one, too
	}
	limits := dag.Limits{Tasks: cfg.TreeTasks, Edges: cfg.TreeEdges, Dependencies: cfg.TaskDependencies, PayloadBytes: int(cfg.PayloadBytes), Retention: cfg.RetentionMax}
	known := opts.known()
	audit := cfg.Audit
	if audit == 0 {
		audit = -1
	}
	sessions := cfg.MCPSessions
	if sessions == 0 {
		sessions = -1
	}
	return coordinatorParts{
		migrate: bool(cfg.Migrate), podCost: bool(cfg.PodCost),
		store: pg.Config{
			URL: cfg.PostgresURL.Reveal(), MaxConns: cfg.MaxConns, StatementTimeout: cfg.StatementTimeout, Pooler: poolers[cfg.Pooler],
		},
		postgres: postgresLoginOf(&cfg.PostgresLogin),
		tls:      tlsOf(&cfg.ListenTLS, &cfg.HTTP, &cfg.Listen),
		queue: queue.Config{
			Login:  natsLogin(&cfg.NATSLogin),
			Domain: string(cfg.NATSDomain),
			URL:    cfg.NATSURL.Reveal(), Name: name, Prefix: string(cfg.Prefix), AckWait: ackWait(cfg.Lease), Logger: log,
			Replicas: cfg.Replicas, LogsAge: cfg.LogsAge, LogsBytes: int64(cfg.LogsBytes), ArtifactBytes: int64(cfg.ArtifactStreamBytes),
		},
		artifacts: s3.Config{Endpoint: cfg.ArtifactS3Endpoint, Region: cfg.ArtifactS3Region, Bucket: cfg.ArtifactS3Bucket, Prefix: cfg.ArtifactS3Prefix,
			AccessKey: cfg.ArtifactS3AccessKey.Reveal(), SecretKey: cfg.ArtifactS3SecretKey.Reveal(), PathStyle: bool(cfg.ArtifactS3PathStyle)},
		archive: archiveOf(&cfg.Archive),
		coordinator: coordinator.Config{
			Name: name, Version: Version(), Levels: opts.Levels, Lease: cfg.Lease, Retention: cfg.Retention, PoolIdle: cfg.PoolIdle, Limits: limits, Known: known, Given: opts.given(), Repeatable: opts.repeatable(), InputKeys: opts.inputKeys(), Flows: flowsOf(known), FlowExecutor: flowExecutor, InputFaults: opts.inputFaults(), SchemaFaults: schemaFaults(), BaseURL: string(cfg.BaseURL), Catalogue: opts.executors,
			Window: cfg.Window, Batch: cfg.Batch, Submissions: cfg.Submissions, Linger: cfg.Linger, Republish: cfg.Republish, Audit: audit, ScaleAhead: cfg.ScaleAhead,
			Webhooks: webhooksOf(cfg),
			Seal:     coordinator.SealConfig{Keys: cfg.SealKey.Reveal(), KeyFile: cfg.SealKeyFile, KMS: opts.KMS, Values: bool(cfg.SealValues)},
			Artifacts: coordinator.ArtifactConfig{MaxBytes: int64(cfg.ArtifactBytes), PerTask: cfg.ArtifactsPerAttempt, UserBytes: int64(cfg.ArtifactUserBytes),
				UserNumber: int64(cfg.ArtifactUserNumber), LogsOff: !bool(cfg.ArtifactLogs)},
			Record:  coordinator.RecordConfig{Retention: cfg.AuditRetention, Mirror: cfg.AuditLog},
			Resting: opts.Resting, InlineBytes: int(cfg.InlineBytes), MaxInputs: int(cfg.MaxInputBytes), MaxResult: int(cfg.MaxResultBytes), Log: log,
		},
		grpc:   grpcserver.Config{Addr: string(cfg.GRPCAddr), Known: known, Limits: limits, Log: log},
		http:   httpserver.Config{Addr: string(cfg.HTTPAddr), Hosts: cfg.Hosts, Origins: cfg.Origins, AnyOrigin: bool(cfg.Any), Log: log},
		auth:   authOf(&cfg.Auth),
		roles:  rolesConfig{cfg.Admins, cfg.GroupRoles, cfg.DefaultRole},
		audit:  auditConfig{mode: string(cfg.AuditRecord), keyFile: cfg.AuditKeyFile},
		bounds: callerBounds{rate: cfg.CallerRate, burst: cfg.CallerBurst, streams: cfg.CallerStreams, bytes: cfg.CallerBytes},
		routes: routes{system: bool(cfg.System), docs: bool(cfg.Docs), page: bool(cfg.Page)},
		jsonrpc: jsonrpc.Config{
			Version: Version(), Known: known, Limits: limits, MaxBodyBytes: int64(cfg.RequestBytes), MaxStreams: cfg.EventStreams,
			MaxSubscriptions: cfg.SocketSubscriptions, SlowTimeout: cfg.SlowClient, Log: log,
		},
		mcp: mcp.Config{
			Version: Version(), Known: known, Limits: limits, MaxSessions: sessions, SessionIdle: cfg.MCPSessionIdle, AnswerBytes: int(cfg.MCPAnswerBytes), Log: log,
		},
		a2a: a2a.Config{Version: Version(), BaseURL: string(cfg.BaseURL), Known: known, Limits: limits, Log: log},
	}
}

// webhooksOf are the settings of webhooks.
func webhooksOf(cfg *config.Coordinator) coordinator.WebhookConfig {
	out := coordinator.WebhookConfig{Allow: cfg.WebhookAllow, CAFile: cfg.WebhookCAFile,
		Concurrency: cfg.WebhookRequests, PerHost: cfg.WebhookPerHost, ResultBytes: int(cfg.WebhookResultBytes), Pause: cfg.WebhookPause}
	if cfg.WebhookSecret != "" {
		out.Secrets = strings.Split(cfg.WebhookSecret.Reveal(), ",")
	}
	return out
}

// poolers are what the setting of that name stands for.
var poolers = map[config.Pooler]pg.Pooler{"yes": pg.PoolerBetween, "no": pg.PoolerNone}

// ackWait is after how long messages that a dead process had in hand go to another: before the leases end that are lost with it, so
// that nothing waits longer than for those.
func ackWait(lease time.Duration) time.Duration { return min(lease/2, 30*time.Second) }

// workerParts are the configurations of a worker's parts.
type workerParts struct {
	url      string
	worker   worker.Config // without its executors
	guards   builtin.Config
	external builtin.External  // opened and appended
	http     httpserver.Config // Addr is empty: not served
	tls      tlsParts
}

// partsOfWorker adds what only a process has to the mappings of packages worker and builtin, which custom workers use, too.
func partsOfWorker(cfg *config.Worker, log *slog.Logger) workerParts {
	url, settings := worker.FromSettings(cfg)
	settings.Build, settings.Log = Version(), log
	own := builtin.ExternalFromSettings(&cfg.Executors)
	own.MaxResultBytes = settings.MaxResultBytes
	guards := builtin.FromSettings(&cfg.Executors)
	guards.Python.MaxResultBytes = settings.MaxResultBytes
	return workerParts{
		url: url, worker: settings, guards: guards, external: own, tls: tlsOf(&cfg.ListenTLS, &cfg.HTTP, nil),
		http: httpserver.Config{Addr: string(cfg.HTTPAddr), Hosts: cfg.Hosts, Origins: cfg.Origins, AnyOrigin: bool(cfg.Any), Log: log},
	}
}
