package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	embedded "github.com/fergusstrange/embedded-postgres"
)

// versions are the releases that the embedded-postgres library knows, by major version; 18 is for new clusters.
var versions = map[int]embedded.PostgresVersion{0: embedded.V18, 15: embedded.V15, 16: embedded.V16, 17: embedded.V17, 18: embedded.V18}

// repository is the address that binaries come from; empty is the library's own. Tests set it.
var repository string

// cache is where fetched binaries are kept, one directory a version, for all servers of this machine: where every user
// may go when we are root, whose server is another user's.
func cache() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/taskgrove", nil
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "taskgrove"), err
}

// fetch returns the directory of the binaries of a major version (zero: the library's newest), which it downloads into
// the cache unless an earlier call did. The library's download can't be interrupted: when ctx ends first, fetch returns,
// and its goroutine ends with the download, leaving a complete version in the cache or nothing.
func fetch(ctx context.Context, cache string, major int) (string, error) {
	version, ok := versions[major]
	if !ok {
		return "", fmt.Errorf("no Postgres %d to fetch", major)
	}
	dir := filepath.Join(cache, "postgres-"+string(version))
	if _, err := os.Stat(dir); err == nil {
		return filepath.Join(dir, "bin"), nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	scratch, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return "", err
	}
	ended := make(chan error, 1) // one value, sent without waiting for the reader
	go func() {
		err := download(version, scratch, dir)
		ended <- errors.Join(err, os.RemoveAll(scratch))
	}()
	select {
	case err := <-ended:
		return filepath.Join(dir, "bin"), err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// download unpacks a version below scratch and moves it to dir when complete.
//
// The library downloads, checks and unpacks only on the way to starting a server of its own. It gets a data directory
// that it takes for a cluster and that Postgres refuses, so that it stops right after unpacking: its error is expected,
// and the files say whether it got that far.
func download(version embedded.PostgresVersion, scratch, dir string) error {
	data, unpacked := filepath.Join(scratch, "data"), filepath.Join(scratch, "unpacked")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	major, _, _ := strings.Cut(string(version), ".")
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte(major+"\n"), 0o600); err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	cfg := embedded.DefaultConfig().Version(version).Port(uint32(port)).Logger(io.Discard).BinariesPath(unpacked).
		CachePath(filepath.Join(scratch, "archive")).RuntimePath(filepath.Join(scratch, "run")).DataPath(data)
	if repository != "" {
		cfg = cfg.BinaryRepositoryURL(repository)
	}
	server := embedded.NewDatabase(cfg)
	err = server.Start()
	if err == nil {
		err = errors.Join(errors.New("a server started where none could"), server.Stop())
	}
	for _, name := range []string{"postgres", "initdb"} {
		if _, statErr := os.Stat(filepath.Join(unpacked, "bin", name)); statErr != nil {
			return err
		}
	}
	if err := os.Chmod(unpacked, 0o755); err != nil {
		return err
	}
	if err := os.Rename(unpacked, dir); err != nil && !errors.Is(err, os.ErrExist) {
		return err // ErrExist: another process was quicker, with the same files
	}
	return nil
}
