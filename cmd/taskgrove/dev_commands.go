package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/internal/config"
)

// devFlags are the flags of dev by which its other commands find a cluster.
var devFlags = []string{"data-dir", "ephemeral"}

// devChild makes a command that is about the cluster that "taskgrove dev" runs with the same --data-dir or --ephemeral.
func devChild(use, short, long string, do func(cmd *cobra.Command, dir string, state *devState) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Args: cobra.NoArgs}
	var cfg config.Dev
	var places []config.Variable
	for _, v := range config.Variables(&cfg) {
		for _, name := range devFlags {
			if v.Flag == name {
				places = append(places, v)
			}
		}
	}
	bind(cmd, places)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := config.ReadEnvFiles(); err != nil {
			return err
		}
		if err := config.Load(&cfg, flags(cmd, places)); err != nil {
			return err
		}
		dir, err := devPlace(&cfg)
		if err != nil {
			return err
		}
		state, err := liveState(dir)
		if err != nil {
			return err
		}
		return do(cmd, dir, state)
	}
	return cmd
}

// devStatus is what "dev status -o json" prints.
type devStatus struct {
	Running bool   `json:"running"`
	Ready   bool   `json:"ready"`
	Dir     string `json:"data_dir"`
	*devState
}

func devStatusCommand() *cobra.Command {
	var output *formatFlag
	cmd := devChild("status", "Show whether a cluster runs, and where", "Shows the cluster that \"taskgrove dev\" runs with the same --data-dir or --ephemeral --detach. Without one the exit code is 1.",
		func(cmd *cobra.Command, dir string, state *devState) error {
			status := devStatus{Running: state != nil, Dir: dir, devState: state}
			status.Ready = status.Running && (state.HTTP == "" || state.answers(cmd.Context()))
			if output.format != formatText {
				if err := output.format.write(cmd.OutOrStdout(), status); err != nil || status.Running {
					return err
				}
				return codedError{errors.New(""), exitError}
			}
			switch {
			case !status.Running:
				return codedError{fmt.Errorf("no cluster runs in %s", dir), exitError}
			case !status.Ready:
				return writeState(cmd.OutOrStdout(), dir, state, "Taskgrove runs, and is not ready.")
			}
			return writeState(cmd.OutOrStdout(), dir, state, "Taskgrove is ready.")
		})
	output = outputFlag(cmd, formatText, formatJSON, formatYAML)
	return cmd
}

func devStopCommand() *cobra.Command {
	var wait time.Duration
	var force bool
	cmd := devChild("stop", "Stop a cluster", "Stops the cluster that \"taskgrove dev\" runs with the same --data-dir or --ephemeral --detach, as Ctrl-C does, and waits for its end. Without one\n"+
		"there is nothing to do, and the exit code is 0.",
		func(cmd *cobra.Command, dir string, state *devState) error {
			if state == nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "no cluster runs in %s\n", dir)
				return nil
			}
			return stopDev(cmd, dir, state, wait, force)
		})
	cmd.Flags().DurationVar(&wait, "wait", 90*time.Second, "how long to wait for its end")
	cmd.Flags().BoolVar(&force, "force", false, "kill it when that time is up; nothing that was accepted is lost")
	return cmd
}

// stopDev tells the process to stop, and waits until it has let go of its place.
func stopDev(cmd *cobra.Command, dir string, state *devState, wait time.Duration, force bool) error {
	if err := syscall.Kill(state.PID, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop process %d: %w", state.PID, err)
	}
	err := untilFree(cmd.Context(), dir, wait)
	if errors.Is(err, context.DeadlineExceeded) && force {
		if err := syscall.Kill(state.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill process %d: %w", state.PID, err)
		}
		err = untilFree(cmd.Context(), dir, wait)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("process %d has not stopped within %s: wait longer with --wait, or kill it with --force", state.PID, wait)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), "stopped")
	return err
}

// untilFree waits until no process holds the place.
func untilFree(ctx context.Context, dir string, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		if locked, err := placeIsLocked(dir); err != nil || !locked {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
