package sftp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/sftp"
	"github.com/taskgrove/taskgrove/executors/ssh"
	"github.com/taskgrove/taskgrove/executors/ssh/sshtest"
	"github.com/taskgrove/taskgrove/executors/transfer"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// kit is a server and the steps that go there, with a directory here and one on the server.
type kit struct {
	*sshtest.Server
	steps        map[string]executors.Executor
	here, remote string
	port         int // instead of the server's, unless 0
}

func newKit(t *testing.T, config ...string) *kit {
	t.Helper()
	k := &kit{Server: sshtest.For(t, config...), steps: map[string]executors.Executor{}, here: t.TempDir(), remote: t.TempDir()}
	cfg := transfer.Config{Place: func(string) workdir.Place { return workdir.Place{Dir: k.here} }, MaxBytes: 8 << 20}
	all := sftp.New(cfg, ssh.Config{}, network.New(network.Config{Guard: network.Guard{Loopback: true}}))
	for _, e := range all {
		k.steps[strings.TrimPrefix(e.Describe().ID, "sftp_")] = e
		t.Cleanup(func() { _ = e.(io.Closer).Close() })
	}
	return k
}

// call is an attempt, in whose inputs @ stands for the directory here and # for that on the server.
func (k *kit) call(t *testing.T, in string) (*executors.Call, *conformance.Recorder) {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal([]byte(k.paths(in)), &all); err != nil {
		t.Fatal(in, err)
	}
	login := map[string]any{"host": "127.0.0.1", "port": k.Port, "user": k.User, "private_key": k.Read("id"), "host_key": k.Read("host.pub")}
	if k.port != 0 {
		login["port"] = fmt.Sprint(k.port)
	}
	for name, value := range login {
		if _, own := all[name]; !own {
			all[name] = value
		}
	}
	return conformance.Call(t, all)
}

func (k *kit) paths(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "@", k.here), "#", k.remote)
}

// run runs an attempt and shows its outcome, with @ and #.
func (k *kit) run(t *testing.T, step, in string) (string, error) {
	t.Helper()
	call, _ := k.call(t, in)
	if err := inputs.NewChecker(0).Check(k.steps[step].Describe(), call); err != nil {
		return "", err
	}
	return k.attempt(t, step, call)
}

func (k *kit) attempt(t *testing.T, step string, call *executors.Call) (string, error) {
	t.Helper()
	out, err := k.steps[step].Run(t.Context(), call)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(out.Value())
	if err != nil {
		t.Fatal(err)
	}
	return out.Reason() + strings.ReplaceAll(strings.ReplaceAll(string(text), k.here, "@"), k.remote, "#"), nil
}

func put(t testing.TB, name, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(name), 0o755)
	if err == nil {
		err = os.WriteFile(name, []byte(text), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// tree are the files below a directory, hidden ones, too, but for manifests.
func tree(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		text, _ := os.ReadFile(name)
		if len(text) > 50 {
			text = fmt.Appendf(nil, "%d bytes", len(text))
		}
		fmt.Fprintf(&b, "%s=%s ", rel, text)
		return nil
	})
	return strings.TrimSpace(b.String())
}

func TestLists(t *testing.T) {
	k := newKit(t)
	for _, name := range []string{"b.csv", "a.csv", "c.txt", "deep/d.csv", "deep/er/e.csv", "dir.csv/f.txt"} {
		put(t, k.remote+"/"+name, name)
		if err := os.Chtimes(k.remote+"/"+name, time.Unix(100, 0), time.Unix(100, 0)); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"link.csv": "c.txt", "loop": "..", "nowhere.csv": "none"} {
		if err := os.Symlink(to, k.remote+"/"+link); err != nil {
			t.Fatal(err)
		}
	}
	for in, want := range map[string]string{
		`{}`:                       "a.csv b.csv c.txt link.csv",
		`{"pattern": "*.csv"}`:     "a.csv b.csv link.csv",
		`{"pattern": "[!a]*.csv"}`: "b.csv link.csv",
		`{"pattern": "*.csv", "recursive": true}`: "a.csv b.csv deep/d.csv deep/er/e.csv link.csv",
		`{"recursive": "true", "min_count": "7"}`: "a.csv b.csv c.txt deep/d.csv deep/er/e.csv dir.csv/f.txt link.csv",
		`{"min_count": 5}`:                        "!4 5",
		`{"pattern": "*.none"}`:                   "!0 1",
		`{"pattern": "*.none", "min_count": 0}`:   "",
	} {
		got, err := k.run(t, "list_files", strings.Replace(strings.Replace(in, "{", `{"remote_dir": "#/", `, 1), ", }", "}", 1))
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if few, skipped := strings.CutPrefix(want, "!"); skipped {
			var has, must int
			_, _ = fmt.Sscan(few, &has, &must)
			if want := fmt.Sprintf(`no_files{"has_data":false,"count":%d,"files":[],"reason_text":"count(%d) \u003c min_count(%d)"}`, has, has, must); got != want {
				t.Errorf("%s: got %s", in, got)
			}
			continue
		}
		var list transfer.Listed
		if err := json.Unmarshal([]byte(got), &list); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range list.Files {
			names = append(names, f.Rel)
			if f.Path != "#/"+f.Rel || f.IsDir || f.Name != filepath.Base(f.Rel) || f.MTime != 100 || f.Size < 5 {
				t.Errorf("%s: %+v", in, f)
			}
		}
		if got := strings.Join(names, " "); got != want || list.Count != len(names) || !list.HasData {
			t.Errorf("%s: got %s", in, got)
		}
	}
	if _, err := k.run(t, "list_files", `{"remote_dir": "#/none"}`); executors.KindOf(err) != transfer.KindFile || !executors.IsPermanent(err) {
		t.Errorf("no directory: %v", err)
	}
}

