package pg

import (
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// retryBeyond is the column retry: what a policy says beyond the protocol.
type retryBeyond struct {
	Multiplier float64    `json:"multiplier,omitempty"`
	NoJitter   bool       `json:"no_jitter,omitempty"`
	NoDelay    bool       `json:"no_delay,omitempty"`
	RetryOn    []dag.Kind `json:"retry_on,omitempty"`
	NoRetryOn  []dag.Kind `json:"no_retry_on,omitempty"`
}

// storedRetry is what the column retry holds; nil: null.
func storedRetry(p dag.RetryPolicy) []byte {
	text, err := json.Marshal(retryBeyond{p.Multiplier, p.NoJitter, p.NoDelay, p.RetryOn, p.NoRetryOn})
	if err != nil || string(text) == "{}" {
		return nil
	}
	return text
}

// readRetry adds what the column retry holds to a policy.
func readRetry(p *dag.RetryPolicy, text []byte) error {
	if len(text) == 0 {
		return nil
	}
	var r retryBeyond
	if err := json.Unmarshal(text, &r); err != nil {
		return fmt.Errorf("read a retry policy: %w", err)
	}
	p.Multiplier, p.NoJitter, p.NoDelay, p.RetryOn, p.NoRetryOn = r.Multiplier, r.NoJitter, r.NoDelay, r.RetryOn, r.NoRetryOn
	return nil
}

// queueBeyond writes what decisions say of tasks that few trees have: who is judged, collected, cancelled below, or runs once more. It comes behind
// the rows. conditions is how many conditions are to be evaluated.
func queueBeyond(b *pgx.Batch, d *dag.Decision) (conditions int) {
	if len(d.ToJudge) > 0 {
		var judge, when []dag.Key
		for _, k := range d.ToJudge {
			if d.Row(k).Flags&dag.FlagsEvaluated != 0 {
				when = append(when, k)
			} else {
				judge = append(judge, k)
			}
		}
		if len(judge) > 0 {
			queueFollowups(b, FollowupJudge, judge)
		}
		if len(when) > 0 {
			queueFollowups(b, FollowupCondition, when)
		}
		conditions = len(when)
	}
	if len(d.ToCollect) > 0 {
		queueFollowups(b, FollowupCollect, d.ToCollect)
	}
	if len(d.ToTimeUp) > 0 {
		queueFollowups(b, FollowupTimeUp, d.ToTimeUp)
	}
	if len(d.ToCancel) > 0 {
		queueFollowups(b, FollowupCancelBelow, d.ToCancel)
	}
	var repeated []dag.Key
	var repeats, runs []int32
	for _, r := range d.Changed() {
		if r.Repeated() {
			repeated, repeats, runs = append(repeated, r.Key), append(repeats, r.Repeats), append(runs, r.Attempt)
		}
	}
	if len(repeated) > 0 {
		b.Queue(sql("ApplyRepeats"), repeated, repeats, runs)
	}
	return conditions
}

// queueTreesBeside writes what few trees count, of those whose keys are given. They are locked, unless there is but one.
func queueTreesBeside(b *pgx.Batch, keys []dag.TreeKey, trees map[dag.TreeKey]*dag.TreeDelta) {
	var some []dag.TreeKey
	var skipped, allowed []int32
	for _, k := range keys {
		if t := trees[k]; t.Skipped != 0 || t.Allowed != 0 {
			some, skipped, allowed = append(some, k), append(skipped, int32(t.Skipped)), append(allowed, int32(t.Allowed))
		}
	}
	if len(some) > 0 {
		b.Queue(sql("ApplyTreesBeside"), some, skipped, allowed)
	}
}

// modeAt is the mode of a dependency in the column dep_modes, which may be null.
func modeAt(modes []int16, n int) dag.EdgeMode {
	if n < len(modes) {
		return dag.EdgeMode(modes[n])
	}
	return 0
}
