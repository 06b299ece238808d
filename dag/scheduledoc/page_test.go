package scheduledoc_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/dag/scheduledoc"
)

var update = flag.Bool("update", false, "write the table of the page")

// TestPageHasTheKeys: the page of schedules has the table of all keys.
func TestPageHasTheKeys(t *testing.T) {
	t.Parallel()
	const page, begin, end = "../../docs/schedules.md", "-update -->\n", "<!-- /keys -->"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	_, after, ends := strings.Cut(rest, end)
	if !found || !ends {
		t.Fatal("the page has no place for the table")
	}
	want := before + begin + scheduledoc.Reference() + end + after
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Error("the table of keys is not that of the package: go test ./dag/scheduledoc -run TestPageHasTheKeys -update")
	}
}
