// Package sftp has the steps of flows that list, download, delete and upload files of another host by SFTP.
//
// It owns where they go, as flows say it, and what SFTP makes of the operations on files. It must not know what the steps do (package transfer does), or how
// a host is reached and known (package ssh does).
package sftp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/pkg/sftp"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/ssh"
	"github.com/taskgrove/taskgrove/executors/transfer"
)

// Executor is one of the steps. All of a worker share their connections, until one of them is closed.
type Executor struct {
	*transfer.Step
	hosts *ssh.Executor
}

// New makes the steps. What tasks may do on other hosts, their keys and their trust are those of ssh_executor.
func New(cfg transfer.Config, hosts ssh.Config, net *network.Network) []executors.Executor {
	p := &protocol{ssh.New(hosts, net)}
	var all []executors.Executor
	for _, step := range transfer.Steps(cfg, p) {
		all = append(all, &Executor{step, p.hosts})
	}
	return all
}

// Close closes all connections.
func (e *Executor) Close() error { return e.hosts.Close() }

// Protocol is what the steps speak, for others that look for files at a host. The caller closes its connections.
func Protocol(hosts ssh.Config, net *network.Network) (p transfer.Protocol, end func() error) {
	e := ssh.New(hosts, net)
	return &protocol{e}, e.Close
}

type protocol struct{ hosts *ssh.Executor }

func (*protocol) Name() string { return "sftp" }

func (*protocol) Connection() *executors.Connection {
	return &executors.Connection{Types: []string{"sftp", "ssh"}, Fields: []string{"driver", "host", "port", "user", "username", "password", "pkey_path", "key_file",
		"private_key", "key", "passphrase", "certificate", "agent", "known_hosts", "host_key", "insecure_host_key", "verify_host_key", "jump", "timeout"}}
}

func (*protocol) Fields() string {
	return `
    "host": {"type": ["string", "null"], "description": "Name or address of the host"},
    "port": {"type": ["integer", "string", "null"], "default": 22, "description": "TCP port of the host's SSH server"},
    "user": {"type": ["string", "null"], "description": "User on the host"},
    "username": {"type": ["string", "null"], "description": "Another name of user"},
    "password": {"type": ["string", "null"], "description": "Password of the user. Use {\"secret\": \"name\"}"},
    "private_key": {"type": ["string", "null"], "description": "Private key of any kind as text (OpenSSH, PKCS #1 or PKCS #8). Use {\"secret\": \"name\"}"},
    "key": {"type": ["string", "null"], "description": "Another name of private_key"},
    "pkey_path": {"type": ["string", "null"], "description": "Path of a private key on the worker, in its TASKGROVE_SSH_KEY_DIR"},
    "key_file": {"type": ["string", "null"], "description": "Another name of pkey_path"},
    "passphrase": {"type": ["string", "null"], "description": "Passphrase of an encrypted key. Use {\"secret\": \"name\"}"},
    "certificate": {"type": ["string", "null"], "description": "OpenSSH certificate of the key"},
    "agent": {"type": ["boolean", "null"], "default": false, "description": "Use the keys of the worker's agent, if its TASKGROVE_SSH_AGENT names one"},
    "known_hosts": {"type": ["string", "null"], "description": "Host keys that are trusted, as lines of a known_hosts file; instead of the worker's"},
    "host_key": {"type": ["string", "null"], "description": "The one host key that is trusted: a public key or its fingerprint (SHA256:…); instead of the worker's"},
    "insecure_host_key": {"type": ["boolean", "string", "null"], "default": false, "description": "Trust whatever host answers, which sends a password to whoever is in between. Only of a connection, or where the worker has TASKGROVE_SSH_INSECURE"},
    "verify_host_key": {"type": ["boolean", "null"], "default": true, "description": "false: as insecure_host_key"},
    "jump": {"type": ["array", "null"], "maxItems": 4, "items": {"type": "object"}, "description": "Hosts to go through, as ssh_executor has them"},
    "driver": {"type": ["string", "null"], "description": "paramiko or ssh, which are the same"},
    "timeout": {"type": ["number", "string", "null"], "default": 30, "description": "How many seconds the host may take for any one answer"}`
}

// input is where to go.
type input struct {
	ssh.Way
	Port       *inputs.Integer `json:"port"`
	User       string          `json:"user"`
	PrivateKey string          `json:"private_key"`
	KeyPath    string          `json:"pkey_path"`
	Insecure   *inputs.Flag    `json:"insecure_host_key"`
	Driver     string          `json:"driver"`
	Limit      *transfer.Limit `json:"timeout"`
}

