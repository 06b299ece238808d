package sources_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/executors/bundle"
	"github.com/taskgrove/taskgrove/executors/bundle/sources"
	"github.com/taskgrove/taskgrove/executors/resource"
	"github.com/taskgrove/taskgrove/executors/smb/smbtest"
	"github.com/taskgrove/taskgrove/executors/ssh/sshtest"
	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// canary is a secret that no error may show.
const canary = "hunter2-canary"

// place is where a bundle is that begins with main.yaml.
func place(o bundle.Origin, c *resource.Connection) *bundle.Place {
	if c != nil {
		o.Resource = "way"
	}
	return &bundle.Place{Spec: &bundle.Spec{ID: "b", Origin: o, EntryFlow: "main.yaml"}, Connection: c}
}

// connection is that of a resource.
func connection(t *testing.T, kind, driver string, config map[string]any) *resource.Connection {
	t.Helper()
	d, bad := resource.Find(kind, driver)
	if bad != nil {
		t.Fatal(bad)
	}
	c, faults := d.Connect(&resource.Part{Config: config, Options: map[string]any{"timeout": 20}})
	if kind == "db" {
		c, faults = d.Connect(&resource.Part{Config: config})
	}
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return c
}

// kit fetches a bundle again and again, into one directory.
type kit struct {
	*bundle.Place
	root string
}

func newKit(t *testing.T, at *bundle.Place) *kit { return &kit{at, t.TempDir()} }

// sync fetches the bundle, and shows what came, what was fetched, and the files; an error shows no secret.
func (k *kit) sync(t *testing.T) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	got, err := bundle.Sync(ctx, bundle.Request{Spec: k.Spec, Root: k.root, Open: func(ctx context.Context) (bundle.Source, error) { return sources.Open(ctx, k.Place) }})
	if err != nil {
		if strings.Contains(err.Error(), canary) {
			t.Errorf("the error shows a secret: %v", err)
		}
		return "", err
	}
	return fmt.Sprintf("%v %d: %s", got.Changed, len(got.Fetched), tree(t, got.Root)), nil
}

