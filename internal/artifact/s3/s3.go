// Package s3 keeps contents of files that tasks make, and archived trees, in a bucket of an S3-compatible store.
//
// It must not know what the contents are, or what refers to them.
package s3

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // S3's own
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/sync/errgroup"

	"github.com/taskgrove/taskgrove/internal/artifact"
)

// Config says where blocks are kept in an S3-compatible store.
type Config struct {
	Endpoint  string // https://host, with a port or not
	Region    string // default us-east-1
	Bucket    string // that is there
	Prefix    string // of keys; may be empty
	AccessKey string // empty: what the process's environment, files or instance give, as AWS's tools look for it
	SecretKey string
	PathStyle bool // the bucket is in the path, not in the host's name
	Transport http.RoundTripper
}

// Store keeps each block as an object.
type Store struct {
	core           *minio.Core
	bucket, prefix string
}

// dropAtOnce is how many objects are deleted at the same time.
const dropAtOnce = 16

// New makes a store. It connects to nothing yet.
func New(cfg Config) (*Store, error) {
	endpoint, err := url.Parse(cfg.Endpoint)
	if err != nil || endpoint.Host == "" || endpoint.User != nil || endpoint.Scheme != "http" && endpoint.Scheme != "https" || strings.Trim(endpoint.Path, "/") != "" || endpoint.RawQuery != "" {
		return nil, errors.New("the endpoint must be https://host or http://host, with a port or not")
	}
	if len(cfg.Bucket) < 3 {
		return nil, errors.New("the bucket has no usable name")
	}
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	lookup := minio.BucketLookupDNS
	if cfg.PathStyle || !strings.HasSuffix(endpoint.Hostname(), ".amazonaws.com") {
		lookup = minio.BucketLookupPath
	}
	keys := credentials.NewStaticV4(cfg.AccessKey, cfg.SecretKey, "")
	if cfg.AccessKey == "" {
		keys = credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{}})
	}
	core, err := minio.NewCore(endpoint.Host, &minio.Options{
		Creds: keys, Secure: endpoint.Scheme == "https", Region: cfg.Region, BucketLookup: lookup, Transport: cfg.Transport, MaxRetries: 3,
	})
	if err != nil {
		return nil, err
	}
	prefix := strings.Trim(cfg.Prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	return &Store{core: core, bucket: cfg.Bucket, prefix: prefix}, nil
}

// key is the object of a block. The first digits of ids spread the keys.
func (s *Store) key(id artifact.ID, index int) string {
	return fmt.Sprintf("%s%s/%d", s.prefix, id, index)
}

// Put implements [artifact.Store]. Stores that know If-None-Match keep what is there; in others the same block replaces itself, as only who was given
// the id puts blocks under it.
func (s *Store) Put(ctx context.Context, id artifact.ID, index int, data []byte) error {
	sum := md5.Sum(data) //nolint:gosec // S3's own
	options := minio.PutObjectOptions{ContentType: "application/octet-stream"}
	options.SetMatchETagExcept("*")
	_, err := s.core.PutObject(ctx, s.bucket, s.key(id, index), bytes.NewReader(data), int64(len(data)), base64.StdEncoding.EncodeToString(sum[:]), "", options)
	var answer minio.ErrorResponse
	refused := errors.As(err, &answer) && (answer.StatusCode == http.StatusPreconditionFailed || answer.StatusCode == http.StatusConflict)
	if refused || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) { // servers may hang up instead of reading what they refuse
		is, missing := s.Get(ctx, id, index)
		switch {
		case missing == nil && bytes.Equal(is, data):
			return nil
		case missing == nil:
			return artifact.ErrChanged
		case refused:
			return missing
		}
	}
	return s.known(err)
}

// known turns an answer into the errors of a [artifact.Store]. What else a store says names no key.
func (s *Store) known(err error) error {
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return err
	}
	switch {
	case answer.Code == minio.NoSuchKey, answer.StatusCode == http.StatusNotFound && answer.Code != minio.NoSuchBucket:
		return artifact.ErrNotFound
	case answer.Code == "QuotaExceeded", answer.Code == "XMinioAdminBucketQuotaExceeded", answer.StatusCode == http.StatusInsufficientStorage:
		return artifact.ErrFull
	}
	return fmt.Errorf("the S3 store answers %d %s to a request for bucket %s", answer.StatusCode, answer.Code, s.bucket)
}

// Get implements [artifact.Store].
func (s *Store) Get(ctx context.Context, id artifact.ID, index int) ([]byte, error) {
	body, info, _, err := s.core.GetObject(ctx, s.bucket, s.key(id, index), minio.GetObjectOptions{})
	if err != nil {
		return nil, s.known(err)
	}
	defer func() { _ = body.Close() }()
	if info.Size < 0 || info.Size > 32*artifact.BlockBytes {
		return nil, artifact.ErrCorrupt
	}
	data := make([]byte, info.Size)
	if _, err := io.ReadFull(body, data); err != nil {
		return nil, err
	}
	return data, nil
}

// Drop implements [artifact.Store].
func (s *Store) Drop(ctx context.Context, id artifact.ID, blocks int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(dropAtOnce)
	for i := range blocks {
		group.Go(func() error {
			err := s.known(s.core.RemoveObject(ctx, s.bucket, s.key(id, i), minio.RemoveObjectOptions{}))
			if errors.Is(err, artifact.ErrNotFound) {
				return nil
			}
			return err
		})
	}
	return group.Wait()
}

// Usage implements [artifact.Store]: a bucket does not say.
func (s *Store) Usage(context.Context) (used, most int64, err error) { return -1, 0, nil }

// Check says what is wrong with the bucket.
func (s *Store) Check(ctx context.Context) error {
	there, err := s.core.BucketExists(ctx, s.bucket)
	if err == nil && !there {
		return fmt.Errorf("there is no bucket %s", s.bucket)
	}
	return s.known(err)
}
