package workdir_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// run is a run of a flow: what its tree has in the store, and workers.
type run struct {
	t     *testing.T
	files *conformance.Files
	tree  string

	mu        sync.Mutex
	manifests map[string][]string // by job: those of attempts that succeeded
	hosts     map[string]*workdir.Jobs
}

func newRun(t *testing.T) *run {
	return &run{t: t, files: &conformance.Files{}, tree: "tree", manifests: map[string][]string{}, hosts: map[string]*workdir.Jobs{}}
}

// host is a worker by its name.
func (r *run) host(name string) *workdir.Jobs {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hosts[name] == nil {
		r.hosts[name] = workdir.NewJobs(r.t.TempDir())
		r.t.Cleanup(func() { _ = r.hosts[name].Close() })
	}
	return r.hosts[name]
}

// attempt is what one sees of the store.
type attempt struct {
	*conformance.Files
	run *run

	mu    sync.Mutex
	job   string
	saved string // the manifest; empty: none
	names []string
	fails bool
}

func (a *attempt) Save(ctx context.Context, file executors.SavedFile, content io.Reader) (executors.FileRef, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.names = append(a.names, file.Name); a.fails {
		return executors.FileRef{}, errors.New("the store is away")
	}
	return a.Files.Save(ctx, file, content)
}

func (a *attempt) Newest(_ context.Context, job string) (io.ReadCloser, int, error) {
	a.run.mu.Lock()
	defer a.run.mu.Unlock()
	list := a.run.manifests[job]
	if len(list) == 0 {
		return nil, 0, nil
	}
	return io.NopCloser(strings.NewReader(list[len(list)-1])), len(list), nil
}

func (a *attempt) SaveManifest(_ context.Context, job string, number int, manifest []byte) error {
	if have := len(a.run.manifests[job]); number != have+1 {
		return fmt.Errorf("manifest %d after %d", number, have)
	}
	a.job, a.saved = job, string(manifest)
	return nil
}

// settle is what happens when the attempt's success has been reported.
func (a *attempt) settle() {
	if a.saved != "" {
		a.run.manifests[a.job] = append(a.run.manifests[a.job], a.saved)
	}
}

// open begins an attempt of a step on a worker.
func (r *run) open(host, job, step, inputs string) (*workdir.Workspace, *attempt, error) {
	return r.openWith(host, fmt.Sprintf(`{"flow_id":"f","run_id":"r1","job_id":%q,"step_id":%q,"workspace":{"layout":{},"cleanup_policy":"on_success"}}`, job, step), inputs)
}

func (r *run) openWith(host, params, inputs string) (*workdir.Workspace, *attempt, error) {
	a := &attempt{Files: r.files, run: r}
	call := &executors.Call{TreeID: r.tree, Files: a, JobDirs: r.host(host), Params: json.RawMessage(params), Inputs: json.RawMessage(inputs), Reporter: &conformance.Recorder{}}
	w, err := workdir.OpenWorkspace(r.t.Context(), call)
	if err == nil {
		r.t.Cleanup(w.Close)
	}
	return w, a, err
}

// step runs one that succeeds, and gives its result and the names that it saved.
func (r *run) step(host, job string, work func(w *workdir.Workspace) any) (string, string) {
	r.t.Helper()
	w, a, err := r.open(host, job, "s", `{}`)
	if err != nil {
		r.t.Fatal(err)
	}
	defer w.Close()
	result, err := w.Keep(r.t.Context(), work(w))
	if err != nil {
		r.t.Fatal(err)
	}
	a.settle()
	slices.Sort(a.names)
	text, _ := json.Marshal(result)
	return string(text), strings.Join(a.names, " ")
}

func (r *run) at(w *workdir.Workspace, name string) workdir.Spot {
	r.t.Helper()
	at, err := w.At("path", name)
	if err != nil {
		r.t.Fatal(err)
	}
	return at
}

