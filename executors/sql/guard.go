package sql

import (
	"fmt"
	"slices"
	"strings"
)

// What keeps a read-only statement from writing, from the inside out:
//
//   - The transaction is read-only by the database's own word: BEGIN READ ONLY, START TRANSACTION READ ONLY, a file opened with mode=ro and
//     query_only. In Postgres its snapshot is taken before the statement comes, after which nothing makes it writable again.
//   - A statement is one statement. Postgres and MySQL refuse more by protocol, and here all drivers do.
//   - It begins with a word of [readers], so it neither ends its transaction nor begins another.
//   - It names none of the functions in [outside], which act outside of transactions, and uses no spelling that hides names.
//   - SQLite asks an authorizer about each thing that a statement does (sqlite.go).
//
// Functions that users of a database have made themselves act with the rights of the account: those rights are the database's to guard.

// readers are the words that a read-only statement may begin with.
var readers = map[string][]string{
	postgres: {"select", "with", "values", "table", "show", "explain"},
	mysql:    {"select", "with", "values", "table", "show", "explain", "describe", "desc"},
	sqlite:   {"select", "with", "values", "explain", "pragma"},

	sqlserver: {"select", "with"},
	oracle:    {"select", "with"},
}

// control are the words that begin statements about transactions, which are the executor's.
var control = map[string][]string{
	postgres: {"begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release"},
	mysql:    {"begin", "start", "commit", "rollback", "savepoint", "release", "xa", "lock", "unlock"},
	sqlite:   {"begin", "commit", "end", "rollback", "savepoint", "release"},

	sqlserver: {"begin", "commit", "rollback", "save"},
	oracle:    {"commit", "rollback", "savepoint", "lock"},
}

// writers are words, unquoted, that no statement of SQL Server or Oracle has that only reads: T-SQL needs no semicolon between two statements, and SQL Server has no
// transaction that only reads, so that its sessions roll back what is left.
var writers = map[string][]string{
	sqlserver: {"alter", "backup", "begin", "bulk", "checkpoint", "commit", "create", "dbcc", "declare", "delete", "deny", "disable", "drop", "enable", "exec", "execute", "grant", "insert", "into",
		"kill", "merge", "openquery", "opendatasource", "openrowset", "raiserror", "reconfigure", "restore", "revert", "revoke", "rollback", "save", "set", "shutdown", "truncate",
		"update", "updatetext", "use", "waitfor", "writetext"},
	oracle: {"function", "procedure"},
}

// outside are functions that do something which no read-only transaction prevents, or run a text as a statement. A star stands for any end.
var outside = map[string][]string{
	postgres: {"pg_terminate_backend", "pg_cancel_backend", "pg_reload_conf", "pg_rotate_logfile*", "pg_promote", "pg_switch_wal", "pg_switch_xlog",
		"pg_create_restore_point", "pg_backup_*", "pg_start_backup", "pg_stop_backup", "pg_wal_replay_*", "pg_xlog_replay_*", "pg_logical_*",
		"pg_create_*", "pg_drop_replication_slot", "pg_replication_*", "pg_copy_*", "pg_sync_replication_slots", "pg_log_*", "pg_stat_reset*", "pg_stat_statements_reset",
		"pg_read_*", "pg_ls_*", "pg_stat_file", "pg_file_*", "pg_logdir_ls", "pg_import_*", "pg_export_snapshot", "pg_notify", "set_config",
		"lo_*", "loread", "lowrite", "dblink*", "query_to_xml*", "cursor_to_xml*", "ts_stat", "ts_rewrite", "xpath_table", "crosstab*", "connectby", "http*", "pg_background_*",
		"gin_clean_pending_list", "brin_summarize_*", "brin_desummarize_*", "pg_clear_*", "pg_restore_*", "pg_set_*",
		"pg_prewarm", "pg_buffercache_evict*", "pg_truncate_visibility_map", "heap_force_*"},
	mysql: {"load_file", "sys_exec", "sys_eval", "sys_set", "sys_get", "get_lock", "release_lock", "release_all_locks", "nextval", "setval", "lastval",
		"master_pos_wait", "source_pos_wait", "wait_for_executed_gtid_set", "wait_until_sql_thread_after_gtids", "benchmark", "lib_mysqludf*"},
	sqlite:    {"load_extension", "writefile", "readfile", "edit", "fts3_tokenizer"},
	sqlserver: {"next", "xp_*", "sp_*"},
	oracle:    {"dbms_*", "utl_*", "httpuritype", "sys_eval", "nextval"},
}

