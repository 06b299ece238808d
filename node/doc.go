// Package node assembles a coordinator or a worker from its settings, for everybody who runs one: the command, the tests
// and the benchmark.
//
// It owns which parts there are and what each is configured with, the order in which they start, when a process is ready,
// and the order in which they stop. It must not know what a part does, nor flags, signals and files: those are the
// command's. What a caller could forget is derived here: the known and the repeatable executors, the check of inputs,
// migration, log, telemetry, health and version.
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
// A [Process] holds any number of them: one in a program of its own, both in "taskgrove dev". Settings are the structs of
// package config, which have all defaults when [config.Load] or [config.Defaults] made them; what only tests need besides
// is in [Options].
package node
