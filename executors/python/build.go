package python

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/taskgrove/taskgrove/executors"
)

// build makes an environment in its directory, with uv.
func (c *cache) build(ctx context.Context, e *environment, want packages, j *job) error {
	uvs, err := tryLock(filepath.Join(c.dir, "uv.lock"), syscall.LOCK_SH)
	if err == nil { // else its cache is just being emptied, which uv bears
		defer uvs.Close()
	}
	makeWritable(e.dir)
	if err := os.RemoveAll(e.dir); err != nil {
		return err
	}
	if err := os.Mkdir(e.dir, 0o700); err != nil {
		return err
	}
	env, err := j.uvEnviron(c)
	if err != nil {
		return err
	}
	j.call.Reporter.Log("log", "making the environment")
	venv := filepath.Join(e.dir, "venv")
	env = append(env, "UV_PROJECT_ENVIRONMENT="+venv)
	args := []string{"venv", "-q", "--no-project", venv}
	if want.Python != "" {
		args = append(args, "--python", want.Python)
	}
	for _, args := range [][]string{args, want.install(e.dir, venv)} {
		if args == nil {
			continue
		}
		if err := j.run(ctx, j.e.uv, args, env, e.dir, c.bytes, c.tooLarge()); err != nil {
			return unmade(err)
		}
	}
	return c.finish(e)
}

// unmade is why an environment was not made. What is wrong with the packages, no other attempt can mend.
func unmade(err error) error {
	failed, ok := errors.AsType[*toolError](err)
	if !ok {
		return err
	}
	if failed.passing() {
		return fmt.Errorf("the environment was not made: %w", err)
	}
	return executors.Permanent(fmt.Errorf("[%s] the environment was not made: %w", ID, err))
}

// install are uv's arguments to install the packages, whose list it writes into a directory; nil: there are none.
func (p packages) install(dir, venv string) []string {
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		_ = os.WriteFile(file, []byte(text), 0o600) // uv says that it is not there
		return file
	}
	python := filepath.Join(venv, "bin", "python")
	var args []string
	switch {
	case p.Project != "":
		write("uv.lock", p.Lock)
		write("pyproject.toml", p.Project)
		args = []string{"sync", "-q", "--frozen", "--no-install-project", "--no-dev", "--project", dir, "--python", python}
	case p.Lock != "":
		args = []string{"pip", "sync", "-q", "--python", python, write("pylock.toml", p.Lock)}
	case p.Script+p.Requirements != "": // never both
		args = []string{"pip", "install", "-q", "--python", python, "-r", write("requirements.txt", p.Script+p.Requirements)}
		if strings.Contains(p.Requirements, "--hash=") {
			args = append(args, "--require-hashes")
		}
	default:
		return nil
	}
	if !p.Build {
		args = append(args, "--no-build")
	}
	return args
}

// uvEnviron is the complete environment of uv.
func (j *job) uvEnviron(c *cache) ([]string, error) {
	way, err := j.gateway()
	if err != nil {
		return nil, err
	}
	env := append(slices.Clone(j.e.env), "UV_PYTHON_DOWNLOADS=never")
	for _, name := range forUV {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	env = append(append(env, way.environ()...), "UV_CACHE_DIR="+filepath.Join(c.dir, "uv"), "UV_NO_PROGRESS=1", "NO_COLOR=1")
	bundle, err := j.authorities()
	if bundle != "" {
		env = append(env, "SSL_CERT_FILE="+bundle)
	}
	return env, err
}
