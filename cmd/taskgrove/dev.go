package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/sealed"
	"github.com/taskgrove/taskgrove/node"
	"github.com/taskgrove/taskgrove/pg/pgserver"
	"github.com/taskgrove/taskgrove/queue/natsserver"
	"github.com/taskgrove/taskgrove/worker"
)

func devCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a whole cluster on this machine, without any set-up",
		Long: "Runs Postgres, NATS, a coordinator and a worker with every executor.\n\n" +
			"The state is kept in a data directory, or thrown away at the end with --ephemeral. Tasks with commands\n" +
			"wait unless TASKGROVE_COMMAND_ALLOW=true. All settings are environment variables, see docs/configuration.md;\n" +
			"the ones below have flags, too.",
		GroupID: groupServe,
		Args:    cobra.NoArgs,
	}
	var cfg config.Dev
	var apart, background bool
	bind(cmd, config.Variables(&cfg))
	cmd.Flags().BoolVarP(&apart, "detach", "d", false, "run in the background: return once it is ready")
	cmd.Flags().BoolVar(&background, "in-background", false, "this is the process in the background")
	_ = cmd.Flags().MarkHidden("in-background")
	cmd.AddCommand(devStatusCommand(), devStopCommand())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if apart {
			if _, err := config.ReadEnvFiles(); err != nil {
				return err
			}
			if err := config.Load(&cfg, flags(cmd, config.Variables(&cfg))); err != nil {
				return err
			}
			return detach(cmd.Context(), cmd, &cfg)
		}
		return serve(cmd, node.DevKind, &cfg, &cfg.Log, func(ctx context.Context, p *node.Process) error {
			at, dir, w, err := startDev(ctx, p, &cfg, devPlan{background: background})
			if err != nil {
				return err
			}
			if err := tellCommands(p, &cfg, at, background); err != nil {
				return err
			}
			if err := announce(p, cfg.ReadyFile, at); err != nil {
				return err
			}
			welcome(cmd.OutOrStdout(), at, dir, w.Pools(), &cfg)
			p.OnStop("farewell", func() error { // the last to begin is the first to stop
				if _, asked := errors.AsType[errSignal](context.Cause(ctx)); asked {
					farewell(cmd.ErrOrStderr(), w.Stats().InHand, cfg.DrainGrace)
				}
				return nil
			})
			return nil
		})
	}
	return cmd
}

// devPlan is what a cluster is started for.
type devPlan struct {
	background bool // it outlives the command that starts it
	alone      bool // it is for one command, which can't come to its end once the disk is full
}

// startDev starts a whole cluster in this process, from right to left, and returns when it takes tasks:
//
//	            ┌──────────────── taskgrove dev ────────────────┐
//	            │                                               │
//	JSON-RPC ──▶│ HTTP ─┐                                       │
//	            │       ├─▶ coordinator ──┬──────────────────────────▶ Postgres (a child process)
//	gRPC ──────▶│ gRPC ─┘                 └─▶ NATS ◀── worker   │
//	            │                                               │
//	            └───────────────────────────────────────────────┘
//
// It ends in this order: the worker drains, the APIs end, the coordinator, NATS, Postgres, the temporary directory.
func startDev(ctx context.Context, p *node.Process, cfg *config.Dev, plan devPlan) (at addresses, dir string, w *node.Worker, err error) {
	dir, err = openDataDir(p, cfg, plan.background)
	if err != nil {
		return at, dir, nil, err
	}
	postgres, nats, err := startServers(ctx, p, cfg, dir, plan)
	if err != nil {
		return at, dir, nil, err
	}
	settings := cfg.Coordinator(postgres, nats)
	if err := keepSealKey(&settings, dir); err != nil {
		return at, dir, nil, err
	}
	c, err := p.StartCoordinator(ctx, &settings, node.Options{})
	if err != nil {
		return at, dir, nil, err
	}
	if err := p.UntilReady(ctx); err != nil { // a worker that finds no coordinator would complain
		return at, dir, nil, err
	}
	at = addresses{HTTP: c.HTTP, GRPC: c.GRPC, NATS: nats.Reveal(), Postgres: postgres.Reveal()}
	workers := cfg.Worker(nats)
	if w, err = p.StartWorker(ctx, &workers, node.Options{}); err != nil {
		return at, dir, nil, err
	}
	return at, dir, w, p.UntilReady(ctx)
}

