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
	"regexp"
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

// Where are the inputs that say where a database is, and as whom to go there. Executors embed them.
type Where struct {
	Driver     string          `json:"driver"`
	URL        string          `json:"url"`
	Host       string          `json:"host"`
	Port       Port            `json:"port"`
	Username   string          `json:"username"`
	User       string          `json:"user"`
	Password   string          `json:"password"`
	Database   string          `json:"database"`
	Path       string          `json:"path"`
	DSN        string          `json:"dsn"`
	TLS        string          `json:"tls"`
	SSLMode    string          `json:"sslmode"`
	CA         string          `json:"ca"`
	ClientCert string          `json:"client_cert"`
	ClientKey  string          `json:"client_key"`
	Options    json.RawMessage `json:"options"` // of pools, which are the worker's to decide
}

// Port is a port, or a text that holds one, as the values of environments do.
type Port int

// UnmarshalJSON implements [json.Unmarshaler].
func (p *Port) UnmarshalJSON(text []byte) error {
	word := string(text)
	switch {
	case word == "null":
		return nil
	case text[0] == '"':
		if err := json.Unmarshal(text, &word); err != nil {
			return err
		}
	}
	n, err := strconv.Atoi(strings.TrimSpace(word))
	*p = Port(n)
	return err
}

// fields are the names of the inputs in [Where].
var fields = []string{"driver", "url", "host", "port", "username", "user", "password", "database", "path", "dsn", "tls", "sslmode", "ca", "client_cert", "client_key", "options"}

// alias takes what other programs call a field, if the field itself is not there.
func alias(field *string, others ...string) {
	for _, other := range others {
		if *field == "" {
			*field = other
		}
	}
}

// aim makes the target of an attempt.
func (in *Where) aim(call *executors.Call, cfg *Config, t *target) error {
	fields := *in // what they come to
	alias(&fields.TLS, fields.SSLMode)
	alias(&fields.Username, fields.User)
	alias(&fields.Database, fields.Path)
	if !strings.Contains(fields.DSN, "://") && fields.DSN != "" {
		if err := fields.readDSN(); err != nil {
			return err
		}
	}
	alias(&fields.URL, fields.DSN)
	if fields.URL != "" {
		if err := fields.readURL(); err != nil {
			return err
		}
	}
	driver := fields.Driver
	if d, ok := aliases[driver]; ok {
		driver = d
	}
	switch driver {
	case "":
		return errors.New("driver is required in inputs (postgres, mysql, mariadb, sqlite, sqlserver or oracle), or a url that begins with it")
	case postgres, mysql, sqlite:
	case sqlserver, oracle:
		if openers[driver] == nil {
			return fmt.Errorf("driver: this worker has none for %s: it needs the image taskgrove-worker-etl, or a build with the tag etl", driver)
		}
	default:
		return errors.New("driver must be postgres, mysql, mariadb, sqlite, sqlserver or oracle")
	}
	*t = target{
		driver: driver, host: fields.Host, port: int(fields.Port), username: fields.Username, password: fields.Password, database: fields.Database,
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
			return errors.New("database: this worker opens no files, as its TASKGROVE_FILE_ROOT is not set, nor files.root for the pool in its file, or the pool is of the mode enterprise; :memory: works")
		case !filepath.IsLocal(t.database):
			return errors.New("database must be a path below the worker's TASKGROVE_FILE_ROOT")
		}
		return nil
	}
	if t.host == "" {
		return errors.New("host is required in inputs, or a url")
	}
	if t.port == 0 {
		t.port = map[string]int{postgres: 5432, mysql: 3306, sqlserver: 1433, oracle: 1521}[t.driver]
	}
	if t.port < 1 || t.port > 65535 {
		return errors.New("port must be from 1 to 65535")
	}
	switch {
	case strings.HasPrefix(t.host, "/") && openers[t.driver] != nil:
		return fmt.Errorf("host: %s has no unix socket", t.driver)
	case t.driver == sqlserver && strings.Contains(t.host, `\`):
		return errors.New("host must not name an instance: give the port that it listens on")
	case t.driver == oracle && t.database == "":
		return errors.New("database is required in inputs: the name of Oracle's service")
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

// aliases are other names of drivers, in fields and as the schemes of URLs.
var aliases = map[string]string{"mariadb": mysql, "postgresql": postgres, "sqlite3": sqlite, "mssql": sqlserver, "oracledb": oracle, "sqlalchemy": ""}

// readURL sets the fields that are empty to what the URL says. Its errors never show the URL, which may hold a password.
func (in *Where) readURL() error {
	scheme, rest, _ := strings.Cut(in.URL, ":")
	scheme, _, _ = strings.Cut(scheme, "+") // the library that SQLAlchemy would use
	if scheme == sqlite {
		return in.fill(Where{Driver: sqlite, Database: strings.TrimPrefix(rest, "///")})
	}
	u, err := url.Parse(in.URL)
	if err != nil || u.Opaque != "" {
		return errors.New("url is no URL (in a user name or password, write special characters as %XX)")
	}
	from := Where{Driver: scheme, Host: u.Hostname(), Username: u.User.Username(), Database: strings.TrimPrefix(u.Path, "/")}
	if d := aliases[scheme]; d != "" {
		from.Driver = d
	}
	from.Password, _ = u.User.Password()
	if !slices.Contains([]string{postgres, mysql, sqlserver, oracle}, from.Driver) {
		return errors.New("url must begin with postgres://, mysql://, mariadb://, sqlserver://, oracle:// or sqlite:")
	}
	if port := u.Port(); port != "" {
		n, err := strconv.Atoi(port)
		if err != nil {
			return errors.New("url has a port that is no number")
		}
		from.Port = Port(n)
	}
	for key, values := range u.Query() {
		switch {
		case key == "sslmode" || key == "tls":
			from.TLS = values[0]
		case key == "host":
			from.Host = values[0] // a unix socket's directory, which can't be where hosts are
		case key == "database" && from.Driver == sqlserver, key == "service_name" && from.Driver == oracle:
			from.Database = values[0]
		default:
			return fmt.Errorf("url has the option %.64q, which is not known: only tls (or sslmode) and host are, database of sqlserver, and service_name of oracle", key)
		}
	}
	return in.fill(from)
}

// dsnForm is host:port/service, as Oracle writes it.
var dsnForm = regexp.MustCompile(`^(?://)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?/([A-Za-z0-9_.$#-]+)$`)

// readDSN reads what Oracle calls its short form of a place.
func (in *Where) readDSN() error {
	parts := dsnForm.FindStringSubmatch(in.DSN)
	if parts == nil {
		return errors.New("dsn must be host:port/service, or a URL")
	}
	from := Where{Driver: in.Driver, Host: strings.Trim(parts[1], "[]"), Database: parts[3]}
	if n, err := strconv.Atoi(parts[2]); err == nil {
		from.Port = Port(n)
	}
	in.DSN = ""
	return in.fill(from)
}

func (in *Where) fill(from Where) error {
	driver := in.Driver
	if d, ok := aliases[driver]; ok {
		driver = d
	}
	if driver != "" && driver != from.Driver && in.Driver != from.Driver {
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
