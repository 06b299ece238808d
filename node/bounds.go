package node

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/taskgrove/taskgrove/api/bounds"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/instrument"
)

// What one caller may ask for where callers are asked who they are and the operator says nothing. Where nobody is asked, all behind a proxy would be
// one caller.
const (
	callerRate    = 200 // requests in a second
	callerStreams = 1000
)

// callerBounds are the bounds of one caller, as the settings say.
type callerBounds struct {
	rate, burst, streams config.Bound
	bytes                config.Size
}

// boundCallers lets the listeners count what each caller asks for, if there is a bound. It comes after askCallers.
func (p *coordinatorParts) boundCallers(log *slog.Logger) {
	rate, streams := callerRate, callerStreams
	if p.http.Identify == nil {
		rate, streams = 0, 0
	}
	b := bounds.New(bounds.Config{Rate: p.bounds.rate.Or(rate), Burst: p.bounds.burst.Or(0), Streams: p.bounds.streams.Or(streams), Bytes: int64(p.bounds.bytes),
		Refused: limited(log)})
	if b != nil {
		p.grpc.Admit, p.http.Admit = b.Admit, b.Admit
	}
}

// limited counts refusals by reason.
func limited(log *slog.Logger) func(string) {
	const name = "taskgrove.callers.limited"
	counter, err := otel.Meter("github.com/taskgrove/taskgrove/node").Int64Counter("taskgrove.callers.limited", metric.WithDescription(instrument.Coordinator.Help(name)))
	if err != nil {
		log.Warn("a metric could not be registered", "error", err)
	}
	return func(reason string) {
		counter.Add(context.Background(), 1, metric.WithAttributes(attribute.String("reason", reason)))
	}
}
