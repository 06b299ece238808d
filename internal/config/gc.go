package config

import (
	"os"
	"runtime/debug"
)

// GCPercent is how much the heap may grow between two collections, in percent of what is in use.
type GCPercent int

// Our processes trade memory for processor time: 400 saves each of them a fifth of the time per no-op of a flat tree
// (measured).
const (
	// GCCoordinator is for a process that holds a coordinator, and for the client commands.
	GCCoordinator GCPercent = 400
	// GCWorker is for a process that is only a worker. With 4000 slots and a flat tree of a million no-ops, 112 MiB are
	// resident; with 400 percent it would be 151 MiB.
	GCWorker GCPercent = 200
)

// memoryLimit ends this trade, in bytes: beyond it the collector works as often as it must. It is soft: memory that is needed,
// for instance for the ids of a tree of millions of tasks during its submission, is still allocated.
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