func (r *run) put(w *workdir.Workspace, name, content string) {
	r.t.Helper()
	at := r.at(w, name)
	if err := errors.Join(at.Root.MkdirAll(filepath.Dir(at.Name), 0o755), at.Root.WriteFile(at.Name, []byte(content), 0o644)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *run) want(w *workdir.Workspace, name, content string) {
	r.t.Helper()
	at := r.at(w, name)
	data, err := at.Root.ReadFile(at.Name)
	if content == "" && errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil || string(data) != content {
		r.t.Errorf("%s has %q, %v; want %q", name, data, err, content)
	}
}

// Steps of a job find what those before them have left, on whichever worker they run.
func TestSteps(t *testing.T) {
	r := newRun(t)
	result, saved := r.step("one", "job", func(w *workdir.Workspace) any {
		r.put(w, "a.csv", "first")
		r.put(w, "out/b.csv", "b")
		r.put(w, "out/run.sh", "#!/bin/sh")
		if err := os.Chmod(filepath.Join(w.Dir(), "out/run.sh"), 0o755); err != nil {
			t.Error(err)
		}
		if err := os.Symlink("/etc/passwd", filepath.Join(w.Dir(), "link")); err != nil {
			t.Error(err)
		}
		dir, err := w.Scratch("tmp")
		if err != nil {
			t.Error(err)
		}
		write(t, dir, "never")
		return map[string]any{"path": filepath.Join(w.Dir(), "out/b.csv"), "dir": w.Dir(), "shown": r.at(w, "a.csv").Shown(), "n": 9007199254740993, "list": []string{w.Dir() + "/out", "out", "/etc"}}
	})
	if want := `{"dir":"artifact:job/.","list":["artifact:job/out","out","/etc"],"n":9007199254740993,"path":"artifact:job/out/b.csv","shown":"artifact:job/a.csv"}`; result != want || saved != "a.csv out/b.csv out/run.sh" {
		t.Errorf("got %s, saved %s", result, saved)
	}
	_, saved = r.step("two", "job", func(w *workdir.Workspace) any {
		if entries, _ := os.ReadDir(w.Dir()); len(entries) != 0 {
			t.Error("what is not asked for is fetched")
		}
		r.want(w, "a.csv", "first")
		r.put(w, "a.csv", "secnd") // as long as before
		r.put(w, "c.csv", "c")
		return nil
	})
	if saved != "a.csv c.csv" {
		t.Errorf("saved %s", saved)
	}
	_, saved = r.step("one", "job", func(w *workdir.Workspace) any {
		if err := w.Restore(t.Context()); err != nil {
			t.Error(err)
		}
		for name, content := range map[string]string{"a.csv": "secnd", "out/b.csv": "b", "c.csv": "c", "out/run.sh": "#!/bin/sh"} {
			r.want(w, name, content)
		}
		if info, err := os.Stat(filepath.Join(w.Dir(), "out/run.sh")); err != nil || info.Mode().Perm()&0o100 == 0 {
			t.Errorf("a program: %v, %v", info.Mode(), err)
		}
		if err := os.RemoveAll(filepath.Join(w.Dir(), "out")); err != nil {
			t.Error(err)
		}
		return nil
	})
	if saved != "" {
		t.Errorf("saved %s", saved)
	}
	r.step("two", "job", func(w *workdir.Workspace) any {
		r.want(w, "out/b.csv", "")
		r.want(w, "c.csv", "c")
		if found, err := r.at(w, "*.csv").Glob("path"); err != nil || len(found) != 2 {
			t.Errorf("found %v, %v", found, err)
		}
		return nil
	})
	r.step("one", "job", func(w *workdir.Workspace) any { r.put(w, "e", "e"); return nil })
	r.step("two", "job", func(w *workdir.Workspace) any { r.want(w, "e", "e"); return os.Remove(w.Dir() + "/e") })
	r.step("one", "job", func(w *workdir.Workspace) any { r.want(w, "e", ""); return nil })
	if n := len(r.manifests["job"]); n != 5 {
		t.Errorf("%d manifests, want one for each step that changed something", n)
	}
	if last := r.manifests["job"][2]; !strings.Contains(last, `"deleted":["out/b.csv","out/run.sh"]`) {
		t.Errorf("the last manifest is %s", last)
	}
	r.step("three", "job", func(w *workdir.Workspace) any { return nil }) // nothing was fetched, and all is still there
	r.step("four", "job", func(w *workdir.Workspace) any { r.want(w, "c.csv", "c"); return nil })
}

// What an attempt leaves that does not succeed never counts for more than what the last success has left.
func TestAttemptsThatFail(t *testing.T) {
	r := newRun(t)
	r.step("one", "job", func(w *workdir.Workspace) any { r.put(w, "a", "good"); r.put(w, "d/b", "good"); return nil })
	fail := func(host string, lost bool) {
		w, a, err := r.open(host, "job", "s", `{}`)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		r.put(w, "a", "evil")
		r.put(w, "marker", "left")
		if err := errors.Join(os.RemoveAll(w.Dir()+"/d"), os.Symlink(t.TempDir(), w.Dir()+"/d")); err != nil {
			t.Fatal(err)
		}
		if a.fails = !lost; lost {
			if _, err := w.Keep(t.Context(), nil); err != nil { // and is never reported
				t.Fatal(err)
			}
		} else if _, err := w.Keep(t.Context(), nil); err == nil || a.saved != "" {
			t.Errorf("the store is away: %v, %s", err, a.saved)
		}
	}
	for name, lost := range map[string]bool{"before the upload": false, "before the report": true} {
		fail("one", lost)
		for _, host := range []string{"two", "one"} {
			w, _, err := r.open(host, "job", "s", `{}`)
			if err != nil {
				t.Fatal(err)
			}
			r.want(w, "a", "good")
			r.want(w, "d/b", "good")
			if there, _ := r.at(w, "marker").Exists("path"); there != (host == "one") {
				t.Errorf("%s, on %s: a marker is there: %v", name, host, there)
			}
			w.Close()
		}
	}
	r.step("one", "job", func(*workdir.Workspace) any { return nil }) // it finds the marker, which counts from now on
	r.step("two", "job", func(w *workdir.Workspace) any {
		r.want(w, "marker", "left")
		r.want(w, "a", "good")
		return nil
	})
}

// Files of other jobs are local paths in inputs, which can only be read.
func TestOtherJobs(t *testing.T) {
	r := newRun(t)
	r.step("one", "extract", func(w *workdir.Workspace) any {
		r.put(w, "a.csv", "1")
		r.put(w, "a.csv.gz", "2")
		r.put(w, "with space/b.csv", "3")
		return nil
	})
	w, _, err := r.open("two", "load", "s", `{"path":"artifact:extract/a.csv","line":"cat artifact:extract/a.csv.gz 'artifact:extract/with space/b.csv' --in=artifact:extract/a.csv; x-artifact:extract/a.csv artifact:other/y",
		"items":[{"dir":"artifact:extract/."},"artifact:load/new.csv","none"],"n":1.50}`)
	if err != nil {
		t.Fatal(err)
	}
	var in struct {
		Path, Line string
		Items      []any
		N          json.Number
	}
	if err := json.Unmarshal(w.Inputs, &in); err != nil {
		t.Fatal(err)
	}
	dir := in.Items[0].(map[string]any)["dir"].(string)
	if want := fmt.Sprintf("cat %[1]s/a.csv.gz '%[1]s/with space/b.csv' --in=%[1]s/a.csv; x-artifact:extract/a.csv artifact:other/y", dir); in.Line != want || in.Path != dir+"/a.csv" || in.Items[1] != w.Dir()+"/new.csv" || in.N != "1.50" {
		t.Errorf("got %s", w.Inputs)
	}
	for name, content := range map[string]string{"a.csv": "1", "a.csv.gz": "2", "with space/b.csv": "3"} {
		r.want(w, dir+"/"+name, content)
	}
	if at := r.at(w, in.Path); at.Writable("path") == nil {
		t.Error("another job's file can be written")
	}
	if got, err := w.Keep(t.Context(), map[string]any{"of": in.Path, "own": in.Items[1]}); err != nil || fmt.Sprint(got) != "map[of:artifact:extract/a.csv own:artifact:load/new.csv]" {
		t.Errorf("kept %v, %v", got, err)
	}
	if at := r.at(w, "artifact:load/x"); at.Path != w.Dir()+"/x" {
		t.Errorf("got %s", at.Path)
	}
	w.Close()
	for _, bad := range []string{"artifact:extract/none.csv", "artifact:nojob/a", "artifact:extract/../a", "artifact:extract//etc/passwd"} {
		if w, _, err := r.open("two", "load", "s", fmt.Sprintf(`{"path":%q}`, bad)); executors.KindOf(err) != "artifact_missing" {
			t.Errorf("%s: %v, %v", bad, w, err)
		}
	}
	w, _, err = r.open("two", "load", "s", `{"path":"artifact:load/../../x"}`) // it stays in, or stays as it is
	if err == nil && !strings.Contains(string(w.Inputs), `"artifact:`) {
		t.Errorf("got %s", w.Inputs)
	}
}

// Names that can't be kept fail the step, and say so.
func TestHostileFiles(t *testing.T) {
	for name, row := range map[string]struct {
		make func(dir string) error
		want string // of the error; empty: it is kept
	}{
		"a line break":                {file("a\nb"), "printable"},
		"a backslash":                 {file(`a\b`), "backslash"},
		"a tab":                       {file("a\tb"), "printable"},
		"no UTF-8":                    {file("a\xffb"), "UTF-8"},
		"an escape":                   {file("\x1b[2J"), "printable"},
		"right to left":               {file("a\u202eb"), "printable"},
		"a very long path":            {file(strings.Repeat(strings.Repeat("d", 100)+"/", 6) + "f"), "at most 512"},
		"manifest":                    {file("manifest"), ""},
		"manifests/x":                 {file("manifests/1.json"), ""},
		"dots":                        {file("...", "..a", "a.."), ""},
		"case":                        {file("A.txt", "a.txt"), ""},
		"a job's text":                {file("artifact:job/x"), ""},
		"a leading dash":              {file("-rf"), ""},
		"spaces":                      {file(" a ", "'; rm -rf x"), ""},
		"a pipe":                      {pipe("p"), ""},
		"a link outside":              {link("/etc/passwd", "l"), ""},
		"a link to a dir":             {link("/etc", "l"), ""},
		"a link upwards":              {link("../../..", "l"), ""},
		"a loop":                      {link("l", "l"), ""},
		"over 1000":                   {many(1001), "at most 1000"},
		"exactly 1000":                {many(1000), ""},
		"worker's own":                {file(".taskgrove-x", "d/.taskgrove-old-y/z"), ""},
		"emoji, composed":             {file("é", "é", "日本"), ""},
		"artifacts is gone":           {os.RemoveAll, "has removed or moved the directory of the job's artifacts"},
		"it is moved":                 {func(dir string) error { return os.Rename(dir, dir+"2") }, "has removed or moved the directory"},
		"a link in its place":         {func(dir string) error { return errors.Join(os.RemoveAll(dir), os.Symlink("/etc", dir)) }, "has put a link in the place of the directory"},
		"a link to where it is":       {func(dir string) error { return errors.Join(os.Rename(dir, dir+"2"), os.Symlink(dir+"2", dir)) }, "has put a link in the place of the directory"},
		"a link to nowhere":           {func(dir string) error { return errors.Join(os.RemoveAll(dir), os.Symlink("/none", dir)) }, "has put a link in the place of the directory"},
		"a pipe in its place":         {func(dir string) error { return errors.Join(os.RemoveAll(dir), syscall.Mkfifo(dir, 0o644)) }, "has put a file in the place of the directory"},
		"the job's directory is gone": {func(dir string) error { return os.RemoveAll(filepath.Dir(dir)) }, "has removed or moved the directory"},
		"a link above it": {func(dir string) error {
			up := filepath.Dir(dir)
			return errors.Join(os.RemoveAll(up), os.Symlink("/etc", up))
		}, "the directory of the job's artifacts"},
		"scratch is a link": {func(dir string) error {
			scratch := filepath.Join(filepath.Dir(dir), "scratch")
			return errors.Join(os.RemoveAll(scratch), os.Symlink("/etc", scratch))
		}, ""},
		"it is made anew": {func(dir string) error {
			return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "new"), []byte("x"), 0o644))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t)
			w, a, err := r.open("one", "job", "s", `{}`)
			if err != nil {
				t.Fatal(err)
			}
			if err := row.make(w.Dir()); err != nil {
				t.Fatal(err)
			}
			_, err = w.Keep(t.Context(), nil)
			if row.want != "" {
				if err == nil || !strings.Contains(err.Error(), row.want) || len(a.names) > 0 || a.saved != "" || strings.Contains(err.Error(), `"."`) {
					t.Fatalf("got %v, saved %d", err, len(a.names))
				}
				w.Close()
				if w, _, err = r.open("one", "job", "s", `{}`); err != nil {
					t.Fatalf("the next attempt: %v", err)
				}
				if _, err := w.Keep(t.Context(), nil); err != nil && !strings.Contains(err.Error(), row.want) { // names that can't be kept are still there
					t.Fatalf("the next attempt: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			a.settle()
			w.Close()
			for _, host := range []string{"one", "two"} {
				w, b, err := r.open(host, "job", "s", `{}`)
				if err != nil {
					t.Fatal(err)
				}
				if err := w.Restore(t.Context()); err != nil {
					t.Fatal(err)
				}
				if _, err := w.Keep(t.Context(), nil); err != nil || len(b.names) > 0 || b.saved != "" {
					t.Errorf("on %s: %v, saved %v", host, err, b.names)
				}
				w.Close()
			}
		})
	}
}

