package zipfile_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	aeszip "github.com/yeka/zip"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/guardian"
	"github.com/taskgrove/taskgrove/executors/zipfile"
)

func TestMain(m *testing.M) {
	guardian.Hook()
	os.Exit(m.Run())
}

func external(dir string) zipfile.Config {
	c := config(dir)
	c.Command = command.Config{Allow: true}
	return c
}

// commands are those of a driver, as inputs.
func commands(t *testing.T, zip, unzip []string) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"driver": "external", "zip_cmd": zip, "unzip_cmd": unzip})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Trim(string(text), "{}")
}

var infoZip = [2][]string{{"zip", "-q", "{archive}", "{files}"}, {"unzip", "-q", "{archive}", "-d", "{dest}"}}

func needs(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("there is no %s: tools/need.sh zip", name)
			}
			t.Skipf("there is no %s: tools/need.sh zip", name)
		}
	}
}

// Programs pack and unpack, with names that they would take for something else.
func TestPrograms(t *testing.T) {
	for name, c := range map[string][2][]string{
		"zip": infoZip, "7z": {{"7z", "a", "-tzip", "-mem=AES256", "-p{password}", "{archive}", "{files}"}, {"7z", "x", "-p{password}", "-o{dest}", "{archive}"}},
		"7z of a directory": {{"7z", "a", "-tzip", "-r", "-mem=AES192", "-p{password}", "{archive}", "{base_dir}/."}, {"7z", "x", "-p{password}", "-o{dest}", "{archive}"}},
	} {
		t.Run(name, func(t *testing.T) {
			needs(t, c[0][0], c[1][0])
			dir := place(t, "src/-rf", "src/@list", "src/a b.csv", "src/deep/é.csv", "src/*.txt", "src/other.txt", "src/deep/not.me")
			e, u := zipfile.NewZip(external(dir)), zipfile.NewUnzip(external(dir))
			for _, password := range []string{"", `, "password": "hunter2 canary"`} {
				if password != "" && name == "zip" {
					continue
				}
				in := `, "src_dir": "@/src", "items": ["-rf", "@list", "a b.csv", "deep/é.csv", "[*].txt"], ` + commands(t, c[0], c[1]) + password + `}`
				got, err := run(t, e, dir, `{"dest_path": "@/out.zip"`+strings.ReplaceAll(in, `"@list"`, `"\u0040list"`))
				if want := fmt.Sprintf(`{"output":"@/out.zip","count":5,"password":%v,"driver":"external","src_dir":"@/src"}`, password != ""); err != nil || got != want {
					t.Fatalf("%s, %v", got, err)
				}
				for _, way := range []string{commands(t, c[0], c[1]), `"driver": null`} { // by the program, and by ours
					if got, err := run(t, u, dir, `{"archives": ["@/out.zip"], "dest_dir": "@/to", "private_zip_folder": true, `+way+password+`}`); err != nil || got != `{"unzipped":["@/out.zip"],"dest_dir":"@/to","count":5}` {
						t.Fatalf("%s, %v", got, err)
					}
					want := "*.txt=content of *.txt\n-rf=content of -rf\n@list=content of @list\na b.csv=content of a b.csv\ndeep/é.csv=content of é.csv\n"
					if got := tree(t, filepath.Join(dir, "to", "out")); got != want {
						t.Errorf("there is %s", got)
					}
					if err := os.RemoveAll(filepath.Join(dir, "to")); err != nil {
						t.Fatal(err)
					}
				}
				if password == "" {
					continue
				}
				if got, err := run(t, u, dir, `{"archives": ["@/out.zip"], "dest_dir": "@/to", `+commands(t, c[0], c[1])+`, "password": "other-canary"}`); err == nil || strings.Contains(err.Error(), "canary") || executors.KindOf(err) != executors.KindExit {
					t.Errorf("a wrong password: %s, %v", got, err)
				}
				if got := tree(t, filepath.Join(dir, "to")); got != "" {
					t.Errorf("a wrong password leaves %s", got)
				}
			}
			if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
				t.Errorf("left are %v", left)
			}
		})
	}
}

