package command

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
)

// What commands are told of their attempt (design §8): an idempotency key that is stable across attempts, and the
// attempt's number as fencing token. Never the claim's token.
const (
	envTask    = "TASKGROVE_TASK_ID"
	envAttempt = "TASKGROVE_ATTEMPT"
	envKey     = "TASKGROVE_IDEMPOTENCY_KEY"

	ourPrefix   = "TASKGROVE_"
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// passed are the names of the worker's environment that every command gets. A short list of what is wanted is safer
// than a list of what is secret: the worker's own environment holds passwords.
var passed = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
}

// inherited picks from the worker's environment what commands may see.
func inherited(environ, keep []string) []string {
	var picked []string
	hasPath := false
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, ourPrefix) {
			continue
		}
		if slices.Contains(passed, name) || strings.HasPrefix(name, "LC_") || slices.Contains(keep, name) {
			picked = append(picked, kv)
			hasPath = hasPath || name == "PATH"
		}
	}
	if !hasPath {
		picked = append(picked, "PATH="+defaultPath)
	}
	return picked
}

// environment is the whole environment of one command: what is inherited, what the task sets, what we say of the
// attempt. Later ones win.
func (e *Executor) environment(call *executors.Call, set map[string]string) ([]string, error) {
	env := slices.Clone(e.inherited)
	for name, value := range set {
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0):
			return nil, fmt.Errorf("env: %q can't be set", name)
		case len(e.cfg.Whitelist) > 0 && !slices.Contains(e.cfg.KeepEnv, name):
			// PATH, LD_PRELOAD and their like turn an allowed command into any other.
			return nil, fmt.Errorf("env: %q must not be set while a whitelist is in force", name)
		}
		env = append(env, name+"="+value)
	}
	return append(env,
		envTask+"="+call.TaskID,
		envAttempt+"="+strconv.Itoa(call.Attempt),
		envKey+"="+call.IdempotencyKey,
	), nil
}
