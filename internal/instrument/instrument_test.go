package instrument

import (
	"os"
	"strings"
	"testing"
)

// TestEachMetricIsMeasured: a row that no instrument reads would promise what is not there.
func TestEachMetricIsMeasured(t *testing.T) {
	for files, table := range map[string]Table{"../../coordinator/meter.go ../../coordinator/meter_observe.go ../../coordinator/demand.go ../../node/auth.go ../../node/bounds.go": Coordinator, "../../worker/metrics.go": Worker, "../../node/tls.go ../../node/telemetry.go": Process} {
		var source []byte
		for file := range strings.FieldsSeq(files) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			source = append(source, text...)
		}
		for _, m := range table {
			if !strings.Contains(string(source), `"`+m.Name+`"`) {
				t.Errorf("%s does not measure %s", files, m.Name)
			}
			if m.Help == "" || m.Kind == "" {
				t.Errorf("%s has no help or type", m.Name)
			}
		}
	}
}

func TestShown(t *testing.T) {
	for want, m := range map[string]Metric{
		"a_b_total": {Name: "a.b", Kind: Counter}, "a_b_seconds": {Name: "a.b", Kind: Histogram, Unit: "s"}, "a_b": {Name: "a.b", Kind: Gauge},
	} {
		if got := m.Shown(); got != want {
			t.Errorf("%+v is shown as %s, want %s", m, got, want)
		}
	}
}
