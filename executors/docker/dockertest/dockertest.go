//go:build !nodocker

// Package dockertest gives tests a Docker engine and an image.
//
// It owns how a test gets them: the engine of this machine, and an image that holds one program, which it builds itself, as nothing can be
// pulled where tests run. It must not know what is tested.
package dockertest

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"
)

// Client is a connection to the engine of this machine. Where none can be had, the test is skipped.
func Client(t testing.TB) *client.Client {
	t.Helper()
	cli, err := client.New(client.FromEnv)
	if err == nil {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err = cli.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
	}
	if err != nil {
		t.Skipf("skipped: no Docker engine can be had here (tools/need.sh docker starts one as root): %v", err)
	}
	t.Cleanup(func() { cli.Close() })
	return cli
}

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "taskgrove-box-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "box")
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", program, "github.com/taskgrove/taskgrove/executors/docker/dockertest/box")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the image's program: %w: %s", err, out)
	}
	text, err := os.ReadFile(program)
	return string(text), err
})

// Layer is a tar archive with the program /box (see its source for what it can do), and an empty directory /tmp.
func Layer(t testing.TB) []byte {
	t.Helper()
	program, err := build()
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, h := range []*tar.Header{
		{Name: "tmp/", Mode: 0o1777, Typeflag: tar.TypeDir},
		{Name: "box", Mode: 0o755, Size: int64(len(program)), Typeflag: tar.TypeReg},
	} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			_, _ = io.WriteString(w, program)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return layer.Bytes()
}

// Image makes an image with the program /box as its entrypoint, and "say hello" as its command. It is removed when the test has ended.
func Image(t testing.TB) string {
	t.Helper()
	cli := Client(t)
	name := fmt.Sprintf("taskgrove-test/box:%d-%d", os.Getpid(), time.Now().UnixNano())
	got, err := cli.ImageImport(t.Context(), client.ImageImportSource{Source: bytes.NewReader(Layer(t)), SourceName: "-"}, name,
		client.ImageImportOptions{Changes: []string{`ENTRYPOINT ["/box"]`, `CMD ["say", "hello"]`}})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, got)
	got.Close()
	t.Cleanup(func() {
		_, _ = cli.ImageRemove(context.WithoutCancel(t.Context()), name, client.ImageRemoveOptions{Force: true})
	})
	return name
}

// Containers are the ids of the containers with a label, whatever their state.
func Containers(t testing.TB, cli *client.Client, label string) []string {
	t.Helper()
	all, err := cli.ContainerList(context.WithoutCancel(t.Context()), client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", label)})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, c := range all.Items {
		ids = append(ids, c.ID)
	}
	return ids
}
