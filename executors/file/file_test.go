package file_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/file"
	"github.com/taskgrove/taskgrove/executors/network"
)

// object is inputs, or a part of them.
type object = map[string]any

// newExecutor makes one with a root of the test's own.
func newExecutor(t testing.TB) (*file.Executor, string) {
	t.Helper()
	root := t.TempDir()
	return executorAt(file.Place{Root: root}), root
}

func executorAt(place file.Place) *file.Executor {
	return file.New(file.Config{
		Network: network.New(network.Config{Guard: network.Guard{Loopback: true}}),
		Place:   func(string) file.Place { return place },
	})
}

// attempt runs inputs as an attempt of that number. The result is as it would be stored.
func attempt(ctx context.Context, t testing.TB, e executors.Executor, number int, in object) (map[string]any, error) {
	t.Helper()
	call, _ := conformance.Call(t, in)
	call.Attempt = number
	return outcome(t, e, ctx, call)
}

func outcome(t testing.TB, e executors.Executor, ctx context.Context, call *executors.Call) (map[string]any, error) {
	t.Helper()
	out, err := e.Run(ctx, call)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(out.Value())
	if err != nil {
		t.Fatalf("result: %v", err)
	}
	var result map[string]any
	if err := json.Unmarshal(text, &result); err != nil {
		t.Fatalf("result %s: %v", text, err)
	}
	return result, nil
}

func run(t testing.TB, e executors.Executor, in object) map[string]any {
	t.Helper()
	result, err := attempt(t.Context(), t, e, 1, in)
	if err != nil {
		t.Fatalf("%v: %v", in, err)
	}
	return result
}

// wantError runs what must fail for good.
func wantError(t testing.TB, e executors.Executor, in object, parts ...string) {
	t.Helper()
	_, err := attempt(t.Context(), t, e, 1, in)
	if err == nil || !executors.IsPermanent(err) {
		t.Errorf("%v: got %v, want a permanent error", in, err)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v: %q does not say %q", in, err, part)
		}
	}
}

