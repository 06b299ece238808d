package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/taskgrove/taskgrove/api/a2a"
	"github.com/taskgrove/taskgrove/api/grpcserver"
	"github.com/taskgrove/taskgrove/api/httpserver"
	"github.com/taskgrove/taskgrove/api/keda"
	"github.com/taskgrove/taskgrove/api/mcp"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/internal/artifact/s3"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/sealed"
	"github.com/taskgrove/taskgrove/pg"
	"github.com/taskgrove/taskgrove/queue"
)

// Coordinator is a coordinator that a [Process] runs.
type Coordinator struct {
	*coordinator.Coordinator
	Store *pg.Store   // its own; the process closes it
	Queue *queue.Conn // its own; the process closes it
	HTTP  string      // http://host:port, or https://, where it serves; empty: nowhere
	GRPC  string      // host:port where it serves; empty: nowhere
}

// StartCoordinator starts a coordinator and its APIs. It waits for Postgres and NATS that are not there yet, not until the
// coordinator is ready. One that lacks a feature level that the store has used does not start: *[dag.OutdatedError]. An empty address in cfg, which no environment can bring about, means no listener.
func (p *Process) StartCoordinator(ctx context.Context, cfg *config.Coordinator, opts Options) (*Coordinator, error) {
	parts := partsOfCoordinator(cfg, opts, p.log)
	if err := errors.Join(parts.coordinator.Webhooks.Check(), parts.coordinator.Seal.Check()); err != nil {
		return nil, err
	}
	callers, err := parts.askCallers(p.log)
	if err != nil {
		return nil, err
	}
	if callers != nil {
		parts.coordinator.Probes = append(parts.coordinator.Probes, issuers(callers))
	}
	if err := parts.recordCalls(callers != nil); err != nil {
		return nil, err
	}
	parts.boundCallers(p.log)
	secured, err := p.listeners(parts.tls)
	if err != nil {
		return nil, err
	}
	parts.http.TLS, parts.grpc.TLS = secured.http, secured.grpc
	p.warnOfPlain(callers != nil, secured, &parts)
	if parts.store, err = parts.postgres.login(parts.store); err != nil {
		return nil, err
	}
	if parts.artifacts.Endpoint != "" {
		if parts.coordinator.Artifacts.Store, err = s3.New(parts.artifacts); err != nil {
			return nil, fmt.Errorf("TASKGROVE_ARTIFACT_S3_ENDPOINT: %w", err)
		}
	}
	parts.coordinator.ArchiveAt = parts.archive.at()
	if parts.coordinator.Archive, err = parts.archive.open(); err != nil {
		return nil, err
	}
	if parts.coordinator.Roles, err = parts.roles.settings(); err != nil {
		return nil, err
	}
	p.setAwaits(starting)
	if parts.http.Addr != "" && !opts.Resting {
		if parts.porch, err = p.openPorch(ctx, parts.http); err != nil {
			return nil, err
		}
	}
	if parts.coordinator.PodCost, err = podCost(parts.podCost, ownAccount); err != nil {
		return nil, err
	}
	var store *pg.Store
	err = p.await(ctx, "Postgres", func(hindered func(error)) (err error) {
		store, err = openStore(ctx, p.log, parts.store, parts.migrate, hindered)
		return err
	})
	if err != nil {
		return nil, err
	}
	p.OnStop("connections to Postgres", func() error { store.Close(); return nil })
	var conn *queue.Conn
	err = p.await(ctx, "NATS", func(func(error)) (err error) {
		conn, err = queue.Connect(ctx, parts.queue)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	p.OnStop("connection to NATS", func() error { conn.Close(); return nil })
	if err := p.findServer(ctx, store, conn); err != nil {
		return nil, err
	}

	c := &Coordinator{Store: store, Queue: conn}
	parts.coordinator.Webhooks.Forms = a2a.Forms(c)
	c.Coordinator = coordinator.New(parts.coordinator, store, conn)
	if callers != nil {
		const what = "the roles that are stored"
		err := p.awaitStep(ctx, what, func() error {
			return patiently(ctx, p.log, what, unavailable, func() error { return c.LoadBindings(ctx) })
		})
		if err != nil {
			return nil, err
		}
	}
	const keys = "the keys that values are sealed with"
	err = p.awaitStep(ctx, keys, func() error {
		return patiently(ctx, p.log, keys, sealed.IsAway, func() error { return c.CheckKeys(ctx) })
	})
	if err != nil {
		return nil, err
	}
	if opts.Resting {
		p.setAwaits(nil)
		return c, nil
	}
	if err := c.Announce(ctx); err != nil { // before it serves anybody
		return nil, err
	}
	p.Run(ctx, "coordinator", c.Run)
	p.Probe(c.Ready)
	policy := coordinator.AllowAll
	if callers != nil {
		policy, callers.Keys = coordinator.ByRoles(c, c.StoredRoles()), c
		if err := parts.letSignIn(callers, c, p.log); err != nil {
			return nil, err
		}
		p.Run(ctx, "keys of issuers", func(ctx context.Context) error { callers.Run(ctx, p.log); <-ctx.Done(); return nil })
	}
	access := coordinator.NewAccess(c, policy)
	if recorder := c.Recorder(); recorder != nil {
		access.Record(recorder)
		parts.http.Refused, parts.grpc.Refused = recorder.Refused, recorder.Refused
	}
	if c.HTTP, c.GRPC, err = p.serveSurfaces(ctx, access, parts); err != nil {
		return c, err
	}
	p.setAwaits(nil) // from here on, its own word counts
	return c, nil
}

// findServer waits until Postgres is the server that coordinators have used last, as far as NATS knows.
func (p *Process) findServer(ctx context.Context, store *pg.Store, conn *queue.Conn) error {
	if err := coordinator.LearnEpoch(ctx, store.Fence(), conn); err != nil {
		p.log.Warn("which server of Postgres was used last is not known", "error", err)
	}
	const what = "the present server of Postgres"
	return p.awaitStep(ctx, what, func() error {
		return patiently(ctx, p.log, what, pg.Unreachable, func() error { return store.CheckServer(ctx) })
	})
}

// serveSurfaces serves all surfaces of a coordinator, and answers where; empty: nowhere.
func (p *Process) serveSurfaces(ctx context.Context, access *coordinator.Access, parts coordinatorParts) (http, grpc string, err error) {
	tasks, agent := protocols(access, parts)
	if parts.grpc.Addr != "" {
		scaler := keda.New(access)
		parts.grpc.Others = append(parts.grpc.Others, agent.Register, scaler.Register)
		if grpc, err = p.serveGRPC(ctx, access, parts.grpc); err != nil {
			return "", "", fmt.Errorf("%sGRPC_ADDR: %w", config.Prefix, err)
		}
		p.OnStop("streams of KEDA", func() error { scaler.Drain(); return nil }) // else the listener would wait for them
		agent.NameGRPC(grpc)
	}
	if parts.http.Addr != "" {
		tools := mcp.New(access, parts.mcp)
		p.OnStop("sessions of MCP", tools.Close)
		all := mounted(mounts(access, parts, tasks, agent, tools))
		parts.http.Public, parts.http.Signed, parts.http.Refuse = all.public, all.signed, all.refuse
		if parts.porch != nil {
			if parts.http.Listener, err = parts.porch.leave(); err != nil {
				return "", "", fmt.Errorf("%sHTTP_ADDR: %w", config.Prefix, err)
			}
		}
		if http, err = p.serveHTTP(ctx, all, parts.http); err != nil {
			return "", "", fmt.Errorf("%sHTTP_ADDR: %w", config.Prefix, err)
		}
		p.OnStop("streams of MCP", tools.Drain) // else the listener would wait for them
	}
	return http, grpc, nil
}

// serveGRPC serves gRPC and answers where.
func (p *Process) serveGRPC(ctx context.Context, access *coordinator.Access, cfg grpcserver.Config) (string, error) {
	server, err := grpcserver.Listen(access, cfg)
	if err != nil {
		return "", err
	}
	p.Run(ctx, "gRPC", server.Run)
	return server.Addr().String(), nil
}

// serveHTTP serves an API beside the health, readiness and metrics of the process, and answers where.
func (p *Process) serveHTTP(ctx context.Context, api http.Handler, cfg httpserver.Config) (string, error) {
	cfg.API, cfg.Ready, cfg.Metrics = api, p.Ready, p.metrics
	server, err := httpserver.Listen(cfg)
	if err != nil {
		return "", err
	}
	p.Run(ctx, "HTTP", server.Run)
	return server.URL(), nil
}
