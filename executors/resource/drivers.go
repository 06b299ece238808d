package resource

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
)

// form is what a setting is. Texts of the environment stand for any of them.
type form int

const (
	isText form = iota
	isInteger
	isNumber
	isBoolean
	isTexts // a map of texts
	isWords // a list of texts
	isMap
)

var formWords = map[form]string{isText: "a text", isInteger: "an integer", isNumber: "a number", isBoolean: "true or false", isTexts: "a map of texts", isWords: "a list of texts", isMap: "a map"}

// key is a setting.
type key struct {
	path   string // dotted
	form   form
	also   []string // other names, dotted
	fields []string // of a connection: the first that the executor has; nil: it has no effect
	secret bool
	preset string // what counts without it, for people
	note   string // for people
}

// Driver is how a kind of system is spoken to.
type Driver struct {
	Kind, Name string
	// Type is that of the connections that come of it; empty: what its URL says.
	Type string

	config, options []key
	needs           [][]string        // of each list, config has one
	fixed           map[string]string // fields that every connection of it has, if the executor takes them
	note            string
	absent          string // why no executor of Taskgrove reaches it; empty: some do
}

var cacheKey = key{path: "cache", preset: "`run`", note: "no effect: workers keep connections by what is in them"}

var (
	databaseConfig = []key{
		{path: "url", fields: []string{"url"}, note: "such as `postgresql://user:{{env.DB_PASSWORD}}@host:5432/database`, with the scheme of the database; or the parts below"},
		{path: "host", fields: []string{"host"}},
		{path: "port", form: isInteger, fields: []string{"port"}},
		{path: "user", also: []string{"username"}, fields: []string{"username", "user"}},
		{path: "password", fields: []string{"password"}, secret: true},
		{path: "database", also: []string{"dbname"}, fields: []string{"database"}},
		{path: "sslmode", fields: []string{"sslmode"}, preset: "`verify-full`"},
		{path: "tls", fields: []string{"tls"}, note: "as `sslmode`"},
		{path: "ca", fields: []string{"ca"}},
		{path: "client_cert", fields: []string{"client_cert"}},
		{path: "client_key", fields: []string{"client_key"}, secret: true},
	}
	databaseOptions = []key{
		{path: "pool.size", form: isInteger, also: []string{"pool_size"}}, {path: "pool.max_overflow", form: isInteger, also: []string{"max_overflow"}},
		{path: "pool.recycle_seconds", form: isInteger, also: []string{"pool_recycle"}}, {path: "pool.pre_ping", form: isBoolean, also: []string{"pool_pre_ping"}},
		{path: "connect_args.sslmode", fields: []string{"sslmode"}}, {path: "connect_args", form: isMap}, cacheKey,
	}
	fileOptions = []key{{path: "timeout", form: isNumber, fields: []string{"timeout"}, preset: "30"}, {path: "retry.max_attempts", form: isInteger, fields: []string{"retry"}}, cacheKey}
	urlOrHost   = [][]string{{"url", "host"}}
	smbConfig   = []key{
		{path: "server", fields: []string{"server", "host"}}, {path: "share", fields: []string{"share"}}, {path: "username", also: []string{"user"}, fields: []string{"username", "user"}},
		{path: "password", fields: []string{"password"}, secret: true}, {path: "port", form: isInteger, fields: []string{"port"}, preset: "445"},
		{path: "domain", fields: []string{"domain"}}, {path: "server_name", fields: []string{"server_name"}}, {path: "client_name", fields: []string{"client_name"}},
		{path: "signing", form: isBoolean, fields: []string{"signing"}, preset: "true", note: "false: for shares of guests"},
		{path: "encryption", form: isBoolean, fields: []string{"encryption"}, preset: "false", note: "true: a server that does not encrypt is refused"},
	}
	sftpConfig = []key{
		{path: "host", fields: []string{"host"}}, {path: "port", form: isInteger, fields: []string{"port"}, preset: "22"}, {path: "user", also: []string{"username"}, fields: []string{"user", "username"}},
		{path: "password", fields: []string{"password"}, secret: true}, {path: "pkey_path", fields: []string{"pkey_path", "key_file"}, note: "a file of the worker"},
		{path: "pkey", also: []string{"key"}, fields: []string{"pkey", "key"}, secret: true}, {path: "passphrase", fields: []string{"passphrase"}, secret: true},
		{path: "known_hosts", fields: []string{"known_hosts"}}, {path: "host_key", fields: []string{"host_key"}}, {path: "insecure_host_key", form: isBoolean, fields: []string{"insecure_host_key"}, preset: "false"},
	}
	sftpNeeds = [][]string{{"host"}, {"user"}}
)

