package executors

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// defaultTimeout is how long executors work for whom nothing says otherwise, in seconds (spec 8.2, 8.3).
const defaultTimeout = json.Number("30")

// LimitTime gives the work of an attempt its time limit: the one that its inputs name in seconds; else the task's own, which is
// the deadline that ctx has; else 30 seconds. When the limit is up, the cause of the context is an error that begins with what
// and says which limit it was. The caller must cancel. seconds is empty, or the number as the task wrote it; the executor's id is for the
// error about one that is none.
func LimitTime(ctx context.Context, id string, seconds json.Number, what string) (context.Context, context.CancelFunc, error) {
	whose := ""
	if seconds == "" {
		if _, bound := ctx.Deadline(); bound {
			ctx, cancel := context.WithCancel(ctx)
			return ctx, cancel, nil
		}
		seconds, whose = defaultTimeout, " (the executor's default: set inputs.timeout, or the task's timeout)"
	}
	number, err := strconv.ParseFloat(string(seconds), 64)
	if err != nil || !(number > 0) {
		return nil, nil, Invalid(id, "timeout must be a number of seconds above 0")
	}
	const most = 1 << 53 / float64(time.Second) // 104 days
	limit := time.Duration(min(number, most) * float64(time.Second))
	ctx, cancel := context.WithTimeoutCause(ctx, limit, WithKind(fmt.Errorf("%s after %s seconds%s", what, seconds, whose), KindTimeout))
	return ctx, cancel, nil
}
