package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Version is the version of the lines that this package writes.
const Version = 1

// An archived tree is zstd-compressed lines of JSON. Each is an object with one member, which says what the line is: first archive, then tree, its tasks by number,
// each page of them followed by its attempts, usage, files and logs, then events, and last end, without which the object is cut. Times are RFC 3339. Readers pass over
// members that they do not know.

// Line is a line; one of its members is there.
type Line struct {
	Archive *Head    `json:"archive,omitempty"`
	Tree    *Tree    `json:"tree,omitempty"`
	Task    *Task    `json:"task,omitempty"`
	Attempt *Attempt `json:"attempt,omitempty"`
	Usage   *Usage   `json:"usage,omitempty"`
	File    *File    `json:"file,omitempty"`
	Log     *Log     `json:"log,omitempty"`
	Event   *Event   `json:"event,omitempty"`
	End     *End     `json:"end,omitempty"`
}

// Head says what wrote the object.
type Head struct {
	Version int    `json:"version"`
	By      string `json:"by"` // version of the coordinator
}

// Tree is the tree itself.
type Tree struct {
	ID            string            `json:"id"` // of the root
	Number        int64             `json:"number"`
	Namespace     string            `json:"namespace"`
	Name          string            `json:"name"`
	UserID        string            `json:"user_id,omitempty"`
	Labels        map[string]string `json:"labels,omitempty"`
	Tasks         int               `json:"tasks"`
	Completed     int               `json:"completed"`
	Skipped       int               `json:"skipped"` // of these
	Failed        int               `json:"failed"`
	Cancelled     int               `json:"cancelled"`
	Blocked       int               `json:"blocked"`
	Executions    int               `json:"executions"`
	CreatedAt     time.Time         `json:"created_at"`
	StartedAt     *time.Time        `json:"started_at,omitempty"`
	FinishedAt    *time.Time        `json:"finished_at,omitempty"`
	CancelledAt   *time.Time        `json:"cancelled_at,omitempty"`
	CancelMessage string            `json:"cancel_message,omitempty"`
	DueAt         *time.Time        `json:"due_at,omitempty"`    // by when it was to have ended
	LateAt        *time.Time        `json:"late_at,omitempty"`   // since when it was late; absent: it was not
	Retention     float64           `json:"retention,omitempty"` // seconds, of its own
}

// Task is a task as it was submitted, and what became of it.
type Task struct {
	Number       int             `json:"number"` // within the tree
	ID           string          `json:"id"`
	Ref          string          `json:"ref,omitempty"` // what its submission called it, where that is not the id
	ParentID     string          `json:"parent_id,omitempty"`
	Name         string          `json:"name"`
	Executor     string          `json:"executor,omitempty"`
	Pool         string          `json:"pool,omitempty"`
	Priority     int             `json:"priority"`
	Dependencies []Dependency    `json:"dependencies,omitempty"`
	Inputs       json.RawMessage `json:"inputs,omitempty"`
	Params       json.RawMessage `json:"params,omitempty"`
	Schemas      json.RawMessage `json:"schemas,omitempty"`
	Custom       json.RawMessage `json:"custom,omitempty"`
	Control      json.RawMessage `json:"control,omitempty"`
	State        string          `json:"state"`
	Outcome      string          `json:"outcome,omitempty"`
	Attempt      int             `json:"attempt"` // number of the last one
	Result       json.RawMessage `json:"result,omitempty"`
	Outputs      json.RawMessage `json:"outputs,omitempty"`
	Error        string          `json:"error,omitempty"`
	ErrorKind    string          `json:"error_kind,omitempty"`
	BlockedBy    string          `json:"blocked_by,omitempty"`
	Worker       string          `json:"worker,omitempty"`
	CopyOf       string          `json:"copy_of,omitempty"`
	CachedFrom   string          `json:"cached_from,omitempty"`
	SubtreeID    string          `json:"subtree_id,omitempty"`
	StartedAt    *time.Time      `json:"started_at,omitempty"`
	FinishedAt   *time.Time      `json:"finished_at,omitempty"`

	SealedInputs []byte `json:"sealed_inputs,omitempty"` // envelope of inputs, params, schemas, custom and control, which are not there then
	SealedResult []byte `json:"sealed_result,omitempty"` // envelope of result, error and outputs
}

// Dependency is an edge.
type Dependency struct {
	ID        string   `json:"id"`
	Required  bool     `json:"required"`
	Type      string   `json:"type,omitempty"`
	Accept    []string `json:"accept,omitempty"`
	Otherwise string   `json:"otherwise,omitempty"`
	Merge     *bool    `json:"merge,omitempty"` // false: it carries order only
}

