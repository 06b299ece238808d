package instrument

// Coordinator is what a coordinator exposes.
var Coordinator = Table{
	{Name: "taskgrove.published", Kind: Counter, Help: "attempts sent to workers"},
	{Name: "taskgrove.reconcile.republished", Kind: Counter, Help: "attempts sent again because their messages were gone"},
	{Name: "taskgrove.claims", Kind: Counter, Help: "claims answered"},
	{Name: "taskgrove.results", Kind: Counter, Help: "results recorded"},
	{Name: "taskgrove.attempts.taken_back", Kind: Counter, Help: "attempts taken back from workers", Labels: []string{"crash"}},
	{Name: "taskgrove.invariant.violations", Kind: Counter, Help: "rules found broken in what is stored, each violation once, by kind", Labels: []string{"kind"}},
	{Name: "taskgrove.requests.dropped", Kind: Counter, Help: "requests of workers that were not taken, as too many waited, by kind", Labels: []string{"kind"}},
	{Name: "taskgrove.webhook.deliveries", Kind: Counter, Help: "requests to webhooks, by outcome: delivered, retrying, refused, gave_up", Labels: []string{"outcome"}},
	{Name: "taskgrove.webhook.lag", Kind: Histogram, Unit: "s", Help: "from an event to its delivery to a webhook"},
	{Name: "taskgrove.claim.duration", Kind: Histogram, Unit: "s", Help: "from taking up a batch of claims to its answer"},
	{Name: "taskgrove.settle.duration", Kind: Histogram, Unit: "s", Help: "from taking up a batch of results to its receipts"},
	{Name: "taskgrove.settle.batch", Kind: Histogram, Help: "results in a batch"},
	{Name: "taskgrove.claim.batch", Kind: Histogram, Help: "claims in a batch"},
	{Name: "taskgrove.pool.ready", Kind: Gauge, Help: "ready tasks that wait in Postgres", Labels: []string{"pool"}},
	{Name: "taskgrove.pool.oldest", Kind: Gauge, Unit: "s", Help: "age of the oldest of them", Labels: []string{"pool"}},
	{Name: "taskgrove.optimistic.transactions", Kind: Counter, Help: "transactions of claims and results tried without reading their tasks first"},
	{Name: "taskgrove.optimistic.refused", Kind: Counter, Help: "those that found a task otherwise than they assumed, and read it then"},
	{Name: "taskgrove.callers.limited", Kind: Counter, Help: "requests and streams that were refused as their caller had too many, by reason: RATE_LIMITED, TOO_MANY_STREAMS, TOO_MANY_BYTES", Labels: []string{"reason"}},
	{Name: "taskgrove.logins.refused", Kind: Counter, Help: "requests whose sender was not believed, by reason: malformed, algorithm, unknown_key, signature, expired, not_yet_valid, issuer, audience, claims, revoked, certificate, carrier; no_keys, while it could not be said", Labels: []string{"reason"}},
}

// Worker is what a worker exposes.
var Worker = Table{
	{Name: "taskgrove.worker.attempts", Kind: Counter, Help: "attempts that ended, by executor and outcome", Labels: []string{"executor", "outcome"}},
	{Name: "taskgrove.worker.redeliveries", Kind: Counter, Help: "messages that were not delivered for the first time, by pool", Labels: []string{"pool"}},
	{Name: "taskgrove.worker.handed_over", Kind: Counter, Help: "attempts that came with the receipt of a result that unlocked them"},
	{Name: "taskgrove.worker.results.resent", Kind: Counter, Help: "results sent again for want of a receipt"},
	{Name: "taskgrove.worker.model.calls", Kind: Counter, Help: "calls of models that were answered, by model; after the first 64 models others", Labels: []string{"model"}},
	{Name: "taskgrove.worker.model.tokens", Kind: Counter, Help: "tokens of these calls, by model and kind: prompt (read), cached (those of them that came from a cache), completion (written)", Labels: []string{"model", "kind"}},
	{Name: "taskgrove.worker.model.cost", Kind: Counter, Help: "what these calls cost, by model and currency, as far as models have prices", Labels: []string{"model", "currency"}},
	{Name: "taskgrove.worker.fences", Kind: Counter, Help: "leases that ran out"},
	{Name: "taskgrove.worker.log.dropped", Kind: Counter, Help: "log lines dropped because too many waited"},
	{Name: "taskgrove.worker.claim.batch", Kind: Histogram, Help: "attempts in a claim request"},
	{Name: "taskgrove.worker.result.batch", Kind: Histogram, Help: "results in a message"},
	{Name: "taskgrove.worker.attempt.duration", Kind: Histogram, Unit: "s", Help: "from start to end of an attempt", Labels: []string{"executor", "outcome"}},
	{Name: "taskgrove.worker.claim.duration", Kind: Histogram, Unit: "s", Help: "from a claim request to its answer"},
	{Name: "taskgrove.worker.running", Kind: Gauge, Help: "slots in use, by pool", Labels: []string{"pool"}},
	{Name: "taskgrove.worker.in_line", Kind: Gauge, Help: "attempts that were taken and wait for a slot, most of them claimed, by pool", Labels: []string{"pool"}},
	{Name: "taskgrove.worker.slots", Kind: Gauge, Help: "slots, by pool", Labels: []string{"pool"}},
	{Name: "taskgrove.worker.results.kept", Kind: Gauge, Help: "results without receipt"},
}

// Process is what coordinators and workers expose whose listeners speak TLS.
var Process = Table{
	{Name: "taskgrove.tls.certificate.end", Kind: Gauge, Unit: "s", Help: "when the certificate of the listeners ends, in seconds since 1970"},
	{Name: "taskgrove.tls.reload.failures", Kind: Counter, Help: "how often changed files of the listeners' certificate could not be read; the one before stayed in use"},
}
