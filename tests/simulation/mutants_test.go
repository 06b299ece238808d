package simulation

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/tests/mutation"
)

// within is how many histories may be played until a bug is found.
const within = 20_000

// mutants are bugs of the protocol, in the code that the engine runs. The few in this package are in the model of a
// statement of SQL: that a lease which ran out ends, that a stretch which was taken is deleted, that an execution leaves
// followups alone, that a deadline names its execution, that an optimistic write compares its rows, and that interrupted tasks go first.
// The first dozen are built by default.
var mutants = []mutation.Mutant{
	{Name: "settle-takes-old-attempts", File: "dag/settle.go", What: "an old attempt's result changes nothing",
		Old: "if r == nil || r.Attempt != res.Attempt {\n\t\treturn false", New: "if r == nil {\n\t\treturn false"},
	{Name: "attempt-number-stays", File: "dag/settle.go", What: "every return of an attempt makes a new number",
		Old: "\tr.Attempt++\n\tr.StartedAt = time.Time{}", New: "\tr.StartedAt = time.Time{}"},
	{Name: "blocked-tells-nobody", File: "dag/unlock.go", What: "what depends on a blocked task is told",
		Old: "d.move(r, Blocked)\n\t\td.announce(r)", New: "d.move(r, Blocked)"},
	{Name: "claim-ignores-cancelled-tree", File: "dag/claim.go", What: "a task of a cancelled tree never starts",
		Old: "if r.cancelled {\n\t\t\treturn No\n\t\t}\n\t\td.start", New: "d.start"},
	{Name: "crash-burns-an-attempt", File: "dag/settle.go", What: "a lost worker burns no attempt",
		Old: "e.Counted = fails\n\td.end(r, e)", New: "e.Counted = fails\n\tr.Failures++\n\td.end(r, e)"},
	{Name: "early-result-does-not-start", File: "dag/settle.go", What: "an early result starts the attempt and ends it",
		Old: "case r.State == Ready && repeatable && res.Early && !r.cancelled:\n\t\td.start(r, res.Worker)", New: "case r.State == Ready && repeatable && res.Early && !r.cancelled:"},
	{Name: "token-ignored-by-claim", File: "internal/workers/token.go", What: "a claim proves that its worker was given the attempt",
		Old: "case proof != Proved || !t.of(generationOf(token)).Claims:", New: "case proof == Retired:"},
	{Name: "claim-asked-once", File: "internal/ledger/claim.go", What: "a claim is asked until there is an answer",
		Old: "default:\n\t\ttodo.Again = append(todo.Again, a)", New: "default:"},
	{Name: "result-sent-once", File: "internal/ledger/claim.go", What: "a result is sent until its receipt comes",
		Old: "if e.phase == reported && !e.sending && now.After(e.sendAfter) {", New: "if e == nil {"},
	{Name: "reconcile-off", File: "dag/republish.go", What: "what was published and is gone is published again",
		Old: "return oldest.IsZero() || oldest.After(sent.Add(clockSkew))", New: "return false"},
	{Name: "lease-never-ends", File: "tests/simulation/transactions.go", What: "a lease that is not extended ends",
		Old: "r.lease < s.w.now {\n\t\t\tr.state = lost", New: "r.lease < 0 {\n\t\t\tr.state = lost"},
	{Name: "no-fence", File: "internal/ledger/lease.go", What: "a worker stops its executors before its lease ends",
		Old: "fence := end.Add(-min(l.Grace, length/2))", New: "fence := end.Add(time.Minute)"},

	{Name: "retry-after-ignored", File: "dag/backoff.go", What: "a failure may ask the next attempt to wait",
		Old: "return min(after, MaxRetryAfter) + delay", New: "return delay"},

	{Name: "handed-over-twice", File: "dag/claim.go", What: "one slot takes one task",
		Old: "for _, res := range offers {\n\t\tr := d.best", New: "for _, res := range append(offers, offers...) {\n\t\tr := d.best"},
	{Name: "handed-over-pool-ignored", File: "dag/claim.go", What: "a slot takes tasks of its pool",
		Old: "r.was.State == Ready || r.Pool != from.Pool {", New: "r.was.State == Ready {"},
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
	{Name: "restart-above-the-waiting", File: "dag/execution.go", What: "nothing restarts that somebody under way depends on",
		Old: "if !run[j] && nodes[j].State.Unfinished() {", New: "if false {"},
	{Name: "restart-waits-for-the-settled", File: "dag/execution.go", What: "a restarted task waits for those that restart with it, and no others",
		Old: "case run[t] && blocked[t] == 0:", New: "case blocked[t] == 0:"},
	{Name: "deadline-of-an-old-execution", File: "tests/simulation/followups.go", What: "a deadline ends its own execution",
		Old: "int(t.Attempt) != tree.execution || ", New: ""},
	{Name: "late-claims-start", File: "dag/timers.go", What: "what was granted too late for its timeout is handed back",
		Old: "return timeout > 0 && waited > StartWithin }", New: "return timeout > 0 && waited > time.Hour }"},
	{Name: "blocked-counts-down", File: "dag/unlock.go", What: "a failed required dependency blocks",
		Old: "if dep.Required && state != Completed {", New: "if dep.Required && state == Blocked {"},
	{Name: "optional-blocks", File: "dag/unlock.go", What: "a failed optional dependency does not block",
		Old: "if dep.Required && state != Completed {", New: "if state != Completed {"},
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
		Old: "if n == 0 || r.pool != l.pool || r.priority != l.priority {\n\t\t\tleft = append(left, r)\n", New: "left = append(left, r)\n\t\tif n == 0 || r.pool != l.pool || r.priority != l.priority {\n"},
	{Name: "optimistic-without-the-policy", File: "dag/optimistic.go", What: "what has a policy is read before it is released",
		Old: "r.Flags&(FlagPolicy|FlagGroup) == 0", New: "true"},
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
		Old: "return attempt == run && f&FlagOnce == 0", New: "return f&FlagOnce == 0"},
	{Name: "once-are-claimed-ahead", File: "dag/claim.go", What: "what fails when it is lost is not claimed ahead",
		Old: "return attempt == run && f&FlagOnce == 0", New: "return attempt == run"},
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
}

