package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// NATS are the facts of NATS, as a connection with the login of a coordinator sees them.
type NATS struct {
	Address string // of the servers, without users and passwords
	Err     error  // why nothing else is known; nil: it answers
	Faults  map[string]error

	Server, Version string // of the connection
	TLS             Wire
	MaxPayload      int64
	RTT             time.Duration
	Servers         []NATSServer // all that are named or known, as they greet
	JetStreamErr    error        // why it can't be used; nil: it can
	Account         Account
	Replicas        int // that streams are to have
	Streams         []Stream
	Missing         []string // consumers that are not there
	Denied          []string // what the user must be able to do, and may not
	Allowed         []string // what it need not, and may
	Dropped         int      // messages of the coordinator's own connection that it took too slowly
}

// NATSServer is a server as it greets whoever connects.
type NATSServer struct {
	Address, Name, Version string
	Err                    error // nil: it greets
	Silent                 bool  // it takes connections, and greets only with TLS
	Seen                   bool  // by the connection, which named it; else somebody wrote it into the settings
}

// Account is how much an account has of JetStream; bounds below 0: none.
type Account struct {
	Store, StoreMost, Memory, MemoryMost int64
	Streams, StreamsMost                 int
	ConsumersMost                        int
}

// Stream is one of our streams.
type Stream struct {
	Name    string
	Missing bool
	Differs []Difference
	Copies  int // that it has by its settings
	Leader  string
	Peers   []Peer // other copies
	Bytes   int64
	Most    int64 // bytes; below 1: no bound
	Rolls   bool  // it drops its oldest messages when it is full
	Waiting uint64
}

// Difference is a setting that is not as a coordinator makes it.
type Difference struct{ Setting, Has, Wants string }

// Peer is another copy of a stream.
type Peer struct {
	Name            string
	Current, Online bool
	Lag             uint64
}

const (
	leastPayload  = 1 << 20
	oldestNATS    = "2.10"
	fullWarning   = 70 // percent
	fullProblem   = 95
	roundTripSlow = 200 * time.Millisecond
)

// JudgeNATS judges what is known of NATS.
func JudgeNATS(n *NATS, now time.Time) []Finding {
	j := judge{faults: n.Faults}
	j.servers(n)
	if n.Err != nil {
		j.add(find(NATSReach, Problem, n.Address, "NATS does not answer: "+oneLine(n.Err.Error())))
		return j.findings
	}
	severity, found := OK, fmt.Sprintf("server %s answers within %s", n.Server, n.RTT.Round(100*time.Microsecond))
	if n.RTT > roundTripSlow {
		severity = Warning
	}
	j.add(find(NATSReach, severity, n.Address, found))
	j.add(judgeWire(NATSTLS, "NATS", n.TLS, now)...)
	if n.MaxPayload < leastPayload {
		j.add(find(NATSPayload, Warning, "", fmt.Sprintf("max_payload is %s", size(n.MaxPayload))))
	} else {
		j.add(find(NATSPayload, OK, "", fmt.Sprintf("max_payload is %s", size(n.MaxPayload))))
	}
	j.unless(NATSPermissions, func() { j.permissions(n) })
	if n.Dropped > 0 {
		j.add(find(NATSSlow, Warning, "", fmt.Sprintf("the coordinator took messages too slowly %d times since it started", n.Dropped)))
	}
	if n.JetStreamErr != nil {
		j.add(find(NATSJetStream, Problem, "", "JetStream can't be used: "+oneLine(n.JetStreamErr.Error())))
		return j.findings
	}
	j.add(find(NATSJetStream, OK, "", "JetStream is on"))
	j.limits(n)
	j.unless(NATSStreams, func() { j.streams(n) })
	j.unless(NATSConsumers, func() { j.consumers(n) })
	return j.findings
}

