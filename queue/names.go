package queue

import (
	"strconv"
	"strings"
)

// priorities is how many there are, 0 the most urgent.
const priorities = 4

// A Kind of request or message that workers send: one subject each, ending in the worker's id.
type Kind string

// The kinds of requests, and of messages without an answer (Progress).
const (
	Claim    Kind = "claim"
	Beat     Kind = "beat"
	Chunk    Kind = "chunk"
	Inputs   Kind = "inputs"
	Progress Kind = "progress"
)

// kinds are those that workers send to coordinators by core NATS.
var kinds = []Kind{Claim, Beat, Chunk, Inputs, Progress}

// Further first tokens of subjects, beside the kinds.
const (
	work   Kind = "work"
	result Kind = "result"
	logs   Kind = "log"
	news   Kind = "news"
	event  Kind = "event"
	inbox  Kind = "inbox"
)

// names are the streams and subjects under one prefix.
type names struct {
	prefix              string
	work, results, logs string // streams
}

func namesOf(prefix string) names {
	if prefix == "" {
		prefix = "tg"
	}
	upper := strings.ToUpper(prefix)
	return names{prefix: prefix, work: upper + "_WORK", results: upper + "_RESULTS", logs: upper + "_LOGS"}
}

// subject is "<prefix>.<kind>.<rest>".
func (n names) subject(kind Kind, rest string) string {
	return n.prefix + "." + string(kind) + "." + rest
}

// workSubject is where the work of a pool and priority is published.
func (n names) workSubject(pool string, priority int) string {
	return n.subject(work, pool) + "." + strconv.Itoa(priority)
}

// logSubject is where a worker publishes the lines of a task; "*" stands for any worker.
func (n names) logSubject(worker string, task int64) string {
	return n.subject(logs, worker) + "." + strconv.FormatInt(task, 10)
}

// inbox is what the subjects of replies to a worker begin with: under the prefix and with the id as a token of its
// own, so that coordinators may publish to all inboxes and each worker reads only its own.
func (n names) inbox(worker string) string { return n.subject(inbox, worker) }

// resultsConsumer is the durable consumer that all coordinators share.
const resultsConsumer = "coordinators"

// coordinators is the queue group in which each request is served by one of them.
const coordinators = "coordinators"

// consumerName is the durable consumer of a pool and priority.
func consumerName(pool string, priority int) string { return pool + "_p" + strconv.Itoa(priority) }

// nextSubject is where messages are asked for.
func nextSubject(stream, consumer string) string {
	return "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + consumer
}

// ValidName reports whether name can be a worker's id, a pool or a prefix: 1 to 64 letters, digits, "_" and "-", so
// that it is one token of a subject and part of a consumer's name.
func ValidName(name string) bool {
	if len(name) == 0 || len(name) > 64 {
		return false
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
