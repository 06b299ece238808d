package compose

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/internal/porttest"
)

const (
	upWithin   = 4 * time.Minute // until all is healthy, on a busy machine
	treeWithin = 3 * time.Minute // until a tree has ended though a container died: leases last 30 s
)

// project is a running compose.yaml.
type project struct {
	t     *testing.T
	env   []string
	flags []string // of docker compose, before its command
	grpc  string
	token string
	trees []string // ids of all that were submitted
}

// TestCompose runs the commands of docs/compose.md, and kills one container after the other between them: docker compose up --wait ends healthy, the
// example runs, and nobody is missed; with one NATS server, then with three.
func TestCompose(t *testing.T) {
	if os.Getenv("TASKGROVE_COMPOSE") == "" {
		t.Skip("needs docker compose and the images: make compose-test")
	}
	p, page := newProject(t), blocks(t)
	p.follow(page[0])
	p.allHealthy()
	p.login()
	p.hardened()
	p.follow(page[1])
	for _, container := range p.containers() {
		p.kill(container)
	}
	p.flags = append(p.flags, "--env-file", "deploy/compose/three.env")
	p.follow(page[2])
	p.allHealthy()
	p.follow(page[1])
	for _, container := range p.containers() {
		if strings.Contains(container.Service, "nats") {
			p.kill(container)
		}
	}
	p.everythingIsThere()
}

// block is a command of the page, and what its output has to have, line by line.
type block struct{ command, output string }

var runBlock = regexp.MustCompile("(?s)```sh run\n(.*?)```\n(?:```text\n(.*?)```)?")

func blocks(t *testing.T) (all []block) {
	t.Helper()
	page, err := os.ReadFile("../../docs/compose.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range runBlock.FindAllStringSubmatch(string(page), -1) {
		all = append(all, block{m[1], m[2]})
	}
	if len(all) != 3 {
		t.Fatalf("docs/compose.md has %d blocks to run, want up, a tree, three servers", len(all))
	}
	return all
}

// follow runs a command of the page.
func (p *project) follow(b block) {
	p.t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(p.t.Context(), upWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-ec", b.command)
	cmd.Dir, cmd.Env = "../..", p.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("%s: %v\n%s", b.command, err, out)
	}
	for line := range strings.Lines(b.output) {
		if !strings.Contains(string(out), strings.TrimSpace(line)) {
			p.t.Fatalf("%s: there is no %q in\n%s", b.command, line, out)
		}
	}
	p.t.Logf("%.1f s: %s", time.Since(began).Seconds(), strings.ReplaceAll(strings.TrimSpace(b.command), "\n", "; "))
}

func newProject(t *testing.T) *project {
	t.Helper()
	http, grpc := porttest.Address(t), porttest.Address(t)
	p := &project{t: t, grpc: grpc, env: append(os.Environ(), "COMPOSE_PROJECT_NAME=taskgrove-test",
		"TASKGROVE_SECRETS="+filepath.Join(t.TempDir(), "secrets"), "TASKGROVE_HTTP_PORT="+port(http), "TASKGROVE_GRPC_PORT="+port(grpc))}
	p.down() // what a test before this one left
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(p.output(context.Background(), "ps", "--all"), p.output(context.Background(), "logs", "--tail", "40"))
		}
		p.down()
	})
	return p
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// command is docker compose.
func (p *project) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "docker", append(append([]string{"compose"}, p.flags...), args...)...)
	cmd.Dir, cmd.Env = "../..", p.env
	return cmd
}

func (p *project) output(ctx context.Context, args ...string) string {
	out, _ := p.command(ctx, args...).CombinedOutput()
	return string(out)
}

// run is what docker compose prints.
func (p *project) run(within time.Duration, args ...string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), within)
	defer cancel()
	var out, notes bytes.Buffer
	cmd := p.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &out, &notes
	if err := cmd.Run(); err != nil {
		p.t.Fatalf("docker compose %s: %v\n%s%s", strings.Join(args, " "), err, &out, &notes)
	}
	return out.String()
}

func (p *project) allHealthy() {
	p.t.Helper()
	for _, c := range p.containers() {
		if c.Health != "healthy" {
			p.t.Errorf("%s is %s (%s)", c.Name, c.Health, c.State)
		}
	}
}

func (p *project) down() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if out, err := p.command(ctx, "--profile", "*", "down", "--volumes", "--timeout", "2").CombinedOutput(); err != nil {
		p.t.Logf("down: %v\n%s", err, out)
	}
}

type container struct{ ID, Name, Service, State, Health string }

func (p *project) containers() (all []container) {
	p.t.Helper()
	for line := range strings.Lines(p.run(time.Minute, "ps", "--all", "--format", "json")) {
		var c container
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			p.t.Fatalf("%v: %s", err, line)
		}
		all = append(all, c)
	}
	if len(all) < 7 {
		p.t.Fatalf("there are only %d containers: %v", len(all), all)
	}
	return all
}

// login makes a token as docs/compose.md says.
func (p *project) login() {
	p.t.Helper()
	p.token = strings.TrimSpace(p.run(time.Minute, "exec", "-T", "coordinator", "taskgrove", "token", "create", "--user", "tester", "--role", "admin"))
}

// client speaks to the one address.
func (p *project) client() *client.Client {
	p.t.Helper()
	c, err := client.New(p.grpc, client.WithToken(p.token))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = c.Close() })
	return c
}

