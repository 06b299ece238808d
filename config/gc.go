package config

import (
	"os"
	"runtime/debug"
)

// gcPercent trades memory, of which a coordinator and a worker hold little, for processor time: measured on flat trees
// of no-ops, a fifth of each task's.
const gcPercent = 400

// TuneGC sets the garbage collector for a process of ours, unless GOGC says otherwise.
func TuneGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