// What is listed is downloaded with its tree, deleted, and gone; a second deletion is no error.
func TestThereAndBack(t *testing.T) {
	k := newKit(t)
	put(t, k.remote+"/a.csv", "a")
	put(t, k.remote+"/deep/b.csv", strings.Repeat("b", 3<<20))
	put(t, k.remote+"/deep/empty", "")
	list, err := k.run(t, "list_files", `{"remote_dir": "#", "recursive": true}`)
	if err != nil {
		t.Fatal(err)
	}
	var found struct{ Files json.RawMessage }
	_ = json.Unmarshal([]byte(list), &found)
	put(t, k.here+"/in/deep/b.csv", "old")
	for _, files := range []string{string(found.Files), string(must(json.Marshal(string(found.Files))))} { // a list, and its JSON as a text
		got, err := k.run(t, "download_files", `{"files": `+files+`, "dest_dir": "@/in"}`)
		if want := `{"local_files":["@/in/a.csv","@/in/deep/b.csv","@/in/deep/empty"],"dest_dir":"@/in"}`; err != nil || got != want {
			t.Errorf("%s, %v", got, err)
		}
		if got := tree(t, k.here); got != fmt.Sprintf("in/a.csv=a in/deep/b.csv=%d bytes in/deep/empty=", 3<<20) {
			t.Errorf("here is %s", got)
		}
	}
	for _, want := range []string{`{"is_deleted":true,"count":3}`, `{"is_deleted":true,"count":0}`} {
		if got, err := k.run(t, "delete_files", `{"files": `+string(found.Files)+`}`); err != nil || got != want {
			t.Errorf("%s, %v", got, err)
		}
	}
	if got := tree(t, k.remote); got != "" {
		t.Errorf("there is %s", got)
	}
	if got, err := k.run(t, "delete_files", `{"files": "#/deep"}`); err != nil || got != `{"is_deleted":true,"count":1}` {
		t.Errorf("an empty directory: %s, %v", got, err)
	}
}

func must(text []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return text
}

// Names that would leave the directory are refused, with nothing written.
func TestHostileNames(t *testing.T) {
	k := newKit(t)
	put(t, k.remote+"/a.csv", "a")
	put(t, k.here+"/in/there", "t")
	if err := os.Symlink("/tmp", k.here+"/in/link"); err != nil {
		t.Fatal(err)
	}
	for _, rel := range []string{"../a", "a/../../b", "..", "/a", "/etc/passwd", "//a", "a/..", "a/../b", "./../a", ".", "./", `..\a`, `a\b`, `C:\a`, `\\h\s\a`, "a\x00b",
		"link/a", "there/a", strings.Repeat("d/", 3000) + "a", "../../../../../../tmp/evil", "a/./../../b"} {
		in, _ := json.Marshal([]map[string]string{{"path": "#/a.csv", "rel_path": rel}})
		before := tree(t, k.here)
		if got, err := k.run(t, "download_files", `{"files": `+string(in)+`, "dest_dir": "@/in"}`); err == nil || !executors.IsPermanent(err) {
			t.Errorf("%.50q: %s, %v", rel, got, err)
		}
		if tree(t, k.here) != before {
			t.Errorf("%.50q: here is %s", rel, tree(t, k.here))
		}
	}
	for _, name := range []string{"../a", "..", "/a", "a/../b", ".", "a\x00b", `a\b`, "a/..", "//", "x/../../y"} {
		in, _ := json.Marshal([]map[string]string{{"file": "@/in/there", "remote_name": name}})
		if got, err := k.run(t, "upload_files", `{"items": `+string(in)+`, "remote_dir": "#/up"}`); err == nil || !executors.IsPermanent(err) {
			t.Errorf("upload %.50q: %s, %v", name, got, err)
		}
	}
	if got := tree(t, k.remote); got != "a.csv=a" {
		t.Errorf("there is %s", got)
	}
}

