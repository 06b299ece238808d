package main

import (
	"os"
	"regexp"
	"testing"
)

func TestDocumentNamesEachCommand(t *testing.T) {
	page, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range newRoot(new(bool)).Commands() {
		row := regexp.MustCompile("(?m)^\\|[^|]*`(taskgrove )?" + regexp.QuoteMeta(cmd.Name()) + "[` ]")
		if !cmd.Hidden && cmd.Name() != "help" && cmd.Name() != "completion" && !row.Match(page) {
			t.Errorf("docs/cli.md has no row for taskgrove %s", cmd.Name())
		}
	}
}
