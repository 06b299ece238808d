package config

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
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
		keepRoom()
	}
}

// keepRoom has the limit leave room above what is in use, after each collection from now on. Without it a process that needs about the limit, such as
// one with ten thousand watchers, would do little but collect: sixty percent of a core, with nothing to do (measured).
var keepRoom = sync.OnceFunc(afterCollection)

// collected is an object that nobody has: it goes with the next collection.
type collected struct{ _ [16]*byte }

func afterCollection() {
	runtime.AddCleanup(&collected{}, func(struct{}) {
		if limit := roomFor(inUse()); limit != debug.SetMemoryLimit(-1) {
			debug.SetMemoryLimit(limit)
		}
		afterCollection()
	}, struct{}{})
}

// limitStep is by how much the limit changes at a time: setting it stops the process for a moment.
const limitStep = 32 << 20

// roomFor is the limit when so many bytes are in use: half as much again, but not less than [memoryLimit].
func roomFor(used int64) int64 {
	return max(memoryLimit, (used+used/2+limitStep-1)/limitStep*limitStep)
}

// needed are the metrics of what a process needs: what the last collection has left, the stacks, and what the runtime has for itself.
var needed = []string{"/gc/heap/live:bytes", "/memory/classes/heap/stacks:bytes", "/memory/classes/metadata/mcache/inuse:bytes",
	"/memory/classes/metadata/mspan/inuse:bytes", "/memory/classes/metadata/other:bytes", "/memory/classes/other:bytes"}

// inUse is what the process needs, in bytes.
func inUse() (bytes int64) {
	samples := make([]metrics.Sample, len(needed))
	for i, name := range needed {
		samples[i].Name = name
	}
	metrics.Read(samples)
	for _, s := range samples {
		if s.Value.Kind() == metrics.KindUint64 {
			bytes += int64(s.Value.Uint64())
		}
	}
	return bytes
}
