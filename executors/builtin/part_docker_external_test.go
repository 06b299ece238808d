//go:build !nodocker

package builtin_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/docker/dockertest"
	"github.com/taskgrove/taskgrove/internal/config"
)

// speakerImage makes an image whose entry point speaks the protocol of external executors.
func speakerImage(t *testing.T, cli *client.Client) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "speaker")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", program, "../external/testdata/speaker/main.go")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	err = w.WriteHeader(&tar.Header{Name: "speaker", Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = w.Write(text)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("taskgrove-test/speaker:%d", time.Now().UnixNano())
	got, err := cli.ImageImport(t.Context(), client.ImageImportSource{Source: &layer, SourceName: "-"}, name,
		client.ImageImportOptions{Changes: []string{`ENTRYPOINT ["/speaker"]`}})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, got)
	_ = got.Close()
	t.Cleanup(func() {
		_, _ = cli.ImageRemove(context.WithoutCancel(t.Context()), name, client.ImageRemoveOptions{Force: true})
	})
	return name
}

// TestExternalImage: an executor that is a container image, from the worker's file to the end of its container.
func TestExternalImage(t *testing.T) {
	cli := dockertest.Client(t)
	image := speakerImage(t, cli)
	file := filepath.Join(t.TempDir(), "worker.yaml")
	text := fmt.Sprintf("executors:\n  - {image: %q, env: {LEVEL: \"3\"}, start_within: 1m}\n", image)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	settings := &config.Executors{WorkerFile: file, DockerAllow: true, DockerGrace: time.Second, CommandGrace: time.Second}
	all, err := builtin.OpenExternal(t.Context(), builtin.ExternalFromSettings(settings), slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	e := all[0]
	closed := false
	defer func() {
		if !closed {
			_ = e.(io.Closer).Close()
		}
	}()
	if why := e.(executors.Disabler).Disabled(); why != "" {
		t.Fatal(why)
	}
	call, said := conformance.Call(t, `{"value": [1, "é"]}`)
	for range 3 {
		out, err := e.Run(t.Context(), call)
		if got, _ := json.Marshal(out.Value()); err != nil || string(got) != `{"level":"3","value":[1,"é"]}` {
			t.Fatalf("got %s, %v", got, err)
		}
	}
	if !slices.Contains(said.Lines(), "log: ready") {
		t.Errorf("said %q", said.Lines())
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	slow, heard := conformance.Call(t, `{"seconds": 600}`)
	go func() {
		<-heard.Logged("log: ready")
		cancel(executors.ErrCancelled)
	}()
	out, err := e.Run(ctx, slow)
	if got, _ := json.Marshal(out.Value()); !errors.Is(err, executors.ErrCancelled) || string(got) != `"half"` {
		t.Errorf("got %s, %v", got, err)
	}
	const label = "taskgrove.task"
	ours := func() (n int) {
		list, err := cli.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", label)})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list.Items {
			if strings.Contains(c.Labels[label], image) {
				n++
			}
		}
		return n
	}
	if n := ours(); n != 1 {
		t.Errorf("%d containers, want the one that is kept", n)
	}
	closed = true
	if err := e.(io.Closer).Close(); err != nil {
		t.Error(err)
	}
	if n := ours(); n != 0 {
		t.Errorf("%d containers are left", n)
	}
}
