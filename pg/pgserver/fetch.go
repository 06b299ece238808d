package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	embedded "github.com/fergusstrange/embedded-postgres"
)

// versions are the releases that the embedded-postgres library knows, by major version; 18 is for new clusters.
var versions = map[int]embedded.PostgresVersion{0: embedded.V18, 15: embedded.V15, 16: embedded.V16, 17: embedded.V17, 18: embedded.V18}

// repository is the address that binaries come from; empty is the library's own. Tests set it.
var repository string

// fetch downloads the binaries of a major version (zero: the library's newest) into a directory below to, unless an
// earlier call did, and returns where postgres and initdb are.
//
// The library downloads, checks and unpacks only on the way to starting a server of its own, on a data directory that it
// feels free to delete. So it is given a throw-away one: as root its initdb refuses, otherwise its server runs for a
// moment; the binaries stay in either case, and they are what counts.
func fetch(ctx context.Context, to string, major int, as *account) (string, error) {
	version, ok := versions[major]
	if !ok {
		return "", fmt.Errorf("Postgres %d can't be fetched", major)
	}
	dir := filepath.Join(to, string(version))
	bin := filepath.Join(dir, "bin")
	if _, err := os.Stat(filepath.Join(dir, "complete")); err == nil {
		return bin, nil
	}
	scratch, err := os.MkdirTemp("", "taskgrove-fetch-")
	if err != nil {
		return "", err
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	cfg := embedded.DefaultConfig().Version(version).Port(uint32(port)).Logger(io.Discard).BinariesPath(dir).
		CachePath(filepath.Join(to, "archives")).RuntimePath(filepath.Join(scratch, "run")).DataPath(filepath.Join(scratch, "data"))
	if repository != "" {
		cfg = cfg.BinaryRepositoryURL(repository)
	}
	ended := make(chan error, 1) // one value, sent without waiting for the reader
	go func() {
		defer os.RemoveAll(scratch)
		server := embedded.NewDatabase(cfg)
		err := server.Start()
		if err == nil {
			err = server.Stop()
		}
		ended <- err
	}()
	select {
	case <-ctx.Done(): // the library can't be interrupted: its download ends by itself
		return "", context.Cause(ctx)
	case err = <-ended:
	}
	for _, name := range []string{"postgres", "initdb"} {
		if _, statErr := os.Stat(filepath.Join(bin, name)); statErr != nil {
			return "", errors.Join(err, statErr)
		}
	}
	if err := giveTree(to, as); err != nil {
		return "", err
	}
	return bin, writeSynced(filepath.Join(dir, "complete"), string(version)+"\n")
}

// giveTree gives everything below dir to the account.
func giveTree(dir string, as *account) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return as.own(path)
	})
}
