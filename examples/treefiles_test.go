package examples

import (
	"os"
	"path/filepath"
	"testing"
)

// TestTheTreeFilesPageWorks makes every file and runs every command of the page of tree files, as TestTheGuideWorks does with another page. The page's
// directory has the examples.
func TestTheTreeFilesPageWorks(t *testing.T) {
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
	g.follow("../docs/tree-files.md")
}

// TestTheTestingPageWorks makes every file and runs every command of the page about tests of trees, which need no cluster.
func TestTheTestingPageWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	g := newGuide(t)
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(here, filepath.Join(g.dir, "examples")); err != nil {
		t.Fatal(err)
	}
	g.follow("../docs/testing-trees.md")
}
