package secrets

import (
	"context"
	"time"

	"golang.org/x/sync/singleflight"
)

// askWithin bounds how long a program or a service may take to answer.
const askWithin = 15 * time.Second

// asking lets those who ask for the same at the same time share one answer.
type asking struct{ group singleflight.Group }

// share asks, or waits for who asks already. The answer is for all of them, so it does not end with the first one's patience.
func (a *asking) share(ctx context.Context, key string, ask func(context.Context) (string, error)) (string, error) {
	done := a.group.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askWithin)
		defer cancel()
		return ask(ctx)
	})
	select {
	case <-ctx.Done():
		return "", unreadable{context.Cause(ctx)}
	case result := <-done:
		value, _ := result.Val.(string)
		return value, result.Err
	}
}
