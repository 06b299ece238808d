package workerfile

import "path"

// Files is where the tasks of a pool may use files of the worker's host.
type Files struct {
	Root     string `file:"root"`      // directory, as an absolute path; empty: that of the worker's settings
	Off      bool   `file:"off"`       // no files at all
	ReadOnly bool   `file:"read_only"` // no file is written, moved or deleted
}

// Check looks at the path.
func (f *Files) Check(at Place) {
	if f.Root != "" && !path.IsAbs(f.Root) {
		at.Fault("root", "want an absolute path")
	}
	if f.Root != "" && f.Off {
		at.Fault("off", "a pool has a root or no files, not both")
	}
}
