package sql_test

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/executors/sql"
	"github.com/taskgrove/taskgrove/executors/sql/sqltest"
	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// wantTLS tries the ways to connect to a server with that certificate. encrypted is a query that tells whether its connection is.
func wantTLS(t *testing.T, in object, cert []byte, encrypted, want string) {
	t.Helper()
	e := newExecutor(t, sql.Config{})
	other, _ := sqltest.Certificate(t, "127.0.0.1")
	wantRows(t, e, with(in, object{"tls": nil, "ca": string(cert), "query": encrypted}), want)
	wantRows(t, e, with(in, object{"tls": "verify-full", "ca": string(cert), "query": encrypted}), want)
	wantRows(t, e, with(in, object{"tls": "require", "query": encrypted}), want)
	wantError(t, e, with(in, object{"tls": nil, "query": encrypted}), true, "certificate")
	wantError(t, e, with(in, object{"tls": "verify-full", "ca": string(other), "query": encrypted}), true, "certificate")
	wantError(t, e, with(in, object{"tls": "verify-full", "ca": string(cert), "host": "localhost", "query": encrypted}), true, "certificate") // another name
	wantError(t, e, with(in, object{"tls": "verify-full", "ca": "none", "query": encrypted}), true, "ca holds no certificate")
	wantError(t, e, with(in, object{"tls": "prefer", "query": encrypted}), true, "tls must be")
}

// TestPostgresChecksTheServersCertificate puts TLS, as Postgres begins it, before a server that the package pgserver starts without.
func TestPostgresChecksTheServersCertificate(t *testing.T) {
	t.Parallel()
	parsed, err := pgx.ParseConfig(pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	cert, key := sqltest.Certificate(t, "127.0.0.1")
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go terminate(c, pair, net.JoinHostPort(parsed.Host, strconv.Itoa(int(parsed.Port)))) // ends with the connection
		}
	}()
	wantTLS(t, object{"driver": "postgres", "host": "127.0.0.1", "port": l.Addr().(*net.TCPAddr).Port, "username": parsed.User, "password": parsed.Password, "database": parsed.Database},
		cert, "SELECT 1 AS one", `[{"one":1}]`)
}

// terminate speaks TLS to a client that asks for it, and nothing to others.
func terminate(c net.Conn, pair tls.Certificate, server string) {
	defer c.Close()
	request := make([]byte, 8)
	if _, err := io.ReadFull(c, request); err != nil || binary.BigEndian.Uint32(request[4:]) != 80877103 { // SSLRequest
		return
	}
	if _, err := c.Write([]byte("S")); err != nil {
		return
	}
	plain, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer plain.Close()
	secure := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}})
	go func() { // ends with the connections
		_, _ = io.Copy(plain, secure)
		_ = plain.Close()
	}()
	_, _ = io.Copy(secure, plain)
}

func mariaTLS(t *testing.T, s *mariaServer) {
	in, _ := s.database(t)
	wantTLS(t, in, s.Cert, "SELECT variable_value <> '' AS on_ FROM information_schema.session_status WHERE variable_name = 'Ssl_cipher'", `[{"on_":1}]`)
}