func put(t testing.TB, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// files are all below a directory, with their content. Hidden ones, too.
func files(t testing.TB, dir string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if d.IsDir() {
			all = append(all, name+"/")
			return nil
		}
		if !d.Type().IsRegular() {
			all = append(all, name+"@")
			return nil
		}
		content, err := os.ReadFile(path)
		all = append(all, fmt.Sprintf("%s=%.20s", name, content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

func wantFiles(t testing.TB, dir, want string) {
	t.Helper()
	if got := files(t, dir); got != want {
		t.Errorf("files\n got %s\nwant %s", got, want)
	}
}

func TestFilesGoWhereTheyAreTold(t *testing.T) {
	t.Parallel()
	e, root := newExecutor(t)
	run(t, e, object{"operation": "write", "path": "in/a.txt", "content": "hello"})
	wantError(t, e, object{"operation": "write", "path": "in/a.txt", "content": "again"}, "in/a.txt exists already (set overwrite")
	run(t, e, object{"operation": "write", "path": "in/b.bin", "content": "AP8=", "encoding": "base64"})
	if got := run(t, e, object{"operation": "read", "path": "in/b.bin", "algorithm": "md5"}); got["content"] != "AP8=" || got["encoding"] != "base64" || got["checksum"] != fmt.Sprintf("%x", md5.Sum([]byte{0, 255})) {
		t.Errorf("read: %v", got)
	}
	if got := run(t, e, object{"operation": "read", "path": "in/a.txt", "max_bytes": 2}); got["content"] != "he" || got["truncated"] != true || got["truncated_fields"] != nil || got["bytes"] != 5.0 {
		t.Errorf("read: %v", got)
	}
	got := run(t, e, object{"operation": "copy", "source": "in/a.txt", "destination": "out/", "algorithm": "sha256"})
	if got["destination"] != "out/a.txt" || got["bytes"] != 5.0 || got["checksum"] != "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" {
		t.Errorf("copy: %v", got)
	}
	for algorithm, want := range map[string]string{"crc32c": "9a71bb4c", "sha1": "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d", "md5": "5d41402abc4b2a76b9719d911017c592"} {
		if got := run(t, e, object{"operation": "checksum", "path": "in/a.txt", "algorithm": algorithm, "expected": strings.ToUpper(want)}); got["checksum"] != want {
			t.Errorf("%s: %v", algorithm, got)
		}
	}
	wantError(t, e, object{"operation": "copy", "source": "in/a.txt", "destination": "bad.txt", "expected": strings.Repeat("0", 64)}, "not the one expected")
	run(t, e, object{"operation": "move", "source": "in/a.txt", "destination": "moved/c.txt"})
	wantError(t, e, object{"operation": "move", "source": "in/b.bin", "destination": "moved/c.txt"}, "exists already")
	run(t, e, object{"operation": "copy", "source": "moved", "destination": "copied"})
	run(t, e, object{"operation": "move", "source": "copied/", "destination": "elsewhere/"})
	run(t, e, object{"operation": "move", "source": "out/", "destination": "elsewhere/"}) // is there: one by one
	wantFiles(t, root, "elsewhere/ elsewhere/a.txt=hello elsewhere/c.txt=hello in/ in/b.bin=\x00\xff moved/ moved/c.txt=hello")
	if got := run(t, e, object{"operation": "stat", "path": "moved/c.txt"}); got["exists"] != true || got["entry"].(map[string]any)["size"] != 5.0 {
		t.Errorf("stat: %v", got)
	}
	if got := run(t, e, object{"operation": "stat", "path": "nothing/here"}); got["exists"] != false {
		t.Errorf("stat: %v", got)
	}
	wantError(t, e, object{"operation": "delete", "path": "moved"}, "set recursive")
	if got := run(t, e, object{"operation": "delete", "path": "moved", "recursive": true}); got["files"] != 1.0 {
		t.Errorf("delete: %v", got)
	}
	if got := run(t, e, object{"operation": "delete", "path": "moved"}); got["files"] != 0.0 {
		t.Errorf("delete what is gone: %v", got)
	}
	wantError(t, e, object{"operation": "copy", "source": "nothing", "destination": "x"}, "nothing does not exist")
	wantError(t, e, object{"operation": "copy", "source": "in", "destination": "in/deeper"}, "within source")
	wantError(t, e, object{"operation": "delete", "path": ".", "recursive": true}, "root of all")
}

func TestListsGoOnBehindTheirCursor(t *testing.T) {
	t.Parallel()
	e, root := newExecutor(t)
	var want []string
	for _, name := range []string{"a", "a-b", "a.b/c", "b/x", "b/y/z", "b-1", "c", ".hidden"} {
		put(t, filepath.Join(root, "l", filepath.FromSlash(name)), "x")
	}
	put(t, filepath.Join(root, "l", ".taskgrove-unfinished"), "x")
	for _, recursive := range []bool{false, true} {
		whole := run(t, e, object{"operation": "list", "path": "l", "recursive": recursive})
		want = nil
		for _, entry := range whole["entries"].([]any) {
			want = append(want, entry.(map[string]any)["path"].(string))
		}
		if n := map[bool]int{false: 7, true: 11}[recursive]; len(want) != n || slices.Contains(want, "l/.taskgrove-unfinished") || whole["cursor"] != nil {
			t.Errorf("list, recursive %v: %d entries %q, want %d", recursive, len(want), want, n)
		}
		for limit := 1; limit < 5; limit++ {
			var got []string
			for cursor := ""; ; {
				page := run(t, e, object{"operation": "list", "path": "l", "recursive": recursive, "limit": limit, "cursor": cursor})
				for _, entry := range page["entries"].([]any) {
					got = append(got, entry.(map[string]any)["path"].(string))
				}
				next, more := page["cursor"].(string)
				if !more {
					break
				}
				cursor = next
			}
			if !slices.Equal(got, want) {
				t.Errorf("by %d\n got %q\nwant %q", limit, got, want)
			}
		}
	}
}

// TestNothingLeadsOutOfTheRoot tries the names and links of the table with every operation that reads or writes.
func TestNothingLeadsOutOfTheRoot(t *testing.T) {
	t.Parallel()
	e, root := newExecutor(t)
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret.txt")
	put(t, secret, "secret")
	put(t, filepath.Join(root, "in.txt"), "in")
	put(t, filepath.Join(root, "dir", "deep", "in.txt"), "in")
	rel, err := filepath.Rel(root, outside)
	if err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{
		"file-link": secret, "dir-link": outside, "rel-link": filepath.Join(rel, "secret.txt"), "rel-dir": rel, "up": "..", "dir/up": "../..", "root-link": "/",
		"chain-1": "chain-2", "chain-2": "dir/chain-3", "dir/chain-3": "../" + filepath.Join(rel, "secret.txt"), "self": "self", "to-new": filepath.Join(outside, "new.txt"),
		"proc": "/proc/self/root", "cwd": "/proc/self/cwd", "fd": "/dev/fd",
	} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(root, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(root, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	before, outsideBefore := files(t, root), files(t, outside)
	names := []string{
		secret, "/etc/passwd", "//etc/passwd", "../" + filepath.Base(outside) + "/secret.txt", rel + "/secret.txt", "dir/../../" + filepath.Base(outside) + "/secret.txt",
		"dir/./../..", "..", "../", "./..", ".//../x", "dir/..", "a/../b", "file:///etc/passwd", "http://127.0.0.1/x", "x\x00y", "C:\\x", "..\\secret.txt", "~/../x/..",
		"file-link", "dir-link/secret.txt", "rel-link", "rel-dir/secret.txt", "up/" + filepath.Base(outside) + "/secret.txt", "dir/up/" + filepath.Base(outside) + "/secret.txt",
		"root-link/etc/passwd", "chain-1", "self", "to-new", "proc/etc/passwd", "cwd/file_test.go", "fd/0", "in.txt/x", "in.txt/../../" + filepath.Base(outside), "pipe", "socket",
		strings.Repeat("d/", 3000) + "x", "dir-link/", "up/", "%2e%2e/secret.txt/..",
	}
	for _, name := range names {
		for _, in := range []object{
			{"operation": "read", "path": name}, {"operation": "checksum", "path": name}, {"operation": "copy", "source": name, "destination": "stolen"},
			{"operation": "move", "source": name + "/", "destination": "stolen/"}, {"operation": "pack", "source": name, "destination": "stolen.zip"},
			{"operation": "unpack", "source": name, "destination": "stolen/"},
		} {
			wantError(t, e, in)
		}
		if name == "pipe" || name == "socket" || strings.HasPrefix(name, "self") {
			continue // to replace them harms nothing outside
		}
		for _, in := range []object{
			{"operation": "write", "path": name + "/new.txt", "content": "x"}, {"operation": "copy", "source": "in.txt", "destination": name + "/new.txt", "overwrite": true},
			{"operation": "copy", "source": "dir", "destination": name + "/deep/er"}, {"operation": "pack", "source": "dir/deep", "destination": name + "/new.zip"},
		} {
			wantError(t, e, in)
		}
	}
	for _, name := range []string{"file-link", "dir-link", "to-new", "chain-1"} { // the link itself may go, never what it leads to
		run(t, e, object{"operation": "delete", "path": name, "recursive": true})
		if err := os.Symlink(secret, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
		run(t, e, object{"operation": "write", "path": name, "content": "mine", "overwrite": true})
		if err := os.Remove(filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if got := files(t, outside); got != outsideBefore {
		t.Errorf("outside\n got %s\nwant %s", got, outsideBefore)
	}
	gone := []string{"file-link@", "dir-link@", "to-new@", "chain-1@"}
	want := slices.DeleteFunc(strings.Fields(before), func(f string) bool { return slices.Contains(gone, f) })
	if got := strings.Fields(files(t, root)); !slices.Equal(got, want) {
		t.Errorf("root\n got %s\nwant %s", got, want)
	}
	wantError(t, executorAt(file.Place{}), object{"operation": "read", "path": "in.txt"}, "TASKGROVE_FILE_ROOT")
	readOnly := executorAt(file.Place{Root: root, ReadOnly: true})
	run(t, readOnly, object{"operation": "read", "path": "in.txt"})
	for _, in := range []object{
		{"operation": "write", "path": "n", "content": ""}, {"operation": "delete", "path": "in.txt"}, {"operation": "move", "source": "in.txt", "destination": "n"},
		{"operation": "move", "source": "dir", "destination": "n"}, {"operation": "copy", "source": "dir/deep", "destination": "n"}, {"operation": "pack", "source": "dir", "destination": "n.zip"},
	} {
		wantError(t, readOnly, in, "may only read")
	}
}

func TestACancelledCopyLeavesNothing(t *testing.T) {
	t.Parallel()
	e, root := newExecutor(t)
	large, err := os.Create(filepath.Join(root, "large"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(large.Truncate(64<<30), large.Close()); err != nil { // sparse
		t.Fatal(err)
	}
	for _, in := range []object{
		{"operation": "copy", "source": "large", "destination": "out/copy"}, {"operation": "pack", "source": "large", "destination": "out/p.tar"},
		{"operation": "pack", "source": "large", "destination": "out/p.zip"}, {"operation": "checksum", "path": "large"},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		call, _ := conformance.Call(t, in)
		call.Reporter = reporter(func() { cancel(executors.ErrCancelled) }) // once it has begun
		if _, err := outcome(t, e, ctx, call); !errors.Is(err, executors.ErrCancelled) {
			t.Errorf("%v: got %v", in, err)
		}
	}
	if err := os.Remove(filepath.Join(root, "large")); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, root, "out/")
}

// reporter calls a function at the first progress.
type reporter func()

func (r reporter) Log(string, string)       {}
func (r reporter) Progress(float64, string) { r() }

func TestALaterAttemptRemovesWhatAnEarlierOneHasLeft(t *testing.T) {
	t.Parallel()
	e, root := newExecutor(t)
	put(t, filepath.Join(root, "in"), "x")
	var left string
	call, _ := conformance.Call(t, object{"operation": "copy", "source": "in", "destination": "out"})
	call.Reporter = reporter(func() { left = files(t, root) })
	if _, err := outcome(t, e, t.Context(), call); err != nil || !strings.HasPrefix(left, ".taskgrove-") {
		t.Fatalf("got %v; in the middle there is %q", err, left)
	}
	name, _, _ := strings.Cut(left, "=")
	put(t, filepath.Join(root, name), "left by a worker that was killed")
	if _, err := attempt(t.Context(), t, e, 2, object{"operation": "copy", "source": "in", "destination": "out", "overwrite": true}); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, root, "in=x out=x")
}

func TestArchivesGoThereAndBack(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"zip", "tar", "tar.gz", "tar.zst"} {
		e, root := newExecutor(t)
		put(t, filepath.Join(root, "src", "a.txt"), "hello")
		put(t, filepath.Join(root, "src", "sub", "é.txt"), strings.Repeat("x", 1000))
		if err := os.Chmod(filepath.Join(root, "src", "a.txt"), 0o755); err != nil {
			t.Fatal(err)
		}
		got := run(t, e, object{"operation": "pack", "source": "src/", "destination": "src/p." + format, "algorithm": "sha256"})
		if got["files"] != 2.0 || got["bytes"] != 1005.0 || got["checksum"] == nil {
			t.Errorf("pack: %v", got)
		}
		wantError(t, e, object{"operation": "pack", "source": "src/", "destination": "src/p." + format}, "exists already")
		if got := run(t, e, object{"operation": "unpack", "source": "src/p." + format, "destination": "out"}); got["files"] != 2.0 || got["bytes"] != 1005.0 {
			t.Errorf("unpack: %v", got)
		}
		wantFiles(t, filepath.Join(root, "out"), "a.txt=hello sub/ sub/é.txt="+strings.Repeat("x", 20))
		if i, err := os.Stat(filepath.Join(root, "out", "a.txt")); err != nil || i.Mode().Perm() != 0o755 {
			t.Errorf("%s: mode %v, %v", format, i.Mode(), err)
		}
		wantError(t, e, object{"operation": "unpack", "source": "src/p." + format, "destination": "out"}, "out/a.txt exists already")
		run(t, e, object{"operation": "unpack", "source": "src/p." + format, "destination": "out", "overwrite": true})
	}
}

// tarred is a tar file.
func tarred(t testing.TB, headers ...tar.Header) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		h.Mode = 0o644
		content := ""
		if h.Typeflag == 0 || h.Typeflag == tar.TypeReg {
			content, h.Size = "evil", 4
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zipped(t testing.TB, mode fs.FileMode, names ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		h := &zip.FileHeader{Name: name}
		h.SetMode(mode)
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, "../outside"); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// bomb is a MiB of zeros, so many times, as a tar.gz file.
func bomb(t testing.TB, times int) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	zeros := make([]byte, 1<<20)
	for i := range times {
		if err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("f%d", i), Size: 1 << 20, Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestBadArchivesAreRefusedAndLeaveNothing(t *testing.T) {
	t.Parallel()
	good := tar.Header{Name: "good.txt"}
	many := make([]tar.Header, 200)
	for i := range many {
		many[i] = tar.Header{Name: fmt.Sprintf("n%d", i)}
	}
	nested := zipped(t, 0o644, "x")
	flags := strings.Index(nested, "PK\x01\x02") + 8
	encrypted := nested[:flags] + string([]byte{nested[flags] | 1}) + nested[flags+1:]
	for fact, row := range map[string]struct {
		archive string
		more    object
		want    string
	}{
		"tar: out of the root":         {tarred(t, good, tar.Header{Name: "../evil"}), nil, "name that is not allowed"},
		"tar: out, deeper":             {tarred(t, good, tar.Header{Name: "a/../../evil"}), nil, "name that is not allowed"},
		"tar: absolute":                {tarred(t, good, tar.Header{Name: "/tmp/evil"}), nil, "name that is not allowed"},
		"tar: backslashes":             {tarred(t, good, tar.Header{Name: `..\evil`}), nil, "name that is not allowed"},
		"tar: symbolic link":           {tarred(t, good, tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/etc"}, tar.Header{Name: "l/evil"}), nil, "neither a file nor a directory"},
		"tar: hard link":               {tarred(t, good, tar.Header{Name: "l", Typeflag: tar.TypeLink, Linkname: "../in"}), nil, "neither a file nor a directory"},
		"tar: character device":        {tarred(t, good, tar.Header{Name: "d", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}), nil, "neither a file nor a directory"},
		"tar: block device":            {tarred(t, good, tar.Header{Name: "d", Typeflag: tar.TypeBlock}), nil, "neither a file nor a directory"},
		"tar: pipe":                    {tarred(t, good, tar.Header{Name: "d", Typeflag: tar.TypeFifo}), nil, "neither a file nor a directory"},
		"tar: twice":                   {tarred(t, good, good), nil, "is there twice"},
		"tar: file as a directory":     {tarred(t, good, tar.Header{Name: "good.txt/x"}), nil, ""},
		"tar: too many":                {tarred(t, many...), object{"max_files": 100}, "more than 100 entries"},
		"tar: cut off":                 {tarred(t, good, tar.Header{Name: "b"})[:1200], nil, "broken"},
		"tar: nothing like one":        {strings.Repeat("nonsense ", 1000), nil, "broken"},
		"tar.gz: larger than allowed":  {bomb(t, 20), object{"max_bytes": 10 << 20, "max_ratio": 100_000}, "unpacks to more than is allowed"},
		"tar.gz: ratio":                {bomb(t, 30), object{"max_ratio": 20}, "unpacks to more than is allowed"},
		"tar.gz: cut off":              {bomb(t, 3)[:2000], nil, "broken"},
		"zip: out of the root":         {zipped(t, 0o644, "good", "../evil"), nil, "name that is not allowed"},
		"zip: absolute":                {zipped(t, 0o644, "good", "/evil"), nil, "name that is not allowed"},
		"zip: backslashes":             {zipped(t, 0o644, "good", `a\..\..\evil`), nil, "name that is not allowed"},
		"zip: symbolic link":           {zipped(t, fs.ModeSymlink|0o777, "good"), nil, "neither a file nor a directory"},
		"zip: device":                  {zipped(t, fs.ModeDevice|0o666, "good"), nil, "neither a file nor a directory"},
		"zip: twice":                   {zipped(t, 0o644, "good", "good"), nil, "is there twice"},
		"zip: other letters, one file": {zipped(t, 0o644, "good", "./good"), nil, "is there twice"},
		"zip: encrypted":               {encrypted, nil, "is encrypted"},
		"nothing at all":               {"", nil, ""},
	} {
		e, root := newExecutor(t)
		put(t, filepath.Join(root, "in"), row.archive)
		in := object{"operation": "unpack", "source": "in", "destination": "a/out"}
		for k, v := range row.more {
			in[k] = v
		}
		_, err := attempt(t.Context(), t, e, 1, in)
		if row.want == "" && err == nil && row.archive == "" {
			continue // an empty tar file
		}
		if err == nil || !executors.IsPermanent(err) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want a permanent %q", fact, err, row.want)
		}
		if left := files(t, filepath.Join(root)); strings.Contains(strings.ReplaceAll(left, "in=", ""), "=") || strings.Contains(left, "@") {
			t.Errorf("%s: left %s", fact, left)
		}
	}
	// An archive within an archive is a file.
	e, root := newExecutor(t)
	put(t, filepath.Join(root, "inner.zip"), nested)
	run(t, e, object{"operation": "pack", "source": "inner.zip", "destination": "outer.zip"})
	run(t, e, object{"operation": "unpack", "source": "outer.zip", "destination": "out"})
	wantFiles(t, filepath.Join(root, "out"), fmt.Sprintf("inner.zip=%.20s", nested))
}

func TestFaultsAreNamedTogether(t *testing.T) {
	t.Parallel()
	e, _ := newExecutor(t)
	wantError(t, e, object{"operation": "copy", "source": "../x", "destination": "s3://B/x", "algorithm": "sha3", "limit": -1}, "[file_executor] source must be a path below", "destination has no usable bucket's name behind s3://: it has 3 to 63 lower-case letters, digits", "algorithm must be", "limit must be from 1")
	wantError(t, e, object{"operation": "stat", "path": "s3://b/"}, "[file_executor] path has no usable bucket's name behind s3://: it has 3 to 63 lower-case")
	wantError(t, e, object{"operation": "stat", "path": "s3:///key"}, "[file_executor] path must have a bucket's name behind s3://")
	wantError(t, e, object{"operation": "burn"}, "[file_executor] operation must be copy")
	wantError(t, e, object{"operation": "copy", "source": "x"}, "[file_executor] destination is required in inputs for copy")
	wantError(t, e, object{"operation": "stat", "path": "s3://bucket/x"}, "endpoint is required in inputs for s3:// paths")
	wantError(t, e, object{"operation": "stat", "path": "s3://bucket/x", "endpoint": "http://127.0.0.1:1"}, "access_key and secret_key are required")
	wantError(t, e, object{"operation": "stat", "path": "s3://bucket/x", "endpoint": "http://127.0.0.1:1", "identity": "instance"}, "identity is for connections")
}

func decode(t testing.TB, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func (reporter) Checkpoint(data json.RawMessage) error { return nil }
