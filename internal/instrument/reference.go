package instrument

const head = `<!-- Generated from the tables of metrics in package instrument by "go generate ./node". Do not edit. -->

# Metrics

Coordinators, and workers that have an HTTP address (` + "`TASKGROVE_WORKER_HTTP_ADDR`" + `), serve ` + "`GET /metrics`" + ` in the format of Prometheus. ` + "`taskgrove dev`" + `
serves those of both. A histogram has the series ` + "`_bucket` (with the label `le`), `_sum` and `_count`" + `. A counter appears once it has counted.

[Monitoring](monitoring.md) tells how they are fetched, shown and watched; [runbooks](runbooks.md), what to do when an alert fires. The values of labels are bounded: ` + "`pool`" + ` by
the pools of the cluster, of which at most 1000 are open; ` + "`executor`" + ` by those of the worker; ` + "`model`" + ` as its row says; all others by lists in the program.

Each metric below also has the labels ` + "`otel_scope_name`, `otel_scope_schema_url` and `otel_scope_version`" + `: the package that measures. ` + "`target_info`" + ` names the process
and its version. Metrics that begin with ` + "`go_` and `process_`" + ` are those of Prometheus's Go client: memory, goroutines, garbage collection, file
descriptors, CPU; ` + "`promhttp_`" + ` are of the page itself.

## Coordinators

`

// Reference is the text of docs/metrics.md.
func Reference() string {
	return head + Coordinator.rows() + "\n## Workers\n\n" + Worker.rows() +
		"\n## Every process\n\n" + Process.rows()
}
