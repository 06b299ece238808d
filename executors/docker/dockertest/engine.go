//go:build !nodocker

package dockertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
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

// Image makes an image with the program /box as its entrypoint, and "say hello" as its command. It is removed when the test has ended.
// Changes are further lines of a Dockerfile.
func Image(t testing.TB, changes ...string) string {
	t.Helper()
	cli := Client(t)
	name := fmt.Sprintf("taskgrove-test/box:%d-%d", os.Getpid(), time.Now().UnixNano())
	got, err := cli.ImageImport(t.Context(), client.ImageImportSource{Source: bytes.NewReader(Layer(t)), SourceName: "-"}, name,
		client.ImageImportOptions{Changes: append([]string{`ENTRYPOINT ["/box"]`, `CMD ["say", "hello"]`}, changes...)})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, got)
	got.Close()
	t.Cleanup(func() {
		_, _ = cli.ImageRemove(context.WithoutCancel(t.Context()), name, client.ImageRemoveOptions{Force: true})
	})
	tried.Do(func() { tried.err = try(t, cli, name) })
	if tried.err != nil {
		t.Skipf("skipped: the Docker engine of this machine can't run a container: %v", tried.err)
	}
	return name
}

// tried says whether the engine can run any container: where the kernel refuses some of what that takes, an engine may answer nevertheless.
var tried struct {
	sync.Once
	err error
}

func try(t testing.TB, cli *client.Client, image string) error {
	got, err := cli.ContainerCreate(t.Context(), client.ContainerCreateOptions{Config: &container.Config{Image: image, Entrypoint: []string{"/box", "say", "x"}}})
	if err != nil {
		return err
	}
	_, err = cli.ContainerStart(t.Context(), got.ID, client.ContainerStartOptions{})
	_, removed := cli.ContainerRemove(t.Context(), got.ID, client.ContainerRemoveOptions{Force: true})
	return errors.Join(err, removed)
}

// Containers are the ids of the containers with a label, whatever their state.
func Containers(t testing.TB, cli *client.Client, label string) []string {
	t.Helper()
	return containers(t, cli, "label", label)
}

// ContainersOf are the ids of the containers of an image, whatever their state.
func ContainersOf(t testing.TB, cli *client.Client, image string) []string {
	t.Helper()
	return containers(t, cli, "ancestor", image)
}

func containers(t testing.TB, cli *client.Client, filter, value string) []string {
	t.Helper()
	all, err := cli.ContainerList(context.WithoutCancel(t.Context()), client.ContainerListOptions{All: true, Filters: client.Filters{}.Add(filter, value)})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, c := range all.Items {
		ids = append(ids, c.ID)
	}
	return ids
}