func (j *judge) servers(n *NATS) {
	up, versions := 0, map[string][]string{}
	for _, s := range n.Servers {
		switch {
		case s.Err != nil:
			j.add(find(NATSServers, Warning, s.Address, fmt.Sprintf("the server at %s does not answer: %s", s.Address, oneLine(s.Err.Error()))))
			continue
		case s.Version != "":
			versions[s.Version] = append(versions[s.Version], cleaned(s.Name))
		}
		up++
	}
	if up > 0 && up == len(n.Servers) {
		j.add(find(NATSServers, OK, "", fmt.Sprintf("%d of %d servers answer", up, up)))
	}
	if n.Version != "" {
		versions[n.Version] = append(versions[n.Version], n.Server)
	}
	old := false
	for v, names := range versions {
		if olderThan(v, oldestNATS) {
			old = true
			j.add(find(NATSVersion, Problem, names[0], fmt.Sprintf("server %s is %s, and %s is the oldest that works", names[0], v, oldestNATS)))
		}
	}
	switch {
	case old || len(versions) == 0:
	case len(versions) > 1:
		j.add(find(NATSVersion, Note, "", fmt.Sprintf("servers have different versions: %s", spread(versions))))
	default:
		for v := range versions {
			j.add(find(NATSVersion, OK, "", "NATS "+v))
		}
	}
}

