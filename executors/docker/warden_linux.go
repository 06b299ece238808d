package docker

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"github.com/taskgrove/taskgrove/executors"
)

// wardenName is argv[0] of a warden. Nothing else starts this program under that name.
const wardenName = "taskgrove-warden"

// wardenSelf is this program, even if a newer file has replaced it.
const wardenSelf = "/proc/self/exe"

// A warden begins here and not in main, so that no program can forget to start it.
func init() {
	if len(os.Args) == 2 && os.Args[0] == wardenName {
		watchOver(os.Args[1], os.NewFile(3, "control"))
		os.Exit(0)
	}
}

// warden is the worker's side: it starts the process with the first container, again if it dies, and tells it what to watch. Each
// message is a line: "hold NAME END" (CLOCK_MONOTONIC in nanoseconds, the same for both; 0: no end), "free NAME", "bye".
type warden struct {
	instance string

	mu      sync.Mutex
	held    map[string]*holding
	control *os.File      // nil: none runs
	ended   chan struct{} // closed when the goroutine that keeps it running has ended; nil: none does
	closed  bool
}

// holding is a container under watch.
type holding struct {
	lease executors.Lease
	freed chan struct{}
	told  chan struct{} // closed when nobody tells of the lease any more
}

// hold has the container watched until free.
func (w *warden) hold(name string, lease executors.Lease) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.control == nil {
		if err := w.start(); err != nil {
			return err
		}
	}
	h := &holding{lease: lease, freed: make(chan struct{}), told: make(chan struct{})}
	if w.held == nil {
		w.held = map[string]*holding{}
	}
	w.held[name] = h
	changed := w.tell(name, h)
	go func() { // ends with free
		defer close(h.told)
		for {
			select {
			case <-h.freed:
				return
			case <-changed:
				w.mu.Lock()
				changed = w.tell(name, h)
				w.mu.Unlock()
			}
		}
	}()
	return nil
}

// free ends the watch.
func (w *warden) free(name string) {
	w.mu.Lock()
	h := w.held[name]
	delete(w.held, name)
	if h != nil {
		w.send("free " + name)
	}
	w.mu.Unlock()
	if h != nil {
		close(h.freed)
		<-h.told
	}
}

// close ends the process. What is still held, it removes first.
func (w *warden) close() {
	w.mu.Lock()
	w.closed = true
	if len(w.held) == 0 {
		w.send("bye")
	}
	for _, h := range w.held {
		close(h.freed)
	}
	w.held = nil
	if w.control != nil {
		w.control.Close()
		w.control = nil
	}
	ended := w.ended
	w.mu.Unlock()
	if ended != nil {
		<-ended
	}
}

// tell says until when a container may run, and gives what is closed when that changes. mu is held.
func (w *warden) tell(name string, h *holding) <-chan struct{} {
	if h.lease == nil {
		w.send("hold " + name + " 0")
		return nil
	}
	changed := h.lease.Changed() // before Until: so that no change is missed
	end := int64(0)
	if until := h.lease.Until(); !until.IsZero() {
		end = max(1, monotonic()+int64(time.Until(until)-leaseMargin))
	}
	w.send("hold " + name + " " + strconv.FormatInt(end, 10))
	return changed
}

// send writes a line. It ignores errors: a warden that is gone is started again, and told everything.
func (w *warden) send(line string) {
	if w.control != nil {
		_ = w.control.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = w.control.WriteString(line + "\n")
	}
}

// start starts the process. mu is held.
func (w *warden) start() error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "warden")
	defer theirs.Close()
	cmd := &exec.Cmd{
		Path: wardenSelf, Args: []string{wardenName, w.instance}, Env: engineEnviron(), Dir: "/",
		ExtraFiles: []*os.File{theirs}, SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := cmd.Start(); err != nil {
		ours.Close()
		return err
	}
	w.control, w.ended = ours, make(chan struct{})
	go w.keep(cmd, ours, w.ended) // ends with close, or when the process can't be started again
	return nil
}

// keep waits for the process. If it ends while containers are held, another takes its place.
func (w *warden) keep(cmd *exec.Cmd, control *os.File, ended chan struct{}) {
	defer close(ended)
	_ = cmd.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	control.Close()
	if w.closed {
		return
	}
	w.control = nil
	if len(w.held) > 0 && w.start() == nil {
		for name, h := range w.held {
			w.tell(name, h)
		}
	}
}

