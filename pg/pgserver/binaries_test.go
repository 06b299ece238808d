package pgserver

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fake writes a postgres that says version, and an initdb that refuses, into dir.
func fake(t *testing.T, dir, version string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := (&account{name: "other", uid: ^uint32(0), gid: ^uint32(0)}).makeReachable(filepath.Join(dir, "x")); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"postgres": "echo '" + version + "'", "initdb": "exit 1", "pg_ctl": "exit 1",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestBinariesThatFit(t *testing.T) {
	as, err := otherAccount()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		version string
		major   int    // of the data directory
		refused string // part of the error; empty: accepted
	}{
		{"postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)", 0, ""},
		{"postgres (PostgreSQL) 18beta1", 0, ""},
		{"postgres (PostgreSQL) 19devel", 19, ""},
		{"postgres (PostgreSQL) 14.18", 0, "15 or later is needed"},
		{"postgres (PostgreSQL) 9.6.24", 0, "15 or later is needed"},
		{"postgres (PostgreSQL) 16.9", 15, "the data directory was made by 15"},
		{"something else 16.9", 0, "is not Postgres's"},
	} {
		t.Run(row.version, func(t *testing.T) {
			dir := fake(t, filepath.Join(t.TempDir(), "bin"), row.version)
			bin, err := findBinaries(t.Context(), search{binDir: dir, major: row.major, as: as})
			switch {
			case row.refused == "" && (err != nil || bin.dir != dir):
				t.Errorf("findBinaries = %v, %v; want %s", bin, err, dir)
			case row.refused != "" && (err == nil || !strings.Contains(err.Error(), row.refused)):
				t.Errorf("findBinaries = %v, %v; want an error with %q", bin, err, row.refused)
			}
		})
	}
}

// Each postgres is run to learn its version, which is a part of every start.
func TestBinariesAreRunOnceAndNoMoreThanNeeded(t *testing.T) {
	as, err := otherAccount()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	runs := filepath.Join(root, "runs")
	if err := os.WriteFile(runs, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(runs, 0o666); err != nil { // whatever the umask
		t.Fatal(err)
	}
	var dirs []string
	for _, version := range []string{"15", "16", "17"} {
		dirs = append(dirs, fake(t, filepath.Join(root, version), "postgres (PostgreSQL) "+version+".1'; echo "+version+" >> '"+runs))
	}
	places = []string{filepath.Join(root, "1*")}
	t.Cleanup(func() { places = usual })
	for _, row := range []struct {
		path  string // the PATH
		major int    // of the data directory
		want  int    // of dirs
		ran   string
	}{
		{dirs[0], 0, 0, "15"},
		{dirs[0], 15, 0, "15"},
		{dirs[0], 16, 1, "15 16 17"},
		{root, 0, 2, "15 16 17"},
	} {
		if err := os.Truncate(runs, 0); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", row.path)
		bin, err := findBinaries(t.Context(), search{major: row.major, as: as})
		if err != nil || bin.dir != dirs[row.want] {
			t.Errorf("%+v: got %v, %v, want %s", row, bin, err, dirs[row.want])
		}
		if text, err := os.ReadFile(runs); err != nil || strings.Join(strings.Fields(string(text)), " ") != row.ran {
			t.Errorf("%+v: ran %q, %v", row, text, err)
		}
	}
}

func TestMissingBinDirIsReported(t *testing.T) {
	if _, err := findBinaries(t.Context(), search{binDir: t.TempDir()}); !os.IsNotExist(err) {
		t.Errorf("findBinaries = %v, want a missing file", err)
	}
}

// The archive's form is the library's business; that binaries arrive, with the rights they need, is ours.
func TestFetchedBinariesCanBeRun(t *testing.T) {
	if _, err := exec.LookPath("xz"); err != nil {
		t.Skip("no xz to make an archive with")
	}
	as, err := otherAccount()
	if err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	fake(t, filepath.Join(tree, "bin"), "postgres (PostgreSQL) 18.3")
	archive, err := exec.Command("tar", "-C", tree, "-cJf", "-", "bin").Output()
	if err != nil {
		t.Fatal(err)
	}
	var jar bytes.Buffer
	z := zip.NewWriter(&jar)
	w, err := z.Create("postgres.txz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(archive); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		if strings.HasSuffix(r.URL.Path, ".sha256") {
			sum := sha256.Sum256(jar.Bytes())
			_, _ = w.Write([]byte(hex.EncodeToString(sum[:])))
			return
		}
		_, _ = w.Write(jar.Bytes())
	}))
	defer server.Close()
	repository = server.URL
	defer func() { repository = "" }()

	kept := filepath.Join(t.TempDir(), "cache")
	if err := as.makeReachable(kept); err != nil {
		t.Fatal(err)
	}
	var bin string
	for range 2 { // the second finds what the first fetched
		if bin, err = fetch(t.Context(), kept, 0); err != nil {
			t.Fatal(err)
		}
	}
	if requests != 2 {
		t.Errorf("%d requests, want 2: the archive and its checksum, once", requests)
	}
	got, err := search{as: as}.inspect(t.Context(), bin)
	if err != nil || got.major != 18 {
		t.Errorf("inspect = %v, %v; want version 18", got, err)
	}
	if left, err := filepath.Glob(filepath.Join(kept, "*")); err != nil || len(left) != 1 {
		t.Errorf("the cache holds %v, %v; want the one version", left, err)
	}
	if _, err := fetch(t.Context(), kept, 14); err == nil {
		t.Error("a version that the library's list lacks was fetched")
	}
}