func file(names ...string) func(dir string) error {
	return func(dir string) error {
		var all error
		for _, name := range names {
			name = filepath.Join(dir, name)
			all = errors.Join(all, os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(name), 0o644))
		}
		return all
	}
}

func link(to, name string) func(dir string) error {
	return func(dir string) error { return os.Symlink(to, filepath.Join(dir, name)) }
}

func pipe(name string) func(dir string) error {
	return func(dir string) error { return syscall.Mkfifo(filepath.Join(dir, name), 0o644) }
}

func many(n int) func(dir string) error {
	return func(dir string) error {
		var all error
		for i := range n {
			all = errors.Join(all, os.WriteFile(fmt.Sprintf("%s/%05d", dir, i), nil, 0o644))
		}
		return all
	}
}

// A manifest comes from the cluster, where anybody may have written it.
func TestHostileManifests(t *testing.T) {
	files := &conformance.Files{}
	ref := files.Put("x", []byte("x"))
	entry := func(name string) string {
		return fmt.Sprintf(`{"name":%q,"sha256":%q,"size":1}`, name, ref.SHA256)
	}
	for name, text := range map[string]string{
		"nothing":           ``,
		"no object":         `[]`,
		"another version":   `{"version":2,"job_id":"job"}`,
		"another job":       `{"version":1,"job_id":"other"}`,
		"above":             `{"version":1,"job_id":"job","files":[` + entry("../x") + `]}`,
		"above, within":     `{"version":1,"job_id":"job","files":[` + entry("a/../../x") + `]}`,
		"absolute":          `{"version":1,"job_id":"job","files":[` + entry("/etc/x") + `]}`,
		"a dot":             `{"version":1,"job_id":"job","files":[` + entry(".") + `]}`,
		"no name":           `{"version":1,"job_id":"job","files":[` + entry("") + `]}`,
		"a NUL":             `{"version":1,"job_id":"job","files":[{"name":"a\u0000b","sha256":"` + ref.SHA256 + `","size":1}]}`,
		"a line break":      `{"version":1,"job_id":"job","files":[` + entry("a\nb") + `]}`,
		"twice":             `{"version":1,"job_id":"job","files":[` + entry("a") + "," + entry("a") + `]}`,
		"file, directory":   `{"version":1,"job_id":"job","files":[` + entry("a") + "," + entry("a/b") + `]}`,
		"no digest":         `{"version":1,"job_id":"job","files":[{"name":"a","sha256":"ab","size":1}]}`,
		"below no bytes":    `{"version":1,"job_id":"job","files":[{"name":"a","sha256":"` + ref.SHA256 + `","size":-1}]}`,
		"more than a disk":  `{"version":1,"job_id":"job","files":[{"name":"a","sha256":"` + ref.SHA256 + `","size":4611686018427387904}]}`,
		"too many":          `{"version":1,"job_id":"job","files":[` + strings.Repeat(entry("a")+",", 10_000) + entry("b") + `]}`,
		"too large":         `{"version":1,"job_id":"job"}` + strings.Repeat(" ", 16<<20),
		"a very long name":  `{"version":1,"job_id":"job","files":[` + entry(strings.Repeat("n", 513)) + `]}`,
		"backslash":         `{"version":1,"job_id":"job","files":[` + entry(`..\\x`) + `]}`,
		"a trailing slash":  `{"version":1,"job_id":"job","files":[` + entry("a/") + `]}`,
		"an empty part":     `{"version":1,"job_id":"job","files":[` + entry("a//b") + `]}`,
		"what is not there": `{"version":1,"job_id":"job","files":[{"name":"a","sha256":"` + strings.Repeat("0", 64) + `","size":1}]}`,
	} {
		r := newRun(t)
		r.files = files
		r.manifests["job"] = []string{text}
		w, _, err := r.open("one", "job", "s", `{}`)
		if err == nil {
			err = w.Restore(t.Context())
		}
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if outside, _ := filepath.Glob(filepath.Join(mustBase(t, r.host("one")), "x")); len(outside) > 0 {
			t.Errorf("%s: wrote %v", name, outside)
		}
	}
}

