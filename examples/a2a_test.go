package examples

import "testing"

// TestTheA2APageWorks runs the commands of docs/a2a.md, as TestTheGuideWorks does with another page.
func TestTheA2APageWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	newGuide(t).follow("../docs/a2a.md")
}
