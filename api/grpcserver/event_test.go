package grpcserver

import (
	"testing"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/coordinator"
)

func TestEachEventTypeHasAWord(t *testing.T) {
	apitest.EventWords(t, func(e *coordinator.Event) string { return eventOf(e).Type })
}
