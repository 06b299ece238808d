package credential_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/internal/credential"
	"github.com/taskgrove/taskgrove/internal/credential/certtest"
)

// TestMain sets a variable of ours, which commands must not get.
func TestMain(m *testing.M) {
	_ = os.Setenv("TASKGROVE_HIDDEN", "ours")
	os.Exit(m.Run())
}

// TestCommands: what a command prints is the credential, and no error shows it.
func TestCommands(t *testing.T) {
	t.Parallel()
	const canary = "canary-4711"
	for name, tt := range map[string]struct {
		script, want, fault string
	}{
		"prints":              {"echo " + canary, canary, ""},
		"prints two lines":    {"printf '" + canary + "\\n\\n'", canary, ""},
		"fails":               {"echo " + canary + "; echo " + canary + " >&2; exit 3", "", "exit status 3"},
		"hangs":               {"echo " + canary + "; sleep 60", "", "it takes longer than 300ms"},
		"leaves a process":    {"echo " + canary + "; sleep 60 & sleep 60", "", "it takes longer than 300ms"},
		"prints too much":     {"while :; do echo " + canary + "; done", "", "it prints more than 65536 bytes"},
		"prints nothing":      {"true", "", "it prints nothing"},
		"sees no variables":   {"echo x$TASKGROVE_HIDDEN", "x", ""},
		"dies of a signal":    {"echo " + canary + "; kill -9 $$", "", "signal: killed"},
		"ends with a newline": {"echo", "", "it prints nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &credential.Command{Setting: "TASKGROVE_POSTGRES_PASSWORD_COMMAND", Args: []string{"sh", "-c", tt.script}, Time: 300 * time.Millisecond}
			if tt.fault != "it takes longer than 300ms" {
				c.Time = 10 * time.Second
			}
			begin := time.Now()
			got, err := c.Run(t.Context())
			if took := time.Since(begin); took > 8*time.Second {
				t.Errorf("it took %v", took)
			}
			if got != tt.want || (err == nil) != (tt.fault == "") {
				t.Fatalf("got %q, %v", got, err)
			}
			if err == nil {
				return
			}
			if text := err.Error(); !strings.Contains(text, tt.fault) || !strings.Contains(text, "TASKGROVE_POSTGRES_PASSWORD_COMMAND: sh: ") || strings.Contains(text, canary) {
				t.Errorf("got %q, want %q", text, tt.fault)
			}
		})
	}
}

