package examples

import "testing"

// TestTheCachePageWorks runs cached tasks as the page of them says, as TestTheGuideWorks does with another page.
func TestTheCachePageWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	newGuide(t).follow("../docs/cache.md")
}
