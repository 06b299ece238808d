package monitoring

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// story is what an alert is tried with: series that make it fire, and others that must not. Series are written as promtool reads them:
// a value a minute, "0+5x30" is 30 steps of 5. Each has the label instance="i" unless it names one.
type story struct {
	fires, quiet []string
	at           time.Duration // 0: an hour
	labels       []string      // that a firing alert must have, besides severity; "pool=builds"
}

// always is a series that does not change for 5 hours.
func always(series string, value float64) string { return fmt.Sprintf("%s %gx300", series, value) }

// steps is a counter that grows by so much a minute.
func steps(series string, by float64) string { return fmt.Sprintf("%s 0+%gx300", series, by) }

// late is a counter that appears after half an hour, and stays.
func late(series string, value float64) string { return fmt.Sprintf("%s _x50 %gx250", series, value) }

// then holds one value for 30 minutes, then the other.
func then(series string, first, second float64) string {
	return fmt.Sprintf("%s %gx30 %gx270", series, first, second)
}

var stories = map[string]story{
	"TaskgroveNoCoordinator": {
		fires: []string{always(`taskgrove_ready{kind="coordinator"}`, 0), always(`taskgrove_ready{kind="worker"}`, 1)},
		quiet: []string{always(`taskgrove_ready{kind="coordinator",instance="a"}`, 0), always(`taskgrove_ready{kind="coordinator",instance="b"}`, 1)},
	},
	"TaskgroveProcessNotReady": {
		fires: []string{always(`taskgrove_ready{kind="worker",instance="w"}`, 0)}, labels: []string{"kind=worker", "instance=w"},
		quiet: []string{always(`taskgrove_ready{kind="worker"}`, 1)},
	},
	"TaskgroveProcessRestarts": {
		fires: []string{steps(`process_start_time_seconds`, 100), always(`taskgrove_build{kind="worker",version="1"}`, 1)}, labels: []string{"instance=i"},
		quiet: []string{steps(`process_start_time_seconds{instance="other"}`, 100), always(`process_start_time_seconds`, 5), always(`taskgrove_build{kind="worker",version="1"}`, 1)},
	},
	"TaskgroveVersionsDiffer": {at: 4 * time.Hour,
		fires: []string{always(`taskgrove_build{version="1",instance="a"}`, 1), always(`taskgrove_build{version="2",instance="b"}`, 1)},
		quiet: []string{always(`taskgrove_build{version="2",instance="a"}`, 1), always(`taskgrove_build{version="2",instance="b"}`, 1)},
	},
	"TaskgroveFilesNearLimit": {
		fires: []string{always(`process_open_fds`, 900), always(`process_max_fds`, 1000), always(`taskgrove_build{kind="worker"}`, 1)}, labels: []string{"instance=i"},
		quiet: []string{always(`process_open_fds`, 700), always(`process_max_fds`, 1000), always(`taskgrove_build{kind="worker"}`, 1)},
	},
	"TaskgrovePostgresDown": {
		fires: []string{always(`taskgrove_postgres_up{instance="a"}`, 0), always(`taskgrove_postgres_up{instance="b"}`, 0)},
		quiet: []string{always(`taskgrove_postgres_up{instance="a"}`, 0), always(`taskgrove_postgres_up{instance="b"}`, 1)},
	},
	"TaskgrovePostgresReadOnly": {
		fires: []string{steps(`taskgrove_postgres_errors_total{kind="read_only"}`, 1)},
		quiet: []string{always(`taskgrove_postgres_errors_total{kind="read_only"}`, 9), steps(`taskgrove_postgres_errors_total{kind="conflict"}`, 1)},
	},
	"TaskgrovePostgresFenced": {
		fires: []string{always(`taskgrove_postgres_refused`, 1)}, labels: []string{"instance=i"},
		quiet: []string{always(`taskgrove_postgres_refused`, 0)},
	},
	"TaskgrovePostgresOutOfResources": {
		fires: []string{steps(`taskgrove_postgres_errors_total{kind="resources"}`, 1)},
		quiet: []string{always(`taskgrove_postgres_errors_total{kind="resources"}`, 9)},
	},
	"TaskgrovePostgresErrors": {
		fires: []string{steps(`taskgrove_postgres_errors_total{kind="timeout"}`, 30)}, labels: []string{"kind=timeout"},
		quiet: []string{steps(`taskgrove_postgres_errors_total{kind="timeout"}`, 3), steps(`taskgrove_postgres_errors_total{kind="conflict"}`, 300)},
	},
	"TaskgrovePostgresConnectionsBusy": {
		fires: []string{steps(`taskgrove_postgres_wait_seconds_total`, 120), steps(`taskgrove_postgres_waited_total`, 500), steps(`taskgrove_postgres_acquired_total`, 1000)},
		quiet: []string{steps(`taskgrove_postgres_wait_seconds_total`, 120), steps(`taskgrove_postgres_waited_total`, 50), steps(`taskgrove_postgres_acquired_total`, 1000)},
	},
	"TaskgroveSchemaBehind": {
		fires: []string{always(`taskgrove_schema_version`, 28), always(`taskgrove_schema_wanted`, 29)},
		quiet: []string{always(`taskgrove_schema_version`, 29), always(`taskgrove_schema_wanted`, 28)}, // an older coordinator
	},
	"TaskgroveNATSDown": {
		fires: []string{always(`taskgrove_nats_connected{instance="a"}`, 0), always(`taskgrove_nats_connected{instance="b"}`, 0)},
		quiet: []string{always(`taskgrove_nats_connected{instance="a"}`, 0), always(`taskgrove_nats_connected{instance="b"}`, 1)},
	},
	"TaskgroveNATSUnstable": {
		fires: []string{steps(`taskgrove_nats_reconnects_total`, 1)}, labels: []string{"instance=i"},
		quiet: []string{then(`taskgrove_nats_reconnects_total`, 0, 2)},
	},
	"TaskgroveStreamMissing": {
		fires: []string{always(`taskgrove_stream_messages{stream="work"}`, 1), always(`taskgrove_stream_messages{stream="logs"}`, 1)},
		quiet: []string{always(`taskgrove_stream_messages{stream="work"}`, 1), always(`taskgrove_stream_messages{stream="logs"}`, 1), always(`taskgrove_stream_messages{stream="results"}`, 0)},
	},
	"TaskgroveStreamNearlyFull": {
		fires: []string{always(`taskgrove_stream_bytes{stream="results"}`, 900), always(`taskgrove_stream_limit_bytes{stream="results"}`, 1000)}, labels: []string{"stream=results"},
		quiet: []string{always(`taskgrove_stream_bytes{stream="logs"}`, 1000), always(`taskgrove_stream_limit_bytes{stream="logs"}`, 1000), always(`taskgrove_stream_bytes{stream="work"}`, 5)},
	},
	"TaskgroveStreamCopiesMissing": {
		fires: []string{always(`taskgrove_stream_copies{stream="work"}`, 2), always(`taskgrove_stream_copies_wanted{stream="work"}`, 3)}, labels: []string{"stream=work"},
		quiet: []string{always(`taskgrove_stream_copies{stream="work"}`, 3), always(`taskgrove_stream_copies_wanted{stream="work"}`, 3)},
	},
	"TaskgrovePoolWithoutWorkers": {
		fires: []string{always(`taskgrove_pool_workers{pool="builds"}`, 0), always(`taskgrove_pool_ready{pool="builds"}`, 0), always(`taskgrove_pool_unclaimed{pool="builds"}`, 3)}, labels: []string{"pool=builds"},
		quiet: []string{always(`taskgrove_pool_workers{pool="idle"}`, 0), always(`taskgrove_pool_ready{pool="idle"}`, 0), always(`taskgrove_pool_unclaimed{pool="idle"}`, 0),
			always(`taskgrove_pool_workers{pool="busy"}`, 2), always(`taskgrove_pool_ready{pool="busy"}`, 9), always(`taskgrove_pool_unclaimed{pool="busy"}`, 9)},
	},
	"TaskgroveTasksWaitLong": {
		fires: []string{always(`taskgrove_pool_oldest_seconds{pool="builds"}`, 0), always(`taskgrove_pool_unclaimed_oldest_seconds{pool="builds"}`, 1000)}, labels: []string{"pool=builds"},
		quiet: []string{always(`taskgrove_pool_oldest_seconds{pool="builds"}`, 800), always(`taskgrove_pool_unclaimed_oldest_seconds{pool="builds"}`, 800)},
	},
	"TaskgroveFreeSlotsIdle": {
		fires: []string{always(`taskgrove_pool_unclaimed_oldest_seconds{pool="builds"}`, 100), always(`taskgrove_worker_slots{pool="builds",instance="w"}`, 4), always(`taskgrove_worker_running{pool="builds",instance="w"}`, 3)}, labels: []string{"pool=builds"},
		quiet: []string{always(`taskgrove_pool_unclaimed_oldest_seconds{pool="builds"}`, 100), always(`taskgrove_worker_slots{pool="builds",instance="w"}`, 4), always(`taskgrove_worker_running{pool="builds",instance="w"}`, 4)},
	},
	"TaskgroveTimersLate":      {fires: []string{always(`taskgrove_timer_lag_seconds`, 90)}, quiet: []string{always(`taskgrove_timer_lag_seconds`, 30)}},
	"TaskgroveFollowupsPileUp": {fires: []string{always(`taskgrove_followups`, 5000)}, quiet: []string{then(`taskgrove_followups`, 5000, 10)}},
	"TaskgroveSettlesSlow": {
		fires: []string{steps(`taskgrove_settle_duration_seconds_bucket{le="1"}`, 90), steps(`taskgrove_settle_duration_seconds_bucket{le="5"}`, 100), steps(`taskgrove_settle_duration_seconds_bucket{le="+Inf"}`, 100)},
		quiet: []string{steps(`taskgrove_settle_duration_seconds_bucket{le="0.5"}`, 100), steps(`taskgrove_settle_duration_seconds_bucket{le="1"}`, 100), steps(`taskgrove_settle_duration_seconds_bucket{le="+Inf"}`, 100)},
	},
	"TaskgroveRequestsDropped": {fires: []string{steps(`taskgrove_requests_dropped_total{kind="beat"}`, 1)}, labels: []string{"kind=beat"}, quiet: []string{always(`taskgrove_requests_dropped_total{kind="beat"}`, 8)}},
	"TaskgroveSubmissionsFail": {fires: []string{steps(`taskgrove_submissions_total{outcome="failed"}`, 1)}, quiet: []string{steps(`taskgrove_submissions_total{outcome="refused"}`, 9), always(`taskgrove_submissions_total{outcome="failed"}`, 3)}},
	"TaskgroveTreesFail": {
		fires: []string{steps(`taskgrove_trees_ended_total{outcome="failed"}`, 2), steps(`taskgrove_trees_ended_total{outcome="completed"}`, 1)},
		quiet: []string{steps(`taskgrove_trees_ended_total{outcome="failed"}`, 2), steps(`taskgrove_trees_ended_total{outcome="completed"}`, 3)},
	},
	"TaskgroveRetriesHigh": {
		fires: []string{steps(`taskgrove_tasks_retried_total`, 40), steps(`taskgrove_claims_total`, 100)},
		quiet: []string{steps(`taskgrove_tasks_retried_total`, 20), steps(`taskgrove_claims_total`, 100)},
	},
	"TaskgroveWorkersLost":            {fires: []string{then(`taskgrove_workers_lost_total`, 0, 9)}, at: 40 * time.Minute, quiet: []string{then(`taskgrove_workers_lost_total`, 0, 1)}},
	"TaskgroveWorkerFaults":           {fires: []string{always(`taskgrove_worker_faults`, 1)}, labels: []string{"instance=i"}, quiet: []string{always(`taskgrove_worker_faults`, 0)}},
	"TaskgroveResultsWaitForReceipts": {fires: []string{always(`taskgrove_worker_results_kept`, 2000)}, labels: []string{"instance=i"}, quiet: []string{always(`taskgrove_worker_results_kept`, 500)}},
	"TaskgroveLogsDropped": {
		fires: []string{steps(`taskgrove_worker_task_logs_total{outcome="dropped"}`, 1)}, labels: []string{"instance=i"},
		quiet: []string{steps(`taskgrove_worker_task_logs_total{outcome="sent"}`, 100), steps(`taskgrove_worker_task_logs_total{outcome="withheld"}`, 100), always(`taskgrove_worker_log_dropped_total`, 4)},
	},
	"TaskgroveRuleBroken": {fires: []string{late(`taskgrove_invariant_violations_total{kind="counts"}`, 1)}, labels: []string{"kind=counts"}, quiet: []string{always(`taskgrove_invariant_violations_total{kind="counts"}`, 1)}},
	"TaskgroveAuditorStalled": {at: 2 * time.Hour,
		fires: []string{always(`taskgrove_audit_passes_total{outcome="done"}`, 50), always(`taskgrove_postgres_up`, 1)},
		quiet: []string{steps(`taskgrove_audit_passes_total{outcome="done",instance="a"}`, 1), always(`taskgrove_audit_passes_total{outcome="done",instance="b"}`, 0), always(`taskgrove_postgres_up`, 1)},
	},
	"TaskgroveAuditRecordFails": {
		fires: []string{steps(`taskgrove_record_failures_total`, 1), always(`taskgrove_record_lost_total`, 0)},
		quiet: []string{always(`taskgrove_record_failures_total`, 5), always(`taskgrove_record_lost_total`, 2)},
	},
	"TaskgroveAuditRecordBroken":      {fires: []string{then(`taskgrove_record_broken_total`, 0, 1)}, quiet: []string{always(`taskgrove_record_broken_total`, 1)}},
	"TaskgroveCertificateEnds":        {at: 2 * time.Hour, fires: []string{always(`taskgrove_tls_certificate_end_seconds`, 300000)}, labels: []string{"instance=i"}, quiet: []string{always(`taskgrove_tls_certificate_end_seconds`, 9000000)}},
	"TaskgroveCertificateNotReloaded": {fires: []string{steps(`taskgrove_tls_reload_failures_total`, 1)}, labels: []string{"instance=i"}, quiet: []string{always(`taskgrove_tls_reload_failures_total`, 7)}},
	"TaskgroveWebhooksFail": {
		fires: []string{steps(`taskgrove_webhook_deliveries_total{outcome="gave_up"}`, 1), steps(`taskgrove_webhook_deliveries_total{outcome="delivered"}`, 100)},
		quiet: []string{steps(`taskgrove_webhook_deliveries_total{outcome="retrying"}`, 1), steps(`taskgrove_webhook_deliveries_total{outcome="delivered"}`, 100), always(`taskgrove_webhook_deliveries_total{outcome="gave_up"}`, 100)},
	},
	"TaskgroveLoginsRefused":  {fires: []string{steps(`taskgrove_logins_refused_total{reason="signature"}`, 100)}, labels: []string{"reason=signature"}, quiet: []string{steps(`taskgrove_logins_refused_total{reason="expired"}`, 20)}},
	"TaskgroveCallersLimited": {fires: []string{steps(`taskgrove_callers_limited_total{reason="RATE_LIMITED"}`, 100)}, labels: []string{"reason=RATE_LIMITED"}, quiet: []string{steps(`taskgrove_callers_limited_total{reason="RATE_LIMITED"}`, 20)}},
}

