package coordinator

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/artifact"
	"github.com/taskgrove/taskgrove/pg"
)

// Artifact is a file that an attempt of a task made.
type Artifact struct {
	Name      string // a relative path
	TaskID    string
	TaskName  string
	Attempt   int
	Kind      ArtifactKind
	SHA256    string // of its content, in hex
	Size      int64  // bytes
	MediaType string
	Created   time.Time
}

// ArtifactKind says where an artifact comes from.
type ArtifactKind string

// The kinds.
const (
	FileArtifact  ArtifactKind = "file"  // the task named it
	ValueArtifact ArtifactKind = "value" // an output that was too large for the result
)

// ArtifactFilter selects artifacts.
type ArtifactFilter struct {
	TaskID string
	Tree   bool // of all tasks of the task's tree
	Cursor string
	Limit  int // 0: 100, at most 1000
}

// ArtifactQuery names an artifact of a task.
type ArtifactQuery struct {
	TaskID  string
	Name    string
	Attempt int   // 0: the last that has one of that name
	Offset  int64 // bytes that are left out
}

// OpenedArtifact is an artifact that is being read. What is read fails, instead of ending, where the store has lost a part of it.
type OpenedArtifact struct {
	Artifact
	io.ReadCloser
}

func (g *guarded) Artifacts(ctx context.Context, f ArtifactFilter) (Page[*Artifact], error) {
	return ask(ctx, g, Call{Method: "Artifacts", ID: f.TaskID}, func() (Page[*Artifact], error) { return g.next.Artifacts(ctx, f) })
}

func (g *guarded) OpenArtifact(ctx context.Context, q ArtifactQuery) (*OpenedArtifact, error) {
	return ask(ctx, g, Call{Method: "OpenArtifact", ID: q.TaskID}, func() (*OpenedArtifact, error) { return g.next.OpenArtifact(ctx, q) })
}

// shownArtifacts are the kinds that are shown: logs are read as logs.
var shownArtifacts = []int16{pg.ArtifactFile, pg.ArtifactOutput}

// Artifacts lists artifacts; see [Reader].
func (c *Coordinator) Artifacts(ctx context.Context, f ArtifactFilter) (page Page[*Artifact], err error) {
	limit, err := limitOf(f.Limit)
	if err != nil {
		return page, err
	}
	k, err := c.keyOf(ctx, f.TaskID)
	if err != nil {
		return page, err
	}
	after := &pg.Artifact{}
	if f.Cursor != "" {
		var task, attempt, kind, number int64
		if err := cursorFrom("artifact", f.Cursor, &task, &attempt, &kind, &number); err != nil {
			return page, err
		}
		after = &pg.Artifact{Task: dag.Key(task), Attempt: int32(attempt), Kind: int16(kind), Number: int32(number)}
	}
	from, end := k, k+1
	if f.Tree {
		from, end = k.Tree().Range()
	}
	list, err := c.store.ArtifactsIn(ctx, from, end, after, shownArtifacts, limit+1)
	if err != nil {
		return page, c.internal("list artifacts", err)
	}
	if len(list) > limit {
		list = list[:limit]
		last := list[limit-1]
		page.Next = cursorTo("artifact", int64(last.Task), int64(last.Attempt), int64(last.Kind), int64(last.Number))
	}
	for i := range list {
		page.Items = append(page.Items, showArtifact(&list[i]))
	}
	return page, nil
}

func showArtifact(a *pg.Artifact) *Artifact {
	kind := FileArtifact
	if a.Kind == pg.ArtifactOutput {
		kind = ValueArtifact
	}
	return &Artifact{Name: a.Name, TaskID: a.TaskID, TaskName: a.TaskName, Attempt: int(a.Attempt), Kind: kind, SHA256: hex.EncodeToString(a.Digest),
		Size: a.Size, MediaType: a.MediaType, Created: a.Created}
}

// artifactsOfTask is among how many artifacts of a task one is looked for by its name.
const artifactsOfTask = 10_000

// OpenArtifact reads an artifact; see [Reader].
func (c *Coordinator) OpenArtifact(ctx context.Context, q ArtifactQuery) (*OpenedArtifact, error) {
	switch {
	case q.Name == "":
		return nil, &InvalidArgumentError{Field: "name", Reason: "is required"}
	case q.Attempt < 0:
		return nil, &InvalidArgumentError{Field: "attempt", Reason: "must not be negative"}
	case q.Offset < 0:
		return nil, &InvalidArgumentError{Field: "offset", Reason: "must not be negative"}
	}
	k, err := c.keyOf(ctx, q.TaskID)
	if err != nil {
		return nil, err
	}
	list, err := c.store.ArtifactsOf(ctx, k, int32(min(q.Attempt, 1<<30)), shownArtifacts, artifactsOfTask)
	if err != nil {
		return nil, c.internal("look for an artifact", err)
	}
	var found *pg.Artifact
	for i := range list { // attempts are in order
		if list[i].Name == q.Name {
			found = &list[i]
		}
	}
	if found == nil {
		return nil, fmt.Errorf("artifact %.200q: %w", q.Name, ErrNotFound)
	}
	if q.Offset > found.Size {
		return nil, &InvalidArgumentError{Field: "offset", Reason: fmt.Sprintf("is behind the end: there are %d bytes", found.Size)}
	}
	get := func(ctx context.Context, index int) ([]byte, error) {
		data, err := c.blockOf(ctx, found.Content, index)
		c.meter.artifactBytes(ctx, "out", len(data))
		return data, err
	}
	block := artifact.BlockBytes
	if found.Content == nil {
		data, err := c.store.ArtifactData(ctx, found)
		if err != nil {
			return nil, c.internal("read an artifact", err)
		}
		block = max(len(data), 1)
		get = func(context.Context, int) ([]byte, error) { return data, nil }
	} else {
		block = found.Content.Block
	}
	content := artifact.NewReader(ctx, found.Size, block, q.Offset, get)
	return &OpenedArtifact{*showArtifact(found), &artifactReader{c, content}}, nil
}

// artifactReader says what its surfaces may tell of errors.
type artifactReader struct {
	c *Coordinator
	*artifact.Reader
}

func (r *artifactReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.c.internal("read an artifact", err)
	}
	return n, err
}

// Close implements [io.Closer]: there is nothing to be closed.
func (r *artifactReader) Close() error { return nil }