func TestWrongInputs(t *testing.T) {
	k := newKit(t)
	put(t, k.here+"/a.csv", "a")
	put(t, k.remote+"/dir/x", "x")
	for in, want := range map[string]string{
		`list_files {}`: "remote_dir is required in inputs",
		`list_files {"remote_dir": "#", "pattern": "[", "host": "", "timeout": 0, "driver": "curl"}`:                `pattern: "[" is no pattern of a name; driver: must be paramiko or ssh; timeout: must be a number of seconds above 0, 3600 at most; host is required in inputs`,
		`list_files {"remote_dir": "#", "pattern": "a/*"}`:                                                          "is no pattern of a name",
		`list_files {"remote_dir": "#", "private_key": null}`:                                                       "password, a key or agent is required in inputs",
		`list_files {"remote_dir": "#", "username": "other"}`:                                                       "user: username says something else",
		`list_files {"remote_dir": "#", "host_key": null, "known_hosts": "[127.0.0.1]:1 ssh-ed25519 AAAA"}`:         "[sftp_list_files] known_hosts",
		`list_files {"remote_dir": "#", "insecure_host_key": true, "host_key": null}`:                               "does not connect to hosts whose key it can't verify",
		`list_files {"remote_dir": "#", "host_key": "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`:          "host key mismatch",
		`list_files {"remote_dir": "#", "user": "nobody-here"}`:                                                     "the host refused the user",
		`list_files {"remote_dir": "#", "pkey_path": "/etc/passwd", "private_key": null}`:                           "[sftp_list_files] key_file: this worker has no key files for tasks",
		`download_files {"files": ["#/none"], "dest_dir": "@/in"}`:                                                  `open "#/none" on the server`,
		`download_files {"files": ["#/dir"], "dest_dir": "@/in"}`:                                                   "is no plain file",
		`download_files {"files": [{"path": "#/dir", "is_dir": true}, {}, 5], "dest_dir": ""}`:                      "files.2",
		`download_files {"files": [{"path": "#/dir", "is_dir": true}, {}], "dest_dir": " "}`:                        "files[0]: is a directory; files[1].path is required in inputs; dest_dir is required in inputs",
		`download_files {"files": ["#/a/x", "#/b/x"], "dest_dir": "@/in"}`:                                          "two of them would be x below dest_dir",
		`download_files {"files": ["#/a"], "dest_dir": "/etc"}`:                                                     "path.escape: dest_dir",
		`delete_files {"files": ["#/dir"]}`:                                                                         `delete "#/dir" on the server`,
		`upload_files {"items": ["none.csv"], "remote_dir": "#"}`:                                                   `items[0]: "none.csv"`,
		`upload_files {"items": ["/etc/passwd"], "remote_dir": "#"}`:                                                "path.escape: items[0]",
		`upload_files {"items": ["@"], "remote_dir": "#"}`:                                                          "is no plain file",
		`upload_files {"items": ["@/a.csv", "@/a.csv"], "remote_dir": "#"}`:                                         `the id "a.csv" is there twice; items[1]: two files would be called "a.csv"`,
		`upload_files {"items": ["@/a.csv"], "local_files": [], "remote_dir": " ", "parallelism": {"workers": 99}}`: "remote_dir is required in inputs; local_files: excludes items, which it is another name of; parallelism.workers: must be from 1 to 32",
		`upload_files {"items": [{"file": "@/a.csv", "id": []}], "remote_dir": "#"}`:                                "items[0].id: must be a text or a number",
		`upload_files {"items": ["@/a.csv"], "remote_dir": "#/dir/x"}`:                                              `make directory "#/dir/x" on the server`,
		`upload_files {"items": [{"file": "@/a.csv", "remote_name": "dir"}], "remote_dir": "#"}`:                    "is a directory",
	} {
		step, in, _ := strings.Cut(in, " ")
		got, err := k.run(t, step, in)
		if err == nil || !strings.Contains(err.Error(), k.paths(want)) {
			t.Errorf("%s %s: got %s, %v", step, in, got, err)
		} else if !executors.IsPermanent(err) && !strings.Contains(want, "delete") && !strings.Contains(want, "make directory") {
			t.Errorf("%s %s: %v may be retried", step, in, err)
		}
	}
	if got := tree(t, k.remote); got != "dir/x=x" {
		t.Errorf("there is %s", got)
	}
}

