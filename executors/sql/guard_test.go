package sql_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/sql"
)

// tries runs each trick alone, and as the second of a list behind a harmless statement. Each must be refused for good, or be harmless: then it says
// harmless. unharmed looks at the database afterwards.
func tries(t *testing.T, e executors.Executor, in object, tricks []string, unharmed func() error) {
	t.Helper()
	for _, trick := range tricks {
		trick, harmless := strings.CutPrefix(trick, "harmless: ")
		for _, query := range []any{trick, []any{"SELECT 1 AS one", trick, "SELECT 2 AS two"}, []any{trick, "DELETE FROM canary"}} {
			_, err := attempt(t.Context(), t, e, 1, with(in, object{"query": query, "timeout": 20}))
			_, list := query.([]any)
			switch {
			case err != nil && !executors.IsPermanent(err):
				t.Errorf("%v: fails for now only: %v", query, err)
			case err == nil && !harmless:
				t.Errorf("%v: was run", query)
			case err != nil && harmless && !list:
				t.Errorf("%v: is not harmless: %v", query, err)
			}
			if err := unharmed(); err != nil {
				t.Fatalf("%v: %v", query, err)
			}
		}
	}
}

// TestReadOnlyPostgres has the tricks as a superuser, whom the server itself refuses nothing.
func TestReadOnlyPostgres(t *testing.T) {
	t.Parallel()
	e := newExecutor(t, sql.Config{MaxSessions: 2})
	db, conn := database(t)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	written := filepath.Join(dir, "written")
	execute(t, conn, "CREATE TABLE canary (id int)", "INSERT INTO canary VALUES (1)", "CREATE SEQUENCE seq",
		"CREATE FUNCTION wipe() RETURNS int LANGUAGE sql AS 'DELETE FROM canary RETURNING id'",
		"CREATE FUNCTION wipe_loudly() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('transaction_read_only', 'off', false); DELETE FROM canary; RETURN 1; END $$",
		"CREATE PROCEDURE wipe_and_commit() LANGUAGE plpgsql AS $$ BEGIN COMMIT; DELETE FROM canary; COMMIT; END $$")
	pid := scalar[int](t, conn, "SELECT pg_backend_pid()")
	quoted := "'" + written + "'"
	tries(t, e, db, []string{
		"DELETE FROM canary",
		"COMMIT; DROP TABLE canary",
		"COMMIT",
		"END",
		"ROLLBACK",
		"ABORT AND CHAIN",
		"SAVEPOINT a",
		"PREPARE TRANSACTION 'x'",
		"SELECT 1; DROP TABLE canary",
		"SELECT 1;;DROP TABLE canary;",
		"SELECT 1 -- ;\n; DROP TABLE canary",
		"SELECT $x$ $x$; DROP TABLE canary --$x$",
		`SELECT '\'; DROP TABLE canary --'`,
		`SELECT E'\'' ; DROP TABLE canary --'`,
		"/* /* */ SELECT 1 */ DROP TABLE canary",
		"SET TRANSACTION READ WRITE",
		"SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
		"SET transaction_read_only = off",
		"RESET ALL",
		"DISCARD ALL",
		"SELECT set_config('transaction_read_only', 'off', false)",
		`SELECT "set_config"('default_transaction_read_only', 'off', false)`,
		`SELECT U&"set_\0063onfig"('transaction_read_only', 'off', false)`,
		"SELECT pg_catalog . /* x */ set_config /* y */ ('transaction_read_only', 'off', false)",
		"WITH gone AS (DELETE FROM canary RETURNING id) SELECT * FROM gone",
		"EXPLAIN ANALYZE DELETE FROM canary",
		"SELECT * INTO TABLE copied FROM canary",
		"SELECT id FROM canary FOR UPDATE",
		"SELECT wipe()",
		"SELECT wipe_loudly()",
		"CALL wipe_and_commit()",
		"DO $$ BEGIN COMMIT; DELETE FROM canary; END $$",
		"SELECT nextval('seq')",
		"COPY canary TO PROGRAM 'cat > " + written + "'",
		"COPY (SELECT 1) TO " + quoted,
		"SELECT lo_import('/etc/passwd')",
		"SELECT lo_export(1, " + quoted + ")",
		"SELECT pg_read_file('/etc/passwd')",
		"SELECT * FROM pg_ls_dir('/')",
		"SELECT pg_file_write(" + quoted + ", 'x', false)",
		fmt.Sprintf("SELECT pg_terminate_backend(%d)", pid),
		fmt.Sprintf(`SELECT "pg_terminate_backend"(%d)`, pid),
		fmt.Sprintf(`SELECT pg_terminate_backend /**/ (%d)`, pid),
		fmt.Sprintf("SELECT 1 --\r, pg_terminate_backend(%d)", pid), // a comment ends there, too
		fmt.Sprintf("SELECT E'a'\n'b\\' x ', pg_terminate_backend(%d), 'z'", pid),
		fmt.Sprintf("SELECT E'a' -- c\r\n\t'b\\' x ', pg_terminate_backend(%d), 'z'", pid),
		fmt.Sprintf("SELECT ts_rewrite('a'::tsquery, 'SELECT ''a''::tsquery, pg_terminate_backend(%d)::text::tsquery')", pid),
		"SELECT gin_clean_pending_list(0)", "SELECT brin_summarize_new_values(0)", "SELECT pg_clear_relation_stats('public', 'canary')",
		fmt.Sprintf("SELECT query_to_xml('select pg_term' || 'inate_backend(%d)', true, true, '')", pid),
		"SELECT * FROM dblink('dbname=postgres', 'DROP TABLE canary') AS t (a text)",
		"LISTEN x", "NOTIFY x", "SELECT pg_notify('x', 'y')", "LOAD 'x'", "VACUUM canary", "LOCK TABLE canary", "TRUNCATE canary", "GRANT ALL ON canary TO public",
		"DECLARE c CURSOR WITH HOLD FOR DELETE FROM canary", "PREPARE p AS DELETE FROM canary", "EXECUTE p", "CREATE TEMP TABLE x (id int)", "ALTER SYSTEM SET work_mem = '1MB'",
		"harmless: SELECT 'COMMIT; DROP TABLE canary', \"id\", $$; DELETE FROM canary$$ FROM canary /* ; DROP */ -- pg_terminate_backend(1)\n;",
		"harmless: SHOW transaction_read_only",
	}, func() error {
		if n := scalar[int](t, conn, "SELECT count(*) FROM canary"); n != 1 {
			return fmt.Errorf("the canary has %d rows", n)
		}
		if n := scalar[int](t, conn, "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname NOT LIKE 'pg_%' AND nspname <> 'information_schema'"); n != 2 {
			return fmt.Errorf("there are %d tables and sequences", n)
		}
		if _, err := os.Stat(written); err == nil {
			return fmt.Errorf("a file was written")
		}
		return nil
	})
	if called := scalar[bool](t, conn, "SELECT is_called FROM seq"); called {
		t.Error("the sequence has moved on")
	}
}

