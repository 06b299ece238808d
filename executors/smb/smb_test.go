package smb_test

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
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/smb"
	"github.com/taskgrove/taskgrove/executors/smb/smbtest"
	"github.com/taskgrove/taskgrove/executors/transfer"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// kit is a server and the steps that go there, with a directory here.
type kit struct {
	*smbtest.Server
	steps map[string]executors.Executor
	here  string
	port  int // instead of the server's, unless 0
}

func newKit(t *testing.T, config ...string) *kit {
	t.Helper()
	k := &kit{Server: smbtest.Start(t, config...), steps: map[string]executors.Executor{}, here: t.TempDir()}
	cfg := transfer.Config{Place: func(string) workdir.Place { return workdir.Place{Dir: k.here} }, MaxBytes: 80 << 20}
	for _, e := range smb.New(cfg, network.New(network.Config{Guard: network.Guard{Loopback: true}})) {
		k.steps[strings.TrimPrefix(e.Describe().ID, "smb_")] = e
	}
	return k
}

// call is an attempt, in whose inputs @ stands for the directory here.
func (k *kit) call(t *testing.T, in string) (*executors.Call, *conformance.Recorder) {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal([]byte(strings.ReplaceAll(in, "@", k.here)), &all); err != nil {
		t.Fatal(in, err)
	}
	login := map[string]any{"server": "127.0.0.1", "share": smbtest.Share, "port": k.Port, "username": k.User, "password": smbtest.Password}
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

// run runs an attempt and shows its outcome, with @.
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
		if strings.Contains(err.Error(), smbtest.Password) {
			t.Errorf("the error shows the password: %v", err)
		}
		return "", err
	}
	text, err := json.Marshal(out.Value())
	if err != nil {
		t.Fatal(err)
	}
	return out.Reason() + strings.ReplaceAll(string(text), k.here, "@"), nil
}

func put(t testing.TB, name, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
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
	for _, name := range []string{"b.csv", "a.csv", "c.txt", "é x.csv", "deep/d.csv", "deep/er/e.csv", "dir.csv/f.txt"} {
		put(t, k.Dir+"/"+name, name)
		if err := os.Chtimes(k.Dir+"/"+name, time.Unix(100, 0), time.Unix(100, 0)); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"link.csv": "c.txt", "nowhere.csv": "none", "out.csv": "/etc/passwd"} {
		if err := os.Symlink(to, k.Dir+"/"+link); err != nil {
			t.Fatal(err)
		}
	}
	for in, want := range map[string]string{
		`{"pattern": "*.csv"}`:                    "a.csv b.csv link.csv é x.csv",
		`{"pattern": "[!a]*.csv"}`:                "b.csv link.csv é x.csv",
		`{"pattern": "*.csv", "recursive": true}`: "a.csv b.csv deep/d.csv deep/er/e.csv link.csv é x.csv",
		`{"recursive": "true", "min_count": "7"}`: "a.csv b.csv c.txt deep/d.csv deep/er/e.csv dir.csv/f.txt link.csv é x.csv",
		`{"pattern": "*.none"}`:                   "!0 1",
		`{"pattern": "*.none", "min_count": 0}`:   "",
	} {
		for _, dir := range []string{"/", "", "C:/", `\\\\127.0.0.1\\files`, "FILES:"} {
			if dir == "" {
				dir = "."
			}
			got, err := k.run(t, "list_files", strings.Replace(in, "{", `{"remote_dir": "`+dir+`", `, 1))
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
				if f.Path != "/"+f.Rel || f.IsDir || f.Name != filepath.Base(f.Rel) || f.MTime != 100 || f.Size < 5 {
					t.Errorf("%s: %+v", in, f)
				}
			}
			if got := strings.Join(names, " "); got != want || list.Count != len(names) || !list.HasData {
				t.Errorf("%s of %s: got %s", in, dir, got)
			}
		}
	}
}

