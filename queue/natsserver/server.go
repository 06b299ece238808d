// Package natsserver runs a NATS server with JetStream inside this process.
//
// It owns the server's life, store, users, accounts and passwords, and enforces the permissions of package queue as in
// production. It must not know what messages mean.
package natsserver

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/taskgrove/taskgrove/queue"
)

// coordinatorUser is the user name of coordinators; every other name is a worker's id.
const coordinatorUser = "coordinator"

// startTimeout bounds the wait for the listener and for JetStream's recovery of stored messages.
const startTimeout = 30 * time.Second

// Bounds for clients. A coordinator subscribes once for each watcher of a tree, a worker only a few times in total. The
// server's other defaults stay: 2 s to log in, 4 KiB for a command, 10 s to accept what is sent.
const (
	maxConnections   = 10_000
	maxSubscriptions = 100_000 // of one connection
)

// Config says where a server keeps its streams and who may connect. Zero fields take the defaults named below.
type Config struct {
	StoreDir            string       // directory of the streams; required; created when missing
	Host                string       // to listen on; default 127.0.0.1
	Port                int          // 0: a free one
	CoordinatorPassword string       // empty: a random one, see [Server.CoordinatorURL]
	WorkerPassword      string       // empty: a random one, see [Server.WorkerURL]
	Prefix              string       // of subjects and streams, as in [queue.Config]; default "tg"
	SyncAlways          bool         // sync every stored message to disk before its acknowledgement; slow
	MaxPayloadBytes     int          // of one message; default 4 MiB, at most 64 MiB
	MaxStoreBytes       int64        // of all streams; default: three quarters of the free disk space
	Logger              *slog.Logger // of the server's own lines; default slog.Default
}

// Server is a running server.
type Server struct {
	nats        *server.Server
	address     string // host:port
	coordinator string // password
	worker      string // password
	relay       *queue.Conn
	full        chan struct{}
}

// Start starts a server. It returns when the server accepts connections and has recovered its streams.
func Start(cfg Config) (*Server, error) {
	if cfg.StoreDir == "" {
		return nil, errors.New("start nats: a store directory is required")
	}
	cfg = cfg.withDefaults()
	gate := &authentication{
		prefix:      cfg.Prefix,
		coordinator: []byte(cfg.CoordinatorPassword),
		worker:      []byte(cfg.WorkerPassword),
	}
	options := cfg.options()
	options.CustomClientAuthentication = gate
	nats, err := server.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("start nats in %s: %w", cfg.StoreDir, err)
	}
	gate.accounts = &accounts{nats: nats, prefix: cfg.Prefix, workers: map[string]*server.Account{}}
	full := make(chan struct{})
	nats.SetLoggerV2(logger{cfg.Logger.With("component", "nats"), sync.OnceFunc(func() { close(full) })}, false, false, false)
	nats.Start() // returns once its goroutines run
	if !nats.ReadyForConnections(startTimeout) {
		nats.Shutdown()
		nats.WaitForShutdown()
		return nil, fmt.Errorf("start nats in %s: not ready after %s", cfg.StoreDir, startTimeout)
	}
	if !nats.JetStreamEnabled() {
		nats.Shutdown()
		nats.WaitForShutdown()
		return nil, fmt.Errorf("start nats in %s: JetStream is off, see the log", cfg.StoreDir)
	}
	port := nats.Addr().(*net.TCPAddr).Port
	s := &Server{
		nats:        nats,
		full:        full,
		address:     net.JoinHostPort(cfg.Host, strconv.Itoa(port)),
		coordinator: cfg.CoordinatorPassword,
		worker:      cfg.WorkerPassword,
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	s.relay, err = queue.Connect(ctx, queue.Config{URL: s.CoordinatorURL(), Name: "server", Prefix: cfg.Prefix, Within: nats, Logger: cfg.Logger})
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("start nats in %s: %w", cfg.StoreDir, err)
	}
	gate.accounts.relayBy(s.relay)
	return s, nil
}

