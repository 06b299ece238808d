package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/queue/natsserver"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// partVariable holds the settings of a process that is a part; a test binary with it runs no tests.
const partVariable = "TASKGROVE_FAULT_PART"

// Process is a part in a process of its own.
type Process struct {
	Settings Settings
	cmd      *exec.Cmd
	stdin    io.Closer // the part ends when it is closed, so that none outlives the test
	journal  *Journal
	ended    chan struct{} // closed when it has ended and the journal says so
	err      error         // how it ended; read after ended
}

// StartProcess starts this program again as a part. point arms a fail point ("worker.mid-task=kill@3"); empty: none.
// It does not wait until the part takes work.
func StartProcess(s Settings, point string) (*Process, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	p := &Process{Settings: s, ended: make(chan struct{})}
	_ = os.Remove(s.readyFile())
	if p.journal, err = OpenJournal(s.JournalFile()); err != nil {
		return nil, err
	}
	p.cmd = exec.Command("/proc/self/exe")
	p.cmd.Env = append(honestTime(os.Environ()), partVariable+"="+string(text), failpoint.Variable+"="+point)
	p.cmd.Stdout, p.cmd.Stderr = os.Stderr, os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
		if err := p.journal.Gone(p.cmd.Process.Pid); err != nil {
			p.err = err
		}
		p.journal.Close()
	}()
	return p, nil
}

// honestTime is an environment without what makes a program see another clock (libfaketime): that is for servers.
func honestTime(env []string) (out []string) {
	for _, v := range env {
		if !strings.HasPrefix(v, "LD_PRELOAD=") && !strings.HasPrefix(v, "FAKETIME") {
			out = append(out, v)
		}
	}
	return out
}

func (s Settings) readyFile() string { return filepath.Join(s.Dir, "ready-"+s.Name) }

// Ready is nil once the part takes work.
func (p *Process) Ready() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s has ended: %w", p.Settings.Name, p.err)
	default:
	}
	_, err := os.Stat(p.Settings.readyFile())
	return err
}

// WasReady reports whether the part has ever taken work.
func (p *Process) WasReady() bool {
	_, err := os.Stat(p.Settings.readyFile())
	return err == nil
}

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Crashed reports whether the process has ended by itself, in failure: not by a signal.
func (p *Process) Crashed() bool {
	select {
	case <-p.ended:
	default:
		return false
	}
	e, ok := errors.AsType[*exec.ExitError](p.err)
	return ok && e.Exited()
}

// Kill ends the process as kill -9 does.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// Freeze stops the process as SIGSTOP does. Its runs no longer count as alive: others may have its attempts after the
// lease's end.
func (p *Process) Freeze() error {
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	// What it still starts meanwhile must come before the note. Somebody else may let it go on meanwhile.
	for begin := time.Now(); !p.stopped() && time.Since(begin) < time.Second; {
		time.Sleep(100 * time.Microsecond)
	}
	return p.journal.Frozen(p.cmd.Process.Pid)
}

// stopped reports whether all threads of the process stand still, or are gone.
func (p *Process) stopped() bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid)) // the pattern is sound
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it is gone
		}
		_, state, _ := strings.Cut(string(text), ") ") // proc(5): the name in parentheses, then the state
		if !strings.HasPrefix(state, "T") && !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X") {
			return false
		}
	}
	return true
}

// Thaw lets it go on.
func (p *Process) Thaw() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// Stop asks the process to end, as an operator does, and waits; it kills what does not.
func (p *Process) Stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		return p.err
	case <-time.After(20 * time.Second):
		p.Kill()
		return fmt.Errorf("%s did not stop", p.Settings.Name)
	}
}

// RunPart is the main function of a process that is a part. It returns the exit code, and false when this process is
// none.
func RunPart() (code int, part bool) {
	text := os.Getenv(partVariable)
	if text == "" {
		return 0, false
	}
	os.Unsetenv(partVariable)
	var s Settings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3) // the test is gone
	}()
	if err := s.main(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", s.Name, err)
		return 1, true
	}
	return 0, true
}

func (s Settings) main() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if s.Role == NATSRole {
		return s.serveNATS(ctx)
	}
	p, err := s.Open(ctx)
	if err != nil && ctx.Err() != nil { // it was stopped before it was there
		return nil
	}
	if err != nil {
		return err
	}
	defer p.Close() //nolint:errcheck // Run has told
	if s.Role == SubmitRole && s.Edit != "" {
		return s.edit(ctx, p.Coordinator)
	}
	if s.Role == SubmitRole && s.Copy != "" {
		_, err := s.copy(ctx, p.Coordinator)
		return err
	}
	if s.Role == SubmitRole && s.Hook != "" {
		return s.hook(ctx, p.Coordinator)
	}
	if s.Role == SubmitRole && s.Operation != nil {
		return s.Operation.do(ctx, p.Coordinator)
	}
	if s.Role == SubmitRole {
		_, err := s.submit(ctx, p.Coordinator)
		return err
	}
	go func() { // ends with the process, at the latest
		for p.Ready(ctx) != nil && pause(ctx, 10*time.Millisecond) {
		}
		if ctx.Err() == nil {
			_ = os.WriteFile(s.readyFile(), nil, 0o600)
		}
	}()
	return p.Run(ctx)
}

