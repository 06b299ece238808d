package pgserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// child is the server's main process (Postgres calls it the postmaster).
type child struct {
	process *os.Process
	done    chan struct{} // closed when the process has ended and was waited for
	err     error         // how it ended; read after done
}

// command makes a command of Postgres's binaries: as another account if there is one, in a directory that it can enter,
// without our own environment, which holds secrets and may hold settings of other servers (PGDATA, PGPORT), and to be killed
// with us where the system can.
func command(as *account, dir, path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if as != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: as.uid, Gid: as.gid}
	}
	dieWithParent(cmd.SysProcAttr)
	// A terminal's Ctrl-C goes to the whole foreground group: the child is in one of its own, so that we stop it last.
	cmd.SysProcAttr.Setpgid = true
	cmd.WaitDelay = 2 * time.Second // sessions of a killed server hold its stderr for a moment
	return cmd
}

// forgetLibpq unsets the variables that libpq and pgx read (PGSERVICE, PGCONNECT_TIMEOUT, …). Names with another underscore are
// somebody else's.
func forgetLibpq() {
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, "PG") && (!strings.Contains(name, "_") || name == "PGCONNECT_TIMEOUT") {
			_ = os.Unsetenv(name)
		}
	}
}

// startChild starts cmd. One goroutine starts it, waits for it and ends with it; its thread is its own, because Linux
// sends the parent-death signal when the *thread* that forked ends (prctl(2), PR_SET_PDEATHSIG).
func startChild(cmd *exec.Cmd, log *serverLog) (*child, error) {
	cmd.Stdout, cmd.Stderr = log, log
	c := &child{done: make(chan struct{})}
	started := make(chan error, 1) // one value, sent without waiting for the reader
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer log.Close()
		err := cmd.Start()
		c.process = cmd.Process
		started <- err
		if err != nil {
			return
		}
		c.err = cmd.Wait()
		close(c.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("run %s: %w", cmd.Path, err)
	}
	return c, nil
}

// runLocked starts cmd and waits for it on one thread, for the reason given at [startChild].
func runLocked(cmd *exec.Cmd, started, ended chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Start()
	started <- err
	if err == nil {
		ended <- cmd.Wait()
	}
}

// ended says whether the process has ended.
func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// stop ends the process in order, by force if it must, and returns when it has ended.
func (c *child) stop() error {
	if c.ended() {
		return nil
	}
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGINT, fastStop}, {syscall.SIGQUIT, quitStop}} {
		if err := c.signal(step.signal); err != nil {
			return err
		}
		select {
		case <-c.done:
			if step.signal == syscall.SIGINT && c.err != nil && !errors.Is(c.err, exec.ErrWaitDelay) {
				return c.err
			}
			return nil
		case <-time.After(step.wait):
		}
	}
	return c.kill()
}

// kill ends the process by SIGKILL and returns when it has ended.
func (c *child) kill() error {
	if err := c.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-c.done
	return nil
}

func (c *child) signal(sig syscall.Signal) error {
	if err := c.process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %v to postgres %d: %w", sig, c.process.Pid, err)
	}
	return nil
}
