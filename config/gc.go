package config

import (
	"os"
	"runtime/debug"
)

// gcPercent trades memory, of which a coordinator and a worker hold little, for processor time: measured on flat trees
// of no-ops, a fifth of each task's.
const gcPercent = 400

// memoryLimit is where that trade ends, in bytes: beyond it the collector works as often as it must. Softly: what is
// needed, as the ids of a tree of millions of tasks while it is submitted, is had all the same.
const memoryLimit = 400 << 20

// TuneGC sets the garbage collector for a process of ours, unless GOGC or GOMEMLIMIT says otherwise.
func TuneGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}
