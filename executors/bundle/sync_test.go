package bundle_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors/bundle"
	"github.com/taskgrove/taskgrove/internal/failpoint"
)

// source is one in memory.
type source struct {
	files  []bundle.File
	data   map[string]string
	broken error // of the list
	opened []string
}

func (s *source) List(context.Context) ([]bundle.File, error) { return s.files, s.broken }
func (s *source) Close() error                                { return nil }
func (s *source) Open(_ context.Context, f bundle.File) (io.ReadCloser, error) {
	text, has := s.data[f.Path]
	if !has {
		return nil, fmt.Errorf("%w: no %s", bundle.ErrSource, f.Path)
	}
	s.opened = append(s.opened, f.Path)
	return io.NopCloser(strings.NewReader(text)), nil
}

var then = time.UnixMilli(1_700_000_000_123)

// of is a source with these files.
func of(data map[string]string) *source {
	s := &source{data: data}
	for _, name := range slices.Sorted(maps.Keys(data)) {
		s.files = append(s.files, bundle.File{Path: name, Size: int64(len(data[name])), Modified: then})
	}
	return s
}

func spec() *bundle.Spec {
	return &bundle.Spec{ID: "b", EntryFlow: "main.yaml", ProfilesFile: "profiles.yaml", Origin: bundle.Origin{Type: bundle.Filesystem, BasePath: "/b"}}
}

func syncing(t *testing.T, root string, s *source, change ...func(*bundle.Request)) (*bundle.Result, error) {
	t.Helper()
	s.opened = nil
	r := bundle.Request{Spec: spec(), Root: root, Open: func(context.Context) (bundle.Source, error) { return s, nil }}
	for _, c := range change {
		c(&r)
	}
	return bundle.Sync(t.Context(), r)
}

func always(r *bundle.Request) { r.Spec.Always = true }
func strict(r *bundle.Request) { r.Spec.Origin.StrictFingerprint = true }
func stale(r *bundle.Request)  { r.AllowStale = true }

// contents are the files below a directory.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	if err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, name))
		out[name] = string(text)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFingerprint(t *testing.T) {
	digest := strings.Repeat("ab", 32)
	for _, row := range []struct {
		files []bundle.File
		text  string
	}{
		{nil, `[]`},
		{[]bundle.File{{Path: "b", Size: 3, Modified: then}, {Path: "a", Size: 9, SHA256: digest}}, `[["a","sha256:` + digest + `"],["b","sz:3|mt_ms:1700000000123"]]`},
		{[]bundle.File{{Path: "x", Size: -1}}, `[["x","sz:0|mt_ms:0"]]`},
		{[]bundle.File{{Path: "ä <&>.yaml", Size: 1, Modified: time.UnixMilli(7)}, {Path: "Z", Size: 0, Modified: time.UnixMilli(1)}}, `[["Z","sz:0|mt_ms:1"],["ä <&>.yaml","sz:1|mt_ms:7"]]`},
		{[]bundle.File{{Path: "n", Size: 1, Modified: time.Unix(1, 999_999_999)}}, `[["n","sz:1|mt_ms:1999"]]`},
	} {
		sum := sha256.Sum256([]byte(row.text))
		if got := bundle.Fingerprint(row.files); got != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: got %s", row.text, got)
		}
	}
}

// The order of a list does not matter; any other change of what it says of a file does.
func TestFingerprintProperty(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		var files []bundle.File
		for i := range 1 + r.IntN(12) {
			f := bundle.File{Path: fmt.Sprintf("d%d/f%d", r.IntN(3), i), Size: r.Int64N(1000), Modified: time.UnixMilli(r.Int64N(1 << 40))}
			if r.IntN(2) == 0 {
				sum := sha256.Sum256([]byte{byte(i)})
				f.SHA256 = hex.EncodeToString(sum[:])
			}
			files = append(files, f)
		}
		want := bundle.Fingerprint(files)
		shuffled := slices.Clone(files)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if bundle.Fingerprint(shuffled) != want {
			t.Fatalf("seed %d: the order counts", seed)
		}
		i := r.IntN(len(files))
		for name, change := range map[string]func(*bundle.File){
			"path": func(f *bundle.File) { f.Path += "x" },
			"sha256 or size": func(f *bundle.File) {
				if f.Size++; f.SHA256 != "" {
					f.SHA256 = strings.Repeat("0", 64)
				}
			},
			"time": func(f *bundle.File) { f.Modified, f.SHA256 = f.Modified.Add(time.Millisecond), "" },
		} {
			other := slices.Clone(files)
			if change(&other[i]); bundle.Fingerprint(other) == want {
				t.Fatalf("seed %d: %s of %v does not count", seed, name, files[i])
			}
		}
	}
}

