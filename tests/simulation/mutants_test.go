package simulation

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/tests/mutation"
)

// within is how many histories may be played until a bug is found.
const within = 20_000

// huntTime is how long that may take for one bug.
const huntTime = 20 * time.Minute

// mutants are bugs of the protocol, in the code that the engine runs. The few in this package are in the model of a
// statement of SQL: that a lease which ran out ends, that a stretch which was taken is deleted, that an execution leaves
// followups alone, that a deadline names its execution, that an optimistic write compares its rows, that interrupted tasks go first, and what the tables of
// waiters, holds and pauses are read and written for.
// The first of them, one of each package but two of dag, are built by default.
var mutants = []mutation.Mutant{
	{Name: "settle-takes-old-attempts", File: "dag/settle.go", What: "an old attempt's result changes nothing",
		Old: "if r == nil || r.Attempt != res.Attempt {\n\t\treturn false", New: "if r == nil {\n\t\treturn false"},
	{Name: "claim-ignores-cancelled-tree", File: "dag/claim.go", What: "a task of a cancelled tree never starts",
		Old: "if r.cancelled {\n\t\t\treturn No\n\t\t}\n\t\td.start", New: "d.start"},
	{Name: "token-ignored-by-claim", File: "internal/workers/token.go", What: "a claim proves that its worker was given the attempt",
		Old: "case proof != Proved || !t.of(generationOf(token)).Claims:", New: "case proof == Retired:"},
	{Name: "claim-asked-once", File: "internal/ledger/claim.go", What: "a claim is asked until there is an answer",
		Old: "default:\n\t\ttodo.Again = append(todo.Again, a)", New: "default:"},
	{Name: "lease-never-ends", File: "tests/simulation/transactions.go", What: "a lease that is not extended ends",
		Old: "r.lease < s.w.now {\n\t\t\tr.state = lost", New: "r.lease < 0 {\n\t\t\tr.state = lost"},

	{Name: "attempt-number-stays", File: "dag/settle.go", What: "every return of an attempt makes a new number",
		Old: "\tr.Attempt++\n\tr.StartedAt = time.Time{}", New: "\tr.StartedAt = time.Time{}"},
	{Name: "blocked-tells-nobody", File: "dag/unlock.go", What: "what depends on a blocked task is told",
		Old: "d.block(r, cause)\n\t\treturn", New: "r.BlockedBy = cause\n\t\td.move(r, Blocked)\n\t\treturn"},
	{Name: "crash-burns-an-attempt", File: "dag/settle.go", What: "a lost worker burns no attempt",
		Old: "e.Counted = fails\n\td.end(r, e)", New: "e.Counted = fails\n\tr.Failures++\n\td.end(r, e)"},
	{Name: "early-result-does-not-start", File: "dag/settle.go", What: "an early result starts the attempt and ends it",
		Old: "case r.State == Ready && repeatable && res.Early && !r.cancelled:\n\t\td.start(r, res.Worker)", New: "case r.State == Ready && repeatable && res.Early && !r.cancelled:"},
	{Name: "result-sent-once", File: "internal/ledger/claim.go", What: "a result is sent until its receipt comes",
		Old: "if e.phase == reported && !e.sending && now.After(e.sendAfter) {", New: "if e == nil {"},
	{Name: "reconcile-off", File: "dag/republish.go", What: "what was published and is gone is published again",
		Old: "return oldest.IsZero() || oldest.After(sent.Add(clockSkew))", New: "return false"},
	{Name: "no-fence", File: "internal/ledger/lease.go", What: "a worker stops its executors before its lease ends",
		Old: "fence := end.Add(-min(l.Grace, length/2))", New: "fence := end.Add(time.Minute)"},

	{Name: "retry-after-ignored", File: "dag/backoff.go", What: "a failure may ask the next attempt to wait",
		Old: "return min(after, MaxRetryAfter) + delay", New: "return delay"},

	{Name: "handed-over-twice", File: "dag/claim.go", What: "one slot takes one task",
		Old: "for _, res := range offers {\n\t\tr := d.best", New: "for _, res := range append(offers, offers...) {\n\t\tr := d.best"},
	{Name: "handed-over-pool-ignored", File: "dag/claim.go", What: "a slot takes tasks of its pool",
		Old: "r.was.State == Ready || r.Pool != from.Pool || ", New: "r.was.State == Ready || "},
	{Name: "handed-over-past-others", File: "dag/claim.go", What: "an unlocked task passes nobody that waits",
		Old: "ready.moreUrgent(r) || !may(r) || ", New: "ready.moreUrgent(r) || "},
	{Name: "handed-over-past-the-urgent", File: "dag/claim.go", What: "an unlocked task passes no more urgent one that gets ready with it",
		Old: "ready.moreUrgent(r) || !may(r) || ", New: "!may(r) || "},
	{Name: "handed-over-the-worst", File: "dag/claim.go", What: "of what a result unlocks, the best is handed over",
		Old: "r.startsBefore(best) < 0 {", New: "r.startsBefore(best) > 0 {"},
	{Name: "handed-over-past-the-published", File: "tests/simulation/handover.go", What: "an unlocked task passes nobody that waits in NATS",
		Old: "for _, r := range s.published {\n\t\tif r.pool == l.Pool", New: "for _, r := range s.published {\n\t\tif r.pool < 0"},
	{Name: "handed-over-unasked", File: "dag/claim.go", What: "who offers no slot is handed nothing",
		Old: "from == nil || !res.Offer ||", New: "from == nil ||"},
	{Name: "handed-over-without-lease", File: "dag/claim.go", What: "only a worker whose lease lives is handed anything",
		Old: "if changed[i] && alive(results[i].Worker) {", New: "if changed[i] {"},
	{Name: "handed-over-slot-lost", File: "internal/ledger/ledger.go", What: "an offered slot is free when the receipt brings nothing",
		Old: "l.endOffer(e, todo)\n\tl.dropSlot(e, todo)", New: "if !e.offers {\n\t\tl.dropSlot(e, todo)\n\t}"},
	{Name: "handed-over-slot-taken", File: "internal/ledger/handover.go", What: "what comes when the slot was given up is handed back",
		Old: "(!ok || !offering.Self().offers ||", New: "(!ok ||"},
	{Name: "handed-over-copy-starts", File: "internal/ledger/handover.go", What: "a second copy of a handover starts nothing",
		Old: "if _, known := l.attempts[e.Key]; known || e.Session.ended {", New: "if e.Session.ended {"},
	{Name: "executions-forget-followups", File: "tests/simulation/executions.go", What: "an execution leaves others' follow-up work alone",
		Old: "nodes[c.task.Index()].Untold = true\n\t\t}\n\t}\n\treturn nodes, false\n", New: "}\n\t}\n\ts.followups = slices.DeleteFunc(s.followups, func(c followup) bool { return c.task.Tree() == t.key })\n\treturn nodes, false\n"},
	{Name: "cache-of-other-users", File: "tests/simulation/cache.go", What: "a task ends by a success of its own user",
		Old: "&cacheKey{user, rng.IntN(4)}", New: "&cacheKey{0, rng.IntN(4)}"},
	{Name: "cache-never-old", File: "tests/simulation/cache.go", What: "a task ends by what is young enough",
		Old: "if !ok || s.w.now-e.at >= t.fresh {", New: "if !ok {"},
	{Name: "cache-not-wanted", File: "dag/judge.go", What: "what a user has run again runs",
		Old: "case when.Cached != nil && r.Flags&FlagFresh == 0:", New: "case when.Cached != nil:"},
	{Name: "cache-of-what-was-cached", File: "tests/simulation/cache.go", What: "what ended by another is no success of its own",
		Old: "t.truth.reused = r.Attempt\n", New: "t.truth.reused = r.Attempt\n\t\ts.caches.entries[*t.cache] = cacheEntry{attemptKey{k, r.Attempt}, s.w.now}\n"},
	{Name: "restart-above-the-waiting", File: "dag/execution.go", What: "nothing restarts that somebody under way depends on",
		Old: "if !p.run[j] && nodes[j].State.Unfinished() {", New: "if false {"},
	{Name: "restart-waits-for-the-settled", File: "dag/execution.go", What: "a restarted task waits for those that restart with it, and no others",
		Old: "case p.run[t] && blocked[t] == 0:", New: "case blocked[t] == 0:"},
	{Name: "deadline-of-an-old-execution", File: "tests/simulation/followups.go", What: "a deadline ends its own execution",
		Old: "int(t.Attempt) != tree.execution || ", New: ""},
	{Name: "late-claims-start", File: "dag/timers.go", What: "what was granted too late for its timeout is handed back",
		Old: "return timeout > 0 && waited > StartWithin }", New: "return timeout > 0 && waited > time.Hour }"},
	{Name: "blocked-counts-down", File: "dag/unlock.go", What: "a failed required dependency blocks",
		Old: "if dep.fate(state) == fateBlocks {", New: "if dep.fate(state) == fateBlocks && state == Blocked {"},
	{Name: "optional-blocks", File: "dag/unlock.go", What: "a failed optional dependency does not block",
		Old: "if dep.fate(state) == fateBlocks {", New: "dep.Required = true\n\tif dep.fate(state) == fateBlocks {"},
	{Name: "receipt-reopens", File: "dag/settle.go", What: "a cancelled attempt's receipt changes no state",
		Old: "StartedAt: r.StartedAt, Result: res.Value, Chunked: res.Chunked, Used: res.Used, Receipt: true})\n\t\td.hold(r, 0)",
		New: "StartedAt: r.StartedAt, Result: res.Value, Chunked: res.Chunked, Used: res.Used, Receipt: true})\n\t\td.count(r, -1)\n\t\tr.State = Running\n\t\td.count(r, 1)\n\t\td.hold(r, 0)"},
	{Name: "any-worker-settles", File: "dag/settle.go", What: "only its holder ends an attempt",
		Old: "case r.State == Running && (res.from(r.Worker) || repeatable && res.Early):", New: "case r.State == Running:"},
	{Name: "claim-from-the-holder", File: "dag/claim.go", What: "an attempt that is held is no one else's",
		Old: "if r.Worker == w {\n\t\t\treturn Yes\n\t\t}\n\t\treturn No", New: "return Yes"},
	{Name: "old-timer-obeyed", File: "dag/timers.go", What: "a timer of an old attempt changes nothing",
		Old: "if r == nil || r.Attempt != t.Attempt {", New: "if r == nil {"},
	{Name: "poison-limit-ignored", File: "dag/settle.go", What: "a task fails after three lost workers",
		Old: "r.policy().OnLost == FailLost || r.Crashes >= PoisonLimit", New: "r.policy().OnLost == FailLost"},
	{Name: "on-lost-ignored", File: "dag/settle.go", What: "on_lost: fail",
		Old: "r.policy().OnLost == FailLost || r.Crashes >= PoisonLimit", New: "r.Crashes >= PoisonLimit"},
	{Name: "cancelled-attempt-let-go", File: "dag/settle.go", What: "a cancelled attempt of a lost worker is closed",
		Old: "StartedAt: r.StartedAt, Receipt: true})\n\t\td.hold(r, 0)", New: "StartedAt: r.StartedAt, Receipt: true})"},
	{Name: "wide-tells-nobody", File: "dag/unlock.go", What: "a wide task's dependents are told by a followup",
		Old: "\t\td.Unlock = append(d.Unlock, r.Key)\n\t\treturn", New: "\t\treturn"},
	{Name: "restart-with-the-old-number", File: "dag/execution.go", What: "numbers never restart: a re-run makes a new one",
		Old: "r.Attempt++", New: "_ = 0"},
	{Name: "restart-before-the-stop", File: "dag/execution.go", What: "a cancelled attempt that has not stopped bars a new one",
		Old: "if nodes[i].Open {", New: "if false {"},
	{Name: "token-ignored-by-settle", File: "internal/workers/token.go", What: "a result proves that its worker was given the attempt",
		Old: "return t.Check(k, attempt, token) == Proved", New: "return true"},
	{Name: "take-back-before-results", File: "internal/workers/watch.go", What: "nothing is taken back before RESULTS is settled",
		Old: "return r.Settled >= then.Last || !r.Created.Equal(then.Created)", New: "return true"},
	{Name: "strays-at-first-sight", File: "internal/workers/watch.go", What: "an attempt is a stray only in the second look",
		Old: "case !again:", New: "case !again && !l.now.passed(l.now):"},
	{Name: "copies-start-early", File: "internal/ledger/attempt.go", What: "a redelivered message waits for its claim",
		Old: "return e.Repeatable && e.Delivered == 1", New: "return e.Delivered == 1"},
	{Name: "claim-without-lease", File: "dag/claim.go", What: "only a worker whose lease lives may claim",
		Old: "if alive(c.Worker) {", New: "if true {"},
	{Name: "dispatched-twice", File: "tests/simulation/transactions.go", What: "a run that was taken waits no more",
		Old: "if admitted == 0 {\n\t\t\tleft = append(left, r)\n", New: "left = append(left, r)\n\t\tif admitted == 0 {\n"},
	{Name: "optimistic-without-the-policy", File: "dag/optimistic.go", What: "what has a policy is read before it is released",
		Old: "r.Flags&(FlagPolicy|FlagGroup|FlagsJudged) == 0", New: "true"},
	{Name: "optimistic-about-the-holder", File: "tests/simulation/optimistic.go", What: "an optimistic write compares who holds the attempt, and which it is",
		Old: "r.Expected() != is.Guard()", New: "r.Expected().State != is.State"},
	{Name: "optimistic-claim-in-a-cancelled-tree", File: "dag/optimistic.go", What: "an optimistic claim compares whether the tree is cancelled",
		Old: "\t\to.Assumed.Trees[c.Task.Tree()] = 0\n", New: ""},
	{Name: "optimistic-claim-without-lease", File: "dag/optimistic.go", What: "an optimistic claim compares whether the worker's lease lives",
		Old: "\t\to.assumeAlive(c.Worker)\n", New: ""},
	{Name: "optimistic-handover-without-lease", File: "dag/optimistic.go", What: "an optimistic handover compares whether the worker's lease lives",
		Old: "\t\to.assumeAlive(h.Worker)\n", New: ""},
	{Name: "strays-never-looked-for", File: "internal/workers/watch.go", What: "what a live worker does not know goes back",
		Old: "w.looked = now\n\treturn true", New: "return false"},

	{Name: "fence-not-noticed", File: "internal/ledger/lease.go", What: "a process that was frozen past its fence starts nothing",
		Old: "!l.over && l.Granted() && !l.expired(now)", New: "!l.over && l.Granted()"},
	{Name: "refused-for-ever", File: "internal/ledger/lease.go", What: "an instance whose first lease ended unheard gives way to another",
		Old: "const refusals = 3", New: "const refusals = 1 << 30"},
	{Name: "session-ends-and-work-goes-on", File: "internal/ledger/session.go", What: "the end of a session stops what it runs",
		Old: "case running:\n\t\t\ttodo.stop(a, cause)", New: "case running:"},
	{Name: "session-ends-and-work-is-kept", File: "internal/ledger/claim.go", What: "what ends early after its session waits for no answer",
		Old: "(e.claim == claimQueued || e.Session.ended)", New: "e.claim == claimQueued"},
	{Name: "slots-miscounted", File: "internal/ledger/line.go", What: "no more attempts run than the pool has slots",
		Old: "ln.n > 0 && l.held[pool] < l.limits.Slots[pool]", New: "ln.n > 0 && l.held[pool] < l.limits.Slots[pool]+2"},
	{Name: "line-forgotten", File: "internal/ledger/ledger.go", What: "a slot that frees has the next one in line",
		Old: "\tl.stepForward(e.Pool, todo)\n}\n\n// remove", New: "}\n\n// remove"},
	{Name: "line-forgotten-by-grants", File: "internal/ledger/claim.go", What: "what is granted in line steps forward once a slot is free",
		Old: "l.queue(&l.lines[e.Pool].ready, a)\n\t\t}", New: "}"},
	{Name: "line-starts-beside-a-full-pool", File: "internal/ledger/claim.go", What: "what is granted in line waits for a slot",
		Old: "case e.holdsSlot:\n", New: "case e.holdsSlot || e.inLine:\n\t\tl.leaveLine(e, todo)\n"},
	{Name: "line-starts-the-cancelled", File: "internal/ledger/claim.go", What: "what is cancelled in line never starts",
		Old: "if e.phase == waiting && e.claim == claimYes { // in line", New: "if false {"},
	{Name: "line-waits-for-ever", File: "internal/ledger/line.go", What: "what has waited in line for too long is handed back",
		Old: "e.claim == claimSent {\n\t\te.queued", New: "e.claim != claimQueued {\n\t\te.queued"},
	{Name: "line-keeps-the-unasked", File: "internal/ledger/line.go", What: "what nobody was asked for is given back when it waits for too long",
		Old: "{&ln.ready, &ln.cold}", New: "{&ln.ready}"},
	{Name: "drain-leaves-the-line", File: "internal/ledger/session.go", What: "a drain lets go of what is in line",
		Old: "e.Session == s && e.phase == waiting && e.claim != claimSent {", New: "e.Session == s && e.phase == waiting && e.claim == claimQueued {"},
	{Name: "drain-frees-slots-for-the-line", File: "internal/ledger/session.go", What: "nothing starts in the slots that a drain frees",
		Old: "func (l *Ledger[A]) Unstarted(s *Session, todo *Todo[A]) {\n\tl.closeLines(s)\n", New: "func (l *Ledger[A]) Unstarted(s *Session, todo *Todo[A]) {\n"},
	{Name: "fence-leaves-the-line", File: "internal/ledger/session.go", What: "the end of a session lets go of what is in line",
		Old: "\t\tcase waiting, stopped:\n\t\t\tl.release(a, cause, todo)", New: "\t\tcase waiting, stopped:\n\t\t\tif e.claim != claimYes {\n\t\t\t\tl.release(a, cause, todo)\n\t\t\t}"},
	{Name: "fence-frees-slots-for-the-line", File: "internal/ledger/session.go", What: "nothing starts in the slots that a fence frees",
		Old: "\tl.closeLines(s) // before offers end: nothing starts in the slots that they free\n", New: ""},
	{Name: "lost-are-claimed-ahead", File: "dag/claim.go", What: "after one that was lost, nothing of a run is claimed ahead",
		Old: "return attempt == run && f&(FlagOnce", New: "return f&(FlagOnce"},
	{Name: "once-are-claimed-ahead", File: "dag/claim.go", What: "what fails when it is lost is not claimed ahead",
		Old: "f&(FlagOnce|FlagLimited) == 0", New: "f&FlagLimited == 0"},
	{Name: "once-are-claimed-ahead-when-repeatable", File: "internal/ledger/line.go", What: "what may run twice is not claimed ahead either, if it fails when it is lost",
		Old: "case !e.mayBeAskedAhead(), l.limits", New: "case !e.mayBeAskedAhead() && !e.mayStartEarly(), l.limits"},
	{Name: "copies-are-claimed-ahead", File: "internal/ledger/attempt.go", What: "what may have started beside its claim is not claimed ahead when it comes again",
		Old: "return e.Ahead && (!e.Repeatable || e.Delivered == 1)", New: "return e.Ahead"},
	{Name: "unstarted-are-lost", File: "dag/settle.go", What: "what never began was not lost",
		Old: "d.interrupt(r, end, !res.Unstarted)", New: "d.interrupt(r, end, true)"},
	{Name: "interrupted-queue-up", File: "tests/simulation/store.go", What: "what was interrupted goes ahead of what waits",
		Old: "first = append(first, r)", New: "s.ready = append(s.ready, r)"},
	{Name: "interrupted-are-not-known", File: "dag/settle.go", What: "a decision tells which tasks were interrupted",
		Old: "\tr.again = true\n", New: ""},
	{Name: "wait-counts-as-run", File: "dag/settle.go", What: "an attempt that waited for its slot started later than it was claimed",
		Old: "r.StartedAt = res.began(r.StartedAt, d.now)", New: "_ = 0"},
	{Name: "departures-never-ripen", File: "internal/workers/watch.go", What: "the attempts of departed workers go back",
		Old: "if now.passed(then) {", New: "if now.passed(then) && len(ripe) > 1<<30 {"},
	{Name: "listed-attempts-are-strays", File: "internal/workers/watch.go", What: "what a worker lists is no stray",
		Old: "if !alive || listed {", New: "if !alive {"},
	{Name: "results-forgotten-at-work", File: "internal/workers/beat.go", What: "a result is kept until it is settled",
		Old: "t.State != dag.Ready && t.State != dag.Running && !who.owns(t.Worker)", New: "true"},

	{Name: "otherwise-reversed", File: "dag/edge.go", What: "who says block is blocked, and who says skip is skipped",
		Old: "case m&otherwiseBlock != 0:\n\t\t\treturn fateBlocks", New: "case m&otherwiseSkip != 0:\n\t\t\treturn fateBlocks"},
	{Name: "refused-success-blocks", File: "dag/edge.go", What: "after a success that is not accepted, the dependent is skipped",
		Old: "case m&otherwiseSkip != 0 || SuccessfulStates.Has(s):", New: "case m&otherwiseSkip != 0:"},
	{Name: "required-refuses-skips", File: "dag/edge.go", What: "a skip lets go who requires it",
		Old: "accepted = !required || SuccessfulStates.Has(s)", New: "accepted = !required || s == Completed"},
	{Name: "gates-let-go", File: "dag/validate_control.go", What: "what depends on a skipped gate is skipped with it",
		Old: "e.Mode = e.Mode.accepting(acceptSuccess)", New: "e.Mode = e.Mode.accepting(acceptSuccess | acceptSkipped)"},
	{Name: "fold-ignores-cancelled", File: "dag/judge.go", What: "a fold is cancelled with the worst of its dependencies",
		Old: "Cancelled: 3, Failed: 4}", New: "Cancelled: 1, Failed: 4}"},
	{Name: "fold-ignores-allowed", File: "dag/judge.go", What: "an allowed failure folds as success",
		Old: "if t.State == Failed && t.Allowed {", New: "if t.State == Failed && t.Allowed && t.Task == 0 {"},
	{Name: "fold-skipped-by-one", File: "dag/judge.go", What: "a fold is skipped only if all were, or an edge says so",
		Old: "return skipped(t) && t.Mode.Skips() }", New: "return skipped(t) }"},
	{Name: "skip-counts-as-failure", File: "dag/effects.go", What: "a skipped task counts as completed",
		Old: "case Completed, Skipped:\n\t\tt.Completed += n", New: "case Skipped:\n\t\tt.Failed += n\n\tcase Completed:\n\t\tt.Completed += n"},
	{Name: "condition-runs-when-false", File: "dag/judge.go", What: "a task whose condition is false is skipped",
		Old: "case !when.Holds:\n\t\td.skip(r, SkipWhenFalse)\n\t\treturn true\n", New: ""},
	{Name: "skip-passes-judgement", File: "dag/judge.go", What: "what a dependency refuses does not run",
		Old: "case fateSkips:\n\t\t\td.skip(r, SkipDependency+t.State.Outcome())\n\t\t\treturn true\n", New: ""},
	{Name: "skips-at-once", File: "dag/unlock.go", What: "a refusal that skips takes effect when all dependencies have ended",
		Old: "if dep.fate(state) == fateBlocks {", New: "if dep.fate(state) == fateSkips {\n\t\td.skip(r, SkipDependency+state.Outcome())\n\t\treturn\n\t}\n\tif dep.fate(state) == fateBlocks {"},
	{Name: "child-counted-twice", File: "dag/park.go", What: "the end of each child counts once",
		Old: "\tr.Remaining--\n\td.touch(r)\n\tif r.Remaining == 0 {\n\t\td.ToCollect", New: "\tr.Remaining = max(0, r.Remaining-2)\n\td.touch(r)\n\tif r.Remaining == 0 {\n\t\td.ToCollect"},
	{Name: "nothing-found-hangs", File: "dag/park.go", What: "an expansion without tasks is collected at once",
		Old: "if r.Remaining == 0 {\n\t\td.ToCollect = append(d.ToCollect, r.Key)\n\t}\n}\n\n// park", New: "}\n\n// park"},
	{Name: "cancelled-expansion-goes-on", File: "dag/cancel.go", What: "cancelling an expanded task cancels what it found",
		Old: "d.ToCancel = append(d.ToCancel, r.Key)", New: "_ = 0"},
	{Name: "parked-holds-its-slot", File: "dag/park.go", What: "what waits without a worker holds no slot",
		Old: "\td.hold(r, 0)\n\td.move(r, to)", New: "\td.move(r, to)"},
	{Name: "answer-to-an-older-attempt", File: "dag/park.go", What: "an answer to an older attempt changes nothing",
		Old: "if r == nil || r.Attempt != attempt || r.cancelled", New: "if r == nil || r.cancelled"},
	{Name: "rejection-is-retried", File: "dag/control.go", What: "nobody is asked again after a rejection",
		Old: "KindTreeFull, KindTruncated, KindRejected:", New: "KindTreeFull, KindTruncated:"},
	{Name: "child-failure-is-retried", File: "dag/park.go", What: "a task whose child failed finds nothing anew",
		Old: "if r.State == Expanded { // what", New: "if r.State == Waiting { // what"},
	{Name: "repeat-keeps-failures", File: "dag/park.go", What: "each repetition has the attempts of its own",
		Old: "\tr.Failures, r.Crashes = 0, 0\n\tr.Repeats++", New: "\tr.Repeats++"},
	{Name: "repeat-keeps-its-number", File: "dag/park.go", What: "each repetition is a further attempt",
		Old: "\tr.Attempt++\n\tr.Failures, r.Crashes", New: "\tr.Failures, r.Crashes"},
	{Name: "repeats-not-counted", File: "dag/park.go", What: "repetitions are counted",
		Old: "\tr.Repeats++\n", New: ""},
	{Name: "wait-without-end", File: "dag/timers.go", What: "a wait ends with its time",
		Old: "case t.Kind == TimerAwait && r.State == Awaiting && t.Answer != nil:", New: "case t.Kind == TimerAwait && r.State == Running && t.Answer != nil:"},
	{Name: "verdict-is-not-asked-again", File: "tests/simulation/beyond.go", What: "a condition is evaluated before its task is decided about",
		Old: "s.w.report.Beyond.Again++\n\t\treturn false", New: "s.w.report.Beyond.Again++\n\t\treturn true"},
	{Name: "kept-signals-forgotten", File: "tests/simulation/beyond.go", What: "a signal that came before its task waited is taken",
		Old: "if sig := s.signals[a.Task]; sig != nil && sig.kept {", New: "if sig := s.signals[a.Task]; sig != nil && sig.taken {"},
	{Name: "growth-starts-over", File: "tests/simulation/beyond.go", What: "each transaction of a growing expansion goes on where the one before ended",
		Old: "return next, next >= 2*e.n", New: "return next - next%2, next >= 2*e.n"},
	{Name: "cancelled-tree-grows", File: "tests/simulation/beyond.go", What: "what was cancelled makes no further tasks",
		Old: "r.State != dag.Expanded || r.Attempt != e.attempt || t.cancelled {", New: "r.Attempt != e.attempt {"},
	{Name: "imported-run", File: "dag/execution.go", What: "what had ended before it was submitted does not run when its tree starts",
		Old: "|| asked.First && node.Flags&FlagImported != 0", New: "|| asked.First && node.Flags&FlagImported == FlagAllowed"},
	{Name: "imported-end-forgotten", File: "dag/execution.go", What: "what an imported end refuses is blocked as the tree begins",
		Old: "case !p.run[t] && e.fate(p.nodes[t].State) == fateBlocks:", New: "case !p.run[t] && e.fate(p.nodes[t].State) == fateBlocks && p.nodes[t].Flags&FlagImported == 0:"},
	{Name: "completed-not-kept", File: "dag/execution.go", What: "a re-run that keeps what completed leaves it alone",
		Old: "!(p.asked.KeepCompleted && node.kept())", New: "true"},
	{Name: "own-skip-not-kept", File: "dag/execution.go", What: "a re-run that keeps what completed leaves alone what skipped itself",
		Old: "n.State == Completed || n.State == Skipped && n.Stays", New: "n.State == Completed"},
	{Name: "steps-follow-failures", File: "flows/compile.go", What: "a step of a flow does not run if the one before it failed",
		Old: "accepting(c.steps[before], \"\", \"success\", \"skipped\"))", New: "accepting(c.steps[before], \"\", \"success\", \"skipped\", \"failed\"))"},
	{Name: "kinds-ignored", File: "dag/settle.go", What: "a failure of a kind that is not to be tried again is not",
		Old: "!policy.Retry.Retries(e.Kind) || ", New: ""},
	{Name: "no-retry-on-loses", File: "dag/control.go", What: "no_retry_on wins",
		Old: "return !slices.Contains(p.NoRetryOn, k) && (len(p.RetryOn) == 0 || slices.Contains(p.RetryOn, k))", New: "return slices.Contains(p.RetryOn, k) || len(p.RetryOn) == 0 && !slices.Contains(p.NoRetryOn, k)"},
	{Name: "skips-what-has-begun", File: "dag/judge.go", What: "a user skips only what has not begun",
		Old: "return r.Attempt == run && r.Failures == 0 && r.Crashes == 0 && r.Repeats == 0", New: "return true"},
	{Name: "stopped-map-hangs", File: "dag/park.go", What: "a map that makes no further items waits for those that it has made",
		Old: "\tr.Remaining -= by\n\td.touch(r)\n\tif r.Remaining == 0 {", New: "\tr.Remaining -= by\n\td.touch(r)\n\tif r.Remaining < 0 {"},
	{Name: "stopped-map-waits-for-all", File: "dag/park.go", What: "a map that makes no further items does not wait for them",
		Old: "\tr.Remaining -= by\n", New: ""},
	{Name: "window-counts-no-ends", File: "tests/simulation/beyond.go", What: "another item is made when one has ended",
		Old: "e.items.Window-(e.made-ended)", New: "e.items.Window-(e.made-0*ended)"},
	{Name: "window-counts-from-zero", File: "tests/simulation/beyond.go", What: "no more items are in progress than the window says",
		Old: "e.items.Window-(e.made-ended)", New: "e.items.Window-(e.made-ended)+1"},
	{Name: "stop-goes-on", File: "tests/simulation/beyond.go", What: "a map that stops makes no item after one has failed",
		Old: "if e.items.Stop && failed && e.made < e.n {", New: "if e.items.Stop && failed && e.made > e.n {"},
	{Name: "timeout-without-value", File: "tests/simulation/beyond.go", What: "a wait whose time is over ends as its on_timeout says",
		Old: "case comes || wait.Gives:", New: "case comes:"},
	{Name: "judged-run-untold", File: "dag/unlock.go", What: "a judged task is not let go before it is decided about",
		Old: "if r.Flags&FlagsJudged != 0 { // it stays", New: "if r.Flags&FlagWhen != 0 { // it stays"},

	{Name: "keys-kept", File: "dag/recall.go", What: "what an attempt held goes back when it ends",
		Old: "return r.was.mayHold() && (r.Attempt != r.was.Attempt || !r.Guard().mayHold())", New: "return false"},
	{Name: "keys-kept-by-retries", File: "dag/recall.go", What: "a retry waits for its keys anew",
		Old: "return r.was.mayHold() && (r.Attempt != r.was.Attempt || !r.Guard().mayHold())", New: "return r.was.mayHold() && !r.Guard().mayHold()"},
	{Name: "keys-back-before-the-stop", File: "dag/recall.go", What: "what was cancelled holds its keys until it has stopped",
		Old: "return g.State == Cancelled && g.Worker != 0", New: "return false"},
	{Name: "keys-back-at-the-wait", File: "dag/recall.go", What: "who waits for what it found holds its keys meanwhile",
		Old: "case Ready, Running, Expanded, Awaiting:", New: "case Ready, Running:"},
	{Name: "cost-ignored", File: "dag/grant.go", What: "costs of a key are at most its max together",
		Old: "s.Held+int64(want.takes(s)) <= int64(most)", New: "s.Held < int64(most)"},
	{Name: "some-keys-do", File: "dag/grant.go", What: "a task gets all that it asks for, or nothing",
		Old: "fits = r.fits(&c.Wants[i], l.state) && fits", New: "fits = r.fits(&c.Wants[i], l.state) || fits && i > 0"},
	{Name: "head-passed", File: "dag/grant.go", What: "nobody goes past the first of a line that lacks room there",
		Old: "if !c.granted && !r.fits(c.want(l), l.state) {", New: "if !c.granted && !r.fits(c.want(l), l.state) && len(c.lines) > 1 {"},
	{Name: "line-stops-for-others", File: "dag/grant.go", What: "who lacks another key holds up nobody",
		Old: "\t\t\tif c.noRoom && l.short == nil {", New: "\t\t\tl.stopped = !c.granted && len(c.lines) > 2\n\t\t\tif c.noRoom && l.short == nil {"},
	{Name: "rooms-ignored", File: "dag/grant.go", What: "nothing is published for which its pool has no room",
		Old: "room := r.Room[c.Pool] > 0", New: "room := r.Room[c.Pool] > -9"},
	{Name: "pools-ignored", File: "dag/grant.go", What: "what is limited takes its place in its pool, too",
		Old: "if s := r.Keys[k]; s != nil && s.Ruled {", New: "if s := r.Keys[k]; s != nil && s.Ruled && s.Max == 0 {"},
	{Name: "rate-ignored", File: "dag/grant.go", What: "no more start than a rate lets",
		Old: "return ever && !at.After(r.Now)", New: "return ever && !at.After(r.Now.Add(time.Hour))"},
	{Name: "burst-and-one", File: "dag/grant.go", What: "after a pause, as many start as the burst says",
		Old: "return each, each * time.Duration(burst-1), true", New: "return each, each * time.Duration(burst), true"},
	{Name: "contended-wait", File: "dag/grant.go", What: "who does not wait for a lock ends when it is held",
		Old: "if c.granted || c.Contended == WaitForLock || c.Partly {", New: "if c.granted || c.Contended != SkipOnContention || c.Partly {"},
	{Name: "called-back-with-the-old-number", File: "dag/recall.go", What: "what was called back starts by no older message",
		Old: "\tr.Attempt++\n\tr.again = true", New: "\tr.again = true"},
	{Name: "handed-over-without-keys", File: "dag/claim.go", What: "what asks for keys is not handed over",
		Old: "r.Pool != from.Pool || r.Flags&FlagLimited != 0 {", New: "r.Pool != from.Pool {"},
	{Name: "limited-are-claimed-ahead", File: "dag/claim.go", What: "who holds keys does not stand in line for a slot",
		Old: "f&(FlagOnce|FlagLimited) == 0", New: "f&FlagOnce == 0"},
	{Name: "limited-start-early", File: "tests/simulation/store.go", What: "who asks for keys does not start before its claim",
		Old: "return f&(dag.FlagRepeatable|dag.FlagLimited) == dag.FlagRepeatable", New: "return f&dag.FlagRepeatable != 0"},
	{Name: "token-stays", File: "tests/simulation/grants.go", What: "the tokens of locks grow",
		Old: "\t\t\ts.fence++\n", New: "\t\t\ts.fence = max(1, s.fence)\n"},
	{Name: "line-forgets-its-back", File: "tests/simulation/grants.go", What: "nobody is granted a key whose line is known only in part before it",
		Old: "g.Waiters = append(g.Waiters, s.waiter(k, wants))", New: "g.Waiters = append(g.Waiters, s.waiter(k, slices.Clone(s.task(k).wants[:max(len(wants), 1)])))\n\t\tg.Waiters[len(g.Waiters)-1].Partly = false"},
	{Name: "waits-after-its-end", File: "tests/simulation/limits.go", What: "who has ended waits for nothing",
		Old: "\t\tdelete(s.waiters, r.Key)\n", New: ""},
	{Name: "contended-after-its-grant", File: "tests/simulation/grants.go", What: "who has been granted its lock is not ended for it",
		Old: "if s.stillWaits(c.task, c.attempt) && d.Contend", New: "if d.Contend"},
	{Name: "timed-out-after-its-grant", File: "tests/simulation/grants.go", What: "a lock that has come in time does not time out",
		Old: "\tif !s.stillWaits(t.Task, t.Attempt) {\n\t\treturn\n\t}\n\tif s.w.now <", New: "\tif s.stillWaits(t.Task, t.Attempt) && s.w.now <"},
	{Name: "pause-forgets-the-published", File: "tests/simulation/gates.go", What: "what was published before a pause starts no more",
		Old: "if len(keys) == 0 {\n\t\tp.settled = true", New: "if len(keys) < gateStep {\n\t\tp.settled = true"},
	{Name: "pause-lets-through", File: "tests/simulation/store.go", What: "what gets ready in a paused pool is not published",
		Old: "!passes && !s.gated(r.pool) && room(r.pool, r.n)", New: "!passes && room(r.pool, r.n)"},
	{Name: "pause-grants", File: "tests/simulation/grants.go", What: "what is paused is granted nothing",
		Old: "return s.pausedBy(s.task(k)) != nil })\n\treturn line", New: "return s.pausedBy(s.task(k)) != nil && s.task(k).row.Attempt > 1 })\n\treturn line"},
	{Name: "pause-hands-over", File: "tests/simulation/handover.go", What: "what is paused is not handed over",
		Old: "if s.gated(l.Pool) {", New: "if s.gated(l.Pool) && l.Pool < 0 {"},
	{Name: "paused-tree-hands-over", File: "tests/simulation/transactions.go", What: "of a paused tree nothing is handed over",
		Old: "&& !s.treePaused(r.Key.Tree()) })", New: "})"},
	{Name: "resume-forgets", File: "tests/simulation/gates.go", What: "what was put aside goes on when its tree does",
		Old: "\t\ts.ready = append(s.ready, r)\n\t\tfor k", New: "\t\tfor k"},
	{Name: "limit-counts-nothing", File: "tests/simulation/gates.go", What: "a new limit of a pool counts what runs",
		Old: "if len(left) <= gateStep {", New: "if len(left) >= 0 {"},
	{Name: "limit-passed-by-dispatch", File: "tests/simulation/gates.go", What: "no more of a pool is published than its limit lets",
		Old: "n = min(n, int(int64(s.rules[key].max())-s.heldOf(key)))", New: "n = min(n, int(s.rules[key].max()))"},
	{Name: "limit-starts-uncounted", File: "tests/simulation/gates.go", What: "nothing starts while a new limit does not count what runs",
		Old: "if !r.counted {", New: "if !r.counted && r.Max == 0 {"},
	{Name: "place-kept-by-who-waits", File: "tests/simulation/limits.go", What: "who runs no more takes no place in its pool",
		Old: "s.holding[r.Key] = slices.DeleteFunc(s.holding[r.Key], holdRow.gate)", New: "_ = holdRow.gate"},
	{Name: "lock-of-who-failed-stays", File: "dag/recall.go", What: "a task that does not succeed keeps no lock for its parent",
		Old: "r.Flags&FlagKeeps != 0 && r.State == Completed && r.Released()", New: "r.Flags&FlagKeeps != 0 && r.Released()"},
	{Name: "lock-outlives-its-parent", File: "dag/recall.go", What: "the end of a task gives back what is held for it",
		Old: "r.Flags&FlagKept != 0 && r.State.Settled()", New: "r.Flags&FlagKept != 0 && r.State != Cancelled && r.State.Settled()"},
	{Name: "runs-again-without-its-lock", File: "dag/execution.go", What: "what runs again below a lock has that taken again",
		Old: "if SuccessfulStates.Has(node.State) {\n\t\tp.add(i, false)", New: "if node.State == Skipped {\n\t\tp.add(i, false)"},
}