// The system's tools pack and unpack, and nobody who lists processes sees a password.
func TestSystemTools(t *testing.T) {
	needs(t, "zip", "unzip")
	for _, password := range []string{"", "hunter2 canary", `a"b\c $x é`} {
		names := []string{"src/-rf", "src/@list", "src/a b.csv", "src/deep/é.csv", "src/*.txt", "src/other.txt", "src/deep/[x]", "src/.hidden"}
		dir := place(t, names...)
		in := `, "driver": "os"`
		if password == "" {
			pack := func(more string) (string, error) {
				return run(t, zipfile.NewZip(external(dir)), dir, `{"dest_path": "@/out.zip", "src_dir": "@/src", "items": ["."]`+in+more+`}`)
			}
			for _, more := range []string{"", `, "compression": "stored", "quiet": false, "zip_cmd": "zip", "unzip_cmd": "unzip"`} {
				if got, err := pack(more); err != nil || got != `{"output":"@/out.zip","count":8,"password":false,"driver":"os","src_dir":"@/src"}` {
					t.Fatalf("%s, %v", got, err)
				}
			}
			if got, err := pack(`, "password": "canary"`); err == nil || !executors.IsPermanent(err) || !strings.Contains(err.Error(), "use pyzipper") || strings.Contains(err.Error(), "canary") {
				t.Errorf("a password: %s, %v", got, err)
			}
		} else { // what others have made, by the old cipher
			c := exec.Command("zip", "-q", "-r", "-D", "-P", password, filepath.Join(dir, "out.zip"), ".")
			c.Dir = filepath.Join(dir, "src")
			if text, err := c.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			quoted, _ := json.Marshal(password)
			in += `, "password": ` + string(quoted)
		}
		e := zipfile.NewUnzip(external(dir))
		if got, err := run(t, e, dir, `{"archives": ["@/out.zip"], "dest_dir": "@/to"`+in+`}`); err != nil || got != `{"unzipped":["@/out.zip"],"dest_dir":"@/to","count":8}` {
			t.Fatalf("%q: %s, %v", password, got, err)
		}
		if got, want := tree(t, filepath.Join(dir, "to", "out")), tree(t, filepath.Join(dir, "src")); got != want {
			t.Errorf("%q: there is %s, want %s", password, got, want)
		}
		if got, err := run(t, e, dir, `{"archives": ["@/out.zip"], "dest_dir": "@/some", "members": ["-rf", "[*].txt", "deep/*"]`+in+`}`); err != nil {
			t.Errorf("%s, %v", got, err)
		}
		if got := tree(t, filepath.Join(dir, "some", "out")); got != "*.txt=content of *.txt\n-rf=content of -rf\ndeep/[x]=content of [x]\ndeep/é.csv=content of é.csv\n" {
			t.Errorf("members: %s", got)
		}
		if got, err := run(t, e, dir, `{"archives": ["@/out.zip"], "dest_dir": "@/none", "members": ["*.none"]`+in+`}`); err != nil || !strings.Contains(got, `"count":0`) {
			t.Errorf("no members: %s, %v", got, err)
		}
		if password == "" {
			continue
		}
		for with, want := range map[string]string{`, "password": "canary-other"`: "exit code 82", "": "is encrypted"} {
			if got, err := run(t, e, dir, `{"archives": ["@/out.zip"], "dest_dir": "@/bad", "driver": "os"`+with+`}`); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s: %s, %v", with, got, err)
			}
		}
		if got := tree(t, filepath.Join(dir, "bad")); got != "" {
			t.Errorf("left is %s", got)
		}
		show := filepath.Join(dir, "show")
		put(t, show, "#!/bin/sh\ntr '\\0' ' ' < /proc/$$/cmdline > "+dir+"/line\nexit 3\n")
		if err := os.Chmod(show, 0o755); err != nil {
			t.Fatal(err)
		}
		if got, err := run(t, e, dir, `{"archives": ["@/out.zip"], "dest_dir": "@/to", "unzip_cmd": "@/show"`+in+`}`); err == nil || !strings.Contains(err.Error(), "exit code 3") {
			t.Errorf("%s, %v", got, err)
		}
		if line, err := os.ReadFile(filepath.Join(dir, "line")); err != nil || !strings.Contains(string(line), "out.zip -d ") || strings.Contains(string(line), password) {
			t.Errorf("the command line is %q, %v", line, err)
		}
	}
}