func mustBase(t *testing.T, j *workdir.Jobs) string {
	t.Helper()
	base, err := j.Base()
	if err != nil {
		t.Fatal(err)
	}
	return base
}

// Params are anybody's, and become paths.
func TestHostileParams(t *testing.T) {
	good := map[string]any{"flow_id": "f", "run_id": "r", "job_id": "j", "step_id": "s", "workspace": map[string]any{"layout": map[string]any{"artifacts": "files"}}}
	for name, change := range map[string]func(p map[string]any){
		"flow above":       func(p map[string]any) { p["flow_id"] = ".." },
		"run with a slash": func(p map[string]any) { p["run_id"] = "a/b" },
		"no job":           func(p map[string]any) { delete(p, "job_id") },
		"job is a dot":     func(p map[string]any) { p["job_id"] = "." },
		"a long step":      func(p map[string]any) { p["step_id"] = strings.Repeat("s", 65) },
		"a NUL":            func(p map[string]any) { p["run_id"] = "a\x00" },
		"a line break":     func(p map[string]any) { p["run_id"] = "a\n" },
		"a number":         func(p map[string]any) { p["flow_id"] = 1 },
		"layout above":     func(p map[string]any) { p["workspace"] = map[string]any{"layout": map[string]any{"scratch": "../x"}} },
		"layout absolute":  func(p map[string]any) { p["workspace"] = map[string]any{"layout": map[string]any{"scratch": "/tmp"}} },
		"layout is dot":    func(p map[string]any) { p["workspace"] = map[string]any{"layout": map[string]any{"artifacts": "."}} },
		"one in another": func(p map[string]any) {
			p["workspace"] = map[string]any{"layout": map[string]any{"scratch": "artifacts/x"}}
		},
		"twice the same": func(p map[string]any) {
			p["workspace"] = map[string]any{"layout": map[string]any{"scratch": "artifacts"}}
		},
		"policy":        func(p map[string]any) { p["workspace"] = map[string]any{"cleanup_policy": "maybe"} },
		"layout no map": func(p map[string]any) { p["workspace"] = map[string]any{"layout": []string{"x"}} },
	} {
		r := newRun(t)
		params := map[string]any{}
		for k, v := range good {
			params[k] = v
		}
		change(params)
		text, _ := json.Marshal(params)
		if w, _, err := r.openWith("one", string(text), `{}`); err == nil || !executors.IsPermanent(err) {
			t.Errorf("%s: %v in %s", name, err, w.Dir())
		}
	}
	r := newRun(t)
	text, _ := json.Marshal(good)
	w, _, err := r.openWith("one", string(text), `{}`)
	if err != nil {
		t.Fatal(err)
	}
	base := mustBase(t, r.host("one"))
	if want := filepath.Join(base, "flows/f/j/r/files"); w.Dir() != want {
		t.Errorf("got %s, want %s", w.Dir(), want)
	}
	for _, dir := range []string{"flows/f/j/r/scratch", "flows/f/j/r/manifests", "."} {
		if info, err := os.Stat(filepath.Join(base, dir)); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v", dir, err)
		}
	}
	call := &executors.Call{Params: text, Inputs: json.RawMessage(`{}`)}
	if _, err := workdir.OpenWorkspace(t.Context(), call); err == nil || !strings.Contains(err.Error(), "no place") {
		t.Errorf("a worker without a place: %v", err)
	}
}

