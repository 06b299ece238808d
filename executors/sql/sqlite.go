package sql

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	sqlitedriver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/taskgrove/taskgrove/executors"
)

// liteSession is an open SQLite file. It is for one attempt: opening costs little, and what a session could pass on goes with it.
type liteSession struct {
	db     *stdsql.DB
	conn   *stdsql.Conn
	user   bool // what runs comes from the task; read by the authorizer, which is called by the goroutine that runs it
	within bool
	path   string // empty: in memory
	shown  string // as the task calls it
}

// maxValueBytes bounds texts and blobs, and with them what a statement can make of memory at once.
const maxValueBytes = 64 << 20

func openSQLite(_ context.Context, t *target) (session, error) {
	s := &liteSession{}
	if t.database == memory {
		return s, nil
	}
	path, err := fileBelow(t.fileRoot, t.database)
	if err != nil {
		return nil, executors.Permanent(err)
	}
	s.path, s.shown = path, t.database
	return s, nil
}

// fileBelow is the path of a file below root, after symbolic links, none of which leads outside. The file may be missing, its directory
// not.
func fileBelow(root, name string) (string, error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return "", fmt.Errorf("the worker's directory for files of this pool (TASKGROVE_FILE_ROOT, or files.root in the worker's file) can't be opened: %w", reason(err))
	}
	defer r.Close()
	if info, err := r.Stat(name); err == nil && !info.Mode().IsRegular() {
		return "", fmt.Errorf("database %q is not a file", name)
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("database %q can't be opened below the worker's root: %w", name, reason(err))
	}
	if info, err := r.Lstat(name); err == nil && info.Mode()&os.ModeSymlink != 0 {
		return "", fmt.Errorf("database %q is a symbolic link", name)
	}
	if _, err := r.Stat(filepath.Dir(name)); err != nil {
		return "", fmt.Errorf("the directory of database %q can't be opened below the worker's root: %w", name, reason(err))
	}
	whole, err := filepath.EvalSymlinks(root)
	if err != nil {
		return "", reason(err)
	}
	dir, err := filepath.EvalSymlinks(filepath.Join(whole, filepath.Dir(name)))
	if err != nil {
		return "", reason(err)
	}
	if dir != whole && !strings.HasPrefix(dir, strings.TrimSuffix(whole, "/")+"/") {
		return "", fmt.Errorf("database %q is not below the worker's root", name)
	}
	return filepath.Join(dir, filepath.Base(name)), nil
}

// reason is a file's error without its path, which is the worker's own.
func reason(err error) error {
	if path, ok := errors.AsType[*os.PathError](err); ok {
		return path.Err
	}
	return err
}

// begin opens the file and the transaction.
func (s *liteSession) begin(ctx context.Context, j *job) error {
	options := url.Values{"_defensive": {"1"}, "_error_rc": {"1"}}
	wait := 30 * time.Second
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end))
	}
	options.Set("_pragma", fmt.Sprintf("busy_timeout(%d)", max(1, wait.Milliseconds())))
	options.Add("_pragma", "trusted_schema(0)")
	options.Add("_pragma", "temp_store(2)") // no temporary files elsewhere
	name := "file::memory:"
	if s.path != "" {
		whole, err := filepath.Abs(s.path) // of a relative one the first name would be a host's
		if err != nil {
			return err
		}
		name = (&url.URL{Scheme: "file", Path: whole}).String()
		options.Set("mode", "rwc")
		if j.readOnly {
			if _, err := os.Stat(s.path); errors.Is(err, os.ErrNotExist) {
				return executors.Permanent(fmt.Errorf("database %q does not exist; a task with read_only: false makes it", s.shown))
			}
			options.Set("mode", "ro")
		}
	}
	if j.readOnly {
		options.Set("_query_only", "1")
	}
	db, err := stdsql.Open("sqlite", name+"?"+options.Encode())
	if err != nil {
		return err
	}
	s.db = db
	if s.conn, err = db.Conn(ctx); err != nil {
		return err
	}
	if _, err := sqlitedriver.Limit(s.conn, lib.SQLITE_LIMIT_LENGTH, maxValueBytes); err != nil {
		return err
	}
	if err := s.authorize(j.readOnly); err != nil {
		return err
	}
	if !j.transaction {
		return nil
	}
	begin := "BEGIN"
	if !j.readOnly {
		begin = "BEGIN IMMEDIATE"
	}
	if _, err := s.conn.ExecContext(ctx, begin); err != nil {
		return err
	}
	s.within = true
	return nil
}

