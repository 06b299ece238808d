// Package jsonrpc serves the task-tree protocol, in both dialects: JSON-RPC 2.0 over HTTP on /tasks and /system, with
// streams of events as SSE and over WebSockets (spec 5 and 12.5).
//
// It owns the envelope, the codes, the words and the shape of every object of this protocol. It must not know how trees are
// stored or run: [coordinator.Access] hides that. Package httpserver has the server, the listener and its limits.
//
// These are additions to the protocol:
//
//   - tasks.create and tasks.execute take an idempotency key, in the header Idempotency-Key or the parameter
//     idempotency_key, and answer id_map if ids had to change.
//   - tasks.execute takes wait (bool) and timeout (seconds): it then answers when the tree has ended, with its outcome. force
//     and rerun_dependencies steer a re-run.
//   - tasks.list takes root_id (tasks of one tree, in the order of their submission) and cursor; the header X-Next-Cursor has
//     the next page's cursor. tasks.children takes limit and cursor, too.
//   - GET /tasks/{id}/events streams the events of a tree. An event's id is its sequence, if it has one. The header
//     Last-Event-ID or the query parameter after continues behind an event; 204 means that nothing is left.
//   - GET /tasks, /tasks/{id}, and below it tree, children, why and attempts answer in plain JSON.
//   - GET /ws is a WebSocket: frames of socket.go, on the same events as SSE.
//
// The published protocol 1.0 is a second encoding of the same methods (protocol.go).
//
// The methods are a table, [Methods]: handler, the page docs/json-rpc.md and schemas are made of it.
package jsonrpc
