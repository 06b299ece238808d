package ssh_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/ssh"
	"github.com/taskgrove/taskgrove/executors/ssh/sshtest"
)

// wantRefused wants a permanent error with a text, and without a secret.
func wantRefused(t *testing.T, err error, text, secret string) {
	t.Helper()
	if err == nil || !executors.IsPermanent(err) || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want a permanent error with %q", err, text)
	} else if secret != "" && strings.Contains(err.Error(), secret) {
		t.Errorf("a secret shows: %v", err)
	}
}

func TestPassword(t *testing.T) {
	t.Parallel()
	for method, config := range map[string][]string{
		"password":             {"PasswordAuthentication yes", "KbdInteractiveAuthentication no"},
		"keyboard-interactive": {"UsePAM yes", "PasswordAuthentication no", "KbdInteractiveAuthentication yes"},
	} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			s := sshtest.For(t, config...)
			g := newGuest(t)
			e := newExecutor(t, ssh.Config{})
			in := s.Inputs(map[string]any{"username": g.name, "password": g.password, "key": nil, "command": "id -un"})
			got, err := run(t, e, in)
			if err != nil || got.Stdout != g.name+"\n" {
				t.Fatalf("got %+v, %v: %s", got, err, s.Read("log"))
			}
			if !strings.Contains(s.Read("log"), "Accepted "+method) {
				t.Errorf("another way in: %s", s.Read("log"))
			}
			in["password"] = "wrong-" + g.password
			_, err = run(t, e, in)
			wantRefused(t, err, "[ssh_executor] log in to "+g.name+"@"+s.Addr()+": the host refused the user: ", g.password)
		})
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	must(t, s.Keygen("rsa", "", "-t", "rsa", "-b", "2048"))
	must(t, s.Keygen("pem", "", "-t", "rsa", "-b", "2048", "-m", "PEM"))
	must(t, s.Keygen("pkcs8", "", "-t", "ecdsa", "-m", "PKCS8"))
	must(t, s.Keygen("encrypted", "open sesame"))
	must(t, s.Keygen("stranger", ""))
	must(t, s.Write("authorized", s.Read("id.pub")+s.Read("rsa.pub")+s.Read("pem.pub")+s.Read("pkcs8.pub")+s.Read("encrypted.pub")))
	e := newExecutor(t, ssh.Config{})
	for name, in := range map[string]map[string]any{
		"ed25519":                {},
		"rsa":                    {"key": s.Read("rsa")},
		"rsa as PEM":             {"key": s.Read("pem")},
		"ecdsa as PKCS8":         {"key": s.Read("pkcs8")},
		"encrypted":              {"key": s.Read("encrypted"), "passphrase": "open sesame"},
		"a passphrase too many":  {"passphrase": "unused"},
		"pasted on Windows":      {"key": "\r\n" + strings.ReplaceAll(strings.TrimSpace(s.Read("id")), "\n", "\r\n")},
		"with a password beside": {"password": "wrong"},
	} {
		if _, err := run(t, e, s.Inputs(in)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, row := range map[string]struct {
		in   map[string]any
		want string
	}{
		"another key":       {map[string]any{"key": s.Read("stranger")}, "the host refused the user: unable to authenticate"},
		"another user":      {map[string]any{"username": "nobody-like-that"}, "the host refused the user: unable to authenticate"},
		"no passphrase":     {map[string]any{"key": s.Read("encrypted")}, "[ssh_executor] passphrase: the key is encrypted"},
		"wrong passphrase":  {map[string]any{"key": s.Read("encrypted"), "passphrase": "canary-pass"}, "[ssh_executor] passphrase: does not fit the key"},
		"no key":            {map[string]any{"key": "canary-pass"}, "[ssh_executor] key: is not a private key"},
		"a public key":      {map[string]any{"key": s.Read("id.pub")}, "[ssh_executor] key: is not a private key"},
		"no certificate":    {map[string]any{"certificate": s.Read("id.pub")}, "[ssh_executor] certificate: is not an OpenSSH certificate"},
		"certificate alone": {map[string]any{"certificate": "x", "key": nil, "password": "p"}, "[ssh_executor] certificate: needs its key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := run(t, e, s.Inputs(row.in))
			wantRefused(t, err, row.want, "canary-pass")
		})
	}
}

