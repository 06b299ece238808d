// Package disasters loses the server of Postgres under load: a replica takes over, the old primary returns, a backup is restored.
//
// It owns pairs of Postgres servers and the load on them, and measures what is lost and how long nothing works. It must not know how the engine
// works: it asks the service, and Postgres itself.
package disasters