// scheduleMutants are bugs of schedules, in the engine's decisions, or in the model of a statement of SQL or of a transaction. The first is built by default.
var scheduleMutants = []mutation.Mutant{
	{Name: "decided-without-its-runs", File: "tests/simulation/schedules.go", What: "an instant is decided once, also when its coordinator dies",
		Old: "t.carryOut(got, at)\n\t\tt.decided", New: "if t.carryOut(got, at); t.rng.IntN(4) == 0 {\n\t\t\tthen(false)\n\t\t\treturn\n\t\t}\n\t\tt.decided"},
	{Name: "skip-begins-a-run", File: "dag/schedule_due.go", What: "while a run has not ended, an instant is skipped",
		Old: "if d.free(FireInstant) { // then", New: "if d.free(FireInstant) || d.overlap() == OverlapSkip && d.open == 1 { // then"},
	{Name: "coalesce-runs-two", File: "dag/schedule_due.go", What: "of several late instants the latest runs",
		Old: "for d.Coalesce && len(recent) > 1 {", New: "for d.Coalesce && len(recent) > 2 {"},
	{Name: "missed-is-not-written", File: "dag/schedule_due.go", What: "what is missed is on record",
		Old: "\td.miss(dropped)\n\treturn recent", New: "\treturn recent"},
	{Name: "instant-left-undecided", File: "dag/schedule_due.go", What: "what is decided stays so",
		Old: "d.out.Decided = latest(at, d.undecided(at))", New: "d.out.Decided = latest(d.Decided, d.undecided(at).Add(-time.Hour))"},
	{Name: "grace-forgets-jitter", File: "dag/schedule_due.go", What: "the grace counts from when a run was to start",
		Old: "d.now.Sub(d.first) > d.MisfireGrace", New: "d.now.Sub(next) > d.MisfireGrace"},
	{Name: "after-failure", File: "dag/schedule_due.go", What: "a run waits for the success of the one before",
		Old: "kind == FireTrigger || d.Before != RunFailed", New: "kind == FireTrigger || d.Before != RunFailed || len(d.line) == 0"},
	{Name: "run-with-two-trees", File: "tests/simulation/schedules.go", What: "a run has one tree",
		Old: "if f.State != dag.FireDue { // another", New: "if !f.State.Open() { // another"},
	{Name: "line-counts-not", File: "dag/schedule_due.go", What: "no more runs begin than max_runs says",
		Old: "if run.Kind == FireInstant {\n\t\t\tn++", New: "if run.Kind == FireBackfill {\n\t\t\tn++"},
	{Name: "superseded-not-told", File: "dag/schedule_due.go", What: "cancel_other tells what is open to stop",
		Old: "if !run.Cancelled {", New: "if !run.Cancelled && len(d.Open) > 1 {"},
}

