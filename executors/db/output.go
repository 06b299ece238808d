package db

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/table"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// output is a file that is there whole or not at all: it is written beside its place, and then renamed.
type output struct {
	at    workdir.Spot
	temp  string // below at.Root, of this attempt alone
	older []string
	file  *os.File // nil: not open
	to    *bufio.Writer
	hash  hash.Hash
}

const outputField = "output"

// maxPathBytes bounds the path of a file, and with it how many directories are made for one.
const maxPathBytes = 4096

// newOutput finds the place of a file, and says what is wrong with it. Nothing is made.
func newOutput(w *workdir.Workspace, call *executors.Call, path string) (*output, error) {
	at, err := w.At(outputField, path)
	if err == nil {
		err = at.Writable(outputField)
	}
	if err != nil {
		return nil, err
	}
	wrong := func(what string) error {
		return executors.Permanent(fmt.Errorf("%s: %.200q %s", outputField, path, what))
	}
	if len(path) > maxPathBytes {
		return nil, executors.Permanent(fmt.Errorf("%s: is longer than %d bytes", outputField, maxPathBytes))
	}
	if at.Name == "." || os.IsPathSeparator(path[len(path)-1]) || filepath.Base(path) == "." {
		return nil, wrong("is a directory, and not the name of a file")
	}
	switch info, err := at.Root.Lstat(at.Name); {
	case err == nil && info.IsDir():
		return nil, wrong("is a directory")
	case err == nil && !info.Mode().IsRegular() && info.Mode()&fs.ModeSymlink == 0:
		return nil, wrong("is there, and is no file")
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, at.Err(outputField, err)
	}
	task := sha256.Sum256([]byte(call.TreeID + "/" + call.TaskID))
	o := &output{at: at}
	for number := max(1, call.Attempt-100); number <= call.Attempt; number++ {
		o.temp = fmt.Sprintf("%s.%s.%d.tmp", at.Name, hex.EncodeToString(task[:4]), number)
		o.older = append(o.older, o.temp)
	}
	return o, nil
}

// open makes the file, and its directory, and removes what attempts have left that were killed.
func (o *output) open() (io.Writer, error) {
	root := o.at.Root
	if dir := filepath.Dir(o.at.Name); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return nil, o.at.Err(outputField, err)
		}
	}
	for _, name := range o.older {
		_ = root.Remove(name)
	}
	file, err := root.OpenFile(o.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, o.at.Err(outputField, err)
	}
	o.file, o.hash = file, sha256.New()
	o.to = bufio.NewWriterSize(o, 256<<10)
	return o.to, nil
}

// Write implements [io.Writer], for the buffer.
func (o *output) Write(p []byte) (int, error) {
	_, _ = o.hash.Write(p) // it never fails
	return o.file.Write(p)
}

// err is an error of a writer, as users see it.
func (o *output) err(err error) error {
	if _, ok := errors.AsType[*table.CellError](err); ok {
		return err
	}
	return o.at.Err(outputField, err)
}

// publish gives the file its name.
func (o *output) publish() error {
	err := o.to.Flush()
	if err == nil {
		err = o.file.Sync()
	}
	err = errors.Join(err, o.file.Close())
	o.file = nil
	if err == nil {
		err = o.at.Root.Rename(o.temp, o.at.Name)
	}
	if err != nil {
		_ = o.at.Root.Remove(o.temp)
	}
	return o.at.Err(outputField, err)
}

// discard removes the file, unless it was published.
func (o *output) discard() {
	if o.file != nil {
		_ = o.file.Close()
		_ = o.at.Root.Remove(o.temp)
		o.file = nil
	}
}

// sum is the digest of what was written, in hex.
func (o *output) sum() string { return hex.EncodeToString(o.hash.Sum(nil)) }
