package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/api/identity"
	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/internal/sealed"
	"github.com/taskgrove/taskgrove/pg/pgserver"
)

// cluster is Postgres, NATS, coordinators and a worker, each a process of its own.
type cluster struct {
	dir     string
	queue   string // directory of NATS
	pg      *pgserver.Server
	roles   []*role
	client  *client.Client
	address string    // the client's coordinator
	http    string    // its JSON-RPC, http://host:port
	asking  *pgx.Conn // nil: nothing was asked yet
}

// role is one process that is this program again.
type role struct {
	name string
	cmd  *exec.Cmd
	said map[string]string // what it printed when it was ready
	in   io.Closer         // its standard input: it ends when this closes
}

func startCluster(ctx context.Context, o options) (c *cluster, err error) {
	c = &cluster{}
	defer func() {
		if err != nil {
			c.stop()
		}
	}()
	if c.dir, err = dataDir(o); err != nil {
		return c, err
	}
	if c.pg, err = startPostgres(ctx, c.dir, o); err != nil {
		return c, err
	}
	c.queue = filepath.Join(c.dir, "nats")
	if o.without.natsDir != "" {
		if c.queue, err = os.MkdirTemp(o.without.natsDir, "taskgrove-bench-"); err != nil {
			return c, err
		}
	}
	nats, err := c.start("nats", o, "BENCH_DIR="+c.queue)
	if err != nil {
		return c, err
	}
	seal := ""
	if o.sealed {
		seal = sealed.NewKey()
	}
	secret, token, err := accessOf(o)
	if err != nil {
		return c, err
	}
	for range o.coordinators {
		r, err := c.start("coordinator", o, "BENCH_JWT="+secret, "BENCH_SEAL="+seal, "BENCH_POSTGRES="+c.pg.URL(), "BENCH_NATS="+nats.said["coordinator"])
		if err != nil {
			return c, err
		}
		c.address, c.http = r.said["grpc"], r.said["http"]
	}
	if err = c.addWorker(0, o); err != nil {
		return c, err
	}
	if token == "" {
		c.client, err = client.New(c.address)
	} else {
		c.client, err = client.New(c.address, client.WithToken(token))
	}
	return c, err
}

// accessOf makes the secret that coordinators believe tokens by, and a token; empty without access control.
func accessOf(o options) (secret, token string, err error) {
	if !o.access {
		return "", "", nil
	}
	secret = rand.Text() + rand.Text()
	tokens, err := identity.New(identity.Config{Keys: []string{secret}})
	if err != nil {
		return "", "", err
	}
	token, err = tokens.Issue("bench", nil, time.Hour, time.Now())
	return secret, token, err
}

// dataDir makes a directory that the user whom Postgres runs as can enter.
func dataDir(o options) (string, error) {
	dir, err := os.MkdirTemp(o.dir, "taskgrove-bench-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

// startPostgres starts the server that every system is measured with, in a subdirectory of dir.
func startPostgres(ctx context.Context, dir string, o options) (*pgserver.Server, error) {
	settings := map[string]string{"shared_buffers": "1GB"}
	maps.Copy(settings, o.without.postgres)
	return pgserver.Start(ctx, pgserver.Config{DataDir: filepath.Join(dir, "postgres"), Settings: settings})
}

// addWorker starts the worker of that number; all have as many slots.
func (c *cluster) addWorker(i int, o options) error {
	_, err := c.start("worker", o, "BENCH_WORKER="+workerID(i), "BENCH_NATS="+c.roles[0].said[workerID(i)], "BENCH_CONCURRENCY="+strconv.Itoa(o.concurrency), "BENCH_COMMANDS="+strconv.FormatBool(o.commands))
	return err
}

// start starts a role and waits for its line.
func (c *cluster) start(name string, o options, env ...string) (*role, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if name == "coordinator" && o.coordinator != "" {
		program = o.coordinator
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), append(env, roleVariable+"="+name)...)
	if o.profile != "" {
		cmd.Env = append(cmd.Env, "BENCH_PROFILE="+filepath.Join(o.profile, name+".pprof"))
	}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r := &role{name: name, cmd: cmd, in: in}
	c.roles = append(c.roles, r)
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("%s did not start: %w", name, err)
	}
	return r, json.Unmarshal(line, &r.said)
}

// stop ends all, last started first.
func (c *cluster) stop() {
	if c.client != nil {
		_ = c.client.Close()
	}
	if c.asking != nil {
		_ = c.asking.Close(context.Background())
	}
	for i := len(c.roles) - 1; i >= 0; i-- {
		r := c.roles[i]
		_ = r.in.Close()
		timer := time.AfterFunc(20*time.Second, func() { _ = r.cmd.Process.Kill() })
		_ = r.cmd.Wait()
		timer.Stop()
	}
	if c.pg != nil {
		_ = c.pg.Stop()
	}
	_ = os.RemoveAll(c.dir)
	_ = os.RemoveAll(c.queue)
}

// cpu is the processor time that the role's process has used.
func (r *role) cpu() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	return parseCPU(string(stat))
}

// parseCPU reads the processor time of a process from its stat line, in clock ticks of 10 ms.
func parseCPU(stat string) time.Duration {
	_, rest, ok := strings.Cut(stat, ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}