// keepSealKey makes the key that secrets are sealed with, once for the data directory, unless the settings name one.
func keepSealKey(settings *config.Coordinator, dir string) error {
	if settings.SealKey != "" || settings.SealKeyFile != "" {
		return nil
	}
	settings.SealKeyFile = filepath.Join(dir, "seal.key")
	if _, err := os.Stat(settings.SealKeyFile); err == nil {
		return nil
	}
	fresh := settings.SealKeyFile + ".new" // the data directory is locked: nobody else writes it
	if err := os.WriteFile(fresh, []byte(sealed.NewKey()+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, settings.SealKeyFile)
}

// startServers starts the private Postgres and NATS at the same time, each unless cfg names one to use instead.
func startServers(ctx context.Context, p *node.Process, cfg *config.Dev, dir string, plan devPlan) (config.PostgresURL, config.NATSURL, error) {
	postgres, nats := cfg.PostgresURL, cfg.NATSURL
	var database *pgserver.Server
	var bus *natsserver.Server
	starts, starting := errgroup.WithContext(ctx) // if one can't start, the other need not
	if postgres.Reveal() == "" {
		starts.Go(func() (err error) {
			database, err = startPostgres(starting, p, cfg, dir)
			return err
		})
	}
	if nats.Reveal() == "" {
		starts.Go(func() (err error) {
			bus, err = startNATS(p, cfg, dir)
			return err
		})
	}
	err := starts.Wait()
	if database != nil { // stopped after NATS, and also when that one did not start
		postgres = config.PostgresURL{Secret: config.Secret(database.URL())}
		p.Run(ctx, "Postgres", func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return database.Stop()
			case <-database.Done():
				return errors.Join(errors.New("the child process ended"), database.Stop())
			}
		})
	}
	if bus != nil {
		nats = config.NATSURL{Secret: config.Secret(bus.CoordinatorURL())}
		p.OnStop("NATS", func() error { bus.Shutdown(); return nil })
		if plan.alone {
			p.Run(ctx, "NATS", func(ctx context.Context) error {
				select {
				case <-ctx.Done():
					return nil
				case <-bus.Full():
					return fmt.Errorf("the disk of %s is full, where this command keeps its cluster: make room, or set TMPDIR to a directory with more", dir)
				}
			})
		}
	}
	return postgres, nats, err
}