// The driver os takes the names of programs, and nothing that says how to encrypt.
func TestWrongSystemTools(t *testing.T) {
	dir := place(t, "a")
	for more, want := range map[string]string{
		`, "zip_cmd": ["zip", "-9"]`: "zip_cmd: must be the name of a program", `, "unzip_cmd": ["unzip", "-j"]`: "unzip_cmd: must be the name of a program", `, "aes_strength": 256`: "the driver os has none",
		`, "encryption": "aes"`: "the driver os has none", `, "zip_cmd": "no-such-program"`: `"no-such-program" was not found in PATH`,
	} {
		if got, err := run(t, zipfile.NewZip(external(dir)), dir, `{"dest_path": "@/z.zip", "items": ["a"], "src_dir": "@", "driver": "os"`+more+`}`); err == nil || !strings.Contains(err.Error(), want) || !executors.IsPermanent(err) {
			t.Errorf("%s: %s, %v", more, got, err)
		}
	}
	in := `{"dest_path": "@/z.zip", "items": ["a"], "src_dir": "@", "driver": "os"}`
	if _, err := run(t, zipfile.NewZip(config(dir)), dir, in); err == nil || !strings.Contains(err.Error(), "driver: os runs programs, and commands are not allowed") || !executors.IsPermanent(err) {
		t.Errorf("not allowed: %v", err)
	}
	listed := external(dir)
	listed.Command.Whitelist = []string{"7z"}
	if _, err := run(t, zipfile.NewZip(listed), dir, in); err == nil || !strings.Contains(err.Error(), "'zip' is not in the whitelist") {
		t.Errorf("not in the list: %v", err)
	}
	strict := external(dir)
	strict.Archives = func(string) []string { return []string{"zipfile"} }
	if _, err := run(t, zipfile.NewZip(strict), dir, in); err == nil || !strings.Contains(err.Error(), "pools of the mode enterprise") {
		t.Errorf("enterprise: %v", err)
	}
	if _, err := run(t, zipfile.NewZip(external(dir)), dir, strings.Replace(in, `"os"`, `"zipfile", "quiet": true`, 1)); err == nil || !strings.Contains(err.Error(), "quiet: only the driver os has it") {
		t.Errorf("quiet: %v", err)
	}
	if got := tree(t, dir); got != "a=content of a\n" {
		t.Errorf("there is %s", got)
	}
	put(t, filepath.Join(dir, "z.zip"), aesZip(t, "a", "canary"))
	if _, err := run(t, zipfile.NewUnzip(external(dir)), dir, `{"archives": ["@/z.zip"], "dest_dir": "@/to", "driver": "os", "password": "canary"}`); err == nil || !strings.Contains(err.Error(), "use pyzipper") {
		t.Errorf("AES: %v", err)
	}
}

