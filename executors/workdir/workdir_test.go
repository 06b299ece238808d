package workdir_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// names are those of what was saved.
func names(f *conformance.Files) string {
	var list []string
	for _, ref := range f.Saved() {
		list = append(list, ref.Artifact)
	}
	return strings.Join(list, " ")
}

func write(t *testing.T, dir string, files ...string) {
	t.Helper()
	for _, name := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("content of "+filepath.Base(name)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCollect(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "work/out/a.csv", "work/out/b.csv", "work/out/deep/c.csv", "work/out/d.txt", "work/top.csv", "outside.csv")
	work := filepath.Join(dir, "work")
	for link, to := range map[string]string{"out/link.csv": "../../outside.csv", "out/inner.csv": "a.csv", "out/away": "../.."} {
		if err := os.Symlink(to, filepath.Join(work, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		patterns string
		want     string // names, or the error after !
	}{
		{"out/*.csv", "out/a.csv out/b.csv"},
		{"**/*.csv", "out/a.csv out/b.csv out/deep/c.csv top.csv"},
		{"out/**", "out/a.csv out/b.csv out/d.txt out/deep/c.csv"},
		{"top.csv out/?.txt", "out/d.txt top.csv"},
		{"./top.csv", "top.csv"},
		{"none/*", ""},
		{"out/missing.csv", `!there is no file "out/missing.csv"`},
		{"out/inner.csv", `!there is no file "out/inner.csv"`},
		{"out/away/outside.csv", `!there is no file "out/away/outside.csv"`},
		{"out", `!there is no file "out"`},
	} {
		s := &conformance.Files{}
		err := workdir.Collect(t.Context(), &executors.Call{Files: s, Artifacts: strings.Fields(row.patterns)}, work)
		if want, bad := strings.CutPrefix(row.want, "!"); bad {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v", row.patterns, err)
			}
			continue
		}
		if got := names(s); err != nil || got != row.want {
			t.Errorf("%s: got %q, %v", row.patterns, got, err)
		}
	}
}

func TestBases(t *testing.T) {
	for patterns, want := range map[string]string{
		"out/*.csv": "out", "*.csv out/a": ".", "**": ".", "a/b.txt a/b.txt": "a/b.txt", "a/b/* a/**/x a/c": "a", "out/x outside/y out/*": "out outside/y", "./top": "top", "a/[bc]/d": "a",
	} {
		if got := strings.Join(workdir.Bases(strings.Fields(patterns)), " "); got != want {
			t.Errorf("%s: got %q, want %q", patterns, got, want)
		}
	}
}

func TestReceive(t *testing.T) {
	s := &conformance.Files{}
	ref := s.Put("out/../../evil.csv", []byte("a,b"))
	text, _ := json.Marshal(ref)
	inputs := fmt.Sprintf(`{"args":["-v",%[1]s],"env":{"FILE":%[1]s,"N":"1"},"command":"cat","gen":{"artifacts":[%[1]s]},"data":%[1]s}`, text)
	dir, made := t.TempDir(), 0
	call := &executors.Call{Files: s, Inputs: json.RawMessage(inputs)}
	in, err := workdir.Receive(t.Context(), call, []string{"command", "args", "env"}, nil, func() (string, error) { made++; return dir, nil })
	if err != nil || made != 3 {
		t.Fatalf("%v, %d", err, made)
	}
	var got struct {
		Args []string
		Env  map[string]string
		Gen  struct{ Artifacts []executors.FileRef }
	}
	if err := json.Unmarshal(in.Inputs, &got); err != nil {
		t.Fatal(err)
	}
	for what, name := range map[string]string{"args": got.Args[1], "env": got.Env["FILE"], "variable": in.Env["TASKGROVE_ARTIFACT_FILE"], "an input": in.Env["TASKGROVE_ARTIFACT_DATA"], "of args": in.Env["TASKGROVE_ARTIFACT_ARGS_1"]} {
		data, err := os.ReadFile(name)
		if err != nil || string(data) != "a,b" || !strings.HasPrefix(name, dir) || filepath.Base(name) != "evil.csv" {
			t.Errorf("%s: %q has %q, %v", what, name, data, err)
		}
	}
	if len(got.Gen.Artifacts) != 1 || got.Gen.Artifacts[0] != ref {
		t.Errorf("another input: got %v", got.Gen)
	}

	call.Inputs = json.RawMessage(`{"command":"cat"}`)
	if in, err := workdir.Receive(t.Context(), call, []string{"command"}, nil, nil); err != nil || string(in.Inputs) != `{"command":"cat"}` {
		t.Errorf("no reference: got %s, %v", in.Inputs, err)
	}
	call.Inputs = json.RawMessage(`{"stdin":{"artifact":"x","sha256":"` + strings.Repeat("0", 64) + `","size":1,"media_type":""}}`)
	if _, err := workdir.Receive(t.Context(), call, []string{"stdin"}, nil, func() (string, error) { return dir, nil }); err == nil {
		t.Error("a reference to nothing: no error")
	}
}

func TestRefOf(t *testing.T) {
	digest := strings.Repeat("ab", 32)
	for text, ok := range map[string]bool{
		`{"artifact":"a","sha256":"` + digest + `","size":1,"media_type":"text/csv"}`:  true,
		`{"artifact":"a","sha256":"` + digest + `","size":1}`:                          true,
		`{"artifact":"a","sha256":"` + digest + `","size":-1,"media_type":""}`:         false,
		`{"artifact":"a","sha256":"abc","size":1,"media_type":""}`:                     false,
		`{"artifact":"a","sha256":"` + digest + `","size":1,"media_type":"","more":1}`: false,
		`{"sha256":"` + digest + `","size":1,"media_type":""}`:                         false,
		`"text"`: false, `null`: false, ``: false, `[]`: false,
	} {
		if _, got := executors.RefOf(json.RawMessage(text)); got != ok {
			t.Errorf("%s: got %v", text, got)
		}
	}
}

// Outputs over their bounds become references, and what the result says of them goes with them; without a place for them they are cut.
func TestKeep(t *testing.T) {
	for name, row := range map[string]struct {
		keep   bool
		most   int64 // of an artifact
		stderr string
		want   string
	}{
		"kept":                 {true, 1 << 20, "e", `{"n":9007199254740993,"stderr":"e"} logs`},
		"both":                 {true, 1 << 20, "too long as well", `{"n":9007199254740993} logs stderr`},
		"over the bound":       {true, 12, "e", `{"encoding":"base64","logs":"01234","n":9007199254740993,"stderr":"e","truncated":true,"truncated_fields":["logs"]}`},
		"one is":               {true, 14, "longer than 14 bytes", `{"n":9007199254740993,"stderr":"longe","truncated":true,"truncated_fields":["stderr"]} logs`},
		"outputs are not kept": {false, 1 << 20, "e", `{"encoding":"base64","logs":"01234","n":9007199254740993,"stderr":"e","truncated":true,"truncated_fields":["logs"]}`},
	} {
		files := &conformance.Files{}
		call := &executors.Call{Files: bounded{files, row.most}, KeepOutputs: row.keep}
		output := func(texts ...string) *workdir.Spill {
			s := workdir.NewSpill(call, executors.NewOutput(5, nil, ""), 5, t.TempDir())
			for _, text := range texts {
				_, _ = s.Write([]byte(text))
			}
			return s
		}
		logs, stderr := output("0123", "456789", "abc"), output(row.stderr)
		cut := map[string]bool{"logs": logs.Truncated(), "stderr": stderr.Truncated()}
		r := map[string]any{"logs": string(logs.Bytes()), "stderr": string(stderr.Bytes()), "encoding": "base64", "n": int64(1<<53 + 1), "truncated": cut["logs"] || cut["stderr"], "truncated_fields": executors.TruncatedFields(cut)}
		shown, err := workdir.Keep(t.Context(), call, r, workdir.Kept{Name: "logs", Output: logs, Beside: []string{"encoding"}}, workdir.Kept{Name: "stderr", Output: stderr})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		text, _ := json.Marshal(shown)
		var members map[string]json.RawMessage
		if err := json.Unmarshal(text, &members); err != nil {
			t.Fatal(err)
		}
		var refs []string
		for _, key := range []string{"logs", "stderr"} {
			if ref, ok := executors.RefOf(members[key]); ok {
				if want := map[string]string{"logs": "0123456789abc", "stderr": row.stderr}[key]; string(files.Content(ref)) != want {
					t.Errorf("%s: %s is %q", name, key, files.Content(ref))
				}
				refs = append(refs, key)
				delete(members, key)
			}
		}
		text, _ = json.Marshal(members)
		if got := strings.TrimSpace(string(text) + " " + strings.Join(refs, " ")); got != row.want {
			t.Errorf("%s: got %s\nwant %s", name, got, row.want)
		}
	}
}

// bounded takes outputs up to a bound.
type bounded struct {
	*conformance.Files
	most int64
}

func (b bounded) MaxOutput() int64 { return b.most }
