package examples

import "testing"

// TestTheKeepingPageWorks keeps, holds and releases trees as the page says, as TestTheGuideWorks does with another page.
func TestTheKeepingPageWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	newGuide(t).follow("../docs/keeping.md")
}