// What is listed is downloaded with its tree, deleted, and gone; a second deletion is no error. Paths may name a share, too.
func TestThereAndBack(t *testing.T) {
	other := t.TempDir()
	k := newKit(t, "[other]", "path = "+other, "read only = no")
	for share, dir := range map[string]string{"": k.Dir, "OTHER:": other} {
		put(t, dir+"/a.csv", "a")
		put(t, dir+"/deep/b.csv", strings.Repeat("b", 3<<20))
		put(t, dir+"/deep/empty", "")
		list, err := k.run(t, "list_files", `{"remote_dir": "`+share+`/", "recursive": true}`)
		if err != nil {
			t.Fatal(err)
		}
		var found struct{ Files json.RawMessage }
		_ = json.Unmarshal([]byte(list), &found)
		asText, _ := json.Marshal(string(found.Files))
		put(t, k.here+"/in/deep/b.csv", "old")
		for _, files := range []string{string(found.Files), string(asText)} { // a list, and its JSON as a text
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
		if got := tree(t, dir); got != "" {
			t.Errorf("there is %s", got)
		}
		if got, err := k.run(t, "delete_files", `{"files": "`+share+`/deep"}`); err != nil || got != `{"is_deleted":true,"count":1}` {
			t.Errorf("an empty directory: %s, %v", got, err)
		}
	}
	put(t, other+"/x", "x")
	if got, err := k.run(t, "download_files", `{"share": null, "files": ["OTHER:/x"], "dest_dir": "@/in"}`); err != nil || got != `{"local_files":["@/in/x"],"dest_dir":"@/in"}` {
		t.Errorf("%s, %v", got, err)
	}
}

// Names that would leave the directory here, or that SMB takes for others, are refused, with nothing written.
func TestHostileNames(t *testing.T) {
	k := newKit(t)
	put(t, k.Dir+"/a.csv", "a")
	put(t, k.here+"/in/there", "t")
	if err := os.Symlink("/tmp", k.here+"/in/link"); err != nil {
		t.Fatal(err)
	}
	for _, rel := range []string{"../a", "a/../../b", "..", "/a", "/etc/passwd", "//a", "a/..", "a/../b", "./../a", ".", "./", `..\a`, `a\b`, `C:\a`, `\\h\s\a`, "a\x00b",
		"link/a", "there/a", strings.Repeat("d/", 3000) + "a", "../../../../../../tmp/evil", "a/./../../b"} {
		in, _ := json.Marshal([]map[string]string{{"path": "/a.csv", "rel_path": rel}})
		before := tree(t, k.here)
		if got, err := k.run(t, "download_files", `{"files": `+string(in)+`, "dest_dir": "@/in"}`); err == nil || !executors.IsPermanent(err) {
			t.Errorf("%.50q: %s, %v", rel, got, err)
		}
		if tree(t, k.here) != before {
			t.Errorf("%.50q: here is %s", rel, tree(t, k.here))
		}
	}
	for _, path := range []string{"../a.csv", "/..", `..\a.csv`, "x/../a.csv", "a.csv:stream", "a.csv::$DATA", "a*.csv", "a?csv", "a.csv ", "a.csv.", "a\x01b", `\\other\files\a.csv`, `\\127.0.0.1`,
		"..:/a.csv", ":/a.csv", "IPC$:/../x", "a|b", `a"b`, "a<b", "x /a.csv", "a\x00b", "", " "} {
		in, _ := json.Marshal([]string{path})
		for _, one := range []struct{ step, in string }{
			{"download_files", `{"files": ` + string(in) + `, "dest_dir": "@/in"}`}, {"delete_files", `{"files": ` + string(in) + `}`},
			{"list_files", `{"remote_dir": ` + strings.Trim(string(in), "[]") + `}`},
			{"upload_files", `{"local_files": ["@/in/there"], "remote_dir": ` + strings.Trim(string(in), "[]") + `}`},
		} {
			if got, err := k.run(t, one.step, one.in); err == nil || !executors.IsPermanent(err) {
				t.Errorf("%s %q: %s, %v", one.step, path, got, err)
			}
		}
	}
	for _, name := range []string{"../a", "..", "/a", "a/../b", ".", "a\x00b", `a\b`, "a/..", "//", "x/../../y", "a:b", "C:a", "a.", "a ", "a?", "x./y"} {
		in, _ := json.Marshal([]map[string]string{{"file": "@/in/there", "remote_name": name}})
		if got, err := k.run(t, "upload_files", `{"local_files": `+string(in)+`, "remote_dir": "/up"}`); err == nil || !executors.IsPermanent(err) {
			t.Errorf("upload %.50q: %s, %v", name, got, err)
		}
	}
	if got := tree(t, k.Dir); got != "a.csv=a" {
		t.Errorf("there is %s", got)
	}
}

func TestWrongInputs(t *testing.T) {
	k := newKit(t, "[closed]", "path = /nowhere", "valid users = nobody")
	put(t, k.here+"/a.csv", "a")
	put(t, k.here+"/A.CSV", "a")
	put(t, k.Dir+"/dir/x", "x")
	for in, want := range map[string]string{
		`list_files {}`: "remote_dir is required in inputs",
		`list_files {"remote_dir": "/", "pattern": "[", "server": "", "username": "", "timeout": 0, "driver": "curl", "port": 99999, "encryption": true, "signing": "no"}`: "signing",
		`list_files {"remote_dir": "/", "pattern": "[", "server": "", "username": "", "timeout": 0, "driver": "curl", "port": 99999, "encryption": true, "signing": "false"}`: `pattern: "[" is no pattern of a name; server is required in inputs; username is required in inputs; ` +
			`port: must be from 1 to 65535; driver: must be smbclient or pysmb; timeout: must be a number of seconds above 0, 3600 at most; encryption: excludes signing false`,
		`list_files {"remote_dir": "/", "user": "other"}`:                                              "user: username says something else",
		`list_files {"remote_dir": "/", "server": "a/b"}`:                                              "server: must be a name or an address",
		`list_files {"remote_dir": "/", "share": "a/b"}`:                                               "share: must be the name of one",
		`list_files {"remote_dir": "/", "share": null}`:                                                "remote_dir: names no share: say share",
		`list_files {"remote_dir": "/", "share": "none"}`:                                              `the server has no share "none"`,
		`list_files {"remote_dir": "NONE:/x"}`:                                                         `the server has no share "NONE"`,
		`list_files {"remote_dir": "/", "share": "closed"}`:                                            `the server does not let the user use the share "closed"`,
		`list_files {"remote_dir": "/", "password": "wrong"}`:                                          "the server does not let the user in: the user or the password is wrong",
		`list_files {"remote_dir": "/", "username": "nobody-here"}`:                                    "the server does not let the user in: the user or the password is wrong",
		`list_files {"remote_dir": "/none"}`:                                                           `list "/none" on the server`,
		`list_files {"remote_dir": "/dir/x"}`:                                                          `list "/dir/x" on the server`,
		`download_files {"files": ["/none"], "dest_dir": "@/in"}`:                                      `open "/none" on the server: file does not exist`,
		`download_files {"files": ["/dir"], "dest_dir": "@/in"}`:                                       "is no plain file",
		`download_files {"files": ["/a/x", "/b/x"], "dest_dir": "@/in"}`:                               "two of them would be x below dest_dir",
		`download_files {"files": ["/a"], "dest_dir": "/etc"}`:                                         "path.escape: dest_dir",
		`delete_files {"files": ["/dir"]}`:                                                             `delete "/dir" on the server: the directory is not empty`,
		`upload_files {"remote_dir": "/"}`:                                                             "local_files is required in inputs",
		`upload_files {"local_files": ["/etc/passwd"], "remote_dir": "/"}`:                             "path.escape: items[0]",
		`upload_files {"local_files": ["@/a.csv", "@/A.CSV"], "remote_dir": "/"}`:                      `two files would be called "A.CSV"`,
		`upload_files {"local_files": ["@/a.csv"], "remote_dir": "/dir/x"}`:                            `make directory "/dir/x" on the server`,
		`upload_files {"local_files": [{"file": "@/a.csv", "remote_name": "dir"}], "remote_dir": "/"}`: "is a directory",
	} {
		step, in, _ := strings.Cut(in, " ")
		got, err := k.run(t, step, in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s %s: got %s, %v", step, in, got, err)
		} else if !executors.IsPermanent(err) {
			t.Errorf("%s %s: %v may be retried", step, in, err)
		}
	}
	if got := tree(t, k.Dir); got != "dir/x=x" {
		t.Errorf("there is %s", got)
	}
}

func TestUploads(t *testing.T) {
	k := newKit(t)
	put(t, k.here+"/a.csv", "a")
	put(t, k.here+"/b.csv", strings.Repeat("b", 2<<20))
	put(t, k.Dir+"/in/a.csv", "old")
	call, rec := k.call(t, `{"local_files": ["@/a.csv", {"file": "@/b.csv", "id": 7, "remote_name": "2026/é.csv"}], "remote_dir": "/in"}`)
	got, err := k.attempt(t, "upload_files", call)
	if err != nil || !strings.HasSuffix(got, `"count":2,"uploaded":["/in/a.csv","/in/2026/é.csv"],"remote_dir":"/in"}`) || !strings.HasPrefix(got, `{"manifest":"manifests/`) {
		t.Errorf("%s, %v", got, err)
	}
	if got := tree(t, k.Dir); got != fmt.Sprintf("in/2026/é.csv=%d bytes in/a.csv=a", 2<<20) {
		t.Errorf("there is %s", got)
	}
	points := rec.Checkpoints()
	if len(points) != 2 {
		t.Fatalf("checkpoints: %s", points)
	}
	// A later attempt of the same run sends nothing again, whatever is on the server.
	put(t, k.Dir+"/in/a.csv", "changed")
	call.Checkpoint, call.Attempt = points[1], 2
	if got, err := k.attempt(t, "upload_files", call); err != nil || !strings.Contains(got, `"count":2`) {
		t.Errorf("%s, %v", got, err)
	}
	if text, _ := os.ReadFile(k.Dir + "/in/a.csv"); string(text) != "changed" {
		t.Error("it was sent again")
	}
	if got, err := k.run(t, "upload_files", `{"local_files": [], "remote_dir": "/none"}`); err != nil || !strings.Contains(got, `"count":0,"uploaded":[]`) {
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
	call, rec := k.call(t, `{"local_files": `+string(list)+`, "remote_dir": "/", "parallelism": {"enabled": false}}`)
	p.cut.Store(3<<20 + 1<<19) // in the fourth
	_, err := k.attempt(t, "upload_files", call)
	if err == nil || executors.IsPermanent(err) || executors.KindOf(err) != executors.KindConnect {
		t.Fatalf("got %v, of kind %s", err, executors.KindOf(err))
	}
	points := rec.Checkpoints()
	whole := 0
	for i := range 6 {
		if info, err := os.Stat(fmt.Sprintf("%s/f%d", k.Dir, i)); err == nil {
			if whole++; info.Size() != 1<<20 {
				t.Errorf("f%d has %d bytes", i, info.Size())
			}
			put(t, fmt.Sprintf("%s/f%d", k.Dir, i), "first attempt")
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
	if got := tree(t, k.Dir); got != strings.Join(want, " ") {
		t.Errorf("there is %s", got)
	}
}

// A server that is killed in the middle: an attempt of either direction may be retried, and the next one, with the server back, succeeds and leaves whole files alone.
func TestServerKilled(t *testing.T) {
	k := newKit(t)
	const size = 64 << 20
	put(t, k.here+"/big", strings.Repeat("x", size))
	put(t, k.Dir+"/there", strings.Repeat("y", size))
	for _, one := range []struct{ step, in, sign string }{
		{"upload_files", `{"local_files": ["@/big"], "remote_dir": "/up"}`, k.Dir + "/up/.*"}, {"download_files", `{"files": ["/there"], "dest_dir": "@/in"}`, k.here + "/in/.*"},
	} {
		call, _ := k.call(t, one.in)
		err, killed := k.interrupted(t, t.Context(), one.step, call, one.sign, k.Kill)
		if killed && err != nil && (executors.IsPermanent(err) || executors.KindOf(err) != executors.KindConnect) {
			t.Errorf("%s: %v, of kind %s", one.step, err, executors.KindOf(err))
		}
		if killed {
			if err != nil {
				if _, err := k.attempt(t, one.step, call); err == nil || executors.IsPermanent(err) || executors.KindOf(err) != executors.KindConnect {
					t.Errorf("no server: %v, of kind %s", err, executors.KindOf(err))
				}
			}
			k.Restart(t)
		}
		call.Attempt = 2
		if _, err := k.attempt(t, one.step, call); err != nil {
			t.Errorf("%s again: %v", one.step, err)
		}
	}
	if got := tree(t, k.Dir); got != fmt.Sprintf("there=%d bytes up/big=%d bytes", size, size) {
		t.Errorf("there is %s", got)
	}
	if got := tree(t, k.here+"/in"); got != fmt.Sprintf("there=%d bytes", size) {
		t.Errorf("here is %s", got)
	}
}

// interrupted runs an attempt, and does something once files of a pattern are there; done is false if it was over before.
func (k *kit) interrupted(t *testing.T, ctx context.Context, step string, call *executors.Call, sign string, do func()) (err error, done bool) {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		_, err := k.steps[step].Run(ctx, call)
		ended <- err
	}()
	for {
		select {
		case err := <-ended:
			return err, false
		case <-time.After(time.Millisecond):
		}
		if names, _ := filepath.Glob(sign); len(names) > 0 {
			do()
			return <-ended, true
		}
	}
}

// An attempt that is cancelled leaves nothing half-written, here or there.
func TestCancelled(t *testing.T) {
	k := newKit(t)
	put(t, k.here+"/big", strings.Repeat("x", 64<<20))
	put(t, k.Dir+"/there", strings.Repeat("y", 64<<20))
	for _, one := range []struct{ step, in, sign string }{
		{"upload_files", `{"local_files": ["@/big"], "remote_dir": "/up"}`, k.Dir + "/up/.*"}, {"download_files", `{"files": ["/there"], "dest_dir": "@/in"}`, k.here + "/in/.*"},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		call, _ := k.call(t, one.in)
		err, done := k.interrupted(t, ctx, one.step, call, one.sign, func() { cancel(executors.ErrCancelled) })
		cancel(nil)
		if err != nil && (!done || !errors.Is(err, executors.ErrCancelled)) {
			t.Errorf("%s: %v", one.step, err)
		}
		for _, pattern := range []string{k.Dir + "/up/.*", k.here + "/in/.*"} {
			if left, _ := filepath.Glob(pattern); len(left) > 0 {
				t.Errorf("%s leaves %v", one.step, left)
			}
		}
	}
}

// A file of 64 MiB goes there and back through a small part of its size; more than the worker allows is not downloaded.
func TestBounds(t *testing.T) {
	k := newKit(t)
	const size = 64 << 20
	put(t, k.here+"/big", strings.Repeat("0123456789abcdef", size/16))
	put(t, k.Dir+"/more", strings.Repeat("x", 81<<20))
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := k.run(t, "upload_files", `{"local_files": ["@/big"], "remote_dir": "/up"}`); err != nil {
		t.Fatal(err)
	}
	if _, err := k.run(t, "download_files", `{"files": ["/up/big"], "dest_dir": "@/in"}`); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.Sys) - int64(before.Sys); grown > 32<<20 {
		t.Errorf("%d MiB more were used", grown>>20)
	}
	want, _ := os.ReadFile(k.here + "/big")
	if got, err := os.ReadFile(k.here + "/in/big"); err != nil || string(got) != string(want) {
		t.Errorf("it has %d bytes, %v", len(got), err)
	}
	if _, err := k.run(t, "download_files", `{"files": ["/more"], "dest_dir": "@/in2"}`); err == nil || !strings.Contains(err.Error(), "larger than 83886080 bytes") || !executors.IsPermanent(err) {
		t.Error(err)
	}
	if got := tree(t, k.here+"/in2"); got != "" {
		t.Errorf("here is %s", got)
	}
}

// What servers want of signatures and encryption, and what a task may want of a server.
func TestProtection(t *testing.T) {
	const list, shut = `{"remote_dir": "/", "min_count": 0`, "does not encrypt"
	for _, row := range []struct{ config, in, want string }{
		{"server signing = mandatory", ``, ""},
		{"server signing = mandatory", `, "signing": false`, ""},
		{"server signing = disabled", ``, ""},
		{"server smb encrypt = required", ``, ""},
		{"server smb encrypt = required", `, "encryption": true`, ""},
		{"server smb encrypt = off", `, "encryption": true`, shut},
		{"server smb encrypt = off", ``, ""},
		{"server max protocol = SMB2_10", ``, ""},
		{"server max protocol = SMB2_10", `, "encryption": true`, shut},
		{"server max protocol = SMB3_00\nserver smb encrypt = required", `, "encryption": true`, ""},
		{"map to guest = Bad User", `, "username": "nobody-here"`, "as a guest only"},
		{"map to guest = Bad Password", `, "password": "wrong"`, "as a guest only"},
		{"map to guest = Bad User\nguest ok = yes", `, "username": "nobody-here", "signing": false`, ""},
	} {
		k := newKit(t, strings.Split(row.config, "\n")...)
		put(t, k.here+"/a", strings.Repeat("a", 3<<20))
		got, err := k.run(t, "list_files", list+row.in+`}`)
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want) || !executors.IsPermanent(err)) {
			t.Errorf("%s%s: %s, %v", row.config, row.in, got, err)
		}
		if row.want == "" && !strings.Contains(row.config, "guest") {
			if _, err := k.run(t, "upload_files", `{"local_files": ["@/a"], "remote_dir": "/"`+row.in+`}`); err != nil {
				t.Errorf("%s%s: %v", row.config, row.in, err)
			}
			if got := tree(t, k.Dir); got != fmt.Sprintf("a=%d bytes", 3<<20) {
				t.Errorf("%s%s: there is %s", row.config, row.in, got)
			}
		}
		k.Kill()
	}
	k := newKit(t, "[sealed]", "path = /tmp", "smb encrypt = required")
	if got, err := k.run(t, "list_files", `{"remote_dir": "/", "min_count": 0, "share": "sealed", "encryption": true, "pattern": "none"}`); err != nil {
		t.Errorf("a share that is encrypted: %s, %v", got, err)
	}
}