// Attempt is an attempt that has ended. What the last one has given is with its task.
type Attempt struct {
	Task       int             `json:"task"` // its number
	Number     int             `json:"number"`
	Outcome    string          `json:"outcome"`
	Counted    bool            `json:"counted"`
	Result     json.RawMessage `json:"result,omitempty"`
	Outputs    json.RawMessage `json:"outputs,omitempty"`
	Error      string          `json:"error,omitempty"`
	ErrorKind  string          `json:"error_kind,omitempty"`
	Detail     string          `json:"detail,omitempty"`
	Worker     string          `json:"worker,omitempty"`
	StartedAt  *time.Time      `json:"started_at,omitempty"`
	FinishedAt *time.Time      `json:"finished_at,omitempty"`
	Sealed     []byte          `json:"sealed,omitempty"` // envelope of result, error, detail and outputs
}

// Usage is what an attempt used of a model.
type Usage struct {
	Task       int    `json:"task"`
	Attempt    int    `json:"attempt"`
	Model      string `json:"model"`
	Currency   string `json:"currency,omitempty"`
	Calls      int64  `json:"calls"`
	Prompt     int64  `json:"prompt_tokens"`
	Completion int64  `json:"completion_tokens"`
	Cached     int64  `json:"cached_tokens"`
	CostNanos  int64  `json:"cost_nanos"` // billionths of the currency
	Unpriced   int64  `json:"unpriced"`
}

// File is a file that an attempt has made. Its content is not archived.
type File struct {
	Task      int    `json:"task"`
	Attempt   int    `json:"attempt"`
	Kind      string `json:"kind"` // file, output, log
	Name      string `json:"name,omitempty"`
	MediaType string `json:"media_type,omitempty"`
	Size      int64  `json:"size"` // bytes
	SHA256    string `json:"sha256,omitempty"`
	Sealed    bool   `json:"sealed,omitempty"` // name and digest are not there
	LeftOut   bool   `json:"left_out,omitempty"`
}

// Log is a line that an attempt has written.
type Log struct {
	Task    int       `json:"task"`
	Attempt int       `json:"attempt"`
	At      time.Time `json:"at"`
	Stream  string    `json:"stream,omitempty"`
	Text    string    `json:"text"`
}

// Event is what happened, in order.
type Event struct {
	Sequence int64     `json:"sequence"`
	At       time.Time `json:"at"`
	Type     string    `json:"type"`
	Task     *int      `json:"task,omitempty"` // nil: the whole tree
	Attempt  int       `json:"attempt,omitempty"`
}

// End counts the lines before it.
type End struct {
	Tasks    int `json:"tasks"`
	Attempts int `json:"attempts"`
	Events   int `json:"events"`
	Files    int `json:"files"`
	Logs     int `json:"logs"`
}

// Encoder writes the lines of an archived tree.
type Encoder struct {
	zip  *zstd.Encoder
	json *json.Encoder
	end  End
}

// NewEncoder writes to an object. It has the first line written.
func NewEncoder(to io.Writer, by string) (*Encoder, error) {
	zip, err := zstd.NewWriter(to, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		return nil, err
	}
	e := &Encoder{zip: zip, json: json.NewEncoder(zip)}
	e.json.SetEscapeHTML(false)
	return e, e.Write(&Line{Archive: &Head{Version: Version, By: by}})
}

// Write writes a line.
func (e *Encoder) Write(l *Line) error {
	switch {
	case l.Task != nil:
		e.end.Tasks++
	case l.Attempt != nil:
		e.end.Attempts++
	case l.Event != nil:
		e.end.Events++
	case l.File != nil:
		e.end.Files++
	case l.Log != nil:
		e.end.Logs++
	}
	return e.json.Encode(l)
}

// Close writes the last line.
func (e *Encoder) Close() error {
	end := e.end
	return errors.Join(e.Write(&Line{End: &end}), e.zip.Close())
}

// ErrCut: an object ends before its last line.
var ErrCut = errors.New("the archived tree is cut")

// Read tells the lines of an archived tree, each as it stands there, too. told may end it with an error of its own. [ErrCut].
func Read(from io.Reader, told func(raw json.RawMessage, l *Line) error) error {
	zip, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return err
	}
	defer zip.Close()
	lines := json.NewDecoder(zip)
	last := &Line{}
	for n := 0; ; n++ {
		var raw json.RawMessage
		switch err := lines.Decode(&raw); {
		case errors.Is(err, io.EOF) && last.End != nil:
			return nil
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return ErrCut
		case err != nil:
			return fmt.Errorf("line %d of the archived tree: %w", n+1, err)
		}
		last = &Line{}
		if err := json.Unmarshal(raw, last); err != nil {
			return fmt.Errorf("line %d of the archived tree: %w", n+1, err)
		}
		if n == 0 && last.Archive == nil {
			return errors.New("this is no archived tree")
		}
		if n == 0 && last.Archive.Version > Version {
			return fmt.Errorf("the archived tree is of version %d, and this program reads up to %d", last.Archive.Version, Version)
		}
		if err := told(raw, last); err != nil {
			return err
		}
	}
}
