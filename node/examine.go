package node

import (
	"context"
	"fmt"
	"time"

	"github.com/taskgrove/taskgrove/api/identity"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/doctor"
	"github.com/taskgrove/taskgrove/pg"
	"github.com/taskgrove/taskgrove/queue"
)

// examineWithin bounds what a diagnosis without a coordinator takes, for each server.
const examineWithin = 20 * time.Second

// issuers looks whether the keys of issuers of tokens can be had.
func issuers(callers *identity.Callers) doctor.Probe {
	return doctor.Probe{Check: doctor.Issuers, Run: func(context.Context) (out []doctor.Finding) {
		for _, i := range callers.Issuers() {
			switch {
			case i.Fault == nil && !i.Until.IsZero():
				out = append(out, doctor.New(doctor.Issuers, doctor.OK, i.Issuer, "its keys are known"))
			case time.Now().After(i.Until):
				out = append(out, doctor.New(doctor.Issuers, doctor.Problem, i.Issuer, fmt.Sprintf("the keys of issuer %s can't be had, and its tokens are refused: %v", i.Issuer, i.Fault)))
			default:
				out = append(out, doctor.New(doctor.Issuers, doctor.Warning, i.Issuer, fmt.Sprintf("the keys of issuer %s can't be fetched again; those that are known count until %s: %v", i.Issuer, i.Until.UTC().Format(time.RFC3339), i.Fault)))
			}
		}
		return out
	}}
}

// Examine looks at Postgres and NATS by the settings of a coordinator, without one. What is not set is not looked at. The error is of settings.
func Examine(ctx context.Context, cfg *config.Direct) ([]doctor.Finding, error) {
	var probes []doctor.Probe
	if url := cfg.PostgresURL.Reveal(); url != "" {
		store, err := postgresLoginOf(&cfg.PostgresLogin).login(pg.Config{URL: url, StatementTimeout: cfg.StatementTimeout, Pooler: poolers[cfg.Pooler]})
		if err != nil {
			return nil, err
		}
		probes = append(probes, doctor.Probe{Check: doctor.PostgresReach, Run: func(ctx context.Context) []doctor.Finding {
			return doctor.JudgePostgres(store.Examine(ctx), 1, cfg.MaxConns+pg.ConnsBeside, time.Now())
		}})
	}
	if url := cfg.NATSURL.Reveal(); url != "" {
		bus := queue.Config{
			Login:  natsLogin(&cfg.NATSLogin),
			Domain: string(cfg.NATSDomain), URL: url, Prefix: string(cfg.Prefix), Replicas: cfg.Replicas, LogsAge: cfg.LogsAge, LogsBytes: int64(cfg.LogsBytes),
		}
		probes = append(probes, doctor.Probe{Check: doctor.NATSReach, Run: func(ctx context.Context) []doctor.Finding {
			return doctor.JudgeNATS(queue.Examine(ctx, bus), time.Now())
		}})
	}
	return doctor.Run(ctx, examineWithin, probes...), nil
}
