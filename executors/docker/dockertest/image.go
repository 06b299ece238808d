// Package dockertest gives tests a Docker engine and an image.
//
// It owns how a test gets them: the engine of this machine, and an image that holds one program, which it builds itself, as nothing can be
// pulled where tests run. It must not know what is tested.
package dockertest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

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

// Layer is a tar archive with the program /box (see its source for what it can do), which is also /bin/echo and /bin/report, and an empty
// directory /tmp.
func Layer(t testing.TB) []byte {
	t.Helper()
	program, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return archive(t, file{"tmp/", "", 0o1777}, file{"box", program, 0o755}, file{"bin/echo", "/box", link}, file{"bin/report", "/box", link})
}

// Archive is an image with the program /box as its entrypoint, and "say hello" as its command, as docker save writes one. It is called
// name, which must be whole.
func Archive(t testing.TB, name string) []byte {
	t.Helper()
	layer := Layer(t)
	config := `{"architecture":"` + runtime.GOARCH + `","os":"linux","config":{"Entrypoint":["/box"],"Cmd":["say","hello"]},` +
		`"rootfs":{"type":"layers","diff_ids":["` + Digest(layer) + `"]}}`
	manifest := `[{"Config":"config.json","RepoTags":["` + name + `"],"Layers":["layer.tar"]}]`
	return archive(t, file{"manifest.json", manifest, 0o644}, file{"config.json", config, 0o644}, file{"layer.tar", string(layer), 0o644})
}

// Digest is what registries call content by.
func Digest(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// link is the mode of a symbolic link, whose content is where it leads.
const link = -1

// file is one of an archive; a name that ends in a slash is a directory's.
type file struct {
	name, content string
	mode          int64
}

func archive(t testing.TB, files ...file) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		header := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content)), Typeflag: tar.TypeReg}
		switch {
		case strings.HasSuffix(f.name, "/"):
			header.Typeflag = tar.TypeDir
		case f.mode == link:
			header = &tar.Header{Name: f.name, Mode: 0o777, Linkname: f.content, Typeflag: tar.TypeSymlink}
			f.content = ""
		}
		err := w.WriteHeader(header)
		if err == nil {
			_, err = io.WriteString(w, f.content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
