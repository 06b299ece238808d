package command

import (
	"slices"
	"strings"
	"time"
)

// Config says what a worker's command executor may do. It is read once, when the executor is made (spec 8.2).
type Config struct {
	// Allow switches the executor on. While it is off, every attempt fails for good.
	Allow bool
	// Whitelist holds the first words that commands may have: names to look up in the worker's PATH, or absolute paths. If it
	// is not empty, there is no shell, operators are refused, and env may set only names in KeepEnv. If it is empty, any
	// command may run, in the shell.
	Whitelist []string
	// MaxOutputBytes is how much is kept of stdout and of stderr, each. 0: 1 MiB.
	MaxOutputBytes int
	// KeepEnv names variables of the worker's environment that commands get besides the usual few (PATH, HOME, LANG, ...).
	// Variables that begin with TASKGROVE_ are never passed on.
	KeepEnv []string
	// Grace is the time from SIGTERM to SIGKILL. 0: that of package guardian.
	Grace time.Duration
}

// ParseAllow reads AIPARTNERUPFLOW_STDIO_ALLOW_COMMAND: 1, true, yes and on switch commands on (spec 8.2).
func ParseAllow(value string) bool {
	switch strings.ToLower(strings.TrimSpace(value)) {
	case "1", "true", "yes", "on":
		return true
	}
	return false
}

// ParseWhitelist reads AIPARTNERUPFLOW_STDIO_COMMAND_WHITELIST: first words, separated by commas (spec 8.2). It also serves
// for KeepEnv. The result is sorted and without repeats; it is nil for an empty list.
func ParseWhitelist(value string) []string {
	var words []string
	for word := range strings.SplitSeq(value, ",") {
		if word = strings.TrimSpace(word); word != "" {
			words = append(words, word)
		}
	}
	slices.Sort(words)
	return slices.Compact(words)
}
