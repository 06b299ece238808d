package zipfile_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	aeszip "github.com/yeka/zip"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/workdir"
	"github.com/taskgrove/taskgrove/executors/zipfile"
)

// place is a directory that tasks may use, with files.
func place(t testing.TB, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range files {
		put(t, filepath.Join(dir, name), "content of "+filepath.Base(name))
	}
	return dir
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

func config(dir string) zipfile.Config {
	return zipfile.Config{Place: func(string) workdir.Place { return workdir.Place{Dir: dir} }}
}

// run runs an attempt with inputs in whose texts @ stands for the directory, and shows its result with it.
func run(t testing.TB, e executors.Executor, dir, in string) (string, error) {
	t.Helper()
	call, _ := conformance.Call(t, json.RawMessage(strings.ReplaceAll(in, "@", dir)))
	if err := inputs.NewChecker(0).Check(e.Describe(), call); err != nil {
		return "", err
	}
	out, err := e.Run(t.Context(), call)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(out.Value())
	if err != nil {
		t.Fatal(err)
	}
	return out.Reason() + strings.ReplaceAll(string(text), dir, "@"), nil
}

// tree is what lies below a directory: names and contents.
func tree(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == filepath.Join(dir, "etc") {
			return err
		}
		text, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		fmt.Fprintf(&b, "%s=%s\n", rel, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// namesIn are the names in an archive.
func namesIn(t *testing.T, name string) string {
	t.Helper()
	z, err := zip.OpenReader(name)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	return strings.Join(names, " ")
}

func TestWhatIsPacked(t *testing.T) {
	dir := place(t, "src/a.csv", "src/b.csv", "src/deep/c.csv", "src/deep/er/d.txt", "src/é.csv", "src/[x].txt", "other.csv")
	if err := os.Symlink("../../other.csv", filepath.Join(dir, "src/deep/link.csv")); err != nil {
		t.Fatal(err)
	}
	for items, want := range map[string]string{
		`["a.csv", "b.csv", "a.csv", "./a.csv"]`: "a.csv b.csv",
		`["*.csv"]`:                              "a.csv b.csv é.csv",
		`["**/*.csv"]`:                           "a.csv b.csv deep/c.csv é.csv",
		`["deep"]`:                               "deep/c.csv deep/er/d.txt",
		`["d*"]`:                                 "deep/c.csv deep/er/d.txt",
		`["."]`:                                  "[x].txt a.csv b.csv deep/c.csv deep/er/d.txt é.csv",
		`["@/src/deep", "b.csv"]`:                "b.csv deep/c.csv deep/er/d.txt",
		`[{"path": "a.csv"}, {"glob": "deep/**"}]`: "a.csv deep/c.csv deep/er/d.txt",
		`"a.csv"`:                               "a.csv",
		`"[\"a.csv\", {\"glob\": \"b*\"}]"`:     "a.csv b.csv",
		`{"glob": "[ab].csv"}`:                  "a.csv b.csv",
		`{"glob": "[!ab].csv"}`:                 "é.csv",
		`["[x].txt"]`:                           "[x].txt",
		`["deep"], "recursive": false`:          "deep/c.csv",
		`["deep"], "recursive": "false"`:        "deep/c.csv",
		`["d*"], "recursive": false`:            "",
		`[]`:                                    "",
		`""`:                                    "",
		`["*.none", {"glob": "none/**"}]`:       "",
		`["**/*.csv"], "compression": "stored"`: "a.csv b.csv deep/c.csv é.csv",
		`["**/*.csv"], "password": "p", "aes_strength": 128`:    "a.csv b.csv deep/c.csv é.csv",
		`["a.csv"], "driver": "aes", "password": "p"`:           "a.csv",
		`["a.csv"], "driver": "archive", "encryption": "AES"`:   "a.csv",
		`["a.csv", "@/src/b.csv"], "compression": "zip_stored"`: "a.csv b.csv",
	} {
		out := filepath.Join(dir, "out.zip")
		got, err := run(t, zipfile.NewZip(config(dir)), dir, `{"src_dir": "@/src", "dest_path": "@/out.zip", "items": `+items+`}`)
		if err != nil {
			t.Errorf("%s: %v", items, err)
			continue
		}
		if want == "" {
			if !strings.HasPrefix(got, `no_files{"output":"","count":0,`) {
				t.Errorf("%s: got %s", items, got)
			}
			continue
		}
		count := len(strings.Fields(want))
		crypt, driver := strings.Contains(items, "password"), "zipfile"
		if crypt {
			driver = "pyzipper"
		}
		if full := fmt.Sprintf(`{"output":"@/out.zip","count":%d,"password":%t,"driver":%q,"src_dir":"@/src"}`, count, crypt, driver); got != full {
			t.Errorf("%s: got %s", items, got)
		}
		if got := namesIn(t, out); got != want {
			t.Errorf("%s: got %s, want %s", items, got, want)
		}
		if err := os.Remove(out); err != nil {
			t.Fatal(err)
		}
	}
}

func TestZipRefuses(t *testing.T) {
	dir := place(t, "src/a.csv", "src/bad\\name", "there.zip", "outside/o.csv")
	if err := os.Symlink("/etc", filepath.Join(dir, "src/etc")); err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		`{}`:                              "[zip] dest_path is required in inputs",
		`{"dest_path": " ", "items": []}`: "dest_path is required in inputs",
		`{"dest_path": "o.zip", "items": ["none.csv"]}`:                                                           `items[0]: "none.csv" does not exist`,
		`{"dest_path": "o.zip", "items": ["../there.zip"], "src_dir": "@/src"}`:                                   "path.escape: items[0]",
		`{"dest_path": "o.zip", "items": ["@/outside/o.csv"], "src_dir": "@/src"}`:                                `is not below src_dir`,
		`{"dest_path": "o.zip", "items": ["/etc/passwd"]}`:                                                        "path.escape: items[0]",
		`{"dest_path": "o.zip", "items": ["etc/passwd"], "src_dir": "@/src"}`:                                     "path.escape: items[0]",
		`{"dest_path": "../o.zip", "items": ["a.csv"], "src_dir": "@/src"}`:                                       "path.escape: dest_path",
		`{"dest_path": "/tmp/o.zip", "items": ["a.csv"], "src_dir": "@/src"}`:                                     "path.escape: dest_path",
		`{"dest_path": "o.zip", "items": ["a.csv"], "src_dir": "/etc"}`:                                           "path.escape: src_dir",
		`{"dest_path": "@/there.zip", "items": ["a.csv"], "src_dir": "@/src", "overwrite": false}`:                "exists already",
		`{"dest_path": "o.zip", "items": [".", 5], "src_dir": "@/src"}`:                                           "items.1",
		`{"dest_path": "o.zip", "items": [{"path": "a", "glob": "b"}, {}, "", {"glob": "["}]}`:                    `items[0]: must have path or glob, and not both; items[1]: must have path or glob, and not both; items[2]: is empty; items[3]: is no pattern`,
		`{"dest_path": "o.zip", "items": ["a.csv"], "password": "x", "driver": "zipfile"}`:                        "the driver zipfile encrypts nothing",
		`{"dest_path": "o.zip", "items": ["a.csv"], "driver": "pyzipper"}`:                                        "password is required in inputs for the driver pyzipper",
		`{"dest_path": "o.zip", "items": ["a.csv"], "driver": "pyminizip", "password": "x"}`:                      "ZipCrypto",
		`{"dest_path": "o.zip", "items": ["a.csv"], "encryption": "zipcrypto", "password": "x"}`:                  "encryption: must be aes",
		`{"dest_path": "o.zip", "items": ["a.csv"], "driver": "rar", "compression": "lzma", "aes_strength": 256}`: "driver: must be zipfile, pyzipper, external or os; compression: must be deflated or stored",
		`{"dest_path": "o.zip", "items": ["*"], "src_dir": "@/src"}`:                                              `is no name for a file of an archive`,
		`{"dest_path": "@/src", "items": ["a.csv"], "src_dir": "@/src"}`:                                          "dest_path",
	} {
		before := tree(t, dir+"/src") + tree(t, dir+"/outside")
		got, err := run(t, zipfile.NewZip(config(dir)), dir, in)
		if err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(want, "@", dir)) || !executors.IsPermanent(err) {
			t.Errorf("%s: got %s, %v", in, got, err)
		}
		if tree(t, dir+"/src")+tree(t, dir+"/outside") != before {
			t.Errorf("%s: it left something", in)
		}
	}
}

// Artifacts of other tasks are packed under their own names; those that a task names are kept.
func TestArtifacts(t *testing.T) {
	files := &conformance.Files{}
	ref, _ := json.Marshal(files.Put("deep/report.csv", []byte("a,b")))
	call, _ := conformance.Call(t, json.RawMessage(`{"dest_path": "out/r.zip", "items": [`+string(ref)+`]}`))
	call.Files, call.Artifacts = files, []string{"out/*.zip"}
	out, err := zipfile.NewZip(zipfile.Config{}).Run(t.Context(), call)
	if err != nil || out.Kind() != executors.KindCompleted {
		t.Fatalf("%v, %v", out, err)
	}
	saved := files.Saved()
	if len(saved) != 1 || saved[0].Artifact != "out/r.zip" {
		t.Fatalf("saved %v", saved)
	}
	content := files.Content(saved[0])
	z, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil || len(z.File) != 1 || z.File[0].Name != "report.csv" {
		t.Errorf("got %v, %v", z, err)
	}
	ref, _ = json.Marshal(saved[0])
	call.Inputs = json.RawMessage(`{"archives": [` + string(ref) + `], "dest_dir": "back"}`)
	call.Artifacts = []string{"back/**"}
	if _, err := zipfile.NewUnzip(zipfile.Config{}).Run(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	if saved = files.Saved(); len(saved) != 2 || saved[1].Artifact != "back/r/report.csv" || string(files.Content(saved[1])) != "a,b" {
		t.Errorf("saved %v", saved)
	}
}

// The examples of both work, with the files that they name below src_dir.
func TestExamples(t *testing.T) {
	dir := place(t, "reports/a.csv", "summary.txt", "deep/a.pdf")
	for _, name := range []string{"in/a.zip", "in/b.zip"} {
		put(t, filepath.Join(dir, name), zipped(t, entry{"f", "f", 0}))
	}
	put(t, dir+"/in/private.zip", encrypted(t, aeszip.AES256Encryption, "hunter2", "2026/report.pdf", "text"))
	for _, e := range []executors.Executor{zipfile.NewZip(config(dir)), zipfile.NewUnzip(config(dir))} {
		for _, example := range e.Describe().Examples {
			in := strings.Replace(string(example.Inputs), "{", `{"src_dir": "@", `, 1)
			in = strings.ReplaceAll(in, `{"secret": "zip_password"}`, `"hunter2"`)
			if got, err := run(t, e, dir, in); err != nil || strings.HasPrefix(got, "no_files") {
				t.Errorf("%s: %s, %v", example.Title, got, err)
			}
		}
	}
}

// Both directions, with each strength, and of files that are empty, compressible and not; and what another program makes of it.
func TestThereAndBack(t *testing.T) {
	dir := place(t, "src/a.txt", "src/deep/b.txt")
	put(t, dir+"/src/empty", "")
	put(t, dir+"/src/zeros", strings.Repeat("\x00", 300_000))
	noise := make([]byte, 200_000)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	put(t, dir+"/src/noise", string(noise))
	want := tree(t, dir+"/src")
	for _, with := range []string{``, `, "compression": "stored"`, `, "password": "sésame"`, `, "password": "p", "aes_strength": 192`, `, "password": "p", "aes_strength": 128, "compression": "stored"`} {
		if _, err := run(t, zipfile.NewZip(config(dir)), dir, `{"src_dir": "@/src", "dest_path": "@/o.zip", "items": "."`+with+`}`); err != nil {
			t.Errorf("%s: %v", with, err)
			continue
		}
		open := strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(with, `, "compression": "stored"`, ""), `, "aes_strength": 192`, ""), `, "aes_strength": 128`, "")
		got, err := run(t, zipfile.NewUnzip(config(dir)), dir, `{"archives": "@/o.zip", "dest_dir": "@/back"`+open+`}`)
		if err != nil || got != `{"unzipped":["@/o.zip"],"dest_dir":"@/back","count":5}` {
			t.Errorf("%s: %s, %v", with, got, err)
		}
		if tree(t, dir+"/back/o") != want {
			t.Errorf("%s: what came back differs", with)
		}
		if open != "" {
			wrong := strings.Replace(open, `"password": "`, `"password": "x`, 1)
			if _, err := run(t, zipfile.NewUnzip(config(dir)), dir, `{"archives": "@/o.zip", "dest_dir": "@/wrong"`+wrong+`}`); executors.KindOf(err) != zipfile.KindPassword || strings.Contains(err.Error(), "xp") {
				t.Errorf("%s, another password: %v", with, err)
			}
			if _, err := run(t, zipfile.NewUnzip(config(dir)), dir, `{"archives": "@/o.zip", "dest_dir": "@/wrong"}`); err == nil || !strings.Contains(err.Error(), "is encrypted") {
				t.Errorf("%s, no password: %v", with, err)
			}
		} else if out, err := exec.Command("unzip", "-t", dir+"/o.zip").CombinedOutput(); err != nil && !bytes.Contains([]byte(err.Error()), []byte("not found")) {
			t.Errorf("%s: unzip says %s", with, out)
		}
		_ = os.RemoveAll(dir + "/back")
	}
}

