package pgtest

import (
	"bufio"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/internal/porttest"
)

// bouncerConfig is PgBouncer's, with its defaults but for addresses and the mode. Few connections to the server, so that
// transactions do get others than the ones before them.
const bouncerConfig = `[databases]
* = host=%s port=%s user=%s password=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = %s
default_pool_size = %d
max_client_conn = 1000
%s
`

// BouncerOptions says how [Bouncer] is set up.
type BouncerOptions struct {
	Mode  string   // transaction when empty
	Size  int      // connections to the server of each database; 0: 4
	Extra []string // more lines of its configuration
}

// Bouncer starts a PgBouncer before the database at dsn, one of [Database] or [Own], and returns the URL through it. It ends with
// the test. Without a PgBouncer on this machine the test is skipped, in CI it fails.
func Bouncer(t testing.TB, dsn string, opts BouncerOptions) string {
	t.Helper()
	program, err := bouncerProgram()
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	port := porttest.Port(t)
	if opts.Mode == "" {
		opts.Mode = "transaction"
	}
	if opts.Size == 0 {
		opts.Size = 4
	}
	file := filepath.Join(t.TempDir(), "pgbouncer.ini")
	text := fmt.Sprintf(bouncerConfig, u.Hostname(), u.Port(), u.User.Username(), password, port, opts.Mode, opts.Size, strings.Join(opts.Extra, "\n"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	startBouncer(t, program, file)
	u.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	return u.String()
}

// bouncerProgram is the path of PgBouncer, which Debian has where only root's PATH looks.
func bouncerProgram() (string, error) {
	if path, err := exec.LookPath("pgbouncer"); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/pgbouncer")
}

// startBouncer starts it and waits until it is up.
func startBouncer(t testing.TB, program, file string) {
	t.Helper()
	args := []string{file}
	if os.Geteuid() == 0 { // it refuses to run as root, as Postgres does
		for _, name := range []string{"nobody", "postgres"} {
			if _, err := user.Lookup(name); err == nil {
				args = []string{"-u", name, file}
			}
		}
	}
	cmd := exec.Command(program, args...)
	cmd.SysProcAttr = withParent()
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started, ended := make(chan struct{}), make(chan struct{})
	var said []string // until it has started; read when it has ended
	go func() {       // ends with the process
		defer close(ended)
		up := false
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if !up {
				said = append(said, lines.Text())
			}
			if !up && strings.Contains(lines.Text(), "process up") {
				up = true
				close(started)
			}
		}
	}()
	t.Cleanup(func() { // after what uses it
		_ = cmd.Process.Kill()
		<-ended
		_ = cmd.Wait()
	})
	select {
	case <-started:
	case <-ended:
		t.Fatalf("pgbouncer ended:\n%s", strings.Join(said, "\n"))
	}
}
