package programs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
)

const (
	ourPrefix   = "TASKGROVE_"
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// passed names the variables of the worker's environment that every program gets. The worker's environment holds passwords, so
// a short list of allowed names is safer than a list of secret ones.
var passed = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
}

// Inherited picks the variables of the worker's environment that child processes may see: the usual few, and those to keep. There is always a
// PATH.
func Inherited(environ, keep []string) []string {
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

// Environment is the complete environment of a process: inherited variables, those that the task sets, and the facts about the attempt. Later
// ones win. Errors are for users; they show names, and no values.
func (g *Guard) Environment(call *executors.Call, set map[string]string) ([]string, error) {
	env := slices.Clone(g.inherited)
	for name, value := range set {
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0):
			return nil, fmt.Errorf("env: %q can't be set", name)
		case !g.MaySet(name):
			return nil, fmt.Errorf("env: %q must not be set while a whitelist is in force", name)
		}
		env = append(env, name+"="+value)
	}
	for _, v := range call.Environ() {
		env = append(env, v.Name+"="+v.Value)
	}
	return env, nil
}

// Instead is the complete environment of a process for which the task names all of it: those variables, PATH as others have it unless it is
// among them, and the facts about the attempt. Errors are those of [Guard.Environment].
func (g *Guard) Instead(call *executors.Call, set map[string]string) ([]string, error) {
	path := slices.DeleteFunc(slices.Clone(g.inherited), func(kv string) bool { return !strings.HasPrefix(kv, "PATH=") })
	return (&Guard{allowed: g.allowed, keep: g.keep, inherited: path}).Environment(call, set)
}

// MaySet reports whether a task may set a variable: with an allow-list, it is one of those to keep, and none that makes a program start another.
func (g *Guard) MaySet(name string) bool {
	return !g.Confined() || slices.Contains(g.keep, name) && !changesPrograms(name)
}

// turning are variables that make an allowed program load or start something else, whole names; passing the worker's own value on does no harm.
var turning = []string{
	"PATH", "GCONV_PATH", "GETCONF_DIR", "HOSTALIASES", "LOCPATH", "NLSPATH", "MALLOC_TRACE", "RESOLV_HOST_CONF", // of libc
	"BASH_ENV", "ENV", "IFS", "CDPATH", "SHELLOPTS", "BASHOPTS", "PS4", "ZDOTDIR", "SHELL", "HOME", // of shells, which programs start
	"JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS",
	"EDITOR", "VISUAL", "PAGER", "MANPAGER", "BROWSER", "LESSOPEN", "LESSCLOSE", "TERMINFO", "TAR_OPTIONS",
}

// turningPrefixes are the same, beginnings of names.
var turningPrefixes = []string{"LD_", "DYLD_", "BASH_FUNC_", "PYTHON", "PERL", "RUBY", "NODE_", "LUA_", "PHP", "GIT_", "SSH_", "XDG_", "RSYNC_"}

func changesPrograms(name string) bool {
	return slices.Contains(turning, name) ||
		slices.ContainsFunc(turningPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}