// One attempt at a time works in the directory of a job, and a directory goes when its run has ended, and its flow says so.
func TestDirectoriesOfJobs(t *testing.T) {
	r := newRun(t)
	jobs := r.host("one")
	open := func(job, policy string) *workdir.Workspace {
		t.Helper()
		w, _, err := r.openWith("one", fmt.Sprintf(`{"flow_id":"f","run_id":"r","job_id":%q,"step_id":"s","workspace":{"cleanup_policy":%q}}`, job, policy), `{}`)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	first := open("a", "on_success")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	call := &executors.Call{TreeID: r.tree, Files: &attempt{Files: r.files, run: r}, JobDirs: jobs, Params: json.RawMessage(`{"flow_id":"f","run_id":"r","job_id":"a","step_id":"t","workspace":{}}`), Inputs: json.RawMessage(`{}`)}
	if _, err := workdir.OpenWorkspace(ctx, call); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second attempt in a directory: %v", err)
	}
	if got := jobs.Trees(); len(got) != 0 || fmt.Sprint(jobs.Known()) != "[tree]" {
		t.Errorf("trees to ask for: %v of %v", got, jobs.Known())
	}
	if err := jobs.Ended("tree", workdir.EndedWell); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(first.Dir()); err != nil {
		t.Errorf("it was removed while an attempt works there: %v", err)
	}
	dirs := map[string]string{"on_success": first.Dir()}
	first.Close()
	for job, policy := range map[string]string{"b": "always", "c": "never"} {
		w := open(job, policy)
		r.put(w, "x", "x")
		if err := os.Mkdir(filepath.Join(w.Dir(), "closed"), 0); err != nil {
			t.Fatal(err)
		}
		dirs[policy] = w.Dir()
		w.Close()
	}
	there := func() (got []string) {
		for policy, dir := range dirs {
			if _, err := os.Stat(dir); err == nil {
				got = append(got, policy)
			}
		}
		slices.Sort(got)
		return got
	}
	for _, row := range []struct {
		tree string
		end  workdir.End
		want string
	}{
		{"another", workdir.EndedWell, "[always never on_success]"},
		{"tree", workdir.EndedBadly, "[never on_success]"},
		{"tree", workdir.EndedWell, "[never]"},
		{"tree", workdir.EndedGone, "[]"},
	} {
		if err := jobs.Ended(row.tree, row.end); err != nil || fmt.Sprint(there()) != row.want {
			t.Errorf("after the end %d of %s: %v, %v; want %s", row.end, row.tree, there(), err, row.want)
		}
	}
	if entries, _ := os.ReadDir(filepath.Join(mustBase(t, jobs), "flows")); len(entries) != 0 {
		t.Errorf("left: %v", entries)
	}
	// A directory is of one tree at a time.
	w := open("a", "always")
	r.put(w, "x", "x")
	w.Close()
	r.tree = "copy"
	w = open("a", "always")
	r.want(w, "x", "")
	w.Close()
}

