package python_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/python"
)

// repository makes a bare repository of two commits below a directory, the first with the tag v1, and gives the directory.
func repository(t *testing.T) (base, first string) {
	t.Helper()
	base = t.TempDir()
	work := t.TempDir()
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", work, "-c", "user.name=x", "-c", "user.email=x@example.com"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	put := func(name, text string) {
		t.Helper()
		path := filepath.Join(work, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	git("init", "-q", "-b", "main")
	put("etl/jobs.py", "from . import helper\ndef run(): return helper.NAME\n")
	put("etl/__init__.py", "")
	put("etl/helper.py", "NAME = 'one'\n")
	put("sub/script.py", "import taskgrove\ntaskgrove.result('script')\n")
	put("requirements.txt", "humanize==4.9.0\n")
	git("add", ".")
	git("commit", "-q", "-m", "one")
	git("tag", "v1")
	first = git("rev-parse", "HEAD")
	put("etl/helper.py", "import humanize\nNAME = humanize.intcomma(2000)\n")
	git("commit", "-q", "-a", "-m", "two")
	git("clone", "-q", "--bare", work, filepath.Join(base, "repo.git"))
	git("--git-dir="+filepath.Join(base, "repo.git"), "config", "uploadpack.allowAnySHA1InWant", "true")
	return base, first
}

// gitServer serves repositories by git's own program over TLS, to who knows the password. The file has its authority.
func gitServer(t *testing.T, base string) (server *httptest.Server, authority string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "--exec-path").Output()
	backend := filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")
	if err == nil {
		_, err = os.Stat(backend)
	}
	if err != nil {
		t.Skipf("git has no server for HTTP on this machine: %v", err)
	}
	handler := &cgi.Handler{Path: backend, Env: []string{"GIT_PROJECT_ROOT=" + base, "GIT_HTTP_EXPORT_ALL=1"}, Stderr: t.Output()}
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch user, password, _ := r.BasicAuth(); {
		case strings.HasPrefix(r.URL.Path, "/elsewhere"):
			http.Redirect(w, r, "https://169.254.169.254/", http.StatusFound)
		case strings.HasPrefix(r.URL.Path, "/locked") && (user != "me" || password != "s3cr3t"):
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		default:
			r.URL.Path = strings.TrimPrefix(r.URL.Path, "/locked")
			handler.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	authority = filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(authority, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return server, authority
}

func TestGit(t *testing.T) {
	base, first := repository(t)
	server, authority := gitServer(t, base)
	e := newExecutor(t, func(c *python.Config) { c.CAFile = authority })
	at := func(path string) string { return server.URL + path }
	locked := strings.Replace(at("/locked/repo.git"), "https://", "https://me@", 1)
	for name, row := range map[string]struct{ git, more, want string }{
		"the newest, with its requirements": {fmt.Sprintf(`{"url": %q}`, at("/repo.git")), `"function": "etl.jobs:run"`, `"2,000"`},
		"a tag":                             {fmt.Sprintf(`{"url": %q, "ref": "v1"}`, at("/repo.git")), `"function": "etl.jobs:run"`, `"one"`},
		"a commit":                          {fmt.Sprintf(`{"url": %q, "ref": %q}`, at("/repo.git"), first), `"function": "etl.jobs:run"`, `"one"`},
		"a directory":                       {fmt.Sprintf(`{"url": %q, "path": "etl", "ref": "v1"}`, at("/repo.git")), `"function": "helper:NAME.upper"`, `"ONE"`},
		"a script":                          {fmt.Sprintf(`{"url": %q}`, at("/repo.git")), `"file": "sub/script.py"`, `"script"`},
		"with a token":                      {fmt.Sprintf(`{"url": %q, "token": "s3cr3t"}`, locked), `"file": "sub/script.py"`, `"script"`},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, err := run(t, e, `{"git": `+row.git+`, `+row.more+`}`)
			if err != nil || got != row.want {
				t.Errorf("got %s, %v, want %s", got, err, row.want)
			}
		})
	}
	for name, row := range map[string]struct {
		git, want string
		permanent bool
	}{
		"a wrong token":        {fmt.Sprintf(`{"url": %q, "token": "wr0ng"}`, locked), "git ended with exit code 128", true},
		"no such branch":       {fmt.Sprintf(`{"url": %q, "ref": "none"}`, at("/repo.git")), "couldn't find remote ref none", true},
		"no such directory":    {fmt.Sprintf(`{"url": %q, "path": "none"}`, at("/repo.git")), `the repository has no directory "none"`, true},
		"a redirect elsewhere": {fmt.Sprintf(`{"url": %q}`, at("/elsewhere/repo.git")), "git ended with exit code 128", true},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := run(t, e, `{"git": `+row.git+`, "function": "etl.jobs:run"}`)
			if err == nil || !strings.Contains(err.Error(), row.want) || executors.IsPermanent(err) != row.permanent || strings.Contains(err.Error(), "wr0ng") {
				t.Errorf("got %v (permanent: %v), want %s", err, executors.IsPermanent(err), row.want)
			}
		})
	}
}

