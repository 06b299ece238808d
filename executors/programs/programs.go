package programs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Config says what tasks may start.
type Config struct {
	// Allowed are the first words that commands may have: names to look up in the worker's PATH, or absolute paths. If it is not
	// empty, there is no shell, operators are refused, and tasks may set only the variables in KeepEnv. If it is empty, any program may
	// run, and the shell.
	Allowed []string
	// KeepEnv names variables of the worker's environment that programs get besides the usual few (PATH, HOME, LANG, ...).
	// Variables that begin with TASKGROVE_ are never passed on.
	KeepEnv []string
}

// Guard is what tasks may start on this worker. Safe for concurrent use.
type Guard struct {
	allowed   []string // sorted
	keep      []string
	inherited []string
}

// New reads the configuration and the worker's environment, once.
func New(cfg Config) *Guard {
	return &Guard{
		allowed: slices.Compact(slices.Sorted(slices.Values(cfg.Allowed))), keep: slices.Clone(cfg.KeepEnv),
		inherited: Inherited(os.Environ(), cfg.KeepEnv),
	}
}

// Confined reports whether there is an allow-list, and so no shell.
func (g *Guard) Confined() bool { return len(g.allowed) > 0 }

// Program finds what argv begins with: the path of the program to run with these arguments. env and dir are those of the process. With an allow-list
// they don't count: the program is looked for where the worker would find it. Errors are for users.
func (g *Guard) Program(argv, env []string, dir string) (path string, err error) {
	if len(argv) == 0 || argv[0] == "" {
		return "", fmt.Errorf("there is no program")
	}
	for _, arg := range argv {
		if strings.ContainsRune(arg, 0) {
			return "", fmt.Errorf("contains a NUL")
		}
	}
	if !g.Confined() {
		return LookPath(argv[0], env, dir)
	}
	if !slices.Contains(g.allowed, argv[0]) {
		return "", &NotAllowedError{argv[0], g.allowed}
	}
	return LookPath(argv[0], g.inherited, "/") // not relative to a directory that the task chooses
}

// NotAllowedError reports a program that is not in the allow-list (spec 8.2).
type NotAllowedError struct {
	Program string
	Allowed []string // sorted
}

// Error names the program and those that are allowed, for users.
func (e *NotAllowedError) Error() string {
	return fmt.Sprintf("Command '%s' is not in the whitelist. Allowed commands: %s", e.Program, strings.Join(e.Allowed, ", "))
}

// LookPath finds a program by its path, relative to dir (empty: the worker's directory), or by its name in the PATH of env. It ignores
// relative entries of PATH.
func LookPath(name string, env []string, dir string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		path, err := filepath.Abs(name)
		if err == nil && !executable(path) {
			err = fmt.Errorf("%q is not a program", name)
		}
		return path, err
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