// TestScheduleMutants: histories of schedules find bugs of theirs that are built in one at a time; one by default, all with TASKGROVE_FULL=1.
func TestScheduleMutants(t *testing.T) {
	if testing.Short() || os.Getenv("TASKGROVE_MUTANT") != "" {
		t.Skip("builds a program for each bug")
	}
	list := scheduleMutants
	if os.Getenv("TASKGROVE_FULL") == "" {
		list = list[:1]
	}
	dir := t.TempDir()
	for _, m := range list {
		t.Run(m.Name, func(t *testing.T) {
			n, why := hunt(t, m, dir, "TestSchedules")
			if n == 0 {
				t.Fatalf("not found in %d histories: %s: %s", within, m.What, why)
			}
			t.Logf("| `%s` | %s | %d | %.200s |", m.Name, m.What, n, why)
		})
	}
}

// TestMutants: the simulation finds bugs of the protocol that are built in one at a time; five by default, all with
// TASKGROVE_FULL=1.
func TestMutants(t *testing.T) {
	if testing.Short() || os.Getenv("TASKGROVE_MUTANT") != "" {
		t.Skip("builds a program for each bug")
	}
	list := mutants
	if os.Getenv("TASKGROVE_FULL") == "" {
		list = list[:5]
	}
	dir := t.TempDir()
	for _, m := range list {
		t.Run(m.Name, func(t *testing.T) {
			n, why := hunt(t, m, dir, "TestSimulation")
			if n == 0 {
				t.Fatalf("not found in %d histories: %s", within, m.What)
			}
			t.Logf("| `%s` | %s | %d | %s |", m.Name, m.What, n, why)
		})
	}
}

