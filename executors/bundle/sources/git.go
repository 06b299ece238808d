package sources

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/taskgrove/taskgrove/executors/bundle"
	"github.com/taskgrove/taskgrove/executors/headers"
	"github.com/taskgrove/taskgrove/executors/secrets"
)

// repository is one of git, read by the program git: no commit is ever checked out, so that hooks, filters and attributes of a repository have no effect. Submodules are refused.
type repository struct {
	web     *web // whose credentials are used
	url     string
	ref     string
	sub     string
	dir     string
	blobs   map[string]string // names of objects by path
	list    []bundle.File
	fetched bool
}

// Bounds of git.
const (
	gitTimeout = 10 * time.Minute // of a fetch
	gitSilence = 60               // seconds in which next to nothing comes
	maxPack    = 4 << 20          // blocks of half a KiB or one, as the shell counts
)

var (
	gitRef    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._/+@-]{0,254}$`)
	gitCommit = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
	protocols = map[string]bool{"https": true, "http": true, "ssh": true, "file": true}
)

func openRepository(at *bundle.Place) (*repository, error) {
	o := &at.Spec.Origin
	w, err := openWeb(at, false)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(o.URL)
	if err == nil && !u.IsAbs() && u.Host == "" && w.base != nil {
		u, err = w.resolve(o.URL)
	}
	ref := o.Ref
	if ref == "" {
		ref = "HEAD"
	}
	_, password := "", false
	if err == nil && u.User != nil {
		_, password = u.User.Password()
	}
	switch {
	case err != nil || !protocols[u.Scheme] || (u.Host == "") != (u.Scheme == "file") || strings.HasPrefix(u.Host, "-"):
		return nil, errors.New("bundle.source.url: must begin with https://, http://, ssh:// or file:///")
	case u.User != nil && (u.Scheme != "ssh" || password || strings.HasPrefix(u.User.Username(), "-")):
		return nil, errors.New("bundle.source.url: must have no user in it, but of ssh: name a resource of the kind rest")
	case !gitRef.MatchString(ref) || strings.Contains(ref, "..") || strings.HasSuffix(ref, ".lock") || strings.Contains(ref, "@{"):
		return nil, errors.New("bundle.source.ref: must be a branch, a tag or a whole commit")
	case o.Subdir != "" && o.Subdir != "." && (!fs.ValidPath(o.Subdir) || strings.ContainsAny(o.Subdir, ":\x00")):
		return nil, errors.New("bundle.source.subdir: must be a path of the repository")
	}
	if _, err := exec.LookPath("git"); err != nil {
		return nil, errors.New("bundle.source.type: there is no program git on this host")
	}
	dir, err := os.MkdirTemp("", "bundle-")
	if err != nil {
		return nil, err
	}
	return &repository{web: w, url: u.String(), ref: ref, sub: strings.TrimPrefix(o.Subdir, "."), dir: dir}, nil
}

// command is git with arguments, as little as possible of this host's settings, and only the protocols that are meant.
func (r *repository) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", fmt.Sprintf(`ulimit -f %d && exec git "$@"`, maxPack), "git"}, args...)...)
	cmd.Dir = r.dir
	settings := [][2]string{
		{"protocol.allow", "never"}, {"protocol.https.allow", "always"}, {"protocol.http.allow", "always"}, {"protocol.ssh.allow", "always"}, {"protocol.file.allow", "always"},
		{"core.hooksPath", "/dev/null"}, {"core.fsmonitor", "false"}, {"credential.helper", ""}, {"transfer.fsckObjects", "true"}, {"fetch.unpackLimit", "1"}, {"fetch.recurseSubmodules", "false"},
		{"http.followRedirects", "false"}, // git knows no guard of addresses
		{"http.lowSpeedLimit", "1"}, {"http.lowSpeedTime", strconv.Itoa(gitSilence)}, {"gc.auto", "0"}, {"maintenance.auto", "false"}, {"safe.directory", "*"},
	}
	if u, err := url.Parse(r.url); err == nil && r.web.base != nil && headers.SameOrigin(u, r.web.base) {
		for name, value := range r.web.headers {
			settings = append(settings, [2]string{"http.extraHeader", name + ": " + value})
		}
	}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir, "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=false", "SSH_ASKPASS=false",
		"GIT_SSH_COMMAND=ssh -o BatchMode=yes -o StrictHostKeyChecking=yes", "GIT_DIR=" + filepath.Join(r.dir, "git"), "GIT_ATTR_NOSYSTEM=1", "GIT_NO_REPLACE_OBJECTS=1", "GIT_NO_LAZY_FETCH=1"}
	for _, name := range []string{"SSH_AUTH_SOCK", "https_proxy", "HTTPS_PROXY", "http_proxy", "no_proxy", "NO_PROXY", "GIT_SSL_CAINFO", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if value := os.Getenv(name); value != "" {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.Env = append(cmd.Env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(settings)))
	for i, s := range settings {
		cmd.Env = append(cmd.Env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, s[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, s[1]))
	}
	ownGroup(cmd)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// run runs git, and gives what it prints, as far as max bytes.
func (r *repository) run(ctx context.Context, max int64, args ...string) ([]byte, error) {
	cmd := r.command(ctx, args...)
	var out, notes bytes.Buffer
	cmd.Stdout, cmd.Stderr = &limited{&out, max}, &limited{&notes, 8 << 10}
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, fmt.Errorf("git %s: %s", args[0], r.said(notes.String(), err))
	case int64(out.Len()) >= max:
		return nil, fmt.Errorf("git %s: what it prints is larger than %d bytes", args[0], max)
	}
	return out.Bytes(), nil
}

// said is what git says of a failure: its last line, without what is secret.
func (r *repository) said(notes string, err error) string {
	var hidden []string // servers say what they were told
	for _, value := range r.web.headers {
		hidden = append(hidden, value)
		scheme, token, has := strings.Cut(value, " ")
		if !has {
			continue
		}
		hidden = append(hidden, token)
		if plain, err := base64.StdEncoding.DecodeString(token); err == nil && strings.EqualFold(scheme, "Basic") {
			_, password, _ := strings.Cut(string(plain), ":")
			hidden = append(hidden, string(plain), password)
		}
	}
	notes = secrets.NewRedactor(hidden...).Text(notes)
	lines := strings.Split(strings.TrimSpace(notes), "\n")
	for _, line := range lines {
		if rest, is := strings.CutPrefix(line, "fatal: "); is {
			return fmt.Sprintf("%.500s", rest)
		}
	}
	if last := lines[len(lines)-1]; last != "" {
		return fmt.Sprintf("%.500s", last)
	}
	return err.Error()
}

// limited keeps what is written, as far as its bound.
type limited struct {
	to   *bytes.Buffer
	left int64
}

func (l *limited) Write(p []byte) (int, error) {
	take := min(int64(len(p)), l.left)
	l.to.Write(p[:take])
	l.left -= take
	return len(p), nil
}

// List implements [bundle.Source].
func (r *repository) List(ctx context.Context) ([]bundle.File, error) {
	if r.blobs != nil {
		return r.list, nil
	}
	if err := r.fetch(ctx); err != nil {
		return nil, failed(err)
	}
	if err := r.read(ctx); err != nil {
		r.blobs = nil
		return nil, failed(err)
	}
	return r.list, nil
}

// fetch brings the commit.
func (r *repository) fetch(ctx context.Context) error {
	if r.fetched {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, gitTimeout, fmt.Errorf("git did not end within %v", gitTimeout))
	defer cancel()
	const little = 1 << 20
	if _, err := r.run(ctx, little, "init", "--quiet", "--bare", "--template=", filepath.Join(r.dir, "git")); err != nil {
		return err
	}
	get := func(args ...string) error {
		_, err := r.run(ctx, little, append([]string{"fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--no-auto-maintenance"}, args...)...)
		return err
	}
	err := get("--depth=1", "--", r.url, "+"+r.ref+":refs/bundle")
	if err != nil && ctx.Err() == nil && gitCommit.MatchString(r.ref) { // some servers give no commits by their names
		if all := get("--", r.url, "+refs/heads/*:refs/all/*"); all == nil {
			_, err = r.run(ctx, little, "update-ref", "refs/bundle", r.ref)
		}
	}
	r.fetched = err == nil
	return err
}

const maxTree = 64 << 20 // bytes of the list of a tree

// read reads the tree, and what all files are.
func (r *repository) read(ctx context.Context) error {
	tree := "refs/bundle^{commit}:" + r.sub
	text, err := r.run(ctx, maxTree, "ls-tree", "-r", "-z", "-l", "--full-tree", tree)
	if err != nil {
		return err
	}
	r.blobs, r.list = map[string]string{}, nil
	var total int64
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(text), "\x00"), "\x00") {
		if entry == "" {
			continue
		}
		about, name, _ := strings.Cut(entry, "\t")
		parts := strings.Fields(about)
		if len(parts) != 4 {
			return errors.New("git ls-tree: its answer can't be read")
		}
		mode, kind, object := parts[0], parts[1], parts[2]
		if kind != "blob" {
			return fmt.Errorf("%.200q is a submodule, which bundles don't have", name)
		}
		if bad := bundle.BadPath(name); bad != "" {
			return fmt.Errorf("the path %.200q %s", name, bad)
		}
		size, err := strconv.ParseInt(parts[3], 10, 64)
		if err != nil {
			return errors.New("git ls-tree: its answer can't be read")
		}
		if total += size; total > bundle.MaxBytes {
			return fmt.Errorf("all files together are larger than %d bytes", int64(bundle.MaxBytes))
		}
		r.blobs[name] = object
		r.list = append(r.list, bundle.File{Path: name, Size: size, Link: mode != "100644" && mode != "100755"})
		if len(r.list) > bundle.MaxFiles {
			return nil // which is refused
		}
	}
	return r.digest(ctx)
}

// digest finds out the SHA-256 of all files.
func (r *repository) digest(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := r.command(ctx, "cat-file", "--batch")
	var names strings.Builder
	for _, f := range r.list {
		names.WriteString(r.blobs[f.Path] + "\n")
	}
	cmd.Stdin = strings.NewReader(names.String())
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = r.sums(bufio.NewReaderSize(pipe, 1<<16))
	if err != nil {
		cancel()
	}
	if ended := cmd.Wait(); err == nil {
		err = ended
	}
	if err != nil {
		return fmt.Errorf("git cat-file: %w", err)
	}
	return nil
}

func (r *repository) sums(in *bufio.Reader) error {
	for i := range r.list {
		f := &r.list[i]
		head, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		if want := fmt.Sprintf("%s blob %d\n", r.blobs[f.Path], f.Size); head != want {
			return errors.New("its answer can't be read")
		}
		sum := sha256.New()
		if _, err := io.CopyN(sum, in, f.Size); err != nil {
			return err
		}
		if _, err := in.Discard(1); err != nil {
			return err
		}
		f.SHA256 = hex.EncodeToString(sum.Sum(nil))
	}
	return nil
}

// Open implements [bundle.Source].
func (r *repository) Open(ctx context.Context, f bundle.File) (io.ReadCloser, error) {
	if _, err := r.List(ctx); err != nil {
		return nil, err
	}
	object := r.blobs[path.Clean(f.Path)]
	if object == "" {
		return nil, failed(fmt.Errorf("%.200q: %w", f.Path, fs.ErrNotExist))
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := r.command(ctx, "cat-file", "blob", object)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, failed(err)
	}
	return &blob{out, cmd, cancel, sync.Once{}}, nil
}

// blob is what a git prints.
type blob struct {
	io.Reader
	cmd    *exec.Cmd
	cancel context.CancelFunc
	once   sync.Once
}

// Close ends git.
func (b *blob) Close() error {
	b.once.Do(func() {
		b.cancel()
		_ = b.cmd.Wait() // it was stopped, unless it was done
	})
	return nil
}

// Close implements [bundle.Source].
func (r *repository) Close() error {
	r.web.close()
	return os.RemoveAll(r.dir)
}

// ownGroup ends what git has started together with it.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
