package coordinator

import (
	"bytes"
	"math"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/dag"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
)

// FuzzChunks: only a part with its token is stored, and parts of its kind make no result beyond the limit.
func FuzzChunks(f *testing.F) {
	c := deaf()
	seed(f, &workerv1.ChunkRequest{Version: 1, Grant: own(c, 1), Index: 1, Count: 2, Data: []byte("data")},
		&workerv1.ChunkRequest{Grant: own(c, 1), Index: 0, Count: math.MaxUint32, Data: []byte("d")},
		&workerv1.ChunkRequest{Grant: own(c, 1)}, &workerv1.ChunkRequest{Count: 1}, &workerv1.ChunkRequest{Grant: own(c, 1), Count: 1 << 17})
	f.Fuzz(func(t *testing.T, data []byte) {
		c := deaf()
		m := &workerv1.ChunkRequest{}
		readable := proto.Unmarshal(data, m) == nil
		part, refusal := c.decodeChunk(t.Context(), request{worker: "w", data: data})
		if refusal != nil {
			if !refusal.Final || refusal.Error == "" {
				t.Fatalf("got refusal %v, want one for good", refusal)
			}
			return
		}
		if !readable || !c.holds(m.Grant.GetAttempt(), m.Grant.GetToken()) {
			t.Fatalf("a part without its token is taken: %v", m)
		}
		if part.Task != dag.Key(m.Grant.GetAttempt().GetTask()) || !bytes.Equal(part.Data, m.Data) {
			t.Fatalf("got part of %d with %d bytes", part.Task, len(part.Data))
		}
		if part.Index < 0 || part.Index >= part.Count || part.Count > maxParts || int64(part.Count-1)*int64(len(part.Data)) > int64(c.cfg.MaxResult) {
			t.Fatalf("got part %d of %d with %d bytes", part.Index, part.Count, len(part.Data))
		}
	})
}