// spread says who has which version.
func spread(by map[string][]string) string {
	var parts []string
	for v, names := range by {
		slices.Sort(names)
		parts = append(parts, fmt.Sprintf("%s: %s", v, some(slices.Compact(names))))
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}

// olderThan compares the first two numbers of versions.
func olderThan(v, than string) bool {
	a, b := firstTwo(v), firstTwo(than)
	return a[0] < b[0] || a[0] == b[0] && a[1] < b[1]
}

func firstTwo(v string) (out [2]int) {
	for i, part := range strings.SplitN(strings.TrimPrefix(v, "v"), ".", 3) {
		if i < 2 {
			out[i], _ = strconv.Atoi(strings.TrimRight(part, "-abcdefghijklmnopqrstuvwxyz+"))
		}
	}
	return out
}

func (j *judge) permissions(n *NATS) {
	if len(n.Denied) > 0 {
		j.add(find(NATSPermissions, Problem, "", fmt.Sprintf("the user may not %s", some(n.Denied))))
	} else {
		j.add(find(NATSPermissions, OK, "", "the user may do what a coordinator has to"))
	}
	if len(n.Allowed) > 0 {
		j.add(find(NATSOpen, Warning, "", fmt.Sprintf("the user may %s, which no coordinator has to: the server has no permissions for it", some(n.Allowed))))
	} else {
		j.add(find(NATSOpen, OK, "", "the user may do no more than it has to, as far as was tried"))
	}
}

func (j *judge) limits(n *NATS) {
	before := len(j.findings)
	a := n.Account
	for _, one := range []struct {
		what      string
		has, most int64
	}{{"storage", a.Store, a.StoreMost}, {"memory", a.Memory, a.MemoryMost}} {
		if one.most <= 0 {
			continue
		}
		text := fmt.Sprintf("the account uses %s of %s of %s", size(one.has), size(one.most), one.what)
		switch used := one.has * 100 / one.most; {
		case used >= fullProblem:
			j.add(find(NATSLimits, Problem, one.what, text))
		case used >= fullWarning:
			j.add(find(NATSLimits, Warning, one.what, text))
		}
	}
	if len(j.findings) == before {
		most := "no bound of its own"
		if a.StoreMost > 0 {
			most = size(a.StoreMost) + " at most"
		}
		j.add(find(NATSLimits, OK, "", fmt.Sprintf("the account uses %s of storage, %s", size(a.Store), most)))
	}
}

func (j *judge) streams(n *NATS) {
	wrong, late, full := 0, 0, 0
	for i := range n.Streams {
		s := &n.Streams[i]
		if s.Missing {
			wrong++
			j.add(find(NATSStreams, Problem, s.Name, fmt.Sprintf("stream %s is not there", s.Name), "Start a coordinator, or restart one: it makes the streams."))
			continue
		}
		wrong += j.differences(s)
		late += j.peers(s)
		full += j.full(s)
	}
	if wrong == 0 {
		j.add(find(NATSStreams, OK, "", fmt.Sprintf("%d streams are as coordinators make them", len(n.Streams))))
	}
	if late == 0 {
		j.add(find(NATSPeers, OK, "", "all copies are current"))
	}
	if full == 0 {
		j.add(find(NATSFull, OK, "", "no stream is nearly full"))
	}
	j.replicas(n)
}

// differences reports settings that differ; how many copies there are is judged apart.
func (j *judge) differences(s *Stream) (n int) {
	for _, d := range s.Differs {
		if d.Setting == "replicas" {
			continue
		}
		n++
		if d.Setting == "max_bytes" {
			j.add(find(NATSStreams, Note, s.Name, fmt.Sprintf("stream %s may hold %s bytes, and the settings want %s: the server had no more room, or has other settings", s.Name, d.Has, d.Wants)))
			continue
		}
		severity := Warning
		if slices.Contains([]string{"subjects", "retention", "storage", "discard"}, d.Setting) {
			severity = Problem
		}
		j.add(find(NATSStreams, severity, s.Name, fmt.Sprintf("stream %s has %s %s, and coordinators make it with %s", s.Name, d.Setting, d.Has, d.Wants)))
	}
	return n
}

func (j *judge) peers(s *Stream) (n int) {
	if s.Copies > 1 && s.Leader == "" {
		n++
		j.add(find(NATSPeers, Problem, s.Name, fmt.Sprintf("stream %s has no leader: it takes nothing", s.Name)))
	}
	for _, p := range s.Peers {
		switch {
		case !p.Online:
			n++
			j.add(find(NATSPeers, Warning, s.Name, fmt.Sprintf("the copy of stream %s at %s is offline", s.Name, cleaned(p.Name))))
		case !p.Current:
			n++
			j.add(find(NATSPeers, Warning, s.Name, fmt.Sprintf("the copy of stream %s at %s lags by %d steps", s.Name, cleaned(p.Name), p.Lag)))
		}
	}
	return n
}

func (j *judge) full(s *Stream) int {
	if s.Most < 1 {
		return 0
	}
	used := s.Bytes * 100 / s.Most
	text := fmt.Sprintf("stream %s has %s of %s", s.Name, size(s.Bytes), size(s.Most))
	switch {
	case used < fullWarning:
		return 0
	case s.Rolls && used >= fullProblem:
		j.add(find(NATSFull, Note, s.Name, text+": its oldest lines are dropped"))
	case s.Rolls:
		return 0
	case used >= fullProblem:
		j.add(find(NATSFull, Problem, s.Name, text))
	default:
		j.add(find(NATSFull, Warning, s.Name, text))
	}
	return 1
}

// replicas holds the copies against how many servers there are.
func (j *judge) replicas(n *NATS) {
	up := 0
	for _, s := range n.Servers {
		if s.Err == nil {
			up++
		}
	}
	few := 0
	for i := range n.Streams {
		s := &n.Streams[i]
		if s.Missing {
			continue
		}
		switch {
		case s.Copies < n.Replicas:
			few++
			j.add(find(NATSReplicas, Warning, s.Name, fmt.Sprintf("stream %s has %s, and the settings want %d: too few servers were up when it was made", s.Name, copies(s.Copies), n.Replicas),
				"Bring all NATS servers up; coordinators then give the stream its copies by themselves."))
		case s.Copies < 3 && up >= 3:
			few++
			j.add(find(NATSReplicas, Warning, s.Name, fmt.Sprintf("stream %s has %s, and there are %d servers", s.Name, copies(s.Copies), up)))
		}
	}
	switch {
	case few > 0 || len(n.Streams) == 0:
	case n.Replicas < 3:
		j.add(find(NATSReplicas, Note, "", fmt.Sprintf("streams have %s, as the settings want; in production use three servers and three copies", copies(max(n.Replicas, 1)))))
	default:
		j.add(find(NATSReplicas, OK, "", fmt.Sprintf("streams have %s", copies(n.Replicas))))
	}
}

func copies(n int) string {
	if n == 1 {
		return "1 copy"
	}
	return fmt.Sprintf("%d copies", n)
}

func (j *judge) consumers(n *NATS) {
	if len(n.Missing) > 0 {
		j.add(find(NATSConsumers, Problem, "", fmt.Sprintf("consumers are missing: %s", some(n.Missing))))
		return
	}
	j.add(find(NATSConsumers, OK, "", "all consumers are there"))
}
