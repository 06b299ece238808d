package examples

import "testing"

// TestTheWaitingPageWorks makes every file and runs every command of the page of waits, as TestTheGuideWorks does with another page.
func TestTheWaitingPageWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	newGuide(t).follow("../docs/waiting.md")
}
