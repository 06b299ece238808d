package queue

import "strings"

// A NATS server answers to any reply subject without asking whether the requester may publish there: a pull that finds
// nothing with the reply $JS.API.STREAM.DELETE.X deletes X. So permissions alone are no boundary. Each worker has an account
// of its own, or shares that of its group, in which nothing of another exists, and only [Crossings] connect it with the account of the coordinators.

// Crossings are the subjects that pass between a worker's account and that of the coordinators. All have the same names on
// both sides, except pulls.
type Crossings struct {
	Services []string // requests of the worker; the server brings answers to the asking account, whatever their reply subject
	Streams  []string // what coordinators send to the worker
	Pulls    Pull
}

// Pull is the crossing of a worker's requests for messages. Behind a service, JetStream does not see for sure whether anybody
// still waits for answers: it would send messages to workers that have withdrawn or died, always if they are at another server
// of a cluster, and at the same one if they withdraw at that moment. So a pull crosses as a stream, with its reply subject as it
// is, to a subject that only coordinators read; see [Conn.RelayPulls].
// It is one crossing for all pools, since each costs every subscription of a coordinator; permissions say which pools.
type Pull struct {
	Asked   string // in the worker's account: JetStream's own subject
	Relayed string // in the coordinators' account
}

// WorkerCrossings are those that a worker needs for its pools; the pool "*" means every pool, and the worker "group.*" all members of a
// group. An empty prefix means the default.
func WorkerCrossings(prefix, worker string, pools []string) Crossings {
	return namesOf(prefix).workerCrossings(worker, pools)
}

func (n names) workerCrossings(worker string, pools []string) Crossings {
	c := Crossings{
		Streams: []string{n.inbox(User(worker)) + ".>", n.subject(news, worker)},
		Pulls:   Pull{n.nextSubject("*"), n.subject(take, User(worker)) + ".*"}, // the reply subject says which member asks
	}
	for _, kind := range kinds {
		c.Services = append(c.Services, n.subject(kind, worker))
	}
	c.Services = append(c.Services, n.subject(result, worker), n.subject(logs, User(worker))+".*")
	for _, consumer := range consumersOf(pools) {
		c.Services = append(c.Services, n.ackSubjects(consumer)...)
	}
	return c
}

// WorkerAccount is the name of a worker's account, or of its group's. An empty prefix means the default.
func WorkerAccount(prefix, worker string) string {
	return CoordinatorAccount(prefix) + "_WORKER_" + User(worker)
}

// CoordinatorAccount is the name of the account that coordinators share, with the streams. An empty prefix means the default.
func CoordinatorAccount(prefix string) string { return strings.ToUpper(namesOf(prefix).prefix) }

// Account is an account of an external NATS server.
type Account struct {
	Name      string   `json:"name"`
	JetStream bool     `json:"jetstream"`
	Users     []string `json:"users"`
	Exports   []Export `json:"exports"`
	Imports   []Import `json:"imports"`
}

// Export is what one account offers to others: either a stream or a service, as in nats-server's configuration.
type Export struct {
	Stream   string   `json:"stream,omitempty"`
	Service  string   `json:"service,omitempty"`
	Accounts []string `json:"accounts"` // that may import it
}

// Import is what one account uses of another: either a stream or a service, as in nats-server's configuration.
type Import struct {
	Stream  *Source `json:"stream,omitempty"`
	Service *Source `json:"service,omitempty"`
	To      string  `json:"to,omitempty"` // the subject here; empty: as it is there
}

// Source is the account and subject of an [Import].
type Source struct {
	Account string `json:"account"`
	Subject string `json:"subject"`
}

// ServerAccounts are the accounts that an external server needs for these users: that of all coordinators first, then one
// for each worker.
func ServerAccounts(prefix string, users []ServerUser) []Account {
	return Place{Prefix: prefix}.ServerAccounts(users)
}

// ServerAccounts is [ServerAccounts] of this place.
func (p Place) ServerAccounts(users []ServerUser) []Account {
	prefix := p.Prefix
	main := Account{Name: CoordinatorAccount(prefix), JetStream: true, Users: []string{}, Exports: []Export{}, Imports: []Import{}}
	var workers []Account
	offered := map[string]int{} // service -> its place in main.Exports, for what several workers share
	for _, user := range users {
		if user.Pools == nil {
			main.Users = append(main.Users, user.Name)
			continue
		}
		own := Account{Name: WorkerAccount(prefix, user.Name), Users: []string{user.Name}, Exports: []Export{}, Imports: []Import{}}
		crossings := namesOf(p.Prefix).workerCrossings(user.Worker(), user.Pools)
		for _, subject := range crossings.Services {
			at, ok := offered[subject]
			if !ok {
				at = len(main.Exports)
				offered[subject] = at
				main.Exports = append(main.Exports, Export{Service: subject})
			}
			main.Exports[at].Accounts = append(main.Exports[at].Accounts, own.Name)
			own.Imports = append(own.Imports, Import{Service: &Source{main.Name, subject}})
		}
		for _, subject := range crossings.Streams {
			main.Exports = append(main.Exports, Export{Stream: subject, Accounts: []string{own.Name}})
			own.Imports = append(own.Imports, Import{Stream: &Source{main.Name, subject}})
		}
		own.Exports = append(own.Exports, Export{Stream: crossings.Pulls.Asked, Accounts: []string{main.Name}})
		main.Imports = append(main.Imports, Import{Stream: &Source{own.Name, crossings.Pulls.Asked}, To: crossings.Pulls.Relayed})
		workers = append(workers, own)
	}
	return append([]Account{main}, workers...)
}
