//go:build unix

package failpoint

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		fact, text, err string
		points          int
	}{
		{"empty arms nothing", "", "", 0},
		{"one point", "a=kill", "", 1},
		{"several, with spaces", "a=kill@3, b=stop,c=exit@2+10ms", "", 3},
		{"a name is needed", "=kill", "want name=action", 0},
		{"an action is needed", "a", "want name=action", 0},
		{"unknown action", "a=explode", "action is", 0},
		{"hits count from 1", "a=kill@0", "number from 1", 0},
		{"a delay is a duration", "a=kill+soon", "duration", 0},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			points, err := parse(tt.text)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Fatalf("parse(%q) error = %v, want %q", tt.text, err, tt.err)
			}
			if len(points) != tt.points {
				t.Errorf("parse(%q) = %d points, want %d", tt.text, len(points), tt.points)
			}
		})
	}
}

// TestHit runs this test binary again with the variable set: the child passes point "p" three times.
func TestHit(t *testing.T) {
	if os.Getenv("FAILPOINT_CHILD") != "" {
		for range 3 {
			os.Stdout.WriteString("pass\n")
			Hit("p")
		}
		os.Exit(0)
	}
	for _, tt := range []struct {
		fact, arm string
		passes    int
		killed    bool
		code      int
	}{
		{"another point is not ours", "q=kill", 3, false, 0},
		{"kill ends the process on the line", "p=kill", 1, true, 0},
		{"kill at the second hit", "p=kill@2", 2, true, 0},
		{"exit has a code of its own", "p=exit@3", 3, false, ExitCode},
	} {
		t.Run(tt.fact, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestHit$")
			cmd.Env = append(os.Environ(), "FAILPOINT_CHILD=1", Variable+"="+tt.arm)
			out, err := cmd.Output()
			if got := strings.Count(string(out), "pass\n"); got != tt.passes {
				t.Errorf("passed %d times, want %d", got, tt.passes)
			}
			exit, _ := errors.AsType[*exec.ExitError](err)
			if exit == nil {
				if tt.killed || tt.code != 0 {
					t.Errorf("ended with %v", err)
				}
				return
			}
			status := exit.Sys().(syscall.WaitStatus)
			if killed := status.Signaled() && status.Signal() == syscall.SIGKILL; killed != tt.killed {
				t.Errorf("killed = %v, want %v", killed, tt.killed)
			}
			if !tt.killed && exit.ExitCode() != tt.code {
				t.Errorf("exit code = %d, want %d", exit.ExitCode(), tt.code)
			}
		})
	}
}
