package builtin_test

import (
	"os"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors/builtin"
)

func TestDocumentNamesEachExecutor(t *testing.T) {
	page, err := os.ReadFile("../../docs/executors.md")
	if err != nil {
		t.Fatal(err)
	}
	headings := ""
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "## ") {
			headings += line
		}
	}
	for d := range builtin.Catalogue() {
		if !strings.Contains(headings, d.ID) {
			t.Errorf("docs/executors.md has no section on %s", d.ID)
		}
	}
}
