package python

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/external/protocol"
	"github.com/taskgrove/taskgrove/executors/guardian"
)

// Bounds of what is fetched.
const (
	maxArchiveBytes = 256 << 20
	maxTreeBytes    = 1 << 30
	maxTreeEntries  = 50_000
)

// job is one attempt on its way to being run.
type job struct {
	e    *Executor
	call *executors.Call
	in   *input
	dir  string // its own, gone with the attempt

	script string // path of the script
	tree   string // directory that modules are looked for in
	way    *gateway
}

// close ends what the preparation has open.
func (j *job) close() {
	if j.way != nil {
		j.way.close()
	}
}

// gateway is the way out of the programs that the job starts, opened at first use.
func (j *job) gateway() (*gateway, error) {
	if j.way == nil {
		way, err := openGateway(j.e.net.Pool(j.call.Pool), trustedHosts())
		if err != nil {
			return nil, err
		}
		j.way = way
	}
	return j.way, nil
}

// fetch puts the code in its place.
func (j *job) fetch(ctx context.Context) error {
	source := filepath.Join(j.dir, "source")
	if err := os.Mkdir(source, 0o700); err != nil {
		return err
	}
	j.tree = source
	within := ""
	var err error
	switch {
	case j.in.Git != nil:
		within, err = j.in.Git.Path, j.clone(ctx, source)
	case j.in.Archive != nil:
		within, err = j.in.Archive.Directory, j.unpack(ctx, source)
	case j.in.Source != "":
		module, _, _ := strings.Cut(j.in.Function, ":")
		err = os.WriteFile(filepath.Join(source, module+".py"), []byte(j.in.Source), 0o600)
	case j.in.Script != "":
		j.script = filepath.Join(source, "script.py")
		return os.WriteFile(j.script, []byte(j.in.Script), 0o600)
	}
	if err != nil {
		return err
	}
	if within != "" {
		j.tree = filepath.Join(source, filepath.FromSlash(path.Clean(within)))
		if info, err := os.Stat(j.tree); err != nil || !info.IsDir() {
			return invalid("%s has no directory %.200q", j.origin(), within)
		}
	}
	switch {
	case j.in.File != "":
		j.script = filepath.Join(j.tree, filepath.FromSlash(path.Clean(j.in.File)))
		if info, err := os.Stat(j.script); err != nil || !info.Mode().IsRegular() {
			return invalid("file: %s has no file %.200q", j.origin(), j.in.File)
		}
	case j.in.Script != "":
		j.script = filepath.Join(j.tree, "script.py")
		return os.WriteFile(j.script, []byte(j.in.Script), 0o600)
	}
	return nil
}

// origin is what the code comes from, in an error.
func (j *job) origin() string {
	if j.in.Git != nil {
		return "the repository"
	}
	return "the archive"
}

// run runs a program of the preparation to its end. What it writes into a directory may have so many bytes, else the program is ended with the
// error tooLarge.
func (j *job) run(ctx context.Context, program string, args, env []string, dir string, most int64, tooLarge error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		watch(ctx, dir, most, func() { cancel(tooLarge) })
	}()
	out := executors.NewOutput(64<<10, nil, "")
	status, err := guardian.Run(ctx, guardian.Command{
		Path: program, Args: append([]string{filepath.Base(program)}, args...), Env: env, Dir: j.dir,
		Stdout: out, Stderr: out, Lease: j.call.Lease, Grace: j.e.cfg.Grace,
	})
	cancel(nil)
	<-done
	switch {
	case errors.Is(err, guardian.ErrLeaseEnded):
		return executors.ErrLeaseLost
	case err != nil:
		return err
	case status.Code != 0 || status.Signal != 0:
		return &toolError{filepath.Base(program), protocol.ExitOf(status), presentable(out.String()), j.refusal()}
	}
	return nil
}

// refusal is why the guard of addresses refused a connection of the preparation; nil: it did not.
func (j *job) refusal() error {
	if j.way == nil {
		return nil
	}
	return j.way.refusal()
}

// toolError reports a program of the preparation that failed.
type toolError struct {
	program, exit, text string
	refused             error // a connection was refused, which another attempt can't change
}

func (e *toolError) Error() string {
	text := fmt.Sprintf("%s ended with %s", e.program, e.exit)
	if e.refused != nil {
		text += ": " + e.refused.Error()
	}
	if e.text != "" {
		text += ": " + e.text
	}
	return text
}

// passing reports whether it may have been the network, so that another attempt can help.
func (e *toolError) passing() bool {
	if e.refused != nil {
		return false
	}
	text := strings.ToLower(e.text)
	for _, word := range []string{
		"error sending request", "timed out", "timeout", "connection", "dns error", "could not resolve", "temporar", "502 ", "503 ", "504 ", "429 ",
		"too many requests", "early eof", "unexpected disconnect", "request failed after", "no space left",
	} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// credentials are a URL's user and password.
var credentials = regexp.MustCompile(`://[^/\s@]*@`)

// presentable is the end of a program's output without the passwords of URLs.
func presentable(text string) string {
	const most = 2000
	text = credentials.ReplaceAllString(text, "://***@")
	if len(text) > most {
		text = "…" + strings.ToValidUTF8(text[len(text)-most:], "")
	}
	return text
}

// watchEvery is how often a directory that grows is looked at.
const watchEvery = 500 * time.Millisecond

// watch calls over once a directory has more bytes than it may, until the context ends.
func watch(ctx context.Context, dir string, most int64, over func()) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if sizeOf(dir) > most {
				over()
				return
			}
		}
	}
}

// sizeOf is how many bytes the files below a directory have. What goes meanwhile counts for nothing.
func sizeOf(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			if info, err := entry.Info(); err == nil {
				total += info.Size()
			}
		}
		return nil
	})
	return total
}
