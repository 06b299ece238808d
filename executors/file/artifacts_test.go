package file_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/file"
)

// An artifact is written as a file, and a file that is too long for the result is an artifact.
func TestArtifactsAreWrittenAndRead(t *testing.T) {
	root, files := t.TempDir(), &conformance.Files{}
	e := file.New(file.Config{MaxBytes: 1000, Place: func(string) file.Place { return file.Place{Root: root} }})
	long := strings.Repeat("0123456789", 10_000)
	ref := files.Put("x", []byte(long))
	do := func(keep bool, in object) (map[string]any, error) {
		call, _ := conformance.Call(t, in)
		call.Files, call.KeepOutputs = files, keep
		return outcome(t, e, t.Context(), call)
	}
	got, err := do(false, object{"operation": "write", "path": "out.txt", "content": ref, "algorithm": "sha256", "expected": ref.SHA256})
	if data, _ := os.ReadFile(filepath.Join(root, "out.txt")); err != nil || string(data) != long || got["bytes"] != 100_000.0 {
		t.Errorf("write: %v, %v, %d bytes", got, err, len(data))
	}
	if _, err := do(false, object{"operation": "write", "path": "bad.txt", "content": ref, "expected": strings.Repeat("0", 64)}); err == nil {
		t.Error("another sum: no error")
	}
	gone := ref
	gone.SHA256 = strings.Repeat("0", 64)
	if _, err := do(false, object{"operation": "write", "path": "bad.txt", "content": gone}); executors.KindOf(err) != "artifact_missing" {
		t.Errorf("one that is gone: got %v, kind %q", err, executors.KindOf(err))
	}
	if left, _ := filepath.Glob(filepath.Join(root, "*bad*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}

	got, err = do(true, object{"operation": "read", "path": "out.txt", "algorithm": "sha256"})
	text, _ := json.Marshal(got["content"])
	if back, ok := executors.RefOf(text); err != nil || !ok || back.SHA256 != ref.SHA256 || back.MediaType != "text/plain" || got["checksum"] != ref.SHA256 || got["truncated"] != nil {
		t.Errorf("read: got %v, %v", got, err)
	}
	for what, row := range map[string]struct {
		keep   bool
		in     object
		fields bool
	}{
		"outputs are not kept":  {false, object{"operation": "read", "path": "out.txt"}, true},
		"a part was asked for":  {true, object{"operation": "read", "path": "out.txt", "max_bytes": 5}, false},
		"all of it, as it is 0": {true, object{"operation": "read", "path": "out.txt", "max_bytes": 0}, false},
	} {
		got, err := do(row.keep, row.in)
		if _, cut := got["content"].(string); err != nil || !cut || got["truncated"] != true || (got["truncated_fields"] != nil) != row.fields {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
}

// Files of the worker that the task names become artifacts, by their paths below the root.
func TestNamedFilesBecomeArtifacts(t *testing.T) {
	root, files := t.TempDir(), &conformance.Files{}
	e := file.New(file.Config{Place: func(string) file.Place { return file.Place{Root: root} }})
	call, _ := conformance.Call(t, object{"operation": "write", "path": "out/a.csv", "content": "1,2"})
	call.Files, call.Artifacts = files, []string{"out/*.csv"}
	if _, err := e.Run(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	if saved := files.Saved(); len(saved) != 1 || saved[0].Artifact != "out/a.csv" || string(files.Content(saved[0])) != "1,2" {
		t.Errorf("got %v", saved)
	}
	call, _ = conformance.Call(t, object{"operation": "stat", "path": "out"})
	call.Files, call.Artifacts = files, []string{"none.csv"}
	if _, err := e.Run(t.Context(), call); err == nil || !strings.Contains(err.Error(), `there is no file "none.csv"`) {
		t.Errorf("one that is not there: got %v", err)
	}
}
