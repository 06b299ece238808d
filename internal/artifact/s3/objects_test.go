package s3_test

import (
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/taskgrove/taskgrove/internal/archive/archivetest"
	"github.com/taskgrove/taskgrove/internal/artifact/s3"
	"github.com/taskgrove/taskgrove/internal/artifact/s3/s3test"
)

// A bucket is an archive, with a prefix or without, and what was not finished of an object is taken away with the next one.
func TestObjects(t *testing.T) {
	server := s3test.Start(t)
	ctx := t.Context()
	for _, bucket := range []string{"archive", "archive-of-more"} {
		if err := server.Client.MakeBucket(ctx, bucket, minio.MakeBucketOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	open := func(bucket, prefix string) *s3.Store {
		s, err := s3.New(s3.Config{Endpoint: server.URL, Bucket: bucket, Prefix: prefix, AccessKey: s3test.AccessKey, SecretKey: s3test.SecretKey})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	archivetest.Conform(t, open("archive", ""))
	s := open("archive-of-more", "of/one")
	archivetest.Conform(t, s)
	if _, err := server.Client.NewMultipartUpload(ctx, "archive-of-more", "of/one/large", minio.PutObjectOptions{}); err != nil { // by a process that was killed
		t.Fatal(err)
	}
	w, err := s.CreateObject(ctx, "large")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 40<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	left, err := server.Client.ListMultipartUploads(ctx, "archive-of-more", "", "", "", "", 100)
	if err != nil || len(left.Uploads) != 0 {
		t.Errorf("uploads that are left: %+v, %v", left.Uploads, err)
	}
	gone, err := open("no-such-bucket", "").CreateObject(ctx, "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Commit(ctx); err == nil || strings.Contains(err.Error(), s3test.SecretKey) {
		t.Errorf("a bucket that is not there: got %v", err)
	}
}
