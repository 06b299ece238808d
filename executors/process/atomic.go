package process

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

const (
	fieldTemp  = "idempotency.temp_output_dir"
	fieldFinal = "idempotency.final_output_dir"
)

// atomicDir is a directory that a program fills, and that then takes the place of another.
type atomicDir struct {
	temp, final workdir.Spot
	each        bool // its entries are moved one by one
}

func newAtomicDir(s *workdir.Sandbox, spec *idempotency) (*atomicDir, error) {
	a := &atomicDir{each: spec.Rename != nil && !*spec.Rename}
	var err error
	if a.temp, err = s.At(fieldTemp, spec.Temp); err == nil {
		err = a.temp.Writable(fieldTemp)
	}
	if err != nil {
		return nil, err
	}
	if a.final, err = s.At(fieldFinal, spec.Final); err == nil {
		err = a.final.Writable(fieldFinal)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case a.temp.Name == "." || a.final.Name == ".":
		return nil, invalid("%s and %s must be below the directory that the task may use, and not that directory itself", fieldTemp, fieldFinal)
	case a.temp.Root != a.final.Root:
		return nil, invalid("%s and %s must be below the same directory", fieldTemp, fieldFinal)
	case within(a.temp.Name, a.final.Name) || within(a.final.Name, a.temp.Name):
		return nil, invalid("%s and %s must not be one in the other", fieldTemp, fieldFinal)
	}
	return a, nil
}

// within reports whether a clean path is another one, or below it.
func within(name, dir string) bool {
	return name == dir || strings.HasPrefix(name, dir+string(filepath.Separator))
}

// instead is where a path is for the time being.
func (a *atomicDir) instead(at workdir.Spot) workdir.Spot {
	if a == nil || at.Root != a.final.Root || !within(at.Name, a.final.Name) {
		return at
	}
	rest, _ := filepath.Rel(a.final.Name, at.Name) // it is below
	return a.temp.Below(rest)
}

// begin makes the directory, which is empty then, whatever an earlier attempt has left.
func (a *atomicDir) begin() error {
	if err := restore(a.final.Root, a.final.Name); err != nil {
		return a.final.Err(fieldFinal, err)
	}
	if err := a.temp.Root.RemoveAll(a.temp.Name); err != nil {
		return a.temp.Err(fieldTemp, err)
	}
	return a.temp.Err(fieldTemp, a.temp.Root.MkdirAll(a.temp.Name, 0o755))
}

// publish puts the output in its place. A reader finds what was there before, or all that is new.
func (a *atomicDir) publish() error {
	if info, err := a.temp.Root.Lstat(a.temp.Name); err != nil {
		return a.temp.Err(fieldTemp, err)
	} else if !info.IsDir() {
		return a.temp.Err(fieldTemp, errors.New("is no directory any more"))
	}
	root := a.final.Root
	if err := root.MkdirAll(filepath.Dir(a.final.Name), 0o755); err != nil {
		return a.final.Err(fieldFinal, err)
	}
	if info, err := root.Lstat(a.final.Name); err == nil && !info.IsDir() {
		return executors.Permanent(fmt.Errorf("%s: what is there is no directory", fieldFinal))
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return a.final.Err(fieldFinal, err)
	}
	if !a.each {
		return a.final.Err(fieldFinal, replace(root, a.temp.Name, a.final.Name))
	}
	if err := root.MkdirAll(a.final.Name, 0o755); err != nil {
		return a.final.Err(fieldFinal, err)
	}
	names, err := a.entries()
	for _, name := range names {
		if err == nil {
			err = a.final.Below(name).Err(fieldFinal, replace(root, filepath.Join(a.temp.Name, name), filepath.Join(a.final.Name, name)))
		}
	}
	if err != nil {
		return err
	}
	return a.temp.Err(fieldTemp, root.RemoveAll(a.temp.Name))
}

func (a *atomicDir) entries() ([]string, error) {
	d, err := a.temp.Root.Open(a.temp.Name)
	if err != nil {
		return nil, a.temp.Err(fieldTemp, err)
	}
	defer d.Close() //nolint:errcheck // it was only read
	names, err := d.Readdirnames(-1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, a.temp.Err(fieldTemp, err)
	}
	slices.Sort(names)
	return names, nil
}
