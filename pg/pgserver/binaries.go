package pgserver

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// oldest is the first major version that our SQL is written for.
const oldest = 15

// binaries is a directory with postgres and initdb of one version.
type binaries struct {
	dir   string
	major int
}

// search says which binaries will do.
type search struct {
	binDir string   // only this directory; empty: wherever they are
	major  int      // the version of the data directory; zero: any from oldest on
	as     *account // who must be able to run them
}

// places are the usual ones; tests have others.
var places = usual

// usual is where packages put binaries, as patterns, several versions beside one another.
var usual = []string{
	"/usr/lib/postgresql/*/bin",         // Debian, Ubuntu
	"/usr/pgsql-*/bin",                  // Red Hat, from PostgreSQL's own repository
	"/opt/homebrew/opt/postgresql*/bin", // Homebrew on ARM
	"/usr/local/opt/postgresql*/bin",    // Homebrew on Intel
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
	"/usr/libexec/postgresql*", // Alpine
	"/usr/lib64/pgsql/bin",
}

// findBinaries returns the first directory that fits: BinDir, or PATH, the usual places newest first, the network.
func findBinaries(ctx context.Context, s search) (binaries, error) {
	if s.binDir != "" {
		bin, err := s.inspect(ctx, s.binDir)
		if err != nil {
			return binaries{}, err
		}
		return bin, s.fits(bin)
	}
	var refused []error
	for bin, err := range s.candidates(ctx) {
		if err == nil {
			err = s.fits(bin)
		}
		if err == nil {
			return bin, nil
		}
		refused = append(refused, err)
	}
	kept, err := cache()
	if err != nil {
		return binaries{}, err
	}
	dir, err := fetch(ctx, kept, s.major)
	if err != nil {
		return binaries{}, fmt.Errorf("no usable Postgres %d or later on this machine %v, and fetching one did not work: %w",
			max(oldest, s.major), refused, err)
	}
	bin, err := s.inspect(ctx, dir)
	if err != nil {
		return binaries{}, err
	}
	return bin, s.fits(bin)
}

// candidates are the binaries of this machine, or why they can't be told: those on the PATH, then those in the usual places, newest
// first. Each is run once, and the usual places only if the PATH's are passed over: every run costs some 20 ms of a start.
func (s search) candidates(ctx context.Context) iter.Seq2[binaries, error] {
	return func(yield func(binaries, error) bool) {
		onPath := ""
		if path, err := exec.LookPath("postgres"); err == nil {
			if real, err := filepath.EvalSymlinks(path); err == nil {
				path = real // a link alone in a directory of links: initdb lies beside the real one
			}
			onPath = filepath.Dir(path)
			if !yield(s.inspect(ctx, onPath)) {
				return
			}
		}
		var found []binaries
		for _, pattern := range places {
			dirs, _ := filepath.Glob(pattern) // the only error is a bad pattern
			for _, dir := range dirs {
				if dir == onPath {
					continue
				}
				if bin, err := s.inspect(ctx, dir); err == nil {
					found = append(found, bin)
				}
			}
		}
		slices.SortStableFunc(found, func(a, b binaries) int { return cmp.Compare(b.major, a.major) })
		for _, bin := range found {
			if !yield(bin, nil) {
				return
			}
		}
	}
}

// versionText is what `postgres --version` says: "postgres (PostgreSQL) 15.14 (Debian 15.14-0)", "... 18beta1".
var versionText = regexp.MustCompile(`^postgres \(PostgreSQL\) (\d+)`)

// inspect asks the postgres in dir for its version, as the account that is going to run it.
func (s search) inspect(ctx context.Context, dir string) (binaries, error) {
	for _, name := range []string{"postgres", "initdb"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return binaries{}, err
		}
	}
	out, err := run(ctx, s.as, "/", filepath.Join(dir, "postgres"), "--version")
	if err != nil {
		return binaries{}, fmt.Errorf("version of %s: %w", filepath.Join(dir, "postgres"), err)
	}
	match := versionText.FindSubmatch(out)
	if match == nil {
		return binaries{}, fmt.Errorf("version of %s: %q is not Postgres's", filepath.Join(dir, "postgres"), out)
	}
	major, err := strconv.Atoi(string(match[1]))
	return binaries{dir, major}, err
}

// fits returns why the binaries can't be used, or nil.
func (s search) fits(bin binaries) error {
	switch {
	case bin.major < oldest:
		return fmt.Errorf("%s is Postgres %d, and %d or later is needed", bin.dir, bin.major, oldest)
	case s.major != 0 && bin.major != s.major:
		return fmt.Errorf("%s is Postgres %d, and the data directory was made by %d", bin.dir, bin.major, s.major)
	}
	return nil
}
