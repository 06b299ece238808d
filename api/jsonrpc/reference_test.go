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

// The page of the protocol 1.0 names tests of this package that show what it claims.
func TestNamedTestsAreThere(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/protocol-1.0.md")
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob("*_test.go")
	var code strings.Builder
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		code.Write(text)
	}
	names := regexp.MustCompile("`(Test[A-Za-z]+)`").FindAllStringSubmatch(string(page), -1)
	for _, name := range names {
		if !strings.Contains(code.String(), "\nfunc "+name[1]+"(") {
			t.Errorf("%s is named, and there is no such test", name[1])
		}
	}
	if len(names) < 10 {
		t.Errorf("%d tests are named, want those of all rows", len(names))
	}
}