func TestSync(t *testing.T) {
	root := t.TempDir()
	data := map[string]string{"main.yaml": "one", "profiles.yaml": "{}", "t/a.xlsx": "template"}
	s := of(data)
	first, err := syncing(t, root, s)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Changed || len(first.Fetched) != 3 || first.Stale || !maps.Equal(contents(t, first.Root), data) {
		t.Fatalf("first: %+v", first)
	}
	again, err := syncing(t, root, s)
	if err != nil || again.Changed || len(s.opened) > 0 || again.Root != first.Root {
		t.Fatalf("again: %+v, read %v, %v", again, s.opened, err)
	}
	// One file changes: it alone is read, and the version before stays as it was.
	s.data = maps.Clone(data)
	s.data["main.yaml"] = "two"
	s.files[0].Modified = then.Add(time.Second)
	second, err := syncing(t, root, s)
	if err != nil || !second.Changed || !slices.Equal(second.Fetched, []string{"main.yaml"}) || second.Root == first.Root {
		t.Fatalf("second: %+v, %v", second, err)
	}
	if !maps.Equal(contents(t, first.Root), data) || contents(t, second.Root)["main.yaml"] != "two" {
		t.Error("a version has changed")
	}
	if active, err := filepath.EvalSymlinks(filepath.Join(root, "b", "active")); err != nil || active != mustEval(t, second.Root) {
		t.Errorf("active leads to %s, %v", active, err)
	}
	// always reads all.
	if all, err := syncing(t, root, s, always); err != nil || len(all.Fetched) != 3 || all.Changed {
		t.Errorf("always: %+v, %v", all, err)
	}
	// Without strict, what changes neither size nor time is not seen.
	s.data["main.yaml"] = "TWO"
	if same, err := syncing(t, root, s); err != nil || same.Changed {
		t.Errorf("unseen: %+v, %v", same, err)
	}
	seen, err := syncing(t, root, s, strict)
	if err != nil || !seen.Changed || contents(t, seen.Root)["main.yaml"] != "TWO" {
		t.Errorf("strict: %+v, %v", seen, err)
	}
	// A declared digest counts, and spares reading where the content is there.
	sum := sha256.Sum256([]byte("two"))
	s.files[0].SHA256, s.data["main.yaml"] = hex.EncodeToString(sum[:]), "two"
	if told, err := syncing(t, root, s); err != nil || !told.Changed || len(s.opened) != 0 {
		t.Errorf("told: %+v, read %v, %v", told, s.opened, err)
	}
	s.files[0].SHA256, s.files[0].Size = strings.Repeat("0", 64), 3
	if _, err := syncing(t, root, s); err == nil || !strings.Contains(err.Error(), "sha256") {
		t.Errorf("another digest: %v", err)
	}
	last := readLast(t, root)
	if last.Error == "" || last.Fingerprint == "" {
		t.Errorf("last_error.json: %+v", last)
	}
	s.files[0].SHA256 = ""
	if _, err := syncing(t, root, s); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(root, "b", "last_error.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the last error stays: %v", err)
	}
	statuses, err := bundle.Statuses(root, "")
	if err != nil || len(statuses) != 1 || statuses[0].ID != "b" || statuses[0].Files != 3 {
		t.Errorf("status %+v, %v", statuses, err)
	}
}

func mustEval(t *testing.T, name string) string {
	t.Helper()
	out, err := filepath.EvalSymlinks(name)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func readLast(t *testing.T, root string) (last bundle.LastError) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "b", "last_error.json"))
	if err == nil {
		err = json.Unmarshal(text, &last)
	}
	if err != nil {
		t.Error(err)
	}
	return last
}

