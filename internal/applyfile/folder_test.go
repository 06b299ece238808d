package applyfile_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/internal/applyfile"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// write makes files of a folder, by their names.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// names are the objects of a folder.
func names(f *applyfile.Folder) string {
	var all []string
	for _, o := range f.Objects {
		all = append(all, o.Kind+" "+o.Name)
	}
	return strings.Join(all, ", ")
}

const limit = "taskgrove: 1\nlimits:\n- {key: %s, max: 1}\n"

// TestFoldersAreRead: files of folders below it, several documents, JSON and YAML; what is hidden and what has another ending is left out. Limits come before
// webhooks.
func TestFoldersAreRead(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{
		"a.yaml":           "# nothing yet\n---\ntaskgrove: 1\nowner: team/a\nwebhooks:\n- {name: w, url: 'https://h.example/x', events: [task_retry, tree_failed], timeout: 90s}\n",
		"b/c.json":         `{"taskgrove": 1, "owner": "team/a", "limits": [{"key": "k", "max": 0}, {"rate": "r", "max": 5, "per": "hour"}]}`,
		"b/d.yml":          "---\ntaskgrove: 1\nlimits: [{pool: p, max: 3}]\n--- # more\ntaskgrove: 1\nlimits: [{user_id: u, waiting: 3}]\n",
		"README.md":        "not: [read",
		".hidden.yaml":     "not: [read",
		".git/config.yaml": "not: [read",
	})
	_, err := applyfile.Read(dir)
	if err == nil || !strings.Contains(err.Error(), "a.yaml:6:76: webhooks[0].timeout: must be seconds, or as 10s, above 0 and at most 1m0s") {
		t.Fatalf("got %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte("taskgrove: 1\nowner: team/a\nwebhooks:\n- {name: w, url: 'https://h.example/x', events: [task_retry, tree_failed], timeout: 9.5}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := applyfile.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(f), "limit key k, limit rate r, limit pool p, limit user u, webhook w"; got != want || f.Owner != "team/a" {
		t.Errorf("got %s of %s, want %s", got, f.Owner, want)
	}
	w := f.Objects[4].Spec.(*applyfile.Webhook)
	if fmt.Sprintf("%v %v %v %v", w.Events, w.Timeout, w.Method, w.MaxAttempts) != "[tree_failed task_retry] 9.5s POST 10" {
		t.Errorf("the webhook is %+v", w)
	}
	if one, err := applyfile.Read(filepath.Join(dir, "b", "d.yml")); err != nil || len(one.Objects) != 2 {
		t.Errorf("one file: %v", err)
	}
}

// TestAllFaultsAreTold: of all files, each with its line and column, and the word that is meant.
func TestAllFaultsAreTold(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{
		"1.yaml": `taskgrove: 1
owner: a
limit: []
limits:
  - {key: k, maxx: 3}
  - {rate: r, max: -1}
  - {pool: "not a pool", max: 3, per: hour}
  - {user_id: u, max: 3}
  - {max: 3}
  - {key: a, rate: b, max: 1, per: day}
  - text
---
taskgrove: 2
`,
		"2.yaml": `taskgrove: 1
owner: b
webhooks:
  - name: w
    url: ftp://x
    event: [tree_failed]
    secret: whsec_canary
    secretFrom: {env: X}
    method: GET
    timeout: forever
    max_retries: 101
    headers: {Authorization: Bearer canary, X-A: {evn: Y}, X-B: {env: ""}}
    enabled: 1
    labels: [a]
  - {url: "https://u:canary@h", url_from: {env: A}, events: [tree_fialed]}
  - {name: v, url_from: A, events: tree_failed}
`,
		"3.yaml": "taskgrove: 1\nlimits:\n  - {key: k, max: 1}\n  - {key: k, max: 2}\n",
		"4.yaml": "limits: [",
		"5.yaml": "# nothing\n",
		"6.yaml": "taskgrove: 1\nname: t\ntasks: []\n",
	})
	_, err := applyfile.Read(dir)
	bad, ok := errors.AsType[*treefile.Error](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	told := strings.ReplaceAll(bad.Error(), dir+string(filepath.Separator), "")
	if strings.Contains(told, "canary") {
		t.Errorf("it tells what is secret:\n%s", told)
	}
	last := -1
	for _, want := range []string{
		`1.yaml:3:1: limit: is no key of a file of what a cluster has: write limits`,
		`1.yaml:5:5: limits[0]: must say max`,
		`1.yaml:5:14: limits[0].maxx: is no key of a limit: write max`,
		`1.yaml:6:5: limits[1]: must say per: hour, minute, second`,
		`1.yaml:6:15: limits[1].max: must be a whole number from 0 to 1000000`,
		`1.yaml:7:6: limits[2].pool: must be 1 to`,
		`1.yaml:7:34: limits[2].per: goes with a rate only`,
		`1.yaml:8:5: limits[3]: must say running, waiting or both`,
		`1.yaml:8:18: limits[3].max: goes with a key, a rate or a pool only`,
		`1.yaml:9:5: limits[4]: must have one of key, rate, pool and user_id`,
		`1.yaml:10:5: limits[5]: must have one of key, rate, pool and user_id`,
		`1.yaml:10:31: limits[5].per: "day" is none of hour, minute, second`,
		`1.yaml:11:5: limits[6]: must be an object`,
		`1.yaml:13:1: taskgrove: must be there, and 1`,
		`2.yaml:2:1: owner: must be the same in all files:`,
		`2.yaml:4:5: webhooks[0]: must say events`,
		`2.yaml:5:5: webhooks[0].url: must begin with https:// or http://`,
		`2.yaml:6:5: webhooks[0].event: is no key of a webhook: write events`,
		`2.yaml:7:5: webhooks[0].secret: does not stand in a file: secret_from says where it is`,
		`2.yaml:8:5: webhooks[0].secretFrom: is no key of a webhook: write secret_from`,
		`2.yaml:9:5: webhooks[0].method: "GET" is none of POST, PUT`,
		`2.yaml:10:5: webhooks[0].timeout: must be seconds, or as 10s`,
		`2.yaml:11:5: webhooks[0].max_retries: must be a whole number from 1 to 100`,
		`2.yaml:12:15: webhooks[0].headers.Authorization: looks secret`,
		`webhooks[0].headers.X-A.evn: is no key of a source: write env`,
		`webhooks[0].headers.X-B.env: must be a string that is not empty`,
		`2.yaml:13:5: webhooks[0].enabled: must be true or false`,
		`2.yaml:14:5: webhooks[0].labels: must be an object of strings`,
		`2.yaml:15:5: webhooks[1]: must have one of url and url_from`,
		`webhooks[1].events[0]: "tree_fialed" is not known: write tree_failed`,
		`webhooks[2].url_from: must be {env: NAME} or {file: PATH}`,
		`webhooks[2].events: must be a list of strings`,
		`3.yaml:4:5: limits[1]: limit key k is at 3.yaml:3:5, too`,
		`4.yaml:1:`,
		`5.yaml: the file is empty`,
		`6.yaml:2:1: name: is no key of`,
		`6.yaml:3:1: tasks: is no key of`,
	} {
		at := strings.Index(told, want)
		if at < 0 {
			t.Errorf("missing: %s", want)
		} else if at < last {
			t.Errorf("too early: %s", want)
		}
		last = max(last, at)
	}
	if t.Failed() {
		t.Log(told)
	}
}

// TestLinksStayWithin: a symbolic link to a file of the folder is that file, as volumes of Kubernetes have them; one that leads out, or to a folder, is refused.
func TestLinksStayWithin(t *testing.T) {
	t.Parallel()
	outside := write(t, map[string]string{"x.yaml": fmt.Sprintf(limit, "canary")})
	dir := write(t, map[string]string{"..2026/a.yaml": fmt.Sprintf(limit, "a")})
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Skip(err)
		}
	}
	link("..2026", "..data")
	link(filepath.Join("..data", "a.yaml"), "a.yaml")
	if f, err := applyfile.Read(dir); err != nil || names(f) != "limit key a" {
		t.Fatalf("got %+v, %v", f, err)
	}
	link(filepath.Join(outside, "x.yaml"), "out.yaml")
	link("..data", "folder")
	link("nothing", "gone.yaml")
	_, err := applyfile.Read(dir)
	if err == nil || strings.Contains(err.Error(), "canary") {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"folder: is a symbolic link to a folder", "gone.yaml: is a symbolic link that leads to nothing", "out.yaml: is a symbolic link that leads to nothing, or out of the folder"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing %q in %v", want, err)
		}
	}
}

