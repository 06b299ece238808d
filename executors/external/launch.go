package external

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors/external/protocol"
	"github.com/taskgrove/taskgrove/executors/guardian"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// launcher is how a program is run.
func launcher(program workerfile.Executor) (func(context.Context, protocol.Pipes) (string, error), error) {
	if program.Image != "" {
		return nil, errors.New("container images are not supported yet; give a command")
	}
	if len(program.Command) == 0 {
		return nil, errors.New("there is no command")
	}
	env := environment(program)
	path, err := lookPath(program.Command[0], env, program.Dir)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, pipes protocol.Pipes) (string, error) {
		status, err := guardian.Run(ctx, guardian.Command{
			Path: path, Args: program.Command, Env: env, Dir: program.Dir,
			Stdin: pipes.Stdin, Stdout: pipes.Stdout, Stderr: pipes.Stderr, Lease: pipes.Lease, Grace: pipes.KillGrace,
		})
		return exitOf(status), err
	}, nil
}

// exitOf is how a program ended, in words.
func exitOf(status guardian.Status) string {
	if status.Signal != 0 {
		return fmt.Sprintf("signal %d (%v)", int(status.Signal), status.Signal)
	}
	return fmt.Sprintf("exit code %d", status.Code)
}

const (
	ourPrefix   = "TASKGROVE_"
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// passed names the variables of the worker's environment that every program gets. The worker's environment holds passwords, so
// a short list of allowed names is safer than a list of secret ones.
var passed = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
}

// environment is the complete environment of a program; what the worker's file sets goes before.
func environment(program workerfile.Executor) []string {
	env := []string{"PATH=" + defaultPath}
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, ourPrefix) &&
			(slices.Contains(passed, name) || strings.HasPrefix(name, "LC_") || slices.Contains(program.KeepEnv, name)) {
			env = append(env, kv)
		}
	}
	for name, value := range program.Env {
		env = append(env, name+"="+value)
	}
	return env
}

// lookPath finds a program by its path, relative to dir, or by its name in the environment's PATH.
func lookPath(name string, env []string, dir string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		name, err := filepath.Abs(name)
		if err != nil {
			return "", err
		}
		if !executable(name) {
			return "", fmt.Errorf("%q is not a program", name)
		}
		return name, nil
	}
	path := ""
	for _, kv := range env { // the last one counts
		if value, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = value
		}
	}
	for _, dir := range filepath.SplitList(path) {
		if full := filepath.Join(dir, name); filepath.IsAbs(dir) && executable(full) {
			return full, nil
		}
	}
	return "", fmt.Errorf("%q was not found in PATH", name)
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir() && info.Mode()&0o111 != 0
}
