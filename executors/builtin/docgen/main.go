// Command docgen writes the pages of the built-in executors, and the tables of their overview, into the docs of the module whose
// directory it is given.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/reference"
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

func write(root string) error {
	files, err := reference.Files(root, func() []executors.Executor { return builtin.New(builtin.Config{}) })
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(root, "docs/executors"), 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
