package jsonrpc

import (
	"encoding/json"
	"testing"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/coordinator"
)

func TestEachEventTypeHasAWord(t *testing.T) {
	apitest.EventWords(t, func(e *coordinator.Event) string {
		var data struct{ Type string }
		if err := json.Unmarshal(encodeEvent(e), &data); err != nil || eventName(e) == "" {
			t.Errorf("%s: %v, in a frame of the name %q", e.Type, err, eventName(e))
		}
		return data.Type
	})
}
