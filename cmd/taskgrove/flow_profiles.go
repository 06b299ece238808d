package main

import (
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/executors/resource"
	"github.com/taskgrove/taskgrove/flows"
)

// profilesFlag names the file with the profiles of resources.
type profilesFlag struct{ path string }

func (p *profilesFlag) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.path, "profiles-file", "", "YAML or JSON file of profiles, by name, which resources of the flow may name")
}

// read reads the file. The report is that of a file with faults; nil: it has none. text is the file's.
func (p *profilesFlag) read() (all map[string]resource.Part, text []byte, report *flows.Report, err error) {
	if p.path == "" {
		return nil, nil, nil, nil
	}
	f, err := os.Open(filepath.Clean(p.path))
	if err == nil {
		text, err = io.ReadAll(io.LimitReader(f, flows.MaxBytes+1))
		_ = f.Close() // it was only read
	}
	if err != nil {
		return nil, nil, nil, codedError{err, exitUsage}
	}
	all, report = flows.ReadProfiles(p.path, text)
	if report.OK {
		report = nil
	}
	return all, text, report, nil
}
