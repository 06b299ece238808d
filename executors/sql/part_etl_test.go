//go:build etl

package sql_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/sql"
)

// listen is a server that does with each connection what it is told.
func listen(t *testing.T, serve func(net.Conn)) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// There is no server of either kind here: what is shown is how attempts end at one that refuses, hangs, closes or speaks something else.
func TestServersThatDoNotAnswer(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, sql.Config{})
	closed := listen(t, func(net.Conn) {})
	silent := listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	rubbish := map[string]int{}
	for name, bytes := range map[string][]byte{
		"web": []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), "zeros": make([]byte, 4096), "ones": bytes.Repeat([]byte{0xFF}, 4096), "ssh": []byte("SSH-2.0-OpenSSH_9.6\r\n"),
		"tns refuse": append([]byte{0, 60, 0, 0, 4, 0, 0, 0, 1, 0, 0, 48}, []byte("(DESCRIPTION=(ERR=12514)(VSNNUM=0)(ERROR_STACK=))")...),
		"prelogin":   {4, 1, 0, 8, 0, 0, 1, 0},
	} {
		rubbish[name] = listen(t, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1))
			_, _ = c.Write(bytes)
		})
	}
	const secret = "hunter2/canary%"
	for _, driver := range []string{"sqlserver", "oracle"} {
		in := object{"driver": driver, "host": "127.0.0.1", "username": "u", "password": secret, "database": "d", "tls": "disable", "query": "SELECT 1", "timeout": 20}
		fails := func(name string, in object) {
			t.Helper()
			_, err := attempt(t.Context(), t, e, 1, in)
			if err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %s: got %v", driver, name, err)
				return
			}
			if kind := executors.KindOf(err); kind != executors.KindConnect {
				t.Errorf("%s: %s: the kind of %v is %q", driver, name, err, kind)
			}
		}
		fails("refused", with(in, object{"port": 1}))
		fails("closed", with(in, object{"port": closed}))
		for name, port := range rubbish {
			fails(name, with(in, object{"port": port}))
			fails(name+", with TLS", with(in, object{"port": port, "tls": "verify-full"}))
		}
		for _, tls := range []string{"disable", "verify-full"} {
			_, err := attempt(t.Context(), t, e, 1, with(in, object{"port": silent, "timeout": 0.3, "tls": tls}))
			if executors.KindOf(err) != executors.KindTimeout {
				t.Errorf("%s: silent: got %v", driver, err)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(50*time.Millisecond, func() { cancel(executors.ErrCancelled) })
			if _, err := attempt(ctx, t, e, 1, with(in, object{"port": silent, "tls": tls})); !errors.Is(err, executors.ErrCancelled) {
				t.Errorf("%s: cancelled: got %v", driver, err)
			}
		}
	}
}

func TestWhereServersAre(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, sql.Config{})
	for _, c := range []struct {
		in   object
		want string
	}{
		{object{"url": "sqlserver://u:p@127.0.0.1:1?database=d"}, "connect to sqlserver at 127.0.0.1:1: "},
		{object{"url": "mssql+pyodbc://u:p@127.0.0.1:1/d"}, "connect to sqlserver at 127.0.0.1:1: "},
		{object{"url": "oracle://u:p@127.0.0.1:1/service"}, "connect to oracle at 127.0.0.1:1: "},
		{object{"url": "oracle+oracledb://u:p@127.0.0.1:1/?service_name=s"}, "connect to oracle at 127.0.0.1:1: "},
		{object{"driver": "oracledb", "user": "u", "password": "p", "dsn": "127.0.0.1:1/s"}, "connect to oracle at 127.0.0.1:1: "},
		{object{"driver": "oracle", "dsn": "(DESCRIPTION=(ADDRESS=x))"}, "dsn must be host:port/service, or a URL"},
		{object{"driver": "oracle", "host": "127.0.0.1"}, "database is required in inputs: the name of Oracle's service"},
		{object{"driver": "sqlserver", "host": `h\SQLEXPRESS`}, "host must not name an instance: give the port that it listens on"},
		{object{"driver": "sqlserver", "host": "/tmp/x"}, "host: sqlserver has no unix socket"},
		{object{"driver": "sqlserver", "host": "h", "read_only": false, "once": true}, "fence and once: they are not there for sqlserver"},
		{object{"url": "sqlserver://h/?encrypt=disable"}, `url has the option "encrypt", which is not known`},
	} {
		_, err := attempt(t.Context(), t, e, 1, with(object{"query": "SELECT 1", "tls": "disable"}, c.in))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %s", c.in, err, c.want)
		}
	}
}

// What only reads is told by its words where the server does not keep it from writing.
func TestReadOnlyStatementsOfServers(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, sql.Config{})
	for driver, statements := range map[string][]string{
		"sqlserver": {"SELECT 1 DROP TABLE t", "SELECT * INTO t2 FROM t", "WITH x AS (SELECT 1 AS a) DELETE FROM x", "EXEC sp_who", "SELECT 1; SELECT 2", "SELECT [a]]'] FROM t; DROP TABLE x --'",
			"SELECT NEXT VALUE FOR s", "SELECT * FROM OPENROWSET('a', 'b', 'c')", "SELECT 1 COMMIT", "/* a /* b */ */ SELECT 1 -- c\nTRUNCATE TABLE t", "MERGE t USING s ON 1 = 1 WHEN MATCHED THEN DELETE;", "SELECT xp_cmdshell('x')"},
		"oracle": {"DELETE FROM t", "BEGIN NULL; END;", "SELECT dbms_lock.sleep(1) FROM dual", "SELECT utl_http.request('x') FROM dual", "WITH FUNCTION f RETURN NUMBER IS BEGIN RETURN 1; END; SELECT f FROM dual",
			"SELECT s.NEXTVAL FROM dual", "SELECT q'[it's]' FROM dual; DROP TABLE t", "LOCK TABLE t IN EXCLUSIVE MODE"},
	} {
		for _, s := range statements {
			_, err := attempt(t.Context(), t, e, 1, object{"driver": driver, "host": "127.0.0.1", "port": 1, "database": "d", "tls": "disable", "query": s})
			if err == nil || !executors.IsPermanent(err) || executors.KindOf(err) == executors.KindConnect {
				t.Errorf("%s: %s: got %v", driver, s, err)
			}
		}
	}
	for driver, statements := range map[string][]string{
		"sqlserver": {"SELECT [drop], [a]]b], 'DELETE' AS d, \"update\" FROM t -- into", "WITH x AS (SELECT 1 AS a) SELECT a FROM x WHERE a = :a;", "SELECT geography::Point(1, 2, :a)"},
		"oracle":    {"SELECT q'[it's; DROP]', nq'!a'b!', :a FROM dual", "SELECT /*+ full(t) */ 1 FROM t WHERE x = ':b' AND y = :a"},
	} {
		for _, s := range statements {
			_, err := attempt(t.Context(), t, e, 1, object{"driver": driver, "host": "127.0.0.1", "port": 1, "database": "d", "tls": "disable", "query": s, "params": object{"a": 1}})
			if executors.KindOf(err) != executors.KindConnect {
				t.Errorf("%s: %s: got %v", driver, s, err)
			}
		}
	}
}
