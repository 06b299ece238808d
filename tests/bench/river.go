package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// riverJobs is how many jobs River does at each point: half of the flat tree's tasks, as it does them twice. Its table stays
// smaller so, which is to its advantage.
const riverJobs = 50_000

// riverWithWorkers puts no-op jobs through River, once for each number of workers, by the peers program, which tunes River as its
// authors do for their benchmark. Each time has a fresh Postgres with the settings that ours has.
func riverWithWorkers(ctx context.Context, o options) (figures []measured, err error) {
	if o.programs.peers == "" {
		return nil, nil
	}
	for _, workers := range o.riverWorkers {
		more, err := river(ctx, o, workers)
		if err != nil {
			return figures, fmt.Errorf("%d workers: %w", workers, err)
		}
		figures = append(figures, more...)
	}
	return figures, nil
}

// riverName is what River's rate with a number of workers is called.
func riverName(jobs, workers int) string { return fmt.Sprintf("River %d, %d workers", jobs, workers) }

// What the peers program calls the two ways of doing all the work, insertion included. The faster one counts.
const (
	riverSerial   = "insert, then work (serial)"
	riverTogether = "insert and work together"
)

// river runs River once.
func river(ctx context.Context, o options, workers int) ([]measured, error) {
	dir, err := dataDir(o)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	pg, err := startPostgres(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	defer pg.Stop()
	cmd := exec.CommandContext(ctx, o.programs.peers, "-runs", "1", "river", "-dsn", pg.URL(), "-jobs", strconv.Itoa(o.riverJobs), "-workers", strconv.Itoa(workers))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	said := peerFigures(string(out))
	name := riverName(o.riverJobs, workers)
	rate := max(said[riverSerial], said[riverTogether])
	if rate == 0 {
		return nil, fmt.Errorf("no rate in what %s printed: %s", filepath.Base(o.programs.peers), out)
	}
	figures := []measured{{figure{name, "tasks/s", rate}, workers, 1}}
	for _, f := range []figure{
		{name + ": inserted before", "tasks/s", said[riverSerial]},
		{name + ": inserted meanwhile", "tasks/s", said[riverTogether]},
		{name + ": hop p50", "ms", said["hop (job inserts the next), p50"]},
		{name + ": hop p99", "ms", said["hop p99"]},
	} {
		figures = append(figures, measured{f, workers, 1})
	}
	return figures, nil
}

// peerLine is a line of the peers program: who, what, the median, its unit, and the runs.
var peerLine = regexp.MustCompile(`(?m)^\S+ +(\S.*?) +([0-9.]+) +(?:/s|ms) +runs:`)

// peerFigures are the figures that the peers program printed, by their names.
func peerFigures(text string) map[string]float64 {
	said := map[string]float64{}
	for _, m := range peerLine.FindAllStringSubmatch(text, -1) {
		if v, err := strconv.ParseFloat(m[2], 64); err == nil {
			said[m[1]] = v
		}
	}
	return said
}
