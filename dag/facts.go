package dag

// Facts are what is known of a task's first attempt before its row is read: flags, priority and pool, which never change within an execution. They
// travel to the worker with the attempt and come back with its claim and its result, so that both can be decided without
// reading the row. They prove nothing: a write finds out whether the row is as was thought (see [Guard]). 0: not known.
//
// Bits, from the lowest: 32 of flags, 2 of priority, 30 of pool.
type Facts uint64

const (
	factsFlags    = 32
	factsPriority = 2
	factsPool     = 64 - factsFlags - factsPriority
)

// FactsOf gives those of an attempt of a task; of a later attempt than the first they are not known, since failures and lost
// workers may have been counted. Nor are those of a pool whose number needs more than 30 bits: there is none (pools are few,
// and numbered from 1; a group has none).
func FactsOf(attempt int32, f Flags, p Priority, pool int32) Facts {
	if attempt != 1 || pool < 0 || pool == 0 && f&FlagGroup == 0 || pool >= 1<<factsPool || f < 0 || p < Urgent || p > Low {
		return 0
	}
	return Facts(f) | Facts(p)<<factsFlags | Facts(pool)<<(factsFlags+factsPriority)
}

// Row is the row of a first attempt: as it is when nothing but what the state and the worker tell has happened to its task. Since when it
// runs is not known. false: there is no such row.
func (f Facts) Row(k Key, attempt int32, s State, w WorkerKey) (r Row, ok bool) {
	pool, flags := f>>(factsFlags+factsPriority), f.Flags()
	if attempt != 1 || pool == 0 && flags&FlagGroup == 0 || flags < 0 {
		return Row{}, false
	}
	return Row{Key: k, State: s, Attempt: attempt, Worker: w, Flags: flags, Pool: int32(pool),
		Priority: Priority(f >> factsFlags & (1<<factsPriority - 1))}, true
}

// Flags are those of the task.
func (f Facts) Flags() Flags { return Flags(uint32(f)) }