// A server that says nothing, nonsense, or too much is given up, without harm.
func TestNoAnswer(t *testing.T) {
	k := newKit(t)
	for _, says := range []string{"", "HTTP/1.1 400 Bad Request\r\n\r\n", "\x00\x7f\xff\xff", "\x00\x00\x00\x48\xfeSMB" + strings.Repeat("\x00", 68), "\x00\x00\x00\x40\xfdSMB" + strings.Repeat("\xff", 60)} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close() //nolint:errcheck // it is a test's
				_, _ = io.WriteString(c, says)
			}
		}()
		k.port = l.Addr().(*net.TCPAddr).Port
		_, err = k.run(t, "list_files", `{"remote_dir": "/", "timeout": "0.3"}`)
		_ = l.Close()
		if kind := executors.KindOf(err); err == nil || executors.IsPermanent(err) || says == "" && (kind != executors.KindTimeout || !strings.Contains(err.Error(), "did not answer for 300ms")) {
			t.Errorf("%q: %v, of kind %s", says, err, kind)
		}
	}
	k.port = 1
	if _, err := k.run(t, "list_files", `{"remote_dir": "/"}`); executors.KindOf(err) != executors.KindConnect || executors.IsPermanent(err) {
		t.Errorf("%v, of kind %s", err, executors.KindOf(err))
	}
}
