package examples

import "testing"

// TestInstallWorks runs the commands of the page of installing, as TestTutorialsWork does with another page.
func TestInstallWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	newGuide(t).follow("../docs/install.md")
}
