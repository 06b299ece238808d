// Package pgserver runs a private Postgres as a child of this process: for `taskgrove dev`, for tests and benchmarks.
//
// It owns finding the binaries, the data directory, the user to run as, the child and its end. It must not know what
// is stored in the database: no schema, no table, no other package of ours.
//
// A data directory given to [Start] holds:
//
//	pgdata/     what initdb made; pgdata.new while it is being made
//	password    of the superuser postgres, random, readable by its owner only
//	log, log.1  what the server said, bounded in size
//	lock        locked (flock) while a [Server] uses the directory
//
// The server listens on a port of 127.0.0.1 and on no Unix socket: a socket's path is limited to about a hundred
// bytes, and a socket file outlives a crash. On Linux the child gets SIGQUIT when this process dies, however it dies;
// on other systems it lives on after a kill -9 and keeps the data directory, which the next [Start] then reports.
package pgserver
