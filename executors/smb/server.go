package smb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"

	smb2 "github.com/cloudsoda/go-smb2"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/transfer"
)

// server is a session at a server, with the shares that are in use.
type server struct {
	target  *target
	session *smb2.Session
	ctx     context.Context
	seen    *observed

	mu     sync.Mutex
	shares map[string]*smb2.Share // by name in lower case
}

// mounted is a share, which is mounted once.
func (s *server) mounted(name string) (share *smb2.Share, err error) {
	defer caught(&err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if share = s.shares[strings.ToLower(name)]; share != nil {
		return share, nil
	}
	s.seen.forgetShare()
	share, err = s.session.Mount(`\\` + s.target.in.Server + `\` + name)
	switch {
	case err == nil:
	case s.ctx.Err() != nil:
		return nil, err
	case code(err) == statusBadNetworkName:
		return nil, executors.WithKind(executors.Permanent(fmt.Errorf("the server has no share %q", name)), executors.KindConnect)
	case errors.Is(err, fs.ErrPermission):
		return nil, executors.WithKind(executors.Permanent(fmt.Errorf("the server does not let the user use the share %q", name)), executors.KindConnect)
	default:
		return nil, executors.WithKind(fmt.Errorf("use the share %q: %w", name, told(err)), executors.KindConnect)
	}
	if s.target.in.Encryption.Or(false) && !s.seen.encrypts() {
		return nil, executors.WithKind(executors.Permanent(fmt.Errorf("the server does not encrypt what goes to the share %q", name)), executors.KindConnect)
	}
	share = share.WithContext(s.ctx)
	s.shares[strings.ToLower(name)] = share
	return share, nil
}

// at is the share of a path, and the path below it.
func (s *server) at(name string) (*smb2.Share, string, error) {
	share, rest, err := s.target.split(name)
	if err != nil {
		return nil, "", refused("%q on the server: %w", name, err)
	}
	if share == "" {
		share = s.target.in.Share
	}
	m, err := s.mounted(share)
	return m, rest, err
}

func refused(format string, args ...any) error {
	return executors.WithKind(executors.Permanent(fmt.Errorf(format, args...)), transfer.KindFile)
}

// fileInfo is that of a file, as the steps want it: links and what else stands for something are links only where they were not followed.
type fileInfo struct {
	fs.FileInfo
	followed bool
}

func (i fileInfo) Mode() fs.FileMode {
	mode := i.FileInfo.Mode()
	switch {
	case mode&fs.ModeSymlink == 0:
	case i.followed:
		mode &^= fs.ModeSymlink
	default:
		mode &^= fs.ModeDir
	}
	return mode
}

func (i fileInfo) IsDir() bool { return i.Mode().IsDir() }

// most is how many entries of a directory are read: one more than the steps take.
const most = 100_001

// ReadDir implements [transfer.Server].
func (s *server) ReadDir(name string) (all []fs.FileInfo, err error) {
	defer caught(&err)
	share, rest, err := s.at(name)
	if err != nil {
		return nil, err
	}
	dir, err := share.Open(rest)
	if err != nil {
		return nil, told(err)
	}
	defer func() { _ = dir.Close() }()
	for len(all) < most {
		some, err := dir.Readdir(1000)
		for _, info := range some {
			if strings.Contains(info.Name(), `\`) {
				return nil, refused("list %q on the server: the name %.200q is none that a file can have", name, info.Name())
			}
			all = append(all, fileInfo{info, false})
		}
		if errors.Is(err, io.EOF) || err == nil && len(some) == 0 {
			break
		}
		if err != nil {
			if info, e := dir.Stat(); e == nil && !info.IsDir() {
				return nil, refused("list %q on the server: is no directory", name)
			}
			return nil, told(err)
		}
	}
	return all, nil
}

// Stat implements [transfer.Server].
func (s *server) Stat(name string) (info fs.FileInfo, err error) {
	defer caught(&err)
	share, rest, err := s.at(name)
	if err != nil {
		return nil, err
	}
	if info, err = share.Stat(rest); err != nil {
		return nil, told(err)
	}
	return fileInfo{info, true}, nil
}

// Open implements [transfer.Server].
func (s *server) Open(name string) (content io.ReadCloser, size int64, err error) {
	defer caught(&err)
	share, rest, err := s.at(name)
	if err != nil {
		return nil, 0, err
	}
	f, err := share.Open(rest)
	if err != nil {
		return nil, 0, told(err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		err = told(err)
	case info.IsDir():
		err = refused("%q on the server is no plain file", name)
	default:
		return file{f}, info.Size(), nil
	}
	_ = f.Close()
	return nil, 0, err
}

// Create implements [transfer.Server].
func (s *server) Create(name string) (content io.WriteCloser, err error) {
	defer caught(&err)
	share, rest, err := s.at(name)
	if err != nil {
		return nil, err
	}
	f, err := share.OpenFile(rest, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return nil, told(err)
	}
	return file{f}, nil
}

// file is one that is open.
type file struct{ f *smb2.File }

func (f file) Read(p []byte) (n int, err error) {
	defer caught(&err)
	n, err = f.f.Read(p)
	if n == 0 && err == nil && len(p) > 0 {
		return 0, io.EOF
	}
	if errors.Is(err, io.EOF) {
		return n, io.EOF
	}
	return n, told(err)
}

func (f file) Write(p []byte) (n int, err error) {
	defer caught(&err)
	n, err = f.f.Write(p)
	return n, told(err)
}

func (f file) Close() (err error) {
	defer caught(&err)
	return told(f.f.Close())
}

// Replace implements [transfer.Server].
func (s *server) Replace(from, to string) (err error) {
	defer caught(&err)
	share, before, err := s.at(from)
	if err != nil {
		return err
	}
	_, after, err := s.at(to) // of the same directory
	if err != nil {
		return err
	}
	if old, err := share.Stat(after); err == nil && old.IsDir() {
		return refused("%q on the server is a directory", to)
	}
	err = share.Rename(before, after)
	if errors.Is(err, fs.ErrPermission) { // so says a server of a file that somebody has open, too
		return executors.WithKind(fmt.Errorf("replace %q on the server: it is open, or may not be replaced", to), transfer.KindFile)
	}
	return told(err)
}

// Remove implements [transfer.Server].
func (s *server) Remove(name string) (err error) {
	defer caught(&err)
	share, rest, err := s.at(name)
	if err != nil {
		return err
	}
	return told(share.Remove(rest))
}

// MkdirAll implements [transfer.Server].
func (s *server) MkdirAll(name string) (err error) {
	defer caught(&err)
	share, rest, err := s.at(name)
	if err != nil {
		return err
	}
	at := ""
	for part := range strings.SplitSeq(rest, "/") {
		if at = strings.TrimPrefix(at+`\`+part, `\`); at == "" {
			continue // the share itself
		}
		if err := share.Mkdir(at, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			if info, e := share.Stat(at); e != nil || !info.IsDir() { // one that the user may pass, and not change
				return told(err)
			}
		}
	}
	if at != "" {
		if info, err := share.Stat(at); err != nil {
			return told(err)
		} else if !info.IsDir() {
			return refused("make directory %q on the server: there is a file of that name", name)
		}
	}
	return nil
}

// Codes that servers answer with (MS-ERREF 2.3).
const (
	statusBadNetworkName = 0xC00000CC
)

// refusals say why a user is not let in. Another attempt does not help.
var refusals = map[uint32]string{
	0xC000006D: "the user or the password is wrong", 0xC000006A: "the user or the password is wrong", 0xC0000064: "the user or the password is wrong",
	0xC000006E: "the account is restricted", 0xC000006F: "it may not log in at this hour", 0xC0000070: "it may not log in from here", 0xC0000071: "the password has expired",
	0xC0000072: "the account is disabled", 0xC0000193: "the account has expired", 0xC0000224: "the password must be changed", 0xC0000234: "the account is locked",
	0xC000015B: "it may not log in in this way", 0xC000018D: "the server and its domain do not trust each other",
	0xC0000022: "access is denied",
}

// final are answers that another attempt would get, too.
var final = map[uint32]string{
	0xC0000033: "the name is none that the server takes", 0xC000003B: "the path is none that the server takes", 0xC0000106: "the name is too long", 0xC00000BA: "is a directory",
	0xC0000101: "the directory is not empty", 0xC0000103: "is no directory", 0xC00000A2: "the server may only be read", 0xC000050B: "links lead in a circle",
}

// missing are answers that say that a file is not there; passing may be others the next time, and lost end a session.
var (
	missing = map[uint32]bool{0xC000000F: true, 0xC000003A: true, 0xC0000034: true}
	passing = map[uint32]string{0xC0000043: "somebody has it open", 0xC0000056: "it is being deleted", 0xC000007F: "the server's disk is full", 0xC0000054: "somebody has locked it"}
	lost    = map[uint32]bool{0xC00000C9: true, 0xC0000203: true, 0xC000035C: true, 0xC000020C: true, 0xC000020D: true}
)

// code is what a server has answered; 0: nothing, or no error.
func code(err error) uint32 {
	if said, is := errors.AsType[*smb2.ResponseError](err); is {
		return said.Code
	}
	if errors.Is(err, fs.ErrPermission) {
		return 0xC0000022
	}
	return 0
}

// told is an error of a server as users see it: without the path, which the steps name, and with what the end of a connection makes of it.
func told(err error) error {
	if err == nil {
		return nil
	}
	if p, is := errors.AsType[*fs.PathError](err); is {
		err = p.Err
	} else if l, is := errors.AsType[*os.LinkError](err); is {
		err = l.Err
	}
	if said, is := errors.AsType[*smb2.ResponseError](err); is {
		switch c := said.Code; {
		case missing[c]:
			return fs.ErrNotExist
		case lost[c]:
		case final[c] != "":
			return &answer{final[c], fs.ErrExist} // for which the steps give up
		case passing[c] != "":
			return errors.New(passing[c])
		default:
			return fmt.Errorf("the server answered with the status 0x%08X", c)
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrExist):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case isA[*smb2.TransportError](err), isA[*smb2.InvalidResponseError](err), isA[*smb2.ResponseError](err), isA[*smb2.InternalError](err), errors.Is(err, io.EOF),
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, os.ErrClosed):
		return executors.WithKind(fmt.Errorf("the connection was lost: %w", err), executors.KindConnect)
	}
	return err
}

func isA[E error](err error) bool {
	_, is := errors.AsType[E](err)
	return is
}

// answer is one that no other attempt would change.
type answer struct {
	text string
	is   error
}

func (a *answer) Error() string { return a.text }
func (a *answer) Unwrap() error { return a.is }

// caught makes an error of a panic: by an answer that no server should give, the library can be brought to one.
func caught(err *error) {
	if p := recover(); p != nil {
		*err = executors.WithKind(fmt.Errorf("the server's answer can't be read: %v", p), executors.KindConnect)
	}
}
