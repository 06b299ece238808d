package examples

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/internal/porttest"
)

const (
	guidePath   = "../docs/custom-workers.md"
	guideWithin = 4 * time.Minute // for one command, or for a server to say what the guide shows
)

// TestTheGuideWorks makes every file and runs every command of docs/custom-workers.md in a directory outside the module.
//
// The first word after the language of a block says what is done with it: a file's name; server, for a command that stays
// and is interrupted at the end; nothing, for a command that ends. A block of text holds parts of what the command before
// it prints, line by line and in order; white space does not count.
func TestTheGuideWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs and starts a cluster")
	}
	g := newGuide(t)
	var last *output
	for _, b := range blocks(t, guidePath) {
		switch {
		case b.language == "text":
			last.want(t, b.text)
		case b.language == "sh" && b.word == "server":
			last = g.serve(b.text)
		case b.language == "sh":
			last = g.run(b.text)
		default:
			g.write(b.word, b.text)
		}
	}
	for _, s := range slices.Backward(g.servers) {
		s.interrupt(t)
	}
}

// block is a fenced one.
type block struct{ language, word, text string }

func blocks(t *testing.T, name string) (all []block) {
	var open *block
	for line := range strings.Lines(string(read(t, name))) {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && open == nil:
			language, word, _ := strings.Cut(strings.TrimSpace(fence), " ")
			open = &block{language: language, word: word}
		case isFence:
			all, open = append(all, *open), nil
		case open != nil:
			open.text += line
		}
	}
	if len(all) < 5 {
		t.Fatalf("%s has %d blocks", name, len(all))
	}
	return all
}

// guide is the directory and the environment that the guide's commands run in.
type guide struct {
	t       *testing.T
	dir     string
	env     []string
	servers []*server
}

// programDir is where program has built the command; empty: nobody has asked.
var programDir string

// program builds the command taskgrove, once for all guides.
var program = sync.OnceValue(func() (err error) {
	if programDir, err = os.MkdirTemp("", "taskgrove-guides-"); err != nil {
		return err
	}
	build := exec.Command("go", "build", "-o", programDir, "github.com/taskgrove/taskgrove/cmd/taskgrove")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build taskgrove: %w\n%s", err, out)
	}
	return nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if programDir != "" {
		_ = os.RemoveAll(programDir)
	}
	os.Exit(code)
}

// newGuide has the test run beside those of other pages: most of what they take is waiting for what a page shows.
func newGuide(t *testing.T) *guide {
	t.Parallel()
	if err := program(); err != nil {
		t.Fatal(err)
	}
	g := &guide{t: t, dir: t.TempDir()}
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "TASKGROVE_") && !strings.HasPrefix(entry, "PATH=") {
			g.env = append(g.env, entry)
		}
	}
	grpc := porttest.Address(t)
	g.env = append(g.env, "PATH="+programDir+":"+os.Getenv("PATH"),
		"TASKGROVE_HTTP_ADDR=127.0.0.1:0", "TASKGROVE_GRPC_ADDR="+grpc, "TASKGROVE_SERVER="+grpc)
	return g
}

// write makes a file of the guide.
func (g *guide) write(name, text string) {
	file := filepath.Join(g.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		g.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// command is a shell in a process group of its own.
func (g *guide) command(ctx context.Context, script string) (*exec.Cmd, *output) {
	cmd := exec.CommandContext(ctx, "bash", "-ec", script)
	out := &output{}
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = g.dir, g.env, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd, out
}

// run runs a command to its end. After go mod init, the module of the guide is told where Taskgrove's own is.
func (g *guide) run(script string) *output {
	if strings.HasPrefix(script, "go mod init ") {
		root, err := filepath.Abs("..")
		if err != nil {
			g.t.Fatal(err)
		}
		script += "go mod edit -replace github.com/taskgrove/taskgrove=" + root + "\n"
	}
	ctx, cancel := context.WithTimeout(g.t.Context(), guideWithin)
	defer cancel()
	for tries := 1; ; tries++ {
		cmd, out := g.command(ctx, script)
		err := cmd.Run()
		out.end()
		if err == nil {
			return out
		}
		if tries == 3 || !strings.Contains(script, "go mod tidy") { // which asks a module proxy, who may have a bad moment
			g.t.Fatalf("%s: %v\n%s", script, err, out)
		}
		time.Sleep(5 * time.Second)
	}
}

type server struct {
	script string
	cmd    *exec.Cmd
	out    *output
	ended  chan error
}

func (g *guide) serve(script string) *output {
	cmd, out := g.command(context.WithoutCancel(g.t.Context()), script)
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	s := &server{script, cmd, out, make(chan error, 1)}
	go func() {
		err := cmd.Wait()
		out.end()
		s.ended <- err
	}()
	g.t.Cleanup(func() { _ = cmd.Cancel() })
	g.servers = append(g.servers, s)
	return out
}

// interrupt does what Ctrl-C does, and wants a clean end.
func (s *server) interrupt(t *testing.T) {
	if err := syscall.Kill(-s.cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatalf("interrupt %s: %v", s.script, err)
	}
	select {
	case err := <-s.ended:
		if err != nil {
			t.Errorf("%s ended with %v\n%s", s.script, err, s.out)
		}
	case <-time.After(guideWithin):
		t.Errorf("%s does not end\n%s", s.script, s.out)
	}
}

// output is what a command has printed so far.
type output struct {
	mu    sync.Mutex
	text  bytes.Buffer
	ended bool
}

// end says that the command has ended: no more is printed.
func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
}

func (o *output) hasEnded() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ended
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// want waits until the output has each line of parts, in order, or its command has ended.
func (o *output) want(t *testing.T, parts string) {
	t.Helper()
	for deadline := time.Now().Add(guideWithin); ; time.Sleep(20 * time.Millisecond) {
		ended := o.hasEnded()
		missing := o.missing(parts)
		if missing == "" {
			return
		}
		if ended || time.Now().After(deadline) {
			t.Fatalf("%q is missing, or in another order, in\n%s", missing, o)
		}
	}
}

func (o *output) missing(parts string) string {
	squeeze := func(text string) string { return strings.Join(strings.Fields(text), "") }
	printed := bufio.NewScanner(strings.NewReader(o.String()))
	printed.Buffer(nil, 1<<20)
	for part := range strings.Lines(parts) {
		for found := false; !found; {
			if !printed.Scan() {
				return part
			}
			found = strings.Contains(squeeze(printed.Text()), squeeze(part))
		}
	}
	return ""
}