// serveNATS is a NATS server until ctx ends.
func (s Settings) serveNATS(ctx context.Context) error {
	server, err := natsserver.Start(natsserver.Config{StoreDir: s.Store, Port: s.Port, CoordinatorPassword: Password, WorkerPassword: Password, Logger: s.log()})
	if err != nil {
		return err
	}
	defer server.Shutdown()
	if err := os.WriteFile(s.readyFile(), nil, 0o600); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// submit submits the tree of the seed under an idempotency key.
func (s Settings) submit(ctx context.Context, c coordinator.Service) (*coordinator.Submitted, error) {
	tasks := s.tasks()
	opts := coordinator.SubmitOptions{IdempotencyKey: tasks[0].ID}
	if s.Together {
		second := TasksOf(s.second(), time.Unix(1e9, 0))
		opts.More = []coordinator.NewTree{{IdempotencyKey: second[0].ID, Tasks: each(second)}}
	}
	return c.Submit(ctx, opts, each(tasks))
}

// tasks are those of the tree of the seed.
func (s Settings) tasks() []*dag.Task {
	tasks := TasksOf(s.tree(), time.Unix(1e9, 0))
	for _, t := range tasks {
		if t.ParentRef == "" {
			t.Unique = s.Unique
		}
	}
	return tasks
}

// edit ends a task by hand, changes what another one is sent and waits for, and deletes a third. To do it again changes nothing more.
func (s Settings) edit(ctx context.Context, c coordinator.Service) error {
	for _, change := range []struct {
		id string
		coordinator.TaskChange
	}{
		{s.Edit + ".gate", coordinator.TaskChange{Status: dag.StatusCompleted, Result: []byte(`{"by":"hand"}`)}},
		{s.Edit + ".next", coordinator.TaskChange{Inputs: []byte(`{"command":"echo new"}`), HasDependencies: true, Dependencies: []dag.Dependency{{Ref: s.Edit + ".gate"}}}},
	} {
		if _, err := c.Update(ctx, change.id, change.TaskChange); err != nil {
			return err
		}
	}
	_, err := c.Delete(ctx, s.Edit+".gone", coordinator.DeleteOptions{})
	if errors.Is(err, coordinator.ErrNotFound) { // deleted before the process was killed
		err = nil
	}
	return err
}

// copy copies the whole tree of a task, to run again what belongs to it, and starts the copy, under an idempotency key.
func (s Settings) copy(ctx context.Context, c coordinator.Service) (*coordinator.Copied, error) {
	return c.Copy(ctx, s.Copy, coordinator.CopyOptions{Mode: coordinator.CopyFull, IdempotencyKey: "copy " + s.Name, Execute: &coordinator.ExecuteOptions{}})
}

// hook submits a chain of tasks that has the name of the process, and sends its events to a webhook. To do it again changes nothing more.
func (s Settings) hook(ctx context.Context, c coordinator.Service) error {
	hook := &coordinator.Webhook{URL: s.Hook}
	opts := coordinator.SubmitOptions{IdempotencyKey: s.Name, Webhook: hook}
	if s.Hold {
		opts.Webhook, opts.Hold = nil, true
	}
	if _, err := c.Submit(ctx, opts, each(chain(s.Name))); err != nil || !s.Hold {
		return err
	}
	_, err := c.Execute(ctx, s.Name, coordinator.ExecuteOptions{Webhook: hook})
	return err
}

// do does it.
func (o *Operation) do(ctx context.Context, c coordinator.Service) (err error) {
	switch {
	case o.Pause != nil:
		_, err = c.Pause(ctx, *o.Pause, "maintenance")
	case o.Resume != nil:
		err = c.Resume(ctx, *o.Resume)
	case o.Limit != nil:
		_, err = c.SetLimit(ctx, *o.Limit)
	case o.Unlimit != nil:
		err = c.DeleteLimit(ctx, *o.Unlimit, 0)
	case o.Erase != nil:
		_, err = c.Erase(ctx, *o.Erase)
	case o.Hold != nil:
		_, err = c.Hold(ctx, *o.Hold)
	case o.Release != "":
		err = c.Release(ctx, o.Release)
	case o.Profiles != nil:
		_, err = c.ApplyProfiles(ctx, *o.Profiles)
	}
	return err
}

// chainTasks is how many tasks a chain has.
const chainTasks = 4

// chain is a tree of tasks that run one after the other, the root last.
func chain(root string) (tasks []*dag.Task) {
	for i := range chainTasks {
		t := &dag.Task{ID: fmt.Sprint(root, ".", i), ParentRef: root, Executor: command.ID, Inputs: []byte(`{"command":"true"}`)}
		if i == 0 {
			t.ID, t.ParentRef = root, ""
		}
		if i < chainTasks-1 {
			t.Dependencies = []dag.Dependency{{Ref: fmt.Sprint(root, ".", i+1)}}
		}
		t.Name = t.ID
		tasks = append(tasks, t)
	}
	return tasks
}

// tree is the random tree of the seed.
func (s Settings) tree() oracle.Tree {
	return randomLoad(s.Seed, fmt.Sprintf("s%d", s.Seed), 60)
}

// second is the tree that is submitted together with that of the seed.
func (s Settings) second() oracle.Tree {
	return randomLoad(s.Seed+1, fmt.Sprintf("t%d", s.Seed), 60)
}

// randomLoad is a tree with a little of everything.
func randomLoad(seed uint64, prefix string, tasks int) oracle.Tree {
	rng := rand.New(rand.NewPCG(seed, 7))
	return oracle.Random(rng, oracle.Shape{Prefix: prefix, Tasks: tasks, Fails: 0.15, Optional: 0.4, Group: 0.1, Hang: 0.01})
}
