package file

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // S3's own
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/taskgrove/taskgrove/executors"
)

const (
	// partBytes is how much of an object travels as one part, and is held in memory: 10 000 parts make 156 GiB.
	partBytes = 16 << 20
	maxParts  = 10_000
	// cleanTime is how long it may take to leave nothing behind when an attempt ends.
	cleanTime = 10 * time.Second
)

// copyBytes is up to where a store copies an object in one step.
var copyBytes int64 = 5 << 30

// bucket is one of an S3-compatible store.
type bucket struct {
	core     *minio.Core
	name     string
	metadata map[string]string // that objects get: whose they are
}

// openBucket makes a client. It connects to nothing yet.
func (in *input) openBucket(ctx context.Context, name string, call *executors.Call, cfg *Config) (*bucket, error) {
	endpoint, err := url.Parse(in.Endpoint)
	if err != nil || endpoint.Host == "" || endpoint.User != nil || endpoint.Scheme != "http" && endpoint.Scheme != "https" || strings.Trim(endpoint.Path, "/") != "" || endpoint.RawQuery != "" {
		return nil, invalid("endpoint must be https://host or http://host, with a port or not")
	}
	dialer := cfg.Network.Pool(call.Pool)
	if call.Connection != "" {
		dialer = dialer.Trusted()
	}
	keys, err := in.credentials(call, dialer)
	if err != nil {
		return nil, err
	}
	region := in.Region
	if region == "" {
		region = "us-east-1"
	}
	amazon := strings.HasSuffix(endpoint.Hostname(), ".amazonaws.com") || strings.HasSuffix(endpoint.Hostname(), ".amazonaws.com.cn")
	lookup := minio.BucketLookupPath
	if in.PathStyle != nil && !*in.PathStyle || in.PathStyle == nil && amazon {
		lookup = minio.BucketLookupDNS
	}
	core, err := minio.NewCore(endpoint.Host, &minio.Options{
		Creds: keys, Secure: endpoint.Scheme == "https", Transport: within{ctx, dialer.RoundTripper(false)}, Region: region, BucketLookup: lookup,
		MaxRetries: 1, // the task's policy says how often
	})
	if err != nil {
		return nil, invalid("endpoint can't be used: " + err.Error())
	}
	return &bucket{core: core, name: name, metadata: map[string]string{"taskgrove-key": call.IdempotencyKey, "taskgrove-attempt": strconv.Itoa(call.Attempt)}}, nil
}

// known turns what a store says of missing things into [fs.ErrNotExist].
func known(err error) error {
	var answer minio.ErrorResponse
	if errors.As(err, &answer) {
		switch {
		case answer.Code == minio.NoSuchKey, answer.Code == "NotFound", answer.StatusCode == http.StatusNotFound && answer.Code != minio.NoSuchBucket && answer.Code != minio.NoSuchUpload:
			return fs.ErrNotExist
		case answer.StatusCode == http.StatusPreconditionFailed:
			return fs.ErrExist
		}
	}
	return err
}

func (b *bucket) stat(ctx context.Context, key string) (info, error) {
	if key == "" {
		ok, err := b.core.BucketExists(ctx, b.name)
		if err == nil && !ok {
			err = fs.ErrNotExist
		}
		return info{kind: "directory"}, err
	}
	o, err := b.core.StatObject(ctx, b.name, key, minio.StatObjectOptions{})
	if err == nil {
		return objectInfo(o), nil
	}
	if err = known(err); !errors.Is(err, fs.ErrNotExist) {
		return info{}, err
	}
	some, _, listErr := b.list(ctx, key, true, "", 1)
	if listErr != nil || len(some) == 0 {
		return info{}, errors.Join(listErr, err)
	}
	return info{path: key, kind: "directory"}, nil
}

func objectInfo(o minio.ObjectInfo) info {
	return info{path: o.Key, kind: "file", size: o.Size, modified: o.LastModified, etag: strings.Trim(o.ETag, `"`)}
}

// open reads an object. What is read is compared with the size and, where it is one of the content, with the checksum that the store keeps.
func (b *bucket) open(ctx context.Context, key string) (io.ReadCloser, info, error) {
	body, o, header, err := b.core.GetObject(ctx, b.name, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, info{}, known(err)
	}
	r := &objectReader{body: body, left: o.Size}
	etag := strings.Trim(o.ETag, `"`)
	if raw, err := hex.DecodeString(etag); err == nil && len(raw) == md5.Size && header.Get("X-Amz-Server-Side-Encryption") != "aws:kms" && !strings.Contains(header.Get("X-Amz-Server-Side-Encryption"), "dsse") &&
		header.Get("X-Amz-Server-Side-Encryption-Customer-Algorithm") == "" {
		r.sum, r.want = md5.New(), etag //nolint:gosec // S3's own
	}
	return r, objectInfo(o), nil
}

