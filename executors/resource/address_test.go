package resource_test

import (
	"testing"

	"github.com/taskgrove/taskgrove/executors/resource"
)

// TestAddress: what settings say of the server in clear, and nothing that a secret says.
func TestAddress(t *testing.T) {
	coded := &resource.Part{Config: map[string]any{"host": "YWdl"}, Decode: map[string]any{"config": map[string]any{"host": true}}}
	if d, _ := resource.Find("mail", "smtp"); d.Address(coded) != "" {
		t.Error("what is encrypted is taken for a host")
	}
	for _, row := range []struct {
		kind, driver string
		config       map[string]any
		want         string
	}{
		{"db", "postgres", map[string]any{"host": "db.internal"}, "db.internal:5432"},
		{"db", "postgres", map[string]any{"host": "db.internal", "port": "6432"}, "db.internal:6432"},
		{"db", "postgres", map[string]any{"host": "::1", "port": 6432}, "[::1]:6432"},
		{"db", "postgres", map[string]any{"url": "postgresql://etl:{{env.DB_PASSWORD}}@db/shop"}, "db:5432"},
		{"db", "postgres", map[string]any{"url": "postgresql+psycopg://etl:p@[::1]:99/shop?x=@y"}, "[::1]:99"},
		{"db", "sqlalchemy", map[string]any{"url": "mysql+pymysql://db/shop"}, "db:3306"},
		{"db", "postgres", map[string]any{"url": "{{env.DB_URL_SECRET}}"}, ""},
		{"db", "postgres", map[string]any{"url": "postgresql://u@{{env.DB_KEY}}/d"}, ""},
		{"db", "postgres", map[string]any{"url": "postgresql://u:{{env.DB_KEY:a/b}}@h/d"}, ""},
		{"db", "postgres", map[string]any{"host": "h", "port": "{{env.PORT_KEY}}"}, ""},
		{"db", "postgres", map[string]any{"host": "/run/postgresql"}, ""},
		{"db", "sqlite3", map[string]any{"url": "sqlite:///a.db"}, ""},
		{"db", "oracledb", map[string]any{"dsn": "h/service"}, "h:1521"},
		{"db", "oracledb", map[string]any{"dsn": "h:99/service"}, "h:99"},
		{"rest", "httpx", map[string]any{"base_url": "https://api.example/v1"}, "api.example:443"},
		{"rest", "httpx", map[string]any{"base_url": "http://api.example:8080"}, "api.example:8080"},
		{"mail", "smtp", map[string]any{"host": "mail"}, "mail:587"},
		{"sftp", "paramiko", map[string]any{"host": "files", "user": "u"}, "files:22"},
		{"smb", "pysmb", map[string]any{"server": "share"}, "share:445"},
		{"archive", "zipfile", nil, ""}, {"mail", "smtp", nil, ""},
	} {
		d, bad := resource.Find(row.kind, row.driver)
		if bad != nil {
			t.Fatal(bad)
		}
		if got := d.Address(&resource.Part{Config: row.config}); got != row.want {
			t.Errorf("%s:%s %v: got %q, want %q", row.kind, row.driver, row.config, got, row.want)
		}
	}
}
