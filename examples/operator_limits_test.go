package examples

import "testing"

// TestTheOperatorLimitsPageWorks sets limits as the page of operators' limits says, as TestTheGuideWorks does with another page.
func TestTheOperatorLimitsPageWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	newGuide(t).follow("../docs/operator-limits.md")
}
