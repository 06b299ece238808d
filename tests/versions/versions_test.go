package versions

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/pg/pgtest"
)

const root = "../.."

// patience is how long a step may take; nothing takes that long unless it is stuck.
const patience = 90 * time.Second

// The two versions. Workers serve a pool of that name besides those of the executors.
const (
	before  = "before"
	present = "present"
)

// mayLackHistory reports whether the test may be skipped because of an error of [Before]: on a machine of somebody who has an
// archive of the source, say. CI has to fetch the whole history. ci is the variable CI, which CI services set to true.
func mayLackHistory(err error, ci string) bool { return errors.Is(err, ErrNoHistory) && ci != "true" }

// TestTwoVersionsRunTogether upgrades a cluster of the version before, one process at a time, in both orders, and the
// configuration of its NATS server once its coordinators are new. After each step, the clients of both versions submit trees to
// each coordinator, whose tasks go from worker to worker. Everything ends as it must, and the auditors of both versions find
// nothing.
func TestTwoVersionsRunTogether(t *testing.T) {
	if os.Getenv("TASKGROVE_VERSIONS") == "" {
		t.Skip("it builds the version before: make versions")
	}
	at, err := Before(root)
	if mayLackHistory(err, os.Getenv("CI")) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"COORDINATOR", "BEFORE_WORKER", "PRESENT_WORKER"} {
		t.Setenv("TASKGROVE_PASSWORD_"+user, natsPassword)
	}
	dir := t.TempDir()
	programs := map[string]string{}
	if programs[before], err = Build(root, at, dir); err != nil {
		t.Fatal(err)
	}
	if programs[present], err = BuildHere(root, filepath.Join(dir, "taskgrove")); err != nil {
		t.Fatal(err)
	}
	t.Logf("the version before is %s, commit %s", at.Version, at.Hash)
	for name, upgrade := range map[string]func(*mixed){
		"coordinators first": func(m *mixed) {
			m.start(present, "coordinator")
			m.trees("a coordinator is upgraded")
			m.start(present, "worker")
		},
		"workers first": func(m *mixed) {
			m.start(present, "worker")
			m.trees("a worker is upgraded")
			m.start(present, "coordinator")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMixed(t, programs)
			m.announced = at.Version != "0.1.0"
			m.byIDs = m.announced && at.Version == "0.2.0"
			m.start(before, "coordinator")
			m.start(before, "worker")
			m.trees("nothing is upgraded")
			m.submit(before, before, "held", "--hold", tree("held", chain("held", m.pools())...))
			m.submit(before, before, "spans", "", tree("spans", task{"id": "spans-1", "pool": before, "schemas": method("sleep_executor"), "inputs": fields{"seconds": 8}}))
			upgrade(m)
			m.trees("one of each is upgraded")
			m.run(present, present, "rerun", "held", "--wait")
			m.settles("spans", "completed")
			m.stop(before, "coordinator")
			m.trees("all coordinators are upgraded")
			m.runsAlike()
			m.nats.restart(present)
			m.trees("the configuration of NATS is upgraded")
			m.stop(before, "worker")
			m.trees("all are upgraded")
		})
	}
}

// mixed is a cluster of processes of both versions.
type mixed struct {
	*testing.T
	programs  map[string]string
	postgres  string
	nats      *natsServer
	running   map[string]map[string]*process // by what they are, and version
	byIDs     bool                           // results go by ids while a coordinator of the version before lives
	announced bool                           // the version before says which of its coordinators live, and their levels
	step      int
}

type process struct {
	cmd  *exec.Cmd
	out  *os.File
	grpc string
}

func newMixed(t *testing.T, programs map[string]string) *mixed {
	t.Helper()
	return &mixed{T: t, programs: programs, postgres: pgtest.Database(t), nats: startNATS(t, programs),
		running: map[string]map[string]*process{"coordinator": {}, "worker": {}}}
}

