package coordinator

import (
	"sync"

	"google.golang.org/protobuf/proto"

	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// batchBytes is how large a batch of requests gets: one more than fits is in it at most.
const batchBytes = 8 << 20

// Bounds of what waits of one kind of requests. A worker may fill a quarter, so that others are heard beside it.
const (
	roomBytes     = 64 << 20
	roomOfWorker  = roomBytes / 4
	countOfWorker = 1024
)

// room counts the requests of a kind that wait, by worker. Safe for concurrent use.
type room struct {
	mu    sync.Mutex
	bytes int
	of    map[string]held // only of workers that have requests waiting
}

type held struct{ bytes, requests int }

func newRoom() *room { return &room{of: map[string]held{}} }

// take makes room for a request of that size, or reports that there is none.
func (r *room) take(worker string, size int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.of[worker]
	if r.bytes+size > roomBytes || h.bytes+size > roomOfWorker || h.requests == countOfWorker {
		return false
	}
	r.bytes += size
	r.of[worker] = held{h.bytes + size, h.requests + 1}
	return true
}

// give ends what take began.
func (r *room) give(worker string, size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bytes -= size
	if h := r.of[worker]; h.requests > 1 {
		r.of[worker] = held{h.bytes - size, h.requests - 1}
	} else {
		delete(r.of, worker)
	}
}

// busyReplies tell workers at once that there is no room, in place of a silence that they would have to wait out. Others
// are asked for again anyway.
var busyReplies = map[queue.Kind]proto.Message{
	queue.Chunk:  &workerv1.ChunkReply{Error: busyText, Busy: true},
	queue.Inputs: &workerv1.InputsReply{Error: busyText, Busy: true},

	queue.Artifact: &workerv1.ArtifactReply{Error: busyText, Busy: true},
}

const busyText = "the coordinator is busy"

func busy(kind queue.Kind, reply func([]byte)) {
	if m := busyReplies[kind]; m != nil {
		if data, err := proto.Marshal(m); err == nil {
			reply(data)
		}
	}
}
