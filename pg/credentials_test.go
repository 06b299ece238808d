package pg

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/internal/credential"
	"github.com/taskgrove/taskgrove/internal/credential/certtest"
	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// encrypted is a Postgres that speaks TLS and has roles of three kinds: secret logs in by a password, cert by a certificate, and twofold by both.
type encrypted struct {
	t     *testing.T
	admin *pgx.Conn
	data  string
	own   *certtest.Authority // of the server
}

func newEncrypted(t *testing.T) *encrypted {
	t.Helper()
	s := &encrypted{t: t}
	var err error
	s.admin, err = pgx.Connect(t.Context(), pgtest.Own(t).URL())
	s.must(err)
	t.Cleanup(func() { _ = s.admin.Close(context.Background()) })
	s.must(s.admin.QueryRow(t.Context(), "show data_directory").Scan(&s.data))
	s.renew("server", certtest.New(t, "clients"))
	s.write("pg_hba.conf", "host all postgres 127.0.0.1/32 scram-sha-256\nhostssl all secret all scram-sha-256\n"+
		"hostssl all cert all cert\nhostssl all twofold all scram-sha-256 clientcert=verify-full\n")
	for _, statement := range []string{
		"alter system set ssl_ca_file = 'clients.pem'", "alter system set ssl = on",
		"create role secret login password 'one'", "create role cert login", "create role twofold login password 'one'",
		"create database secret owner secret", "create database cert owner cert", "create database twofold owner twofold",
		"select pg_reload_conf()",
	} {
		s.exec(statement)
	}
	return s
}

// renew gives the server a new authority, a certificate of it, and the authority of its clients.
func (s *encrypted) renew(name string, clients *certtest.Authority) {
	s.t.Helper()
	s.own = certtest.New(s.t, "authority of "+name)
	s.own.Issue(s.t, filepath.Join(s.data, "server.crt"), filepath.Join(s.data, "server.key"), certtest.Subject{Name: name})
	text, err := os.ReadFile(clients.File)
	s.must(err)
	s.write("clients.pem", string(text))
	s.hand("server.crt", "server.key")
	s.exec("select pg_reload_conf()")
}

func (s *encrypted) write(name, text string) {
	s.t.Helper()
	s.must(os.WriteFile(filepath.Join(s.data, name), []byte(text), 0o600))
	s.hand(name)
}

// hand gives files to the user that the server runs as.
func (s *encrypted) hand(names ...string) {
	s.t.Helper()
	info, err := os.Stat(s.data)
	s.must(err)
	owner := info.Sys().(*syscall.Stat_t)
	for _, name := range names {
		s.must(os.Chown(filepath.Join(s.data, name), int(owner.Uid), int(owner.Gid)))
	}
}

func (s *encrypted) exec(statement string) {
	s.t.Helper()
	_, err := s.admin.Exec(s.t.Context(), statement)
	s.must(err)
}

// cut ends all connections of a role.
func (s *encrypted) cut(role string) {
	s.t.Helper()
	s.exec("select pg_terminate_backend(pid) from pg_stat_activity where usename = '" + role + "'")
}

// url is that of a role's database, with the options.
func (s *encrypted) url(host, role string, options ...string) string {
	u := url.URL{Scheme: "postgres", User: url.User(role), Path: "/" + role, Host: host + ":" + portOf(s.admin)}
	query := u.Query()
	for i := 0; i < len(options); i += 2 {
		query.Set(options[i], options[i+1])
	}
	u.RawQuery = query.Encode()
	return u.String()
}

func portOf(c *pgx.Conn) string {
	u, _ := url.Parse(c.Config().ConnString())
	return u.Port()
}

func (s *encrypted) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// open migrates and opens the store, once the server has read its settings.
func (s *encrypted) open(cfg Config) *Store {
	s.t.Helper()
	var store *Store
	s.eventually("a migrated store", func() (err error) {
		if err = cfg.Migrate(s.t.Context(), nil); err == nil {
			store, err = Open(s.t.Context(), cfg)
		}
		return err
	})
	s.t.Cleanup(store.Close)
	s.must(store.CheckRights(s.t.Context()))
	return store
}

func (s *encrypted) eventually(what string, try func() error) {
	s.t.Helper()
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	s.t.Fatalf("no %s: %v", what, err)
}

// refused pings until the answer is a refusal with that text, which holds none of the secrets.
func (s *encrypted) refused(store *Store, want string) {
	s.t.Helper()
	var last error
	s.eventually("refusal: "+want, func() error {
		if last = store.Ping(s.t.Context()); last != nil && strings.Contains(last.Error(), want) {
			return nil
		}
		return errors.Join(errors.New("got"), last)
	})
	if strings.Contains(last.Error(), "canary") {
		s.t.Errorf("a secret is in %q", last)
	}
}

