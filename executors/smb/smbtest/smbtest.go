// Package smbtest starts Samba servers for tests.
//
// It owns such a server: its configuration, its user, its end. It must not know what is tested.
package smbtest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/internal/porttest"
)

// Password is that of the user who started the server.
const Password = "hunter2-canary"

// Share is the name of a server's share.
const Share = "files"

// Server is a Samba server on a free port of loopback. The user who started it logs in there with [Password]. Its share is the directory Dir.
type Server struct {
	Port int
	User string
	Dir  string // on this machine

	dir     string
	release func() // of the port
	smbd    string
	cmd     *exec.Cmd
	ended   chan struct{}
}

// program is the path of a program of Samba; empty if it is not there.
func program(name string) string {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin") {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// Start starts a server that ends with the test, with lines of smb.conf besides the usual: those of its section global, and then others. Where there is no Samba on the machine, or the
// user may not start it, the test is skipped, but in CI it fails.
func Start(t testing.TB, config ...string) *Server {
	t.Helper()
	smbd, pdbedit := program("smbd"), program("pdbedit")
	switch {
	case smbd != "" && pdbedit != "" && os.Getuid() == 0:
	case os.Getenv("CI") == "true":
		t.Fatal("there is no Samba that can be started: tools/need.sh smbd")
	default:
		t.Skip("there is no Samba, or only root may start it: tools/need.sh smbd")
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "smbtest-") // a short path, as there are sockets in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil { // for guests, whom the server takes for another user
		t.Fatal(err)
	}
	s := &Server{User: me.Username, Dir: filepath.Join(dir, "share"), dir: dir, smbd: smbd}
	for _, name := range []string{"share", "private", "rpc"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if s.Port, s.release, err = porttest.Hold(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.release)
	if err := errors.Join(os.WriteFile(s.path("smb.conf"), []byte(s.config(config)), 0o644), os.WriteFile(s.path("users"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	add := exec.Command(pdbedit, "-s", s.path("smb.conf"), "-a", "-t", "-u", s.User)
	add.Stdin = strings.NewReader(Password + "\n" + Password + "\n")
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("pdbedit: %v: %s", err, out)
	}
	t.Cleanup(s.Kill)
	s.Restart(t)
	return s
}

func (s *Server) config(more []string) string {
	global, sections := more, []string(nil)
	for i, line := range more {
		if strings.HasPrefix(line, "[") {
			global, sections = more[:i], more[i:]
			break
		}
	}
	lines := append([]string{
		"[global]", "workgroup = TEST", "server role = standalone server", "map to guest = never",
		"smb ports = " + strconv.Itoa(s.Port), "interfaces = 127.0.0.1/8", "bind interfaces only = yes", "disable netbios = yes",
		"private dir = " + s.path("private"), "state directory = " + s.dir, "cache directory = " + s.dir, "lock directory = " + s.dir, "pid directory = " + s.dir,
		"ncalrpc dir = " + s.path("rpc"), "passdb backend = smbpasswd:" + s.path("users"), "log level = 1",
		"load printers = no", "printing = bsd", "printcap name = /dev/null", "disable spoolss = yes",
	}, global...)
	lines = append(lines, "["+Share+"]", "path = "+s.Dir, "read only = no", "create mask = 0644")
	return strings.Join(append(lines, sections...), "\n") + "\n"
}

// Restart starts the server, once it was killed.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.cmd = exec.Command(s.smbd, "--foreground", "--no-process-group", "--configfile="+s.path("smb.conf"), "--log-basename="+s.dir)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.ended = make(chan struct{})
	go func() {
		_ = s.cmd.Wait()
		close(s.ended)
	}()
	for {
		if c, err := net.Dial("tcp", s.Addr()); err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-s.ended:
			log, _ := os.ReadFile(s.path("log.smbd"))
			t.Fatalf("smbd does not start: %s", log)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Kill kills the server with all its connections.
func (s *Server) Kill() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	<-s.ended
	s.cmd = nil
}

// Addr is where it listens.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.Port) }

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }
