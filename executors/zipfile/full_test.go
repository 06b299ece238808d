package zipfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// fullDisk is an archive for which there is no room.
type fullDisk struct{}

func (fullDisk) file(string, fs.FileInfo) (io.Writer, error) { return fullDisk{}, nil }
func (fullDisk) Write([]byte) (int, error) {
	return 0, &fs.PathError{Op: "write", Path: "/work/o.zip", Err: syscall.ENOSPC}
}
func (fullDisk) Close() error { return nil }

// TestADiskThatIsFull: what is told is where there is no room, not the file that was read; another attempt may find room.
func TestADiskThatIsFull(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := workdir.OpenSandbox(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	at, err := s.At("items", "x")
	dest, failed := s.At("dest_path", "o.zip")
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	p := &packing{ctx: t.Context(), dest: dest}
	err = p.one(fullDisk{}, "x", at)
	if !errors.Is(err, syscall.ENOSPC) || executors.IsPermanent(err) || !strings.Contains(err.Error(), "dest_path: \"o.zip\": no space left on device") || executors.KindOf(err) != KindFile {
		t.Errorf("%v, of kind %q", err, executors.KindOf(err))
	}
}
