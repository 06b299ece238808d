package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// Files are not in memory: a body that is an artifact is read while it is sent, and an answer that becomes one goes through a file.

// fileOf is the artifact that an input is; nil: it is another value.
func fileOf(call *executors.Call, raw json.RawMessage) *executors.FileRef {
	if ref, ok := executors.RefOf(raw); ok && call.Files != nil {
		return &ref
	}
	return nil
}

// fileBody is an artifact as a request's body. It is opened when it is first read, and for every try anew.
type fileBody struct {
	ctx   context.Context
	end   context.CancelFunc
	files executors.Files
	ref   executors.FileRef

	mu      sync.Mutex
	content io.ReadCloser
}

func newFileBody(ctx context.Context, files executors.Files, ref executors.FileRef) *fileBody {
	b := &fileBody{files: files, ref: ref}
	b.ctx, b.end = context.WithCancel(ctx)
	return b
}

// Len is the length that the request says.
func (b *fileBody) Len() int { return int(b.ref.Size) }

// Read implements [io.Reader]. It fails, so that the service gets less than the request says, where the content is not the one that is named.
func (b *fileBody) Read(p []byte) (int, error) {
	content, err := b.open()
	if err != nil {
		return 0, err
	}
	return content.Read(p)
}

func (b *fileBody) open() (io.Reader, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.content == nil {
		if err := b.ctx.Err(); err != nil {
			return nil, err
		}
		content, err := b.files.Open(b.ctx, b.ref)
		if err != nil {
			return nil, err
		}
		b.content = content
	}
	return b.content, nil
}

// Close implements [io.Closer]. The transport closes a body that it still reads when the answer is there early.
func (b *fileBody) Close() error {
	b.end()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.content != nil {
		return b.content.Close()
	}
	return nil
}

// keptBody is an answer's body of which all is kept.
type keptBody struct {
	io.Reader // the beginning
	spill     *workdir.Spill
}

// Close implements [io.Closer].
func (b *keptBody) Close() error {
	b.spill.Discard()
	return nil
}

// keep makes an artifact of a body that exceeds its bound, where the task keeps outputs.
func (r *Result) keep(ctx context.Context, call *executors.Call, resp *http.Response) (any, error) {
	body, ok := resp.Body.(*keptBody)
	if !ok {
		return r, nil
	}
	return workdir.Keep(ctx, call, r, workdir.Kept{Name: "body", Output: body.spill, Beside: []string{"encoding"}, Type: mediaType(resp.Header.Get("Content-Type"))})
}

// mediaType is what an answer says of its body, if it can be said of an artifact.
func mediaType(said string) string {
	if _, _, err := mime.ParseMediaType(said); err != nil || len(said) > 128 || strings.ContainsFunc(said, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "application/octet-stream"
	}
	return said
}

// kept reads a body into a file where it exceeds what a result has of it.
func (w whole) kept(resp *http.Response) error {
	spill := workdir.NewSpill(w.call, executors.NewOutput(w.most, nil, ""), w.most, "")
	_, err := io.Copy(spill, io.LimitReader(resp.Body, w.call.Files.MaxOutput()+1))
	if err != nil {
		spill.Discard()
		return err
	}
	begin := spill.Bytes()
	if spill.Truncated() {
		begin = append(begin, 0) // who reads it sees that there is more
	}
	resp.Body = &keptBody{bytes.NewReader(begin), spill}
	return nil
}

// failedFile is why an artifact of an answer is none.
func (r *request) failedFile(err error) error {
	return fmt.Errorf("%s %s: %w", r.method, r.secrets.origin(r.url), err)
}
