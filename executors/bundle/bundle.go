// Package bundle fetches bundles: versioned directories of flows, profiles, files of the environment and templates, which a manifest says the source of.
//
// It owns what a source is, which paths a bundle may have, how big it may be, the fingerprint of a version, and how one is fetched so that a directory by a fingerprint
// is whole or not there, and never changes. It must not know how any kind of source is spoken to (package sources does), what a manifest looks like (package flows
// reads it), or what runs of the bundle.
package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/executors/resource"
)

// Bounds of a bundle.
const (
	MaxFiles     = 20_000
	MaxFileBytes = 256 << 20 // of one file
	MaxBytes     = 1 << 30   // of all files
	MaxDepth     = 32        // directories on the way to a file
	MaxPathBytes = 1000
	maxNameBytes = 255
)

// Types of sources.
const (
	Filesystem = "filesystem" // a directory of this host
	SFTP       = "sftp"
	SMB        = "smb"
	Database   = "db"
	REST       = "rest"
	Git        = "git"
	HTTP       = "http" // an archive behind a URL
)

// Origin is where a bundle comes from: the section bundle.source of a manifest, its defaults filled in.
type Origin struct {
	Type     string
	Resource string // name in the manifest's resources; empty: none
	BasePath string // of filesystem, sftp and smb
	Bundle   string // its name at a source of type db or rest

	ListSQL, FetchSQL                string // of db: empty is the table assets(bundle, path, sha256, data, updated_at, size); parameters :bundle and :path
	ListPath, FetchPath, PrefixParam string // of rest
	URL, Ref, Subdir                 string // of git; URL and Subdir of http, too
	SHA256                           string // of the archive of http, in lower case; empty: nobody said it

	StrictFingerprint bool // the content of each file counts, not only its size and time
}

// Spec is what a manifest says of its bundle.
type Spec struct {
	ID           string
	Origin       Origin
	EntryFlow    string // path in the bundle
	ProfilesFile string // path in the bundle
	FlowsDir     string // path in the bundle; empty: none is said
	PluginsDir   string // likewise
	Always       bool   // everything is fetched anew, whatever the fingerprint says
}

// File is one of a source.
type File struct {
	Path     string    // in the bundle, with slashes
	Size     int64     // bytes; -1: not known before it is read
	Modified time.Time // zero: not known
	SHA256   string    // in lower-case hex; empty: not known
	Link     bool      // it is no regular file, and so refused: a symbolic link, a device, a pipe
}

// Source has the files of a bundle. Its methods are called by one goroutine at a time. Errors name no secret.
type Source interface {
	// List gives all files, in any order; directories are none. A source stops at MaxFiles+1 of them, which is refused.
	List(ctx context.Context) ([]File, error)
	// Open reads one of the files that List gave. The reader may give more or less than the file's size, which is refused.
	Open(ctx context.Context, f File) (io.ReadCloser, error)
	Close() error
}

// Place is what a source is opened by.
type Place struct {
	Spec *Spec
	Dir  string // of the manifest: relative paths of filesystem are below it
	// Connection is that of the resource which the source names, rendered and decoded; nil: it names none.
	Connection *resource.Connection
}

// ErrSource is what errors of a source are, for callers that go on with what they have: it can't be reached, or does not give its files.
var ErrSource = errors.New("the source of the bundle")

// BadPath says why a path can't be one of a file in a bundle; empty: it can.
func BadPath(p string) string {
	switch {
	case p == "":
		return "is empty"
	case len(p) > MaxPathBytes:
		return fmt.Sprintf("is longer than %d bytes", MaxPathBytes)
	case !utf8.ValidString(p):
		return "is not UTF-8"
	case strings.HasPrefix(p, "/") || len(p) > 1 && p[1] == ':':
		return "is absolute"
	case strings.Contains(p, `\`):
		return `has a \ in it: write / between directories`
	case !fs.ValidPath(p) || p == ".":
		return "leads elsewhere, or has empty parts"
	case strings.ContainsFunc(p, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.In(r, unicode.Zl, unicode.Zp) || r == utf8.RuneError
	}):
		return "has characters that can't be seen"
	}
	parts := strings.Split(p, "/")
	if len(parts)-1 > MaxDepth {
		return fmt.Sprintf("is more than %d directories deep", MaxDepth)
	}
	for _, part := range parts {
		if len(part) > maxNameBytes {
			return fmt.Sprintf("has a part that is longer than %d bytes", maxNameBytes)
		}
		if strings.TrimSpace(part) != part {
			return "has a part with a blank at its end"
		}
	}
	return ""
}