// objectReader reads an object to its end, or fails.
type objectReader struct {
	body io.ReadCloser
	left int64
	sum  hash.Hash // nil: the store's checksum is none of the content
	want string
}

func (r *objectReader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	r.left -= int64(n)
	if r.sum != nil {
		r.sum.Write(p[:n])
	}
	if errors.Is(err, io.EOF) {
		switch {
		case r.left != 0:
			return n, fmt.Errorf("the store sent %d bytes less than it said: %w", r.left, io.ErrUnexpectedEOF)
		case r.sum != nil && hex.EncodeToString(r.sum.Sum(nil)) != r.want:
			return n, errors.New("what the store sent does not have the checksum that it keeps")
		}
	}
	return n, err
}

func (r *objectReader) Close() error { return r.body.Close() }

func (b *bucket) create(ctx context.Context, key string, size int64, o createOptions) (upload, error) {
	if key == "" {
		return nil, executors.Permanent(errors.New("needs a key behind the bucket"))
	}
	if !o.overwrite {
		if i, err := b.stat(ctx, key); err == nil && i.kind == "file" {
			return nil, fs.ErrExist
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if size > partBytes*maxParts {
		return nil, executors.Permanent(fmt.Errorf("is larger than %d bytes, which is the most that an object has here", int64(partBytes*maxParts)))
	}
	return &objectUpload{ctx: ctx, bucket: b, key: key, overwrite: o.overwrite}, nil
}

// objectUpload sends what fits into one part at once, and more in parts. One part is in memory. Each is sent with its MD5, which the store checks.
type objectUpload struct {
	ctx       context.Context
	bucket    *bucket
	key       string
	overwrite bool
	part      bytes.Buffer
	id        string // of the upload in parts; empty: there is none
	parts     []minio.CompletePart
	done      bool
}

func (u *objectUpload) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		if u.part.Len() == partBytes { // and there is more
			if err := u.send(); err != nil {
				return written, err
			}
		}
		n := min(len(p), partBytes-u.part.Len())
		u.part.Write(p[:n])
		p, written = p[n:], written+n
	}
	return written, nil
}

func (u *objectUpload) options() minio.PutObjectOptions {
	o := minio.PutObjectOptions{UserMetadata: u.bucket.metadata, ContentType: contentType(u.key)}
	if !u.overwrite {
		o.SetMatchETagExcept("*") // stores that know If-None-Match keep what came meanwhile
	}
	return o
}

// send sends the part that is in memory.
func (u *objectUpload) send() error {
	b := u.bucket
	if u.id == "" {
		id, err := b.core.NewMultipartUpload(u.ctx, b.name, u.key, minio.PutObjectOptions{UserMetadata: b.metadata, ContentType: u.options().ContentType})
		if err != nil {
			return err
		}
		u.id = id
	}
	if len(u.parts) == maxParts {
		return executors.Permanent(fmt.Errorf("is larger than %d bytes, which is the most that an object has here", int64(partBytes*maxParts)))
	}
	sum := md5.Sum(u.part.Bytes()) //nolint:gosec // S3's own
	part, err := b.core.PutObjectPart(u.ctx, b.name, u.key, u.id, len(u.parts)+1, bytes.NewReader(u.part.Bytes()), int64(u.part.Len()),
		minio.PutObjectPartOptions{Md5Base64: base64.StdEncoding.EncodeToString(sum[:])})
	if err != nil {
		return err
	}
	u.parts = append(u.parts, minio.CompletePart{PartNumber: part.PartNumber, ETag: part.ETag})
	u.part.Reset()
	return nil
}

func (u *objectUpload) commit(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	b := u.bucket
	if u.id == "" {
		sum := md5.Sum(u.part.Bytes()) //nolint:gosec // S3's own
		_, err := b.core.PutObject(ctx, b.name, u.key, bytes.NewReader(u.part.Bytes()), int64(u.part.Len()), base64.StdEncoding.EncodeToString(sum[:]), "", u.options())
		u.done = err == nil
		return known(err)
	}
	if u.part.Len() > 0 {
		if err := u.send(); err != nil {
			return err
		}
	}
	_, err := b.core.CompleteMultipartUpload(ctx, b.name, u.key, u.id, u.parts, u.options())
	u.done = err == nil
	return known(err)
}