// TestCommandsAtOnceShareOneRun: connections that are made at the same time do not start a program each.
func TestCommandsAtOnceShareOneRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := &credential.Command{Setting: "X", Args: []string{"sh", "-c", "echo run >> " + dir + "/runs; while [ ! -e " + dir + "/go ]; do sleep 0.01; done; echo yes"}}
	var asking sync.WaitGroup
	for range 16 {
		asking.Go(func() {
			if got, err := c.Run(t.Context()); got != "yes" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	impatient, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("no patience"))
	if _, err := c.Run(impatient); err == nil || err.Error() != "no patience" {
		t.Errorf("who gives up waits on: %v", err)
	}
	must(t, os.WriteFile(dir+"/go", nil, 0o600))
	asking.Wait()
	runs, err := os.ReadFile(dir + "/runs")
	must(t, err)
	if n := bytes.Count(runs, []byte("run")); n > 3 { // one, unless a call came after the first had ended
		t.Errorf("%d runs for 17 calls at once", n)
	}
}

func TestFileFaults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty, large, fine := filepath.Join(dir, "empty"), filepath.Join(dir, "large"), filepath.Join(dir, "fine")
	must(t, os.WriteFile(empty, []byte("\n"), 0o600))
	must(t, os.WriteFile(large, make([]byte, credential.MaxBytes+1), 0o600))
	must(t, os.WriteFile(fine, []byte("pass word \r\n"), 0o600))
	for path, want := range map[string]string{
		dir:           dir + " is no file",
		"/dev/zero":   "/dev/zero is no file",
		dir + "/none": "no such file",
		empty:         empty + " is empty",
		large:         "is larger than 1048576 bytes",
		fine:          "",
	} {
		text, err := credential.File{Setting: "TASKGROVE_X_FILE", Path: path}.Text()
		if want == "" {
			if text != "pass word " || err != nil {
				t.Errorf("%s: got %q, %v", path, text, err)
			}
			continue
		}
		if fault, ok := errors.AsType[*credential.Error](err); !ok || fault.Setting != "TASKGROVE_X_FILE" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
}

func TestPairFaults(t *testing.T) {
	t.Parallel()
	ca := certtest.New(t, "a")
	cert, key := ca.Pair(t, "one")
	_, otherKey := ca.Pair(t, "two")
	for want, pair := range map[string][2]string{
		"KEY: " + otherKey + " and the certificate of " + cert + ": tls: private key does not match": {cert, otherKey},
		"KEY: not set, though CERT is":                        {cert, ""},
		"CERT: not set, though KEY is":                        {"", key},
		"CERT: stat " + cert + "x: no such file or directory": {cert + "x", key},
		"KEY: " + cert + " and the certificate of":            {cert, cert},
	} {
		_, err := credential.Pair{Cert: credential.File{Setting: "CERT", Path: pair[0]}, Key: credential.File{Setting: "KEY", Path: pair[1]}}.Read()
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// mounted is a directory like a mounted Secret of Kubernetes: files are links into one that is itself a link, and is replaced as a whole.
type mounted struct {
	dir string
	n   int
}

func (m *mounted) publish(t *testing.T, fill func(dir string)) {
	t.Helper()
	m.n++
	name := fmt.Sprintf("..%d", m.n)
	must(t, os.Mkdir(filepath.Join(m.dir, name), 0o700))
	fill(filepath.Join(m.dir, name))
	must(t, os.Symlink(name, filepath.Join(m.dir, "..new")))
	must(t, os.Rename(filepath.Join(m.dir, "..new"), filepath.Join(m.dir, "..data")))
	for _, file := range []string{"tls.crt", "tls.key", "ca.crt"} {
		_ = os.Symlink("..data/"+file, filepath.Join(m.dir, file))
	}
}

// TestServerReadsAgain: a new certificate, and new authorities of clients, count for new connections; what can't be read leaves the old ones.
func TestServerReadsAgain(t *testing.T) {
	t.Parallel()
	secret := &mounted{dir: t.TempDir()}
	ca, clients, others := certtest.New(t, "servers"), certtest.New(t, "clients"), certtest.New(t, "other clients")
	publish := func(name string, lasts time.Duration, of *certtest.Authority) {
		secret.publish(t, func(dir string) {
			ca.Issue(t, filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), certtest.Subject{Name: name, Lasts: lasts})
			text, err := os.ReadFile(of.File)
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, "ca.crt"), text, 0o600))
		})
	}
	publish("first", 0, clients)
	var log lockedBuffer
	file := func(setting, name string) credential.File {
		return credential.File{Setting: setting, Path: filepath.Join(secret.dir, name)}
	}
	server, err := credential.NewServer(credential.ServerFiles{
		Pair: credential.Pair{Cert: file("CERT", "tls.crt"), Key: file("KEY", "tls.key")}, ClientCA: file("CA", "ca.crt"),
	}, slog.New(slog.NewTextHandler(&log, nil)))
	must(t, err)
	cfg, err := server.Config(credential.Listener{ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13, Protocols: "h2"})
	must(t, err)
	address := listen(t, cfg)
	trusted, untrusted := ca.Client(t, ""), ca.Client(t, "")
	for cfg, of := range map[*tls.Config]*certtest.Authority{trusted: clients, untrusted: others} {
		pair := of.Client(t, "who").Certificates[0]
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil } // also where it is of no use
	}

	shown := func(cfg *tls.Config) string { return dial(address, cfg) }
	if got := shown(trusted); got != "first" {
		t.Fatalf("got %s", got)
	}
	if got := shown(untrusted); !strings.Contains(got, "unknown certificate authority") {
		t.Errorf("a certificate of others: %s", got)
	}
	if got := shown(ca.Client(t, "")); !strings.Contains(got, "certificate required") {
		t.Errorf("no certificate: %s", got)
	}

	publish("second", 0, others)
	eventually(t, "the second certificate", func() bool { return shown(untrusted) == "second" })
	if got := shown(trusted); !strings.Contains(got, "unknown certificate authority") {
		t.Errorf("an authority that is gone counts: %s", got)
	}
	ends := server.NotAfter()

	secret.publish(t, func(dir string) {
		must(t, os.WriteFile(filepath.Join(dir, "tls.crt"), []byte("no PEM"), 0o600))
	})
	eventually(t, "a failure", func() bool { server.Look(); return server.Failures() == 1 })
	if got := shown(untrusted); got != "second" || !server.NotAfter().Equal(ends) {
		t.Errorf("after a broken file: %s", got)
	}
	publish("ended", -time.Hour, others)
	eventually(t, "another failure", func() bool { server.Look(); return server.Failures() == 2 })
	if got := shown(untrusted); got != "second" {
		t.Errorf("after a certificate that had ended: %s", got)
	}
	publish("third", 0, clients)
	eventually(t, "the third certificate", func() bool { return shown(trusted) == "third" })
	if text := log.String(); strings.Count(text, "level=ERROR") != 2 || !strings.Contains(text, "CERT: the certificate of") {
		t.Errorf("logged:\n%s", text)
	}
}

func listen(t *testing.T, cfg *tls.Config) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "hello")
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

// dial gives the name in the server's certificate, or why there is no connection.
func dial(address string, cfg *tls.Config) string {
	raw, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return err.Error()
	}
	defer raw.Close() //nolint:errcheck // it is only read from
	own := cfg.Clone()
	own.ServerName = "127.0.0.1"
	c := tls.Client(raw, own)
	if _, err := io.ReadAll(c); err != nil {
		return err.Error()
	}
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s", what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
