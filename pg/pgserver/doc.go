// Package pgserver runs a private Postgres as a child of this process: for `taskgrove dev`, for tests and benchmarks.
//
// It owns the search for the binaries, the data directory, the user to run as, and the child from start to end. It must not
// know what is stored in the database: no schema, no table, no other package of ours.
//
// A data directory given to [Start] holds:
//
//	pgdata/     the database cluster; pgdata.new while initdb makes it
//	password    of the superuser postgres, random, readable only by its owner
//	log, log.1  the server's log, bounded in size
//	lock        locked (flock) while a [Server] uses the directory
//
// The server listens on a port of 127.0.0.1 and not on a Unix socket, whose path is limited to about a hundred bytes and whose
// file outlives a crash. On Linux the child gets SIGQUIT when this process dies, however it dies. On other systems the child
// survives a kill -9 of this process and keeps the data directory; the next [Start] reports that.
package pgserver
