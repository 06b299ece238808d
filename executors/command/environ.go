package command

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
)

// Commands learn these facts about their attempt (design §8): an idempotency key that is the same for all attempts, and the
// attempt's number as a fencing token. They never get the claim's token.
const (
	envTask    = "TASKGROVE_TASK_ID"
	envAttempt = "TASKGROVE_ATTEMPT"
	envKey     = "TASKGROVE_IDEMPOTENCY_KEY"

	ourPrefix   = "TASKGROVE_"
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// passed names the variables of the worker's environment that every command gets. The worker's environment holds passwords, so
// a short list of allowed names is safer than a list of secret ones.
var passed = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
}

// inherited picks the variables of the worker's environment that commands may see.
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

// environment is the complete environment of one command: inherited variables, those of the task, and the facts about the
// attempt. Later ones win.
func (e *Executor) environment(call *executors.Call, set map[string]string) ([]string, error) {
	env := slices.Clone(e.inherited)
	for name, value := range set {
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0):
			return nil, fmt.Errorf("env: %q can't be set", name)
		case len(e.cfg.Whitelist) > 0 && !slices.Contains(e.cfg.KeepEnv, name):
			// PATH, LD_PRELOAD and the like can turn an allowed command into any other.
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
