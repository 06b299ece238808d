package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

const filesField = `
    "files": {"type": ["array", "string", "object"], "items": {"type": ["string", "object"]}, "description": "Which files: what a list of files gave, or paths on the server. Or the JSON of such a list as a text"}`

const parallelField = `
    "parallelism": {"type": ["object", "null"], "description": "How many files are on their way at once", "properties": {
      "enabled": {"type": ["boolean", "string", "null"], "default": true, "description": "false: one after the other"},
      "workers": {"type": ["integer", "string", "null"], "default": 8, "description": "How many, 32 at most"},
      "fail_fast": {"type": ["boolean", "string", "null"], "default": true, "description": "Begin no more files once one has failed; false: all are tried, and then the task fails"}}}`

// Downloaded are files that were downloaded.
type Downloaded struct {
	Local []string `json:"local_files"`
	Dest  string   `json:"dest_dir"`
}

var downloading = &doing{
	name: "download_files", title: "Download Files", text: "Downloads files of another host into a directory, with the directories that they are in",
	inputs: filesField + `,
    "dest_dir": {"type": "string", "description": "Where they go: each below it by its rel_path, or its name if it has none"},` + parallelField,
	required: []string{"files", "dest_dir"},
	output: json.RawMessage(`{"type": "object", "properties": {
    "local_files": {"type": "array", "items": {"type": "string"}, "description": "The files here, in the order of the input"},
    "dest_dir": {"type": "string", "description": "Where they are"}},
  "required": ["local_files", "dest_dir"]}`),
	examples: []executors.Example{{Title: "Download two files", Inputs: json.RawMessage(`{"files": ["/out/a.csv", {"path": "/out/2026/b.csv", "rel_path": "2026/b.csv"}], "dest_dir": "in"}`)}},
	read: func(a *attempt, fault func(string, ...any)) error {
		a.readFiles(fault)
		a.readParallel(fault)
		if strings.TrimSpace(a.in.Dest) == "" {
			fault("dest_dir is required in inputs")
		}
		return nil
	},
	local: func(a *attempt) (err error) {
		if a.dest, err = a.w.At("dest_dir", a.in.Dest); err != nil {
			return err
		}
		seen := map[string]bool{}
		for i, f := range a.files {
			rel := path.Clean(f.Rel)
			switch {
			case !filepath.IsLocal(rel) || rel == "." || strings.ContainsAny(f.Rel, "\x00\\") || hasUp(f.Rel) || len(f.Rel) > maxPath:
				return executors.WithKind(executors.Permanent(fmt.Errorf("%s: files[%d].rel_path: %.200q leads out of dest_dir", workdir.KindEscape, i, f.Rel)), workdir.KindEscape)
			case seen[rel]:
				return executors.Invalid(a.step.ID(), "files: two of them would be "+rel+" below dest_dir")
			}
			seen[rel] = true
			a.files[i].Rel = rel
		}
		return a.dest.Writable("dest_dir")
	},
	run: func(a *attempt, s Server) (any, bool, error) {
		result := &Downloaded{Local: make([]string, len(a.files)), Dest: a.dest.Shown()}
		var total atomic.Int64
		err := a.each(len(a.files), func(i int) error {
			to := a.dest.Below(a.files[i].Rel)
			result.Local[i] = to.Shown()
			return a.download(s, a.files[i], to, &total)
		})
		return result, false, err
	},
	demo: func(in *input) any {
		return &Downloaded{Local: []string{path.Join(in.Dest, "demo.csv")}, Dest: in.Dest}
	},
}

func hasUp(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}

// download writes a file beside its place, and then puts it there.
func (a *attempt) download(s Server, f remoteFile, to workdir.Spot, total *atomic.Int64) error {
	const field = "dest_dir"
	from, size, err := s.Open(f.Path)
	if err != nil {
		return a.there("open", f.Path, err)
	}
	defer func() { _ = from.Close() }()
	a.beat()
	if err := to.Root.MkdirAll(filepath.Dir(to.Name), 0o755); err != nil {
		return fileError(to.Err(field, err))
	}
	temporary := to.Stage(a.call.Attempt)
	file, err := to.Root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fileError(to.Err(field, err))
	}
	wrote, read := a.pour(file, from, func(n int) error {
		size -= int64(n)
		if total.Add(int64(n)) > a.step.cfg.MaxBytes {
			return permanent("files: all together are larger than %d bytes", a.step.cfg.MaxBytes)
		}
		return nil
	})
	closed := file.Close()
	switch {
	case read != nil:
		err = a.there("read", f.Path, read)
	case wrote != nil || closed != nil:
		err = fileError(to.Err(field, errors.Join(wrote, closed)))
	case size > 0:
		err = executors.WithKind(fmt.Errorf("read %q on the server: it ended %d bytes before its end", f.Path, size), KindFile)
	default:
		if info, e := to.Root.Lstat(to.Name); e == nil && info.IsDir() {
			err = permanent("dest_dir: %q is a directory", to.Shown())
		} else {
			err = fileError(to.Err(field, to.Root.Rename(temporary, to.Name)))
		}
	}
	if err != nil {
		_ = to.Root.Remove(temporary)
	}
	return err
}

// pour copies, unless the attempt's context ends, and tells on which side it failed.
func (a *attempt) pour(to io.Writer, from io.Reader, count func(n int) error) (wrote, read error) {
	for chunk := make([]byte, 256<<10); ; {
		if a.ctx.Err() != nil {
			return nil, context.Cause(a.ctx)
		}
		n, read := from.Read(chunk)
		a.beat()
		if bad := count(n); bad != nil {
			return nil, bad
		}
		if _, err := to.Write(chunk[:n]); err != nil {
			return err, nil
		}
		a.beat()
		if errors.Is(read, io.EOF) {
			return nil, nil
		}
		if read != nil {
			return nil, read
		}
	}
}

// Deleted says that files are gone.
type Deleted struct {
	Deleted bool `json:"is_deleted"`
	Count   int  `json:"count"`
}

var deleting = &doing{
	name: "delete_files", title: "Delete Files", text: "Deletes files of another host; those that are gone already are no error",
	inputs: filesField, required: []string{"files"},
	output: json.RawMessage(`{"type": "object", "properties": {
    "is_deleted": {"type": "boolean", "description": "None of the files is there any more"},
    "count": {"type": "integer", "description": "How many this attempt has deleted"}},
  "required": ["is_deleted", "count"]}`),
	examples: []executors.Example{{Title: "Delete what was fetched", Inputs: json.RawMessage(`{"files": ["/out/a.csv", "/out/b.csv"]}`)}},
	read:     func(a *attempt, fault func(string, ...any)) error { a.readFiles(fault); return nil },
	local:    func(*attempt) error { return nil },
	run: func(a *attempt, s Server) (any, bool, error) {
		result := &Deleted{Deleted: true}
		for i, f := range a.files {
			if a.ctx.Err() != nil {
				return nil, false, context.Cause(a.ctx)
			}
			err := s.Remove(f.Path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, false, a.there("delete", f.Path, err)
			}
			if err == nil {
				result.Count++
			}
			a.beat()
			a.call.Reporter.Progress(float64(i+1)/float64(len(a.files)), "deleted "+f.Path)
		}
		return result, false, nil
	},
	demo: func(in *input) any { return &Deleted{Deleted: true, Count: len(in.Files)} },
}
