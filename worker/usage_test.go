package worker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/worker"
)

// asks records two calls of a model and one of another.
func asks(call *executors.Call) {
	for range 2 {
		call.Record("gpt-4o", executors.Usage{Calls: 1, PromptTokens: 10, CompletionTokens: 4, CachedTokens: 3, CostNanos: 50, Currency: "USD"})
	}
	call.Record("local", executors.Usage{Calls: 1, PromptTokens: 7, Unpriced: 1})
}

var asked = []*workerv1.Usage{
	{Model: "gpt-4o", Currency: "USD", Calls: 2, Prompt: 20, Completion: 8, Cached: 6, CostNanos: 100},
	{Model: "local", Calls: 1, Prompt: 7, Unpriced: 1},
}

func sameUsage(a, b []*workerv1.Usage) bool {
	return proto.Equal(&workerv1.Result{Usage: a}, &workerv1.Result{Usage: b})
}

// TestUsageTravelsWithEachEnd: whatever an attempt ends as, its result says what it used.
func TestUsageTravelsWithEachEnd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		outcome dag.Outcome
		work    func(*workerv1.Work)
		run     func(ctx context.Context, call *executors.Call) (any, error)
		stop    func(h *harness, w *running)
	}{
		{outcome: completed, run: func(context.Context, *executors.Call) (any, error) { return 1, nil }},
		{outcome: failed, run: func(context.Context, *executors.Call) (any, error) { return nil, errors.New("no luck") }},
		{outcome: failed, run: func(context.Context, *executors.Call) (any, error) { panic("oops") }},
		{outcome: timedOut, work: func(w *workerv1.Work) { w.TimeoutMs = 20 }, run: untilItEnds},
		{outcome: cancelled, run: untilItEnds, stop: func(h *harness, w *running) {
			h.tell(w.id, &workerv1.News{Cancel: []*workerv1.Attempt{{Task: 1, Number: 1}}})
		}},
		{outcome: returned, run: untilItEnds, stop: func(_ *harness, w *running) { w.stop() }},
	} {
		t.Run(fmt.Sprint(tt.outcome), func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			began := make(chan struct{})
			w := h.runWorker(does(func(ctx context.Context, call *executors.Call) (any, error) {
				asks(call)
				close(began)
				return tt.run(ctx, call)
			}), func(c *worker.Config) { c.DrainGrace = time.Millisecond })
			change := tt.work
			if change == nil {
				change = func(*workerv1.Work) {}
			}
			h.offer(work(1, change))
			next(h, began, "the attempt's start")
			if tt.stop != nil {
				tt.stop(h, w)
			}
			if r := h.wantResult(1, tt.outcome); !sameUsage(r.Usage, asked) {
				t.Errorf("got %v, want %v", r.Usage, asked)
			}
		})
	}
}

// TestUsageIsBounded: of many models the first are told one by one, names are short and hold no secret, and what is recorded after the
// attempt's end counts no more. An attempt without usage says nothing.
func TestUsageIsBounded(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	late := make(chan func(), 1)
	h.runWorker(does(func(_ context.Context, call *executors.Call) (any, error) {
		if call.TaskID == "task-2" {
			return nil, nil
		}
		for i := range 100 {
			call.Record(fmt.Sprint("m", i), executors.Usage{Calls: 1, PromptTokens: -5, CompletionTokens: 1})
		}
		call.Record(strings.Repeat("x", 5000), executors.Usage{Calls: 1})
		late <- func() { call.Record("m0", executors.Usage{Calls: 1000}) }
		return nil, nil
	}))
	h.offer(work(1))
	r := h.wantResult(1, completed)
	(<-late)()
	if n, last := len(r.Usage), r.Usage[len(r.Usage)-1]; n != 17 || last.Model != "others" || last.Calls != 85 || last.Completion != 84 || last.Prompt != 0 {
		t.Errorf("%d models, the last is %v", n, last)
	}
	h.offer(work(2))
	if r := h.wantResult(2, completed); r.Usage != nil {
		t.Errorf("got %v, want no usage", r.Usage)
	}
}

func TestNamesOfModelsAreShort(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.runWorker(does(func(_ context.Context, call *executors.Call) (any, error) {
		call.Record(strings.Repeat("x", 5000), executors.Usage{Calls: 1, Currency: strings.Repeat("$", 5000)})
		call.Record("a\x00\xff", executors.Usage{Calls: 1})
		call.Record("", executors.Usage{Calls: 1})
		return nil, nil
	}))
	h.offer(work(1))
	got := h.wantResult(1, completed).Usage
	if len(got) != 3 || len(got[0].Model) > 128 || len(got[0].Currency) > 16 || got[1].Model != "a\uFFFD\uFFFD" || got[2].Model != "unknown" {
		t.Errorf("got %v", got)
	}
}

// TestWhatEarlierAttemptsUsedIsKnown: a budget of a task holds over its attempts.
func TestWhatEarlierAttemptsUsedIsKnown(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.runWorker(does(func(_ context.Context, call *executors.Call) (any, error) { return call.Spent, nil }))
	h.offer(work(1, func(w *workerv1.Work) {
		w.Spent = []*workerv1.Usage{{Currency: "USD", Calls: 2, Prompt: 20, Completion: 8, CostNanos: 100}, {Calls: 1, Prompt: 7, Unpriced: 1}}
	}))
	want := jsonOf(t, executors.Usage{Calls: 3, PromptTokens: 27, CompletionTokens: 8, CostNanos: 100, Unpriced: 1, Currency: "USD"})
	if got := h.wantResult(1, completed).GetCompleted(); string(got) != string(want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestUsageIsMeasured(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	reader := sdkmetric.NewManualReader()
	h.runWorker(does(func(_ context.Context, call *executors.Call) (any, error) {
		asks(call)
		for i := range 200 {
			call.Record(fmt.Sprint("m", i), executors.Usage{Calls: 1})
		}
		return nil, nil
	}), func(c *worker.Config) {
		c.Meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test")
	})
	h.offer(work(1))
	h.wantResult(1, completed)
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got, series := map[string]float64{}, 0
	for _, m := range all.ScopeMetrics[0].Metrics {
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			for _, p := range data.DataPoints {
				model, _ := p.Attributes.Value("model")
				kind, _ := p.Attributes.Value("kind")
				got[m.Name+" "+model.AsString()+" "+kind.AsString()] += float64(p.Value)
				if m.Name == "taskgrove.worker.model.calls" {
					series++
				}
			}
		case metricdata.Sum[float64]:
			for _, p := range data.DataPoints {
				currency, _ := p.Attributes.Value("currency")
				got[m.Name+" "+currency.AsString()] += p.Value
			}
		}
	}
	for name, want := range map[string]float64{
		"taskgrove.worker.model.calls gpt-4o ": 2, "taskgrove.worker.model.tokens gpt-4o prompt": 20, "taskgrove.worker.model.tokens gpt-4o completion": 8,
		"taskgrove.worker.model.tokens gpt-4o cached": 6, "taskgrove.worker.model.cost USD": 1e-7, "taskgrove.worker.model.calls others ": 138,
	} {
		if diff := got[name] - want; diff > 1e-12 || diff < -1e-12 {
			t.Errorf("%s: got %v, want %v", name, got[name], want)
		}
	}
	if series != 65 {
		t.Errorf("%d models have series, want 64 and the others", series)
	}
}
