package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/moby/client"
)

// auditorImage is what the tree calls the image; a run puts one of its own in its place.
const auditorImage = "taskgrove-showcase/auditor:1"

// image is an image with the auditor as its only file.
type image struct {
	engine *client.Client
	name   string
}

// makeImage builds the auditor and makes an image of it: no registry is asked. The error says why no container can run here.
func makeImage(ctx context.Context, source string) (*image, error) {
	engine, err := client.New(client.FromEnv)
	if err != nil {
		return nil, err
	}
	i := &image{engine, "taskgrove-showcase/auditor:" + strings.ToLower(rand.Text())}
	if err := i.make(ctx, source); err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	return i, nil
}

func (i *image) make(ctx context.Context, source string) error {
	asking, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := i.engine.Ping(asking, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return fmt.Errorf("no Docker engine answers: %w", err)
	}
	program, err := build(ctx, filepath.Join(source, "auditor"))
	if err != nil {
		return err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	err = w.WriteHeader(&tar.Header{Name: "auditor", Mode: 0o755, Size: int64(len(program))})
	if _, e := w.Write(program); err == nil {
		err = e
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	answer, err := i.engine.ImageImport(ctx, client.ImageImportSource{Source: &layer, SourceName: "-"}, i.name,
		client.ImageImportOptions{Changes: []string{`ENTRYPOINT ["/auditor"]`}})
	if err != nil {
		return fmt.Errorf("make an image: %w", err)
	}
	_, err = io.Copy(io.Discard, answer)
	return errors.Join(err, answer.Close())
}

// build builds a program that needs nothing beside it, and returns its bytes.
func build(ctx context.Context, dir string) ([]byte, error) {
	temp, err := os.MkdirTemp("", "taskgrove-showcase-build-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp)
	program := filepath.Join(temp, "auditor")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", program, ".")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the auditor: %w: %s", err, out)
	}
	return os.ReadFile(program)
}

// remove removes the image.
func (i *image) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := i.engine.ImageRemove(ctx, i.name, client.ImageRemoveOptions{Force: true})
	return errors.Join(err, i.engine.Close())
}
