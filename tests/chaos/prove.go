package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/tests/mutation"
)

// bug is a mutant of the engine, and the faults that bring it out.
type bug struct {
	mutation.Mutant
	kinds string // as -kinds takes them; empty: all
}

// bugs are built into the engine's processes one at a time, to show that the checker finds them.
var bugs = []bug{
	{mutation.Mutant{Name: "attempt-number-stays", File: "dag/settle.go", What: "every return of an attempt makes a new number",
		Old: "\tr.Attempt++\n\tr.StartedAt = time.Time{}", New: "\tr.StartedAt = time.Time{}"}, "worker-kill,worker-restart"},
	{mutation.Mutant{Name: "claim-from-the-holder", File: "dag/claim.go", What: "an attempt that is held is no one else's",
		Old: "if r.Worker == w {\n\t\t\treturn Yes\n\t\t}\n\t\treturn No", New: "return Yes"}, "copies,nats-kill"},
	{mutation.Mutant{Name: "crash-fails-the-task", File: "dag/settle.go", What: "a lost worker fails no task before the poison limit",
		Old: "r.policy().OnLost == FailLost || r.Crashes >= PoisonLimit", New: "r.policy().OnLost == FailLost || r.Crashes >= 1"}, "worker-kill"},
	{mutation.Mutant{Name: "cancelled-attempt-let-go", File: "dag/settle.go", What: "a cancelled attempt of a lost worker is closed",
		Old: "StartedAt: r.StartedAt, Receipt: true})\n\t\td.hold(r, 0)", New: "StartedAt: r.StartedAt, Receipt: true})"}, "worker-kill,worker-freeze"},
	{mutation.Mutant{Name: "blocked-counts-down", File: "dag/unlock.go", What: "a failed required dependency blocks",
		Old: "if dep.fate(state) == fateBlocks {", New: "if dep.fate(state) == fateBlocks && state == Blocked {"}, "copies"},
	{mutation.Mutant{Name: "required-refuses-skips", File: "dag/edge.go", What: "a skip lets go who requires it",
		Old: "accepted = !required || SuccessfulStates.Has(s)", New: "accepted = !required || s == Completed"}, "copies"},
	{mutation.Mutant{Name: "fold-ignores-allowed", File: "dag/judge.go", What: "an allowed failure folds as success",
		Old: "if t.State == Failed && t.Allowed {", New: "if t.State == Failed && t.Allowed && t.Task == 0 {"}, "coordinator-kill"},
	{mutation.Mutant{Name: "answers-are-not-handed-on", File: "pg/sql/wait.sql", What: "an attempt that goes on is told what has come",
		Old: "select key, coalesce(run, 1) as run from task", New: "select key, run from task"}, "copies"},
	{mutation.Mutant{Name: "kept-signals-forgotten", File: "pg/sql/wait.sql", What: "a signal that came before its task waits is taken",
		Old: "g.name = u.name and g.taken is null", New: "g.name = u.name and g.taken is not null"}, "copies"},
	{mutation.Mutant{Name: "repetition-keeps-its-key", File: "pg/sql/transition.sql", What: "a repetition has an idempotency key of its own",
		Old: "set repeats = u.repeats, run = u.run", New: "set repeats = u.repeats"}, "copies"},
	{mutation.Mutant{Name: "window-ignored", File: "dag/expansion/collect.go", What: "no more items of a map are in progress than its window",
		Old: "max(0, window-busy)", New: "max(busy, window)"}, "copies"},
	{mutation.Mutant{Name: "map-does-not-stop", File: "pg/expansion_grow.go", What: "a map that stops makes no further items after a failure",
		Old: "if !g.e.stop || !g.e.failures || g.e.made == 0 {", New: "if g.e.made >= 0 {"}, "copies"},
	{mutation.Mutant{Name: "take-back-forgets", File: "coordinator/workers.go", What: "all attempts of a lost worker are taken back",
		Old: "slices.Chunk(attempts, takeBackAtOnce)", New: "slices.Chunk(attempts[:1], takeBackAtOnce)"}, "worker-kill"},
	{mutation.Mutant{Name: "lease-never-ends", File: "pg/sql/workers.sql", What: "a lease that is not extended ends",
		Old: "lease_until < clock_timestamp() returning", New: "lease_until < clock_timestamp() - interval '1 day' returning"}, "worker-kill"},
	{mutation.Mutant{Name: "result-sent-once", File: "internal/ledger/claim.go", What: "a result is sent until its receipt comes",
		Old: "if e.phase == reported && !e.sending && now.After(e.sendAfter) {", New: "if false {"}, "nats-lost,delete-results"},
	{mutation.Mutant{Name: "copies-start-early", File: "internal/ledger/attempt.go", What: "only repeatable tasks start before their claim",
		Old: "return e.Repeatable && e.Delivered == 1", New: "return e.Delivered == 1"}, "copies,nats-kill"},
	{mutation.Mutant{Name: "reconcile-off", File: "coordinator/clock.go", What: "what was published and is gone is published again",
		Old: "if len(again) > 0 {", New: "if again = nil; len(again) > 0 {"}, "nats-lost,delete-work"},
	{mutation.Mutant{Name: "slots-miscounted", File: "internal/ledger/line.go", What: "no more attempts run than the pool has slots",
		Old: "ln.n > 0 && l.held[pool] < l.limits.Slots[pool]", New: "ln.n > 0 && l.held[pool] < l.limits.Slots[pool]+2"}, "copies"},
	{mutation.Mutant{Name: "idempotency-ignored", File: "coordinator/submit.go", What: "a repeated submission stores one tree",
		Old: "NewTree{opts.IdempotencyKey, opts.Timeout", New: "NewTree{\"\", opts.Timeout"}, "coordinator-clients-,coordinator-kill,postgres-"},
	{mutation.Mutant{Name: "key-of-attempt", File: "coordinator/dispatch.go", What: "the attempts of a run have one idempotency key",
		Old: "w.UID, w.Key.Index(), w.Run)", New: "w.UID, w.Key.Index(), w.Attempt)"}, "copies"},
	{mutation.Mutant{Name: "guardian-ends-nothing", File: "executors/guardian/internal/guard/guard.go", What: "no process outlives its attempt",
		Old: "left := g.endAll()", New: "left := 0"}, "worker-kill"},
	{mutation.Mutant{Name: "max-ignored", File: "dag/grant.go", What: "no more of a key is held than its max",
		Old: "return !limited || most > 0 && s.Held+int64(want.takes(s)) <= int64(most)", New: "return !limited || most > 0"}, "copies"},
	{mutation.Mutant{Name: "keys-kept-by-returns", File: "dag/recall.go", What: "what an attempt held goes back when it is returned",
		Old: "return r.was.mayHold() && (r.Attempt != r.was.Attempt || !r.Guard().mayHold())", New: "return r.was.mayHold() && !r.Guard().mayHold()"}, "worker-kill,worker-restart"},
	{mutation.Mutant{Name: "token-stays", File: "pg/sql/limits.sql", What: "the tokens of locks grow",
		Old: "then nextval('fence') end", New: "then 1::bigint end"}, "copies"},
	{mutation.Mutant{Name: "pause-not-obeyed", File: "pg/sql/gates.sql", What: "of what is paused nothing is dispatched",
		Old: "  where (select true from pause where gate in (0, $1) limit 1) is null\n), users", New: "), users"}, "copies"},
	{mutation.Mutant{Name: "pool-limit-not-obeyed", File: "pg/sql/gates.sql", What: "no more of a pool run than its limit lets",
		Old: "from limit_rule where gate = $1 and kind = :kind_pool)) as room", New: "from limit_rule where gate = 0 and kind = :kind_pool)) as room"}, "copies"},
	{mutation.Mutant{Name: "revision-runs-all-again", File: "coordinator/flows.go", What: "a step that has ended does not run in a later revision of its run",
		Old: "SubmitOptions{UserID: newest.UserID}, kept)", New: "SubmitOptions{UserID: newest.UserID}, nil)"}, "copies"},
	{mutation.Mutant{Name: "steps-follow-failures", File: "flows/compile.go", What: "a step does not run if the one before it failed",
		Old: "accepting(c.steps[before], \"\", \"success\", \"skipped\"))", New: "accepting(c.steps[before], \"\", \"success\", \"skipped\", \"failed\"))"}, "copies"},
}

