package dag

// Flags are facts about a task that scheduling needs at every step, and that never change but for [FlagDemo], [FlagKeyed] and [FlagImported], as each execution says those of
// the tasks that it starts, [FlagHolds] and [FlagFresh]. The bits are stored; the sign stays unused, so that there are 31.
type Flags int32

// The flags of a task.
const (
	FlagLeaf       Flags = 1 << iota // no task names it as parent: it counts in the tree's progress
	FlagGroup                        // has no executor: completes when its dependencies allow (spec 1.3)
	FlagRepeatable                   // may start before its claim is confirmed
	FlagDependents                   // some task depends on it
	FlagWide                         // a followup tells them, in batches: they are more than [InlineDependents]
	FlagTimed                        // has a not-before or schedule-to-start time: look at its policy when it gets ready
	FlagTimeout                      // has a start-to-close timeout of its own; a group: a time for all that is below it
	FlagUnknown                      // no worker was ever known to have its executor: fails when it gets ready (spec K13)
	FlagOnce                         // must not be started twice: it is lost with its worker, so it is not claimed before it can start
	FlagDemo                         // is only demonstrated: its worker does not run it, and makes up a result (spec 3.10)
	FlagKeyed                        // its execution came with the key of a language model, which a coordinator keeps in memory (spec 5.7)
	FlagJudged                       // once its dependencies have ended, how each has decides whether it runs: it is a fold, or has edges with a mode (control 2)
	FlagWhen                         // has a condition: a followup decides, with its verdict (control 3)
	FlagFold                         // a group that takes the worst outcome of its dependencies as its own (control 2)
	FlagAllowed                      // its failure does not make its tree fail (control 2)
	FlagMore                         // its worker is told more than the protocol has: [Control]
	FlagChild                        // was made by an expansion: its end is told to the task that expanded (control 5)
	FlagImported                     // had ended before it was submitted, and has not run since (control 4)
	FlagLimited                      // asks for limits, a lock or rates: it waits for them once it is ready (control 7)
	FlagHolds                        // may hold a place in its pool, or of its user, for which an operator has set a limit (control 7)
	FlagCache                        // may end by an earlier success: a followup looks for one before it runs, and its own success may end others (control 12)
	FlagFresh                        // with FlagCache: it runs, as a user has it run again, or wants nothing from the cache
	FlagKeeps                        // with FlagLimited: once it has succeeded, its lock is held on for its parent ([HoldParent])
	FlagKept                         // a task below takes a lock for it: its end gives that back
	FlagUnder                        // a lock may be held for a task above: its worker is told of it
	FlagBounded                      // a group above has a timeout, which begins when the first of what is below it may start
)

// flagsOfExecution are those that each execution says anew.
const flagsOfExecution = FlagDemo | FlagKeyed | FlagImported

// FlagPolicy marks tasks whose policy decisions need even when nothing fails.
const FlagPolicy = FlagTimed | FlagTimeout | FlagUnknown

// FlagsReleased marks tasks that are not simply ready when they wait for nothing: they end by themselves, have to wait for a
// time, or fail. [Decision.Release] decides.
const FlagsReleased = FlagGroup | FlagTimed | FlagUnknown | FlagsJudged

// FlagsJudged mark tasks of which [Decision.Judge] decides whether they run, once their dependencies have ended.
const FlagsJudged = FlagJudged | FlagsEvaluated

// FlagsEvaluated mark those of which it decides by more than rows: by their conditions, or earlier successes.
const FlagsEvaluated = FlagWhen | FlagCache

// InlineDependents is the most dependents of one task that are unlocked in the transaction that settles it.
const InlineDependents = 1000

// Unlocks reports whether tasks depend on it, few enough to be unlocked in the transaction that ends it.
func (f Flags) Unlocks() bool { return f&(FlagDependents|FlagWide) == FlagDependents }
