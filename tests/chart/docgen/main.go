// Command docgen writes the schema and the reference of the chart's values.
//
// It owns nothing. It must not know what a value is for.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/taskgrove/taskgrove/tests/chart"
)

func main() {
	if err := run("../.."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(root string) error {
	values, err := chart.Read(filepath.Join(root, chart.ValuesFile))
	if err != nil {
		return err
	}
	schema, err := values.Schema()
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{chart.SchemaFile: schema, chart.PageFile: values.Markdown()} {
		if err := os.WriteFile(filepath.Join(root, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
