package artifact_test

import (
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/taskgrove/taskgrove/internal/artifact/s3"
	"github.com/taskgrove/taskgrove/internal/artifact/s3/s3test"
)

func TestS3(t *testing.T) {
	server := s3test.Start(t)
	if err := server.Client.MakeBucket(t.Context(), "artifacts", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, prefix := range []string{"", "of/one/cluster"} {
		s, err := s3.New(s3.Config{Endpoint: server.URL, Bucket: "artifacts", Prefix: prefix, AccessKey: s3test.AccessKey, SecretKey: s3test.SecretKey})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Check(t.Context()); err != nil {
			t.Error(err)
		}
		conform(t, s)
	}
	missing, err := s3.New(s3.Config{Endpoint: server.URL, Bucket: "no-such", AccessKey: s3test.AccessKey, SecretKey: s3test.SecretKey})
	if err != nil {
		t.Fatal(err)
	}
	if err := missing.Check(t.Context()); err == nil {
		t.Error("a bucket that is not there: no error")
	}
}

func TestS3Settings(t *testing.T) {
	for _, cfg := range []s3.Config{
		{Endpoint: "s3.example.org", Bucket: "artifacts"}, {Endpoint: "https://key:secret@s3.example.org", Bucket: "artifacts"},
		{Endpoint: "https://s3.example.org/x", Bucket: "artifacts"}, {Endpoint: "https://s3.example.org", Bucket: "x"},
	} {
		if _, err := s3.New(cfg); err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
}
