package file

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// work is one attempt. One goroutine.
type work struct {
	in       *input
	call     *executors.Call
	cfg      *Config
	local    *local // nil: not opened yet
	progress *progress
}

func (w *work) close() {
	if w.local != nil {
		_ = w.local.root.Close()
	}
}

// at opens the store that a name is in.
func (w *work) at(ctx context.Context, text string) (store, location, error) {
	l, err := parse(text)
	if err != nil {
		return nil, l, err // check has seen it
	}
	if l.bucket != "" {
		b, err := w.in.openBucket(ctx, l.bucket, w.call, w.cfg)
		return b, l, err
	}
	if w.local == nil {
		if w.local, err = openLocal(w.cfg.Place(w.call.Pool), w.call); err != nil {
			return nil, l, err
		}
	}
	return w.local, l, nil
}

func (w *work) do(ctx context.Context) (*Result, error) {
	result := &Result{Operation: w.in.Operation, Path: w.in.Path, Source: w.in.Source, Destination: w.in.Destination}
	if w.in.Path != "" && result.Path == w.in.Path && operations[w.in.Operation][0] == "path" {
		result.Source, result.Destination = "", ""
		s, l, err := w.at(ctx, w.in.Path)
		if err != nil {
			return nil, err
		}
		do := map[string]func(context.Context, store, location, *Result) error{
			"delete": w.delete, "checksum": w.checksum, "list": w.list, "stat": w.stat, "read": w.read, "write": w.write,
		}[w.in.Operation]
		return result, do(ctx, s, l, result)
	}
	result.Path = ""
	from, source, err := w.at(ctx, w.in.Source)
	if err != nil {
		return nil, err
	}
	to, destination, err := w.at(ctx, w.in.Destination)
	if err != nil {
		return nil, err
	}
	t := &transfer{work: w, from: from, to: to, source: source, destination: destination, result: result}
	switch w.in.Operation {
	case "pack":
		return result, t.pack(ctx)
	case "unpack":
		return result, t.unpack(ctx)
	}
	return result, t.copy(ctx)
}

func (w *work) stat(ctx context.Context, s store, l location, result *Result) error {
	i, err := s.stat(ctx, l.name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return at(l, err)
	}
	result.Exists = new(err == nil)
	if err == nil {
		result.Entry = new(i.entry(l))
	}
	return nil
}

func (w *work) list(ctx context.Context, s store, l location, result *Result) error {
	result.Entries = []Entry{}
	left := int64(w.cfg.MaxBytes)
	entries, next, err := s.list(ctx, l.name, w.in.Recursive, w.in.Cursor, w.in.Limit)
	if err != nil {
		return at(l, err)
	}
	for i, e := range entries {
		entry := e.entry(l)
		if left -= int64(len(entry.Path)*2 + 150); left < 0 && i > 0 {
			next = entries[i-1].path
			if _, isBucket := s.(*bucket); isBucket {
				next = entries[i-1].cursor()
			}
			break
		}
		result.Entries = append(result.Entries, entry)
	}
	result.Cursor, result.Truncated = next, next != ""
	return nil
}

func (w *work) read(ctx context.Context, s store, l location, result *Result) error {
	f, i, err := s.open(ctx, l.name)
	if err != nil {
		return at(l, err)
	}
	defer f.Close()
	sum := newSum(w.in.Algorithm)
	if w.call.KeepOutputs && w.call.Files != nil && !w.in.bounded && i.size > *w.in.MaxBytes {
		return w.keep(ctx, f, i, l, sum, result)
	}
	var kept []byte
	if sum == nil {
		kept, err = io.ReadAll(io.LimitReader(until(ctx, f), *w.in.MaxBytes+1))
	} else { // the sum is of the whole
		whole := io.TeeReader(until(ctx, f), sum)
		if kept, err = io.ReadAll(io.LimitReader(whole, *w.in.MaxBytes+1)); err == nil {
			_, err = io.Copy(io.Discard, whole)
		}
	}
	if err != nil {
		return at(l, err)
	}
	if result.Truncated = int64(len(kept)) > *w.in.MaxBytes; result.Truncated {
		kept = kept[:*w.in.MaxBytes]
		result.TruncatedFields = executors.TruncatedFields(map[string]bool{"content": !w.in.bounded})
	}
	if err := w.sum(l, sum, result); err != nil {
		return err
	}
	text, encoding := executors.Faithful(kept, result.Truncated)
	result.Content, result.Encoding, result.Bytes = &text, encoding, new(i.size)
	return nil
}

// keep makes an artifact of a file that is longer than a result may be.
func (w *work) keep(ctx context.Context, f io.Reader, i info, l location, sum hash.Hash, result *Result) error {
	w.progress.add(i.size)
	content := io.TeeReader(until(ctx, f), w.progress)
	if sum != nil {
		content = io.TeeReader(content, sum)
	}
	ref, err := w.call.Files.Save(ctx, executors.SavedFile{Name: workdir.BaseName(l.name), MediaType: workdir.MediaType(l.name), Size: i.size, Output: true}, content)
	if err != nil {
		return at(l, err)
	}
	result.kept, result.Bytes = &ref, new(i.size)
	return w.sum(l, sum, result)
}

// collect saves files of the worker that the task names, by their paths below its root.
func (w *work) collect(ctx context.Context) error {
	if w.local == nil {
		var err error
		if w.local, err = openLocal(w.cfg.Place(w.call.Pool), w.call); err != nil {
			return err
		}
	}
	return workdir.CollectIn(ctx, w.call, w.local.root)
}