func (cfg Config) withDefaults() Config {
	if cfg.Host == "" {
		cfg.Host = "127.0.0.1"
	}
	if cfg.Port == 0 {
		cfg.Port = server.RANDOM_PORT
	}
	if cfg.CoordinatorPassword == "" {
		cfg.CoordinatorPassword = rand.Text()
	}
	if cfg.WorkerPassword == "" {
		cfg.WorkerPassword = rand.Text()
	}
	if cfg.MaxPayloadBytes == 0 {
		cfg.MaxPayloadBytes = 4 << 20
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return cfg
}

// options are the settings of the embedded server.
func (cfg Config) options() *server.Options {
	return &server.Options{
		ServerName:        "taskgrove",
		Host:              cfg.Host,
		Port:              cfg.Port,
		JetStream:         true,
		StoreDir:          cfg.StoreDir,
		JetStreamMaxStore: cfg.MaxStoreBytes,
		SyncAlways:        cfg.SyncAlways,
		MaxPayload:        int32(cfg.MaxPayloadBytes),
		MaxConn:           maxConnections,
		MaxSubs:           maxSubscriptions,
		NoSigs:            true,
	}
}

// Address is the host and port that the server listens on.
func (s *Server) Address() string { return s.address }

// CoordinatorURL is the URL for coordinators; it holds their password.
func (s *Server) CoordinatorURL() string { return s.url(coordinatorUser, s.coordinator) }

// WorkerURL is the URL for the worker with this id; it holds the password that all workers share.
func (s *Server) WorkerURL(id string) string { return s.url(id, s.worker) }

func (s *Server) url(user, password string) string {
	u := url.URL{Scheme: "nats", User: url.UserPassword(user, password), Host: s.address}
	return u.String()
}

// Shutdown stops the server and returns when its store is closed. A second Shutdown does nothing.
func (s *Server) Shutdown() {
	s.relay.Close()
	s.stop()
}

func (s *Server) stop() {
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
}

// authentication gives each connection the account and the permissions that package queue defines for it. A worker's user
// name is its id; "group.member" logs in as that group. The server doesn't know its pools, so a worker may serve any.
type authentication struct {
	prefix              string
	coordinator, worker []byte
	accounts            *accounts
}

// Check implements server.Authentication.
func (a *authentication) Check(c server.ClientAuthentication) bool {
	given := c.GetOpts()
	password := []byte(given.Password)
	group, _, grouped := strings.Cut(given.Username, ".")
	user := queue.ServerUser{Name: group, Group: grouped}
	account := a.accounts.nats.GlobalAccount()
	switch {
	case given.Username == coordinatorUser && subtle.ConstantTimeCompare(password, a.coordinator) == 1:
	case queue.ValidWorker(given.Username) && (!grouped || group != coordinatorUser) && subtle.ConstantTimeCompare(password, a.worker) == 1:
		user.Pools = []string{"*"}
		var err error
		if account, err = a.accounts.of(user.Worker()); err != nil {
			a.accounts.nats.Errorf("worker %s is refused: %v", given.Username, err)
			return false
		}
	default:
		return false
	}
	granted := user.Permissions(a.prefix)
	c.RegisterUser(&server.User{Username: given.Username, Account: account, Permissions: &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: granted.Publish},
		Subscribe: &server.SubjectPermission{Allow: granted.Subscribe},
	}})
	return true
}

// Full is closed once the server could not write as its disk, or quota, is full. It goes on, and writes again when there is room.
func (s *Server) Full() <-chan struct{} { return s.full }

// logger passes the server's lines to slog.
type logger struct {
	to   *slog.Logger
	full func() // the disk is full: the server tells it in its lines alone
}

func (l logger) Noticef(format string, v ...any) { l.to.Debug(fmt.Sprintf(format, v...)) }
func (l logger) Debugf(format string, v ...any)  { l.to.Debug(fmt.Sprintf(format, v...)) }
func (l logger) Tracef(format string, v ...any)  { l.to.Debug(fmt.Sprintf(format, v...)) }
func (l logger) Warnf(format string, v ...any)   { l.to.Warn(fmt.Sprintf(format, v...)) }
func (l logger) Errorf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
	l.to.Error(line)
	if strings.Contains(line, syscall.ENOSPC.Error()) || strings.Contains(line, syscall.EDQUOT.Error()) {
		l.full()
	}
}
func (l logger) Fatalf(format string, v ...any) { l.to.Error(fmt.Sprintf(format, v...)) }