func mariaReadOnly(t *testing.T, s *mariaServer) {
	e := newExecutor(t, sql.Config{})
	in, db := s.database(t)
	dir, err := os.MkdirTemp("", "taskgrove-outfile-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	written := filepath.Join(dir, "written")
	executeMaria(t, db, "CREATE TABLE canary (id int) ENGINE=InnoDB", "INSERT INTO canary VALUES (1)", "CREATE SEQUENCE seq",
		"CREATE FUNCTION wipe() RETURNS int MODIFIES SQL DATA BEGIN DELETE FROM canary; RETURN 1; END",
		"CREATE PROCEDURE wipe_and_commit() BEGIN COMMIT; DELETE FROM canary; COMMIT; END")
	id := scalarMaria[int](t, db, "SELECT connection_id()")
	tries(t, e, in, []string{
		"DELETE FROM canary",
		"COMMIT",
		"COMMIT; DROP TABLE canary",
		"SELECT 1; DROP TABLE canary",
		"SELECT 1 # ;\n; DROP TABLE canary",
		`SELECT '\'; DROP TABLE canary; -- '; DROP TABLE canary`,
		`SELECT "\"", 1; DROP TABLE canary -- "`,
		"SELECT 1 --1; DROP TABLE canary",
		"START TRANSACTION READ WRITE",
		"BEGIN",
		"XA START 'x'",
		"SET TRANSACTION READ WRITE",
		"SET SESSION TRANSACTION READ WRITE",
		"SET @@autocommit = 1",
		"SET sql_mode = 'NO_BACKSLASH_ESCAPES'",
		"LOCK TABLES canary WRITE", "UNLOCK TABLES",
		"SELECT 1 INTO OUTFILE '" + written + "'",
		"SELECT 1 INTO DUMPFILE '" + written + "'",
		"SELECT 1 /*!50000 INTO OUTFILE '" + written + "' */",
		"SELECT 1 /*M! INTO OUTFILE '" + written + "' */",
		"SELECT 1 INTO @x",
		"(SELECT 1) INTO OUTFILE '" + written + "'",
		"SELECT LOAD_FILE('/etc/passwd')",
		"SELECT `load_file`('/etc/passwd')",
		"SELECT 1 --\x7f'\n, LOAD_FILE('/etc/passwd') -- '", // a comment for it, as behind a space
		"LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE canary",
		"LOAD DATA INFILE '/etc/passwd' INTO TABLE canary",
		"SELECT wipe()",
		"CALL wipe_and_commit()",
		"WITH x AS (SELECT 1) DELETE FROM canary",
		"EXPLAIN DELETE FROM canary; DELETE FROM canary",
		"ANALYZE FORMAT=JSON DELETE FROM canary",
		"SELECT GET_LOCK('x', 0)",
		"SELECT NEXTVAL(seq)",
		"SELECT NEXT VALUE FOR seq",
		"SELECT SETVAL(seq, 100)",
		"SELECT SYS_EXEC('touch " + written + "')",
		fmt.Sprintf("KILL %d", id),
		"DROP TABLE canary", "TRUNCATE canary", "ALTER TABLE canary ADD x int", "CREATE TABLE x (i int)", "CREATE TEMPORARY TABLE x (i int)", "RENAME TABLE canary TO x",
		"FLUSH TABLES", "INSTALL SONAME 'x'", "EXECUTE IMMEDIATE 'DROP TABLE canary'", "PREPARE p FROM 'DROP TABLE canary'", "DO wipe()", "HANDLER canary OPEN",
		"BEGIN NOT ATOMIC DELETE FROM canary; END", "USE mysql", "RESET QUERY CACHE", "SHUTDOWN",
		"harmless: SELECT 'DROP TABLE canary; INTO OUTFILE', \"it's\" /* INTO OUTFILE */ -- INTO OUTFILE\n;",
		"harmless: SHOW TABLES",
	}, func() error {
		if n := scalarMaria[int](t, db, "SELECT count(*) FROM canary"); n != 1 {
			return fmt.Errorf("the canary has %d rows", n)
		}
		if n := scalarMaria[int](t, db, "SELECT count(*) FROM information_schema.tables WHERE table_schema = database()"); n != 2 {
			return fmt.Errorf("there are %d tables", n)
		}
		if _, err := os.Stat(written); err == nil {
			return fmt.Errorf("a file was written")
		}
		return nil
	})
	if next := scalarMaria[int](t, db, "SELECT NEXTVAL(seq)"); next != 1 {
		t.Errorf("the sequence has moved on to %d", next)
	}
	// A writing task may not read the worker's files either.
	wantError(t, e, with(in, object{"read_only": false, "query": "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE canary"}), true, "LOAD")
}

func TestReadOnlySQLite(t *testing.T) {
	t.Parallel()
	e, in, db := file(t)
	var path string
	if err := db.QueryRow("SELECT file FROM pragma_database_list").Scan(&path); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(filepath.Dir(path), "other.db")
	executeMaria(t, db, "CREATE TABLE canary (id int)", "INSERT INTO canary VALUES (1)", "PRAGMA user_version = 7", "CREATE VIEW v AS SELECT 1 AS id",
		"CREATE TRIGGER tr INSTEAD OF INSERT ON v BEGIN DELETE FROM canary; END")
	unharmed := func() error {
		if n := scalarMaria[int](t, db, "SELECT (SELECT count(*) FROM canary) * 100 + (SELECT count(*) FROM sqlite_schema) * 10 + user_version FROM pragma_user_version"); n != 137 {
			return fmt.Errorf("the canary says %d", n)
		}
		if _, err := os.Stat(other); err == nil {
			return fmt.Errorf("another file was made")
		}
		return nil
	}
	outside := []string{
		"ATTACH '" + other + "' AS o",
		"ATTACH ':memory:' AS o",
		"DETACH main",
		"VACUUM INTO '" + other + "'",
		"SELECT load_extension('x')",
		"SELECT writefile('" + other + "', 'x')",
		"SELECT readfile('/etc/passwd')",
		"PRAGMA temp_store_directory = '/'",
		"PRAGMA data_store_directory = '/'",
		"PRAGMA writable_schema = 1",
		"PRAGMA trusted_schema = 1",
		"PRAGMA query_only = 0",
		"PRAGMA locking_mode = exclusive",
		"PRAGMA mmap_size = 1000000000",
		"PRAGMA hexkey = 'x'",
		"BEGIN EXCLUSIVE", "COMMIT", "END", "ROLLBACK", "SAVEPOINT a", "RELEASE a",
		"SELECT 1; DELETE FROM canary",
		"SELECT [;]; DELETE FROM canary",
	}
	tries(t, e, in, append([]string{
		"DELETE FROM canary", "DROP TABLE canary", "INSERT INTO v VALUES (1)", "CREATE TABLE x (i int)", "CREATE TEMP TABLE x (i int)", "REINDEX", "ANALYZE", "VACUUM",
		"PRAGMA user_version = 8", "PRAGMA user_version(8)", "PRAGMA journal_mode = delete", "PRAGMA wal_checkpoint", "PRAGMA incremental_vacuum", "PRAGMA optimize",
		"WITH x AS (SELECT 1) DELETE FROM canary", "REPLACE INTO canary VALUES (1)", "UPDATE canary SET id = 2", "SELECT * FROM pragma_user_version(8)",
		"EXPLAIN DELETE FROM canary", "CREATE VIRTUAL TABLE x USING fts5(a)",
		"harmless: SELECT 'DELETE; COMMIT', [id], `id`, \"id\" FROM canary -- ;\n;",
		"harmless: PRAGMA table_info(canary)", "harmless: PRAGMA user_version", "harmless: EXPLAIN SELECT 1", "harmless: SELECT * FROM pragma_table_info('canary')",
	}, outside...), unharmed)
	// These a writing task may not do, either.
	for _, trick := range outside {
		wantError(t, e, with(in, object{"query": trick, "read_only": false}), true)
		wantError(t, e, with(in, object{"query": trick, "read_only": false, "transaction": false}), true)
		if err := unharmed(); err != nil {
			t.Fatalf("%s: %v", trick, err)
		}
	}
	wantError(t, e, with(in, object{"query": "CREATE TRIGGER x AFTER INSERT ON canary BEGIN SELECT 1; END; COMMIT; SELECT 1 AS END", "read_only": false}), true)
	if err := unharmed(); err != nil {
		t.Error(err)
	}
}
