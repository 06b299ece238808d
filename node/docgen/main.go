// Command docgen writes the pages that are made of the program into the directory that it is given: the references of the tree
// document, of tree files, of mocks files, of the metrics and of gRPC, and the JSON Schemas of documents, tree files and mocks files.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/instrument"
	"github.com/taskgrove/taskgrove/internal/treetest"
	"github.com/taskgrove/taskgrove/node"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: docgen DIRECTORY")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(dir string) error {
	schema, err := node.TreeSchema()
	if err != nil {
		return err
	}
	fileSchema, err := node.TreeFileSchema()
	if err != nil {
		return err
	}
	mocks, err := treetest.Schema()
	if err != nil {
		return err
	}
	grpc, err := grpcReference(filepath.Join(dir, "..", "proto"))
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{"grpc-reference.md": grpc, "tree.md": []byte(treedoc.Reference()), "tree.schema.json": schema, "metrics.md": []byte(instrument.Reference()),
		"tree-file-reference.md": []byte(treedoc.FileReference()), "tree-file.schema.json": fileSchema,
		"mocks-reference.md": []byte(treetest.Reference()), "mocks.schema.json": mocks} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
