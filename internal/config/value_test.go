package config

import (
	"strings"
	"testing"
)

func TestWorkerIDs(t *testing.T) {
	for text, valid := range map[string]bool{"w": true, "http.pod-7d9f-x2k4z": true, "": false, ".": false, "a.": false, ".a": false, "a.b.c": false, "a b": false, "a.*": false, strings.Repeat("x", 64) + "." + strings.Repeat("y", 64): true, strings.Repeat("x", 65): false} {
		var id WorkerID
		if got := id.Decode(text) == nil; got != valid {
			t.Errorf("%q: got %v, want %v", text, got, valid)
		}
	}
}