// start starts a process of a version and waits until it serves.
func (m *mixed) start(version, what string) {
	m.Helper()
	name := version + "-" + what
	dir := m.TempDir()
	ready := filepath.Join(dir, "ready")
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		m.Fatal(err)
	}
	cmd := exec.Command(m.programs[version], what)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TASKGROVE_LOG_FORMAT=text",
		"TASKGROVE_READY_FILE=" + ready, "TASKGROVE_NAME=" + name, "TASKGROVE_WORKER_ID=" + name,
		"TASKGROVE_HTTP_ADDR=127.0.0.1:0", "TASKGROVE_GRPC_ADDR=127.0.0.1:0", "TASKGROVE_WORKER_HTTP_ADDR=127.0.0.1:0",
		"TASKGROVE_POSTGRES_URL=" + m.postgres, "TASKGROVE_NATS_URL=" + m.nats.url("coordinator"), "TASKGROVE_REPUBLISH=2s",
		"TASKGROVE_POOLS=all," + version + "=4", "TASKGROVE_CONCURRENCY=4", "TASKGROVE_INLINE_RESULT_BYTES=64KiB",
		"TASKGROVE_INLINE_BYTES=64KiB", "TASKGROVE_BEAT=1s", "TASKGROVE_DRAIN_GRACE=5s"}
	if what == "worker" {
		cmd.Env = append(cmd.Env, "TASKGROVE_NATS_URL="+m.nats.url(name))
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		m.Fatal(err)
	}
	p := &process{cmd: cmd, out: out}
	m.running[what][version] = p
	m.Cleanup(func() {
		if m.running[what][version] == p {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		if text, _ := os.ReadFile(out.Name()); m.Failed() {
			m.Logf("%s:\n%s", name, text)
		}
		_ = out.Close()
	})
	m.eventually(name+" serves", func() error {
		text, err := os.ReadFile(ready)
		if err != nil {
			return err
		}
		var at struct{ GRPC string }
		err = json.Unmarshal(text, &at)
		p.grpc = at.GRPC
		return err
	})
}

// stop stops a process as an operator does.
func (m *mixed) stop(version, what string) {
	m.Helper()
	p := m.running[what][version]
	delete(m.running[what], version)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if err := p.cmd.Wait(); err != nil {
		text, _ := os.ReadFile(p.out.Name())
		m.Errorf("%s %s ended with %v\n%s", version, what, err, text)
	}
}

// run runs a client command of a version against the coordinator of a version, and returns what it prints.
func (m *mixed) run(version, server string, args ...string) string {
	m.Helper()
	out, err := m.try(version, server, "", args...)
	if err != nil {
		m.Fatal(err)
	}
	return out
}

func (m *mixed) try(version, server, stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(m.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, m.programs[version], append(args, "--server", m.running["coordinator"][server].grpc)...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, faults bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &faults
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("client of %s, coordinator of %s: %v: %w\n%s%s", version, server, args, err, &out, &faults)
	}
	return out.String(), nil
}

// submit submits a tree with a client of a version, twice, as one does that had no answer.
func (m *mixed) submit(version, server, key, flag, document string) {
	m.Helper()
	for range 2 {
		args := []string{"submit", "-", "--idempotency-key", key}
		if flag != "" {
			args = append(args, flag)
		}
		if _, err := m.try(version, server, document, args...); err != nil {
			m.Fatal(err)
		}
	}
}

type (
	task   map[string]any
	fields map[string]any
)

func method(executor string) fields { return fields{"method": executor} }

