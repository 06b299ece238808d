package flows_test

import (
	"flag"
	"os"
	"testing"

	"github.com/taskgrove/taskgrove/flows"
)

//go:generate go test . -run TestPagesAreUpToDate -update

var update = flag.Bool("update", false, "write the pages again")

// TestPagesAreUpToDate: the pages in docs/flows that are made of tables say what these do.
func TestPagesAreUpToDate(t *testing.T) {
	for path, text := range map[string]string{"../docs/flows/errors.md": flows.ErrorsPage(), "../docs/flows/reference.md": flows.ReferencePage(), "../docs/flows/connectors.md": flows.ConnectorsPage(),
		"../docs/flows/manifest.md": flows.ManifestPage()} {
		if *update {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if page, err := os.ReadFile(path); err != nil || string(page) != text {
			t.Errorf("%s is not what the code says (%v): run go generate ./flows", path, err)
		}
	}
}
