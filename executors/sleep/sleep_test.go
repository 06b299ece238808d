package sleep_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/sleep"
)

func TestRun(t *testing.T) {
	for name, row := range map[string]struct {
		inputs    string
		attempt   int
		took      time.Duration
		err       string
		permanent bool
	}{
		"sleeps":                       {`{"seconds": 90.5}`, 1, 90500 * time.Millisecond, "", false},
		"not at all":                   {`{"seconds": 0}`, 1, 0, "", false},
		"fails the first time":         {`{"seconds": 1, "fail_times": 2}`, 1, time.Second, "attempt 1 was told to fail", false},
		"fails the last time":          {`{"seconds": 1, "fail_times": 2, "fail": "no"}`, 2, time.Second, "no", false},
		"succeeds after that":          {`{"seconds": 1, "fail_times": 2, "fail": "no"}`, 3, time.Second, "", false},
		"fails always":                 {`{"seconds": 1, "fail": "no"}`, 99, time.Second, "no", false},
		"fails for good":               {`{"seconds": 1, "fail": "no", "permanent": true}`, 1, time.Second, "no", true},
		"null stands for absent":       {`{"seconds": 1, "fail": null, "fail_times": null, "permanent": null}`, 1, time.Second, "", false},
		"seconds are required":         {`{}`, 1, 0, "[sleep_executor] seconds is required in inputs", true},
		"seconds are bounded":          {`{"seconds": 1e12}`, 1, 0, "[sleep_executor] seconds must be from 0 to a year", true},
		"seconds do not run backwards": {`{"seconds": -1}`, 1, 0, "[sleep_executor] seconds must be from 0 to a year", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				call, _ := conformance.Call(t, row.inputs)
				call.Attempt = row.attempt
				start := time.Now()
				got, err := sleep.New().Run(t.Context(), call)
				if took := time.Since(start); took != row.took {
					t.Errorf("took %v", took)
				}
				if row.err == "" {
					if want := (sleep.Result{SleptSeconds: row.took.Seconds(), Attempt: row.attempt}); err != nil || *got.Value().(*sleep.Result) != want {
						t.Errorf("got %+v, %v, want %+v", got, err, want)
					}
				} else if err == nil || err.Error() != row.err || executors.IsPermanent(err) != row.permanent {
					t.Errorf("got error %v, want %s", err, row.err)
				}
			})
		})
	}
}

func TestProgressRises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call, recorder := conformance.Call(t, `{"seconds": 100}`)
		if _, err := sleep.New().Run(t.Context(), call); err != nil {
			t.Fatal(err)
		}
		got := recorder.Fractions()
		if len(got) < 19 || got[0] != 0.05 || got[18] != 0.95 || !slices.IsSorted(got) {
			t.Errorf("got %v", got)
		}
	})
}

func TestTheContextEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Second, executors.ErrCancelled)
		defer cancel()
		call, _ := conformance.Call(t, `{"seconds": 100}`)
		got, err := sleep.New().Run(ctx, call)
		if r, _ := got.Value().(*sleep.Result); !errors.Is(err, executors.ErrCancelled) || r == nil || r.SleptSeconds != 3 {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}
