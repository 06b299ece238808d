package node

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/pg"
	"github.com/taskgrove/taskgrove/queue"
)

// Weight is what a finding of [Preflight] means for the upgrade.
type Weight string

// What findings mean.
const (
	Fine   Weight = "ok"
	Mind   Weight = "warning" // the upgrade can be done; something is to be known
	Blocks Weight = "blocks"  // mend it first
)

// Finding is one thing that was looked at before an upgrade.
type Finding struct {
	Check  string `json:"check"` // a word for programs
	Weight Weight `json:"weight"`
	Text   string `json:"text"`
	Mend   string `json:"mend,omitempty"` // what to do
}

// largeTable is from what size on a migration that reads or writes a whole table is worth a warning.
const largeTable = 1 << 30

// Preflight looks whether a cluster can be upgraded to this version: at the settings of this environment, the database, and NATS. It changes nothing.
func Preflight(ctx context.Context) []Finding {
	cfg := &config.Coordinator{}
	out := &findings{}
	if err := config.Load(cfg, nil); err != nil {
		for line := range strings.Lines(err.Error()) {
			out.add("settings", Blocks, "change or remove it: this version refuses it", "%s", strings.TrimSpace(line))
		}
	} else {
		out.add("settings", Fine, "", "this version takes the settings of this environment")
	}
	for _, name := range config.Unknown() {
		out.add("settings", Mind, "see docs/configuration.md for its present name, or remove it", "%s is a setting that this version does not read", name)
	}
	if cfg.PostgresURL.Reveal() != "" {
		out.database(ctx, cfg)
	}
	if cfg.NATSURL.Reveal() != "" {
		out.nats(ctx, cfg)
	}
	return out.list
}

type findings struct{ list []Finding }

func (f *findings) add(check string, weight Weight, mend, text string, args ...any) {
	f.list = append(f.list, Finding{check, weight, fmt.Sprintf(text, args...), mend})
}

// database looks at Postgres.
func (f *findings) database(ctx context.Context, cfg *config.Coordinator) {
	parts, err := partsOfDatabase(&config.Database{Postgres: cfg.Postgres, PostgresLogin: cfg.PostgresLogin, PostgresURL: cfg.PostgresURL})
	if err != nil {
		f.add("postgres", Blocks, "mend the setting", "%v", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	p, err := parts.Preflight(ctx)
	if err != nil {
		f.add("postgres", Blocks, "let this machine reach the database with the settings of a coordinator, whose role must own the tables", "%v", parts.ExplainRefusal(ctx, err))
		return
	}
	if p.Standby {
		f.add("postgres", Blocks, "name the primary", "the server is a standby")
	}
	f.schema(p)
	f.processes(p)
	for _, s := range p.Sessions {
		f.add("transactions", Mind, fmt.Sprintf("wait for it, or end it: select pg_terminate_backend(%d)", s.PID),
			"process %d of user %q (%s, %s) has had a transaction open for %d s: migrations wait for it, if it has used their tables", s.PID, s.User, s.Application, s.State, s.Seconds)
	}
	for _, r := range p.Replicas {
		if r.Behind > 64<<20 {
			f.add("replicas", Mind, "wait until it has caught up: what it lacks is lost if it takes over", "replica %q (%s) is %d MiB behind", r.Name, r.Sync, r.Behind>>20)
		} else {
			f.add("replicas", Fine, "", "replica %q (%s) is %d KiB behind", r.Name, r.Sync, r.Behind>>10)
		}
	}
	for _, pool := range p.Idle {
		f.add("pools", Mind, "start a worker for it, or look whether one was forgotten", "tasks wait in pool %q, which no live worker serves", pool)
	}
	if p.Walking > 0 {
		f.add("sealing", Mind, "it goes on with coordinators of either version; \"taskgrove seal status\" shows how far it is", "values of %d tables are being sealed, sealed anew or opened", p.Walking)
	}
	if p.Followups > 10_000 {
		f.add("followups", Mind, "wait: they get less by themselves", "%d pieces of follow-up work wait", p.Followups)
	}
}

// schema looks at the migrations.
func (f *findings) schema(p *pg.Preflight) {
	if len(p.Schema.Unknown) > 0 {
		f.add("schema", Mind, "go on with this version only if it is the neighbour of the one that made them (docs/upgrades.md, Rollback)",
			"a newer version has migrated the database: %s", strings.Join(p.Schema.Unknown, ", "))
	}
	if len(p.Migrations) == 0 {
		f.add("schema", Fine, "", "the database has all migrations of this version")
	}
	var rewritten int64
	for _, m := range p.Migrations {
		size, names := int64(0), []string{}
		for name, bytes := range m.Sizes {
			size += bytes
			names = append(names, fmt.Sprintf("%s: %d MiB", name, bytes>>20))
		}
		slices.Sort(names)
		text := fmt.Sprintf("%s will be made; it locks %s", m.Name, m.Locks)
		if len(names) > 0 {
			text += " (" + strings.Join(names, ", ") + ")"
		}
		switch {
		case !m.Expand && len(p.Processes) > 0:
			f.add("migration", Blocks, "stop all coordinators first, run \"taskgrove migrate\", then start those of this version", "%s. Older coordinators %s", text, m.Older)
		case !m.Brief && size > largeTable:
			rewritten += size
			f.add("migration", Mind, "run \"taskgrove migrate\" when little runs: the tables are locked for as long as it takes", "%s", text)
		default:
			f.add("migration", Fine, "", "%s", text)
		}
	}
	if rewritten > 0 {
		f.add("disk", Mind, "see that the server's disk has that much room; Postgres can't tell how much it has", "migrations may write up to %d MiB anew", rewritten>>20)
	} else {
		f.add("disk", Fine, "", "no migration needs room worth mentioning; the database has %d MiB", p.Bytes>>20)
	}
}

// processes looks at the live coordinators and workers.
func (f *findings) processes(p *pg.Preflight) {
	if len(p.Processes) == 0 {
		f.add("processes", Mind, "if some should run, look at /ready of one of them", "no coordinator and no worker is alive")
	}
	here := minor(taskgrove.Version)
	for _, x := range p.Processes {
		text := fmt.Sprintf("%s %s is of version %s, feature level %d", x.Kind, x.Name, x.Version, x.Level)
		switch there := minor(x.Version); {
		case there < 0:
			f.add("versions", Mind, "upgrade it if it is older than the version before this one", "%s, which can't be compared", text)
		case there < here-1:
			f.add("versions", Blocks, fmt.Sprintf("upgrade it to 0.%d first: only neighbouring versions run together", here-1), "%s", text)
		case there > here+1:
			f.add("versions", Blocks, fmt.Sprintf("use the program of 0.%d or newer", there-1), "%s", text)
		default:
			f.add("versions", Fine, "", "%s", text)
		}
	}
}

// minor is the second number of a version of 0.x, or -1.
func minor(version string) int {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 || parts[0] != "0" {
		return -1
	}
	n, err := strconv.Atoi(parts[1])
	if err != nil {
		return -1
	}
	return n
}

// nats looks whether NATS answers.
func (f *findings) nats(ctx context.Context, cfg *config.Coordinator) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	parts := partsOfCoordinator(cfg, Options{}, slog.New(slog.DiscardHandler))
	conn, err := queue.Connect(ctx, parts.queue)
	if err == nil {
		defer conn.Close()
		_, err = conn.Hint(ctx)
	}
	if err != nil {
		f.add("nats", Blocks, "let this machine reach NATS with the settings of a coordinator", "%v", err)
		return
	}
	f.add("nats", Fine, "", "NATS answers, and JetStream is there")
}
