package workerfile

import (
	"strings"
	"time"
)

// Executor is one of the operator's own: a program, or a container image, that speaks the protocol of docs/external-executors.md.
type Executor struct {
	// ID is what its description must call it; empty: whatever it does.
	ID      string   `file:"id"`
	Command []string `file:"command"` // program and arguments; a program without a slash is looked for in PATH
	Image   string   `file:"image"`   // instead of command: a container image whose entry point is the program
	// Env is set besides the small environment that all programs get. It is no place for secrets: those come to attempts in their inputs.
	Env         map[string]string `file:"env"`
	KeepEnv     []string          `file:"keep_env"`    // variables of the worker's environment that it also gets
	Dir         string            `file:"dir"`         // working directory; empty: the worker's
	KeepAlive   *bool             `file:"keep_alive"`  // serve one attempt after the other; nil: true
	Concurrency int               `file:"concurrency"` // attempts that one process takes at once, at most; 0: as it describes itself
	Slots       int               `file:"slots"`       // of its pool, where no setting says; 0: as it describes itself
	Heartbeat   time.Duration     `file:"heartbeat"`   // longest silence of an attempt; 0: as it describes itself
	StartWithin time.Duration     `file:"start_within"`
	Grace       time.Duration     `file:"grace"` // from the word cancel until it is killed; 0: that of commands
	Idle        time.Duration     `file:"idle"`  // how long a process without attempts is kept; 0: 5 minutes
}

// Bounds of an executor's own numbers.
const (
	maxConcurrency = 1000
	maxGrace       = 10 * time.Minute
)

// Check looks at what must fit together.
func (e *Executor) Check(at Place) {
	if (len(e.Command) == 0) == (e.Image == "") && !at.Faulty("command") && !at.Faulty("image") {
		at.Fault("", "an executor has either a command or an image")
	}
	if len(e.Command) > 0 && !at.Faulty("command") && strings.TrimSpace(e.Command[0]) == "" {
		at.Fault("command", "begins with no program")
	}
	for i, word := range e.Command {
		if strings.ContainsRune(word, 0) {
			at.Key("command").Index(i).Fault("", "contains a NUL")
		}
	}
	if e.ID != "" && !validPool(e.ID) {
		at.Fault("id", "want 1 to 64 letters, digits, - and _, as its pool is called so")
	}
	for name, value := range e.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0) {
			at.Key("env").Fault(name, "can't be set")
		}
	}
	for key, n := range map[string]int{"concurrency": e.Concurrency, "slots": e.Slots} {
		if n < 0 || n > maxConcurrency {
			at.Fault(key, "want 1 to %d", maxConcurrency)
		}
	}
	for key, d := range map[string]time.Duration{"start_within": e.StartWithin, "grace": e.Grace} {
		if d > maxGrace {
			at.Fault(key, "want at most %v", maxGrace)
		}
	}
}
