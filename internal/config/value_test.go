package config

import (
	"os"
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

func TestWorkerIDsHaveTheHostsName(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	var id WorkerID
	if err := id.Decode("http.{host}"); err != nil || string(id) != "http."+strings.ReplaceAll(host, ".", "-") {
		t.Errorf("got %s, %v", id, err)
	}
}
