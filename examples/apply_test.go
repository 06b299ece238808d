package examples

import (
	"os"
	"path/filepath"
	"testing"
)

// TestTheApplyPageWorks brings a cluster to what files say as the page says, as TestTheGuideWorks does with another page.
func TestTheApplyPageWorks(t *testing.T) {
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
	g.follow("../docs/apply.md")
}
