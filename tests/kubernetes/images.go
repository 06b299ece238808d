package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/tests/versions"
)

// image is where both versions' images are called, but for their tags.
const image = "taskgrove"

// none is the tag of the version before when the release is not upgraded.
const none = "none"

// bare packs a program that was built on this machine: the version before has no Dockerfile that could be asked.
const bare = `FROM scratch
COPY taskgrove /usr/local/bin/taskgrove
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/taskgrove"]
`

// images builds the images of this version and of the version before from the repository in the working directory, and copies them, with those of
// Postgres and NATS that the chart names, to the cluster's nodes.
func (k *kube) images(ctx context.Context, before versions.Commit, load string) error {
	dir, err := os.MkdirTemp("", "cluster-test-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Setenv("CGO_ENABLED", "0"); err != nil { // programs that need no library
		return err
	}
	if _, err := k.run(ctx, "make", "image", "IMAGE="+image, "IMAGETAG="+k.s.tag, "IMAGETARGETS=taskgrove"); err != nil {
		return err
	}
	loaded := []string{image + ":" + k.s.tag}
	if k.s.previous != none {
		k.say("the version before is %s, of commit %.12s", before.Version, before.Hash)
		program, err := versions.Build(".", before, dir)
		if err != nil {
			return err
		}
		if err := os.Rename(program, filepath.Join(dir, "taskgrove")); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(bare), 0o644); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, ".dockerignore"), []byte("source-*\n"), 0o644); err != nil {
			return err
		}
		if _, err := k.run(ctx, "docker", "build", "-q", "-t", image+":"+k.s.previous, dir); err != nil {
			return err
		}
		loaded = append(loaded, image+":"+k.s.previous)
	}
	rendered, err := k.quietly(ctx, "helm", "template", k.s.release, k.s.chart, "-f", k.s.values, "--set", "image.tag="+k.s.tag)
	if err != nil {
		return err
	}
	for line := range strings.Lines(rendered) {
		name, found := strings.CutPrefix(strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "- ")), "image: ")
		if name = strings.Trim(name, `"'`); found && !strings.HasPrefix(name, image+":") && !slices.Contains(loaded, name) {
			loaded = append(loaded, name)
		}
	}
	for _, name := range loaded {
		if _, err := k.quietly(ctx, "docker", "image", "inspect", name); err != nil {
			return fmt.Errorf("this machine has no image %s, and it is not pulled", name)
		}
	}
	_, err = k.run(ctx, load, loaded...)
	return err
}