// drivers are all that there are, in the order of the page.
var drivers = []Driver{
	{Kind: "rest", Name: "httpx", Type: "http", needs: [][]string{{"base_url"}},
		config: []key{
			{path: "base_url", fields: []string{"base_url"}}, {path: "headers", form: isTexts, fields: []string{"auth_headers"}},
			{path: "bearer_token", fields: []string{"auth"}, secret: true, note: "sets `Authorization`, unless `headers` has one"},
		},
		options: []key{
			{path: "timeout", form: isNumber, also: []string{"timeouts.total"}, fields: []string{"timeout"}, preset: "30"}, {path: "verify_ssl", form: isBoolean, fields: []string{"verify"}, preset: "true"},
			{path: "retry.max_attempts", form: isInteger, also: []string{"retries"}, fields: []string{"retries"}, preset: "0", note: "how often a request is repeated"}, cacheKey,
		}},
	{Kind: "mail", Name: "smtp", Type: "smtp", needs: [][]string{{"host"}},
		config: []key{
			{path: "host", fields: []string{"host"}}, {path: "port", form: isInteger, fields: []string{"port"}, preset: "587"}, {path: "username", also: []string{"user"}, fields: []string{"username", "user"}},
			{path: "password", fields: []string{"password"}, secret: true}, {path: "starttls", form: isBoolean, fields: []string{"starttls"}, preset: "true with port 587"},
			{path: "from_addr", fields: []string{"from_addr"}, preset: "that of `username`"},
		}, options: fileOptions},
	{Kind: "sftp", Name: "paramiko", Type: "sftp", config: sftpConfig, options: fileOptions, needs: sftpNeeds},
	{Kind: "sftp", Name: "ssh", Type: "sftp", config: sftpConfig, options: fileOptions, needs: sftpNeeds},
	{Kind: "smb", Name: "smbclient", Type: "smb", config: smbConfig, options: fileOptions, needs: [][]string{{"server"}}},
	{Kind: "smb", Name: "pysmb", Type: "smb", config: smbConfig, options: fileOptions, needs: [][]string{{"server"}}},
	{Kind: "db", Name: "postgres", Type: "postgres", config: databaseConfig, options: databaseOptions, needs: urlOrHost},
	{Kind: "db", Name: "mysql", Type: "mysql", config: databaseConfig, options: databaseOptions, needs: urlOrHost},
	{Kind: "db", Name: "sqlalchemy", config: databaseConfig[:1], options: databaseOptions, needs: [][]string{{"url"}}, note: "the database that the URL names"},
	{Kind: "db", Name: "sqlite3", Type: "sqlite", needs: [][]string{{"path", "url"}}, options: []key{cacheKey},
		config: []key{{path: "path", fields: []string{"database"}, note: "a file of the worker, or `:memory:`"}, {path: "url", fields: []string{"url"}, note: "`sqlite:///path`"}}},
	{Kind: "db", Name: "sqlserver", Type: "sqlserver", config: databaseConfig, options: databaseOptions, needs: urlOrHost},
	{Kind: "db", Name: "mssql", Type: "sqlserver", config: databaseConfig, options: databaseOptions, needs: urlOrHost},
	{Kind: "db", Name: "oracledb", Type: "oracle", needs: [][]string{{"user"}, {"password"}, {"dsn"}},
		config: []key{
			{path: "user", also: []string{"username"}, fields: []string{"username", "user"}}, {path: "password", fields: []string{"password"}, secret: true},
			{path: "dsn", fields: []string{"dsn"}, note: "`host:port/service`"},
		},
		options: []key{{path: "oracle.lib_dir"}, {path: "pool.enabled", form: isBoolean}, {path: "pool.size", form: isInteger}, {path: "arraysize", form: isInteger, fields: []string{"arraysize"}}, cacheKey}},
	{Kind: "db", Name: "duckdb", Type: "duckdb", absent: absentDuckDB, options: []key{{path: "extensions", form: isWords, fields: []string{"extensions"}}, {path: "pragmas", form: isMap, fields: []string{"pragmas"}}, cacheKey},
		config: []key{{path: "path", fields: []string{"path"}, preset: "`:memory:`"}, {path: "read_only", form: isBoolean, fields: []string{"read_only"}, preset: "false"}}},
	{Kind: "db", Name: "exasol", Type: "exasol", absent: absentExasol, needs: [][]string{{"dsn"}, {"user"}, {"password"}}, options: []key{{path: "timeout", form: isNumber, fields: []string{"timeout"}}, cacheKey},
		config: []key{{path: "dsn", fields: []string{"dsn"}}, {path: "user", also: []string{"username"}, fields: []string{"username", "user"}}, {path: "password", fields: []string{"password"}, secret: true}, {path: "schema", fields: []string{"schema"}}}},
	{Kind: "archive", Name: "zipfile", Type: "archive", options: []key{cacheKey}, fixed: map[string]string{"driver": "zipfile"}},
	{Kind: "archive", Name: "pyzipper", Type: "archive", config: aesConfig, options: []key{cacheKey}, fixed: map[string]string{"driver": "pyzipper"}},
	{Kind: "archive", Name: "aes", Type: "archive", config: aesConfig, options: []key{cacheKey}, fixed: map[string]string{"driver": "pyzipper"}},
	{Kind: "archive", Name: "os", Type: "archive", options: []key{cacheKey}, fixed: map[string]string{"driver": "os"},
		config: []key{{path: "zip_cmd", fields: []string{"zip_cmd"}, preset: "`zip`"}, {path: "unzip_cmd", fields: []string{"unzip_cmd"}, preset: "`unzip`"}, {path: "quiet", form: isBoolean, fields: []string{"quiet"}, preset: "true"}}},
	{Kind: "archive", Name: "external", Type: "archive", options: []key{cacheKey}, fixed: map[string]string{"driver": "external"}, needs: [][]string{{"zip_cmd"}, {"unzip_cmd"}},
		config: []key{{path: "zip_cmd", form: isWords, fields: []string{"zip_cmd"}}, {path: "unzip_cmd", form: isWords, fields: []string{"unzip_cmd"}}}},
}