func TestParentThatTheAccountCannotEnter(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root runs the server as somebody else")
	}
	private := filepath.Join(t.TempDir(), "private")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	as := &account{name: "nobody", uid: 65534, gid: 65534}
	t.Run("below the temporary directory is opened", func(t *testing.T) {
		if err := as.makeReachable(filepath.Join(private, "new", "data")); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(private)
		if err != nil || info.Mode().Perm() != 0o711 {
			t.Errorf("mode = %v, %v; want traversable only", info.Mode(), err)
		}
	})
	t.Run("elsewhere is reported", func(t *testing.T) {
		if err := os.Chmod(private, 0o700); err != nil {
			t.Fatal(err)
		}
		t.Setenv("TMPDIR", t.TempDir())
		err := as.makeReachable(filepath.Join(private, "data"))
		if err == nil || !strings.Contains(err.Error(), "chmod o+x "+private) {
			t.Errorf("makeReachable = %v, want what to do about %s", err, private)
		}
	})
}

func TestLogTellsThatTheServerIsReady(t *testing.T) {
	said := func(log *serverLog) bool {
		select {
		case <-log.ready:
			return true
		default:
			return false
		}
	}
	log, err := openLog(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	line := strings.Repeat("earlier lines\n", 1000) + "LOG:  " + readyText + "\nLOG:  later ones\n"
	half := len(line) - len(readyText)
	for i, part := range []string{line[:half], line[half:], line} { // in parts, and again
		if _, err := log.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
		if got, want := said(log), i > 0; got != want {
			t.Errorf("after part %d: ready = %v", i, got)
		}
	}
}

func TestLogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	log, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	line := bytes.Repeat([]byte("x"), 1<<20)
	for range 20 {
		if _, err := log.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := log.Write([]byte("\nlast words\n")); err != nil {
		t.Fatal(err)
	}
	if got := log.tail(); !strings.HasSuffix(got, "last words") || len(got) > maxTailBytes {
		t.Errorf("tail is %d bytes, want at most %d, the last ones", len(got), maxTailBytes)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + ".1"} {
		info, err := os.Stat(name)
		if err != nil || info.Size() > maxLogBytes {
			t.Errorf("%s: %v, %v; want at most %d bytes", name, info, err, maxLogBytes)
		}
	}
}
