package process_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/process"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// Paths that lead out of what a task may use. SHARED is the pool's directory, OUTSIDE one that is not; links are made there as the table says.
var escapes = []string{
	"..", "../x", "a/../../x", "./../x", "/", "/etc/passwd", "//etc//passwd", "OUTSIDE", "OUTSIDE/secret", "SHARED/..", "SHARED/../x", "SHARED/../OUTSIDE/secret",
	"SHARED/a/../../x", "SHAREDx/secret", "SHARED/dirlink/secret", "SHARED/dirlink", "SHARED/filelink", "SHARED/uplink/x", "SHARED/chain/secret", "SHARED/abslink/x",
	"SHARED/loop", "SHARED/deep/../dirlink/secret", "~/../../etc/passwd", "/proc/self/environ", "/dev/stdout", "file:///../../etc/passwd", "SHARED/dirlink/../../OUTSIDE/secret",
}

// TestPathsStayInside tries each escape in each input that takes a path. Nothing outside may be read as if it were there, made, changed or removed.
func TestPathsStayInside(t *testing.T) {
	if len(escapes) < 20 {
		t.Fatalf("only %d escapes", len(escapes))
	}
	base := t.TempDir()
	shared, outside := base+"/shared", base+"/outside"
	write(t, outside+"/secret", "secret")
	write(t, base+"/sharedx/secret", "secret")
	write(t, base+"/x", "beside")
	write(t, shared+"/deep/fine", "fine")
	link := func() {
		for link, to := range map[string]string{"dirlink": "../outside", "filelink": "../outside/secret", "uplink": "..", "abslink": outside, "chain": "dirlink", "loop": "loop"} {
			name := filepath.Join(shared, link)
			if err := errors.Join(os.RemoveAll(name), os.Symlink(to, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	before := picture(t, base)
	fill := strings.NewReplacer("SHAREDx", base+"/sharedx", "SHARED", shared, "OUTSIDE", outside)
	for _, escape := range escapes {
		path := fill.Replace(escape)
		for field, inputs := range map[string]map[string]any{
			"cwd":           {"command": "true", "cwd": path},
			"log":           {"command": "echo x", "log": map[string]any{"stdout": "file", "file_path": path}},
			"require_files": {"command": "true", "success": map[string]any{"require_files": path}},
			"require_glob":  {"command": "true", "success": map[string]any{"require_glob": path + "/*"}},
			"forbid_files":  {"command": "true", "success": map[string]any{"forbid_files": []string{path + "/nothing"}}},
			"marker":        {"command": "true", "idempotency": map[string]any{"strategy": "marker", "marker_path": path}},
			"temp":          {"command": "true", "idempotency": map[string]any{"strategy": "atomic_dir", "temp_output_dir": path, "final_output_dir": shared + "/final"}},
			"final":         {"command": "true", "idempotency": map[string]any{"strategy": "atomic_dir", "temp_output_dir": shared + "/tmp", "final_output_dir": path}},
		} {
			link()
			got := run(t, shared, inputs)
			if !refused(got, field, escape) {
				t.Errorf("%s of %s: got %s, kind %q", field, escape, got.shown(), executors.KindOf(got.err))
			}
			_ = os.RemoveAll(shared + "/tmp")
			_ = os.RemoveAll(shared + "/final")
		}
	}
	if after := picture(t, base); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// refused reports whether an escape came to nothing: by an error, or as a path of the attempt's own directory that only looks like one.
func refused(got attempt, field, escape string) bool {
	switch {
	case executors.KindOf(got.err) == workdir.KindEscape:
		return executors.IsPermanent(got.err)
	case strings.HasPrefix(escape, "~"), strings.HasPrefix(escape, "file:"): // names like any other, and these lead out of the directory of that name
		return got.err != nil
	case field == "temp" && (strings.HasSuffix(escape, "link") || strings.HasSuffix(escape, "loop")): // the link itself is replaced, and what it leads to is not
		return true
	}
	return got.err != nil && executors.IsPermanent(got.err)
}

// picture is what is below a directory, without the links that a test may replace.
func picture(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	err := filepath.Walk(dir, func(name string, info os.FileInfo, err error) error {
		if err != nil || info.Mode()&os.ModeSymlink != 0 || strings.HasSuffix(name, "link") || strings.HasSuffix(name, "loop") {
			return err
		}
		line := strings.TrimPrefix(name, dir)
		if info.Mode().IsRegular() {
			line += "=" + content(t, name)
		}
		all = append(all, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

// A pool that may only read: what writes is refused, what looks is not.
func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/in/a.txt", "a")
	place := workdir.Place{Dir: dir, ReadOnly: true}
	if got := with(t, open, place, `{"command": "cat a.txt", "cwd": "`+dir+`/in", "success": {"require_files": "`+dir+`/in/a.txt"}, "log": {"stdout": "capture"}}`, nil); got.shown() != `{"attempts":1,"exit_code":0,"stdout":"a"}` {
		t.Errorf("reading: %s", got.shown())
	}
	for _, inputs := range []string{
		`{"command": "true", "log": {"stdout": "file", "file_path": "` + dir + `/log"}}`,
		atomic("true", dir+"/tmp", dir+"/final"),
	} {
		if got := with(t, open, place, inputs, nil); got.err == nil || !strings.Contains(got.err.Error(), "may only read there") {
			t.Errorf("%s: %s", inputs, got.shown())
		}
	}
}

// Result files that a program makes to harm whoever reads them.
func TestHostileResultFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/secret", "stolen=1")
	for name, script := range map[string]string{
		"a link outside":          `ln -s ` + dir + `/secret $TASKGROVE_RESULT_FILE`,
		"a loop":                  `ln -s result $TASKGROVE_RESULT_FILE`,
		"a directory":             `mkdir $TASKGROVE_RESULT_FILE`,
		"a pipe":                  `mkfifo $TASKGROVE_RESULT_FILE`,
		"its directory is a link": `d=$(dirname $TASKGROVE_RESULT_FILE); rm -r $d; mkdir ../other; mkfifo ../other/result; ln -s other $d`,
		"a large one":             `head -c 300000 /dev/zero | tr '\0' x > $TASKGROVE_RESULT_FILE`,
		"a hole":                  `truncate -s 10T $TASKGROVE_RESULT_FILE || truncate -s 1G $TASKGROVE_RESULT_FILE`,
		"no text":                 `printf 'a=\377' > $TASKGROVE_RESULT_FILE`,
		"a NUL":                   `printf 'a=\0' > $TASKGROVE_RESULT_FILE`,
		"a NUL in JSON":           `echo '{"a": "\u0000"}' > $TASKGROVE_RESULT_FILE`,
		"half of JSON":            `echo '{"a": 1' > $TASKGROVE_RESULT_FILE`,
		"two values":              `echo '{"a": 1} {"b": 2}' > $TASKGROVE_RESULT_FILE`,
		"a list":                  `echo '[1]' > $TASKGROVE_RESULT_FILE`,
		"a name twice":            `echo '{"a": 1, "a": 2}' > $TASKGROVE_RESULT_FILE`,
		"a name twice, deep":      `echo '{"a": {"b": 1, "b": 2}}' > $TASKGROVE_RESULT_FILE`,
		"half a surrogate":        `echo '{"a": "\ud800"}' > $TASKGROVE_RESULT_FILE`,
		"deep JSON":               `{ printf '{"a":'; head -c 20000 /dev/zero | tr '\0' '['; } > $TASKGROVE_RESULT_FILE`,
		"deep and whole":          `{ printf '{"a":'; head -c 20000 /dev/zero | tr '\0' '['; head -c 20000 /dev/zero | tr '\0' ']'; printf '}'; } > $TASKGROVE_RESULT_FILE`,
		"a line without a name":   `echo =1 > $TASKGROVE_RESULT_FILE`,
		"a line without a value":  `echo a > $TASKGROVE_RESULT_FILE`,
		"a name with a blank":     `echo 'a b=1' > $TASKGROVE_RESULT_FILE`,
		"a name with a dot":       `echo 'a.b=1' > $TASKGROVE_RESULT_FILE`,
		"a name of two bytes":     `echo 'é=1' > $TASKGROVE_RESULT_FILE`,
		"the exit code":           `echo exit_code=0 > $TASKGROVE_RESULT_FILE`,
		"the captured text":       `echo '{"stdout": "x"}' > $TASKGROVE_RESULT_FILE`,
		"that it was skipped":     `echo '{"skipped": true}' > $TASKGROVE_RESULT_FILE`,
		"artifacts of others":     `echo '{"artifacts": []}' > $TASKGROVE_RESULT_FILE`,
		"unreadable":              `touch $TASKGROVE_RESULT_FILE; chmod 0 $TASKGROVE_RESULT_FILE; [ $(id -u) != 0 ] || echo a > $TASKGROVE_RESULT_FILE`,
	} {
		got := run(t, "", map[string]any{"command": script, "shell": true})
		if !strings.HasPrefix(got.shown(), "!invalid_output:result_file:") || executors.KindOf(got.err) != process.KindOutput || !executors.IsPermanent(got.err) || len(got.shown()) > 200 {
			t.Errorf("%s: got %.300s", name, got.shown())
		}
	}
	for _, script := range []string{`rm -r $(dirname $TASKGROVE_RESULT_FILE)`, `d=$(dirname $TASKGROVE_RESULT_FILE); rm -r $d; touch $d`} {
		if got := run(t, "", map[string]any{"command": script, "shell": true}); got.err != nil {
			t.Errorf("%s: %v", script, got.err)
		}
	}
}

// What a program does to its directories harms nobody else.
func TestHostilePrograms(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/outside/keep", "keep")
	shared := dir + "/shared"
	write(t, shared+"/final/old", "old")
	for name, inputs := range map[string]string{
		"temp becomes a link":     atomic(`rm -r $TASKGROVE_OUTPUT_DIR; ln -s `+dir+`/outside $TASKGROVE_OUTPUT_DIR`, shared+"/tmp", shared+"/final"),
		"final becomes a link":    atomic(`rm -r `+shared+`/final; ln -s `+dir+`/outside `+shared+`/final`, shared+"/tmp", shared+"/final"),
		"its parent becomes one":  atomic(`mkdir `+shared+`/up; ln -s `+dir+`/outside `+shared+`/up/link`, shared+"/tmp", shared+"/up/link/final"),
		"the log becomes a pipe":  `{"command": "true", "log": {"stdout": "file", "file_path": "` + shared + `/pipe"}}`,
		"the log is a directory":  `{"command": "true", "log": {"stdout": "file", "file_path": "` + shared + `/final"}}`,
		"the marker is in a link": `{"command": "true", "success": {"marker_file": "` + shared + `/away/keep"}}`,
	} {
		_ = os.RemoveAll(shared)
		write(t, shared+"/final/old", "old")
		_ = os.Symlink("../outside", shared+"/away")
		call := map[string]any{}
		if err := json.Unmarshal([]byte(inputs), &call); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(name, "pipe") {
			if got := run(t, shared, map[string]any{"command": []string{"mkfifo", shared + "/pipe"}}); got.err != nil {
				t.Fatal(got.err)
			}
		}
		if got := run(t, shared, call); got.err == nil || !executors.IsPermanent(got.err) {
			t.Errorf("%s: got %s", name, got.shown())
		}
		if content(t, dir+"/outside/keep") != "keep" {
			t.Fatalf("%s: what was outside is gone", name)
		}
		if list, err := os.ReadDir(dir + "/outside"); err != nil || len(list) != 1 {
			t.Errorf("%s: outside there is %v, %v", name, list, err)
		}
	}
}
