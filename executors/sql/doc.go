// Package sql runs statements in databases: Postgres, MySQL (and MariaDB) and SQLite.
//
// It owns sql_executor, which is our own: what a statement may do, its transaction, the fence in it, how values become JSON, and the
// connections that attempts share. It must not know Taskgrove's own database or who asks.
//
// Only reading is allowed unless the task says otherwise: see guard.go for what keeps it. A session never passes anything on to the next
// attempt, and what an attempt is told to stop ends at the server, too.
package sql
