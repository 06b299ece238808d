package sql

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/network"
)

// target is where to go, and as whom.
type target struct {
	driver                       string // postgres, mysql or sqlite; empty: unknown
	host                         string
	port                         int
	username, password, database string
	tls, ca, cert, key           string
	fileRoot                     string // of SQLite
	filesReadOnly                bool
	dialer                       *network.Dialer
	poolKey                      [sha256.Size]byte // same for attempts that may share a session
}

// memory is SQLite's name of a database that has no file.
const memory = ":memory:"

// aim makes the target of an attempt.
func (in *input) aim(call *executors.Call, cfg *Config, t *target) error {
	fields := *in
	if fields.TLS == "" {
		fields.TLS = fields.SSLMode
	}
	if in.URL != "" {
		if err := fields.readURL(); err != nil {
			return err
		}
	}
	driver := fields.Driver
	switch driver {
	case "":
		return errors.New("driver is required in inputs (postgres, mysql, mariadb or sqlite), or a url that begins with it")
	case "mariadb":
		driver = mysql
	case postgres, mysql, sqlite:
	default:
		return errors.New("driver must be postgres, mysql, mariadb or sqlite")
	}
	*t = target{
		driver: driver, host: fields.Host, port: fields.Port, username: fields.Username, password: fields.Password, database: fields.Database,
		tls: fields.TLS, ca: fields.CA, cert: fields.ClientCert, key: fields.ClientKey,
	}
	t.fileRoot, t.filesReadOnly = cfg.Place(call.Pool)
	t.dialer = cfg.Network.Pool(call.Pool)
	if call.Connection != "" {
		t.dialer = t.dialer.Trusted()
	}
	if err := t.check(); err != nil {
		return err
	}
	whole, _ := json.Marshal([]any{driver, t.host, t.port, t.username, t.password, t.database, t.tls, t.ca, t.cert, t.key, call.Pool, call.Connection})
	t.poolKey = sha256.Sum256(whole)
	return nil
}

func (t *target) check() error {
	if t.driver == sqlite {
		switch {
		case t.database == "":
			return errors.New("database is required in inputs: the path of SQLite's file, or :memory:")
		case t.database == memory:
		case t.fileRoot == "":
			return errors.New("database: this worker opens no files, as its TASKGROVE_FILE_ROOT is not set, nor files.root for the pool in its file; :memory: works")
		case !filepath.IsLocal(t.database):
			return errors.New("database must be a path below the worker's TASKGROVE_FILE_ROOT")
		}
		return nil
	}
	if t.host == "" {
		return errors.New("host is required in inputs, or a url")
	}
	if t.port == 0 {
		t.port = map[string]int{postgres: 5432, mysql: 3306}[t.driver]
	}
	if t.port < 1 || t.port > 65535 {
		return errors.New("port must be from 1 to 65535")
	}
	if t.tls == "" {
		t.tls = "verify-full"
	}
	if !slices.Contains([]string{"verify-full", "require", "disable"}, t.tls) {
		return errors.New("tls must be verify-full, require or disable")
	}
	_, err := t.tlsConfig()
	return err
}

// readURL sets the fields that are empty to what the URL says. Its errors never show the URL, which may hold a password.
func (in *input) readURL() error {
	if path, ok := strings.CutPrefix(in.URL, "sqlite:"); ok {
		path = strings.TrimPrefix(path, "///")
		return in.fill(input{Driver: sqlite, Database: path})
	}
	u, err := url.Parse(in.URL)
	if err != nil || u.Opaque != "" {
		return errors.New("url is no URL (in a user name or password, write special characters as %XX)")
	}
	from := input{Driver: u.Scheme, Host: u.Hostname(), Username: u.User.Username(), Database: strings.TrimPrefix(u.Path, "/")}
	if from.Driver == "postgresql" {
		from.Driver = postgres
	}
	from.Password, _ = u.User.Password()
	if !slices.Contains([]string{postgres, mysql, "mariadb"}, from.Driver) {
		return errors.New("url must begin with postgres://, mysql://, mariadb:// or sqlite:")
	}
	if port := u.Port(); port != "" {
		if from.Port, err = strconv.Atoi(port); err != nil {
			return errors.New("url has a port that is no number")
		}
	}
	for key, values := range u.Query() {
		switch key {
		case "sslmode", "tls":
			from.TLS = values[0]
		case "host":
			from.Host = values[0] // a unix socket's directory, which can't be where hosts are
		default:
			return fmt.Errorf("url has the option %.64q, which is not known: only tls (or sslmode) and host are", key)
		}
	}
	return in.fill(from)
}

func (in *input) fill(from input) error {
	if in.Driver != "" && in.Driver != from.Driver {
		return errors.New("url and driver name different kinds of databases")
	}
	in.Driver = from.Driver
	for _, f := range []struct{ field, from *string }{
		{&in.Host, &from.Host}, {&in.Username, &from.Username}, {&in.Password, &from.Password}, {&in.Database, &from.Database}, {&in.TLS, &from.TLS},
	} {
		if *f.field == "" {
			*f.field = *f.from
		}
	}
	if in.Port == 0 {
		in.Port = from.Port
	}
	return nil
}

// address is where to dial.
func (t *target) address() (network, address string) {
	if !strings.HasPrefix(t.host, "/") {
		return "tcp", net.JoinHostPort(t.host, strconv.Itoa(t.port))
	}
	if t.driver == postgres {
		return "unix", t.host + "/.s.PGSQL." + strconv.Itoa(t.port)
	}
	return "unix", t.host
}

// where names the target in errors.
func (t *target) where() string {
	if t.driver == sqlite {
		return "sqlite " + t.database
	}
	_, address := t.address()
	return t.driver + " at " + address
}

// tlsConfig is nil without TLS.
func (t *target) tlsConfig() (*tls.Config, error) {
	if t.tls == "disable" || strings.HasPrefix(t.host, "/") {
		return nil, nil
	}
	cfg := t.dialer.TLS(t.host)
	if t.ca != "" {
		if cfg.RootCAs == nil {
			if system, err := x509.SystemCertPool(); err == nil {
				cfg.RootCAs = system
			} else {
				cfg.RootCAs = x509.NewCertPool()
			}
		} else {
			cfg.RootCAs = cfg.RootCAs.Clone()
		}
		if !cfg.RootCAs.AppendCertsFromPEM([]byte(t.ca)) {
			return nil, errors.New("ca holds no certificate in PEM")
		}
	}
	if t.cert != "" || t.key != "" {
		pair, err := tls.X509KeyPair([]byte(t.cert), []byte(t.key))
		if err != nil {
			return nil, errors.New("client_cert and client_key are no certificate and its key in PEM")
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	cfg.InsecureSkipVerify = t.tls == "require" //nolint:gosec // asked for by the task
	return cfg, nil
}
