package transfer

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
)

// Listed are files of a directory on the server.
type Listed struct {
	HasData bool         `json:"has_data"`
	Count   int          `json:"count"`
	Files   []remoteFile `json:"files"`
	Text    string       `json:"reason_text,omitempty"`
}

var listing = &doing{
	name: "list_files", title: "List Files", text: "Lists the files of a directory on another host, and is skipped if there are too few",
	inputs: `
    "remote_dir": {"type": "string", "description": "The directory on the server"},
    "pattern": {"type": ["string", "null"], "default": "*", "description": "Which files, by their names: with * ? and [a-z]"},
    "recursive": {"type": ["boolean", "string", "null"], "default": false, "description": "Those of the directories below it, too"},
    "min_count": {"type": ["integer", "string", "null"], "default": 1, "description": "How many there must be, or the task is skipped"}`,
	required: []string{"remote_dir"},
	output: json.RawMessage(`{"type": "object", "properties": {
    "has_data": {"type": "boolean", "description": "There are enough files"},
    "count": {"type": "integer", "description": "How many there are"},
    "files": {"type": "array", "description": "The files, in the order of rel_path; none if there are too few. Directories are never among them", "items": {"type": "object", "properties": {
      "name": {"type": "string", "description": "The last part of the path"},
      "path": {"type": "string", "description": "On the server"},
      "rel_path": {"type": "string", "description": "Below remote_dir"},
      "is_dir": {"type": "boolean", "description": "Always false"},
      "size": {"type": "integer", "description": "In bytes"},
      "mtime": {"type": "integer", "description": "When it was changed, in seconds since 1970"}}}},
    "skipped": {"type": "boolean", "description": "Present and true when there are too few"},
    "reason": {"type": "string", "description": "Then: no_files"},
    "reason_text": {"type": "string", "description": "Then: how many there are, and how many there must be"}},
  "required": ["has_data", "count", "files"]}`),
	examples: []executors.Example{{Title: "Look for new files", Inputs: json.RawMessage(`{"remote_dir": "/out", "pattern": "*.csv"}`)}},
	read: func(a *attempt, fault func(string, ...any)) error {
		a.remote = a.clean("remote_dir", a.in.RemoteDir, fault)
		if a.in.Pattern == "" {
			a.in.Pattern = "*"
		}
		a.in.Pattern = strings.ReplaceAll(a.in.Pattern, "[!", "[^")
		if _, err := path.Match(a.in.Pattern, ""); err != nil || strings.Contains(a.in.Pattern, "/") {
			fault("pattern: %q is no pattern of a name", a.in.Pattern)
		}
		return nil
	},
	local: func(*attempt) error { return nil },
	run: func(a *attempt, s Server) (any, bool, error) {
		l := &lister{attempt: a, server: s, found: []remoteFile{}}
		if err := l.walk(a.remote, "", 0); err != nil {
			return nil, false, err
		}
		slices.SortFunc(l.found, func(x, y remoteFile) int { return strings.Compare(x.Rel, y.Rel) })
		count, least := len(l.found), a.in.MinCount.Or(1)
		if int64(count) < least {
			return &Listed{Count: count, Files: []remoteFile{}, Text: fmt.Sprintf("count(%d) < min_count(%d)", count, least)}, true, nil
		}
		return &Listed{HasData: true, Count: count, Files: l.found}, false, nil
	},
	demo: func(in *input) any {
		at := path.Join(in.RemoteDir, "demo.csv")
		return &Listed{HasData: true, Count: 1, Files: []remoteFile{{Name: "demo.csv", Path: at, Rel: "demo.csv", Size: 1024}}}
	},
}

// lister looks through directories.
type lister struct {
	*attempt
	server Server
	found  []remoteFile
	looked int
}

func (l *lister) walk(dir, rel string, depth int) error {
	if depth > maxDepth {
		return permanent("list %q on the server: directories are nested more than %d deep", dir, maxDepth)
	}
	entries, err := l.server.ReadDir(dir)
	if err != nil {
		return l.there("list", dir, err)
	}
	l.beat()
	if l.looked += len(entries); l.looked > maxLooked {
		return permanent("list %q on the server: there are more than %d files and directories", l.remote, maxLooked)
	}
	for _, info := range entries {
		name := info.Name()
		if bad := badName(name); bad != "" {
			return permanent("list %q on the server: the name %.200q %s", dir, name, bad)
		}
		at, below := path.Join(dir, name), path.Join(rel, name)
		switch {
		case info.IsDir():
			if l.in.Recursive.Or(false) {
				if err := l.walk(at, below, depth+1); err != nil {
					return err
				}
			}
			continue
		case info.Mode()&fs.ModeSymlink != 0:
			if matches, _ := path.Match(l.in.Pattern, name); !matches {
				continue
			}
			if info, err = l.server.Stat(at); err != nil {
				continue // it leads nowhere
			}
			l.beat()
		}
		if matches, _ := path.Match(l.in.Pattern, name); !matches || !info.Mode().IsRegular() {
			continue
		}
		l.found = append(l.found, remoteFile{Name: name, Path: at, Rel: below, Size: info.Size(), MTime: info.ModTime().Unix()})
		if len(l.found) > maxListed {
			return permanent("list %q on the server: more than %d files match; choose a narrower pattern", l.remote, maxListed)
		}
	}
	return nil
}

// badName is why a server's name of a file is none.
func badName(name string) string {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || len(name) > 1024 {
		return "is none that a file can have"
	}
	return ""
}