// readPragmas are the pragmas that tell something, and may be used by tasks that only read. With a value in parentheses they tell of that.
var readPragmas = []string{"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list", "foreign_key_check",
	"database_list", "collation_list", "function_list", "compile_options", "user_version", "schema_version", "application_id", "encoding",
	"page_count", "page_size", "freelist_count", "integrity_check", "quick_check", "data_version", "journal_mode", "pragma_list"}

// setPragmas are those that tasks may set besides, if they write.
var setPragmas = []string{"user_version", "application_id", "foreign_keys", "defer_foreign_keys", "synchronous", "cache_size", "optimize", "case_sensitive_like",
	"recursive_triggers", "incremental_vacuum", "auto_vacuum", "wal_checkpoint", "analysis_limit", "automatic_index", "journal_mode", "busy_timeout"}

// authorize lets SQLite ask about everything that a task's statement does, whatever its text looks like: no other file is attached, the
// transaction is the executor's, and pragmas are those known to be harmless.
func (s *liteSession) authorize(readOnly bool) error {
	reads := []sqlitedriver.AuthorizerActionCode{sqlitedriver.AuthSelect, sqlitedriver.AuthRead, sqlitedriver.AuthFunction, sqlitedriver.AuthRecursive, sqlitedriver.AuthPragma}
	return s.conn.Raw(func(c any) error {
		return c.(sqlitedriver.AuthorizerRegisterer).RegisterAuthorizer(func(action sqlitedriver.AuthorizerActionCode, one, two, _, _ string) sqlitedriver.AuthorizerReturnCode {
			if !s.user {
				return sqlitedriver.AuthorizerOK
			}
			pragma := strings.ToLower(one)
			switch {
			case readOnly && !slices.Contains(reads, action):
				return sqlitedriver.AuthorizerDeny
			case action == sqlitedriver.AuthAttach, action == sqlitedriver.AuthDetach, action == sqlitedriver.AuthTransaction, action == sqlitedriver.AuthSavepoint:
				return sqlitedriver.AuthorizerDeny
			case action == sqlitedriver.AuthFunction && forbidden(sqlite, strings.ToLower(two)):
				return sqlitedriver.AuthorizerDeny
			case action == sqlitedriver.AuthPragma && readOnly && (!slices.Contains(readPragmas, pragma) || two != "" && slices.Contains(setPragmas, pragma)):
				return sqlitedriver.AuthorizerDeny
			case action == sqlitedriver.AuthPragma && !slices.Contains(readPragmas, pragma) && !slices.Contains(setPragmas, pragma):
				return sqlitedriver.AuthorizerDeny
			}
			return sqlitedriver.AuthorizerOK
		})
	})
}

// run implements session.
func (s *liteSession) run(ctx context.Context, st *statement, out *sink) error {
	params := make([]any, len(st.params))
	for i, p := range st.params {
		params[i] = plain(p, true)
	}
	s.user = true
	defer func() { s.user = false }()
	counted := ""
	if st.kind.changes() { // else changes() is that of a statement before
		counted = "SELECT changes(), last_insert_rowid()"
	}
	return query(ctx, sqlite, s.conn, st, params, out, counted, func() {})
}

// commit implements session.
func (s *liteSession) commit(ctx context.Context) error {
	if !s.within {
		return nil
	}
	if _, err := s.conn.ExecContext(ctx, "COMMIT"); err != nil {
		return err
	}
	s.within = false
	return nil
}

// reset implements session.
func (s *liteSession) reset() func() bool { return nil }

// close implements session. What is open is rolled back.
func (s *liteSession) close() {
	if s.conn != nil {
		_ = s.conn.Close()
	}
	if s.db != nil {
		_ = s.db.Close()
	}
}