func TestUploads(t *testing.T) {
	k := newKit(t)
	put(t, k.here+"/a.csv", "a")
	put(t, k.here+"/b.csv", strings.Repeat("b", 2<<20))
	put(t, k.remote+"/in/a.csv", "old")
	if err := os.Chmod(k.remote+"/in/a.csv", 0o600); err != nil {
		t.Fatal(err)
	}
	call, rec := k.call(t, `{"items": ["@/a.csv", {"file": "@/b.csv", "id": 7, "remote_name": "2026/é.csv"}], "remote_dir": "#/in"}`)
	got, err := k.attempt(t, "upload_files", call)
	if err != nil || !strings.HasSuffix(got, `"count":2,"uploaded":["#/in/a.csv","#/in/2026/é.csv"],"remote_dir":"#/in"}`) || !strings.HasPrefix(got, `{"manifest":"manifests/`) {
		t.Errorf("%s, %v", got, err)
	}
	if got := tree(t, k.remote); got != fmt.Sprintf("in/2026/é.csv=%d bytes in/a.csv=a", 2<<20) {
		t.Errorf("there is %s", got)
	}
	if info, _ := os.Stat(k.remote + "/in/a.csv"); info.Mode().Perm() != 0o600 {
		t.Errorf("the mode is %v", info.Mode())
	}
	if points := rec.Checkpoints(); len(points) != 2 {
		t.Errorf("checkpoints: %s", points)
	}
	// A later attempt of the same run sends nothing again, whatever is on the server.
	put(t, k.remote+"/in/a.csv", "changed")
	call.Checkpoint, call.Attempt = rec.Checkpoints()[1], 2
	if got, err := k.attempt(t, "upload_files", call); err != nil || !strings.Contains(got, `"count":2`) {
		t.Errorf("%s, %v", got, err)
	}
	if text, _ := os.ReadFile(k.remote + "/in/a.csv"); string(text) != "changed" {
		t.Error("it was sent again")
	}
	// Another run does.
	call.Checkpoint = nil
	if _, err := k.attempt(t, "upload_files", call); err != nil {
		t.Error(err)
	}
	if text, _ := os.ReadFile(k.remote + "/in/a.csv"); string(text) != "a" {
		t.Error("it was not sent")
	}
	if got, err := k.run(t, "upload_files", `{"items": [], "remote_dir": "#/none"}`); err != nil || !strings.Contains(got, `"count":0,"uploaded":[]`) {
		t.Errorf("nothing: %s, %v", got, err)
	}
}

// proxy forwards to the server, and cuts the next connection once so many bytes have gone there.
type proxy struct {
	port int
	cut  atomic.Int64 // 0: never
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	p := &proxy{port: l.Addr().(*net.TCPAddr).Port}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			go func() {
				_, _ = io.Copy(in, out)
				_ = in.Close()
			}()
			go func() {
				if n := p.cut.Swap(0); n > 0 {
					_, _ = io.CopyN(out, in, n)
				} else {
					_, _ = io.Copy(out, in)
				}
				_, _ = in.Close(), out.Close()
			}()
		}
	}()
	return p
}

// A connection that is cut in the middle of an upload leaves no file that is not whole; a retry sends only the rest, and tidies up.
func TestCutInTheMiddle(t *testing.T) {
	k := newKit(t)
	p := newProxy(t, k.Addr())
	k.port = p.port
	var items []string
	for i := range 6 {
		put(t, fmt.Sprintf("%s/f%d", k.here, i), strings.Repeat(fmt.Sprint(i), 1<<20))
		items = append(items, fmt.Sprintf("@/f%d", i))
	}
	list, _ := json.Marshal(items)
	call, rec := k.call(t, `{"items": `+string(list)+`, "remote_dir": "#", "parallelism": {"enabled": false}}`)
	p.cut.Store(3<<20 + 1<<19) // in the fourth
	_, err := k.attempt(t, "upload_files", call)
	if err == nil || executors.IsPermanent(err) || executors.KindOf(err) != executors.KindConnect {
		t.Fatalf("got %v, of kind %s", err, executors.KindOf(err))
	}
	points := rec.Checkpoints()
	whole := 0
	for i := range 6 {
		if info, err := os.Stat(fmt.Sprintf("%s/f%d", k.remote, i)); err == nil {
			if whole++; info.Size() != 1<<20 {
				t.Errorf("f%d has %d bytes", i, info.Size())
			}
			put(t, fmt.Sprintf("%s/f%d", k.remote, i), "first attempt")
		}
	}
	if whole < 1 || whole > 4 || len(points) != whole {
		t.Fatalf("%d are there, and %d noted", whole, len(points))
	}
	call.Attempt, call.Checkpoint = 2, points[len(points)-1]
	if got, err := k.attempt(t, "upload_files", call); err != nil || !strings.Contains(got, `"count":6`) {
		t.Fatalf("%s, %v", got, err)
	}
	var want []string
	for i := range 6 {
		if i < whole {
			want = append(want, fmt.Sprintf("f%d=first attempt", i))
		} else {
			want = append(want, fmt.Sprintf("f%d=%d bytes", i, 1<<20))
		}
	}
	if got := tree(t, k.remote); got != strings.Join(want, " ") {
		t.Errorf("there is %s", got)
	}
}