// startPostgres starts the private Postgres. Nobody opens the files of an ephemeral one again, so they need not reach the disk:
// initdb syncs a thousand files, and that is most of the time that a start takes. A crash of the server itself loses nothing, as
// what it has written is the kernel's.
func startPostgres(ctx context.Context, p *node.Process, cfg *config.Dev, dir string) (server *pgserver.Server, err error) {
	settings := map[string]string{}
	if cfg.Ephemeral {
		settings["fsync"] = "off"
	}
	err = p.WaitFor(ctx, "the private Postgres to start", nil, func() (err error) {
		server, err = pgserver.Start(ctx, pgserver.Config{DataDir: filepath.Join(dir, "postgres"), BinDir: cfg.PGBin, Settings: settings, Log: p.Log()})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("private Postgres: %w", err)
	}
	return server, nil
}

// startNATS runs NATS in this process. One password serves for every user, so that the address in the ready file is
// good for workers, too; what a user may do follows from its name.
func startNATS(p *node.Process, cfg *config.Dev, dir string) (*natsserver.Server, error) {
	password := rand.Text()
	return natsserver.Start(natsserver.Config{
		StoreDir: filepath.Join(dir, "nats"), Prefix: string(cfg.Prefix), Logger: p.Log(),
		CoordinatorPassword: password, WorkerPassword: password,
	})
}

// openDataDir makes the directory of the state and locks it. A temporary one goes when the process ends; one in the background has a place
// by which it is found.
func openDataDir(p *node.Process, cfg *config.Dev, background bool) (string, error) {
	place, err := devPlace(cfg)
	if err != nil {
		return "", err
	}
	if !bool(cfg.Ephemeral) || background {
		// Others may pass, not look: as root, Postgres runs as another user. What is in it is closed to them.
		if err := errors.Join(os.MkdirAll(place, 0o755), os.Chmod(place, 0o711)); err != nil {
			return "", fmt.Errorf("data directory: %w", err)
		}
		lock, err := lockPlaceSoon(place, background)
		if err != nil {
			return "", err
		}
		p.OnStop("data directory", lock.Close)
	}
	dir := place
	if cfg.Ephemeral {
		if dir, err = os.MkdirTemp("", "taskgrove-dev-"); err != nil {
			return "", fmt.Errorf("temporary directory: %w", err)
		}
		p.OnStop("temporary directory", func() error { return os.RemoveAll(dir) })
	}
	if err := errors.Join(os.Chmod(dir, 0o711), os.MkdirAll(filepath.Join(dir, "nats"), 0o700)); err != nil {
		return "", fmt.Errorf("data directory: %w", err)
	}
	return dir, nil
}

// tellCommands lets "dev status" and "dev stop" find the cluster, unless it is a temporary one in the foreground.
func tellCommands(p *node.Process, cfg *config.Dev, at addresses, background bool) error {
	if bool(cfg.Ephemeral) && !background {
		return nil
	}
	place, err := devPlace(cfg)
	if err != nil {
		return err
	}
	log := ""
	if background {
		log = filepath.Join(place, devLogFile)
	}
	return tellState(p, place, at, log)
}

// dataHome is where programs keep their data.
func dataHome() (string, error) {
	if home := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(home) {
		return home, nil
	}
	if os.Geteuid() == 0 {
		return "/var/lib", nil // root's home is closed to the user that Postgres runs as
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".local", "share"), err
}

// welcome tells a person what there is. Passwords are in the ready file only.
func welcome(w io.Writer, at addresses, dir string, pools []worker.Served, cfg *config.Dev) {
	kept := dir
	if cfg.Ephemeral {
		kept = "nothing is kept (--ephemeral)"
	}
	commands := "off, so their tasks wait; TASKGROVE_COMMAND_ALLOW=true allows them"
	if cfg.CommandAllow {
		commands = "run as this user"
	}
	fmt.Fprintf(w, `
Taskgrove is ready.

  HTTP      %s  (JSON-RPC at /tasks, A2A at /, MCP at /mcp; /docs describes it all)
  gRPC      %s  (what the commands below speak to)
  NATS      %s
  Postgres  %s
  State     %s
  Commands  %s
  Models    %s
  Slots     %s

Try "taskgrove submit FILE --watch", "taskgrove list", "taskgrove workers". Ctrl-C stops it all.

`, at.HTTP, at.GRPC, withoutUser(at.NATS), withoutUser(at.Postgres), kept, commands, modelsOf(os.LookupEnv), slotsOf(pools))
}

// modelsOf tells whose keys tasks that ask models get.
func modelsOf(lookup func(string) (string, bool)) string {
	names := model.KeysIn(lookup)
	if len(names) == 0 {
		return "no key in the environment; OPENAI_API_KEY, ANTHROPIC_API_KEY and others give one to tasks"
	}
	return "any task may spend on " + strings.Join(names, ", ")
}

// slotsOf tells how many tasks run at once: the pools with as many slots for the same reason on a line.
func slotsOf(pools []worker.Served) string {
	type kind struct {
		slots int
		why   string
	}
	names, kinds, total := map[kind][]string{}, []kind{}, 0
	for _, p := range pools {
		k := kind{p.Concurrency, p.Why}
		if names[k] == nil {
			kinds = append(kinds, k)
		}
		names[k] = append(names[k], p.Name)
		total += p.Concurrency
	}
	slices.SortStableFunc(kinds, func(a, b kind) int { return cmp.Compare(b.slots, a.slots) })
	var text strings.Builder
	fmt.Fprintf(&text, "%d tasks at once, over all pools (--concurrency and TASKGROVE_POOLS set them):", total)
	for _, k := range kinds {
		line := fmt.Sprintf("%d, %s:", k.slots, k.why)
		if len(names[k]) > 1 {
			line = fmt.Sprintf("%d each, %s:", k.slots, k.why)
		}
		for i, name := range names[k] {
			if len(line)+len(name) > tableWidth-len(slotsIndent) {
				text.WriteString(slotsIndent + line)
				line = " "
			}
			if line += " " + name; i < len(names[k])-1 {
				line += ","
			}
		}
		text.WriteString(slotsIndent + line)
	}
	return text.String()
}

// slotsIndent begins each line of slots below the first.
const slotsIndent = "\n            "

// farewell tells a person who pressed Ctrl-C what the end waits for.
func farewell(w io.Writer, running int, grace time.Duration) {
	waits := "Nothing runs"
	switch {
	case running == 1:
		waits = fmt.Sprintf("1 task still runs, and has %s to end", grace)
	case running > 1:
		waits = fmt.Sprintf("%d tasks still run, and have %s to end", running, grace)
	}
	fmt.Fprintf(w, "\nStopping. %s; then the coordinator, NATS and Postgres stop. Ctrl-C again ends it at once.\n", waits)
}

func withoutUser(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "elsewhere"
	}
	u.User = nil
	return u.String()
}
