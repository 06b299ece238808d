package node

import (
	"slices"
	"testing"
)

// TestConnectionIsAKnownInput: a task that names one need not say what it holds, and gets no warning.
func TestConnectionIsAKnownInput(t *testing.T) {
	seen := 0
	keys := Options{}.inputKeys()
	for d := range (Options{}).catalogue() {
		if d.Connection == nil {
			continue
		}
		seen++
		if !slices.Contains(keys[d.ID].Names, "connection") {
			t.Errorf("%s: connection is unknown", d.ID)
		}
		for _, field := range d.Connection.Fields {
			if slices.Contains(keys[d.ID].Required, field) {
				t.Errorf("%s: %s is required also with a connection", d.ID, field)
			}
		}
	}
	if seen == 0 {
		t.Error("no executor takes connections")
	}
}