// An attempt that is cancelled leaves nothing half-written, here or there.
func TestCancelled(t *testing.T) {
	k := newKit(t)
	put(t, k.here+"/big", strings.Repeat("x", 64<<20))
	for _, in := range []string{`upload_files {"items": ["@/big"], "remote_dir": "#/up"}`, `download_files {"files": ["@/big"], "dest_dir": "@/in"}`} {
		step, in, _ := strings.Cut(in, " ")
		ctx, cancel := context.WithCancelCause(t.Context())
		call, _ := k.call(t, in)
		done := make(chan error, 1)
		go func() {
			_, err := k.steps[step].Run(ctx, call)
			done <- err
		}()
		for found := ""; found == ""; time.Sleep(time.Millisecond) { // until something is being written
			for _, pattern := range []string{k.remote + "/up/.*", k.here + "/in/.*"} {
				if names, _ := filepath.Glob(pattern); len(names) > 0 {
					found = names[0]
				}
			}
			select {
			case err := <-done:
				done <- err
				found = "nothing"
			default:
			}
		}
		cancel(executors.ErrCancelled)
		if err := <-done; err != nil && !errors.Is(err, executors.ErrCancelled) && !strings.Contains(err.Error(), "larger than") {
			t.Errorf("%s: %v", step, err)
		}
	}
	if got := tree(t, k.remote); got != "" && got != fmt.Sprintf("up/big=%d bytes", 64<<20) {
		t.Errorf("there is %s", got)
	}
	if got := tree(t, k.here); got != fmt.Sprintf("big=%d bytes", 64<<20) {
		t.Errorf("here is %s", got)
	}
}

// More than the worker allows is not downloaded; one failure of several is told, with the others done.
func TestBounds(t *testing.T) {
	k := newKit(t)
	put(t, k.remote+"/big", strings.Repeat("x", 9<<20))
	if _, err := k.run(t, "download_files", `{"files": ["#/big"], "dest_dir": "@/in"}`); err == nil || !strings.Contains(err.Error(), "larger than 8388608 bytes") || !executors.IsPermanent(err) {
		t.Error(err)
	}
	put(t, k.remote+"/a", "a")
	_, err := k.run(t, "download_files", `{"files": ["#/none1", "#/a", "#/none2"], "dest_dir": "@/in", "parallelism": {"fail_fast": false, "workers": 1}}`)
	if err == nil || !strings.Contains(err.Error(), "none1") || !strings.Contains(err.Error(), "none2") || !executors.IsPermanent(err) || tree(t, k.here) != "in/a=a" {
		t.Errorf("%v; here is %s", err, tree(t, k.here))
	}
	_, err = k.run(t, "download_files", `{"files": ["#/none1", "#/none2"], "dest_dir": "@/in", "parallelism": {"workers": 1}}`)
	if err == nil || strings.Contains(err.Error(), "none2") {
		t.Errorf("%v", err)
	}
}

// A server that says nothing is given up.
func TestNoAnswer(t *testing.T) {
	k := newKit(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	k.port = l.Addr().(*net.TCPAddr).Port
	if _, err := k.run(t, "list_files", `{"remote_dir": "#", "timeout": "0.2"}`); err == nil || executors.KindOf(err) != executors.KindTimeout || executors.IsPermanent(err) ||
		!strings.Contains(err.Error(), "did not answer for 200ms") {
		t.Errorf("%v, of kind %s", err, executors.KindOf(err))
	}
	k.port = 1
	if _, err := k.run(t, "list_files", `{"remote_dir": "#"}`); executors.KindOf(err) != executors.KindConnect || executors.IsPermanent(err) {
		t.Errorf("%v, of kind %s", err, executors.KindOf(err))
	}
}
