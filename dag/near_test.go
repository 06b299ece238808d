package dag

import "testing"

func TestNearest(t *testing.T) {
	known := []string{"id", "name", "pool", "dependencies", "timeout", "parent_id", "tree_timeout", "retry", "inputs", "repeatable"}
	for word, want := range map[string]string{
		"dependecies": "dependencies", "dependancies": "dependencies", "Dependencies": "dependencies", "dependencys": "dependencies",
		"time_out": "timeout", "timeOut": "timeout", "parentId": "parent_id", "parnet_id": "parent_id", "input": "inputs", "nmae": "name",
		"nam": "name", "ID": "id", "retrys": "retry", "treetimeout": "tree_timeout", "tree-timeouts": "tree_timeout", "repeatible": "repeatable",
		// words that are others
		"tool": "", "game": "", "ids": "", "it": "", "agent_id": "", "tenant_id": "", "project_id": "", "": "", "note": "", "owner": "", "output": "",
		"a word that is much longer than any key that there is or ever will be": "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