// TestProgramsGoThroughTheGuard: git and uv themselves connect to nothing that the guard refuses.
func TestProgramsGoThroughTheGuard(t *testing.T) {
	needUV(t)
	var asked atomic.Int32
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			asked.Add(1)
			_ = c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	e := python.New(python.Config{Allow: true, Cache: shared}, network.New(network.Config{}), nil)
	for _, url := range []string{
		"https://127.0.0.1:" + port + "/x", "https://localhost:" + port + "/x", "https://2130706433:" + port + "/x", "https://0x7f.1:" + port + "/x",
		"https://[::1]:" + port + "/x", "https://[::ffff:127.0.0.1]:" + port + "/x", "https://0:" + port + "/x", "ssh://127.0.0.1:" + port + "/x",
	} {
		in := map[string]any{"function": "m:f", "git": map[string]any{"url": url}}
		if strings.HasPrefix(url, "ssh") {
			in["git"].(map[string]any)["known_hosts"] = "x"
		}
		_, _, err := run(t, e, in)
		if err == nil || strings.HasPrefix(url, "https") && (!executors.IsPermanent(err) || !strings.Contains(err.Error(), "is not allowed")) {
			t.Errorf("%s: got %v, want it refused for good", url, err)
		}
	}
	for _, requirement := range []string{"x @ http://127.0.0.1:" + port + "/x-1-py3-none-any.whl", "x @ https://169.254.169.254/x-1-py3-none-any.whl"} {
		_, _, err := run(t, e, map[string]string{"script": "1", "requirements": requirement})
		if err == nil || !executors.IsPermanent(err) || !strings.Contains(err.Error(), "is not allowed") {
			t.Errorf("%s: got %v, want it refused for good", requirement, err)
		}
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("%d connections went where the guard refuses", n)
	}
}

