package zipfile

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/archive"
	"github.com/taskgrove/taskgrove/executors/guardian"
	"github.com/taskgrove/taskgrove/executors/secrets"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// words are those of a command, or its program alone.
type words []string

// UnmarshalJSON implements [json.Unmarshaler].
func (w *words) UnmarshalJSON(text []byte) error {
	var one *string
	if json.Unmarshal(text, &one) != nil {
		return json.Unmarshal(text, (*[]string)(w))
	}
	if *w = nil; one != nil && *one != "" {
		*w = words{*one}
	}
	return nil
}

// byProgram reports whether a program does it.
func (s *setup) byProgram() bool { return s.Driver == driverExternal || s.Driver == driverOS }

// places are what stands for something in a command of the driver external: {files} as an argument of its own.
var places = regexp.MustCompile(`\{[a-z_]*\}`)

const (
	maxArgs    = 1 << 20 // bytes of a command line
	maxSaid    = 4 << 10 // bytes of what a program says that are shown
	methodAES  = 99      // of files that AES has encrypted (APPNOTE.TXT 4.4.5)
	flagSecret = 1       // of files that are encrypted
)

// checkCommands tells what is wrong with the commands of the drivers external and os, and completes those of os.
func (s *setup) checkCommands(fault func(string, ...any)) {
	if s.Quiet != nil && s.Driver != driverOS {
		fault("quiet: only the driver os has it")
	}
	switch {
	case s.Driver == driverOS:
		s.checkOS(fault)
		return
	case s.Driver != driverExternal && len(s.ZipCmd)+len(s.UnzipCmd) > 0:
		fault("zip_cmd, unzip_cmd: only the drivers external and os have them")
	}
	if s.Driver != driverExternal {
		return
	}
	for _, c := range []struct {
		field      string
		argv       words
		known      []string
		must, orIt string
	}{
		{"zip_cmd", s.ZipCmd, []string{"{archive}", "{password}", "{base_dir}", "{files}"}, "{archive}", "{files} {base_dir}"},
		{"unzip_cmd", s.UnzipCmd, []string{"{archive}", "{password}", "{dest}"}, "{archive}", "{dest}"},
	} {
		if len(c.argv) == 0 || c.argv[0] == "" {
			fault("%s is required in inputs for the driver external", c.field)
			continue
		}
		all := map[string]bool{}
		for i, arg := range c.argv {
			for _, place := range places.FindAllString(arg, -1) {
				switch all[place] = true; {
				case i == 0:
					fault("%s[0]: must be a program", c.field)
				case !slices.Contains(c.known, place):
					fault("%s[%d]: there is no %s: there are %s", c.field, i, place, strings.Join(c.known, ", "))
				case place == "{files}" && arg != place:
					fault("%s[%d]: {files} must be an argument of its own", c.field, i)
				}
			}
		}
		if !all[c.must] || !slices.ContainsFunc(strings.Fields(c.orIt), func(place string) bool { return all[place] }) {
			fault("%s: must have %s and %s", c.field, c.must, strings.ReplaceAll(c.orIt, " ", " or "))
		}
		if s.Password != "" && !all["{password}"] {
			fault("%s: has no {password}, and there is a password", c.field)
		}
	}
	if s.Encryption != "" || s.given {
		fault("encryption, aes_strength: the commands say that, for the driver external")
	}
}

// checkOS makes whole commands of the programs of the driver os: Info-ZIP's, or what takes the same options. The names of files are in none of them, as what zip packs lies alone.
func (s *setup) checkOS(fault func(string, ...any)) {
	quiet := []string{"-q"}
	if !s.Quiet.Or(true) {
		quiet = nil
	}
	for _, c := range []struct {
		field, program string
		argv           *words
		rest           []string
	}{
		{"zip_cmd", "zip", &s.ZipCmd, []string{"-r", "-D", "{archive}", "."}}, {"unzip_cmd", "unzip", &s.UnzipCmd, []string{"{archive}", "-d", "{dest}"}},
	} {
		if len(*c.argv) > 1 {
			fault("%s: must be the name of a program, as a text, for the driver os; external takes whole commands", c.field)
		}
		if len(*c.argv) == 0 {
			*c.argv = words{c.program}
		}
		*c.argv = slices.Concat((*c.argv)[:1], quiet, c.rest)
	}
	if s.Encryption != "" || s.given {
		fault("encryption, aes_strength: the driver os has none")
	}
}

