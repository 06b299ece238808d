package examples

import (
	"os"
	"path/filepath"
	"testing"
)

// TestTheSchedulesPageWorks makes every file and runs every command of the page of schedules, as TestTheGuideWorks does with another page. The page's directory has the examples.
func TestTheSchedulesPageWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	g := newGuide(t)
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(here, filepath.Join(g.dir, "examples")); err != nil {
		t.Fatal(err)
	}
	g.follow("../docs/schedules.md")
}
