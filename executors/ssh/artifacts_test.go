package ssh_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/ssh"
	"github.com/taskgrove/taskgrove/executors/ssh/sshtest"
)

// Artifacts go to the host as files and standard input; files and output that are too long for the result come back as artifacts.
func TestArtifactsGoThereAndBack(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	e, files, dir := newExecutor(t, ssh.Config{MaxOutputBytes: 1000}), &conformance.Files{}, t.TempDir()
	long := strings.Repeat("0123456789\n", 100_000)
	ref := files.Put("in.txt", []byte(long))
	inputs := map[string]any{
		"command": "cat >'" + dir + "/typed' && cat '" + dir + "/sent'", "stdin": ref,
		"upload":   []any{map[string]any{"to": dir + "/sent", "content": ref}},
		"download": []any{map[string]any{"from": dir + "/typed"}, map[string]any{"from": dir + "/typed", "max_bytes": 5}, map[string]any{"from": "/etc/hostname"}},
	}
	for _, keep := range []bool{true, false} {
		call, _ := conformance.Call(t, s.Inputs(inputs))
		call.Files, call.KeepOutputs = files, keep
		out, err := e.Run(t.Context(), call)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"sent", "typed"} {
			if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != long {
				t.Errorf("%s has %d bytes, %v", name, len(got), err)
			}
		}
		text, _ := json.Marshal(out.Value())
		var got struct {
			Stdout    json.RawMessage
			Truncated bool
			Files     []struct {
				Content   json.RawMessage
				Bytes     int
				Truncated bool
				Fields    []string `json:"truncated_fields"`
			}
		}
		if err := json.Unmarshal(text, &got); err != nil || len(got.Files) != 3 {
			t.Fatalf("%.300s: %v", text, err)
		}
		typed, five := got.Files[0], got.Files[1]
		if !keep {
			if !got.Truncated || !typed.Truncated || len(typed.Fields) != 1 || five.Fields == nil { // nothing was left of the bound for the second
				t.Errorf("where outputs are not kept: got %.300s", text)
			}
			continue
		}
		for what, raw := range map[string]json.RawMessage{"stdout": got.Stdout, "typed": typed.Content} {
			if ref, ok := executors.RefOf(raw); !ok || ref.Artifact != what || string(files.Content(ref)) != long {
				t.Errorf("%s: got %.200s", what, raw)
			}
		}
		if got.Truncated || typed.Truncated || typed.Bytes != len(long) || string(five.Content) != `"01234"` || !five.Truncated || five.Fields != nil {
			t.Errorf("got %.500s", text)
		}
	}
}
