package client

import (
	"strings"
	"testing"
)

// TestOnlyReadsAreSentAgain: a call that changes something must not be repeated by the transport, and reads should be.
func TestOnlyReadsAreSentAgain(t *testing.T) {
	for method, want := range map[string]bool{
		"GetTask": true, "GetTree": true, "ListTasks": true, "ListTrees": true, "ListAttempts": true, "Why": true, "ListWorkers": true, "ListPools": true,
		"Submit": false, "Execute": false, "Cancel": false, "Watch": false, "Logs": false, "Verify": false,
	} {
		if got := strings.Contains(retryReads, `{"service":"taskgrove.v1.Taskgrove","method":"`+method+`"}`); got != want {
			t.Errorf("%s is sent again: %v, want %v", method, got, want)
		}
	}
}
