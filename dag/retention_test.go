package dag_test

import (
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

func TestRetentionsAreWrittenAndRead(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{"": 0, "30d": 30 * day, "36h": 36 * time.Hour, "1d12h": 36 * time.Hour, "90m": 90 * time.Minute, "1d1h1m1s": 25*time.Hour + 61*time.Second,
		"keep": dag.KeepForever, "0d": 0, "99999d": 99999 * day} {
		got, ok := dag.ParseRetention(text)
		if !ok || got != want {
			t.Errorf("%q: got %v, %t, want %v", text, got, ok, want)
		}
		again, ok := dag.ParseRetention(dag.RetentionText(got))
		if !ok || again != got {
			t.Errorf("%q is written %q, and read as %v", text, dag.RetentionText(got), again)
		}
	}
	for _, text := range []string{"0", "7", "d", "1h1d", "1d1d", "-1d", "1.5d", "30 d", "Keep", "forever", "1w", "100000d", "30d ", "٣d", "1dx", "dkeep"} {
		if got, ok := dag.ParseRetention(text); ok {
			t.Errorf("%q: got %v, want a refusal", text, got)
		}
	}
}

func TestRetentionFaults(t *testing.T) {
	for _, row := range []struct {
		d, most time.Duration
		fault   string
	}{
		{0, time.Hour, ""}, {time.Hour, time.Hour, ""}, {time.Hour, 0, ""}, {dag.KeepForever, 0, ""}, {time.Minute, 0, ""},
		{dag.KeepForever, time.Hour, "at most 1h"}, {2 * time.Hour, time.Hour, "at most 1h"}, {time.Minute - 1, 0, "at least a minute"}, {-time.Hour, 0, "at least a minute"},
		{dag.MaxDuration + 1, 0, "at most 3650d"},
	} {
		if got := dag.RetentionFault(row.d, row.most); (got == "") != (row.fault == "") || !strings.Contains(got, row.fault) {
			t.Errorf("%v of at most %v: got %q, want %q", row.d, row.most, got, row.fault)
		}
	}
}