func tree(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		text, err := os.ReadFile(name)
		if len(text) > 30 {
			text = fmt.Appendf(nil, "%d bytes", len(text))
		}
		all = append(all, rel+"="+string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// want checks a sync.
func (k *kit) want(t *testing.T, want string) {
	t.Helper()
	if got, err := k.sync(t); err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

// refused checks that a sync fails for a reason, and that what was there before stays. Where the source may answer later, it says so.
func (k *kit) refused(t *testing.T, reason string) {
	t.Helper()
	before := ""
	if text, err := os.ReadFile(filepath.Join(k.root, "b", "fingerprints", "latest.json")); err == nil {
		before = string(text)
	}
	if got, err := k.sync(t); err == nil || !strings.Contains(err.Error(), reason) {
		t.Errorf("got %s, %v, want %s", got, err, reason)
	}
	if text, err := os.ReadFile(filepath.Join(k.root, "b", "fingerprints", "latest.json")); before != "" && (err != nil || string(text) != before) {
		t.Errorf("the last version is %s, %v", text, err)
	}
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Servers of SFTP and SMB: a directory there.
func TestRemote(t *testing.T) {
	for _, name := range []string{"sftp", "smb"} {
		t.Run(name, func(t *testing.T) {
			var k *kit
			var dir string
			var stop func()
			if name == "sftp" {
				s := sshtest.For(t)
				dir = t.TempDir()
				c := connection(t, "sftp", "ssh", map[string]any{"host": "127.0.0.1", "port": s.Port, "user": s.User, "pkey": s.Read("id"), "host_key": s.Read("host.pub")})
				k, stop = newKit(t, place(bundle.Origin{Type: bundle.SFTP, BasePath: dir}, c)), s.Stop
			} else {
				s := smbtest.Start(t)
				dir = s.Dir + "/etl"
				c := connection(t, "smb", "smbclient", map[string]any{"server": "127.0.0.1", "port": s.Port, "share": smbtest.Share, "username": s.User, "password": smbtest.Password})
				k, stop = newKit(t, place(bundle.Origin{Type: bundle.SMB, BasePath: "/etl"}, c)), s.Kill
			}
			k.refused(t, map[string]string{"sftp": "main.yaml", "smb": `list "/etl"`}[name]) // nothing is there
			put(t, dir+"/main.yaml", "main")
			put(t, dir+"/flows/a/é.yaml", "one")
			put(t, dir+"/data.bin", strings.Repeat("x", 3<<20))
			files := fmt.Sprintf("data.bin=%d bytes flows/a/é.yaml=one main.yaml=main", 3<<20)
			k.want(t, "true 3: "+files)
			k.want(t, "false 0: "+files)
			put(t, dir+"/flows/a/é.yaml", "three")
			k.want(t, "true 1: "+strings.Replace(files, "=one", "=three", 1))
			if name == "sftp" { // a server of SMB shows none of these
				for link, to := range map[string]string{"passwd": "/etc/passwd", "up": "..", "loop": "."} {
					if err := os.Symlink(to, dir+"/"+link); err != nil {
						t.Fatal(err)
					}
					k.refused(t, link)
					_ = os.Remove(dir + "/" + link)
				}
				put(t, dir+`/a\b`, "x")
				k.refused(t, `has a \ in it`)
				_ = os.Remove(dir + `/a\b`)
			}
			deep := dir + strings.Repeat("/d", bundle.MaxDepth+2)
			put(t, deep+"/x", "x")
			k.refused(t, "directories deep")
			if err := os.RemoveAll(dir + "/d"); err != nil {
				t.Fatal(err)
			}
			for _, base := range []string{"/nowhere", "\x00"} {
				o := *k.Spec
				k.Spec = &o
				k.Spec.Origin.BasePath = base
				k.refused(t, "")
				k.Spec.Origin.BasePath = dir
			}
			stop()
			if _, err := k.sync(t); !errors.Is(err, bundle.ErrSource) {
				t.Errorf("without a server: %v", err)
			}
		})
	}
}

// A database: the table that is usual, and statements of one's own.
func TestDatabases(t *testing.T) {
	address := pgtest.Database(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	pg, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Close(ctx) //nolint:errcheck // the test is over
	file := filepath.Join(t.TempDir(), "assets.db")
	lite, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer lite.Close() //nolint:errcheck // the test is over
	config := map[string]any{"url": address}
	if u.Host == "" {
		config["url"] = address
	}
	if u.Query().Get("sslmode") == "" {
		config["sslmode"] = "disable"
	}
	for _, row := range []struct {
		name, blob, stamp string
		do                func(text string, args ...any) error
		c                 *resource.Connection
		dir               string
	}{
		{"postgres", "bytea", "timestamptz", func(text string, args ...any) error { _, err := pg.Exec(ctx, text, args...); return err }, connection(t, "db", "postgres", config), ""},
		{"sqlite", "blob", "text", func(text string, args ...any) error { _, err := lite.ExecContext(ctx, text, args...); return err }, connection(t, "db", "sqlite3", map[string]any{"path": file}), ""},
		{"sqlite beside the manifest", "blob", "text", nil, connection(t, "db", "sqlite3", map[string]any{"url": "sqlite:///assets.db"}), filepath.Dir(file)},
	} {
		t.Run(row.name, func(t *testing.T) {
			k := newKit(t, place(bundle.Origin{Type: bundle.Database, Bundle: "orders"}, row.c))
			k.Dir = row.dir
			if row.do == nil {
				k.want(t, "true 3: blob.bin=\x00\xff bytes/a.yaml=new main.yaml=main")
				return
			}
			do := func(text string, args ...any) {
				t.Helper()
				if err := row.do(text, args...); err != nil {
					t.Fatal(err)
				}
			}
			k.refused(t, "assets") // there is no such table
			do("create table assets (bundle text, path text, sha256 text, data " + row.blob + ", updated_at " + row.stamp + ", size bigint)")
			add := func(bundle, path string, sum any, data string, size any) {
				t.Helper()
				do("insert into assets (bundle, path, sha256, data, updated_at, size) values ($1, $2, $3, $4, '2026-01-02T03:04:05Z', $5)", bundle, path, sum, []byte(data), size)
			}
			k.refused(t, "main.yaml")
			add("orders", "main.yaml", digest("main"), "main", 4)
			add("orders", "bytes/a.yaml", nil, "old", 3)
			add("orders", "blob.bin", strings.ToUpper(digest("\x00\xff")), "\x00\xff", nil)
			add("other", "x.yaml", nil, "x", 1)
			k.want(t, "true 3: blob.bin=\x00\xff bytes/a.yaml=old main.yaml=main")
			k.want(t, "false 0: blob.bin=\x00\xff bytes/a.yaml=old main.yaml=main")
			do("update assets set data = $1, updated_at = '2026-01-02T03:04:06Z' where path = 'bytes/a.yaml'", []byte("new"))
			k.want(t, "true 1: blob.bin=\x00\xff bytes/a.yaml=new main.yaml=main")
			for _, bad := range []struct {
				path, reason string
				sum, size    any
			}{
				{"../x", "leads elsewhere", nil, 1}, {"/etc/passwd", "is absolute", nil, 1}, {"a/../../x", "leads elsewhere", nil, 1}, {`a\b`, `has a \ in it`, nil, 1}, {"", "is empty", nil, 1},
				{"main.yaml", "main.yaml", nil, 1}, {"MAIN/", "leads elsewhere", nil, 1}, {"x", "x", digest("other"), 1}, {"x", "x", nil, 7}, {"x", "sha256 of", "no digest", 1}, {"x", "is below 0", nil, -5},
				{"main.yaml/x", "main.yaml", nil, 1},
			} {
				add("orders", bad.path, bad.sum, "x", bad.size)
				k.refused(t, bad.reason)
				do("delete from assets where bundle = 'orders' and path = $1 and updated_at = '2026-01-02T03:04:05Z' and (size is null or size <> 4) and path <> 'blob.bin'", bad.path)
			}
			own := *k.Spec
			k.Spec = &own
			for _, s := range []struct{ list, fetch, reason string }{
				{"delete from assets where bundle = :bundle", "", "list_sql"}, {"select 1 as one where :bundle = 'orders'", "", "without path"}, {"select path from assets", "", "list_sql"},
				{"", "select data from assets where bundle = :bundle", "fetch_sql"}, {"", "select data, path from assets where bundle = :bundle and path = :path", "one column"},
				{"", "select data from assets where bundle = :bundle and path = 'none' || :path", "gives no row"}, {"", "select null where :bundle <> :path", "gives nothing"},
				{"", "select data from assets where bundle = :bundle or path = :path", "more than one row"},
			} {
				k.Spec.Origin.ListSQL, k.Spec.Origin.FetchSQL = s.list, s.fetch
				k.Spec.Always = true
				k.refused(t, s.reason)
			}
			k.Spec.Origin.ListSQL, k.Spec.Origin.FetchSQL = "select path from assets where bundle = :bundle and path = 'main.yaml'", "select 'main text' where :bundle <> :path"
			k.want(t, "true 1: main.yaml=main text")
		})
	}
	wrong := connection(t, "db", "postgres", map[string]any{"host": "127.0.0.1", "port": 1, "user": "u", "password": canary, "database": "d", "sslmode": "disable"})
	if _, err := newKit(t, place(bundle.Origin{Type: bundle.Database, Bundle: "b"}, wrong)).sync(t); !errors.Is(err, bundle.ErrSource) {
		t.Errorf("without a server: %v", err)
	}
}

// A service of REST.
func TestREST(t *testing.T) {
	var list any
	content := map[string]string{"main.yaml": "main", "a b/ü.yaml": "ü"}
	status := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		text, known := content[req.URL.Query().Get("path")]
		switch {
		case req.Header.Get("Authorization") != "Bearer "+canary:
			w.WriteHeader(http.StatusUnauthorized)
		case status != 0:
			w.WriteHeader(status)
		case req.URL.Path == "/api/list" && req.URL.Query().Get("prefix") == "orders":
			if raw, is := list.(string); is {
				_, _ = w.Write([]byte(raw))
				return
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"more": []int{1}, "files": list})
		case req.URL.Path == "/api/fetch" && req.URL.Query().Get("bundle") == "orders" && known:
			_, _ = w.Write([]byte(text))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer s.Close()
	c := connection(t, "rest", "httpx", map[string]any{"base_url": s.URL + "/api/", "bearer_token": canary})
	k := newKit(t, place(bundle.Origin{Type: bundle.REST, Bundle: "orders", ListPath: "/list", FetchPath: "/fetch", PrefixParam: "prefix"}, c))
	type m = map[string]any
	good := []m{{"path": "main.yaml", "sha256": digest("main")}, {"path": "a b/ü.yaml", "size": 2, "mtime": 1760000000.5}}
	list = good
	k.want(t, "true 2: a b/ü.yaml=ü main.yaml=main")
	k.want(t, "false 0: a b/ü.yaml=ü main.yaml=main")
	content["a b/ü.yaml"] = "xx"
	list = []m{good[0], {"path": "a b/ü.yaml", "size": 2, "mtime": "2026-01-02T03:04:05Z"}}
	k.want(t, "true 1: a b/ü.yaml=xx main.yaml=main")
	content["big"] = strings.Repeat("x", 5000)
	var many []m
	for i := range bundle.MaxFiles + 10 {
		many = append(many, m{"path": "f" + strconv.Itoa(i), "size": 1, "mtime": 1})
	}
	for _, row := range []struct {
		list   any
		reason string
	}{
		{[]m{good[0], {"path": "../x"}}, "leads elsewhere"}, {[]m{good[0], {"path": "/x"}}, "is absolute"}, {[]m{good[0], {"path": "a//b"}}, "empty parts"}, {[]m{good[0], {"path": "C:/x"}}, "is absolute"},
		{[]m{good[0], {"path": "a\u202eb"}}, "can't be seen"}, {[]m{good[0], good[0]}, "main.yaml"}, {[]m{good[0], {"path": "main.yaml/x"}}, "main.yaml"}, {many, "more than"},
		{[]m{{"path": "main.yaml", "sha256": digest("other")}}, "main.yaml"}, {[]m{good[0], {"path": "big", "size": 10}}, "big"}, {[]m{good[0], {"path": "big", "size": 6000}}, "big"},
		{[]m{good[0], {"path": "none"}}, "status 404"}, {[]m{good[0], {"path": "x", "sha256": "abc"}}, "sha256"}, {[]m{good[0], {"path": "x", "size": -1}}, "below 0"},
		{[]m{good[0], {"path": "x", "mtime": true}}, "mtime"}, {[]m{good[0], {"path": "x", "mtime": 1e300}}, "mtime"}, {[]m{{"size": 1}}, "has no path"}, {[]m{{"path": 5}}, "must be an object"},
		{`{"files": [{"path": "main.yaml"}]`, "is no JSON"}, {`[]`, "must be an object"}, {`{}`, "must be an object"}, {`{"files": {}}`, "must be an object"}, {`<html>`, "must be an object"}, {`{"files": [], "files": []}`, "twice"},
		{`{"files": ` + strings.Repeat("[", 20000), ""}, {[]m{}, "main.yaml"},
	} {
		list = row.list
		k.refused(t, row.reason)
	}
	list, status = good, http.StatusBadGateway
	if _, err := k.sync(t); !errors.Is(err, bundle.ErrSource) || !strings.Contains(err.Error(), "status 502") {
		t.Errorf("a service that fails: %v", err)
	}
	k.Connection = connection(t, "rest", "httpx", map[string]any{"base_url": s.URL + "/api/", "bearer_token": canary + "x"})
	k.refused(t, "status 401")
	k.Spec.Origin.ListPath = "http://127.0.0.2/list"
	k.refused(t, "list_path: must be a path of the service")
}

// zipped and tarred are archives of files in this order.
func zipped(t *testing.T, files ...[2]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		h := &zip.FileHeader{Name: f[0], Method: zip.Deflate}
		if to, is := strings.CutPrefix(f[1], "->"); is {
			h.SetMode(fs.ModeSymlink | 0o777)
			f[1] = to
		}
		e, err := w.CreateHeader(h)
		if err == nil {
			_, err = e.Write([]byte(f[1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tarred(t *testing.T, files ...[2]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, f := range files {
		h := &tar.Header{Name: f[0], Mode: 0o644, Size: int64(len(f[1])), Typeflag: tar.TypeReg}
		if to, is := strings.CutPrefix(f[1], "->"); is {
			h.Typeflag, h.Linkname, h.Size, f[1] = tar.TypeSymlink, to, 0, ""
		}
		if to, is := strings.CutPrefix(f[1], "=>"); is {
			h.Typeflag, h.Linkname, h.Size, f[1] = tar.TypeLink, to, 0, ""
		}
		err := w.WriteHeader(h)
		if err == nil {
			_, err = w.Write([]byte(f[1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// An archive behind a URL.
func TestArchives(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var body []byte
	seen := ""
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { seen = "elsewhere"; _, _ = w.Write(body) }))
	defer elsewhere.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		seen = req.Header.Get("Authorization")
		switch req.URL.Path {
		case "/b/etl.zip":
			_, _ = w.Write(body)
		case "/b/moved":
			http.Redirect(w, req, "/b/etl.zip", http.StatusFound)
		case "/b/away":
			http.Redirect(w, req, elsewhere.URL, http.StatusFound)
		case "/b/loop":
			http.Redirect(w, req, "/b/loop", http.StatusFound)
		case "/b/short":
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(body)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer s.Close()
	k := newKit(t, place(bundle.Origin{Type: bundle.HTTP, URL: s.URL + "/b/etl.zip"}, nil))
	files := [][2]string{{"main.yaml", "main"}, {"flows/a.yaml", "a"}, {"etl/main.yaml", "inner"}, {"etl/x/y.yaml", "y"}}
	const all = "etl/main.yaml=inner etl/x/y.yaml=y flows/a.yaml=a main.yaml=main"
	body = zipped(t, files...)
	k.want(t, "true 4: "+all)
	k.want(t, "false 0: "+all)
	body = tarred(t, files...)
	k.want(t, "false 0: "+all) // the same files
	k.Spec.Origin.Subdir = "etl"
	k.want(t, "true 0: main.yaml=inner x/y.yaml=y") // both are in the cache
	k.Spec.Origin.Subdir = "none"
	k.refused(t, `no directory "none"`)
	k.Spec.Origin.Subdir = "../x"
	k.refused(t, "subdir")
	k.Spec.Origin.Subdir = ""
	sum := sha256.Sum256(body)
	k.Spec.Origin.SHA256 = hex.EncodeToString(sum[:])
	k.want(t, "true 0: "+all)
	k.Spec.Origin.SHA256 = digest("other")
	k.refused(t, "SHA-256")
	k.Spec.Origin.SHA256 = ""
	main := [2]string{"main.yaml", "main"}
	for _, row := range []struct {
		name   string
		body   []byte
		reason string
	}{
		{"up", zipped(t, main, [2]string{"../x", "x"}), "not allowed"}, {"up in a tar", tarred(t, main, [2]string{"../../x", "x"}), "not allowed"}, {"absolute", zipped(t, main, [2]string{"/etc/x", "x"}), "not allowed"},
		{"absolute in a tar", tarred(t, main, [2]string{"/etc/x", "x"}), "not allowed"}, {"backslash", zipped(t, main, [2]string{`..\x`, "x"}), "not allowed"}, {"drive", zipped(t, main, [2]string{"C:x", "x"}), "not allowed"},
		{"link", zipped(t, main, [2]string{"l", "->/etc/passwd"}), "neither a file nor"}, {"link in a tar", tarred(t, main, [2]string{"l", "->/etc"}, [2]string{"l/x", "x"}), "neither a file nor"},
		{"hard link", tarred(t, main, [2]string{"l", "=>/etc/passwd"}), "neither a file nor"}, {"twice", zipped(t, main, main), "twice"}, {"twice in a tar", tarred(t, main, main), "twice"},
		{"file and directory", tarred(t, main, [2]string{"main.yaml/x", "x"}), ""}, {"unseen", zipped(t, main, [2]string{"a\u202eb", "x"}), "can't be seen"},
		{"deep", zipped(t, main, [2]string{strings.Repeat("d/", 40) + "x", "x"}), "directories deep"}, {"bomb", zipped(t, main, [2]string{"b", strings.Repeat("\x00", 64<<20)}), "more than is allowed"},
		{"bomb in a tar", tarred(t, main, [2]string{"b", strings.Repeat("\x00", 64<<20)}), "more than is allowed"}, {"no archive", []byte("<html></html>"), "broken"}, {"empty", nil, ""},
		{"cut off", zipped(t, files...)[:60], "broken"}, {"no entry flow", zipped(t, [2]string{"x", "x"}), "main.yaml"},
	} {
		t.Run(row.name, func(t *testing.T) {
			body = row.body
			k.refused(t, row.reason)
		})
	}
	body = tarred(t, files...)
	to := func(path string) { k.Spec.Origin.URL = s.URL + path }
	to("/b/none")
	k.refused(t, "status 404")
	to("/b/loop")
	k.refused(t, "redirects")
	to("/b/short")
	k.refused(t, "")
	seen = ""
	to("/b/away") // nobody has named that address
	k.refused(t, "")
	if seen == "elsewhere" {
		t.Error("a redirect led to a loopback address that nobody has named")
	}
	k.Spec.Origin.URL = strings.Replace(s.URL, "://", "://u:"+canary+"@", 1) + "/b/etl.zip"
	k.refused(t, "must have no user")
	k.Spec.Origin.URL = "file:///etc/passwd"
	k.refused(t, "http://")
	k.Place = place(bundle.Origin{Type: bundle.HTTP, URL: "moved"}, connection(t, "rest", "httpx", map[string]any{"base_url": s.URL + "/b", "bearer_token": canary}))
	if got, err := k.sync(t); err != nil || seen != "Bearer "+canary {
		t.Errorf("with a resource: %s, %v, credentials %q", got, err, seen)
	}
	k.Place = place(bundle.Origin{Type: bundle.HTTP, URL: elsewhere.URL + "/x"}, k.Connection)
	seen = ""
	if got, err := k.sync(t); err != nil || seen != "elsewhere" {
		t.Errorf("elsewhere: %s, %v, credentials %q", got, err, seen)
	}
	if left, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "*")); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// A repository of git: a directory, and a server of HTTP.
func TestGit(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("there is no git")
	}
	t.Setenv("TMPDIR", t.TempDir())
	dir := filepath.Join(t.TempDir(), "etl.git")
	work := t.TempDir()
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("git", args...)
		cmd.Dir = work
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org",
			"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=protocol.file.allow", "GIT_CONFIG_VALUE_0=always")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q", "-b", "main", ".")
	git("init", "-q", "--bare", "-b", "main", dir)
	commit := func() string {
		t.Helper()
		git("add", "-A")
		git("commit", "-qm", "x", "--allow-empty")
		git("push", "-q", "-f", dir, "HEAD:refs/heads/main")
		return git("rev-parse", "HEAD")
	}
	put(t, work+"/main.yaml", "main")
	put(t, work+"/etl/main.yaml", "inner")
	put(t, work+"/etl/ü b.yaml", "x")
	put(t, work+"/.gitattributes", "* text eol=crlf filter=evil export-ignore ident\n")
	first := commit()
	backend := &cgi.Handler{Path: "/usr/lib/git-core/git-http-backend", Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(dir), "GIT_HTTP_EXPORT_ALL=1"}, Stderr: &bytes.Buffer{}}
	authorized, led := 0, 0
	inner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		led++
		http.StripPrefix("/open", backend).ServeHTTP(w, req)
	}))
	defer inner.Close()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case strings.HasPrefix(req.URL.Path, "/moved/"):
			http.Redirect(w, req, inner.URL+"/open/"+strings.TrimPrefix(req.URL.RequestURI(), "/moved/"), http.StatusFound)
		case strings.HasPrefix(req.URL.Path, "/says/"):
			_, password, _ := req.BasicAuth()
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			said := "ERR not for " + req.Header.Get("Authorization") + ", which is " + password + ", or " + url.QueryEscape(password)
			_, _ = fmt.Fprintf(w, "001e# service=git-upload-pack\n0000%04x%s", len(said)+4, said)
		case strings.HasPrefix(req.URL.Path, "/open/"):
			http.StripPrefix("/open", backend).ServeHTTP(w, req)
		case req.Header.Get("Authorization") == "Bearer "+canary:
			authorized++
			backend.ServeHTTP(w, req)
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer web.Close()

	k := newKit(t, place(bundle.Origin{Type: bundle.Git, URL: "file://" + dir}, nil))
	all := ".gitattributes=48 bytes etl/main.yaml=inner etl/ü b.yaml=x main.yaml=main"
	k.want(t, "true 4: "+all)
	k.want(t, "false 0: "+all)
	put(t, work+"/main.yaml", "MAIN")
	second := commit()
	changed := strings.Replace(all, "=main", "=MAIN", 1)
	k.want(t, "true 1: "+changed)
	set := func(change func(*bundle.Origin)) {
		o := *k.Spec
		change(&o.Origin)
		k.Spec = &o
	}
	git("tag", "v1", first)
	git("push", "-q", dir, "v1")
	for _, ref := range []string{"v1", "main", first, second, "refs/heads/main"} {
		set(func(o *bundle.Origin) { o.Ref = ref })
		want := map[bool]string{true: all, false: changed}[ref == "v1" || ref == first]
		if got, err := k.sync(t); err != nil || !strings.HasSuffix(got, want) {
			t.Errorf("%s: %s, %v", ref, got, err)
		}
	}
	set(func(o *bundle.Origin) { o.Ref, o.Subdir = "", "etl" })
	k.want(t, "true 0: main.yaml=inner ü b.yaml=x") // both are in the cache
	k.Place = place(bundle.Origin{Type: bundle.Git, URL: "etl.git", Subdir: "etl"}, connection(t, "rest", "httpx", map[string]any{"base_url": web.URL, "bearer_token": canary}))
	k.want(t, "true 0: main.yaml=inner ü b.yaml=x") // of another source
	if authorized == 0 {
		t.Error("no credentials were sent")
	}
	k.Connection = connection(t, "rest", "httpx", map[string]any{"base_url": web.URL, "bearer_token": canary + "x"})
	k.refused(t, "git fetch")
	k.Connection = connection(t, "rest", "httpx", map[string]any{"base_url": web.URL + "/says", "headers": map[string]any{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("u:"+canary+"/&"))}})
	k.refused(t, "git fetch: remote error: not for ***, which is ***, or ***")
	k.Place = place(bundle.Origin{Type: bundle.Git, URL: web.URL + "/moved/etl.git", Subdir: "etl"}, nil)
	k.refused(t, "git fetch")
	if led > 0 {
		t.Error("git was led to a server that nobody has named")
	}
	k.Place = place(bundle.Origin{Type: bundle.Git, URL: web.URL + "/open/etl.git", Subdir: "etl", Ref: first}, nil)
	if got, err := k.sync(t); err != nil || !strings.HasSuffix(got, "main.yaml=inner ü b.yaml=x") {
		t.Errorf("a commit by HTTP: %s, %v", got, err)
	}

	for _, row := range []struct {
		reason string
		change func(*bundle.Origin)
	}{
		{"url", func(o *bundle.Origin) { o.URL = "ext::sh -c touch% /tmp/pwned" }}, {"url", func(o *bundle.Origin) { o.URL = "--upload-pack=touch /tmp/pwned" }}, {"url", func(o *bundle.Origin) { o.URL = "git@example.org:x.git" }},
		{"url", func(o *bundle.Origin) { o.URL = "fd::17" }}, {"url", func(o *bundle.Origin) { o.URL = dir }}, {"url", func(o *bundle.Origin) { o.URL = "git://example.org/x" }}, {"url", func(o *bundle.Origin) { o.URL = "ssh://-oProxyCommand=x/y" }},
		{"must have no user", func(o *bundle.Origin) { o.URL = "https://u:" + canary + "@example.org/x" }}, {"url", func(o *bundle.Origin) { o.URL = "file://elsewhere/x" }},
		{"ref", func(o *bundle.Origin) { o.Ref = "--upload-pack=x" }}, {"ref", func(o *bundle.Origin) { o.Ref = "main:refs/heads/x" }}, {"ref", func(o *bundle.Origin) { o.Ref = "a..b" }}, {"ref", func(o *bundle.Origin) { o.Ref = "main~1^{/x}" }},
		{"git fetch", func(o *bundle.Origin) { o.Ref = "none" }}, {"git", func(o *bundle.Origin) { o.Ref = strings.Repeat("a", 40) }},
		{"subdir", func(o *bundle.Origin) { o.Subdir = "../x" }}, {"subdir", func(o *bundle.Origin) { o.Subdir = "/etc" }}, {"git ls-tree", func(o *bundle.Origin) { o.Subdir = "none" }}, {"git", func(o *bundle.Origin) { o.Subdir = "main.yaml" }},
		{"git fetch", func(o *bundle.Origin) { o.URL = "file:///nowhere.git" }},
	} {
		k.Place = place(bundle.Origin{Type: bundle.Git, URL: "file://" + dir}, nil)
		set(row.change)
		k.refused(t, row.reason)
	}

	k.Place = place(bundle.Origin{Type: bundle.Git, URL: "file://" + dir}, nil)
	hostile := func(reason string, make func()) {
		t.Helper()
		make()
		commit()
		k.refused(t, reason)
		git("rm", "-q", "-r", "--cached", ".")
		git("reset", "-q", "--hard", second)
		git("clean", "-q", "-ffdx")
	}
	hostile("link", func() {
		git("update-index", "--add", "--cacheinfo", "120000,"+git("hash-object", "-w", "main.yaml")+",link")
		_ = os.Symlink("/etc/passwd", work+"/link")
	})
	hostile("submodule", func() { git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", dir, "sub") })
	hostile(`has a \ in it`, func() { put(t, work+`/a\b`, "x") })
	hostile("blank at its end", func() { put(t, work+"/a ", "x") })
	hostile("directories deep", func() { put(t, work+strings.Repeat("/d", 40), "x") })
	hostile("main.yaml", func() { git("mv", "main.yaml", "other.yaml") })
	k.Spec.Origin.Ref = second
	if got, err := k.sync(t); err != nil || !strings.HasSuffix(got, changed) {
		t.Errorf("in the end: %s, %v", got, err)
	}
	if left, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "*")); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}
