package queue

import (
	"strconv"
	"strings"
)

// priorities is the number of priorities; 0 is the most urgent.
const priorities = 4

// A Kind of request or message that workers send: one subject each, ending in the worker's id. A worker's id is one name, or two with a dot:
// group.member. The members of a group share a NATS user, which is called like the group, and trust each other.
type Kind string

// The kinds of requests, and of messages without an answer (Progress).
const (
	Claim    Kind = "claim"
	Beat     Kind = "beat"
	Chunk    Kind = "chunk"
	Inputs   Kind = "inputs"
	Progress Kind = "progress"
	// Catalogue came later: servers whose permissions are older refuse it, and workers do without.
	Catalogue Kind = "catalogue"
	// ModelKey, which all coordinators hear, came later, too.
	ModelKey Kind = "modelkey"
	// Artifact came with files that tasks make: servers whose permissions are older refuse it, and tasks that make files fail there.
	Artifact Kind = "artifact"
)

// needed are the kinds without which a worker can't work.
var needed = []Kind{Claim, Beat, Chunk, Inputs, Progress}

// kinds are all kinds that workers send to coordinators over core NATS.
var kinds = append(needed[:len(needed):len(needed)], Catalogue, ModelKey, Artifact)

// Other first tokens of subjects.
const (
	work   Kind = "work"
	result Kind = "result"
	logs   Kind = "log"
	news   Kind = "news"
	event  Kind = "event"
	inbox  Kind = "inbox"
	take   Kind = "take"  // pulls that coordinators relay
	block  Kind = "block" // of files that tasks make
)

// names holds the streams and subjects under one prefix.
type names struct {
	prefix              string
	work, results, logs string // streams
	artifacts           string // likewise, made with its first block
	domain              string // of JetStream; empty: that of the server
}

func namesOf(prefix string) names {
	if prefix == "" {
		prefix = "tg"
	}
	upper := strings.ToUpper(prefix)
	return names{prefix: prefix, work: upper + "_WORK", results: upper + "_RESULTS", logs: upper + "_LOGS", artifacts: upper + "_ARTIFACTS"}
}

// at is the same in a domain of JetStream.
func (n names) at(domain string) names {
	n.domain = domain
	return n
}

// api is the beginning of the subjects on which JetStream takes requests.
func (n names) api() string {
	if n.domain != "" {
		return "$JS." + n.domain + ".API"
	}
	return "$JS.API"
}

// subject is "<prefix>.<kind>.<rest>".
func (n names) subject(kind Kind, rest string) string {
	return n.prefix + "." + string(kind) + "." + rest
}

// workSubject is where the work of a pool and priority is published.
func (n names) workSubject(pool string, priority int) string {
	return n.subject(work, pool) + "." + strconv.Itoa(priority)
}

// logSubject is where a worker publishes the lines of a task; "*" stands for any worker. It names the group and no member: who reads lines
// does not ask for it, and so needs one filter for each task.
func (n names) logSubject(worker string, task int64) string {
	return n.subject(logs, User(worker)) + "." + strconv.FormatInt(task, 10)
}

// inbox is the prefix of reply subjects to a worker. The worker's id is there as in other subjects, so that permissions can let
// coordinators publish to all inboxes, and each worker or group read only its own.
func (n names) inbox(worker string) string { return n.subject(inbox, worker) }

// mappedReply begins the reply subjects that a server puts in place of a requester's own, when a request crosses from one
// account to another. Clients can't use such reply subjects themselves: the server refuses them.
const mappedReply = "_R_."

// resultsConsumer is the durable consumer that all coordinators share.
const resultsConsumer = "coordinators"

// coordinators is the queue group of coordinators: one of them serves each request.
const coordinators = "coordinators"

// consumerName is the durable consumer of a pool and priority.
func consumerName(pool string, priority int) string { return pool + "_p" + strconv.Itoa(priority) }

// next is where a consumer takes requests for messages.
func (n names) next(stream, consumer string) string {
	return n.api() + ".CONSUMER.MSG.NEXT." + stream + "." + consumer
}

// nextSubject is where a consumer of WORK does.
func (n names) nextSubject(consumer string) string { return n.next(n.work, consumer) }

// ValidWorker reports whether id can be a worker's: a name, or two names with a dot, group.member.
func ValidWorker(id string) bool {
	group, member, grouped := strings.Cut(id, ".")
	return ValidName(group) && (!grouped || ValidName(member))
}

// User is the name of the NATS user that a worker needs: its id, or the group of group.member.
func User(worker string) string {
	user, _, _ := strings.Cut(worker, ".")
	return user
}

// whole stands for all members in the place of a worker's id: "group.*".
const whole = ".*"

// anyWorker are the ends of subjects for ids of one name and of two.
var anyWorker = []string{"*", "*.*"}

// ValidName reports whether name can be a worker's id, a group, a pool or a prefix: 1 to 64 letters, digits, "_" and "-", so
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