// secretly are the variables that give the password to a program. Those of others are read by their owner alone; command lines are read by all.
func (s *setup) secretly() []string {
	if s.Driver != driverOS || s.Password == "" {
		return nil
	}
	return []string{`UNZIP=-P "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s.Password) + `"`}
}

// patterns are names as patterns of unzip that match nothing else, and that it takes for no options.
func patterns(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = unzipPattern.ReplaceAllString(name, `\$0`)
	}
	return out
}

var unzipPattern = regexp.MustCompile(`^-|[*?\[\]]`)

// filled is a command with values in their places. Without a password, an argument for it is left out, together with its option before it.
func (s *setup) filled(argv []string, values map[string]string, files []string) []string {
	var out []string
	for _, arg := range argv {
		switch {
		case arg == "{files}":
			for _, name := range files {
				if strings.HasPrefix(name, "-") || strings.HasPrefix(name, "@") {
					name = "./" + name // it is no option, and no list of names
				}
				out = append(out, name)
			}
			continue
		case s.Password == "" && strings.Contains(arg, "{password}"):
			if arg == "{password}" && len(out) > 1 && strings.HasPrefix(out[len(out)-1], "-") {
				out = out[:len(out)-1]
			}
			continue
		}
		out = append(out, places.ReplaceAllStringFunc(arg, func(place string) string { return values[place] }))
	}
	return out
}

// external runs a program for an attempt, as external.process does.
func (c *Config) external(ctx context.Context, call *executors.Call, s *setup, field, dir string, argv []string) error {
	size := 0
	for _, arg := range argv {
		size += len(arg) + 1
	}
	if size > maxArgs {
		return executors.WithKind(executors.Permanent(fmt.Errorf("%s: the names of all files are too long for a command: write {base_dir} instead of {files}", field)), KindFile)
	}
	env, err := c.programs.Environment(call, nil)
	if err != nil {
		return executors.Permanent(err)
	}
	env = append(env, s.secretly()...)
	program, err := c.programs.Program(argv, env, dir)
	if err != nil {
		return executors.Permanent(fmt.Errorf("%s: %w", field, err))
	}
	var said tail
	status, err := guardian.Run(ctx, guardian.Command{Path: program, Args: argv, Env: env, Dir: dir, Stdout: &said, Stderr: &said, Lease: call.Lease, Grace: c.Command.Grace})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("%s: %w", field, err)
	case status.Signal != 0:
		return executors.WithKind(fmt.Errorf("%s: the program was ended by signal %d (%s)%s", field, int(status.Signal), status.Signal, said.shown(s.Password)), executors.KindExit)
	case status.Code != 0:
		return executors.WithKind(fmt.Errorf("%s: the program ended with exit code %d%s", field, status.Code, said.shown(s.Password)), executors.KindExit)
	}
	return nil
}

// tail keeps the end of what a program says.
type tail struct {
	text []byte
	cut  bool // what stood before text is gone
}

func (t *tail) Write(p []byte) (int, error) {
	if t.text = append(t.text, p...); len(t.text) > 4*maxSaid {
		t.text, t.cut = bytes.Clone(t.text[len(t.text)-2*maxSaid:]), true
	}
	return len(p), nil
}

