package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// programs are the files of the programs that suites start, beside this one; empty: there is none.
type programs struct{ limits, peers, taskgrove string }

// buildPrograms builds those that the suites need into a directory, before anything is measured.
func buildPrograms(ctx context.Context, o options, chosen []suite, into string) (p programs, err error) {
	if p.limits, err = build(ctx, o.limits, into, "limits", "figures come without ratios to floors"); err != nil {
		return p, err
	}
	for _, s := range chosen {
		switch s.name {
		case riverSuite:
			p.peers, err = build(ctx, o.peers, into, "peers", "River is not measured")
		case startSuite:
			p.taskgrove, err = build(ctx, "./cmd/taskgrove", into, "taskgrove", "its start is not measured")
		}
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

// build builds the program of a directory, which may be another module's. If the directory is not there it says what follows from
// that, and returns an empty name.
func build(ctx context.Context, dir, into, name, consequence string) (program string, err error) {
	if dir == "" {
		return "", nil
	}
	if _, err := os.Stat(dir); err != nil {
		fmt.Fprintf(os.Stderr, "bench: no %s at %s: %s\n", name, dir, consequence)
		return "", nil
	}
	program = filepath.Join(into, name)
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	return program, nil
}

// measureLimits runs those limits programs once that the suites are held against, beside each run of the suites, so that an hour
// in which the machine is slow moves both sides alike.
func (r *results) measureLimits(ctx context.Context, o options, chosen []suite, round int) error {
	args := []string{"-json", "-runs", "1", "-dir", o.dir}
	flags := len(args)
	for _, s := range chosen {
		for _, floor := range s.floors {
			if !slices.Contains(args, floor) {
				args = append(args, floor)
			}
		}
	}
	if o.programs.limits == "" || len(args) == flags {
		return nil
	}
	cmd := exec.CommandContext(ctx, o.programs.limits, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("limits: %w", err)
	}
	var figures map[string]float64
	if err := json.Unmarshal(out, &figures); err != nil {
		return fmt.Errorf("limits: %w", err)
	}
	for name, v := range figures {
		r.addLimit(name, v, round)
	}
	return nil
}
