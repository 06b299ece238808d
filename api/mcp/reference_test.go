package mcp_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/api/mcp"
)

//go:generate go test . -run TestPageIsUpToDate -update

var update = flag.Bool("update", false, "write the page and the transcripts anew")

// The page's reference is made of the tools.
func TestPageIsUpToDate(t *testing.T) {
	const page, begin, end = "../../docs/mcp-server.md", "<!-- made of the tools by make generate -->\n", "\n<!-- up to here -->"
	have, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := strings.Cut(string(have), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatal("the page lacks the marks around the reference")
	}
	want := head + begin + "\n" + mcp.Reference() + end + tail
	if string(have) == want {
		return
	}
	if !*update {
		t.Fatalf("%s is out of date: make generate", page)
	}
	if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