// TestGitOverSSH: a real sshd, whose key the task knows; a server with another key is refused.
func TestGitOverSSH(t *testing.T) {
	const sshd = "/usr/sbin/sshd"
	if _, err := os.Stat(sshd); err != nil {
		t.Skip("there is no sshd on this machine")
	}
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("there is no ssh on this machine")
	}
	base, _ := repository(t)
	dir := t.TempDir()
	keygen := func(name string) (private, public string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		a, errA := os.ReadFile(file)
		b, errB := os.ReadFile(file + ".pub")
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		return string(a), strings.Join(strings.Fields(string(b))[:2], " ")
	}
	_, host := keygen("host")
	_, other := keygen("other")
	key, user := keygen("user")
	if err := os.WriteFile(filepath.Join(dir, "authorized"), []byte(user+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() { // inetd mode: one sshd for each connection
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			file, err := c.(*net.TCPConn).File()
			if err != nil {
				return
			}
			cmd := exec.CommandContext(t.Context(), sshd, "-i", "-f", "/dev/null", "-h", filepath.Join(dir, "host"), "-o", "StrictModes=no",
				"-o", "AuthorizedKeysFile="+filepath.Join(dir, "authorized"), "-o", "UsePAM=no", "-o", "PermitRootLogin=yes")
			cmd.Stdin, cmd.Stdout = file, file
			_ = cmd.Run()
			_ = file.Close()
			_ = c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	e := newExecutor(t, nil)
	me := os.Getenv("USER")
	if me == "" {
		me = "root"
	}
	in := func(known string) map[string]any {
		return map[string]any{"file": "sub/script.py", "git": map[string]any{
			"url": "ssh://" + me + "@127.0.0.1:" + port + base + "/repo.git", "key": key, "known_hosts": "[127.0.0.1]:" + port + " " + known,
		}}
	}
	if got, _, err := run(t, e, in(host)); err != nil || got != `"script"` {
		t.Errorf("got %s, %v", got, err)
	}
	if _, _, err := run(t, e, in(other)); err == nil || !strings.Contains(err.Error(), "Host key verification failed") || !executors.IsPermanent(err) {
		t.Errorf("another host key: got %v", err)
	}
}

// tarOf is a tar file with a file.
func tarOf(t *testing.T, name, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(text)), Mode: 0o644})
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestArchive(t *testing.T) {
	good, slip := tarOf(t, "pkg/m.py", "def f(): return 'archived'\n"), tarOf(t, "../evil.py", "x")
	sums := map[string]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/good.tar":
			_, _ = w.Write(good)
		case "/slip.tar":
			_, _ = w.Write(slip)
		case "/busy.tar":
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()
	for name, data := range map[string][]byte{"good": good, "slip": slip} {
		sum := sha256.Sum256(data)
		sums[name] = hex.EncodeToString(sum[:])
	}
	file := filepath.Join(t.TempDir(), "good.tar")
	if err := os.WriteFile(file, good, 0o600); err != nil {
		t.Fatal(err)
	}
	e := newExecutor(t, nil)
	for name, archive := range map[string]string{
		"a URL":  fmt.Sprintf(`{"url": "%s/good.tar", "sha256": %q, "directory": "pkg"}`, server.URL, sums["good"]),
		"a path": fmt.Sprintf(`{"path": %q, "sha256": %q, "directory": "pkg"}`, file, strings.ToUpper(sums["good"])),
	} {
		if got, _, err := run(t, e, `{"function": "m:f", "archive": `+archive+`}`); err != nil || got != `"archived"` {
			t.Errorf("%s: got %s, %v", name, got, err)
		}
	}
	for want, row := range map[string]struct {
		archive   string
		permanent bool
	}{
		"archive: its SHA-256 is " + sums["good"] + ", and must be " + sums["slip"]: {fmt.Sprintf(`{"url": "%s/good.tar", "sha256": %q}`, server.URL, sums["slip"]), true},
		`archive entry "../evil.py" has a name that is not allowed`:                 {fmt.Sprintf(`{"url": "%s/slip.tar", "sha256": %q}`, server.URL, sums["slip"]), true},
		"get the archive: the server answered 404 Not Found":                        {fmt.Sprintf(`{"url": "%s/none.tar", "sha256": %q}`, server.URL, sums["good"]), true},
		"get the archive: the server answered 503 Service Unavailable":              {fmt.Sprintf(`{"url": "%s/busy.tar", "sha256": %q}`, server.URL, sums["good"]), false},
		`the archive has no directory "none"`:                                       {fmt.Sprintf(`{"path": %q, "sha256": %q, "directory": "none"}`, file, sums["good"]), true},
	} {
		_, _, err := run(t, e, `{"function": "m:f", "archive": `+row.archive+`}`)
		if err == nil || !strings.Contains(err.Error(), want) || executors.IsPermanent(err) != row.permanent {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, _, err := run(t, python.New(python.Config{Allow: true, Cache: shared}, network.New(network.Config{}), nil), fmt.Sprintf(
		`{"function": "m:f", "archive": {"url": "%s/good.tar", "sha256": %q}}`, server.URL, sums["good"])); err == nil || !strings.Contains(err.Error(), "is not allowed") {
		t.Errorf("loopback: got %v, want it refused", err)
	}
}
