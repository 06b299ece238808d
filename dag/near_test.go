package dag

import "testing"

func TestClosest(t *testing.T) {
	for word, others := range map[string][]string{
		"url":     {"body", "uri", "limit"},
		"command": {"timeout", "cmd", "x"},
		"body":    {"url", "timeout"}, // none
	} {
		want := map[string]string{"url": "uri", "command": "cmd"}[word]
		if got := Closest(word, others); got != want {
			t.Errorf("%s of %v: got %q, want %q", word, others, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"id", "name", "pool", "dependencies", "timeout", "parent_id", "tree_timeout", "retry", "inputs", "repeatable", "env"}
	for word, want := range map[string]string{
		"dependecies": "dependencies", "dependancies": "dependencies", "Dependencies": "dependencies", "dependencys": "dependencies",
		"time_out": "timeout", "timeOut": "timeout", "parentId": "parent_id", "parnet_id": "parent_id", "input": "inputs", "nmae": "name",
		"nam": "name", "evn": "env", "ID": "id", "retrys": "retry", "treetimeout": "tree_timeout", "tree-timeouts": "tree_timeout", "repeatible": "repeatable",
		// words that are others
		"tool": "", "game": "", "ids": "", "it": "", "agent_id": "", "tenant_id": "", "project_id": "", "": "", "note": "", "end": "", "nv": "", "owner": "", "output": "",
		"a word that is much longer than any key that there is or ever will be": "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