// Why these are names alone. A plugin may take connections to them.
const (
	absentDuckDB = "DuckDB is a library of C, and workers have none: a program does it, such as duckdb by external.process, or a plugin that takes connections to duckdb"
	absentExasol = "Exasol's driver for Go dials by itself, past the rules that workers have for their network: a plugin does it that takes connections to exasol"
)

// Absent is why no executor of Taskgrove reaches what the driver names; empty: some do. A plugin may.
func (d *Driver) Absent() string { return d.absent }

var aesConfig = []key{{path: "encryption", fields: []string{"encryption"}, preset: "`aes`"}, {path: "aes_strength", form: isInteger, fields: []string{"aes_strength"}, preset: "256"}}

// Find is the driver of that kind and name.
func Find(kind, name string) (*Driver, *Fault) {
	var kinds, names []string
	for i := range drivers {
		d := &drivers[i]
		if d.Kind == kind {
			if d.Name == name {
				return d, nil
			}
			names = append(names, d.Name)
		}
		kinds = append(kinds, d.Kind)
	}
	suggest := func(path, reason, word string, all []string) *Fault {
		if near := dag.Closest(word, all); near != "" {
			reason += "; did you mean " + near + "?"
		} else {
			reason += ": there are " + strings.Join(all, ", ")
		}
		return &Fault{Path: path, Kind: UnknownDriver, Reason: reason}
	}
	switch {
	case names == nil:
		slices.Sort(kinds)
		for i := range drivers { // as people call a kind by one of its drivers
			if d := &drivers[i]; dag.SameWord(d.Name, kind) || dag.SameWord(d.Type, kind) {
				return nil, &Fault{Path: "kind", Kind: UnknownDriver, Reason: fmt.Sprintf("there is no kind %.64q: write kind: %s, driver: %s", kind, d.Kind, d.Name)}
			}
		}
		return nil, suggest("kind", fmt.Sprintf("there is no kind %.64q", kind), kind, slices.Compact(kinds))
	case name == "pyminizip":
		return nil, &Fault{Path: "driver", Kind: UnknownDriver, Reason: "pyminizip's encryption is broken: write pyzipper"}
	}
	return nil, suggest("driver", fmt.Sprintf("%s has no driver %.64q", kind, name), name, names)
}

// Types are the types of connections that may come of the driver.
func (d *Driver) Types() []string {
	if d.Type != "" {
		return []string{d.Type}
	}
	return slices.Compact(slices.Sorted(maps.Values(schemes)))
}

// schemes are the types of connections by the schemes of their URLs.
var schemes = map[string]string{
	"postgres": "postgres", "postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql", "sqlite": "sqlite", "mssql": "sqlserver", "sqlserver": "sqlserver", "oracle": "oracle",
}

// keys of config or options.
func (d *Driver) keys(part string) []key {
	if part == "options" {
		return d.options
	}
	return d.config
}

// find is a setting, by any of its names.
func (d *Driver) find(part, path string) *key {
	keys := d.keys(part)
	for i := range keys {
		if keys[i].path == path || slices.Contains(keys[i].also, path) {
			return &keys[i]
		}
	}
	return nil
}

// Defaults are the settings that count where nothing else is said, as far as they are constants.
func (d *Driver) Defaults() (p Part) {
	for _, part := range []string{"config", "options"} {
		for _, k := range d.keys(part) {
			if k.preset == "" || k.fields == nil {
				continue
			}
			var value any
			word := strings.Trim(k.preset, "`")
			if json.Unmarshal([]byte(word), &value) != nil {
				if value = word; word == k.preset || strings.Contains(word, " ") {
					continue
				}
			}
			at := Part{}
			names := strings.Split(k.path, ".")
			for _, name := range slices.Backward(names) {
				value = map[string]any{name: value}
			}
			if m := value.(map[string]any); part == "options" {
				at.Options = m
			} else {
				at.Config = m
			}
			p = Merge(p, at)
		}
	}
	return p
}
