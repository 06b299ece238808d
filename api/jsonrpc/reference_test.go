package jsonrpc_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/api/jsonrpc"
)

var update = flag.Bool("update", false, "write the reference page and the transcripts anew")

const referencePage = "../../docs/json-rpc.md"

func TestReferencePageIsThatOfTheTable(t *testing.T) {
	t.Parallel()
	want := jsonrpc.Reference()
	if *update {
		if err := os.WriteFile(referencePage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(referencePage); err != nil || string(got) != want {
		t.Errorf("%s is not that of the table (%v): run go generate ./api/jsonrpc", referencePage, err)
	}
}

// TestNamedTestsAreThere: each test that the page about the protocol 1.0 names is there, in the directory that it names after it.
func TestNamedTestsAreThere(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/protocol-1.0.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, "| must |") && !strings.HasPrefix(line, "| should |") {
			continue
		}
		rows++
		for _, group := range regexp.MustCompile("((?:`Test\\w+`(?:, )?)+) in ([\\w/]+)").FindAllStringSubmatch(line, -1) {
			source := ""
			files, _ := filepath.Glob("../../" + group[2] + "/*_test.go")
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				source += string(text)
			}
			for _, test := range regexp.MustCompile(`Test\w+`).FindAllString(group[1], -1) {
				if !strings.Contains(source, "func "+test+"(") {
					t.Errorf("%s has no test %s", group[2], test)
				}
			}
		}
	}
	if rows < 16 {
		t.Errorf("got %d rows of must and should, want one for each of spec 12.1", rows)
	}
}
