package examples

import (
	"os"
	"os/exec"
	"testing"
)

// TestTheRecipesWork makes every file and runs every command of the page of recipes. One recipe is in Python, and
// has the helper file of that example beside it.
func TestTheRecipesWork(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	if _, err := exec.LookPath("python3"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI must have python3 (tools/need.sh)")
		}
		t.Skip("there is no python3 on this machine")
	}
	g := newGuide(t)
	g.write("taskgrove_executor.py", string(read(t, "external-python/taskgrove_executor.py")))
	g.follow("../docs/recipes.md")
}

// TestTheHelperIsOne: the helper for executors in Python lies in a bundle, too, where a link can't, and is the same file there.
func TestTheHelperIsOne(t *testing.T) {
	t.Parallel()
	if string(read(t, "external-python/taskgrove_executor.py")) != string(read(t, "flows/plugins/files/plugins/taskgrove_executor.py")) {
		t.Error("flows/plugins/files/plugins/taskgrove_executor.py is not external-python/taskgrove_executor.py: copy it")
	}
}
