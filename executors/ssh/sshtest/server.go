// Package sshtest starts OpenSSH servers for tests and measurements.
//
// It owns such a server: its keys, its configuration, its end. It must not know what is tested.
package sshtest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/internal/porttest"
)

// Server is an OpenSSH server on a free port of loopback. The user who started it logs in there with the key of the file id.
type Server struct {
	Port int
	User string

	dir     string
	release func() // of the port
	cmd     *exec.Cmd
	ended   chan struct{}
}

// MissingError: a program of OpenSSH is not on this machine.
type MissingError struct{ Program string }

// Error says how to get it.
func (e *MissingError) Error() string {
	return "there is no " + e.Program + ": install an OpenSSH server, such as Debian's package openssh-server"
}

// Program is the path of a program that belongs to OpenSSH.
func Program(name string) (string, error) {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin") {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", &MissingError{name}
}

// For starts a server that ends with the test. Where there is none on the machine, the test is skipped, but in CI it fails.
func For(t testing.TB, config ...string) *Server {
	t.Helper()
	s, err := Start(config...)
	if missing, ok := errors.AsType[*MissingError](err); ok && os.Getenv("CI") != "true" {
		t.Skip(missing)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Start starts a server, with lines of sshd_config besides the usual, which go before. The caller stops it.
func Start(config ...string) (*Server, error) {
	sshd, err := Program("sshd")
	if err != nil {
		return nil, err
	}
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	s := &Server{User: me.Username}
	if s.dir, err = os.MkdirTemp("", "sshtest-"); err != nil {
		return nil, err
	}
	if err := s.start(sshd, me, config); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func (s *Server) start(sshd string, me *user.User, config []string) error {
	if me.Uid == "0" {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // where it gives up its rights
			return err
		}
	}
	if err := errors.Join(os.Chmod(s.dir, 0o755), s.Keygen("host", ""), s.Keygen("id", "")); err != nil {
		return err
	}
	if err := s.Write("authorized", s.Read("id.pub")); err != nil {
		return err
	}
	var err error
	if s.Port, s.release, err = porttest.Hold(); err != nil {
		return err
	}
	if err := s.launch(sshd, config); err != nil {
		return err
	}
	if !s.listens() {
		return fmt.Errorf("sshd does not start: %s", s.Read("log"))
	}
	return nil
}

func (s *Server) launch(sshd string, config []string) error {
	lines := append(config, []string{
		fmt.Sprintf("Port %d", s.Port), "ListenAddress 127.0.0.1", "HostKey " + s.Path("host"), "PidFile none", "StrictModes no", "UsePAM no",
		"AuthorizedKeysFile " + s.Path("authorized"), "PermitRootLogin yes", "PasswordAuthentication no", "Subsystem sftp internal-sftp",
		"MaxStartups 100:30:200", "LogLevel VERBOSE",
		"SetEnv HOME=" + s.dir, // and nobody's .bashrc
	}...)
	if err := s.Write("config", strings.Join(lines, "\n")+"\n"); err != nil {
		return err
	}
	s.cmd = exec.Command(sshd, "-D", "-f", s.Path("config"), "-E", s.Path("log"))
	if err := s.cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	s.ended = ended
	go func() {
		_ = s.cmd.Wait()
		close(ended)
	}()
	return nil
}

func (s *Server) listens() bool {
	for {
		if c, err := net.Dial("tcp", s.Addr()); err == nil {
			c.Close()
			return true
		}
		select {
		case <-s.ended:
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Stop ends the server, its connections, and its files.
func (s *Server) Stop() {
	if s.ended != nil {
		s.Crash()
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
	if s.release != nil {
		s.release()
	}
	_ = os.RemoveAll(s.dir)
}

// Addr is where it listens.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

// Path is a path of a file in the server's directory. There are the server's key host, the user's key id, the list authorized of keys that may log in,
// and the log.
func (s *Server) Path(name string) string { return filepath.Join(s.dir, name) }

// Read is the text of a file in the server's directory; empty if there is none.
func (s *Server) Read(name string) string {
	text, _ := os.ReadFile(s.Path(name))
	return string(text)
}

// Write writes a file into the server's directory.
func (s *Server) Write(name, text string) error {
	return os.WriteFile(s.Path(name), []byte(text), 0o644)
}

// Keygen runs ssh-keygen for a pair of keys NAME and NAME.pub in the server's directory, of ed25519 unless args say something else.
func (s *Server) Keygen(name, passphrase string, args ...string) error {
	if len(args) == 0 {
		args = []string{"-t", "ed25519"}
	}
	program, err := Program("ssh-keygen")
	if err != nil {
		return err
	}
	out, err := exec.Command(program, append([]string{"-q", "-N", passphrase, "-f", s.Path(name)}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ssh-keygen: %w: %s", err, out)
	}
	return nil
}

// KnownHosts is the line by which the server is known.
func (s *Server) KnownHosts() string {
	return fmt.Sprintf("[127.0.0.1]:%d %s", s.Port, s.Read("host.pub"))
}

// Inputs are those of ssh_executor that log in and run true, with others that go before. One that is nil is left out.
func (s *Server) Inputs(more map[string]any) map[string]any {
	in := map[string]any{"host": "127.0.0.1", "port": s.Port, "username": s.User, "key": s.Read("id"), "host_key": s.Read("host.pub"), "command": "true"}
	for name, value := range more {
		if in[name] = value; value == nil {
			delete(in, name)
		}
	}
	return in
}

// Logins counts the connections that there have been.
func (s *Server) Logins() int { return len(logins.FindAllString(s.Read("log"), -1)) }

var logins = regexp.MustCompile(`(?m)Accepted [a-z/-]+ for `)

// Connections are the processes of the connections that are open, one each.
func (s *Server) Connections() []int {
	var found []int
	for pid, parent := range Processes() {
		if parent == s.cmd.Process.Pid {
			found = append(found, pid)
		}
	}
	return found
}

// Crash kills the processes of all connections, and nothing that they have started.
func (s *Server) Crash() {
	parents := Processes()
	for _, pid := range s.Connections() {
		for child, parent := range parents {
			if parent == pid && strings.HasPrefix(CommandLine(child), "sshd: ") {
				kill(child)
			}
		}
		kill(pid)
	}
}

// Quiet waits until nothing is left of what connections have started, for a minute at most.
func (s *Server) Quiet() error { return Gone(fmt.Sprintf(" 127.0.0.1 %d\x00", s.Port)) } // the end of SSH_CONNECTION

func kill(pid int) {
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill()
	}
}
