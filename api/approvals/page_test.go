package approvals

import (
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
)

// TestTextsAreShownAsText: whatever people wrote is no markup of the page.
func TestTextsAreShownAsText(t *testing.T) {
	const evil = `"'><script>alert(1)</script>&`
	asked := coordinator.LinkedApproval{TaskID: evil, Name: evil, Message: evil, Choices: []string{evil}, For: evil}
	answered := asked
	answered.Choice = evil
	for _, p := range []page{{Title: evil, Text: evil}, {Title: evil, Approval: &asked}, {Title: evil, Approval: &answered}} {
		got := p.html()
		if strings.Contains(got, "<script") || strings.Contains(got, `"'>`) || !strings.Contains(got, "&lt;script&gt;") || !strings.HasSuffix(got, "</html>\n") {
			t.Errorf("got %s", got)
		}
	}
}
