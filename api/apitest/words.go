package apitest

import (
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
)

// EventWords fails the test for each type of event that a surface writes without a word for it. word gives the event's type as it
// goes to clients.
func EventWords(t *testing.T, word func(e *coordinator.Event) string) {
	t.Helper()
	for _, kind := range coordinator.EventTypes() {
		if word(&coordinator.Event{Type: kind}) == "" {
			t.Errorf("there is no word for events of the type %s", kind)
		}
	}
}