// aesZip is an archive of one file that AES has encrypted.
func aesZip(t *testing.T, name, password string) string {
	t.Helper()
	var b bytes.Buffer
	w := aeszip.NewWriter(&b)
	f, err := w.Encrypt(name, password, aeszip.AES256Encryption)
	if err == nil {
		_, err = f.Write([]byte("text"))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What a program has made is looked at, and what it did wrong told; nothing takes the place of what was there.
func TestProgramsThatLie(t *testing.T) {
	needs(t, "zip", "unzip")
	dir := place(t, "a", "b")
	put(t, filepath.Join(dir, "z.zip"), "old")
	sh := func(line string) []string {
		return []string{"sh", "-c", line, "sh", "{archive}", "{base_dir}", "{password}", "{files}"}
	}
	unsh := func(line string) []string {
		return []string{"sh", "-c", line, "sh", "{archive}", "{dest}", "{password}"}
	}
	for _, row := range []struct{ line, password, want string }{
		{"exit 3", "", "the program ended with exit code 3"}, {"echo no space >&2; exit 1", "", "exit code 1: no space"}, {"kill -9 $$", "", "signal 9"}, {"true", "", "there is no archive"},
		{"echo x > $1", "", "it is no zip file"}, {"mkfifo $1", "", "is no plain file"}, {"mkdir $1", "", "is no plain file"}, {"zip -q $1.z a b; ln -s $1.z $1", "", "is a link"}, {"zip -q $1 a", "", `"b" is not in it`}, {"echo c > c; zip -q $1 a b c", "", `the file "c" is in it`}, {"mkdir ../x; cd ../x; echo y > y; zip -q $1 y", "", `the file "y" is in it`},
		{"zip -q $1 a b", "canary", "is not encrypted"}, {"zip -q -P \"$3\" $1 a b", "canary", "the old ZipCrypto"}, {"echo the password is $3; exit 1", "canary", "exit code 1: the password is ***"},
		{"printf '%s' $3 | base64; exit 1", "canary", "exit code 1: ***"}, {"printf '%s' $3 | od -An -tx1 | tr -d ' '; exit 1", "canary", "exit code 1: ***"}, {"echo ${3}canary; exit 1", "canary", "exit code 1: ******"},
		{"echo $3; exit 1", "can", "exit code 1: ***"}, {"for i in 1 2 3 4 5 6 7 8 9; do head -c 1000 /dev/zero | tr '\\0' x; echo; yes $3 | head -n 999; done; exit 1", "canary", "exit code 1: "},
		{"yes $3 | tr -d '\\n' | head -c 60000; exit 1", "canary", "exit code 1"}, {"yes \"$3 and more\" | head -n 3001; exit 1", "canary", "*** and more"},
	} {
		in := `{"dest_path": "@/z.zip", "items": ["a", "b"], "src_dir": "@", ` + commands(t, sh(row.line), unsh("true"))
		if row.password != "" {
			in += `, "password": "` + row.password + `"`
		}
		got, err := run(t, zipfile.NewZip(external(dir)), dir, in+"}")
		if err == nil || !strings.Contains(err.Error(), row.want) || row.password != "" && holdsAny(err.Error(), row.password, "anary", "Y2FuYXJ5", "63616e617279") {
			t.Errorf("%s: %s, %v", row.line, got, err)
		}
	}
	if got := tree(t, dir); got != "a=content of a\nb=content of b\nz.zip=old\n" {
		t.Errorf("there is %s", got)
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range []string{"a", "d/b"} {
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write(bytes.Repeat([]byte(name), 100))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "z.zip"), b.String())
	for line, want := range map[string]string{
		"exit 7": "exit code 7", "true": "was not unpacked", "unzip -q $1 -d $2; echo x > $2/c": `"c" was unpacked, and is not in the archive`, "unzip -q $1 -d $2; rm $2/a; ln -s /etc/passwd $2/a": "neither a file nor a directory",
		"unzip -q $1 -d $2; rm $2/a; mkfifo $2/a": "neither a file nor a directory", "unzip -q $1 -d $2; rm -r $2/d; ln -s /etc $2/d": "neither a file nor a directory", "unzip -q $1 -d $2; head -c 20000000 /dev/zero > $2/a": "unpacks to more than is allowed",
		"unzip -q $1 a -d $2": `"d/b" was not unpacked`,
	} {
		got, err := run(t, zipfile.NewUnzip(external(dir)), dir, `{"archives": ["@/z.zip"], "dest_dir": "@/to", `+commands(t, sh("true"), unsh(line))+`}`)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s, %v", line, got, err)
		}
		if got := tree(t, filepath.Join(dir, "to")); got != "" {
			t.Errorf("%s: there is %s", line, got)
		}
	}
}

// What is hostile is refused before a program gets it, as by our own drivers.
func TestHostileArchivesForPrograms(t *testing.T) {
	needs(t, "zip", "unzip")
	for name, text := range hostile(t) {
		dir := place(t)
		put(t, filepath.Join(dir, "z.zip"), text)
		ran := filepath.Join(dir, "ran")
		in := `{"archives": ["@/z.zip"], "dest_dir": "@/to", "max_files": 20, "max_bytes": 2097152, ` + commands(t, []string{"true", "{archive}", "{files}"}, []string{"sh", "-c", `touch "$3"; unzip -q "$1" -d "$2"`, "sh", "{archive}", "{dest}", ran}) + `}`
		if got, err := run(t, zipfile.NewUnzip(external(dir)), dir, in); err == nil {
			t.Errorf("%s: %s", name, got)
		}
		if got := tree(t, filepath.Join(dir, "to")); got != "" {
			t.Errorf("%s: there is %.100q", name, got)
		}
	}
}

func TestWrongCommands(t *testing.T) {
	dir := place(t, "a")
	good := [2]string{`["true", "{archive}", "{files}"]`, `["true", "{archive}", "{dest}"]`}
	for _, row := range []struct{ zip, unzip, more, want string }{
		{"null", good[1], "", "zip_cmd is required in inputs for the driver external"}, {`[]`, good[1], "", "zip_cmd is required"}, {good[0], "null", "", "unzip_cmd is required"}, {`["{files}", "{archive}"]`, good[1], "", "zip_cmd[0]: must be a program"},
		{`["true", "{archive}", "{dest}"]`, good[1], "", "zip_cmd[1]"}, {`["true", "{files}"]`, good[1], "", "zip_cmd: must have {archive} and {files} or {base_dir}"}, {`["true", "{archive}"]`, good[1], "", "zip_cmd: must have"},
		{`["true", "{archive}", "-x{files}"]`, good[1], "", "{files} must be an argument of its own"}, {good[0], `["true", "{archive}"]`, "", "unzip_cmd: must have {archive} and {dest}"}, {good[0], good[1], `, "password": "p"`, "zip_cmd: has no {password}"},
		{good[0], good[1], `, "aes_strength": 128`, "aes_strength"}, {`["no-such-program", "{archive}", "{files}"]`, good[1], "", "no-such-program"}, {`["true\u0000", "{archive}", "{files}"]`, good[1], "", "NUL"},
	} {
		in := `{"dest_path": "@/z.zip", "items": ["a"], "src_dir": "@", "driver": "external", "zip_cmd": ` + row.zip + `, "unzip_cmd": ` + row.unzip + row.more + `}`
		want := strings.Replace(row.want, "zip_cmd[1]", "zip_cmd[2]: there is no {dest}", 1)
		if got, err := run(t, zipfile.NewZip(external(dir)), dir, in); err == nil || !strings.Contains(err.Error(), want) || !executors.IsPermanent(err) {
			t.Errorf("%s: %s, %v", row.zip, got, err)
		}
	}
	in := `{"dest_path": "@/z.zip", "items": ["a"], "src_dir": "@", "driver": "external", "zip_cmd": ` + good[0] + `, "unzip_cmd": ` + good[1] + `}`
	if _, err := run(t, zipfile.NewZip(config(dir)), dir, in); err == nil || !strings.Contains(err.Error(), "commands are not allowed on this worker") || !executors.IsPermanent(err) {
		t.Errorf("not allowed: %v", err)
	}
	listed := external(dir)
	listed.Command.Whitelist = []string{"7z"}
	if _, err := run(t, zipfile.NewZip(listed), dir, in); err == nil || !strings.Contains(err.Error(), "'true' is not in the whitelist") || !executors.IsPermanent(err) {
		t.Errorf("not in the list: %v", err)
	}
	if _, err := run(t, zipfile.NewZip(external(dir)), dir, `{"dest_path": "@/z.zip", "items": ["a"], "src_dir": "@", "zip_cmd": `+good[0]+`}`); err == nil || !strings.Contains(err.Error(), "only the drivers external and os have them") {
		t.Errorf("another driver: %v", err)
	}
	if _, err := run(t, zipfile.NewUnzip(external(dir)), dir, `{"archives": ["a"], "dest_dir": "@", "members": ["x"], "driver": "external", "zip_cmd": `+good[0]+`, "unzip_cmd": `+good[1]+`}`); err == nil ||
		!strings.Contains(err.Error(), "members: the driver external unpacks all") {
		t.Errorf("members: %v", err)
	}
	if got := tree(t, dir); got != "a=content of a\n" {
		t.Errorf("there is %s", got)
	}
}

// A program that does not end is killed with the attempt, and leaves nothing.
func TestCancelledProgram(t *testing.T) {
	dir := place(t, "a")
	ctx, cancel := context.WithCancelCause(t.Context())
	call, _ := conformance.Call(t, json.RawMessage(strings.ReplaceAll(`{"dest_path": "@/z.zip", "items": ["a"], "src_dir": "@", `+
		commands(t, []string{"sh", "-c", `touch "$2/began"; sleep 600`, "sh", "{archive}", dir, "{files}"}, []string{"true", "{archive}", "{dest}"})+`}`, "@", dir)))
	go func() {
		for {
			if _, err := os.Stat(filepath.Join(dir, "began")); err == nil {
				cancel(executors.ErrCancelled)
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	if _, err := zipfile.NewZip(external(dir)).Run(ctx, call); !errors.Is(err, executors.ErrCancelled) {
		t.Error(err)
	}
	cancel(nil)
	if got := tree(t, dir); got != "a=content of a\nbegan=\n" {
		t.Errorf("there is %s", got)
	}
}

// holdsAny reports whether one of the parts is in a text.
func holdsAny(text string, parts ...string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
}
