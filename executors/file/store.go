package file

import (
	"context"
	"crypto/md5"  //nolint:gosec // asked for, and S3's own
	"crypto/sha1" //nolint:gosec // asked for
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"time"
)

// info is what a store knows of a file.
type info struct {
	path     string // within the store: path below the root, or key
	kind     string // file, directory, symlink or other
	size     int64
	modified time.Time
	etag     string
	mode     fs.FileMode
}

func (i info) entry(l location) Entry {
	l.name, l.dir = i.path, i.kind == "directory"
	e := Entry{Path: l.String(), Type: i.kind, Size: i.size, ETag: i.etag}
	if i.kind == "directory" {
		e.Size = 0
	}
	if !i.modified.IsZero() {
		e.Modified = i.modified.UTC().Format(time.RFC3339Nano)
	}
	return e
}

// store is the worker's root, or a bucket. Errors about what is not there are [fs.ErrNotExist], about what is there already [fs.ErrExist].
type store interface {
	// stat does not follow a symbolic link at the name's end.
	stat(ctx context.Context, name string) (info, error)
	// open opens a plain file for reading, and says what it is.
	open(ctx context.Context, name string) (io.ReadCloser, info, error)
	// create makes a file that is not in its place before it is committed. size is -1 if it is not known.
	create(ctx context.Context, name string, size int64, o createOptions) (upload, error)
	// remove removes a file, or an empty directory. What is not there is no error.
	remove(ctx context.Context, name string) error
	// list gives up to limit entries below a directory by their path, from the one behind the cursor. next is the cursor for those left, or empty.
	list(ctx context.Context, dir string, recursive bool, cursor string, limit int) (entries []info, next string, err error)
}

// createOptions say how a file gets into its place.
type createOptions struct {
	overwrite bool // what is there
	mode      fs.FileMode
}

// upload is a file on its way. Its owner ends it by commit or abort, and may abort it after a failed commit.
type upload interface {
	io.Writer
	commit(ctx context.Context) error
	abort()
}

// newSum is nil without an algorithm.
func newSum(algorithm string) hash.Hash {
	switch algorithm {
	case "sha256":
		return sha256.New()
	case "sha512":
		return sha512.New()
	case "sha1":
		return sha1.New() //nolint:gosec // asked for
	case "md5":
		return md5.New() //nolint:gosec // asked for
	case "crc32c":
		return crc32.New(crc32.MakeTable(crc32.Castagnoli))
	}
	return nil
}
