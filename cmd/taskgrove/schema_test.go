package main

import (
	"os"
	"testing"
)

func TestSchemaIsTheOneOfTheDocuments(t *testing.T) {
	want, err := os.ReadFile("../../docs/tree.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if out, note, code := runCommand(t, "schema"); code != exitOK || out != string(want) || note != "" {
		t.Errorf("exit %d, %d bytes, want the %d of docs/tree.schema.json; %s", code, len(out), len(want), note)
	}
}
