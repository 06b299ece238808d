package jsonrpc_test

import (
	"flag"
	"os"
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