// engineEnviron is what the client's library reads. The warden gets nothing else.
func engineEnviron() []string {
	env := []string{}
	for _, name := range []string{client.EnvOverrideHost, client.EnvOverrideAPIVersion, client.EnvOverrideCertPath, client.EnvTLSVerify, "HOME", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// monotonic is CLOCK_MONOTONIC in nanoseconds, the same for every process of this host.
func monotonic() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

// Times of a warden whose worker is gone.
const (
	orphanPause  = 500 * time.Millisecond
	orphanLooks  = 3                // that find nothing, before it ends: the engine may still be making what the worker asked for last
	orphanWithin = 10 * time.Minute // an engine that is away for longer is swept by others
)

// watchOver is the warden process from start to end.
func watchOver(instance string, control *os.File) {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT) // only the worker decides
	unix.CloseOnExec(3)
	cli, err := client.New(client.FromEnv)
	if err != nil {
		return
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scan := bufio.NewScanner(control); scan.Scan(); {
			lines <- scan.Text()
		}
	}()
	ends := map[string]int64{}
	for {
		var next <-chan time.Time
		if until, some := soonest(ends); some {
			next = time.After(time.Duration(until - monotonic()))
		}
		select {
		case line, open := <-lines:
			if !open {
				removeAll(cli, instance)
				return
			}
			if line == "bye" {
				return
			}
			order(ends, line)
		case <-next:
			for name, end := range ends {
				if end != 0 && end <= monotonic() {
					delete(ends, name)
					go removeOne(cli, name) // the worker goes on, or this process ends by itself
				}
			}
		}
	}
}

func order(ends map[string]int64, line string) {
	words := strings.Fields(line)
	switch {
	case len(words) == 3 && words[0] == "hold":
		if end, err := strconv.ParseInt(words[2], 10, 64); err == nil {
			ends[words[1]] = end
		}
	case len(words) == 2 && words[0] == "free":
		delete(ends, words[1])
	}
}

// soonest is the earliest end of a lease.
func soonest(ends map[string]int64) (until int64, some bool) {
	for _, end := range ends {
		if end != 0 && (!some || end < until) {
			until, some = end, true
		}
	}
	return until, some
}

// removeOne ends a container whose lease has ended.
func removeOne(cli *client.Client, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), removeWithin)
	defer cancel()
	for ctx.Err() == nil && dispose(ctx, cli, name, false) != nil {
		time.Sleep(orphanPause)
	}
}

// removeAll ends all that the worker has left: what it held, and what the engine was still making when it died.
func removeAll(cli *client.Client, instance string) {
	ctx, cancel := context.WithTimeout(context.Background(), orphanWithin)
	defer cancel()
	for empty := 0; empty < orphanLooks && ctx.Err() == nil; {
		all, err := cli.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", labelInstance+"="+instance)})
		left := 0
		for _, c := range all.Items {
			keep := c.Labels[labelKeep] != ""
			if keep && c.State != "running" {
				continue
			}
			left++
			_ = dispose(ctx, cli, c.ID, keep)
		}
		if err == nil && left == 0 {
			empty++
		}
		if left == 0 {
			time.Sleep(orphanPause)
		}
	}
}

// thisProcess names this process so that another of this host can tell whether it lives: boot, pid namespace, pid, start. Empty: it can't.
var thisProcess = sync.OnceValue(func() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	start, err := startOf(os.Getpid())
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s/%s/%d/%s", strings.TrimSpace(string(boot)), space, os.Getpid(), start)
})

// gone reports whether a process that [thisProcess] named is known to have ended. Of another host, boot or pid namespace nothing is known.
func gone(process string) bool {
	theirs, ours := strings.Split(process, "/"), strings.Split(thisProcess(), "/")
	if len(theirs) != 4 || len(ours) != 4 || theirs[0] != ours[0] || theirs[1] != ours[1] {
		return false
	}
	pid, err := strconv.Atoi(theirs[2])
	if err != nil || pid <= 0 {
		return false
	}
	if err := syscall.Kill(pid, 0); err == syscall.ESRCH {
		return true
	}
	start, err := startOf(pid)
	return err == nil && start != theirs[3] // a /proc that hides others' processes tells nothing
}

// startOf is when a process began, in clock ticks since boot (proc(5), field 22 of stat).
func startOf(pid int) (string, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 20 {
		return "", fmt.Errorf("process %d: unknown form of stat", pid)
	}
	return fields[19], nil
}
