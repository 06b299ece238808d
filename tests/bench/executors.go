package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	sshlib "golang.org/x/crypto/ssh"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/taskgrove/taskgrove/executors"
	grpccall "github.com/taskgrove/taskgrove/executors/grpc"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/rest"
	"github.com/taskgrove/taskgrove/executors/sql"
	"github.com/taskgrove/taskgrove/executors/ssh"
	"github.com/taskgrove/taskgrove/executors/ssh/sshtest"
)

// pair is an executor beside the library that it uses. Both do the same at the same server, over a connection that is open.
type pair struct {
	name  string // of the figures
	run   executors.Executor
	input map[string]any
	bare  func(ctx context.Context) error
}

// attemptName and bareName are the figures of a pair, and overheadName is their difference.
func attemptName(name string) string  { return name + ": an attempt" }
func bareName(name string) string     { return name + ": the bare call" }
func overheadName(name string) string { return name + ": overhead" }

// pairNames are those whose figures there are bars for.
var pairNames = []string{rest.ID, grpccall.ID, ssh.ID, sql.ID}

func executorBars() (all []bar) {
	for _, name := range pairNames {
		all = append(all, bar{aside: true, figure: attemptName(name), of: bareName(name), most: true, limit: 2},
			bar{aside: true, figure: overheadName(name), most: true, limit: 2, unit: "ms"})
	}
	return all
}

// overheads measures what executors add to the calls of the libraries that they use. The servers are in this process, but for Postgres
// and sshd.
func overheads(ctx context.Context, o options) (figures []measured, err error) {
	dir, err := dataDir(o)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	net := network.New(network.Config{Guard: network.Guard{Loopback: true}})
	for _, make := range []func(context.Context, options, string, *network.Network) (*pair, func(), error){overHTTP, overGRPC, overSSH, overSQL} {
		p, done, err := make(ctx, o, dir, net)
		if err != nil {
			done()
			return figures, err
		}
		more, err := p.measure(ctx, o.calls)
		if closer, ok := p.run.(io.Closer); ok {
			_ = closer.Close()
		}
		done()
		figures = append(figures, more...)
		if err != nil {
			return figures, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return figures, nil
}

// measure takes turns, so that an hour in which the machine is slow moves both sides alike. The figures are medians.
func (p *pair) measure(ctx context.Context, calls int) ([]measured, error) {
	inputs, err := json.Marshal(p.input)
	if err != nil {
		return nil, err
	}
	attempt := func() error {
		call := &executors.Call{TaskID: "bench", TreeID: "bench", Name: "bench", Attempt: 1, IdempotencyKey: "bench", Inputs: inputs, Pool: p.name,
			Reporter: unread{}, Lease: lasting{time.Now().Add(time.Hour)}}
		_, err := p.run.Run(ctx, call)
		return err
	}
	var ours, bare []float64
	for i := range calls + calls/10 {
		took, err := timed(attempt)
		if err != nil {
			return nil, err
		}
		tookBare, err := timed(func() error { return p.bare(ctx) })
		if err != nil {
			return nil, fmt.Errorf("the bare call: %w", err)
		}
		if i >= calls/10 { // else connections open, and caches fill
			ours, bare = append(ours, took), append(bare, tookBare)
		}
	}
	of := func(name string, v float64) measured { return measured{figure{name, "ms", v}, 0, 0} }
	return []measured{of(attemptName(p.name), median(ours)), of(bareName(p.name), median(bare)),
		of(overheadName(p.name), median(ours)-median(bare))}, nil
}

// timed is how many milliseconds it takes.
func timed(do func() error) (float64, error) {
	begin := time.Now()
	err := do()
	return time.Since(begin).Seconds() * 1000, err
}

// unread is a reporter whom nobody reads.
type unread struct{}

func (unread) Log(string, string)       {}
func (unread) Progress(float64, string) {}

// lasting is a lease that is not extended meanwhile.
type lasting struct{ until time.Time }

func (l lasting) Until() time.Time       { return l.until }
func (lasting) Changed() <-chan struct{} { return nil }

func overHTTP(_ context.Context, _ options, _ string, n *network.Network) (*pair, func(), error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, func() {}, err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"ok":true}`)
	})}
	go func() { _ = server.Serve(l) }() // ends with Close
	url := "http://" + l.Addr().String() + "/"
	client := &http.Client{Transport: &http.Transport{}}
	return &pair{rest.ID, rest.New(rest.Config{}, n), map[string]any{"url": url}, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.ReadAll(resp.Body)
		return err
	}}, func() { client.CloseIdleConnections(); _ = server.Close() }, nil
}

func overGRPC(_ context.Context, _ options, _ string, n *network.Network) (*pair, func(), error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, func() {}, err
	}
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, health.NewServer())
	reflection.Register(server)
	go func() { _ = server.Serve(l) }() // ends with Stop
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, server.Stop, err
	}
	stub := healthpb.NewHealthClient(conn)
	return &pair{grpccall.ID, grpccall.New(grpccall.Config{}, n),
		map[string]any{"server": l.Addr().String(), "service": "grpc.health.v1.Health", "method": "Check", "request": map[string]any{}},
		func(ctx context.Context) error {
			_, err := stub.Check(ctx, &healthpb.HealthCheckRequest{})
			return err
		}}, func() { conn.Close(); server.Stop() }, nil
}

func overSSH(_ context.Context, _ options, _ string, n *network.Network) (*pair, func(), error) {
	host, err := sshtest.Start()
	if err != nil {
		return nil, func() {}, err
	}
	key, err := sshlib.ParsePrivateKey([]byte(host.Read("id")))
	if err != nil {
		return nil, host.Stop, err
	}
	known, _, _, _, err := sshlib.ParseAuthorizedKey([]byte(host.Read("host.pub")))
	if err != nil {
		return nil, host.Stop, err
	}
	client, err := sshlib.Dial("tcp", host.Addr(), &sshlib.ClientConfig{User: host.User, Auth: []sshlib.AuthMethod{sshlib.PublicKeys(key)},
		HostKeyCallback: sshlib.FixedHostKey(known), HostKeyAlgorithms: []string{known.Type()}})
	if err != nil {
		return nil, host.Stop, err
	}
	const command = "cat /proc/loadavg"
	return &pair{ssh.ID, ssh.New(ssh.Config{}, n), host.Inputs(map[string]any{"command": command}), func(context.Context) error {
		session, err := client.NewSession()
		if err != nil {
			return err
		}
		defer session.Close()
		_, err = session.Output(command)
		return err
	}}, func() { client.Close(); host.Stop() }, nil
}

func overSQL(ctx context.Context, o options, dir string, n *network.Network) (*pair, func(), error) {
	server, err := startPostgres(ctx, dir, o)
	if err != nil {
		return nil, func() {}, err
	}
	conn, err := pgx.Connect(ctx, server.URL())
	if err != nil {
		return nil, func() { _ = server.Stop() }, err
	}
	done := func() {
		_ = conn.Close(context.WithoutCancel(ctx))
		_ = server.Stop()
	}
	const query = "select n, n::text as name from generate_series(1, 10) n where n > $1"
	in := map[string]any{"url": server.URL(), "tls": "disable", "query": query, "params": []int{3}}
	return &pair{sql.ID, sql.New(sql.Config{Network: n}), in, func(ctx context.Context) error { // as the executor: nothing but reading
		return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, query, 3)
			if err != nil {
				return err
			}
			_, err = pgx.CollectRows(rows, pgx.RowToMap)
			return err
		})
	}}, done, nil
}

func (unread) Checkpoint(data json.RawMessage) error { return nil }
