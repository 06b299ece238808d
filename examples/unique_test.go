package examples

import "testing"

// TestTheUniquePageWorks submits trees with keys as the page of unique trees says, as TestTheGuideWorks does with another page.
func TestTheUniquePageWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	newGuide(t).follow("../docs/unique.md")
}
