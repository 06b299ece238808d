package worker

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/taskgrove/taskgrove/executors"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

const (
	mostModels    = 16  // that an attempt's usage is told of one by one
	mostLabels    = 64  // models that a worker's metrics tell apart
	modelBytes    = 128 // of a model's name
	currencyBytes = 16  // of a currency's
	otherModels   = "others"
)

// usage adds up what an attempt uses of models. Its zero value is of an attempt that has used none. Safe for concurrent use.
type usage struct {
	mu     sync.Mutex
	models []modelUsage // mostModels, and the others together
	closed bool
}

type modelUsage struct {
	model string
	executors.Usage
}

// add adds calls of a model. After close it does nothing.
func (u *usage) add(model string, used executors.Usage) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return
	}
	i := u.find(model, used.Currency)
	if i < 0 && len(u.models) >= mostModels {
		model = otherModels
		i = u.find(model, used.Currency)
	}
	if i < 0 {
		i = len(u.models)
		u.models = append(u.models, modelUsage{model: model})
	}
	u.models[i].Add(used)
}

// find is the place of a model's sum in a currency, or -1. The others are together, whatever their currencies.
func (u *usage) find(model, currency string) int {
	return slices.IndexFunc(u.models, func(m modelUsage) bool {
		return m.model == model && (m.Currency == currency || model == otherModels)
	})
}

// close ends the account, and gives it as it travels with the result; nil: nothing was used.
func (u *usage) close() (out []*workerv1.Usage) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	for _, m := range u.models {
		out = append(out, &workerv1.Usage{Model: m.model, Currency: m.Currency, Calls: m.Calls, Prompt: m.PromptTokens, Completion: m.CompletionTokens,
			Cached: m.CachedTokens, CostNanos: m.CostNanos, Unpriced: m.Unpriced})
	}
	return out
}

// use is [executors.Call.Used] of an attempt.
func (w *Worker) use(a *attempt, model string, used executors.Usage) {
	model = cmp.Or(clean(a.out.redact().Text(model), modelBytes), "unknown")
	used.Currency = clean(used.Currency, currencyBytes)
	a.used.add(model, used)
	w.metrics.used(model, used)
}

// spent is what earlier attempts of the run used.
func spent(work *workerv1.Work) (sum executors.Usage) {
	for _, u := range work.Spent {
		sum.Add(executors.Usage{Calls: u.Calls, PromptTokens: u.Prompt, CompletionTokens: u.Completion, CachedTokens: u.Cached, CostNanos: u.CostNanos,
			Unpriced: u.Unpriced, Currency: u.Currency})
	}
	return sum
}

// labels tells apart as many models as metrics may have labels. Safe for concurrent use.
type labels struct {
	mu    sync.Mutex
	known map[string]bool
}

// of is the label of a model.
func (l *labels) of(model string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.known[model]:
		return model
	case len(l.known) >= mostLabels:
		return otherModels
	case l.known == nil:
		l.known = map[string]bool{}
	}
	l.known[model] = true
	return model
}

// used counts calls of a model.
func (m *metrics) used(model string, u executors.Usage) {
	ctx, label := context.Background(), attribute.String("model", m.models.of(model))
	m.modelCalls.Add(ctx, max(u.Calls, 0), metric.WithAttributes(label))
	for kind, n := range map[string]int64{"prompt": u.PromptTokens, "completion": u.CompletionTokens, "cached": u.CachedTokens} {
		if n > 0 {
			m.modelTokens.Add(ctx, n, metric.WithAttributes(label, attribute.String("kind", kind)))
		}
	}
	if u.CostNanos > 0 {
		m.modelCost.Add(ctx, float64(u.CostNanos)/1e9, metric.WithAttributes(label, attribute.String("currency", u.Currency)))
	}
}