// statementKind is what is known of a statement by its words.
type statementKind struct {
	first string // word, in lower case
}

// examine says what is wrong with a statement, in a text for users, or nothing.
func examine(dialect, sql string, tokens []token, readOnly, fenced bool) (statementKind, string) {
	var kind statementKind
	begin := slices.IndexFunc(tokens, func(t token) bool { return t.kind != punctuation })
	if begin < 0 {
		return kind, "is empty"
	}
	kind.first = tokens[begin].lower(sql)
	second := ""
	if begin+1 < len(tokens) {
		second = tokens[begin+1].lower(sql)
	}
	switch {
	case several(dialect, sql, tokens, kind.first):
		return kind, "is more than one statement: give a list of statements"
	case slices.Contains(control[dialect], kind.first),
		kind.first == "prepare" && second == "transaction",
		kind.first == "set" && transactional(sql, tokens[begin:]):
		return kind, fmt.Sprintf("begins with %s: the executor begins and ends the transaction", strings.ToUpper(kind.first))
	case dialect == postgres && kind.first == "copy":
		return kind, "is a COPY, which is not supported"
	case dialect == mysql && kind.first == "load":
		return kind, "is a LOAD, which is not supported"
	case readOnly:
		return kind, examineReader(dialect, sql, tokens, kind.first)
	case fenced && dialect == mysql && !slices.Contains([]string{"select", "insert", "update", "delete", "replace", "with", "values", "table", "do"}, kind.first):
		return kind, fmt.Sprintf("begins with %s, which may commit the transaction that holds the fence", strings.ToUpper(kind.first))
	}
	return kind, ""
}

// transactional reports whether a SET changes how transactions are.
func transactional(sql string, tokens []token) bool {
	for _, t := range tokens {
		switch t.lower(sql) {
		case "transaction", "characteristics", "autocommit", "default_transaction_read_only", "transaction_read_only", "tx_read_only", "completion_type":
			return true
		case "=", "to":
			return false
		}
	}
	return false
}

func examineReader(dialect, sql string, tokens []token, first string) string {
	if !slices.Contains(readers[dialect], first) {
		return fmt.Sprintf("begins with %s, and only reading is allowed (set read_only to false to write)", strings.ToUpper(first))
	}
	for i, t := range tokens {
		switch t.kind {
		case trick:
			return fmt.Sprintf("has %s, which is not allowed with read_only", sql[t.start:min(t.end, t.start+3)])
		case word, name:
			w := t.lower(sql)
			if t.kind == word && w == "into" && dialect == mysql {
				return "has INTO, which writes files and variables (set read_only to false to use it)"
			}
			if t.kind == word && slices.Contains(writers[dialect], w) {
				return fmt.Sprintf("has %s, and only reading is allowed (set read_only to false to use it; as a name it must be quoted)", strings.ToUpper(w))
			}
			if dialect == oracle && forbidden(dialect, w) || dialect == sqlserver && w == "next" && i+1 < len(tokens) && tokens[i+1].lower(sql) == "value" {
				return fmt.Sprintf("names %s, which acts outside of the read-only transaction (set read_only to false to use it)", w)
			}
			called := i+1 < len(tokens) && sql[tokens[i+1].start:tokens[i+1].end] == "("
			if called && forbidden(dialect, w) {
				return fmt.Sprintf("names %s, which acts outside of the read-only transaction (set read_only to false to use it)", w)
			}
		}
	}
	return ""
}

func forbidden(dialect, w string) bool {
	for _, pattern := range outside[dialect] {
		if begin, ok := strings.CutSuffix(pattern, "*"); w == pattern || ok && strings.HasPrefix(w, begin) {
			return true
		}
	}
	return false
}

// several reports whether there is something behind a semicolon. Bodies of triggers and routines have some of their own; where those
// can't be told from a second statement, the server refuses the second.
func several(dialect, sql string, tokens []token, first string) bool {
	semicolon := false
	for _, t := range tokens {
		is := sql[t.start:t.end] == ";"
		if semicolon && !is {
			last := tokens[len(tokens)-1]
			for i := len(tokens) - 1; sql[last.start:last.end] == ";"; i-- {
				last = tokens[i]
			}
			return first != "create" || dialect == sqlite && last.lower(sql) != "end"
		}
		semicolon = semicolon || is
	}
	return false
}
