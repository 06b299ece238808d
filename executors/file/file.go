package file

import (
	"context"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/headers"
	"github.com/taskgrove/taskgrove/executors/network"
)

// ID is the executor's id.
const ID = "file_executor"

// Place is where the tasks of a pool may use files of the worker's host.
type Place struct {
	Root     string // directory; empty: nowhere
	ReadOnly bool
}

// Config configures a worker's work with files.
type Config struct {
	Network *network.Network
	// Place is where the tasks of a pool may use files; nil: nowhere.
	Place func(pool string) Place
	// MaxBytes is how much is kept of a text that is read, and of a list; a task may ask for less. 0: 1 MiB.
	MaxBytes int
	// MaxUnpackedBytes is how much an archive may hold, unpacked; a task may ask for less. 0: 10 GiB.
	MaxUnpackedBytes int64
}

// Executor is file_executor.
type Executor struct{ cfg Config }

// New makes one.
func New(cfg Config) *Executor {
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = executors.DefaultOutputBytes
	}
	if cfg.MaxUnpackedBytes <= 0 {
		cfg.MaxUnpackedBytes = 10 << 30
	}
	if cfg.Place == nil {
		cfg.Place = func(string) Place { return Place{} }
	}
	return &Executor{cfg}
}

// Describe implements [executors.Executor].
func (*Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "File Executor", Type: "file",
		Description: "Copies, moves, lists, checks, packs and unpacks files and objects of S3-compatible stores",
		Tags:        []string{"file", "s3", "archive", "checksum"},
		Inputs:      inputSchema, Output: outputSchema,
		Kinds:      append(headers.Kinds(), executors.ErrorKind{Word: KindFile, Text: "What the file system says, or what lies there"}),
		Cancelable: true, Secrets: true,
		Connection: &executors.Connection{
			Types: []string{"s3"},
			Fields: []string{"endpoint", "region", "access_key", "secret_key", "session_token", "path_style",
				"identity", "role_arn", "token_file", "sts_endpoint"},
		},
		Examples: examples,
	}
}

// Demo implements [executors.Demonstrator].
func (*Executor) Demo(*executors.Call) (any, time.Duration) {
	return &Result{Operation: "copy", Source: "in/data.csv", Destination: "s3://bucket/data.csv", Files: new(1), Bytes: new(int64(1024))}, 200 * time.Millisecond
}

// Result is what was done. Fields that an operation has nothing for are left out.
type Result struct {
	Operation       string   `json:"operation"`
	Path            string   `json:"path,omitempty"`
	Source          string   `json:"source,omitempty"`
	Destination     string   `json:"destination,omitempty"`
	Files           *int     `json:"files,omitempty"`
	Bytes           *int64   `json:"bytes,omitempty"`
	Algorithm       string   `json:"algorithm,omitempty"`
	Checksum        string   `json:"checksum,omitempty"`
	Exists          *bool    `json:"exists,omitempty"`
	Entry           *Entry   `json:"entry,omitempty"`
	Entries         []Entry  `json:"entries,omitzero"`
	Cursor          string   `json:"cursor,omitempty"`
	Content         *string  `json:"content,omitempty"`
	Encoding        string   `json:"encoding,omitempty"`
	Truncated       bool     `json:"truncated,omitempty"`
	TruncatedFields []string `json:"truncated_fields,omitempty"`

	kept *executors.FileRef // what content is, instead of a text
}

// shown is the result as others see it.
func (r *Result) shown() any {
	if r.kept == nil {
		return r
	}
	return struct {
		*Result
		Content *executors.FileRef `json:"content"`
	}{r, r.kept}
}

// Entry describes a file, directory or object.
type Entry struct {
	Path     string `json:"path"`
	Type     string `json:"type"` // file, directory, symlink or other
	Size     int64  `json:"size"`
	Modified string `json:"modified,omitempty"` // RFC 3339
	ETag     string `json:"etag,omitempty"`
}

// Run implements [executors.Executor].
func (e *Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	in, err := decode(call)
	if err != nil {
		return nil, err
	}
	if err := in.check(&e.cfg); err != nil {
		return nil, err
	}
	ctx, cancel, err := executors.LimitTime(ctx, ID, in.Timeout, "File timeout")
	if err != nil {
		return nil, err
	}
	defer cancel()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	w := &work{in: in, call: call, cfg: &e.cfg, progress: newProgress(call.Reporter)}
	defer w.close()
	result, err := w.do(ctx)
	if err == nil && len(call.Artifacts) > 0 {
		err = w.collect(ctx)
	}
	if err != nil {
		return nil, executors.Ended(ctx, classed(in, err))
	}
	return executors.Completed(result.shown()), nil
}

func invalid(reason string) error { return executors.Invalid(ID, reason) }
