package executors_test

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskgrove/taskgrove/executors"
)

func TestWhoseTimeLimitHolds(t *testing.T) {
	for fact, row := range map[string]struct {
		task    time.Duration // its timeout, as the worker sets it; 0: none
		seconds json.Number
		after   time.Duration
		cause   string
	}{
		"nobody's": {0, "", 30 * time.Second,
			"work timed out after 30 seconds (the executor's default: set inputs.timeout, or the task's timeout)"},
		"the task's, if it is longer":     {time.Minute, "", time.Minute, "attempt timed out"},
		"the task's, if it is shorter":    {time.Second, "", time.Second, "attempt timed out"},
		"the inputs'":                     {0, "0.50", 500 * time.Millisecond, "work timed out after 0.50 seconds"},
		"the inputs', under the task's":   {time.Minute, "40", 40 * time.Second, "work timed out after 40 seconds"},
		"the task's, under the inputs'":   {time.Minute, "100", time.Minute, "attempt timed out"},
		"the inputs', if it is 30, too":   {time.Minute, "30", 30 * time.Second, "work timed out after 30 seconds"},
		"the task's, under the longest":   {time.Minute, "1e300", time.Minute, "attempt timed out"},
		"the longest, which is a bound":   {0, "1e300", 9007199254740992, "work timed out after 1e300 seconds"},
		"the inputs', below a nanosecond": {0, "1e-12", 0, "work timed out after 1e-12 seconds"},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx := t.Context()
			if row.task > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeoutCause(ctx, row.task, executors.ErrTimeout)
				defer cancel()
			}
			begin := time.Now()
			ctx, cancel, err := executors.LimitTime(ctx, "test", row.seconds, "work timed out")
			if err != nil {
				t.Fatal(err)
			}
			defer cancel()
			<-ctx.Done()
			if took := time.Since(begin); took != row.after || context.Cause(ctx).Error() != row.cause {
				t.Errorf("%s: got %q after %v, want %q after %v", fact, context.Cause(ctx), took, row.cause, row.after)
			}
		})
	}
	for _, seconds := range []json.Number{"0", "-1", "x", "NaN"} {
		if _, _, err := executors.LimitTime(t.Context(), "test", seconds, ""); err == nil || !executors.IsPermanent(err) {
			t.Errorf("%s: got %v", seconds, err)
		}
	}
}