var found = regexp.MustCompile(`history (\d+) is broken: (.*)`)

// hunt builds the simulation with the bug, and plays histories until it is found.
func hunt(t *testing.T, m mutation.Mutant, dir, test string) (histories int, why string) {
	overlay, err := m.Overlay("../..", dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), huntTime)
	defer cancel()
	program := build(ctx, t, filepath.Join(dir, m.Name+".test"), "-overlay", overlay)
	defer os.Remove(program)
	run := exec.CommandContext(ctx, program, "-test.run", "^"+test+"$", "-test.v")
	run.Env = append(os.Environ(), "TASKGROVE_MUTANT="+m.Name, "TASKGROVE_NOSHRINK=1", "TASKGROVE_FIRST=1", "TASKGROVE_SEED=",
		fmt.Sprint("TASKGROVE_HISTORIES=", within))
	out, _ := run.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("the time is over, and %d histories were not played: the machine is busy", within)
	}
	hit := found.FindSubmatch(out)
	if hit == nil {
		return 0, string(out)
	}
	fmt.Sscan(string(hit[1]), &histories)
	return histories, string(hit[2])
}

// build builds these tests, without the race detector.
func build(ctx context.Context, t *testing.T, program string, flags ...string) string {
	t.Helper()
	command := exec.CommandContext(ctx, "go", append(append([]string{"test", "-c", "-ldflags=-s -w", "-o", program}, flags...), ".")...)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

// TestPageNamesEachMutant: the tables of docs/reliability.md have them all.
func TestPageNamesEachMutant(t *testing.T) {
	page, err := os.ReadFile("../../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range slices.Concat(mutants, scheduleMutants) {
		if !strings.Contains(string(page), "`"+m.Name+"`") {
			t.Errorf("docs/reliability.md does not name %s", m.Name)
		}
	}
}

// TestMutantsQuoteTheSource: every bug that is to be built in still finds its place.
func TestMutantsQuoteTheSource(t *testing.T) {
	dir := t.TempDir()
	for _, m := range slices.Concat(mutants, scheduleMutants) {
		if _, err := m.Overlay("../..", dir); err != nil {
			t.Error(err)
		}
	}
}