// Target implements [transfer.Protocol].
func (p *protocol) Target(id string, call *executors.Call) (transfer.Target, []string, error) {
	in := &input{}
	if err := inputs.Decode(id, call, in); err != nil {
		return nil, nil, err
	}
	var faults []string
	merge := func(field string, to *string, from, alias string) {
		if *to != "" && from != "" && *to != from {
			faults = append(faults, alias+": "+field+" says something else")
		}
		*to = cmp.Or(*to, from)
	}
	merge("username", &in.Username, in.User, "user")
	merge("key", &in.Key, in.PrivateKey, "private_key")
	merge("key_file", &in.KeyFile, in.KeyPath, "pkey_path")
	if in.Port != nil {
		in.Way.Target.Port = new(int(*in.Port))
	}
	if in.Insecure.Or(false) {
		in.VerifyHostKey = new(false)
	}
	switch in.Driver {
	case "", "sftp", "ssh", "paramiko":
	default:
		faults = append(faults, "driver: must be paramiko or ssh")
	}
	limit, wrong := in.Limit.Duration()
	if wrong != "" {
		faults = append(faults, wrong)
	}
	return &target{p.hosts, id, call, &in.Way, limit}, append(faults, in.Check()...), nil
}

type target struct {
	hosts *ssh.Executor
	id    string
	call  *executors.Call
	way   *ssh.Way
	limit time.Duration
}

func (t *target) Timeout() time.Duration { return t.limit }

func (t *target) Clean(name string) (string, error) { return path.Clean(name), nil }

func (t *target) Open(ctx context.Context) (transfer.Server, func(), error) {
	client, done, err := t.hosts.SFTP(ctx, t.call, t.id, t.way)
	if err != nil {
		if executors.KindOf(err) == "" && ctx.Err() == nil && !executors.IsPermanent(err) {
			err = executors.WithKind(err, executors.KindConnect)
		}
		return nil, nil, err
	}
	return &server{client}, done, nil
}

// server is an SFTP session.
type server struct{ c *sftp.Client }

func (s *server) ReadDir(name string) ([]fs.FileInfo, error) {
	all, err := s.c.ReadDir(name)
	return all, lost(err)
}

func (s *server) Stat(name string) (fs.FileInfo, error) {
	info, err := s.c.Stat(name)
	return info, lost(err)
}

func (s *server) Open(name string) (io.ReadCloser, int64, error) {
	info, err := s.c.Stat(name)
	if err != nil {
		return nil, 0, lost(err)
	}
	if !info.Mode().IsRegular() {
		return nil, 0, executors.WithKind(executors.Permanent(fmt.Errorf("%q on the server is no plain file", name)), transfer.KindFile)
	}
	f, err := s.c.Open(name)
	if err != nil {
		return nil, 0, lost(err)
	}
	return reader{f}, info.Size(), nil
}

type reader struct{ *sftp.File }

func (r reader) Read(p []byte) (int, error) {
	n, err := r.File.Read(p)
	if errors.Is(err, io.EOF) {
		return n, io.EOF
	}
	return n, lost(err)
}

func (s *server) Create(name string) (io.WriteCloser, error) {
	f, err := s.c.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return nil, lost(err)
	}
	return writer{f}, nil
}

type writer struct{ *sftp.File }

func (w writer) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := w.File.Write(p)
	return n, lost(err)
}

func (w writer) Close() error { return lost(w.File.Close()) }

// Replace implements [transfer.Server]. Hosts without the extension for it can't do it at once.
func (s *server) Replace(from, to string) error {
	old, err := s.c.Stat(to)
	switch {
	case err == nil && old.IsDir():
		return executors.WithKind(executors.Permanent(fmt.Errorf("%q on the server is a directory", to)), transfer.KindFile)
	case err == nil:
		_ = s.c.Chmod(from, old.Mode().Perm()) // some hosts don't have any
	}
	if _, can := s.c.HasExtension("posix-rename@openssh.com"); can {
		return lost(s.c.PosixRename(from, to))
	}
	if err == nil {
		if err := s.c.Remove(to); err != nil {
			return lost(err)
		}
	}
	return lost(s.c.Rename(from, to))
}

func (s *server) Remove(name string) error { return lost(s.c.Remove(name)) }

func (s *server) MkdirAll(name string) error { return lost(s.c.MkdirAll(name)) }

// lost marks what the end of a connection makes of an operation.
func lost(err error) error {
	if errors.Is(err, sftp.ErrSSHFxConnectionLost) || errors.Is(err, sftp.ErrSSHFxNoConnection) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, io.ErrClosedPipe) || errors.Is(err, os.ErrClosed) {
		return executors.WithKind(fmt.Errorf("the connection was lost: %w", err), executors.KindConnect)
	}
	return err
}
