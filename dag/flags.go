package dag

// Flags are facts about a task that scheduling needs at every step, and that never change but for [FlagDemo] and [FlagKeyed]: each execution says those of
// the tasks that it starts. The bits are stored; the sign stays unused, so that there are 31.
type Flags int32

// The flags of a task.
const (
	FlagLeaf       Flags = 1 << iota // no task names it as parent: it counts in the tree's progress
	FlagGroup                        // has no executor: completes when its dependencies allow (spec 1.3)
	FlagRepeatable                   // may start before its claim is confirmed
	FlagDependents                   // some task depends on it
	FlagWide                         // more than [InlineDependents] do: they are unlocked by a followup, in batches
	FlagTimed                        // has a not-before or schedule-to-start time: look at its policy when it gets ready
	FlagTimeout                      // has a start-to-close timeout of its own
	FlagUnknown                      // no worker was ever known to have its executor: fails when it gets ready (spec K13)
	FlagOnce                         // must not be started twice: it is lost with its worker, so it is not claimed before it can start
	FlagDemo                         // is only demonstrated: its worker does not run it, and makes up a result (spec 3.10)
	FlagKeyed                        // its execution came with the key of a language model, which a coordinator keeps in memory (spec 5.7)
)

// flagsOfExecution are those that each execution says anew.
const flagsOfExecution = FlagDemo | FlagKeyed

// FlagPolicy marks tasks whose policy decisions need even when nothing fails.
const FlagPolicy = FlagTimed | FlagTimeout | FlagUnknown

// FlagsReleased marks tasks that are not simply ready when they wait for nothing: they end by themselves, have to wait for a
// time, or fail. [Decision.Release] decides.
const FlagsReleased = FlagGroup | FlagTimed | FlagUnknown

// InlineDependents is the most dependents of one task that are unlocked in the transaction that settles it.
const InlineDependents = 1000

// Unlocks reports whether tasks depend on it, few enough to be unlocked in the transaction that ends it.
func (f Flags) Unlocks() bool { return f&(FlagDependents|FlagWide) == FlagDependents }
