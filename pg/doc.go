// Package pg stores task trees in Postgres, the only truth.
//
// It owns the schema, every SQL statement, locks and transactions. It locks and loads rows, calls the decisions of package dag,
// and writes the changes that they return. It must not know NATS, workers' messages or client protocols, and decides nothing
// itself.
//
// Its parts, and the files to begin with:
//
//   - The database (database.go, store.go, sql.go, migrate.go): connections, deadlines, retries; named statements, whose numbers of
//     states and flags come from package dag; migrations. connections.go makes what runs on them the same through a pooler
//     (pooler.go). sqlstate.go says what errors mean. binary.go and copy.go write and read values.
//   - Submission (submit.go): a tree's tasks are read, validated, staged and written, small trees in batches.
//   - Transitions (settle.go, claim.go): results and claims, timers, followups and cancellations each load and lock tasks (load.go), let
//     package dag decide, and write the changes (apply.go, rows.go). Results and claims are first tried without reading
//     (optimistic.go).
//   - Resident trees (resident.go): what this process remembers of trees that it stored. Facts only, no SQL.
//   - Dispatch (dispatch.go, reconcile.go): takes ready tasks, which wait in stretches (stretch.go), as there is room; looks after
//     published tasks that nobody claims. work.go and inputs.go load what a worker needs.
//   - Executions (execute.go): start stored trees, or run them again.
//   - Reads (read_tasks.go, read_trees.go, read_events.go, why.go): answer clients. No locks.
//   - Workers (workers.go, attempts.go, chunks.go): leases, open attempts, parts of large results.
//   - The auditor (audit.go): checks the stored data against the rules.
//   - Expiry (expire.go): deletes finished trees and leftovers in bounded steps.
package pg
