package coordinator

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/internal/envelope"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// listen waits for news about the tree or for a watcher that asks for a look, for watchFallback at most, and gives what
// executors have reported meanwhile. What attempts tell live meanwhile, it passes on; that is no reason to look.
func (f *feed) listen(ctx context.Context, news <-chan []byte) (reports []*workerv1.Progress, err error) {
	timer := time.NewTimer(watchFallback)
	defer timer.Stop()
	for {
		var early <-chan time.Time
		if f.speakers.held > 0 {
			early = time.After(earlyFor)
		}
		select {
		case data, ok := <-news:
			return f.heard(ctx, data, ok, news)
		case data, ok := <-f.live:
			if !ok {
				return nil, unavailable(errors.Join(ctx.Err(), queue.ErrClosed))
			}
			f.hear(data)
			f.tell(ctx)
		case <-early:
			f.tell(ctx)
		case <-f.ask:
			return nil, nil
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// heard reads the news that has come: all of it needs one look.
func (f *feed) heard(ctx context.Context, data []byte, ok bool, news <-chan []byte) (reports []*workerv1.Progress, err error) {
	for ok {
		p := &workerv1.Progress{}
		if len(data) > 0 && proto.Unmarshal(data, p) == nil && envelope.OpenProgress(f.feeds.openKey(p.Attempt, p.Sealed), p) == nil {
			reports = append(reports, p)
		}
		select {
		case data, ok = <-news:
		default:
			return reports, nil
		}
	}
	return nil, unavailable(errors.Join(ctx.Err(), queue.ErrClosed))
}