func (u *objectUpload) abort() {
	if u.id == "" || u.done {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), cleanTime)
	defer cancel()
	_ = u.bucket.core.AbortMultipartUpload(ctx, u.bucket.name, u.key, u.id)
}

func (b *bucket) remove(ctx context.Context, key string) error {
	err := known(b.core.RemoveObject(ctx, b.name, key, minio.RemoveObjectOptions{}))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// list asks for pages. A directory is what is before the next slash of some keys.
func (b *bucket) list(ctx context.Context, dir string, recursive bool, cursor string, limit int) ([]info, string, error) {
	prefix, delimiter := "", "/"
	if dir != "" {
		prefix = dir + "/"
	}
	if recursive {
		delimiter = ""
	} else if strings.HasSuffix(cursor, "/") {
		cursor += "\U0010FFFF" // behind all that is in it
	}
	var found []info
	for token := ""; len(found) <= limit; {
		if ctx.Err() != nil {
			return nil, "", context.Cause(ctx)
		}
		page, err := b.core.ListObjectsV2(b.name, prefix, cursor, token, delimiter, min(1000, limit+1-len(found)))
		if err != nil {
			return nil, "", known(err)
		}
		began := len(found)
		for _, o := range page.Contents {
			if o.Key != prefix { // what some clients make for a directory
				found = append(found, objectInfo(o))
			}
		}
		for _, p := range page.CommonPrefixes {
			found = append(found, info{path: strings.TrimSuffix(p.Prefix, "/"), kind: "directory"})
		}
		slices.SortFunc(found[began:], func(a, b info) int { return strings.Compare(a.cursor(), b.cursor()) })
		if token = page.NextContinuationToken; !page.IsTruncated || token == "" {
			break
		}
	}
	if len(found) <= limit {
		return found, "", nil
	}
	return found[:limit], found[limit-1].cursor(), nil
}

// cursor is what a list of objects goes on behind.
func (i info) cursor() string {
	if i.kind == "directory" {
		return i.path + "/"
	}
	return i.path
}

// copyFrom has the store copy an object, without its content coming here.
func (b *bucket) copyFrom(ctx context.Context, from *bucket, i info, to string, overwrite bool) error {
	if !overwrite {
		if there, err := b.stat(ctx, to); err == nil && there.kind == "file" {
			return fs.ErrExist
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if i.size > copyBytes {
		return b.copyParts(ctx, from, i, to)
	}
	dst := minio.CopyDestOptions{Bucket: b.name, Object: to, UserMetadata: b.metadata, ReplaceMetadata: true, ContentType: contentType(to)}
	_, err := b.core.Client.CopyObject(ctx, dst, minio.CopySrcOptions{Bucket: from.name, Object: i.path, MatchETag: i.etag})
	return known(err)
}

// copyParts copies what is too large for one step.
func (b *bucket) copyParts(ctx context.Context, from *bucket, i info, to string) error {
	u := &objectUpload{ctx: ctx, bucket: b, key: to, overwrite: true}
	defer u.abort()
	id, err := b.core.NewMultipartUpload(ctx, b.name, to, minio.PutObjectOptions{UserMetadata: b.metadata, ContentType: contentType(to)})
	if err != nil {
		return known(err)
	}
	u.id = id
	for at := int64(0); at < i.size; at += copyBytes {
		part, err := b.core.CopyObjectPart(ctx, from.name, i.path, b.name, to, id, len(u.parts)+1, at, min(copyBytes, i.size-at),
			map[string]string{"X-Amz-Copy-Source-If-Match": i.etag})
		if err != nil {
			return known(err)
		}
		u.parts = append(u.parts, part)
	}
	return u.commit(ctx)
}

func contentType(key string) string {
	if kind := mime.TypeByExtension(path.Ext(key)); kind != "" {
		return kind
	}
	return "application/octet-stream"
}

// within sends requests that have no context of their own within the attempt's.
type within struct {
	ctx context.Context
	to  http.RoundTripper
}

func (w within) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Context().Done() == nil {
		r = r.WithContext(w.ctx)
	}
	return w.to.RoundTrip(r)
}