// hunted is how many histories a bug may live.
const hunted = 120

// prove builds this program with one bug at a time and plays histories until it is found. sound: all were found.
func prove(ctx context.Context, names string, s settings, out io.Writer) (sound bool, err error) {
	chosen := bugs
	if names != "all" {
		wanted := strings.Split(names, ",")
		chosen = slices.DeleteFunc(slices.Clone(bugs), func(b bug) bool { return !slices.Contains(wanted, b.Name) })
		if len(chosen) != len(wanted) {
			return false, fmt.Errorf("-mutants %s: %d of these are known", names, len(chosen))
		}
	}
	dir, err := os.MkdirTemp("", "taskgrove-mutants-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	sound = true
	fmt.Fprintf(out, "| bug | in | the rule that it breaks | found in history | as |\n|---|---|---|---|---|\n")
	for _, b := range chosen {
		r, err := b.hunt(ctx, dir, s)
		if err != nil {
			return false, fmt.Errorf("bug %s: %w", b.Name, err)
		}
		found, as := "NOT FOUND", ""
		if len(r.Failures) > 0 {
			found, as = fmt.Sprint(r.Histories), r.Failures[0].Problems[0]
		} else {
			sound = false
		}
		fmt.Fprintf(out, "| `%s` | `%s` | %s | %s | %.100s |\n", b.Name, b.File, b.What, found, plain(as))
	}
	return sound, nil
}

// plain is the first line of a text, fit for a cell of a table.
func plain(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return strings.ReplaceAll(line, "|", "/")
}

// hunt plays histories of a program with the bug.
func (b bug) hunt(ctx context.Context, dir string, s settings) (*Report, error) {
	overlay, err := b.Overlay(".", dir)
	if err != nil {
		return nil, err
	}
	program, report := filepath.Join(dir, b.Name), filepath.Join(dir, b.Name+"-report")
	if out, err := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", program, "./tests/chaos").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build: %w: %s", err, out)
	}
	cmd := exec.CommandContext(ctx, program, "-histories", fmt.Sprint(hunted), "-seed", "1", "-keep", "-shrink=false", "-clusters", fmt.Sprint(s.clusters),
		"-kinds", b.kinds, "-patience", patience.String(), "-json", report)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it has processes to end
	cmd.WaitDelay = time.Minute
	if out, err := cmd.CombinedOutput(); err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 {
			return nil, fmt.Errorf("%w: %s", err, out)
		}
	}
	text, err := os.ReadFile(report)
	if err != nil {
		return nil, err
	}
	r := &Report{}
	return r, json.Unmarshal(text, r)
}
