// Package s3test starts an S3 server for tests: a Versity gateway with files below it, which is built in seconds and speaks multipart uploads, copies and
// checksums.
//
// It owns the building of the program, which a go.mod of its own pins, and the server from its start to the test's end. It must not know what is kept there.
package s3test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/taskgrove/taskgrove/internal/porttest"
)

// AccessKey and SecretKey are those of every server here.
const AccessKey, SecretKey = "test-access", "test-secret-hunter2"

// startWithin is how long a server may take to answer. It takes a second on a machine that has nothing else to do.
const startWithin = 3 * time.Minute

// Server is one that answers.
type Server struct {
	URL    string
	Client *minio.Core
}

// Start starts a server without buckets, which ends with the test. Where it can't be built the test is skipped, but in CI it fails.
func Start(t testing.TB) *Server {
	t.Helper()
	program, err := build(t)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	address, dir := porttest.Address(t), t.TempDir()
	for _, sub := range []string{"data", "meta"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	server := exec.Command(program, "--quiet", "--port", address, "--access", AccessKey, "--secret", SecretKey, "posix", "--sidecar", filepath.Join(dir, "meta"), filepath.Join(dir, "data"))
	server.SysProcAttr = withParent()
	var said bytes.Buffer // read when it has ended
	server.Stdout, server.Stderr = &said, &said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = server.Wait() // it tells nothing that said does not
		close(ended)
	}()
	t.Cleanup(func() {
		_ = server.Process.Kill()
		<-ended
	})
	client, err := minio.NewCore(address, &minio.Options{Creds: credentials.NewStaticV4(AccessKey, SecretKey, ""), Region: "us-east-1", BucketLookup: minio.BucketLookupPath, MaxRetries: 1})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.After(startWithin); ; {
		if _, err = client.Client.ListBuckets(t.Context()); err == nil {
			return &Server{URL: "http://" + address, Client: client}
		}
		select {
		case <-ended:
			t.Fatalf("the S3 server ended: %s", said.String())
		case <-deadline:
			t.Fatalf("the S3 server does not answer: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// build builds the program, unless it is there. Packages that want it at the same time take turns, so that none starts what another is writing.
func build(t testing.TB) (program string, err error) {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	top := filepath.Join(filepath.Dir(here), "..", "..", "..", "..")
	program = filepath.Join(top, "bin", "tools", "versitygw")
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		return "", err
	}
	turn, err := os.OpenFile(program+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer turn.Close() // which unlocks it
	for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
		err = syscall.Flock(int(turn.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		return "", err
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-modfile=tools/s3.mod", "-o", program, "github.com/versity/versitygw/cmd/versitygw")
	build.Dir, build.Env = top, append(os.Environ(), "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		return "", errors.Join(errors.New("build the S3 server"), err, errors.New(string(out)))
	}
	return program, nil
}
