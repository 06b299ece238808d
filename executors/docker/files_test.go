package docker_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/docker"
	"github.com/taskgrove/taskgrove/executors/docker/dockertest"
)

// filed runs a task with files, and gives its result.
func filed(t *testing.T, e *docker.Executor, files *conformance.Files, artifacts []string, in inputs) (map[string]any, error) {
	t.Helper()
	call, _ := attempt(t, in)
	call.Files, call.Artifacts, call.KeepOutputs = files, artifacts, true
	got, err := e.Run(t.Context(), call)
	wantNothingLeft(t)
	var shown map[string]any
	text, _ := json.Marshal(got.Value())
	if bad := json.Unmarshal(text, &shown); bad != nil {
		t.Fatal(bad)
	}
	return shown, err
}

// Artifacts are files in the container, for every user in it, and its standard input.
func TestArtifactsComeIn(t *testing.T) {
	t.Parallel()
	image, e, files := dockertest.Image(t), newExecutor(t, docker.Config{}), &conformance.Files{}
	ref := files.Put("deep/../../in.txt", []byte("content"))
	for what, in := range map[string]inputs{
		"a word of the command": {"image": image, "command": []any{"read", ref}},
		"with a read-only root": {"image": image, "command": []any{"read", ref}, "read_only": true},
		"as another user":       {"image": image, "command": []any{"read", ref}, "user": "1234:1234"},
		"standard input":        {"image": image, "command": "cat", "stdin": ref},
	} {
		got, err := filed(t, e, files, nil, in)
		if err != nil || got["logs"] != "content" || got["exit_code"] != 0.0 {
			t.Errorf("%s: got %v, %v", what, got, err)
		}
	}
	got, err := filed(t, e, files, nil, inputs{"image": image, "command": "env", "env": inputs{"HERE": ref}, "table": ref})
	logs, _ := got["logs"].(string)
	for _, want := range []string{"\nHERE=/taskgrove/", "/in.txt\n", "\nTASKGROVE_ARTIFACT_TABLE=/taskgrove/"} {
		if err != nil || !strings.Contains(logs, want) {
			t.Errorf("the environment lacks %q: %s, %v", want, logs, err)
		}
	}
	gone := ref
	gone.SHA256 = strings.Repeat("0", 64)
	if _, err := filed(t, e, files, nil, inputs{"image": image, "command": "cat", "stdin": gone}); executors.KindOf(err) != "artifact_missing" {
		t.Errorf("one that is gone: got %v", err)
	}
}

// What the task names is copied out of the container when it has exited: plain files below its working directory, and nothing else.
func TestFilesLeaveAsArtifacts(t *testing.T) {
	t.Parallel()
	image, e := dockertest.Image(t), newExecutor(t, docker.Config{})
	made := []any{"mkdir", "/work/out/deep", "write", "out/a.csv", "1", "write", "out/deep/b.csv", "22", "write", "top.csv", "333", "write", "out/c.txt", "4",
		"link", "/box", "out/box.csv", "link", "/work/out", "aside"}
	for _, row := range []struct {
		patterns string
		want     string // names, or the error after !
	}{
		{"out/*.csv", "out/a.csv"},
		{"**/*.csv", "out/a.csv out/deep/b.csv top.csv"},
		{"top.csv out/**", "out/a.csv out/c.txt out/deep/b.csv top.csv"},
		{"none/*", ""},
		{"aside/*.csv", ""},
		{"aside/a.csv", `!there is no file "aside/a.csv"`},
		{"out/box.csv", `!there is no file "out/box.csv"`},
		{"out", `!there is no file "out"`},
	} {
		files := &conformance.Files{}
		_, err := filed(t, e, files, strings.Fields(row.patterns), inputs{"image": image, "command": made, "working_dir": "/work"})
		if want, bad := strings.CutPrefix(row.want, "!"); bad {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v", row.patterns, err)
			}
			continue
		}
		var names []string
		for _, ref := range files.Saved() {
			names = append(names, ref.Artifact)
			if ref.Artifact == "out/deep/b.csv" && (string(files.Content(ref)) != "22" || ref.MediaType != "text/csv") {
				t.Errorf("%s: got %+v", row.patterns, ref)
			}
		}
		if got := strings.Join(names, " "); err != nil || got != row.want {
			t.Errorf("%s: got %q, %v", row.patterns, got, err)
		}
	}
	files := &conformance.Files{}
	if _, err := filed(t, e, files, []string{"*.csv"}, inputs{"image": image, "command": "say x"}); err == nil || !executors.IsPermanent(err) || !strings.Contains(err.Error(), "set working_dir") {
		t.Errorf("the whole file system: got %v", err)
	}
	if _, err := filed(t, e, files, []string{"out/*"}, inputs{"image": image, "command": append(made, "exit", "3"), "working_dir": "/work", "fail_on_error": true}); err == nil || len(files.Saved()) > 0 {
		t.Errorf("a container that fails: %v, %v", files.Saved(), err)
	}
}

// Output over its bound becomes an artifact.
func TestLongOutputBecomesAnArtifact(t *testing.T) {
	t.Parallel()
	image, e, files := dockertest.Image(t), newExecutor(t, docker.Config{MaxOutputBytes: 4 << 10}), &conformance.Files{}
	got, err := filed(t, e, files, nil, inputs{"image": image, "command": "flood 100 err oops", "separate": true})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"logs", "stdout"} {
		text, _ := json.Marshal(got[name])
		ref, ok := executors.RefOf(text)
		// In logs, what went to stderr stands anywhere.
		if content := strings.Replace(string(files.Content(ref)), "oops\n", "", 1); !ok || ref.Size < 100<<10 || !strings.HasPrefix(content, "xxx") {
			t.Errorf("%s: got %.200s, which begins with %.20q", name, text, content)
		}
	}
	if got["stderr"] != "oops\n" || got["truncated"] != nil || got["truncated_fields"] != nil {
		t.Errorf("got %v, truncated %v %v", got["stderr"], got["truncated"], got["truncated_fields"])
	}
	call, _ := attempt(t, inputs{"image": image, "command": "flood 100"})
	call.Files = files
	out, err := e.Run(t.Context(), call)
	if cut := out.Value().(*docker.Result); err != nil || !cut.Truncated || len(cut.Logs) != 4<<10 || len(cut.TruncatedFields) != 1 {
		t.Errorf("where outputs are not kept: %v, %d bytes, %v", cut.Truncated, len(cut.Logs), err)
	}
}
