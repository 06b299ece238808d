package config

import (
	"os"
	"runtime/debug"
)

// GCPercent is how much the heap may grow between two collections, in percent of what is in use.
type GCPercent int

// It trades memory, of which a coordinator and a worker hold little, for processor time: measured on flat trees of no-ops,
// a fifth of each task's. A worker of thousands of slots holds more than a coordinator: 151 MiB resident with 400.
const (
	GCCoordinator GCPercent = 400
	GCWorker      GCPercent = 200
)

// memoryLimit is where that trade ends, in bytes: beyond it the collector works as often as it must. Softly: what is
// needed, as the ids of a tree of millions of tasks while it is submitted, is had all the same.
const memoryLimit = 400 << 20

// TuneGC sets the garbage collector for a process of ours, unless GOGC or GOMEMLIMIT says otherwise. The last call counts.
func TuneGC(percent GCPercent) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(int(percent))
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}
