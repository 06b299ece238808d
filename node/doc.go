// Package node assembles a coordinator or a worker from its settings. The command, the tests and the benchmark all use it.
//
// It owns the choice of parts and their configurations, the order in which they start and stop, and readiness. It must not know
// what a part does, or flags, signals and files: the command does. It derives what a caller could forget: the known and the
// repeatable executors, the check of inputs, migration, log, telemetry, health and version.
//
// A coordinator ([Process.StartCoordinator]), which stops from left to right:
//
//	JSON-RPC, SSE ─▶ httpserver ─▶ jsonrpc ─┐                          ┌─▶ pg.Store ───▶ Postgres
//	gRPC ──────────▶ grpcserver ────────────┴─▶ Access ─▶ coordinator ─┴─▶ queue.Conn ─▶ NATS
//
// A worker ([Process.StartWorker]), whose probes (httpserver) start first and stop last:
//
//	NATS ◀─▶ worker ─▶ executors ─▶ guardian ─▶ commands
//
// A [Process] holds any number of them: usually one, in "taskgrove dev" both. Settings are the structs of package config;
// [config.Load] and [config.Defaults] fill in all defaults. [Options] holds settings that only tests need.
package node
