package taskgrove_test

import (
	"go/parser"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// packageRow finds a package in a row of the table: the first cell.
var packageRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\|([^|]*)\\|[^|]*\\|$")

// section is the part of a Markdown text under a heading of the second level.
func section(t *testing.T, file, heading string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("%s has no section %q", file, heading)
	}
	part, _, _ := strings.Cut(rest, "\n## ")
	return part
}

func TestContributingListsEachPackageOnce(t *testing.T) {
	rows := map[string]int{}
	for _, row := range packageRow.FindAllStringSubmatch(section(t, "CONTRIBUTING.md", "Packages"), -1) {
		rows[row[1]]++
		if strings.TrimSpace(row[2]) == "" {
			t.Errorf("CONTRIBUTING.md: the row of %s does not say what the package owns", row[1])
		}
	}
	packages := map[string]bool{}
	for _, file := range sources(t, parser.PackageClauseOnly) {
		packages[path.Dir(file.name)] = true
	}
	for pkg := range packages {
		if n := rows[pkg]; n != 1 {
			t.Errorf("CONTRIBUTING.md: package %s has %d rows in the table of packages, want 1", pkg, n)
		}
	}
	for pkg := range rows {
		if !packages[pkg] {
			t.Errorf("CONTRIBUTING.md: the table has a row for %s, which is no package", pkg)
		}
	}
}
