package reference

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"runtime"

	"github.com/taskgrove/taskgrove/executors"
)

// Files are the pages of executors and their overview, by their paths below root, the directory of the module. It reads the prose
// from there. make makes the executors; it is called several times, under another number of cores each, which it must not cache.
func Files(root string, make func() []executors.Executor) (map[string][]byte, error) {
	all, err := entries(root, make)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, e := range all {
		if files["docs/executors/"+e.ID+".md"], err = Page(e); err != nil {
			return nil, err
		}
	}
	const overview = "docs/executors.md"
	page, err := os.ReadFile(filepath.Join(root, overview))
	if err != nil {
		return nil, err
	}
	if files[overview], err = Overview(page, all); err != nil {
		return nil, fmt.Errorf("%s: %w", overview, err)
	}
	return files, nil
}

func entries(root string, make func() []executors.Executor) ([]Entry, error) {
	few, many := slotsUnder(3, make), slotsUnder(5, make)
	var all []Entry
	for _, e := range make() {
		d := e.Describe()
		one := Entry{Description: d, PerCore: few[d.ID] == 3 && many[d.ID] == 5}
		switch off := e.(type) {
		case switched:
			one.Off = off.SwitchedOff()
		case executors.Disabler:
			one.Off = off.Disabled()
		}
		prose, err := os.ReadFile(filepath.Join(root, "executors", folder(e), "page.md"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		one.Prose = string(prose)
		all = append(all, one)
		release(e)
	}
	return all, nil
}

// switched is an executor that may also be off because of what this machine lacks, which is not for the manual to tell.
type switched interface{ SwitchedOff() string }

// slotsUnder is what the executors say of their slots on a machine with so many cores.
func slotsUnder(cores int, make func() []executors.Executor) map[string]int {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
	slots := map[string]int{}
	for _, e := range make() {
		d := e.Describe()
		slots[d.ID] = d.Concurrency
		release(e)
	}
	return slots
}

func release(e executors.Executor) {
	if c, ok := e.(io.Closer); ok {
		_ = c.Close() // it did nothing
	}
}

// folder is the directory of an executor's package below executors.
func folder(e executors.Executor) string {
	t := reflect.TypeOf(e)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return path.Base(t.PkgPath())
}