// What a worker has left that was killed is removed by the next one, in time; never what a worker has that lives.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	alive, next := workdir.NewJobs(dir), workdir.NewJobs(dir)
	base := mustBase(t, alive)
	old := time.Now().Add(-48 * time.Hour)
	left, young := filepath.Join(dir, "worker-left"), filepath.Join(dir, "worker-young")
	write(t, left, "lock", "flows/f/x")
	write(t, young, "lock")
	write(t, dir, "other/lock")
	for _, name := range []string{left + "/lock", base + "/lock", dir + "/other/lock"} {
		if err := os.Chtimes(name, old, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := next.Sweep(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{left: false, young: true, base: true, dir + "/other": true} {
		if _, err := os.Stat(name); (err == nil) != want {
			t.Errorf("%s is there: %v", name, err == nil)
		}
	}
	if err := alive.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(base); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory of a worker that has ended: %v", err)
	}
	if _, err := alive.Base(); err == nil {
		t.Error("it makes another one")
	}
	if err := workdir.NewJobs(filepath.Join(dir, "none")).Sweep(); err != nil {
		t.Error(err)
	}
}

// Large results are told of.
func TestLargeResult(t *testing.T) {
	r := newRun(t)
	a := &attempt{Files: r.files, run: r}
	told := &conformance.Recorder{}
	w, err := workdir.OpenWorkspace(t.Context(), &executors.Call{TreeID: "t", Files: a, JobDirs: r.host("one"), Params: json.RawMessage(`{"flow_id":"f","run_id":"r","job_id":"j","step_id":"s","workspace":{}}`), Inputs: json.RawMessage(`{}`), Reporter: told})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Keep(t.Context(), map[string]any{"text": strings.Repeat("x", 300<<10)}); err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprint(told); !bytes.Contains([]byte(text), []byte("256 KiB")) {
		t.Errorf("told %s", text)
	}
}
