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
// what is meant, and the planner sees constants, as indexes with a predicate need.
var words = func() map[string]string {
	w := map[string]string{
		"states":       list(dag.AllStates.States()...),
		"unfinished":   list(dag.UnfinishedStates.States()...),
		"unsettled":    list(dag.UnsettledStates.States()...),
		"unsuccessful": list(dag.UnsuccessfulStates.States()...),
		"cancellable":  list(dag.CancellableStates.States()...),
		"with_outcome": list(dag.OutcomeStates.States()...),

		"flag_leaf":       list(dag.FlagLeaf),
		"flag_unknown":    list(dag.FlagUnknown),
		"flag_dependents": list(dag.FlagDependents),
		"flag_wide":       list(dag.FlagWide),
		"flag_timeout":    list(dag.FlagTimeout),
		"flags_policy":    list(dag.FlagPolicy),

		"outcome_completed": list(dag.OutcomeCompleted),
		"outcome_cancelled": list(dag.OutcomeCancelled),
		"outcome_lost":      list(dag.OutcomeLost),

		"priority_urgent": list(dag.Urgent),
		"priority_low":    list(dag.Low),
		"used":            summedUsage, // columns

		"delivery_ms": list(int(dag.DeliveryTime / time.Millisecond)),

		"timers":               list(dag.TimerDue, dag.TimerScheduleToStart, dag.TimerStartToClose, dag.TimerTree),
		"timer_due":            list(dag.TimerDue),
		"timer_start_to_close": list(dag.TimerStartToClose),
		"timer_tree":           list(dag.TimerTree),

		"followup_unlock":  list(FollowupUnlock),
		"followup_cancel":  list(FollowupCancel),
		"followup_release": list(FollowupRelease),

		"worker_alive":    list(WorkerAlive),
		"worker_draining": list(WorkerDraining),
		"worker_gone":     list(WorkerGone),
		"worker_lost":     list(WorkerLost),
		"worker_live":     list(WorkerAlive, WorkerDraining), // as long as the lease lives, too
		"worker_departed": list(WorkerGone, WorkerLost),

		"webhook_begins": list(webhookBegins),
		"webhook_ends":   list(webhookEnds),
		"webhook_wait_s": list(int(webhookWait.Seconds())),
		"delivery_done":  list(DeliveryDone),
		"end_completed":  list(EndCompleted),
		"end_failed":     list(EndFailed),
		"end_cancelled":  list(EndCancelled),

		"event_execution": packed(dag.EventExecution),
		"event_final":     packed(dag.EventFinal),
	}
	for _, s := range dag.AllStates.States() {
		w[s.String()] = list(s)
	}
	return w
}()

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
