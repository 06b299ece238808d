package pgserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	superuser = "postgres"

	// startTimeout bounds one start where the caller's context does not: recovery after a crash of a large
	// database takes as long as replaying max_wal_size does.
	startTimeout = 2 * time.Minute
	// startSilently is after what time a start says why it takes so long, and complainEvery how often it repeats that.
	startSilently, complainEvery = 3 * time.Second, 10 * time.Second
	// tryEvery is after how long a start tries to connect to a server that has not said that it is ready.
	tryEvery = 100 * time.Millisecond
	// fastStop is how long a SIGINT (fast shutdown: sessions ended, checkpoint written) may take before SIGQUIT.
	fastStop = 10 * time.Second
	// quitStop is how long a SIGQUIT (immediate shutdown, recovery at the next start) may take before SIGKILL.
	quitStop = 5 * time.Second
)

// Config says what server to run. Only DataDir is required.
type Config struct {
	// DataDir holds the cluster and all that belongs to it. It is created, with its parents, when missing. When this
	// process is root, the directory is given to the user that the server runs as.
	DataDir string
	// BinDir holds postgres and initdb. Empty: they are looked for, see [Start].
	BinDir string
	// Port on 127.0.0.1. Zero: a free one, chosen at the first start and kept while the [Server] lives if possible.
	Port int
	// Settings are server settings by name ("shared_buffers": "1GB"), over the defaults: shared_buffers 256MB,
	// max_wal_size 2GB, fsync on, synchronous_commit on. Addresses, port and directories can't be set.
	Settings map[string]string
	// Log is told why a start takes long; nil: nobody is.
	Log *slog.Logger
	// Env is added to the server's environment ("LD_PRELOAD=..."), for tests that show it another clock.
	Env []string
}

// defaults are the settings of every server; fsync and synchronous_commit are Postgres's own defaults, said aloud
// because an accepted tree must survive a power cut (design, rule 5).
var defaults = map[string]string{
	"fsync":              "on",
	"synchronous_commit": "on",
	"shared_buffers":     "256MB",
	"max_wal_size":       "2GB",
	"lc_messages":        "C", // start-up errors are recognised by their text
}

// reserved are the settings that this package must know to be true.
var reserved = []string{"config_file", "data_directory", "hba_file", "listen_addresses", "logging_collector", "port",
	"password_encryption", "ssl", "unix_socket_directories"}

// Server is a Postgres that this process started. Its methods may be called from any goroutine.
type Server struct {
	dir      directory
	as       *account // nil: as ourselves
	bin      binaries
	settings map[string]string
	env      []string
	log      *slog.Logger
	fixed    bool // the port was asked for
	password string

	mu    sync.Mutex // held through start and stop, so that they take turns
	port  int
	child *child // nil when stopped
	lock  *os.File
}

// Start runs a Postgres on cfg.DataDir, which it first creates by initdb when it is empty, and returns when the server
// answers. ctx bounds the start only; the server runs until [Server.Stop].
//
// The binaries are those of cfg.BinDir, else the first that are version 15 or later and fit the data directory: on the
// PATH, in /usr/lib/postgresql/*/bin (Debian), /usr/pgsql-*/bin (Red Hat), Homebrew's and Postgres.app's directories,
// the newest first. When there is none, they are fetched over the network, which takes a minute or so.
//
// Postgres refuses to run as root. Root's server runs as the user postgres, else nobody, who must be able to traverse
// every parent of the data directory: Start makes those so that it creates and those under the temporary directory,
// and reports any other.
//
// The PG* variables of this process are unset (PGSERVICE, PGOPTIONS, PGSSLROOTCERT and so on): they are about other servers, and
// pgx would add them to every connection to this one.
//
// A data directory that was left by a kill -9 of the server, of this process or of both is recovered. One that is in
// use by a living server or process is an error.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.DataDir == "" {
		return nil, errors.New("start postgres: no data directory given")
	}
	for name := range cfg.Settings {
		if slices.Contains(reserved, name) {
			return nil, fmt.Errorf("start postgres: setting %s can't be set", name)
		}
	}
	forgetLibpq()
	s := &Server{port: cfg.Port, fixed: cfg.Port != 0, settings: maps.Clone(defaults), env: cfg.Env, log: cfg.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	maps.Copy(s.settings, cfg.Settings)
	if err := s.prepare(ctx, cfg); err != nil {
		return nil, fmt.Errorf("start postgres in %s: %w", cfg.DataDir, err)
	}
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// prepare does what is done once: directory, user, binaries.
func (s *Server) prepare(ctx context.Context, cfg Config) (err error) {
	if s.as, err = otherAccount(); err != nil {
		return err
	}
	if s.dir, err = openDirectory(cfg.DataDir, s.as); err != nil {
		return err
	}
	major, err := s.dir.major()
	if err != nil {
		return err
	}
	s.bin, err = findBinaries(ctx, search{binDir: cfg.BinDir, major: major, as: s.as})
	return err
}

// Start starts a server that was stopped or killed again, on the same data and, when nobody took it meanwhile, the same
// port, so that [Server.URL] stays the same; a port that was asked for is never replaced. It returns nil at once when
// the server runs.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child != nil && !s.child.ended() {
		return nil
	}
	s.release()
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("postgres not ready after %v", startTimeout))
	defer cancel()
	if err := s.start(ctx); err != nil {
		s.release()
		return fmt.Errorf("start postgres in %s: %w", s.dir.root, err)
	}
	return nil
}

