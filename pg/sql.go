package pg

import (
	"embed"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

//go:embed sql/*.sql
var sqlFiles embed.FS

// statements are all statements, by name, as Postgres gets them.
var statements = loadStatements()

// sql is the statement of the name.
func sql(name string) string {
	s, ok := statements[name]
	if !ok {
		panic("no statement named " + name)
	}
	return s
}

// loadStatements reads the files: each statement begins with a line "-- name: Name". A mistake in them is a programmer's error.
func loadStatements() map[string]string {
	out := map[string]string{}
	files, err := sqlFiles.ReadDir("sql")
	if err != nil {
		panic(err)
	}
	for _, f := range files {
		text, err := sqlFiles.ReadFile("sql/" + f.Name())
		if err != nil {
			panic(err)
		}
		for _, part := range strings.Split(string(text), "-- name: ")[1:] {
			name, body, _ := strings.Cut(part, "\n")
			name = strings.TrimSpace(name)
			if _, twice := out[name]; twice {
				panic("statement named twice: " + name)
			}
			for name, body := range eachNamespace(name, strings.TrimSpace(body)) {
				if out[name], err = spell(body); err != nil {
					panic(fmt.Sprintf("statement %s: %v", name, err))
				}
			}
		}
	}
	for _, of := range []struct {
		names    []string
		complete func(string) string
	}{{lists, cutOff}, {sums, summed}} {
		for _, name := range of.names {
			for _, name := range []string{name, name + inNamespace} {
				if text, ok := out[name]; ok {
					out[name] = of.complete(text)
				}
			}
		}
	}
	return out
}

// words are the names that statements have for stored numbers, written :name. Each stands for the number of a constant, or
// for the list of those of a set, to be used as in (:unfinished). So no statement can differ from package dag, a reader sees
// what is meant, and the planner sees constants, as indexes with a predicate need. tree_columns stands for columns.
var words = func() map[string]string {
	w := map[string]string{
		"states":       list(dag.AllStates.States()...),
		"unfinished":   list(dag.UnfinishedStates.States()...),
		"unsettled":    list(dag.UnsettledStates.States()...),
		"successful":   list(dag.SuccessfulStates.States()...),
		"unsuccessful": list(dag.UnsuccessfulStates.States()...),
		"settled":      list(dag.SettledStates.States()...),
		"cancellable":  list(dag.CancellableStates.States()...),
		"with_outcome": list(dag.OutcomeStates.States()...),

		"flag_leaf":       list(dag.FlagLeaf),
		"flag_unknown":    list(dag.FlagUnknown),
		"flag_dependents": list(dag.FlagDependents),
		"flag_wide":       list(dag.FlagWide),
		"flag_timeout":    list(dag.FlagTimeout),
		"flags_policy":    list(dag.FlagPolicy),
		"flag_when":       list(dag.FlagWhen),
		"flag_fold":       list(dag.FlagFold),
		"flag_allowed":    list(dag.FlagAllowed),
		"flag_more":       list(dag.FlagMore),
		"flag_child":      list(dag.FlagChild),
		"flag_limited":    list(dag.FlagLimited),
		"flag_holds":      list(dag.FlagHolds),
		"flag_keeps":      list(dag.FlagKeeps),
		"flag_kept":       list(dag.FlagKept),
		"flag_bounded":    list(dag.FlagBounded),
		"flags_bounding":  list(dag.FlagGroup | dag.FlagTimeout),
		"flags_limiting":  list(dag.FlagLimited | dag.FlagHolds),
		"child_edge":      list(dag.ChildEdge),
		"edge_any":        list(dag.EdgeAny),
		"edge_block":      list(dag.EdgeBlock),
		"edge_skip":       list(dag.EdgeSkip),
		"edge_order":      list(dag.EdgeOrder),
		"edge_skips":      list(dag.EdgeSkips),

		"outcome_completed": list(dag.OutcomeCompleted),
		"outcome_cancelled": list(dag.OutcomeCancelled),
		"outcome_lost":      list(dag.OutcomeLost),
		"outcome_skipped":   list(dag.OutcomeSkipped),
		"outcome_repeated":  list(dag.OutcomeRepeated),
		"ended_well":        list(dag.OutcomeCompleted, dag.OutcomeSkipped, dag.OutcomeRepeated),

		"priority_urgent": list(dag.Urgent),
		"priority_low":    list(dag.Low),
		"used":            summedUsage, // columns

		"delivery_ms": list(int(dag.DeliveryTime / time.Millisecond)),

		"timers":                  list(dag.TimerDue, dag.TimerScheduleToStart, dag.TimerStartToClose, dag.TimerTree, dag.TimerAwait, dag.TimerLock, dag.TimerLate, dag.TimerGroup),
		"timer_due":               list(dag.TimerDue),
		"timer_schedule_to_start": list(dag.TimerScheduleToStart),
		"timer_start_to_close":    list(dag.TimerStartToClose),
		"timer_tree":              list(dag.TimerTree),
		"timer_late":              list(dag.TimerLate),
		"timer_group":             list(dag.TimerGroup),
		"content_open":            list(contentOpen),
		"content_whole":           list(contentWhole),
		"content_gone":            list(contentGone),
		"artifact_log":            list(ArtifactLog),
		"artifact_manifest":       list(ArtifactManifest),

		"timer_await": list(dag.TimerAwait),
		"timer_lock":  list(dag.TimerLock),

		"await_approval": list(dag.AwaitApproval),

		"kind_limit":       list(dag.KindLimit),
		"kind_lock":        list(dag.KindLock),
		"kind_rate":        list(dag.KindRate),
		"kind_pool":        list(dag.KindPool),
		"kind_user":        list(dag.KindUser),
		"ord_pool":         list(ordPool),
		"ord_user":         list(ordUser),
		"pause_everything": list(dag.PauseEverything),
		"pause_pool":       list(dag.PausePool),
		"pause_tree":       list(dag.PauseTree),

		"followup_unlock":       list(FollowupUnlock),
		"followup_cancel":       list(FollowupCancel),
		"followup_release":      list(FollowupRelease),
		"followup_judge":        list(FollowupJudge),
		"followup_condition":    list(FollowupCondition),
		"followup_collect":      list(FollowupCollect),
		"followups_expanding":   list(FollowupCollect, FollowupGrow, FollowupCancelBelow, FollowupTree, FollowupSubtree),
		"followup_grow":         list(FollowupGrow),
		"followup_cancel_below": list(FollowupCancelBelow),
		"followup_tree":         list(FollowupTree),
		"followup_signal":       list(FollowupSignal),
		"followup_subtree":      list(FollowupSubtree),
		"followup_fire":         list(FollowupFire),
		"followup_time_up":      list(FollowupTimeUp),
		"await_tree":            list(dag.AwaitTree),

		"worker_alive":    list(WorkerAlive),
		"worker_draining": list(WorkerDraining),
		"worker_gone":     list(WorkerGone),
		"worker_lost":     list(WorkerLost),
		"worker_live":     list(WorkerAlive, WorkerDraining), // as long as the lease lives, too
		"worker_departed": list(WorkerGone, WorkerLost),

		"fires_open":     list(dag.FireQueued, dag.FireDue, dag.FireRunning),
		"fire_queued":    list(dag.FireQueued),
		"fire_due":       list(dag.FireDue),
		"fire_running":   list(dag.FireRunning),
		"fire_completed": list(dag.FireCompleted),
		"fire_failed":    list(dag.FireFailed),
		"fire_cancelled": list(dag.FireCancelled),
		"fire_event":     list(dag.FireEvent),

		"webhook_begins": list(webhookBegins),
		"webhook_ends":   list(webhookEnds),
		"webhook_late":   list(webhookLate),
		"webhook_runs":   list(webhookRuns),
		"webhook_wait_s": list(int(webhookWait.Seconds())),
		"delivery_done":  list(DeliveryDone),
		"end_completed":  list(EndCompleted),
		"end_failed":     list(EndFailed),
		"end_cancelled":  list(EndCancelled),

		"erase_trees":    list(EraseTrees),
		"erase_messages": list(EraseMessages),
		"erase_contents": list(EraseContents),
		"erased":         list(Erased),

		"keeping_own":   list(keepingOwn),
		"keeping_going": list(keepingGoing),

		"tree_columns":     treeColumns,
		"snapshot_columns": strings.ReplaceAll(snapshotColumns, ":cancelled", list(dag.Cancelled)),
		"snapshot_rows":    snapshotRows,

		"event_execution": packed(dag.EventExecution),
		"event_final":     packed(dag.EventFinal),
		"event_late":      packed(dag.EventLate),
	}
	for _, s := range dag.AllStates.States() {
		w[s.String()] = list(s)
	}
	return w
}()

// snapshotColumns and snapshotRows are what a snapshot shows of a task t, where $1 is its tree, and $2 whether ids are shown.
const (
	snapshotColumns = `t.key, t.state, t.attempt, s.parent, s.name, s.deps, s.executor, t.pool, t.ready_at, coalesce(t.started_at, a.started_at),
  case when t.state = :cancelled then coalesce(a.finished_at, (select cancelled_at from tree where tree.key = $1)) else a.finished_at end, case when $2::boolean then s.id end`
	snapshotRows = `cross join lateral (select parent, name, deps, executor, id from spec where spec.key = t.key offset 0) s
left join lateral (select started_at, finished_at from attempt where attempt.task = t.key and attempt.number = t.attempt offset 0) a on true`
)

// treeColumns are the columns of a tree that several statements show alike.
const treeColumns = `key, root_id as id, name, coalesce(user_id, '') as user_id, tasks, coalesce(span, tasks) as span, leaves, held, unfinished, running, completed, skipped, failed, allowed,
  cancelled, blocked, leaves_completed, execution, execution_start, sequence, created_at, started_at, finished_at, due_at, late_at`

// list is how statements enumerate numbers.
func list[N ~int | ~int16 | ~int32](all ...N) string {
	out := make([]string, len(all))
	for i, n := range all {
		out[i] = strconv.Itoa(int(n))
	}
	return strings.Join(out, ", ")
}

// packed is an event of a whole tree, as the body of a row has it.
func packed(t dag.EventType) string {
	return fmt.Sprintf(`'\x%x'::bytea`, encodeEvents([]dag.Event{{Type: t}}))
}

// word finds words, and casts, which begin alike.
var word = regexp.MustCompile(`::?[a-z_]+`)

// spell puts the numbers for the words of a statement.
func spell(text string) (string, error) {
	var unknown []string
	text = word.ReplaceAllStringFunc(text, func(found string) string {
		if strings.HasPrefix(found, "::") {
			return found
		}
		numbers, ok := words[found[1:]]
		if !ok {
			unknown = append(unknown, found)
		}
		return numbers
	})
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return "", fmt.Errorf("no such words: %s", strings.Join(slices.Compact(unknown), ", "))
	}
	return text, nil
}
