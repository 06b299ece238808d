package jsonrpc

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// TestTasksAreEncodedAsTheirStructSays holds the hand-written encoder against encoding/json, byte by byte.
func TestTasksAreEncodedAsTheirStructSays(t *testing.T) {
	text := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.SampledFrom([]string{"plain", "<&>", "a\"b\\c\n\x00\x7f", "é\u2028\u2029\U0001F600", "\xff\xfe", "\ufffd"}))
	object := rapid.SampledFrom([]json.RawMessage{nil, json.RawMessage(`{}`), json.RawMessage(`{"a":[1,2.50,{"b":null}],"c":"<\u0041 \" \\>"}`),
		json.RawMessage("{ \"a\" :\t[ 1 ,\n\"x  y\" ] }")})
	at := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "unset") {
			return time.Time{}
		}
		return time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "at")).In(time.FixedZone("z", 3600))
	})
	task := rapid.Custom(func(t *rapid.T) *coordinator.Task {
		out := &coordinator.Task{ID: text.Draw(t, "id"), ParentID: text.Draw(t, "parent"), UserID: text.Draw(t, "user"), Name: text.Draw(t, "name"),
			State:  rapid.SampledFrom([]dag.State{dag.Held, dag.Running, dag.Completed, dag.Failed, dag.Cancelled, dag.Skipped, dag.Blocked}).Draw(t, "state"),
			Inputs: object.Draw(t, "inputs"), Params: object.Draw(t, "params"), Schemas: object.Draw(t, "schemas"), Result: object.Draw(t, "result"),
			Priority: dag.Priority(rapid.IntRange(0, 3).Draw(t, "priority")), Error: text.Draw(t, "error"), Progress: rapid.Float64().Draw(t, "progress"),
			Executor: text.Draw(t, "executor"), Pool: text.Draw(t, "pool"), Attempt: rapid.Int().Draw(t, "attempt"), Ref: text.Draw(t, "ref"),
			HasChildren: rapid.Bool().Draw(t, "children"), BlockedBy: rapid.SliceOfN(text, 0, 2).Draw(t, "blocked by"),
			CreatedAt: at.Draw(t, "created"), UpdatedAt: at.Draw(t, "updated"), StartedAt: at.Draw(t, "started"), CompletedAt: at.Draw(t, "completed")}
		out.Beyond = coordinator.Beyond{SkipReason: text.Draw(t, "skip reason"), ErrorKind: dag.Kind(text.Draw(t, "kind")), When: text.Draw(t, "when"),
			Fold: rapid.Bool().Draw(t, "fold"), AllowFailure: rapid.Bool().Draw(t, "allow")}
		out.SubtreeID = text.Draw(t, "subtree")
		out.Repeats, out.Exhausted = rapid.IntRange(0, 3).Draw(t, "repeats"), rapid.Bool().Draw(t, "exhausted")
		if rapid.Bool().Draw(t, "cached") {
			out.CachedFrom = &dag.CachedFrom{TaskID: text.Draw(t, "cached task"), TreeID: text.Draw(t, "cached tree")}
		}
		if rapid.Bool().Draw(t, "waits") {
			out.State, out.Waiting = dag.Awaiting, &coordinator.Waiting{Kind: "signal", Name: text.Draw(t, "signal"), Since: at.Draw(t, "since"), Until: at.Draw(t, "until"),
				Data: object.Draw(t, "data"), TreeID: text.Draw(t, "awaited")}
		}
		if rapid.Bool().Draw(t, "limited") {
			out.Limiting = &dag.Limiting{Limits: []dag.Limit{{Key: text.Draw(t, "limit"), Max: rapid.Int32().Draw(t, "max"), Cost: rapid.Int32Range(0, 2).Draw(t, "cost")}},
				Lock:  &dag.Lock{Key: text.Draw(t, "lock"), OnContention: dag.OnContention(rapid.IntRange(0, 2).Draw(t, "contention")), WaitTimeout: time.Duration(rapid.Int64().Draw(t, "timeout"))},
				Rates: []dag.Rate{{Key: text.Draw(t, "rate"), Per: time.Minute, Max: 7, Burst: rapid.Int32Range(0, 2).Draw(t, "burst")}}}
		}
		for range rapid.IntRange(0, 3).Draw(t, "dependencies") {
			out.Dependencies = append(out.Dependencies, coordinator.Dependency{ID: text.Draw(t, "dependency"), Required: rapid.Bool().Draw(t, "required"), Type: text.Draw(t, "type"),
				Mode: dag.EdgeMode(rapid.SampledFrom([]int16{0, 1, 4, 31, 12, 32, 64, 128, 256, 511}).Draw(t, "mode"))})
		}
		return out
	})
	rapid.Check(t, func(t *rapid.T) {
		var tree *coordinator.TreeStatus
		if rapid.Bool().Draw(t, "of a root") {
			tree = &coordinator.TreeStatus{Status: dag.StatusInProgress, Progress: rapid.Float64Range(0, 1).Draw(t, "tree progress"),
				Skipped: rapid.IntRange(0, 2).Draw(t, "skipped"), Allowed: rapid.IntRange(0, 2).Draw(t, "allowed")}
		}
		shown := taskOf(task.Draw(t, "task"), tree)
		if got, want := string(shown.append(nil)), string(appendJSON(nil, &shown)); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	})
}

// TestTimesAreWrittenAsTheirLayoutSays holds the hand-written times against the layout.
func TestTimesAreWrittenAsTheirLayoutSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(-70_000_000_000, 300_000_000_000).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")).
			In(time.FixedZone("z", rapid.IntRange(-50_000, 50_000).Draw(t, "zone")))
		if got, want := string((*isoTime)(&at).append(nil)), at.UTC().Format(`"2006-01-02T15:04:05.000000-07:00"`); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	})
}

// TestKeysOfAnswersAreReserved: a custom key of a task never stands beside one of the same name.
func TestKeysOfAnswersAreReserved(t *testing.T) {
	for _, shape := range []reflect.Type{reflect.TypeFor[task](), reflect.TypeFor[beyond]()} {
		for i := range shape.NumField() {
			key, _, _ := strings.Cut(shape.Field(i).Tag.Get("json"), ",")
			if key != "" && key != "-" && !reserved[key] {
				t.Errorf("%s of %s is not reserved", key, shape)
			}
		}
	}
}