// What somebody has changed on the disk is made anew.
func TestSyncRepairs(t *testing.T) {
	root := t.TempDir()
	data := map[string]string{"main.yaml": "one", "d/x": "two"}
	s := of(data)
	first, err := syncing(t, root, s)
	if err != nil {
		t.Fatal(err)
	}
	for name, harm := range map[string]func() error{
		"a file is replaced": func() error {
			_ = os.Remove(filepath.Join(first.Root, "d/x"))
			return os.WriteFile(filepath.Join(first.Root, "d/x"), []byte("evil"), 0o600)
		},
		"a file is written": func() error {
			_ = os.Chmod(filepath.Join(first.Root, "d/x"), 0o600)
			return os.WriteFile(filepath.Join(first.Root, "d/x"), []byte("evil"), 0o600)
		},
		"a file is added":    func() error { return os.WriteFile(filepath.Join(first.Root, "more"), nil, 0o600) },
		"a file is removed":  func() error { return os.Remove(filepath.Join(first.Root, "d/x")) },
		"the tree is gone":   func() error { return os.RemoveAll(first.Root) },
		"the cache is gone":  func() error { return errors.Join(os.RemoveAll(first.Cache), os.RemoveAll(first.Root)) },
		"latest is cut":      func() error { return os.WriteFile(filepath.Join(first.Records, "latest.json"), []byte("{"), 0o600) },
		"the record is gone": func() error { return os.Remove(filepath.Join(first.Records, first.Fingerprint+".json")) },
		"the record is forged": func() error {
			name := filepath.Join(first.Records, first.Fingerprint+".json")
			text, err := os.ReadFile(name)
			return errors.Join(err, os.WriteFile(name, bytes.Replace(text, []byte(`"path":"d/x"`), []byte(`"path":"../x"`), 1), 0o600))
		},
	} {
		if err := harm(); err != nil {
			t.Fatal(name, err)
		}
		out, err := syncing(t, root, s)
		if err != nil || !maps.Equal(contents(t, out.Root), data) {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
	}
}

func TestSyncStale(t *testing.T) {
	root := t.TempDir()
	s := of(map[string]string{"main.yaml": "one"})
	down := errors.Join(bundle.ErrSource, errors.New("connection refused"))
	refuse := func(r *bundle.Request) { r.Open = func(context.Context) (bundle.Source, error) { return nil, down } }
	if _, err := syncing(t, root, s, refuse, stale); !errors.Is(err, bundle.ErrSource) {
		t.Fatalf("nothing was fetched yet: %v", err)
	}
	good, err := syncing(t, root, s)
	if err != nil {
		t.Fatal(err)
	}
	broken := of(map[string]string{"main.yaml": "one"})
	broken.broken = down
	lost := of(map[string]string{"main.yaml": "longer"})
	lost.data = nil
	hostile := of(map[string]string{"../x": "x"})
	empty := of(map[string]string{"other.yaml": "x"})
	for name, src := range map[string]*source{"the list fails": broken, "a file is lost": lost, "the list is hostile": hostile, "no entry flow": empty} {
		if _, err := syncing(t, root, src); err == nil {
			t.Errorf("%s: no error", name)
		}
		out, err := syncing(t, root, src, stale)
		if err != nil || !out.Stale || out.Fingerprint != good.Fingerprint || out.Root != good.Root || out.Reason == "" || out.Changed {
			t.Errorf("%s, stale: %+v, %v", name, out, err)
		}
	}
	if out, err := syncing(t, root, s, refuse, stale); err != nil || !out.Stale {
		t.Errorf("the source is down: %+v, %v", out, err)
	}
	moved := func(r *bundle.Request) { r.Spec.Origin.BasePath = "/elsewhere" }
	if _, err := syncing(t, root, s, refuse, stale, moved); err == nil {
		t.Error("the version of another source counts")
	}
	if out, err := syncing(t, root, s); err != nil || out.Stale {
		t.Errorf("it is back: %+v, %v", out, err)
	}
}

func TestSyncRefusesHostileLists(t *testing.T) {
	deep := strings.Repeat("d/", 40) + "f"
	rows := map[string][]bundle.File{
		"dots":             {{Path: "../x"}},
		"dots within":      {{Path: "a/../../x"}},
		"dots only":        {{Path: ".."}},
		"dot":              {{Path: "."}},
		"empty":            {{Path: ""}},
		"absolute":         {{Path: "/etc/passwd"}},
		"drive":            {{Path: "C:/x"}},
		"backslash":        {{Path: `a\..\x`}},
		"empty part":       {{Path: "a//b"}},
		"trailing slash":   {{Path: "a/"}},
		"dot part":         {{Path: "a/./b"}},
		"NUL":              {{Path: "a\x00b"}},
		"newline":          {{Path: "a\nb"}},
		"escape":           {{Path: "a\x1b[2Jb"}},
		"right to left":    {{Path: "a\u202eb"}},
		"no width":         {{Path: "a\u200bb"}},
		"line separator":   {{Path: "a\u2028b"}},
		"not UTF-8":        {{Path: "a\xffb"}},
		"blank at the end": {{Path: "a "}},
		"blank directory":  {{Path: " /a"}},
		"long":             {{Path: strings.Repeat("a/", 600)}},
		"long part":        {{Path: strings.Repeat("a", 300)}},
		"deep":             {{Path: deep}},
		"twice":            {{Path: "a"}, {Path: "a"}},
		"file and dir":     {{Path: "a"}, {Path: "a/b"}},
		"file and dirs":    {{Path: "a/b"}, {Path: "a/b/c/d"}},
		"link":             {{Path: "a", Link: true}},
		"large":            {{Path: "a", Size: bundle.MaxFileBytes + 1}},
		"all large":        {{Path: "a", Size: bundle.MaxFileBytes}, {Path: "b", Size: bundle.MaxFileBytes}, {Path: "c", Size: bundle.MaxFileBytes}, {Path: "d", Size: bundle.MaxFileBytes}, {Path: "e", Size: 1}},
		"digest":           {{Path: "a", SHA256: "../../x"}},
		"digest capitals":  {{Path: "a", SHA256: strings.Repeat("A", 64)}},
		"many":             make([]bundle.File, bundle.MaxFiles+1),
	}
	root := t.TempDir()
	for name, files := range rows {
		s := of(map[string]string{"main.yaml": "one"})
		s.files = append(s.files, files...)
		_, err := syncing(t, root, s)
		if _, is := errors.AsType[*bundle.FaultsError](err); !is || len(s.opened) > 0 {
			t.Errorf("%s: %v, read %v", name, err, s.opened)
		}
	}
	all := of(map[string]string{"main.yaml": "one"})
	all.files = append(all.files, rows["dots"][0], rows["absolute"][0], rows["link"][0])
	if _, err := syncing(t, root, all); err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("not all at once: %v", err)
	}
	// A file that is another one than the list says.
	for name, text := range map[string]string{"longer": "one and more", "shorter": "o"} {
		s := of(map[string]string{"main.yaml": "one"})
		s.data["main.yaml"] = text
		if _, err := syncing(t, root, s); !errors.Is(err, bundle.ErrSource) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := filepath.Glob(filepath.Join(root, "b", "versions", "*")); err != nil || len(got) > 0 {
		t.Errorf("versions %v, %v", got, err)
	}
}

func TestSyncsAtOnce(t *testing.T) {
	root := t.TempDir()
	data := map[string]string{"main.yaml": "one", "a/b": "two", "a/c": "three"}
	var wait sync.WaitGroup
	var mu sync.Mutex
	changed, reads := 0, 0
	for range 5 {
		wait.Go(func() {
			s := of(data)
			out, err := syncing(t, root, s)
			mu.Lock()
			defer mu.Unlock()
			if reads += len(s.opened); err != nil {
				t.Error(err)
			} else if out.Changed {
				changed++
			}
		})
	}
	wait.Wait()
	if changed != 1 || reads != 3 {
		t.Errorf("%d changed it, and %d files were read", changed, reads)
	}
}

// Who waits for another sync ends with its context.
func TestSyncEnds(t *testing.T) {
	root := t.TempDir()
	in, out := make(chan bool), make(chan bool)
	blocking := bundle.Request{Spec: spec(), Root: root, Open: func(context.Context) (bundle.Source, error) {
		close(in)
		<-out
		return of(map[string]string{"main.yaml": "one"}), nil
	}}
	done := make(chan error)
	go func() {
		_, err := bundle.Sync(t.Context(), blocking)
		done <- err
	}()
	<-in
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	time.AfterFunc(20*time.Millisecond, func() { cancel(enough) })
	if _, err := bundle.Sync(ctx, blocking); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
	close(out)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := syncing(t, root, of(map[string]string{"main.yaml": "one"})); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// Old versions and their contents go.
func TestSyncPrunes(t *testing.T) {
	root := t.TempDir()
	s := of(map[string]string{"main.yaml": "0", "same": "same"})
	var all []*bundle.Result
	for i := range 6 {
		s.data["main.yaml"], s.files[0].Modified = fmt.Sprint(i), then.Add(time.Duration(i)*time.Second)
		out, err := syncing(t, root, s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, out)
	}
	if err := os.WriteFile(filepath.Join(all[0].Cache, strings.Repeat("0", 64)), nil, 0o600); err != nil { // nothing names it
		t.Fatal(err)
	}
	for i, out := range all {
		at := time.Now().Add(-time.Hour + time.Duration(i)*time.Second)
		if err := os.Chtimes(filepath.Join(out.Records, out.Fingerprint+".json"), at, at); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := syncing(t, root, s); err != nil {
		t.Fatal(err)
	}
	for i, out := range all {
		_, err := os.Stat(out.Root)
		if kept := err == nil; kept != (i >= 3) {
			t.Errorf("version %d is there: %v", i, kept)
		}
	}
	if blobs, err := os.ReadDir(all[0].Cache); err != nil || len(blobs) != 4 {
		t.Errorf("%d contents, %v", len(blobs), err)
	}
}

const killedRoot = "TASKGROVE_TEST_BUNDLE_ROOT"

// A sync that is killed leaves nothing that is half there, and the next one goes on.
func TestSyncKilled(t *testing.T) {
	data := map[string]string{"main.yaml": "new", "a": "A", "b": "B"}
	if root := os.Getenv(killedRoot); root != "" {
		s := of(data)
		s.files[2].Modified = then.Add(time.Second)
		_, err := syncing(t, root, s)
		t.Fatal("was not killed: ", err)
	}
	if testing.Short() {
		t.Skip("starts processes")
	}
	for _, point := range []string{"bundle.before-blob=kill", "bundle.after-fetch=kill@2", "bundle.mid-tree=kill@2", "bundle.before-tree=kill", "bundle.before-record=kill", "bundle.before-latest=kill"} {
		root := t.TempDir()
		before := map[string]string{"main.yaml": "old", "a": "A"}
		first, err := syncing(t, root, of(before))
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSyncKilled$") //nolint:gosec // this test
		cmd.Env = append(os.Environ(), killedRoot+"="+root, failpoint.Variable+"="+point)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("%s: %v\n%s", point, err, out)
		}
		// Stale, it is the version before, whole.
		dead := of(nil)
		dead.broken = bundle.ErrSource
		out, err := syncing(t, root, dead, stale)
		if err != nil || out.Root != first.Root || !maps.Equal(contents(t, out.Root), before) {
			t.Errorf("%s: stale: %+v, %v", point, out, err)
		}
		for _, dir := range versions(t, root) {
			if got := contents(t, dir); !maps.Equal(got, before) && !maps.Equal(got, data) {
				t.Errorf("%s: %s has %v", point, dir, got)
			}
		}
		s := of(data)
		s.files[2].Modified = then.Add(time.Second)
		if out, err := syncing(t, root, s); err != nil || !out.Changed || !maps.Equal(contents(t, out.Root), data) {
			t.Errorf("%s: afterwards: %+v, %v", point, out, err)
		}
	}
}

func versions(t *testing.T, root string) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(root, "b", "versions", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}
