package pg

import (
	"encoding/binary"
	"fmt"

	"github.com/taskgrove/taskgrove/dag"
)

// encodeEvents packs events: for each its type, and, but for those of the whole tree, its task's index and attempt.
func encodeEvents(events []dag.Event) []byte {
	out := make([]byte, 0, len(events)*5)
	for _, e := range events {
		out = append(out, byte(e.Type))
		if e.Type != dag.EventExecution && e.Type != dag.EventFinal {
			out = binary.AppendUvarint(out, uint64(e.Task.Index()))
			out = binary.AppendUvarint(out, uint64(e.Attempt))
		}
	}
	return out
}

// decodeEvents unpacks what encodeEvents packed.
func decodeEvents(tree dag.TreeKey, body []byte) ([]dag.Event, error) {
	var out []dag.Event
	for len(body) > 0 {
		e := dag.Event{Type: dag.EventType(body[0])}
		body = body[1:]
		if e.Type != dag.EventExecution && e.Type != dag.EventFinal {
			index, n := binary.Uvarint(body)
			if n <= 0 || index >= dag.MaxTreeTasks {
				return nil, fmt.Errorf("events of tree %d: bad index", tree)
			}
			attempt, m := binary.Uvarint(body[n:])
			if m <= 0 {
				return nil, fmt.Errorf("events of tree %d: bad attempt", tree)
			}
			if e.Type != dag.EventLate { // of the whole tree; it has an index, as older coordinators read one
				e.Task, e.Attempt = tree.Key(int(index)), int32(attempt)
			}
			body = body[n+m:]
		}
		out = append(out, e)
	}
	return out, nil
}