// TestEachAlertFires with the series of its story, and not with the others: promtool judges. In both, all other alerts may do as they like.
func TestEachAlertFires(t *testing.T) {
	promtool := tool(t, "promtool")
	all := alerts(t)
	for name := range stories {
		if !slices.ContainsFunc(all, func(a alert) bool { return a.Alert == name }) {
			t.Errorf("there is a story of %s, which is no alert", name)
		}
	}
	dir := t.TempDir()
	write := func(name string, value any) string {
		text, err := yaml.Marshal(value)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	args := []string{"test", "rules"}
	for _, a := range all {
		s, ok := stories[a.Alert]
		if !ok {
			t.Errorf("nobody tells how %s fires", a.Alert)
			continue
		}
		rule := map[string]any{"alert": a.Alert, "expr": a.Expr, "labels": a.Labels, "annotations": a.Annotations}
		if a.For != "" {
			rule["for"] = a.For
		}
		write(a.Alert+".rule.yaml", map[string]any{"groups": []any{map[string]any{"name": a.Alert, "rules": []any{rule}}}}) // alone: with all of them it takes minutes
		args = append(args, write(a.Alert+".test.yaml", map[string]any{
			"rule_files": []string{a.Alert + ".rule.yaml"}, "evaluation_interval": "1m", "tests": []any{s.tried(a, true), s.tried(a, false)},
		}))
	}
	if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// tried is a test of promtool: the alert fires once, or does not.
func (s story) tried(a alert, fires bool) map[string]any {
	series, want := s.quiet, []any{}
	matchers := []string{`alertname="` + a.Alert + `"`, `alertstate="firing"`}
	if fires {
		series, want = s.fires, append(want, map[string]any{"labels": "{}", "value": 1})
		matchers = append(matchers, `severity="`+a.Labels["severity"]+`"`, `namespace="ns"`)
		for _, label := range s.labels {
			name, value, _ := strings.Cut(label, "=")
			matchers = append(matchers, fmt.Sprintf("%s=%q", name, value))
		}
	}
	var input []any
	for _, one := range series {
		at := strings.IndexByte(one, ' ')
		input = append(input, map[string]any{"series": placed(one[:at]), "values": one[at+1:]})
	}
	eval := s.at
	if eval == 0 {
		eval = time.Hour
	}
	return map[string]any{
		"name": fmt.Sprintf("%s, fires: %t", a.Alert, fires), "interval": "1m", "input_series": input,
		"promql_expr_test": []any{map[string]any{"expr": "count(ALERTS{" + strings.Join(matchers, ",") + "})", "eval_time": eval.String(), "exp_samples": want}},
	}
}

// placed is a series with the labels that Prometheus adds.
func placed(series string) string {
	name, labels, _ := strings.Cut(strings.TrimSuffix(series, "}"), "{")
	all := []string{`namespace="ns"`}
	if !strings.Contains(labels, "instance=") {
		all = append(all, `instance="i"`)
	}
	if labels != "" {
		all = append(all, labels)
	}
	return name + "{" + strings.Join(all, ",") + "}"
}
