package s3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/taskgrove/taskgrove/internal/archive"
	"github.com/taskgrove/taskgrove/internal/artifact"
)

// partBytes is how much of an object is in memory while it is written. An object has 10 000 parts at most, which is 156 GiB.
const partBytes = 16 << 20

// abortWithin bounds how long an upload is cleaned up after that came to nothing.
const abortWithin = 10 * time.Second

// writer writes an object in parts, unless it is as small as one of them. Nobody sees it before its Commit.
type writer struct {
	s      *Store
	ctx    context.Context
	key    string
	part   bytes.Buffer
	upload string // empty: none has begun
	parts  []minio.CompletePart
	done   bool
}

// CreateObject implements [archive.Store]. Parts of the object are written while ctx lasts.
func (s *Store) CreateObject(ctx context.Context, key string) (archive.Writer, error) {
	return &writer{s: s, ctx: ctx, key: s.prefix + key}, nil
}

// Write implements [io.Writer].
func (w *writer) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		if w.part.Len() == partBytes {
			if err := w.send(w.ctx); err != nil {
				return n, err
			}
		}
		m := min(len(p), partBytes-w.part.Len())
		w.part.Write(p[:m])
		n, p = n+m, p[m:]
	}
	return n, nil
}

// send sends what is in memory as the next part.
func (w *writer) send(ctx context.Context) (err error) {
	if w.upload == "" {
		// What a process that was killed has left of the object is paid for until somebody takes it away.
		if err := w.s.core.RemoveIncompleteUpload(ctx, w.s.bucket, w.key); err != nil && !errors.Is(w.s.known(err), artifact.ErrNotFound) {
			return w.s.known(err)
		}
		if w.upload, err = w.s.core.NewMultipartUpload(ctx, w.s.bucket, w.key, minio.PutObjectOptions{ContentType: "application/zstd"}); err != nil {
			return w.s.known(err)
		}
	}
	number := len(w.parts) + 1
	part, err := w.s.core.PutObjectPart(ctx, w.s.bucket, w.key, w.upload, number, bytes.NewReader(w.part.Bytes()), int64(w.part.Len()), minio.PutObjectPartOptions{})
	if err != nil {
		return w.s.known(err)
	}
	w.parts = append(w.parts, minio.CompletePart{PartNumber: number, ETag: part.ETag})
	w.part.Reset()
	return nil
}

// Commit makes the object whole.
func (w *writer) Commit(ctx context.Context) error {
	if w.upload == "" {
		_, err := w.s.core.PutObject(ctx, w.s.bucket, w.key, bytes.NewReader(w.part.Bytes()), int64(w.part.Len()), "", "", minio.PutObjectOptions{ContentType: "application/zstd"})
		w.done = err == nil
		return w.s.known(err)
	}
	if err := w.send(ctx); err != nil {
		return err
	}
	_, err := w.s.core.CompleteMultipartUpload(ctx, w.s.bucket, w.key, w.upload, w.parts, minio.PutObjectOptions{})
	w.done = err == nil
	return w.s.known(err)
}

// Abort forgets what was written. After a Commit it does nothing.
func (w *writer) Abort() {
	if w.done || w.upload == "" {
		return
	}
	w.done = true
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), abortWithin)
	defer cancel()
	_ = w.s.core.AbortMultipartUpload(ctx, w.s.bucket, w.key, w.upload) // the next upload of the object tries it again
}

// OpenObject implements [archive.Store].
func (s *Store) OpenObject(ctx context.Context, key string) (io.ReadCloser, error) {
	body, _, _, err := s.core.GetObject(ctx, s.bucket, s.prefix+key, minio.GetObjectOptions{})
	if err = s.known(err); errors.Is(err, artifact.ErrNotFound) {
		return nil, archive.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return body, nil
}

// ListObjects implements [archive.Store].
func (s *Store) ListObjects(ctx context.Context, prefix string, told func(archive.Object) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // which ends the listing
	for o := range s.core.Client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: true}) {
		if o.Err != nil {
			return s.known(o.Err)
		}
		if !told(archive.Object{Key: strings.TrimPrefix(o.Key, s.prefix), Size: o.Size, StoredAt: o.LastModified}) {
			return nil
		}
	}
	return context.Cause(ctx)
}

// ListFolders implements [archive.Store].
func (s *Store) ListFolders(ctx context.Context, prefix string) (names []string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for o := range s.core.Client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix + prefix}) {
		if o.Err != nil {
			return nil, s.known(o.Err)
		}
		if name, folder := strings.CutSuffix(strings.TrimPrefix(o.Key, s.prefix+prefix), "/"); folder {
			names = append(names, name)
		}
	}
	return names, context.Cause(ctx)
}

// RemoveObject implements [archive.Store].
func (s *Store) RemoveObject(ctx context.Context, key string) error {
	err := s.known(s.core.RemoveObject(ctx, s.bucket, s.prefix+key, minio.RemoveObjectOptions{}))
	if errors.Is(err, artifact.ErrNotFound) {
		return nil
	}
	return err
}
