package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// Artifact is a file that an attempt of a task made.
type Artifact struct {
	Name      string    `json:"name"` // a relative path
	TaskID    string    `json:"task_id"`
	TaskName  string    `json:"task_name"`
	Attempt   int       `json:"attempt"`
	Kind      string    `json:"kind"` // file: the task named it; value: an output that was too large for the result
	SHA256    string    `json:"sha256"`
	Size      int64     `json:"size"` // bytes
	MediaType string    `json:"media_type"`
	CreatedAt time.Time `json:"created_at"`
}

// ArtifactFilter selects artifacts; zero fields don't filter.
type ArtifactFilter struct {
	Tree     bool // of all tasks of the task's tree
	PageSize int  // default 100, at most 1000
	Cursor   string
}

// ArtifactsPage lists a page of the files that a task's attempts made, by task and attempt.
func (c *Client) ArtifactsPage(ctx context.Context, taskID string, f ArtifactFilter) (page Page[*Artifact], err error) {
	got, err := c.rpc.ListArtifacts(ctx, &pb.ListArtifactsRequest{TaskId: taskID, Tree: f.Tree, Cursor: f.Cursor, Limit: int32(f.PageSize)})
	if err != nil {
		return page, wrap(ctx, err, "artifacts of %s", taskID)
	}
	for _, a := range got.Artifacts {
		page.Items = append(page.Items, artifactOf(a))
	}
	page.Next = got.Cursor
	return page, nil
}

// Artifacts lists all of them.
func (c *Client) Artifacts(ctx context.Context, taskID string, f ArtifactFilter) (all []*Artifact, err error) {
	for {
		page, err := c.ArtifactsPage(ctx, taskID, f)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if f.Cursor = page.Next; f.Cursor == "" {
			return all, nil
		}
	}
}

func artifactOf(a *pb.Artifact) *Artifact {
	return &Artifact{Name: a.Name, TaskID: a.TaskId, TaskName: a.TaskName, Attempt: int(a.Attempt), Kind: a.Kind, SHA256: a.Sha256, Size: a.Size,
		MediaType: a.MediaType, CreatedAt: at(a.CreatedAt)}
}

// ArtifactQuery says what of an artifact is read.
type ArtifactQuery struct {
	Attempt int   // 0: the last that has one of the name
	Offset  int64 // bytes that are left out; the content is compared with its digest only without
}

// ArtifactContent is an artifact that is being read. The caller closes it.
type ArtifactContent struct {
	Artifact
	cancel context.CancelFunc
	stream interface {
		Recv() (*pb.GetArtifactResponse, error)
	}
	wrap func(error) error
	now  []byte
	left int64
	sum  hash.Hash // nil: it is not compared
	err  error
}

// OpenArtifact reads an artifact of a task. The reader fails, instead of ending, where what came is not the artifact.
func (c *Client) OpenArtifact(ctx context.Context, taskID, name string, q ArtifactQuery) (*ArtifactContent, error) {
	ctx, cancel := context.WithCancel(ctx)
	r := &ArtifactContent{cancel: cancel, wrap: func(err error) error { return wrap(ctx, err, "artifact %s of %s", name, taskID) }}
	stream, err := c.rpc.GetArtifact(ctx, &pb.GetArtifactRequest{TaskId: taskID, Name: name, Attempt: int32(q.Attempt), Offset: q.Offset})
	var first *pb.GetArtifactResponse
	if err == nil {
		first, err = stream.Recv()
	}
	if err == nil && first.Artifact == nil {
		err = errors.New("the answer does not say what it is")
	}
	if err != nil {
		err = r.wrap(err)
		cancel()
		return nil, err
	}
	r.Artifact, r.stream, r.now = *artifactOf(first.Artifact), stream, first.Data
	r.left = r.Size - q.Offset
	if q.Offset == 0 {
		r.sum = sha256.New()
		r.sum.Write(r.now)
	}
	return r, nil
}

// Read implements [io.Reader].
func (r *ArtifactContent) Read(p []byte) (int, error) {
	for len(r.now) == 0 && r.err == nil {
		part, err := r.stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			r.err = r.whole()
		case err != nil:
			r.err = r.wrap(err)
		default:
			r.now = part.Data
			if r.sum != nil {
				r.sum.Write(r.now)
			}
		}
	}
	if len(r.now) == 0 {
		return 0, r.err
	}
	n := copy(p, r.now)
	r.now, r.left = r.now[n:], r.left-int64(n)
	return n, nil
}

// whole is [io.EOF], or why what came is not the artifact.
func (r *ArtifactContent) whole() error {
	if r.left != 0 {
		return r.wrap(fmt.Errorf("%d bytes are missing: %w", r.left, io.ErrUnexpectedEOF))
	}
	if r.sum != nil && hex.EncodeToString(r.sum.Sum(nil)) != r.SHA256 {
		return r.wrap(errors.New("what came has another digest"))
	}
	return io.EOF
}

// Close ends the reading.
func (r *ArtifactContent) Close() error {
	r.cancel()
	return nil
}