// writeFile puts an artifact into its place. The sum is known, and the content checked, before it is there.
func (w *work) writeFile(ctx context.Context, s store, l location, result *Result) error {
	content, err := w.call.Files.Open(ctx, *w.in.file)
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }()
	up, err := s.create(ctx, l.name, w.in.file.Size, createOptions{overwrite: w.in.Overwrite})
	if err != nil {
		return at(l, err)
	}
	w.progress.add(w.in.file.Size)
	sum, to := newSum(w.in.Algorithm), []io.Writer{up, w.progress}
	if sum != nil {
		to = append(to, sum)
	}
	if _, err = io.Copy(io.MultiWriter(to...), until(ctx, content)); err == nil {
		err = w.sum(l, sum, result)
	}
	if err == nil {
		err = up.commit(ctx)
	}
	if err != nil {
		up.abort()
		return at(l, err)
	}
	result.Files, result.Bytes = new(1), new(w.in.file.Size)
	return nil
}

func (w *work) write(ctx context.Context, s store, l location, result *Result) error {
	if w.in.file != nil {
		return w.writeFile(ctx, s, l, result)
	}
	content := []byte(*w.in.text)
	if w.in.Encoding == executors.Base64 {
		var err error
		if content, err = base64.StdEncoding.DecodeString(*w.in.text); err != nil {
			return invalid("content is not valid base64")
		}
	}
	sum := newSum(w.in.Algorithm)
	if sum != nil {
		sum.Write(content)
	}
	if err := w.sum(l, sum, result); err != nil {
		return err
	}
	up, err := s.create(ctx, l.name, int64(len(content)), createOptions{overwrite: w.in.Overwrite})
	if err != nil {
		return at(l, err)
	}
	if _, err = up.Write(content); err == nil {
		err = up.commit(ctx)
	}
	if err != nil {
		up.abort()
		return at(l, err)
	}
	result.Files, result.Bytes = new(1), new(int64(len(content)))
	return nil
}

func (w *work) checksum(ctx context.Context, s store, l location, result *Result) error {
	f, i, err := s.open(ctx, l.name)
	if err != nil {
		return at(l, err)
	}
	defer f.Close()
	w.progress.add(i.size)
	sum := newSum(w.in.Algorithm)
	n, err := io.Copy(io.MultiWriter(sum, w.progress), until(ctx, f))
	if err != nil {
		return at(l, err)
	}
	result.Bytes = &n
	return w.sum(l, sum, result)
}

// sum sets the checksum and compares it with the one that is expected.
func (w *work) sum(l location, sum hash.Hash, result *Result) error {
	if sum == nil {
		return nil
	}
	result.Algorithm, result.Checksum = w.in.Algorithm, hex.EncodeToString(sum.Sum(nil))
	if w.in.Expected != "" && !strings.EqualFold(w.in.Expected, result.Checksum) {
		return executors.Permanent(fmt.Errorf("%s: its %s is %s, and not the one expected", l, w.in.Algorithm, result.Checksum))
	}
	return nil
}

func (w *work) delete(ctx context.Context, s store, l location, result *Result) error {
	result.Files, result.Bytes = new(int), new(int64)
	if l.name == "." || l.name == "" {
		return executors.Permanent(fmt.Errorf("%s is the root of all, which can't be deleted", w.in.Path))
	}
	i, err := s.stat(ctx, l.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return at(l, err)
	}
	if i.kind != "directory" {
		*result.Files, *result.Bytes = 1, i.size
		return at(l, s.remove(ctx, l.name))
	}
	if !w.in.Recursive {
		return executors.Permanent(fmt.Errorf("%s is a directory (set recursive to delete it with all in it)", l))
	}
	return w.deleteAll(ctx, s, l, result)
}

// deleteAll deletes what is in a directory, and then it. What it deletes it never comes to through a link.
func (w *work) deleteAll(ctx context.Context, s store, l location, result *Result) error {
	var all []info
	for cursor := ""; ; {
		entries, next, err := s.list(ctx, l.name, true, cursor, 1000)
		if err != nil {
			return at(l, err)
		}
		if all = append(all, entries...); len(all) > w.in.MaxFiles {
			return executors.Permanent(fmt.Errorf("%s has more than %d files and directories (max_files)", l, w.in.MaxFiles))
		}
		if cursor = next; next == "" {
			break
		}
	}
	for i := len(all) - 1; i >= 0; i-- { // what is in a directory comes after it
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := s.remove(ctx, all[i].path); err != nil {
			return at(location{bucket: l.bucket, name: all[i].path}, err)
		}
		if all[i].kind != "directory" {
			*result.Files++
			*result.Bytes += all[i].size
		}
	}
	if _, ok := s.(*local); ok {
		return at(l, s.remove(ctx, l.name))
	}
	return nil
}

// until reads until ctx ends.
func until(ctx context.Context, r io.Reader) io.Reader { return &bound{ctx, r} }

type bound struct {
	ctx context.Context
	r   io.Reader
}

func (b *bound) Read(p []byte) (int, error) {
	if b.ctx.Err() != nil {
		return 0, context.Cause(b.ctx)
	}
	return b.r.Read(p)
}

// named is a file's own name.
func named(l location) string { return path.Base(filepath.ToSlash(l.name)) }