// tree is the document of a tree whose root waits for all tasks to end in any way.
func tree(id string, tasks ...task) string {
	all := []task{{"id": id, "name": id, "schemas": method("aggregate_results_executor"), "dependencies": []fields{}}}
	for _, t := range tasks {
		t["name"], t["parent_id"] = t["id"], id
		all[0]["dependencies"] = append(all[0]["dependencies"].([]fields), fields{"id": t["id"], "required": false})
		all = append(all, t)
	}
	text, err := json.Marshal(fields{"tasks": all})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// pools are the pools of the versions whose workers run.
func (m *mixed) pools() (pools []string) {
	for version := range m.running["worker"] {
		pools = append(pools, version)
	}
	return pools
}

// chain is tasks that each need the one before, one pool after the other, with values that travel in parts.
func chain(id string, pools []string) (tasks []task) {
	for i := range 2 * len(pools) {
		t := task{"id": fmt.Sprintf("%s-c%d", id, i), "pool": pools[i%len(pools)], "schemas": method("noop_executor"),
			"inputs": fields{"value": strings.Repeat("x", 100<<10)}}
		if i > 0 {
			t["dependencies"] = []string{fmt.Sprintf("%s-c%d", id, i-1)}
		}
		tasks = append(tasks, t)
	}
	return tasks
}

// trees has trees run in every mix of client, coordinator and worker that there is, and looks what became of them.
func (m *mixed) trees(when string) {
	m.Helper()
	m.step++
	for server := range m.running["coordinator"] {
		for _, version := range []string{before, present} {
			id := fmt.Sprintf("t%d-%s-%s", m.step, version, server)
			m.tree(when, version, server, id)
		}
	}
	for server := range m.running["coordinator"] {
		m.named(when, present, server)
		for version := range m.programs {
			m.run(version, server, "verify") // fails when it finds something
			m.run(version, server, "workers", "-o", "json")
			m.run(version, server, "list", "-o", "json")
		}
	}
}

// tree has one tree run that has a little of everything.
func (m *mixed) tree(when, version, server, id string) {
	m.Helper()
	pools := m.pools()
	tasks := chain(id, pools)
	for _, pool := range pools {
		tasks = append(tasks,
			task{"id": id + "-retry-" + pool, "pool": pool, "schemas": method("noop_executor"), "inputs": fields{"fail": "no"},
				"retry": fields{"max_attempts": 3, "initial_delay": 0.01}},
			task{"id": id + "-late-" + pool, "pool": pool, "schemas": method("sleep_executor"), "inputs": fields{"seconds": 60}, "timeout": 0.5},
			task{"id": id + "-cancel-" + pool, "pool": pool, "schemas": method("sleep_executor"), "inputs": fields{"seconds": 600}})
	}
	m.submit(version, server, id, "", tree(id, tasks...))
	c := m.client(server)
	for _, pool := range pools {
		victim := id + "-cancel-" + pool
		m.is(c, victim, client.StatusInProgress)
		m.run(version, server, "get", victim, "--attempts", "-o", "json")
		m.run(version, server, "cancel", victim)
		m.settles(victim, "cancelled")
		m.settles(id+"-late-"+pool, "failed")
		m.settles(id+"-retry-"+pool, "failed")
		attempts, err := c.Attempts(m.Context(), id+"-retry-"+pool)
		if err != nil || len(attempts) != 3 || attempts[0].Error != "no" || attempts[0].Worker != pool+"-worker" {
			m.Errorf("when %s: %s-retry-%s had the attempts %+v, %v", when, id, pool, attempts, err)
		}
	}
	m.settles(id, "completed")
	for i := range chain(id, pools) {
		t, err := c.Task(m.Context(), fmt.Sprintf("%s-c%d", id, i))
		if err != nil || t.Status != client.StatusCompleted || len(t.Result) < 100<<10 {
			m.Errorf("when %s: task %d of %s: got %+v, %v", when, i, id, t, err)
		}
	}
}

// names is a tree without ids, whose root shows under what it got the results of the others.
func names() string {
	text, err := json.Marshal([]task{
		{"name": "root", "schemas": method("aggregate_results_executor"), "dependencies": []string{"one", "two"}},
		{"name": "one", "parent_id": "root", "schemas": method("noop_executor")},
		{"name": "two", "parent_id": "root", "schemas": method("noop_executor")},
	})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// resultsOf runs such a tree, and gives under what its root got results, and the ids of the tasks that gave them.
func (m *mixed) resultsOf(version, server string) (keys, ids []string) {
	m.Helper()
	out, err := m.try(version, server, names(), "submit", "-")
	if err != nil {
		m.Fatal(err)
	}
	id := strings.TrimSpace(out)
	m.settles(id, "completed")
	root, err := m.client(server).Task(m.Context(), id)
	var got struct{ Results map[string]any }
	if err == nil {
		err = json.Unmarshal(root.Result, &got)
	}
	if err != nil {
		m.Fatal(err)
	}
	for _, d := range root.Dependencies {
		ids = append(ids, d.Ref)
	}
	slices.Sort(ids)
	return slices.Sorted(maps.Keys(got.Results)), ids
}

// named has a tree without ids run. As long as a coordinator of the version before lives, results go by the tasks' ids, as that
// version has it, whoever stores and settles the tree. (Version 0.1.0 does not say that it lives.)
func (m *mixed) named(when, version, server string) {
	m.Helper()
	keys, ids := m.resultsOf(version, server)
	if m.running["coordinator"][before] != nil && m.byIDs && !slices.Equal(keys, ids) {
		m.Errorf("when %s: results are at %q, want them at the ids %q", when, keys, ids)
	}
}

// runsAlike waits until results go by the names that the document has, which is soon after the last coordinator of the version before.
func (m *mixed) runsAlike() {
	m.Helper()
	m.eventually("results go by names", func() error {
		if keys, _ := m.resultsOf(before, present); !slices.Equal(keys, []string{"one", "two"}) {
			return fmt.Errorf("they are at %q", keys)
		}
		return nil
	})
}

// settles waits until a task has a status, whichever coordinator is asked.
func (m *mixed) settles(id string, status client.Status) {
	m.Helper()
	for server := range m.running["coordinator"] {
		m.is(m.client(server), id, status)
	}
}

// is waits until a task has a status.
func (m *mixed) is(c *client.Client, id string, status client.Status) {
	m.Helper()
	m.eventually(fmt.Sprintf("%s is %s", id, status), func() error {
		t, err := c.Task(m.Context(), id)
		if err == nil && t.Status != status {
			err = fmt.Errorf("it is %s", t.Status)
		}
		return err
	})
}

// client is a client of the present version of the coordinator of a version.
func (m *mixed) client(server string) *client.Client {
	m.Helper()
	c, err := client.New(m.running["coordinator"][server].grpc)
	if err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { _ = c.Close() })
	return c
}

// eventually waits until f is nil.
func (m *mixed) eventually(what string, f func() error) {
	m.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	m.Fatalf("not within %s: %s: %v", patience, what, err)
}
