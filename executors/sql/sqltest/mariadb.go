// Package sqltest starts MariaDB servers for tests.
//
// It owns such a server: its files, its account, its end. It must not know what is tested.
package sqltest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	stdsql "database/sql"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver of the account that tests use

	"github.com/taskgrove/taskgrove/internal/porttest"
)

// MariaDB is a server of a test's own, with an account test whose password is p4ssword.
type MariaDB struct {
	Port int
	Cert []byte // of its TLS, signed by itself, in PEM

	made atomic.Int64 // databases
}

// program finds what Debian has where only root's PATH looks.
func program(names ...string) string {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
		if path, err := exec.LookPath("/usr/sbin/" + name); err == nil {
			return path
		}
	}
	return ""
}

// Database is a fresh one, as inputs of executors and as a connection of the test's own.
func (s *MariaDB) Database(t testing.TB) (map[string]any, *stdsql.DB) {
	t.Helper()
	name := fmt.Sprintf("t%d", s.made.Add(1))
	db, err := stdsql.Open("mysql", fmt.Sprintf("test:p4ssword@tcp(127.0.0.1:%d)/", s.Port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1) // so that USE holds
	for _, statement := range []string{"CREATE DATABASE " + name, "USE " + name} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return map[string]any{"driver": "mariadb", "host": "127.0.0.1", "port": s.Port, "username": "test", "password": "p4ssword", "database": name, "tls": "disable"}, db
}

// StartMariaDB starts a server in a directory of its own, which ends with the test. Without the program on this machine the test is skipped; in CI it fails.
func StartMariaDB(t testing.TB) *MariaDB {
	t.Helper()
	daemon := program("mariadbd")
	if daemon == "" {
		const lacking = "there is no MariaDB server on this machine: apt-get install mariadb-server-core"
		if os.Getenv("CI") != "" {
			t.Fatal(lacking)
		}
		t.Skip(lacking)
	}
	dir, err := os.MkdirTemp("", "taskgrove-maria-") // not the test's: its path may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := mariaHome(dir); err != nil {
		t.Fatal(err)
	}
	makeMaria(t, daemon, dir)
	s := &MariaDB{Port: porttest.Port(t)}
	cert, key := Certificate(t, "127.0.0.1")
	s.Cert = cert
	for name, text := range map[string][]byte{"cert.pem": cert, "key.pem": key} {
		if err := errors.Join(os.WriteFile(filepath.Join(dir, name), text, 0o600), mariaHome(filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
	}
	server := exec.Command(daemon, "--no-defaults", "--datadir="+filepath.Join(dir, "data"), "--bind-address=127.0.0.1", "--port="+strconv.Itoa(s.Port),
		"--socket="+filepath.Join(dir, "socket"), "--pid-file="+filepath.Join(dir, "pid"), "--tmpdir="+dir, "--secure-file-priv=", "--innodb-buffer-pool-size=16M",
		"--innodb-flush-log-at-trx-commit=0", "--skip-log-bin", "--ssl-cert="+filepath.Join(dir, "cert.pem"), "--ssl-key="+filepath.Join(dir, "key.pem"), "--performance-schema=off", "--local-infile=1", "--max-connections=200")
	server.SysProcAttr = mariaAttributes()
	var said strings.Builder
	server.Stderr = &said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	if err := mariaReady(filepath.Join(dir, "socket")); err != nil {
		_ = server.Process.Kill()
		_ = server.Wait()
		t.Fatalf("%v\n%s", err, said.String())
	}
	return s
}

// makeMaria makes the server's own tables, as mariadb-install-db does, which wants programs of other packages.
func makeMaria(t testing.TB, daemon, dir string) {
	t.Helper()
	script := "create database mysql;\nuse mysql;\nSET @auth_root_socket=NULL;\n"
	for _, name := range []string{"system_tables.sql", "performance_tables.sql", "system_tables_data.sql"} {
		var text []byte
		for _, path := range []string{"/usr/share/mysql/mysql_", "/usr/share/mysql/mariadb_", "/usr/share/mariadb/mariadb_"} {
			if found, err := os.ReadFile(path + name); err == nil {
				text = found
			}
		}
		if text == nil {
			t.Fatalf("the server's %s is not where Debian has it", name)
		}
		script += string(text) + "\n"
	}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := mariaHome(data); err != nil {
		t.Fatal(err)
	}
	bootstrap := exec.CommandContext(t.Context(), daemon, "--no-defaults", "--bootstrap", "--datadir="+data, "--tmpdir="+dir, "--log-warnings=0",
		"--enforce-storage-engine=", "--max-allowed-packet=8M", "--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0")
	bootstrap.SysProcAttr = mariaAttributes()
	bootstrap.Stdin = strings.NewReader(script)
	if out, err := bootstrap.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// mariaReady waits for the server, and makes the account of the tests.
func mariaReady(socket string) error {
	root, err := stdsql.Open("mysql", "root@unix("+socket+")/")
	if err != nil {
		return err
	}
	defer root.Close()
	for deadline := time.Now().Add(60 * time.Second); ; {
		if err = root.Ping(); err == nil {
			break
		}
		if time.Now().After(deadline) {
			return err
		}
		<-time.After(20 * time.Millisecond)
	}
	for _, statement := range []string{"CREATE USER test@'%' IDENTIFIED BY 'p4ssword'", "GRANT ALL ON *.* TO test@'%'"} {
		if _, err := root.Exec(statement); err != nil {
			return err
		}
	}
	return nil
}

// mariaAccount is who the server runs as if we are root, which it refuses.
func mariaAccount() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return nil
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func mariaAttributes() *syscall.SysProcAttr {
	a := withParent()
	a.Credential = mariaAccount()
	return a
}

func mariaHome(dir string) error {
	if c := mariaAccount(); c != nil {
		return os.Chown(dir, int(c.Uid), int(c.Gid))
	}
	return nil
}

// Certificate is one for an address, signed by itself, with its key; both as PEM.
func Certificate(t testing.TB, address string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(address)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}
