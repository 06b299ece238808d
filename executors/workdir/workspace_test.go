package workdir_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// Of a task that is no step of a flow, the workspace is a directory of the attempt's own, which is gone with it.
func TestWorkspaceOfAnAttempt(t *testing.T) {
	files := &conformance.Files{}
	text, _ := json.Marshal(files.Put("in.csv", []byte("a,b")))
	call := &executors.Call{Files: files, Artifacts: []string{"out/*"}, Inputs: json.RawMessage(fmt.Sprintf(`{"path":%[1]s,"items":[%[1]s,"b"],"of":{"result":%[1]s}}`, text))}
	other := t.TempDir()
	w, err := workdir.OpenWorkspace(t.Context(), call, workdir.Place{Dir: other, ReadOnly: true}, workdir.Place{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var in struct {
		Path  string
		Items []string
		Of    struct{ Result executors.FileRef }
	}
	if err := json.Unmarshal(w.Inputs, &in); err != nil {
		t.Fatalf("%v: %s", err, w.Inputs)
	}
	for _, name := range []string{in.Path, in.Items[0]} {
		at, err := w.At("path", name)
		if err != nil || at.Writable("path") == nil {
			t.Fatalf("an artifact that came in: %v, %v", at, err)
		}
		if data, err := at.Root.ReadFile(at.Name); err != nil || string(data) != "a,b" {
			t.Errorf("got %q, %v", data, err)
		}
	}
	if at, err := w.At("path", other); err != nil || at.Writable("path") == nil {
		t.Errorf("another place: %v, %v", at, err)
	}
	for _, bad := range []string{"../x", "/etc/passwd", "", "a\x00b", filepath.Join(in.Path, "../../../../x")} {
		if at, err := w.At("path", bad); err == nil {
			t.Errorf("%q is at %s", bad, at.Path)
		}
	}
	dir, err := w.Scratch("tmp")
	if err != nil {
		t.Fatal(err)
	}
	write(t, w.Dir(), "out/a.csv")
	write(t, dir, "b.csv")
	out, err := w.Keep(t.Context(), map[string]any{"path": w.Dir()})
	if err != nil || fmt.Sprint(out) != "map[path:"+w.Dir()+"]" || names(files) != "out/a.csv" {
		t.Errorf("kept %q: %v, %v", names(files), out, err)
	}
	own := w.Dir()
	w.Close()
	for _, gone := range []string{own, dir, in.Path} {
		if _, err := os.Stat(gone); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there", gone)
		}
	}
	call.Inputs = json.RawMessage(`{"path":{"artifact":"x","sha256":"` + strings.Repeat("0", 64) + `","size":1,"media_type":""}}`)
	if w, err := workdir.OpenWorkspace(t.Context(), call); err == nil {
		w.Close()
		t.Error("an artifact that is not there: no error")
	}
}
