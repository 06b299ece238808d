package examples

import "testing"

// TestThePausesPageWorks pauses a pool as the page of pauses says, as TestTheGuideWorks does with another page.
func TestThePausesPageWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	newGuide(t).follow("../docs/pauses.md")
}