// TestNullSaysNothing: a key without a value is as if it were not there, and what must be there is missed.
func TestNullSaysNothing(t *testing.T) {
	t.Parallel()
	f, err := applyfile.ReadText("f", ".", []byte("taskgrove: 1\nlimits: [{key: k, rate: null, per: ~, max: 1, running: }]\nwebhooks: [{name: w, url: 'https://h', url_from: , events: [tree_failed]}]\n"))
	if err != nil || names(f) != "limit key k, webhook w" {
		t.Errorf("got %v", err)
	}
	for text, want := range map[string]string{
		"limits: [{key: k, max: null}]":                                       "f:2:10: limits[0]: must say max",
		"limits: [{user_id: u, running: null, waiting: }]":                    "f:2:10: limits[0]: must say running, waiting or both",
		"limits: [{key: null, max: 1}]":                                       "f:2:10: limits[0]: must have one of key, rate, pool and user_id",
		"webhooks: [{name: w, url: , url_from: null, events: [tree_failed]}]": "f:2:12: webhooks[0]: must have one of url and url_from",
		"webhooks: [{name: w, url: 'https://h', events: null}]":               "f:2:12: webhooks[0]: must say events: at least one of",
	} {
		_, err := applyfile.ReadText("f", ".", []byte("taskgrove: 1\n"+text+"\n"))
		bad, ok := errors.AsType[*treefile.Error](err)
		if !ok || len(bad.Faults) != 1 || !strings.Contains(bad.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

// TestPipesAreNotOpened: that would wait for whoever writes to them.
func TestPipesAreNotOpened(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"a.yaml": fmt.Sprintf(limit, "k"), "..data/b.txt": ""})
	for _, name := range []string{"pipe.yaml", "..data/pipe"} {
		if err := syscall.Mkfifo(filepath.Join(dir, filepath.FromSlash(name)), 0o600); err != nil {
			t.Skip(err)
		}
	}
	if err := os.Symlink(filepath.Join("..data", "pipe"), filepath.Join(dir, "link.yaml")); err != nil {
		t.Skip(err)
	}
	for of, want := range map[string][]string{dir: {"link.yaml: is no regular file", "pipe.yaml: is no regular file"}, filepath.Join(dir, "pipe.yaml"): {"pipe.yaml: is no regular file"}} {
		told := make(chan error, 1)
		go func() {
			_, err := applyfile.Read(of)
			told <- err
		}()
		select {
		case err := <-told:
			for _, one := range want {
				if err == nil || !strings.Contains(err.Error(), one) {
					t.Errorf("%s: missing %q in %v", of, one, err)
				}
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: it waits for a pipe", of)
		}
	}
}

// TestBounds: of a file, of documents, of objects and of faults; and a folder without files is none, as it would delete everything.
func TestBounds(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct {
		text, want string
	}{
		"a large file":   {strings.Repeat("#\n", applyfile.MaxFileBytes/2+1), "is larger than"},
		"many documents": {strings.Repeat("---\na: 1\n", applyfile.MaxDocuments+1), "has more than 1000 documents"},
		"many objects":   {`{"taskgrove": 1, "limits": [` + strings.TrimSuffix(strings.Join(manyLimits(applyfile.MaxObjects+5), ","), ",") + "]}", "there are more than 10000 objects"},
		"many faults":    {"taskgrove: 1\nlimits: [" + strings.Repeat("{}, ", 150) + "]", "and 50 more"},
		"a key twice":    {"taskgrove: 1\nlimits:\n- {key: k, max: 1}\n- {key: a, key: b, max: 1}\n", "f:4:12: limits[1].key: must not be there twice"},
		"a header twice": {"taskgrove: 1\nwebhooks:\n- name: w\n  headers: {A: b, A: c}\n", "f:4:19: webhooks[0].headers.A: must not be there twice"},
		"a port":         {"taskgrove: 1\nwebhooks: [{name: w, url: 'https://h:99999', events: [tree_failed]}]", "f:2:22: webhooks[0].url: must have a port from 1 to 65535"},
		"a long URL":     {"taskgrove: 1\nwebhooks: [{name: w, url: 'https://h/" + strings.Repeat("a", 2048) + "', events: [tree_failed]}]", "webhooks[0].url: must be at most 2048 bytes long"},
		"a header":       {"taskgrove: 1\nwebhooks: [{name: w, url: 'https://h', events: [tree_failed], headers: {a b: c}}]", `f:2:63: webhooks[0].headers: "a b" is no name of a header`},
		"a name":         {"taskgrove: 1\nwebhooks: [{name: \"a\\e[31m\", url: 'https://h', events: [tree_failed]}]", `webhooks[0].name: must not hold control characters`},
		"its own header": {"taskgrove: 1\nwebhooks: [{name: w, url: 'https://h', events: [tree_failed], headers: {Host: {env: X}}}]", "f:2:73: webhooks[0].headers.Host: is set by each delivery itself"},
		"a header's end": {"taskgrove: 1\nwebhooks: [{name: w, url: 'https://h', events: [tree_failed], headers: {A: \"b\\nc\"}}]", "webhooks[0].headers.A: has a value that no header can have"},
		"large headers":  {"taskgrove: 1\nwebhooks: [{name: w, url: 'https://h', events: [tree_failed], headers: {A: '" + strings.Repeat("a", 16<<10) + "'}}]", "webhooks[0].headers: must have at most 16384 bytes in all"},
		"a body":         {"taskgrove: 1\nwebhooks: [{name: w, url: 'https://h', events: [tree_failed], body: {a: '{{tree.nope}}'}}]", "f:2:63: webhooks[0].body: "},
		"a large body":   {"taskgrove: 1\nwebhooks: [{name: w, url: 'https://h', events: [tree_failed], body: '" + strings.Repeat("a", 64<<10) + "'}]", "webhooks[0].body: must be at most 65536 bytes of JSON"},
		"nested deeply":  {strings.Repeat("[", 100_000), "must be an object"},
	} {
		_, err := applyfile.ReadText("f", ".", []byte(test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %.300v", what, err)
		}
	}
	if _, err := applyfile.Read(t.TempDir()); err == nil || !strings.Contains(err.Error(), "has no file to read") {
		t.Errorf("an empty folder: %v", err)
	}
}

func manyLimits(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf(`{"key":"k%d","max":1}`, i))
	}
	return out
}

// FuzzFiles: no text brings the reader down, a text that is taken names each object once, and faults are told by place.
func FuzzFiles(f *testing.F) {
	for _, seed := range []string{
		fmt.Sprintf(limit, "k"), "taskgrove: 1\nowner: a\n---\ntaskgrove: 1\nwebhooks: [{name: w, url: 'https://h', events: [tree_failed], headers: {A: {env: B}}, body: {a: 1}}]",
		`{"taskgrove":1,"limits":[{"rate":"r","max":1,"per":"hour","burst":2}]}`, "--- |\n x\n---\n", "taskgrove: 1\nlimits: [{user_id: u, running: 1}, &a {key: k, max: 1}, *a]", "---", "{", "\xef\xbb\xbf# x\n", "\"\\0\": 1",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		folder, err := applyfile.ReadText("f.yaml", ".", text)
		if err != nil {
			bad, ok := errors.AsType[*treefile.Error](err)
			if !ok || len(bad.Faults) == 0 {
				t.Fatalf("no faults: %v", err)
			}
			for _, one := range bad.Faults {
				if !strings.HasPrefix(one.Place, "f.yaml") || one.Text == "" || strings.ContainsRune(one.Text, 0) {
					t.Errorf("got %+v", one)
				}
			}
			return
		}
		seen := map[string]bool{}
		for _, o := range folder.Objects {
			if o.Name == "" || o.Spec == nil || seen[o.Kind+o.Name] || !strings.HasPrefix(o.Place(), "f.yaml:") {
				t.Errorf("got %+v at %s", o, o.Place())
			}
			seen[o.Kind+o.Name] = true
		}
	})
}

// TestTheExampleIsRead: the folder of the examples has an object of each kind.
func TestTheExampleIsRead(t *testing.T) {
	t.Parallel()
	f, err := applyfile.Read("../../examples/apply")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(f), "limit key warehouse, limit rate mail, limit user nightly, webhook failed-reports, schedule nightly-report, schedule mail-report"; got != want || f.Owner != "reports" {
		t.Errorf("got %s of %s, want %s", got, f.Owner, want)
	}
}
