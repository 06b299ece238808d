package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/secrets"
	"github.com/taskgrove/taskgrove/internal/conceal"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/queue"
)

// coordinatorUser is the NATS user of coordinators. A worker that is given its URL takes its own name instead, which
// serves where one password is good for all users, as with taskgrove dev.
const coordinatorUser = "coordinator"

// Dial connects to NATS and makes a worker of the configuration; see [FromEnv] for one that is read from the environment.
//
// url is nats://user:password@host:port, several separated by commas; the user is the worker's id, or the group of an id
// group.member. Dial waits for a server
// until ctx ends, and logs a warning every 5 s. It returns an error that names all faults of the configuration, or one that says
// which executors can't run on this machine (see [executors.Checker]), or what of a worker's needs NATS does not allow the user.
//
// Dial closes the process to others of the same user, as [FromEnv] does.
//
// The executors are the worker's from the call on, and so is the connection: Dial closes them when it fails, [Worker.Run] at
// its end.
func Dial(ctx context.Context, url string, cfg Config) (*Worker, error) {
	w, err := dial(ctx, url, cfg)
	if err != nil {
		return nil, errors.Join(err, closeExecutors(cfg.Executors))
	}
	return w, nil
}

// dial is [Dial], but leaves the executors open when it fails.
func dial(ctx context.Context, url string, cfg Config) (*Worker, error) {
	var faults []error
	var address config.NATSURL
	if err := address.Decode(url); err != nil {
		faults = append(faults, fmt.Errorf("dial worker: url: %w", err))
	}
	cfg.ID = idOf(cfg.ID, address)
	cfg.setDefaults()
	if err := errors.Join(cfg.validate(), cfg.openSecrets()); err != nil {
		faults = append(faults, fmt.Errorf("worker configuration: %w", err))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	if err := conceal.Process(); err != nil {
		cfg.Log.Warn("commands of tasks may be able to read the settings of this process", "error", err)
	}
	if err := check(ctx, cfg.Executors); err != nil {
		return nil, err
	}
	advise(&cfg)
	cfg.adviseConnections()
	for _, text := range secrets.CheckVariables(os.Environ()) {
		cfg.Log.Warn(text)
	}
	cfg.tellOff()
	conn, err := queue.Connect(ctx, queue.Config{
		URL: address.WithUser(coordinatorUser, cfg.ID).Reveal(), Login: cfg.Login, Name: cfg.ID, Prefix: cfg.Prefix, Worker: cfg.ID, Logger: cfg.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("worker %s: %w", cfg.ID, err)
	}
	if err := conn.CheckPermissions(ctx, poolNames(cfg.Pools)); err != nil {
		conn.Close()
		return nil, err
	}
	w, err := newWorker(cfg, conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	if err := w.openOutside(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	closeAll := w.close
	w.close = sync.OnceValue(func() error {
		err := errors.Join(closeAll(), w.outside.Close())
		conn.Close()
		return err
	})
	return w, nil
}

// tellOff logs which executors are off: as a warning, if the operator asked for them.
func (c *Config) tellOff() {
	for _, f := range c.off {
		level := slog.LevelWarn
		if f.Unasked {
			level = slog.LevelInfo
		}
		c.Log.Log(context.Background(), level, "executor is off, and its pool is not served", "executor", f.Executor, "reason", f.Text)
	}
}

// check asks those executors that may be unable to run here.
func check(ctx context.Context, all []executors.Executor) error {
	var faults []error
	for _, e := range all {
		if c, ok := e.(executors.Checker); ok {
			if err := c.Check(ctx); err != nil {
				faults = append(faults, fmt.Errorf("executor %s can't run here: %w", e.Describe().ID, err))
			}
		}
	}
	return errors.Join(faults...)
}

func poolNames(pools []Pool) (names []string) {
	for _, p := range pools {
		names = append(names, p.Name)
	}
	return names
}

// advise logs what operators should think over.
func advise(cfg *Config) {
	for _, e := range cfg.Executors {
		if a, ok := e.(executors.Adviser); ok {
			for _, text := range a.Advice() {
				cfg.Log.Warn(text, "executor", e.Describe().ID)
			}
		}
	}
}

// idOf is the configured id, else the URL's user where that can be a worker's, else one derived from the host name.
func idOf(configured string, url config.NATSURL) string {
	user := url.User()
	if user == coordinatorUser || !queue.ValidWorker(user) {
		user = ""
	}
	return cmp.Or(configured, user, hostID())
}

// hostID is derived from the host name and the id of this process.
func hostID() string {
	host, _ := os.Hostname()
	host = strings.Map(func(r rune) rune {
		if queue.ValidName(string(r)) {
			return r
		}
		return '-'
	}, cmp.Or(host, "worker"))
	return fmt.Sprintf("%.50s-%d", host, os.Getpid())
}
