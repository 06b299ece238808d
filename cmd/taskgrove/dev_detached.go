package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/node"
)

// Files of a place, which is the data directory, or that of the ephemeral cluster in the background.
const (
	devLockFile  = "lock"     // locked as long as the cluster's process lives
	devStateFile = "dev.json" // a [devState], once the cluster is ready
	devLogFile   = "dev.log"  // of a cluster in the background; the one before it is dev.log.1
)

// devState is what a running cluster tells the commands that look for it. It has no passwords.
type devState struct {
	PID       int       `json:"pid"`
	StartedAt time.Time `json:"started_at"`
	HTTP      string    `json:"http,omitempty"`
	GRPC      string    `json:"grpc,omitempty"`
	NATS      string    `json:"nats"`
	Postgres  string    `json:"postgres"`
	Log       string    `json:"log,omitempty"` // of a cluster in the background
}

// devPlace is the directory by which a cluster of "taskgrove dev" is found, however it was started.
func devPlace(cfg *config.Dev) (string, error) {
	dir := cfg.DataDir
	if dir == "" {
		home, err := dataHome()
		if err != nil {
			return "", fmt.Errorf("%sDATA_DIR is not set: %w", config.Prefix, err)
		}
		name := "dev"
		if cfg.Ephemeral {
			name = "dev-ephemeral"
		}
		dir = filepath.Join(home, "taskgrove", name)
	}
	return filepath.Abs(dir)
}

// lockPlace keeps other clusters out of the place until the file that it gives is closed.
func lockPlace(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, devLockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("data directory %s is in use by another \"taskgrove dev\": stop that one with \"taskgrove dev stop\", "+
			"or choose another directory with --data-dir or --ephemeral", dir)
	}
	return lock, nil
}

// lockPlaceSoon is lockPlace for a process that may find the lock in the hands of who started it, for a moment.
func lockPlaceSoon(dir string, background bool) (lock *os.File, err error) {
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if lock, err = lockPlace(dir); err == nil || !background || time.Now().After(end) {
			return lock, err
		}
	}
}

// liveState is what the cluster of the place tells; nil when none runs there. Its process is the one that holds the lock, so a state that a
// killed one has left behind says nothing.
func liveState(dir string) (*devState, error) {
	running, err := placeIsLocked(dir)
	if err != nil || !running {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, devStateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("a cluster starts or stops in %s: try again", dir)
	}
	if err != nil {
		return nil, err
	}
	var state devState
	if err := json.Unmarshal(text, &state); err != nil || state.PID <= 1 {
		return nil, fmt.Errorf("%s is damaged", filepath.Join(dir, devStateFile))
	}
	return &state, nil
}

func placeIsLocked(dir string) (bool, error) {
	lock, err := os.OpenFile(filepath.Join(dir, devLockFile), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer lock.Close() //nolint:errcheck // nothing was written
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// tellState writes what others may know of this cluster, and takes it back when the process stops.
func tellState(p *node.Process, dir string, at addresses, log string) error {
	state := devState{
		PID: os.Getpid(), StartedAt: time.Now().Truncate(time.Second), HTTP: at.HTTP, GRPC: at.GRPC,
		NATS: withoutUser(at.NATS), Postgres: withoutUser(at.Postgres), Log: log,
	}
	text, err := json.MarshalIndent(state, "", "  ")
	path := filepath.Join(dir, devStateFile)
	if err == nil {
		err = writeWhole(path, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("state file: %w", err)
	}
	p.OnStop("state file", func() error { return os.Remove(path) })
	return nil
}

// detach starts the cluster in a process of its own, which outlives this one and its terminal, and waits until it is ready.
func detach(ctx context.Context, cmd *cobra.Command, cfg *config.Dev) error {
	dir, err := devPlace(cfg)
	if err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, 0o711)); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	lock, err := lockPlace(dir)
	if err != nil {
		return err
	}
	logFile := filepath.Join(dir, devLogFile)
	child, err := startDetached(cmd, logFile)
	// The child waits for the lock only as long as it takes to get here.
	if err = errors.Join(err, lock.Close()); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		select {
		case err := <-ended:
			return fmt.Errorf("the cluster did not start (%w); the end of %s:\n%s", cmp.Or(err, errors.New("it ended")), logFile, tail(logFile, 15))
		case <-ctx.Done():
			_ = child.Process.Signal(syscall.SIGTERM)
			return errors.Join(errors.New("interrupted: the cluster was told to stop"), <-ended)
		case <-tick.C:
			if state, err := liveState(dir); err == nil && state != nil && state.PID == child.Process.Pid {
				tick.Stop()
				return writeState(cmd.OutOrStdout(), dir, state, "Taskgrove is ready, in the background.")
			}
		}
	}
}

// startDetached starts this command again, without a terminal, with its output in the file.
func startDetached(cmd *cobra.Command, logFile string) (*exec.Cmd, error) {
	if err := os.Rename(logFile, logFile+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("log file: %w", err)
	}
	output, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log file: %w", err)
	}
	defer output.Close() //nolint:errcheck // the child has its own
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"dev", "--in-background"}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Name != "detach" {
			args = append(args, "--"+f.Name+"="+f.Value.String())
		}
	})
	child := exec.Command(program, args...)
	child.Stdout, child.Stderr = output, output
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := child.Start(); err != nil {
		return nil, fmt.Errorf("start in the background: %w", err)
	}
	return child, nil
}

// tail is the last lines of a file, of its last 16 KiB.
func tail(path string, lines int) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close() //nolint:errcheck // it was only read
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(0, size-16<<10), io.SeekStart)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// answers reports whether the cluster says that it is ready.
func (s *devState) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.HTTP+"/ready", http.NoBody)
	if err != nil {
		return false
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer answer.Body.Close() //nolint:errcheck // the status is all that counts
	return answer.StatusCode == http.StatusOK
}

func writeState(w io.Writer, dir string, s *devState, headline string) error {
	_, err := fmt.Fprintf(w, `%s

  Process   %d, since %s
  HTTP      %s
  gRPC      %s
  NATS      %s
  Postgres  %s
  State     %s
  Log       %s

"taskgrove dev status" shows how it is, "taskgrove dev stop" stops it.
`, headline, s.PID, s.StartedAt.Local().Format(time.RFC3339), s.HTTP, s.GRPC, s.NATS, s.Postgres, dir, cmp.Or(s.Log, "its terminal"))
	return err
}
