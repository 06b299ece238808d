// Package jsonrpc serves the task-tree protocol's classic dialect: JSON-RPC 2.0 over HTTP on /tasks and /system, with
// streams of events as SSE (spec 5 and 12.5).
//
// It owns the envelope, the codes, the words and the shape of every object on this wire. It must not know how trees are
// stored or run: all of that is behind [coordinator.Access]. Servers, listeners and their limits are httpserver's.
//
// Beyond the protocol, and additive to it:
//
//   - tasks.create and tasks.execute take an idempotency key, as the header Idempotency-Key or as the parameter
//     idempotency_key, and answer id_map when ids had to change.
//   - tasks.execute takes wait (bool) and timeout (seconds): the answer then comes when the tree has ended, and holds
//     its outcome; force and rerun_dependencies steer a re-run.
//   - tasks.list takes root_id (tasks of one tree, in the order of their submission) and cursor; the next page's cursor
//     is in the header X-Next-Cursor. tasks.children takes limit and cursor likewise.
//   - GET /tasks/{id}/events is the tree's stream of events on its own: every event that has a sequence has it as its
//     id, the header Last-Event-ID (or the query parameter after) goes on behind it, and 204 says that nothing is left.
package jsonrpc