// shown is what was said, without the password, however it is written.
func (t *tail) shown(password string) string {
	said := string(t.text)
	if t.cut { // it may begin with a part of the password
		_, said, _ = strings.Cut(said[min(len(password), len(said)):], "\n")
	}
	if password != "" {
		said = strings.ReplaceAll(secrets.NewRedactor(password).Text(said), password, "***") // a Redactor leaves what is very short
	}
	text := strings.TrimSpace(strings.ToValidUTF8(said, "?"))
	if len(text) > maxSaid {
		text = "… " + strings.ToValidUTF8(text[len(text)-maxSaid:], "")
	}
	if text == "" {
		return ""
	}
	return ": " + text
}

// packExternally has a program make the archive of files that nothing else lies beside, and looks at what it has made.
func (p *packing) packExternally(to io.Writer) error {
	base, err := p.w.Scratch("files")
	if err != nil {
		return fileError(err)
	}
	made, err := p.w.Scratch("archive")
	if err != nil {
		return fileError(err)
	}
	root, err := os.OpenRoot(base)
	if err != nil {
		return fileError(err)
	}
	defer func() { _ = root.Close() }()
	names := slices.Sorted(maps.Keys(p.files))
	for _, name := range names {
		if err := p.lay(root, name, p.files[name]); err != nil {
			return err
		}
	}
	at := filepath.Join(made, "archive.zip")
	argv := p.in.filled(p.in.ZipCmd, map[string]string{"{archive}": at, "{password}": p.in.Password, "{base_dir}": base}, names)
	if p.in.Driver == driverOS && p.in.stored() {
		argv = slices.Insert(argv, 1, "-0")
	}
	if err := p.cfg.external(p.ctx, p.call, &p.in.setup, "zip_cmd", base, argv); err != nil {
		return err
	}
	f, err := os.OpenFile(at, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0) // of a pipe it does not wait for the other end
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return wrongArchive("there is no archive where {archive} says")
	case errors.Is(err, syscall.ELOOP):
		return wrongArchive("what is where {archive} says is a link")
	case err != nil:
		return fileError(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		return wrongArchive("what is where {archive} says is no plain file")
	}
	if err == nil {
		err = p.judge(f, info.Size(), names)
	}
	if err != nil {
		return err
	}
	_, err = poured(p.ctx, to, io.NewSectionReader(f, 0, info.Size()))
	return fileError(p.dest.Err("dest_path", err))
}

func wrongArchive(format string, args ...any) error {
	return executors.WithKind(executors.Permanent(fmt.Errorf("zip_cmd: the program has made what it should not: "+format, args...)), KindArchive)
}

// lay copies a file to where the program finds it.
func (p *packing) lay(root *os.Root, name string, at workdir.Spot) error {
	in, info, err := regular(at, "items")
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	to := filepath.FromSlash(name)
	if err := root.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fileError(err)
	}
	out, err := root.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600|info.Mode().Perm()&0o777)
	if err != nil {
		return fileError(err)
	}
	_, err = poured(p.ctx, out, in)
	if err = errors.Join(err, out.Close()); err == nil {
		err = root.Chtimes(to, info.ModTime(), info.ModTime())
	}
	return fileError(err)
}

// judge says what is wrong with an archive that should have these files alone.
func (p *packing) judge(f io.ReaderAt, size int64, names []string) error {
	z, err := zip.NewReader(f, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return wrongArchive("it is no zip file")
	}
	left := map[string]bool{}
	for _, name := range names {
		left[name] = true
	}
	for _, e := range z.File {
		name := path.Clean(e.Name)
		switch {
		case e.Mode().IsDir():
			continue
		case !left[name]:
			return wrongArchive("the file %.200q is in it, which was not to be packed, or is there twice", e.Name)
		case p.in.Password != "" && e.Flags&flagSecret == 0:
			return wrongArchive("%.200q is not encrypted", e.Name)
		case p.in.Password != "" && e.Method != methodAES:
			return wrongArchive("%.200q is encrypted by the old ZipCrypto, which protects nothing", e.Name)
		}
		delete(left, name)
	}
	for name := range left {
		return wrongArchive("%.200q is not in it", name)
	}
	return nil
}

