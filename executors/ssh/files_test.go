package ssh_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/ssh"
	"github.com/taskgrove/taskgrove/executors/ssh/sshtest"
)

func TestFiles(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	e := newExecutor(t, ssh.Config{})
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "old"), []byte("old"), 0o640))
	must(t, os.Symlink("old", filepath.Join(dir, "link")))
	binary := []byte{0, 0xff, '\n'}
	got, err := run(t, e, s.Inputs(map[string]any{
		"command": "cd '" + dir + "' && cat old && ./script",
		"upload": []any{
			map[string]any{"to": dir + "/script", "content": "#!/bin/sh\necho ran >report\n", "mode": "0755"},
			map[string]any{"to": dir + "/link", "content": "new"},
			map[string]any{"to": dir + "/binary", "content": base64.StdEncoding.EncodeToString(binary), "encoding": "base64", "mode": "600"},
			map[string]any{"to": dir + "/large", "content": strings.Repeat("0123456789abcdef", 200_000)},
		},
		"download": []any{
			map[string]any{"from": dir + "/report"}, map[string]any{"from": dir + "/binary"}, map[string]any{"from": dir + "/script", "max_bytes": 9},
			map[string]any{"from": "/proc/self/status", "max_bytes": 5},
		},
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got.Stdout != "new" || got.ReturnCode != 0 {
		t.Errorf("got %+v", got)
	}
	want := []ssh.File{
		{From: dir + "/report", Content: "ran\n", Bytes: 4},
		{From: dir + "/binary", Content: base64.StdEncoding.EncodeToString(binary), Encoding: "base64", Bytes: 3},
		{From: dir + "/script", Content: "#!/bin/sh", Bytes: 9, Truncated: true},
		{From: "/proc/self/status", Content: "Name:", Bytes: 5, Truncated: true},
	}
	if len(got.Files) != len(want) {
		t.Fatalf("got %+v", got.Files)
	}
	for i := range want {
		if !reflect.DeepEqual(got.Files[i], want[i]) {
			t.Errorf("got %+v, want %+v", got.Files[i], want[i])
		}
	}
	for name, mode := range map[string]os.FileMode{"script": 0o755, "old": 0o640, "binary": 0o600, "large": 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v, want %v", name, info.Mode(), err, mode)
		}
	}
	if to, err := os.Readlink(filepath.Join(dir, "link")); err != nil || to != "old" {
		t.Errorf("the link was replaced: %q, %v", to, err)
	}
	if parts, _ := filepath.Glob(filepath.Join(dir, "*.part")); len(parts) > 0 {
		t.Errorf("left: %q", parts)
	}
}

func TestDownloadsAreBoundedTogether(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	e := newExecutor(t, ssh.Config{MaxOutputBytes: 100})
	name := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(name, []byte(strings.Repeat("x", 70)), 0o600))
	from := map[string]any{"from": name}
	got, err := run(t, e, s.Inputs(map[string]any{"download": []any{from, from, from}}))
	if err != nil || got.Files[0].Bytes != 70 || got.Files[1].Bytes != 30 || !got.Files[1].Truncated || got.Files[2].Bytes != 0 || !got.Files[2].Truncated {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestFilesThatMayNotBe: what is no file, is not there, or would never end.
func TestFilesThatMayNotBe(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	e := newExecutor(t, ssh.Config{})
	dir := t.TempDir()
	if out, err := exec.Command("mkfifo", dir+"/pipe").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	must(t, os.Symlink(dir+"/pipe", dir+"/link"))
	must(t, os.Symlink("loop", dir+"/loop"))
	for from, want := range map[string]string{
		dir + "/missing":       "download " + dir + "/missing: ",
		dir:                    "is no file",
		dir + "/pipe":          "is no file",
		dir + "/link":          "is no file",
		dir + "/loop":          "download ",
		"/dev/zero":            "is no file",
		dir + "/":              "names a directory",
		"a/..":                 "names a directory",
		"..":                   "names a directory",
		"":                     "is required",
		"x\x00y":               "contains a control character",
		"x\ny":                 "contains a control character",
		"/root/../etc/shadow/": "names a directory",
	} {
		if _, err := run(t, e, s.Inputs(map[string]any{"download": []any{map[string]any{"from": from}}})); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("download %q: got %v", from, err)
		}
		in := s.Inputs(map[string]any{"upload": []any{map[string]any{"to": from, "content": "x"}}})
		if from == dir+"/missing" {
			in["upload"] = []any{map[string]any{"to": from + "/deeper/still", "content": "x"}}
			want = "upload " + from
		}
		if from == dir+"/loop" { // is replaced
			continue
		}
		if _, err := run(t, e, in); err == nil || !strings.Contains(err.Error(), strings.Replace(strings.Replace(want, "download ", "", 1), "is no file", "", 1)) {
			t.Errorf("upload %q: got %v", from, err)
		}
	}
	_, err := run(t, e, s.Inputs(map[string]any{"download": []any{map[string]any{"from": dir + "/missing"}}}))
	if !executors.IsPermanent(err) {
		t.Errorf("a missing file may be retried: %v", err)
	}
	got, err := run(t, e, s.Inputs(map[string]any{"command": "exit 3", "download": []any{map[string]any{"from": dir + "/missing"}}}))
	if err != nil || got.ReturnCode != 3 || len(got.Files) != 1 || got.Files[0].Error == "" {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestCancelledUploadLeavesNothing: no half file, and no other.
func TestCancelledUploadLeavesNothing(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	e := newExecutor(t, ssh.Config{})
	dir := t.TempDir()
	ctx, cancel := context.WithCancelCause(t.Context())
	call, _ := conformance.Call(t, s.Inputs(map[string]any{"upload": []any{map[string]any{"to": dir + "/f", "content": strings.Repeat("x", 64<<20)}}}))
	ended := make(chan error, 1)
	go func() {
		_, err := e.Run(ctx, call)
		ended <- err
	}()
	for found := []string(nil); len(found) == 0; time.Sleep(time.Millisecond) {
		found, _ = filepath.Glob(dir + "/*")
	}
	cancel(executors.ErrCancelled)
	if err := <-ended; !errors.Is(err, executors.ErrCancelled) {
		t.Errorf("got %v", err)
	}
	if left, _ := filepath.Glob(dir + "/*"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// TestExamples runs what the documentation shows, at a server of the test's own.
func TestExamples(t *testing.T) {
	t.Parallel()
	s, jump := sshtest.For(t), sshtest.For(t)
	e := newExecutor(t, ssh.Config{})
	for _, example := range e.Describe().Examples {
		t.Run(example.Title, func(t *testing.T) {
			call, _ := conformance.Call(t, adapted(t, example.Inputs, s, jump))
			got, err := runCall(t.Context(), e, call)
			if err != nil {
				t.Fatal(err)
			}
			if !got.Success {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// adapted is an example with the test's hosts and keys in the places of those that it shows.
func adapted(t *testing.T, raw json.RawMessage, s, jump *sshtest.Server) map[string]any {
	t.Helper()
	var in map[string]any
	must(t, json.Unmarshal(raw, &in))
	own := func(in map[string]any, s *sshtest.Server) {
		for name, value := range s.Inputs(map[string]any{"command": nil}) {
			in[name] = value
		}
	}
	own(in, s)
	jumps, _ := in["jump"].([]any)
	for _, one := range jumps {
		own(one.(map[string]any), jump)
	}
	return in
}
