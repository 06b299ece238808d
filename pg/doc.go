// Package pg keeps task trees in Postgres, the only truth.
//
// It owns the schema, every SQL statement, locks and transactions. It locks and loads rows, calls the decisions of
// package dag, and writes what they say. It must not know NATS, workers' messages or client protocols, and decides
// nothing itself.
//
// Its parts, with the files to begin with:
//
//   - The database (database.go, store.go, sql.go, migrate.go): connections, deadlines, when to try again; statements by name,
//     in which package dag gives the numbers of states and flags; migrations. binary.go and copy.go write and read values.
//   - Submission (submit.go): a tree's tasks are read, validated, staged and written, small trees in batches.
//   - Transitions (settle.go, claim.go): results and claims, timers, followups and cancellations each load and lock tasks (load.go), let
//     package dag decide, and write what it says (apply.go, rows.go). Results and claims are first tried without reading
//     (optimistic.go).
//   - Resident trees (resident.go): what this process remembers of trees that it stored. Facts only, and no SQL.
//   - Dispatch (dispatch.go, reconcile.go): ready tasks wait in stretches (stretch.go) and are taken as there is room; what was
//     published and never claimed is looked after. work.go and inputs.go load what a worker needs.
//   - Executions (execute.go): stored trees start, or run again.
//   - Reads (read_tasks.go, read_trees.go, read_events.go, why.go): what clients are shown. No locks.
//   - Workers (workers.go, attempts.go, chunks.go): leases, open attempts, parts of large results.
//   - The auditor (audit.go): the rules of the system, derived anew from what is stored.
//   - Expiry (expire.go): finished trees and leftovers go in bounded steps.
package pg
