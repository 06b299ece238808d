package executors

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
)

// FileRef is an artifact as results and inputs show it: a file that a task of the cluster made.
type FileRef struct {
	Artifact  string `json:"artifact"` // its name: a relative path
	SHA256    string `json:"sha256"`   // of its content, in hex
	Size      int64  `json:"size"`     // bytes
	MediaType string `json:"media_type"`
}

// RefOf reads a reference. ok is false of any other value.
func RefOf(value json.RawMessage) (ref FileRef, ok bool) {
	if value = bytes.TrimSpace(value); len(value) == 0 || value[0] != '{' || len(value) > 4<<10 {
		return ref, false
	}
	var seen struct {
		Artifact  *string `json:"artifact"`
		SHA256    *string `json:"sha256"`
		Size      *int64  `json:"size"`
		MediaType string  `json:"media_type"`
	}
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	if d.Decode(&seen) != nil || seen.Artifact == nil || seen.SHA256 == nil || seen.Size == nil || *seen.Size < 0 {
		return ref, false
	}
	if raw, err := hex.DecodeString(*seen.SHA256); err != nil || len(raw) != 32 {
		return ref, false
	}
	return FileRef{*seen.Artifact, *seen.SHA256, *seen.Size, seen.MediaType}, true
}

// SavedFile says what is saved by [Files.Save].
type SavedFile struct {
	Name      string // a relative path with slashes
	MediaType string // empty: application/octet-stream
	Size      int64  // bytes that the content has
	// Output: it is not a file that the task named, but an output that is too large for the result. It is not listed among the result's artifacts.
	Output bool
	// Unlisted: it is a file as it is, with what secrets there are in it, and not listed among the result's artifacts: the steps of a flow's job share it.
	Unlisted bool
}

// Files keeps files of tasks, and gives them back. It is safe for concurrent use.
type Files interface {
	// Save keeps a content as an artifact of the attempt, with a few MiB of it in memory. It reads exactly so many bytes as are said. A file that
	// is no output is added to the result under artifacts. Permanent errors: a bound is reached.
	Save(ctx context.Context, file SavedFile, content io.Reader) (FileRef, error)
	// Open reads an artifact that the attempt's tree may read. The reader fails, instead of ending, where the content is not the one that the
	// reference names; so nothing counts before its end. Permanent errors: there is none.
	Open(ctx context.Context, ref FileRef) (io.ReadCloser, error)
	// MaxOutput is how large an output may be that is saved.
	MaxOutput() int64
}

// JobFiles keep what the steps of a flow's job share. The [Files] of a worker are some. Package workdir is who uses them.
type JobFiles interface {
	Files
	// Newest opens the manifest that the last successful step of a job in the attempt's tree left, and gives its number; nil: there is none.
	Newest(ctx context.Context, job string) (manifest io.ReadCloser, number int, err error)
	// SaveManifest keeps a manifest, which counts once the attempt has succeeded. Its number is one more than that of the newest; that of the first is 1.
	SaveManifest(ctx context.Context, job string, number int, manifest []byte) error
}

// Bundle is a version of a bundle of flows on the worker's host. Nobody changes it.
type Bundle struct {
	ID, Fingerprint string
	Dir             string // all files; an absolute path
	Cache           string // contents, by their SHA-256
}

// JobDirs are the directories on the worker's host in which steps of flows work. Package workdir makes and knows them.
type JobDirs interface {
	// Base is what they are below: an absolute path.
	Base() (string, error)
}