// TestPasswordsChangeWhileWeRun, those in a file and those that a command prints.
func TestPasswordsChangeWhileWeRun(t *testing.T) {
	t.Parallel()
	s := newEncrypted(t)
	file := filepath.Join(t.TempDir(), "password")
	for name, password := range map[string]func(context.Context) (string, error){
		"file": func(context.Context) (string, error) {
			return credential.File{Setting: "PASSWORD_FILE", Path: file}.Text()
		},
		"command": (&credential.Command{Setting: "PASSWORD_COMMAND", Args: []string{"cat", file}}).Run,
	} {
		t.Run(name, func(t *testing.T) {
			s.exec("alter role secret password 'canary one'")
			s.must(os.WriteFile(file, []byte("canary one\n"), 0o600))
			store := s.open(Config{URL: s.url("127.0.0.1", "secret", "sslmode", "verify-full", "sslrootcert", s.own.File), Password: password, MaxConns: 4})
			s.exec("alter role secret password 'canary two'")
			s.cut("secret")
			s.refused(store, "password authentication failed")
			s.must(os.WriteFile(file, []byte("canary two"), 0o600))
			s.eventually("connection by the new password", func() error { return store.Ping(t.Context()) })

			s.cut("secret")
			s.must(os.Remove(file))
			s.refused(store, "PASSWORD_"+strings.ToUpper(name))
			if err := store.Ping(t.Context()); !Unreachable(err) {
				t.Errorf("%v is for ever", err)
			}
			s.must(os.WriteFile(file, []byte("canary two"), 0o600))
			s.eventually("connection", func() error { return store.Ping(t.Context()) })
		})
	}
}

// TestCertificatesChangeWhileWeRun: our own, the server's, and the authorities of both at once.
func TestCertificatesChangeWhileWeRun(t *testing.T) {
	t.Parallel()
	s := newEncrypted(t)
	dir := t.TempDir()
	cert, key, root := filepath.Join(dir, "cert"), filepath.Join(dir, "key"), filepath.Join(dir, "root")
	renew := func(clients *certtest.Authority, role string) {
		clients.Issue(t, cert, key, certtest.Subject{Name: role})
		text, err := os.ReadFile(s.own.File)
		s.must(err)
		s.must(os.WriteFile(root, text, 0o600))
	}
	for role, password := range map[string]func(context.Context) (string, error){
		"cert":    nil,
		"twofold": func(context.Context) (string, error) { return "one", nil },
	} {
		t.Run(role, func(t *testing.T) {
			first, second := certtest.New(t, "first clients"), certtest.New(t, "second clients")
			s.renew("server", first)
			renew(first, role)
			store := s.open(Config{URL: s.url("127.0.0.1", role, "sslmode", "verify-full", "sslrootcert", root, "sslcert", cert, "sslkey", key), Password: password, MaxConns: 4})
			s.renew("server", second)
			s.cut(role)
			s.refused(store, "certificate")
			renew(second, role)
			s.cut(role)
			s.eventually("connection by the new certificate", func() error { return store.Ping(t.Context()) })
			renew(second, "somebody")
			s.cut(role)
			s.refused(store, "authentication failed")
		})
	}
}

// TestServersAreChecked: by sslmode=verify-full, whose certificate it is and for which name.
func TestServersAreChecked(t *testing.T) {
	t.Parallel()
	s := newEncrypted(t)
	password := func(context.Context) (string, error) { return "one", nil }
	s.open(Config{URL: s.url("127.0.0.1", "secret", "sslmode", "verify-full", "sslrootcert", s.own.File), Password: password})
	for want, at := range map[string]string{
		"certificate signed by unknown authority":    s.url("127.0.0.1", "secret", "sslmode", "verify-full", "sslrootcert", certtest.New(t, "other").File),
		"certificate is valid for server, not local": s.url("localhost", "secret", "sslmode", "verify-full", "sslrootcert", s.own.File),
		"no pg_hba.conf entry":                       s.url("127.0.0.1", "secret", "sslmode", "disable"),
	} {
		if err := (Config{URL: at, Password: password}).Migrate(t.Context(), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	err := Config{URL: s.url("127.0.0.1", "secret", "sslrootcert", "/nowhere")}.CheckCredentials(t.Context())
	if _, ok := errors.AsType[*CredentialError](err); !ok || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("got %v", err)
	}
}
