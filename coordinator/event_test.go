package coordinator

import (
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

// TestEachEventTypeHasItsRow compares the table with itself and with the numbers that dag gives.
func TestEachEventTypeHasItsRow(t *testing.T) {
	for _, e := range EventTypes() {
		if kind := eventKinds[e]; kind.name == "" || kind.stored == 0 && e != EventProgress {
			t.Errorf("type %d: got the row %+v", e, kind)
		}
	}
	source, err := os.ReadFile("../dag/effects.go")
	if err != nil {
		t.Fatal(err)
	}
	numbers := regexp.MustCompile(`(?m)^\tEvent\w+ +EventType = (\d+)`).FindAllStringSubmatch(string(source), -1)
	if len(numbers) < int(dag.EventFinal) {
		t.Errorf("only %d types were found in dag", len(numbers))
	}
	for _, n := range numbers {
		stored, err := strconv.Atoi(n[1])
		if _, shown := eventTypeOf[dag.EventType(stored)]; !shown || err != nil {
			t.Errorf("dag's event type %d has no row", stored)
		}
	}
}