// TestMutants: the simulation finds bugs of the protocol that are built in one at a time; a dozen by default, all with
// TASKGROVE_FULL=1.
func TestMutants(t *testing.T) {
	if testing.Short() || os.Getenv("TASKGROVE_MUTANT") != "" {
		t.Skip("builds a program for each bug")
	}
	list := mutants
	if os.Getenv("TASKGROVE_FULL") == "" {
		list = list[:12]
	}
	dir := t.TempDir()
	for _, m := range list {
		t.Run(m.Name, func(t *testing.T) {
			n, why := hunt(t, m, dir)
			if n == 0 {
				t.Fatalf("not found in %d histories: %s", within, m.What)
			}
			t.Logf("| `%s` | %s | %d | %s |", m.Name, m.What, n, why)
		})
	}
}

var found = regexp.MustCompile(`history (\d+) is broken: (.*)`)

// hunt builds the simulation with the bug, and plays histories until it is found.
func hunt(t *testing.T, m mutation.Mutant, dir string) (histories int, why string) {
	overlay, err := m.Overlay("../..", dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	program := filepath.Join(dir, m.Name+".test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-ldflags=-s -w", "-overlay", overlay, "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	defer os.Remove(program)
	run := exec.CommandContext(ctx, program, "-test.run", "^TestSimulation$", "-test.v")
	run.Env = append(os.Environ(), "TASKGROVE_MUTANT="+m.Name, "TASKGROVE_NOSHRINK=1", "TASKGROVE_FIRST=1", "TASKGROVE_SEED=",
		fmt.Sprint("TASKGROVE_HISTORIES=", within))
	out, _ := run.CombinedOutput()
	hit := found.FindSubmatch(out)
	if hit == nil {
		return 0, string(out)
	}
	fmt.Sscan(string(hit[1]), &histories)
	return histories, string(hit[2])
}

// TestMutantsQuoteTheSource: every bug that is to be built in still finds its place.
func TestMutantsQuoteTheSource(t *testing.T) {
	dir := t.TempDir()
	for _, m := range mutants {
		if _, err := m.Overlay("../..", dir); err != nil {
			t.Error(err)
		}
	}
}