// unpackExternally has a program unpack an archive into a directory, once its directory is judged, and looks at what it has left.
func (u *unpacking) unpackExternally(f *os.File, size int64, wants func(string) bool, at, dir string, staged *os.Root) (*collected, archive.Summary, error) {
	var done archive.Summary
	if _, err := archive.WalkZip(u.ctx, f, size, u.left, archive.ZipOptions{Password: u.in.Password, Wants: func(string) bool { return false }}, nothing{}); err != nil {
		return nil, done, err
	}
	z, err := zip.NewReader(f, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, done, err
	}
	most := u.left.Bytes
	if u.left.Ratio > 0 && size < most/int64(u.left.Ratio) {
		most = min(most, 1<<20+size*int64(u.left.Ratio))
	}
	sizes, claimed := map[string]int64{}, uint64(0)
	for _, e := range z.File {
		name := path.Clean(e.Name)
		switch {
		case e.Mode().IsDir() || wants != nil && !wants(name):
			continue
		case e.Flags&flagSecret != 0 && u.in.Password == "": // a program would ask whoever sits there
			return nil, done, &archive.Error{Entry: e.Name, Reason: "is encrypted"}
		case e.Flags&flagSecret != 0 && e.Method == methodAES && u.in.Driver == driverOS:
			return nil, done, &archive.Error{Entry: e.Name, Reason: "is encrypted by AES, which the driver os does not open: use pyzipper"}
		}
		if claimed += e.UncompressedSize64; e.UncompressedSize64 > uint64(max(0, most)) || claimed > uint64(max(0, most)) {
			return nil, done, &archive.Error{Reason: "unpacks to more than is allowed"}
		}
		sizes[name] = int64(e.UncompressedSize64)
	}
	got := &collected{Sink: nothing{}}
	if wants != nil && len(sizes) == 0 {
		return got, done, nil
	}
	argv := u.in.filled(u.in.UnzipCmd, map[string]string{"{archive}": at, "{password}": u.in.Password, "{dest}": dir}, nil)
	if wants != nil {
		argv = slices.Insert(argv, len(argv)-2, patterns(slices.Sorted(maps.Keys(sizes)))...) // before -d
	}
	if err := u.cfg.external(u.ctx, u.call, &u.in.setup, "unzip_cmd", dir, argv); err != nil {
		return nil, done, err
	}
	err = fs.WalkDir(staged.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		size, there := sizes[name]
		switch {
		case u.ctx.Err() != nil:
			return context.Cause(u.ctx)
		case err != nil:
			return err
		case name == ".":
			return nil
		case d.IsDir():
			got.dirs = append(got.dirs, name)
			return staged.Chmod(name, 0o755)
		case !d.Type().IsRegular():
			return &archive.Error{Entry: name, Reason: "was unpacked to what is neither a file nor a directory"}
		case !there:
			return &archive.Error{Entry: name, Reason: "was unpacked, and is not in the archive"}
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if done.Bytes += info.Size(); done.Bytes > most {
			return &archive.Error{Reason: "unpacks to more than is allowed"}
		}
		if info.Size() != size {
			return &archive.Error{Entry: name, Reason: fmt.Sprintf("was unpacked to %d bytes, and has %d", info.Size(), size)}
		}
		delete(sizes, name)
		got.files = append(got.files, name)
		x := info.Mode().Perm() & 0o100
		return staged.Chmod(name, 0o644|x|x>>3|x>>6)
	})
	for name := range sizes {
		if err == nil {
			err = &archive.Error{Entry: name, Reason: "was not unpacked"}
		}
	}
	done.Files = len(got.files)
	return got, done, err
}

// nothing keeps nothing.
type nothing struct{}

func (nothing) Dir(string) error { return nil }
func (nothing) File(_ string, _ fs.FileMode, content io.Reader) error {
	_, err := io.Copy(io.Discard, content)
	return err
}
