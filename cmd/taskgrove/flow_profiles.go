package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
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

// registeredProfiles are those of the cluster, as far as the caller may see them.
type registeredProfiles struct {
	s   *session
	ctx context.Context
	err error // why they can't be had; nil: they could
}

// find reads the newest versions of profiles by their names; it is [flows.Options.Registered].
func (r *registeredProfiles) find(names []string) map[string]resource.Part {
	out := map[string]resource.Part{}
	for _, name := range names {
		p, err := r.s.Profile(r.ctx, name, 0)
		switch {
		case errors.Is(err, client.ErrNotFound):
			continue
		case errors.Is(err, client.ErrDenied): // it may serve the caller's flows all the same, if it is nobody's
			fmt.Fprintf(r.s.notes, "profile %s: there is none that you may see; what a run finds, flow validate --cluster says\n", name)
			continue
		case err != nil:
			r.err = err
			return nil
		}
		if out[name], err = flows.RegisteredProfile(p.Body); err != nil {
			r.err = fmt.Errorf("profile %s: %w", name, err)
			return nil
		}
	}
	return out
}