func (s *Server) start(ctx context.Context) (err error) {
	if s.lock, err = s.dir.lock(); err != nil {
		return err
	}
	if err := s.dir.awaitUnused(ctx); err != nil {
		return err
	}
	if s.password, err = s.dir.init(ctx, s.bin, s.as, s.settings["fsync"] == "off"); err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		if s.port == 0 {
			if s.port, err = freePort(); err != nil {
				return err
			}
		}
		err = s.launch(ctx)
		switch {
		case err == nil:
			return nil
		case attempt == 20 || ctx.Err() != nil:
			return err
		case strings.Contains(err.Error(), "Address already in use") && !s.fixed:
			s.port = 0 // somebody was quicker
		case strings.Contains(err.Error(), "pre-existing shared memory block"):
			// A killed server's sessions are about to notice that it is gone.
			if pause(ctx, 250*time.Millisecond) != nil {
				return err
			}
		default:
			return err
		}
	}
}

// launch starts the child and waits until it answers or has ended.
func (s *Server) launch(ctx context.Context) error {
	args := []string{"-D", s.dir.path("pgdata"), "-p", strconv.Itoa(s.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "logging_collector=off"}
	for _, name := range slices.Sorted(maps.Keys(s.settings)) {
		args = append(args, "-c", name+"="+s.settings[name])
	}
	log, err := openLog(s.dir.path("log"))
	if err != nil {
		return err
	}
	cmd := command(s.as, s.dir.root, filepath.Join(s.bin.dir, "postgres"), args...)
	cmd.Env = append(cmd.Env, s.env...)
	c, err := startChild(cmd, log)
	if err != nil {
		return err
	}
	complain := time.Now().Add(startSilently)
	ready, not := log.ready, errors.New("it does not say that it is ready")
	for {
		select {
		case <-c.done:
			return fmt.Errorf("postgres ended (%v): %s", c.err, log.tail())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%w: %w: %s", context.Cause(ctx), not, log.tail()), c.stop())
		case <-ready:
			ready = nil // from here on, time alone can tell
		case <-time.After(tryEvery):
		}
		if not = s.answers(ctx, c); not == nil {
			s.child = c
			return nil
		}
		if time.Now().After(complain) {
			complain = time.Now().Add(complainEvery)
			s.log.Warn("Postgres runs, and does not answer yet", "error", not, "server_log", log.tail())
		}
	}
}

// answers tries one connection, and asks whether it is our child that answers: another server might have the port.
func (s *Server) answers(ctx context.Context, c *child) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	go func() { // ends with this function at the latest
		select {
		case <-c.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	conn, err := pgx.Connect(ctx, s.url())
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var at string
	if err := conn.QueryRow(ctx, "select current_setting('data_directory')").Scan(&at); err != nil {
		return err
	}
	if at != s.dir.path("pgdata") {
		return fmt.Errorf("port %d is that of a server in %s", s.port, at)
	}
	return nil
}

// URL is where the server's database postgres answers, with the superuser's name and password: keep it out of logs. It
// stays the same after a stop; see [Server.Start] for when it may change.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url()
}

func (s *Server) url() string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(superuser, s.password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), Path: "/postgres", RawQuery: "sslmode=disable"}
	return u.String()
}

// Version is the major version of the server, 15 or more.
func (s *Server) Version() int { return s.bin.major }

// Done is closed when the server's process has ended, for whatever reason; it is closed already for a stopped server.
// Ask again after [Server.Start].
func (s *Server) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child == nil {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	return s.child.done
}

// Stop ends the server: open transactions are rolled back, sessions closed, a checkpoint written (SIGINT); after 10 s
// it is told to end without (SIGQUIT), which costs a recovery at the next start but no commit. It returns when the
// process has ended, nil if that was in order. A stopped server may be stopped again.
func (s *Server) Stop() error { return s.end((*child).stop) }

// Kill ends the server's main process by SIGKILL, as a crash would; the next start recovers. For tests.
func (s *Server) Kill() error { return s.end((*child).kill) }

func (s *Server) end(how func(*child) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child == nil {
		return nil
	}
	err := how(s.child)
	s.release()
	if err != nil {
		return fmt.Errorf("stop postgres in %s: %w", s.dir.root, err)
	}
	return nil
}

// release forgets an ended child and gives the directory up.
func (s *Server) release() {
	s.child = nil
	if s.lock != nil {
		unlock(s.lock)
		s.lock = nil
	}
}

// Free ports are taken from below the range that systems choose ports for outgoing connections from (Linux: 32768 and up,
// IANA: 49152 and up), so that nobody gets one by chance while its server is stopped.
const firstPort, lastPort = 20000, 32000

// freePort finds a port of 127.0.0.1 that nobody listens on. Somebody else may take it before we do.
func freePort() (int, error) {
	var last error
	for range 50 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
		last = err
	}
	return 0, fmt.Errorf("find a free port: %w", last)
}

// pause waits for d, or returns ctx's cause when ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
