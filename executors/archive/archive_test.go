package archive_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors/archive"
)

// entry is what a test puts into an archive.
type entry struct {
	name, text string
	typ        byte // of tar; 0: a file
	link       string
	mode       int64
}

func tarOf(t *testing.T, compressed bool, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	if !compressed {
		w = tar.NewWriter(&out)
	}
	for _, e := range entries {
		if e.typ == 0 {
			e.typ = tar.TypeReg
		}
		err := w.WriteHeader(&tar.Header{Name: e.name, Typeflag: e.typ, Linkname: e.link, Size: int64(len(e.text)), Mode: 0o644 | e.mode})
		if err == nil {
			_, err = w.Write([]byte(e.text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	err := w.Close()
	if compressed {
		err = errors.Join(err, z.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zipOf(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(0o644 | os.FileMode(e.mode))
		if e.link != "" {
			h.SetMode(0o777 | os.ModeSymlink)
			e.text = e.link
		}
		f, err := w.CreateHeader(h)
		if err == nil {
			_, err = f.Write([]byte(e.text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func unpack(t *testing.T, data []byte, limits archive.Limits) (string, archive.Summary, error) {
	t.Helper()
	outer := t.TempDir()
	dir := filepath.Join(outer, "in")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := archive.Unpack(t.Context(), bytes.NewReader(data), int64(len(data)), dir, limits)
	left, _ := os.ReadDir(outer)
	if len(left) != 1 {
		t.Errorf("something was written outside: %v", left)
	}
	return dir, got, err
}

func TestUnpacks(t *testing.T) {
	entries := []entry{{name: "a.txt", text: "A"}, {name: "./b/c.sh", text: "B", mode: 0o111}}
	for name, data := range map[string][]byte{"tar": tarOf(t, false, entries...), "tar.gz": tarOf(t, true, entries...), "zip": zipOf(t, entries...)} {
		dir, got, err := unpack(t, data, archive.Limits{})
		if err != nil || got != (archive.Summary{Files: 2, Bytes: 2}) {
			t.Errorf("%s: %+v, %v", name, got, err)
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, "b", "c.sh"))
		info, _ := os.Stat(filepath.Join(dir, "b", "c.sh"))
		if err != nil || string(text) != "B" || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %q, %v, %v", name, text, info.Mode(), err)
		}
	}
}

// TestRefuses: twenty archives that would write elsewhere, overwrite, link, or fill the disk.
func TestRefuses(t *testing.T) {
	zeros := strings.Repeat("\x00", 1<<20)
	many := make([]entry, 21)
	for i := range many {
		many[i] = entry{name: "d" + strings.Repeat("x", i)}
	}
	for name, data := range map[string][]byte{
		"up":                        tarOf(t, true, entry{name: "../evil"}),
		"up, zip":                   zipOf(t, entry{name: "../evil"}),
		"up and down":               tarOf(t, true, entry{name: "a/../../evil"}),
		"up within":                 tarOf(t, true, entry{name: "a/../b"}),
		"absolute":                  tarOf(t, true, entry{name: "/tmp/evil"}),
		"absolute, zip":             zipOf(t, entry{name: "/tmp/evil"}),
		"backslashes":               zipOf(t, entry{name: `..\evil`}),
		"a drive":                   zipOf(t, entry{name: `C:\evil`}),
		"NUL":                       zipOf(t, entry{name: "a\x00b"}),
		"not UTF-8":                 zipOf(t, entry{name: "a\xff"}),
		"a symlink":                 tarOf(t, true, entry{name: "l", typ: tar.TypeSymlink, link: "/etc"}),
		"a symlink, zip":            zipOf(t, entry{name: "l", link: "/etc"}),
		"a file through a link":     tarOf(t, true, entry{name: "l", typ: tar.TypeSymlink, link: ".."}, entry{name: "l/evil"}),
		"a hard link":               tarOf(t, true, entry{name: "l", typ: tar.TypeLink, link: "/etc/passwd"}),
		"a device":                  tarOf(t, true, entry{name: "d", typ: tar.TypeChar}),
		"a pipe":                    tarOf(t, true, entry{name: "p", typ: tar.TypeFifo}),
		"the same twice":            tarOf(t, true, entry{name: "a"}, entry{name: "./a"}),
		"a bomb":                    tarOf(t, true, entry{name: "a", text: zeros + zeros}),
		"a bomb, zip":               zipOf(t, entry{name: "a", text: zeros + zeros}),
		"many bombs":                zipOf(t, entry{name: "a", text: zeros}, entry{name: "b", text: zeros[:1<<19]}, entry{name: "c", text: zeros}),
		"too many entries":          tarOf(t, true, many...),
		"cut":                       tarOf(t, true, entry{name: "a", text: zeros})[:600],
		"not an archive":            []byte(strings.Repeat("hello", 200)),
		"a zip file's head, no end": zipOf(t, entry{name: "a", text: "x"})[:30],
		"gzip of nothing of a tar":  append([]byte("\x1f\x8b"), zeros[:100]...),
	} {
		_, _, err := unpack(t, data, archive.Limits{Entries: 20, Bytes: 3 << 19})
		if bad := (*archive.Error)(nil); !errors.As(err, &bad) {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
	}
}

// TestHeadersAreBounded: a small file of which nothing but headers comes out, for hours.
func TestHeadersAreBounded(t *testing.T) {
	var header, out bytes.Buffer
	w := tar.NewWriter(&header)
	global := tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": strings.Repeat("x", 64<<10)}}
	if err := errors.Join(w.WriteHeader(&global), w.Flush()); err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(&out)
	for range 100 << 20 / header.Len() {
		if _, err := z.Write(header.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	_, _, err := unpack(t, out.Bytes(), archive.Limits{Entries: 1000, Bytes: 1 << 20})
	if bad, ok := errors.AsType[*archive.Error](err); !ok || !strings.Contains(bad.Reason, "more headers") {
		t.Errorf("%d bytes: got %v, want it refused", out.Len(), err)
	}
}

func TestStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	data := tarOf(t, true, entry{name: "a", text: "x"})
	if _, err := archive.Unpack(ctx, bytes.NewReader(data), int64(len(data)), t.TempDir(), archive.Limits{}); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}
