package config

import (
	"os"
	"runtime/debug"
)

// GCPercent is how much the heap may grow between two collections, in percent of what is in use.
type GCPercent int

// What our processes trade of their memory for processor time: 400 saves a fifth of what a no-op of a flat tree costs each of
// them (measured).
const (
	// GCCoordinator is for a process that holds a coordinator, and for the client commands.
	GCCoordinator GCPercent = 400
	// GCWorker is for a process that is a worker and nothing else: with 4000 slots it has 112 MiB resident in a flat tree of a
	// million no-ops, and 151 MiB with 400.
	GCWorker GCPercent = 200
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
