package examples

import "testing"

// TestTheValuesPageWorks makes every file and runs every command of the page of values, as TestTheGuideWorks does with another page.
func TestTheValuesPageWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	newGuide(t).follow("../docs/values.md")
}