func TestKeyFile(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	dir, elsewhere := t.TempDir(), t.TempDir()
	for _, name := range []string{filepath.Join(dir, "id"), filepath.Join(elsewhere, "id")} {
		must(t, os.WriteFile(name, []byte(s.Read("id")), 0o600))
	}
	must(t, os.Symlink(filepath.Join(elsewhere, "id"), filepath.Join(dir, "link")))
	must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
	must(t, os.Symlink("../id", filepath.Join(dir, "sub", "inside")))
	e := newExecutor(t, ssh.Config{KeyDir: dir})
	try := func(name, connection string) (*conformance.Recorder, error) {
		call, record := conformance.Call(t, s.Inputs(map[string]any{"key": nil, "key_file": name}))
		call.Connection = connection
		_, err := runCall(t.Context(), e, call)
		return record, err
	}
	for _, name := range []string{"id", filepath.Join(dir, "id"), "sub/inside"} {
		if _, err := try(name, ""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"../" + filepath.Base(elsewhere) + "/id", filepath.Join(elsewhere, "id"), "link", "/etc/passwd", "sub/../../x"} {
		_, err := try(name, "")
		wantRefused(t, err, "[ssh_executor] key_file: "+name+" lies outside", "")
	}
	_, err := try("missing", "")
	wantRefused(t, err, "SSH key file not found: missing", "")
	_, err = try("sub", "")
	wantRefused(t, err, "[ssh_executor] key_file: sub is not a file", "")
	if _, err := try(filepath.Join(elsewhere, "id"), "a connection of the operator's"); err != nil {
		t.Errorf("of a connection: %v", err)
	}
	must(t, os.Chmod(filepath.Join(dir, "id"), 0o644))
	record, err := try("id", "")
	if lines := record.Lines(); err != nil || len(lines) != 1 || lines[0] != "log: the SSH key file id has the permissions 0644; 0600 is recommended" {
		t.Errorf("got %v, logged %q", err, lines)
	}
}

func TestCertificate(t *testing.T) {
	t.Parallel()
	ca := t.TempDir()
	s := sshtest.For(t, "TrustedUserCAKeys "+ca+"/ca.pub")
	must(t, s.Keygen("ca", ""))
	must(t, os.WriteFile(ca+"/ca.pub", []byte(s.Read("ca.pub")), 0o644))
	must(t, s.Keygen("mine", ""))
	keygen, err := sshtest.Program("ssh-keygen")
	must(t, err)
	sign := func(args ...string) string {
		out, err := exec.Command(keygen, append([]string{"-q", "-s", s.Path("ca"), "-I", "me", "-n", s.User}, append(args, s.Path("mine.pub"))...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return s.Read("mine-cert.pub")
	}
	e := newExecutor(t, ssh.Config{})
	in := s.Inputs(map[string]any{"key": s.Read("mine"), "certificate": sign()})
	if _, err := run(t, e, in); err != nil {
		t.Fatal(err)
	}
	in["certificate"] = sign("-V", "20200101:20200102")
	_, err = run(t, e, in)
	wantRefused(t, err, "the host refused the user", "")
	_, err = run(t, e, s.Inputs(map[string]any{"certificate": in["certificate"]}))
	wantRefused(t, err, "[ssh_executor] certificate: is of another key", "")
}

func TestAgent(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	program, err := sshtest.Program("ssh-agent")
	must(t, err)
	add, err := sshtest.Program("ssh-add")
	must(t, err)
	socket := filepath.Join(t.TempDir(), "agent")
	agent := exec.Command(program, "-D", "-a", socket)
	must(t, agent.Start())
	t.Cleanup(func() { _ = agent.Process.Kill(); _ = agent.Wait() })
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	load := exec.Command(add, s.Path("id"))
	load.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add: %v: %s", err, out)
	}
	e := newExecutor(t, ssh.Config{Agent: socket})
	if _, err := run(t, e, s.Inputs(map[string]any{"key": nil, "agent": true})); err != nil {
		t.Error(err)
	}
	_, err = run(t, newExecutor(t, ssh.Config{}), s.Inputs(map[string]any{"key": nil, "agent": true}))
	wantRefused(t, err, "[ssh_executor] agent: this worker has none for tasks", "")
}

func TestHostKeys(t *testing.T) {
	t.Parallel()
	s := sshtest.For(t)
	dir := t.TempDir()
	must(t, s.Keygen("ecdsa", "", "-t", "ecdsa"))
	must(t, s.Keygen("other", ""))
	two := sshtest.For(t, "HostKey "+s.Path("ecdsa")) // and one of ed25519
	hashed := filepath.Join(dir, "hashed")
	must(t, os.WriteFile(hashed, []byte(s.KnownHosts()), 0o600))
	keygen, _ := sshtest.Program("ssh-keygen")
	if out, err := exec.Command(keygen, "-H", "-f", hashed).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	hashedText, err := os.ReadFile(hashed)
	must(t, err)
	fingerprint := func(name string) string {
		out, err := exec.Command(keygen, "-l", "-f", s.Path(name)).Output()
		must(t, err)
		return strings.Fields(string(out))[1]
	}
	at := strings.Fields(s.KnownHosts())[0] + " "
	atTwo := strings.Fields(two.KnownHosts())[0] + " "
	for name, row := range map[string]struct {
		s    *sshtest.Server
		in   map[string]any
		cfg  ssh.Config
		want string // of the error; empty: it is trusted
	}{
		"key":                         {s, map[string]any{"host_key": s.Read("host.pub")}, ssh.Config{}, ""},
		"fingerprint":                 {s, map[string]any{"host_key": fingerprint("host")}, ssh.Config{}, ""},
		"fingerprint of a second key": {two, map[string]any{"host_key": fingerprint("ecdsa")}, ssh.Config{}, ""},
		"a second key":                {two, map[string]any{"host_key": s.Read("ecdsa.pub")}, ssh.Config{}, ""},
		"known_hosts":                 {s, map[string]any{"known_hosts": "# mine\n" + s.KnownHosts()}, ssh.Config{}, ""},
		"known_hosts, hashed":         {s, map[string]any{"known_hosts": string(hashedText)}, ssh.Config{}, ""},
		"known_hosts, a second key":   {two, map[string]any{"known_hosts": atTwo + s.Read("ecdsa.pub")}, ssh.Config{}, ""},
		"the worker's file":           {s, nil, ssh.Config{KnownHosts: hashed}, ""},
		"whatever it is":              {s, map[string]any{"verify_host_key": false}, ssh.Config{Insecure: true}, ""},
		"whatever it is, forbidden":   {s, map[string]any{"verify_host_key": false}, ssh.Config{}, "[ssh_executor] verify_host_key: "},
		"another key":                 {s, map[string]any{"host_key": s.Read("other.pub")}, ssh.Config{}, "host key mismatch: it presented ssh-ed25519 " + fingerprint("host") + ", expected " + fingerprint("other")},
		"another fingerprint":         {s, map[string]any{"host_key": fingerprint("other")}, ssh.Config{}, "host key mismatch: it presented ssh-ed25519 " + fingerprint("host")},
		"another kind of key":         {s, map[string]any{"host_key": s.Read("ecdsa.pub")}, ssh.Config{}, "no common algorithm for host key"},
		"known_hosts, another":        {s, map[string]any{"known_hosts": at + s.Read("other.pub")}, ssh.Config{}, "host key mismatch: it presented ssh-ed25519 " + fingerprint("host") + ", expected " + fingerprint("other")},
		"known_hosts, not there":      {s, map[string]any{"known_hosts": "example.com " + s.Read("host.pub")}, ssh.Config{}, "host key ssh-ed25519 " + fingerprint("host") + " is not known"},
		"known_hosts, revoked":        {s, map[string]any{"known_hosts": s.KnownHosts() + "@revoked * " + s.Read("host.pub")}, ssh.Config{}, "is revoked"},
		"known_hosts, nonsense":       {s, map[string]any{"known_hosts": "nonsense"}, ssh.Config{}, "[ssh_executor] known_hosts: "},
		"host_key, nonsense":          {s, map[string]any{"host_key": "nonsense"}, ssh.Config{}, "[ssh_executor] host_key: is neither"},
		"the worker's file, another":  {two, nil, ssh.Config{KnownHosts: hashed}, "is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			in := row.s.Inputs(map[string]any{"host_key": nil, "key": row.s.Read("id")})
			for field, value := range row.in {
				in[field] = value
			}
			_, err := run(t, newExecutor(t, row.cfg), in)
			if row.want != "" {
				wantRefused(t, err, row.want, "")
			} else if err != nil {
				t.Error(err)
			}
			if row.want != "" && strings.HasPrefix(row.want, "host key") && !strings.HasPrefix(err.Error(), "[ssh_executor] log in to "+row.s.User) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestHostCertificate: a host that is known by who has signed its key.
func TestHostCertificate(t *testing.T) {
	t.Parallel()
	first := sshtest.For(t) // its keys are of use
	must(t, first.Keygen("ca", ""))
	must(t, first.Keygen("signed", ""))
	keygen, _ := sshtest.Program("ssh-keygen")
	if out, err := exec.Command(keygen, "-q", "-s", first.Path("ca"), "-I", "host", "-h", "-n", "127.0.0.1", first.Path("signed.pub")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s := sshtest.For(t, "HostKey "+first.Path("signed"), "HostCertificate "+first.Path("signed-cert.pub"))
	e := newExecutor(t, ssh.Config{})
	all := fmt.Sprintf("@cert-authority [127.0.0.*]:%d ", s.Port)
	if _, err := run(t, e, s.Inputs(map[string]any{"host_key": nil, "known_hosts": all + first.Read("ca.pub")})); err != nil {
		t.Error(err)
	}
	_, err := run(t, e, s.Inputs(map[string]any{"host_key": nil, "known_hosts": all + first.Read("host.pub")}))
	wantRefused(t, err, "host key", "")
}

func TestJumpHosts(t *testing.T) {
	t.Parallel()
	s, first, second := sshtest.For(t), sshtest.For(t), sshtest.For(t)
	e := newExecutor(t, ssh.Config{})
	hop := func(s *sshtest.Server) map[string]any {
		in := s.Inputs(nil)
		delete(in, "command")
		return in
	}
	in := s.Inputs(map[string]any{"command": "echo $SSH_CONNECTION; cat", "stdin": "through", "jump": []any{hop(first), hop(second)}})
	for range 2 {
		if got, err := run(t, e, in); err != nil || !strings.HasSuffix(got.Stdout, "through") {
			t.Fatalf("got %+v, %v", got, err)
		}
	}
	for _, one := range []*sshtest.Server{s, first, second} {
		if one.Logins() != 1 {
			t.Errorf("%d connections, want 1", one.Logins())
		}
	}
	bad := hop(second)
	bad["host_key"] = first.Read("host.pub")
	_, err := run(t, e, s.Inputs(map[string]any{"jump": []any{hop(first), bad}}))
	wantRefused(t, err, "log in to "+second.User+"@"+second.Addr()+": host key mismatch", "")
	_, err = run(t, e, s.Inputs(map[string]any{"port": 1, "jump": []any{hop(first)}}))
	if err == nil || executors.IsPermanent(err) || !strings.Contains(err.Error(), "connect to 127.0.0.1:1: ") {
		t.Errorf("got %v", err)
	}
}

func TestAHostThatIsNotThere(t *testing.T) {
	t.Parallel()
	in := map[string]any{"host": "127.0.0.1", "port": 1, "username": "u", "password": "canary-pass", "command": "c"}
	_, err := run(t, newExecutor(t, ssh.Config{}), in)
	if err == nil || executors.IsPermanent(err) || !strings.Contains(err.Error(), "connect to 127.0.0.1:1: ") || strings.Contains(err.Error(), "canary-pass") {
		t.Errorf("got %v", err)
	}
	e := ssh.New(ssh.Config{}, nil) // loopback is closed
	defer e.Close()
	_, err = run(t, e, in)
	wantRefused(t, err, "127.0.0.1", "canary-pass")
}