// hardened: nobody is root, unless without any rights, and no root can be written.
func (p *project) hardened() {
	p.t.Helper()
	for _, c := range p.containers() {
		out, err := exec.CommandContext(p.t.Context(), "docker", "inspect", "--format",
			"{{.Config.User}}|{{.HostConfig.ReadonlyRootfs}}|{{.HostConfig.CapDrop}}|{{.HostConfig.CapAdd}}|{{.HostConfig.SecurityOpt}}", c.ID).Output()
		if err != nil {
			p.t.Fatal(err)
		}
		got := strings.TrimSpace(string(out))
		if user, rest, _ := strings.Cut(got, "|"); rest != "true|[ALL]|[]|[no-new-privileges:true]" || user == "" && !strings.HasPrefix(c.Service, "nats") {
			p.t.Errorf("%s: %s", c.Name, got)
		}
	}
}

// kill ends a container as a crash does, from outside, while a tree runs, so that the engine starts it again. The tree must complete with every
// result, and so must one that is submitted right after the crash; then all is healthy again.
func (p *project) kill(victim container) {
	p.t.Helper()
	c := p.client()
	before := p.submit(c)
	p.until(c, before, "has begun", func(t *client.Tree) bool { return t.Completed >= 10 })
	out, err := exec.CommandContext(p.t.Context(), "docker", "inspect", "--format", "{{.State.Pid}}", victim.ID).Output()
	var pid int
	if _, scan := fmt.Sscan(string(out), &pid); err != nil || scan != nil || pid < 2 {
		p.t.Fatalf("pid of %s: %v %v: %s", victim.Name, err, scan, out)
	}
	began := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		p.t.Fatal(err)
	}
	after := p.submit(c)
	for _, tree := range []string{before, after} {
		p.until(c, tree, "has ended", (*client.Tree).Ended)
		p.check(c, tree)
	}
	settled := time.Since(began)
	for deadline := time.Now().Add(upWithin); !p.healthy(); time.Sleep(time.Second) {
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: not all is healthy again:\n%s", victim.Name, p.output(p.t.Context(), "ps", "--all"))
		}
	}
	p.t.Logf("killed %s: both trees complete after %.1f s, all healthy after %.1f s", victim.Name, settled.Seconds(), time.Since(began).Seconds())
}

func (p *project) healthy() bool {
	for _, c := range p.containers() {
		if c.Health != "healthy" {
			return false
		}
	}
	return true
}

const wide = 30 // commands of a tree, and as many calls

// submit stores a tree of commands and of sleeps, whose results are summed up. It is tried until somebody takes it: the key makes it one.
func (p *project) submit(c *client.Client) string {
	p.t.Helper()
	root := client.NewTask{ID: "sum", Name: "sum", Executor: "aggregate_results_executor"}
	tasks := make([]client.NewTask, 1, 2*wide+1)
	for i := range wide {
		for _, task := range []client.NewTask{
			{Executor: "command_executor", Inputs: map[string]any{"command": fmt.Sprintf("sleep 0.5; echo %d", i)}},
			{Executor: "sleep_executor", Inputs: map[string]any{"seconds": 0.5}},
		} {
			task.ID = fmt.Sprintf("%s-%d", task.Executor[:5], i)
			task.Name, task.Parent = task.ID, "sum"
			root.Needs = append(root.Needs, task.ID)
			tasks = append(tasks, task)
		}
	}
	tasks[0] = root
	key := fmt.Sprintf("tree-%d", len(p.trees))
	for deadline := time.Now().Add(treeWithin); ; time.Sleep(200 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
		submitted, err := c.Submit(ctx, tasks, client.WithIdempotencyKey(key))
		cancel()
		if err == nil {
			p.trees = append(p.trees, submitted.TreeID)
			return submitted.TreeID
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("submit: %v", err)
		}
	}
}

// until asks for a tree until it is as wanted.
func (p *project) until(c *client.Client, id, what string, wanted func(*client.Tree) bool) {
	p.t.Helper()
	var tree *client.Tree
	var err error
	for deadline := time.Now().Add(treeWithin); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
		tree, err = c.Tree(ctx, id)
		cancel()
		if err == nil && wanted(tree) {
			return
		}
	}
	p.t.Fatalf("tree %s: not that it %s within %v: %+v, %v", id, what, treeWithin, tree, err)
}

// check: all tasks of an ended tree have completed, each command with its own output.
func (p *project) check(c *client.Client, id string) {
	p.t.Helper()
	commands, all := 0, 0
	for task, err := range c.Tasks(p.t.Context(), client.TaskFilter{TreeOf: id, PageSize: 1000}) {
		if err != nil {
			p.t.Fatal(err)
		}
		all++
		if task.Status != client.StatusCompleted {
			p.t.Errorf("tree %s: %s is %s: %s", id, task.Name, task.Status, task.Error)
		}
		var result struct{ Stdout string }
		if n, ok := strings.CutPrefix(task.Name, "comma-"); ok {
			if err := json.Unmarshal(task.Result, &result); err != nil || strings.TrimSpace(result.Stdout) != n {
				p.t.Errorf("tree %s: result of %s: %s", id, task.Name, task.Result)
			}
			commands++
		}
	}
	if commands != wide || all != 2*wide+1 {
		p.t.Errorf("tree %s has %d tasks, %d of them commands", id, all, commands)
	}
}

// everythingIsThere: each tree that was ever submitted is stored once, complete.
func (p *project) everythingIsThere() {
	p.t.Helper()
	c, stored := p.client(), map[string]bool{}
	for tree, err := range c.Trees(p.t.Context(), client.TreeFilter{}) {
		if err != nil {
			p.t.Fatal(err)
		}
		if stored[tree.ID] = true; tree.Status != client.StatusCompleted {
			p.t.Errorf("tree %s is %s", tree.ID, tree.Status)
		}
	}
	for _, id := range p.trees {
		if !stored[id] {
			p.t.Errorf("tree %s is gone", id)
		}
	}
	if want := len(p.trees) + 2; len(stored) != want {
		p.t.Errorf("%d trees are stored, want %d", len(stored), want)
	}
}