// What the library of the writer reads, and what it encrypts by the old cipher, is read here.
func TestOtherWriters(t *testing.T) {
	dir := place(t, "a.txt")
	if _, err := run(t, zipfile.NewZip(config(dir)), dir, `{"src_dir": "@", "dest_path": "@/o.zip", "items": "a.txt", "password": "p"}`); err != nil {
		t.Fatal(err)
	}
	z, err := aeszip.OpenReader(dir + "/o.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	z.File[0].SetPassword("p")
	r, err := z.File[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); err != nil || string(text) != "content of a.txt" {
		t.Errorf("another reader: %q, %v", text, err)
	}
	old := encrypted(t, aeszip.StandardEncryption, "p", "old.txt", "by the old cipher")
	put(t, dir+"/old.zip", old)
	if out, err := exec.Command("zip", "-q", "-j", "-P", "p", dir+"/infozip.zip", dir+"/a.txt").CombinedOutput(); err == nil {
		if got, err := run(t, zipfile.NewUnzip(config(dir)), dir, `{"archives": ["@/infozip.zip"], "dest_dir": "@/back", "password": "p"}`); err != nil {
			t.Errorf("of Info-ZIP: %s, %v", got, err)
		}
	} else {
		t.Logf("no zip program here: %v, %s", err, out)
	}
	if got, err := run(t, zipfile.NewUnzip(config(dir)), dir, `{"archives": ["@/old.zip"], "dest_dir": "@/back", "password": "p"}`); err != nil {
		t.Errorf("%s, %v", got, err)
	}
	if text, _ := os.ReadFile(dir + "/back/old/old.txt"); string(text) != "by the old cipher" {
		t.Errorf("old cipher: %q", text)
	}
	if _, err := run(t, zipfile.NewUnzip(config(dir)), dir, `{"archives": ["@/old.zip"], "dest_dir": "@/back", "password": "q"}`); !executors.IsPermanent(err) {
		t.Errorf("old cipher, another password: %v", err)
	}
}

func encrypted(t testing.TB, method aeszip.EncryptionMethod, password, name, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := aeszip.NewWriter(&b)
	w, err := z.Encrypt(name, password, method)
	if err == nil {
		_, _ = w.Write([]byte(text))
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// entry is what a test puts into an archive.
type entry struct {
	name, text string
	mode       fs.FileMode
}

func zipped(t testing.TB, entries ...entry) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(0o644 | e.mode)
		w, err := z.CreateHeader(h)
		if err == nil && !strings.HasSuffix(e.name, "/") {
			_, err = io.WriteString(w, e.text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// hostile are archives that would write elsewhere, overwrite, link, fill the disk, or are broken.
func hostile(t testing.TB) map[string]string {
	good, zeros := entry{"good", "g", 0}, strings.Repeat("\x00", 4<<20)
	many := make([]entry, 21)
	for i := range many {
		many[i] = entry{fmt.Sprintf("f%d", i), "", 0}
	}
	whole := zipped(t, good, entry{"b", "text that is long enough to be cut", 0})
	aes := encrypted(t, aeszip.AES256Encryption, "p", "a", strings.Repeat("text", 100))
	lying := []byte(zipped(t, entry{"a", zeros[:1<<19], 0}))
	at := bytes.LastIndex(lying, []byte("PK\x01\x02"))
	copy(lying[at+24:], "\x01\x00\x00\x00") // it claims one byte
	local := []byte(zipped(t, good))
	flip := func(text string, at int) string {
		b := []byte(text)
		b[at] ^= 0xff
		return string(b)
	}
	return map[string]string{
		"up":                       zipped(t, good, entry{"../evil", "e", 0}),
		"up, deep":                 zipped(t, good, entry{"a/b/../../../evil", "e", 0}),
		"up within":                zipped(t, good, entry{"a/../b", "e", 0}),
		"up at the end":            zipped(t, good, entry{"a/..", "e", 0}),
		"up alone":                 zipped(t, good, entry{"..", "e", 0}),
		"up, a directory":          zipped(t, good, entry{"../evil/", "", 0}),
		"absolute":                 zipped(t, good, entry{"/tmp/evil", "e", 0}),
		"absolute twice":           zipped(t, good, entry{"//tmp/evil", "e", 0}),
		"backslashes":              zipped(t, good, entry{`..\evil`, "e", 0}),
		"a share":                  zipped(t, good, entry{`\\host\share\evil`, "e", 0}),
		"a drive":                  zipped(t, good, entry{`C:/evil`, "e", 0}),
		"a drive, small":           zipped(t, good, entry{`c:evil`, "e", 0}),
		"a drive, backslash":       zipped(t, good, entry{`C:\evil`, "e", 0}),
		"NUL":                      zipped(t, good, entry{"a\x00b", "e", 0}),
		"not UTF-8":                zipped(t, good, entry{"a\xff", "e", 0}),
		"no name":                  zipped(t, good, entry{"", "e", 0}),
		"a long name":              zipped(t, good, entry{strings.Repeat("d/", 600) + "f", "e", 0}),
		"a symbolic link":          zipped(t, good, entry{"l", "/etc/passwd", fs.ModeSymlink}),
		"a file through a link":    zipped(t, good, entry{"l", "..", fs.ModeSymlink}, entry{"l/evil", "e", 0}),
		"a device":                 zipped(t, good, entry{"d", "", fs.ModeDevice}),
		"a character device":       zipped(t, good, entry{"d", "", fs.ModeDevice | fs.ModeCharDevice}),
		"a pipe":                   zipped(t, good, entry{"p", "", fs.ModeNamedPipe}),
		"a socket":                 zipped(t, good, entry{"s", "", fs.ModeSocket}),
		"the same twice":           zipped(t, good, good),
		"the same, spelled so":     zipped(t, good, entry{"./good", "e", 0}),
		"the same, slashes":        zipped(t, good, entry{"a//b", "e", 0}, entry{"a/b", "e", 0}),
		"a file and a directory":   zipped(t, good, entry{"good/", "", 0}),
		"a file as a directory":    zipped(t, good, entry{"good/in", "e", 0}),
		"a bomb":                   zipped(t, good, entry{"a", zeros, 0}),
		"many bombs":               zipped(t, good, entry{"a", zeros[:1<<20], 0}, entry{"b", zeros[:1<<20], 0}, entry{"c", zeros[:1<<20], 0}),
		"a bomb that lies":         string(lying),
		"too many entries":         zipped(t, many...),
		"cut":                      whole[:len(whole)-30],
		"cut in front":             whole[40:],
		"half":                     whole[:len(whole)/2],
		"nothing":                  "",
		"no archive":               strings.Repeat("hello", 100),
		"an end alone, with claim": "PK\x05\x06\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00",
		"a flipped byte":           flip(whole, 36),
		"a flipped sum":            flip(string(local), bytes.LastIndex(local, []byte("PK\x01\x02"))+16),
		"AES, a flipped byte":      flip(aes, 60),
		"AES, a flipped sum":       flip(aes, bytes.Index([]byte(aes), []byte("PK\x07\x08"))-3),
		"AES, cut":                 aes[:40] + aes[60:],
		"AES, no extra field":      flip(aes, bytes.LastIndex([]byte(aes), []byte("\x01\x99"))),
		"AES, a link":              strings.Replace(aes, "PK\x01\x02\x14\x00", "PK\x01\x02\x14\x03", 1),
	}
}

func TestHostileArchives(t *testing.T) {
	all := hostile(t)
	all["AES, a link"] = link(all["AES, a link"])
	for name, data := range all {
		outer := t.TempDir()
		put(t, outer+"/in/a.zip", data)
		put(t, outer+"/in/dest/before", "b")
		got, err := run(t, zipfile.NewUnzip(config(outer+"/in")), outer+"/in", `{"archives": "@/a.zip", "src_dir": "@", "dest_dir": "@/dest", "password": "p", "max_files": 20, "max_bytes": 2097152}`)
		if executors.KindOf(err) != zipfile.KindArchive || !executors.IsPermanent(err) {
			t.Errorf("%s: got %s, %v (%s)", name, got, err, executors.KindOf(err))
		}
		if got := tree(t, outer); got != "in/a.zip="+data+"\nin/dest/before=b\n" {
			t.Errorf("%s: it left %q", name, got)
		}
	}
}

// link gives the entry the mode of a symbolic link.
func link(data string) string {
	b := []byte(data)
	at := bytes.LastIndex(b, []byte("PK\x01\x02"))
	copy(b[at+38:], "\x00\x00\xff\xa1")
	return string(b)
}

func TestPlacesOfArchives(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"src/a.zip", "src/sub/b.zip", "else/c.zip"} {
		put(t, filepath.Join(dir, name), zipped(t, entry{"in/f.txt", name, 0}, entry{"empty/", "", 0}, entry{"x", "x", 0o111}))
	}
	in := `{"archives": ["a.zip", "sub/b.zip", "@/else/c.zip"], "src_dir": "@/src", "dest_dir": "@/dest"`
	for more, want := range map[string]string{
		``:                             "c/in/f.txt=else/c.zip\nc/x=x\nin/f.txt=src/a.zip\nsub/in/f.txt=src/sub/b.zip\nsub/x=x\nx=x\n",
		`, "private_zip_folder": true`: "a/in/f.txt=src/a.zip\na/x=x\nc/in/f.txt=else/c.zip\nc/x=x\nsub/b/in/f.txt=src/sub/b.zip\nsub/b/x=x\n",
		`, "members": ["in/*"]`:        "c/in/f.txt=else/c.zip\nin/f.txt=src/a.zip\nsub/in/f.txt=src/sub/b.zip\n",
		`, "members": "x"`:             "c/x=x\nsub/x=x\nx=x\n",
	} {
		if got, err := run(t, zipfile.NewUnzip(config(dir)), dir, in+more+`}`); err != nil || !strings.Contains(got, `"unzipped":["@/src/a.zip","@/src/sub/b.zip","@/else/c.zip"]`) {
			t.Errorf("%s: %s, %v", more, got, err)
		}
		if got := tree(t, dir+"/dest"); got != want {
			t.Errorf("%s: got %s", more, got)
		}
		_ = os.RemoveAll(dir + "/dest")
	}
	for in, want := range map[string]string{
		`{"archives": ["none.zip"], "dest_dir": "d"}`:                                                               "no such file",
		`{"archives": ["src"], "src_dir": "@", "dest_dir": "@/d"}`:                                                  "is no plain file",
		`{"archives": ["../a.zip"], "dest_dir": "d"}`:                                                               "path.escape: archives[0]",
		`{"archives": ["/etc/passwd"], "dest_dir": "d"}`:                                                            "path.escape: archives[0]",
		`{"archives": ["@/src/a.zip"], "dest_dir": "/tmp/d"}`:                                                       "path.escape: dest_dir",
		`{"archives": ["@/src/a.zip"], "dest_dir": "@/d", "members": ["none"]}`:                                     `members[0]: "none" is not in`,
		`{"archives": ["@/src/a.zip", 7], "dest_dir": "@/d"}`:                                                       "archives.1",
		`{"archives": ["@/src/a.zip"], "dest_dir": "@/d", "max_files": 0, "max_bytes": "-1", "max_ratio": 9999999}`: "max_files: must be from 1 to 1000000; max_bytes: must be from 1 to 10737418240; max_ratio: must be from 1 to 100000",
		`{"archives": ["@/src/a.zip", "@/src/sub/b.zip"], "dest_dir": "@/d", "max_files": 3}`:                       "all together unpack to more",
		`{"archives": ["@/src/a.zip"], "dest_dir": "@/src/a.zip"}`:                                                  "dest_dir",
	} {
		if got, err := run(t, zipfile.NewUnzip(config(dir)), dir, in); err == nil || !strings.Contains(err.Error(), want) || !executors.IsPermanent(err) {
			t.Errorf("%s: got %s, %v", in, got, err)
		}
	}
}

// Without overwrite nothing that exists changes, whatever else is in the archive; what is the same already is no obstacle.
func TestOverwrite(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/a.zip", zipped(t, entry{"one", "1", 0}, entry{"two", "2", 0}))
	in := `{"archives": "@/a.zip", "src_dir": "@", "dest_dir": "@/d", "overwrite": false}`
	put(t, dir+"/d/two", "other")
	if _, err := run(t, zipfile.NewUnzip(config(dir)), dir, in); err == nil || !strings.Contains(err.Error(), "exists already") || tree(t, dir+"/d") != "two=other\n" {
		t.Errorf("got %v, %s", err, tree(t, dir+"/d"))
	}
	put(t, dir+"/d/two", "2")
	if _, err := run(t, zipfile.NewUnzip(config(dir)), dir, in); err != nil || tree(t, dir+"/d") != "one=1\ntwo=2\n" {
		t.Errorf("the same: %v, %s", err, tree(t, dir+"/d"))
	}
	_ = os.Remove(dir + "/d/two")
	if err := syscall.Mkfifo(dir+"/d/two", 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, zipfile.NewUnzip(config(dir)), dir, in); err == nil || !strings.Contains(err.Error(), "exists already") { // a pipe is not waited for
		t.Errorf("a pipe: %v", err)
	}
	put(t, dir+"/outside", "o")
	_ = os.Remove(dir + "/d/two")
	if err := os.Symlink("../outside", dir+"/d/two"); err != nil {
		t.Fatal(err)
	}
	in = strings.Replace(in, `"overwrite": false`, `"overwrite": true`, 1)
	if _, err := run(t, zipfile.NewUnzip(config(dir)), dir, in); err != nil || tree(t, dir) == "" {
		t.Error(err)
	}
	if text, _ := os.ReadFile(dir + "/outside"); string(text) != "o" {
		t.Error("it wrote through a link")
	}
}

// What an attempt left that was killed is gone, and goes into no archive.
func TestAfterAKill(t *testing.T) {
	dir := place(t, "src/a.txt")
	put(t, dir+"/src/.o.zip.1.tmp", "half")
	put(t, dir+"/src/.unzip.2.tmp/x", "half")
	call, _ := conformance.Call(t, json.RawMessage(strings.ReplaceAll(`{"src_dir": "@/src", "dest_path": "@/src/o.zip", "items": "."}`, "@", dir)))
	call.Attempt = 3
	if _, err := zipfile.NewZip(config(dir)).Run(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	if got := namesIn(t, dir+"/src/o.zip"); got != ".unzip.2.tmp/x a.txt" {
		t.Errorf("got %s", got)
	}
	call.Inputs = json.RawMessage(strings.ReplaceAll(`{"archives": "@/src/o.zip", "members": "a.txt", "src_dir": "@/src", "dest_dir": "@/src"}`, "@", dir))
	if _, err := zipfile.NewUnzip(config(dir)).Run(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(dir + "/src")
	if len(entries) != 2 {
		t.Errorf("left: %v", entries)
	}
}

// Cancelled, neither leaves anything.
func TestCancelled(t *testing.T) {
	dir := place(t, "src/a.txt")
	put(t, dir+"/a.zip", zipped(t, entry{"one", "1", 0}))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(executors.ErrCancelled)
	before := tree(t, dir)
	for in, e := range map[string]executors.Executor{
		`{"src_dir": "@/src", "dest_path": "@/o.zip", "items": "."}`: zipfile.NewZip(config(dir)),
		`{"archives": "@/a.zip", "dest_dir": "@/d"}`:                 zipfile.NewUnzip(config(dir)),
	} {
		call, _ := conformance.Call(t, json.RawMessage(strings.ReplaceAll(in, "@", dir)))
		if out, err := e.Run(ctx, call); err != executors.ErrCancelled {
			t.Errorf("%s: %v, %v", in, out, err)
		}
		if tree(t, dir) != before {
			t.Errorf("%s: left %s", in, tree(t, dir))
		}
	}
}

// Tasks of a pool that may only read make and unpack nothing there.
func TestReadOnly(t *testing.T) {
	dir := place(t, "src/a.txt")
	put(t, dir+"/a.zip", zipped(t, entry{"one", "1", 0}))
	cfg := zipfile.Config{Place: func(string) workdir.Place { return workdir.Place{Dir: dir, ReadOnly: true} }}
	for in, e := range map[string]executors.Executor{
		`{"src_dir": "@/src", "dest_path": "@/o.zip", "items": "."}`: zipfile.NewZip(cfg),
		`{"archives": "@/a.zip", "dest_dir": "@/d"}`:                 zipfile.NewUnzip(cfg),
	} {
		if _, err := run(t, e, dir, in); err == nil || !strings.Contains(err.Error(), "may only read") {
			t.Errorf("%s: %v", in, err)
		}
	}
	if got, err := run(t, zipfile.NewZip(cfg), dir, `{"src_dir": "@/src", "dest_path": "own.zip", "items": "."}`); err != nil || !strings.Contains(got, `"output":"own.zip","count":1`) {
		t.Errorf("its own directory: %s, %v", got, err)
	}
}

// FuzzUnzip: whatever an archive holds, nothing is written outside, no more than the bounds allow, and no link is made.
func FuzzUnzip(f *testing.F) {
	for _, data := range hostile(f) {
		f.Add([]byte(data), "p")
	}
	f.Add([]byte(encrypted(f, aeszip.StandardEncryption, "p", "a/b", "text")), "p")
	f.Add([]byte(zipped(f, entry{"a/b", "text", 0})), "")
	f.Fuzz(func(t *testing.T, data []byte, password string) {
		outer := t.TempDir()
		put(t, outer+"/in/a.zip", string(data))
		in, _ := json.Marshal(map[string]any{"archives": outer + "/in/a.zip", "dest_dir": outer + "/in/dest", "password": password, "max_files": 20, "max_bytes": 1 << 20})
		call, _ := conformance.Call(t, json.RawMessage(in))
		_, err := zipfile.NewUnzip(config(outer+"/in")).Run(t.Context(), call)
		if err != nil && !executors.IsPermanent(err) {
			t.Errorf("it may be retried: %v", err)
		}
		files, size := 0, int64(0)
		walk := filepath.WalkDir(outer, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			switch {
			case err != nil:
				return err
			case !d.IsDir() && !d.Type().IsRegular():
				t.Errorf("%s is a %v", name, d.Type())
			case name != outer && !strings.HasPrefix(name, outer+"/in"):
				t.Errorf("%s is outside", name)
			case !d.IsDir() && name != outer+"/in/a.zip":
				files, size = files+1, size+info.Size()
			}
			return nil
		})
		if walk != nil || files > 20 || size > 1<<20 || err != nil && files > 0 {
			t.Errorf("%v: %d files, %d bytes (%v)", walk, files, size, err)
		}
	})
}
