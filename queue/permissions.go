package queue

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Permissions are the subjects that a NATS user may publish and subscribe to.
type Permissions struct{ Publish, Subscribe []string }

// WorkerPermissions are exactly those that a worker needs for its pools: take and acknowledge work; send requests, results
// and logs under its own id; read its own inbox and news. The worker "group.*" stands for all members of a group. An empty prefix means the
// default; the pool "*" means every pool.
func WorkerPermissions(prefix, worker string, pools []string) Permissions {
	return namesOf(prefix).workerPermissions(worker, pools)
}

func (n names) workerPermissions(worker string, pools []string) Permissions {
	p := Permissions{Subscribe: []string{n.inbox(User(worker)) + ".>", n.subject(news, worker)}}
	for _, kind := range kinds {
		p.Publish = append(p.Publish, n.subject(kind, worker))
	}
	p.Publish = append(p.Publish, n.subject(result, worker), n.subject(logs, User(worker))+".*")
	for _, consumer := range consumersOf(pools) {
		p.Publish = append(p.Publish, n.nextSubject(consumer))
		p.Publish = append(p.Publish, n.ackSubjects(consumer)...)
	}
	return p
}

// consumersOf are the consumers of the pools; "*" stands for every pool, and then also in the answer.
func consumersOf(pools []string) []string {
	if slices.Contains(pools, "*") {
		return []string{"*"}
	}
	var consumers []string
	for _, pool := range pools {
		for priority := range priorities {
			consumers = append(consumers, consumerName(pool, priority))
		}
	}
	return consumers
}

// ackSubjects are where deliveries of a consumer of WORK are answered, in both formats that servers use.
func (n names) ackSubjects(consumer string) []string {
	return []string{
		fmt.Sprintf("$JS.ACK.%s.%s.>", n.work, consumer),
		fmt.Sprintf("$JS.ACK.*.*.%s.%s.>", n.work, consumer), // with domain and account
	}
}

// CoordinatorPermissions are those that a coordinator needs: everything under the prefix, except reading inboxes and news,
// answers to requests from workers' accounts, and the management of our streams. An empty prefix means the default.
func CoordinatorPermissions(prefix string) Permissions {
	return namesOf(prefix).coordinatorPermissions()
}

func (n names) coordinatorPermissions() Permissions {
	p := Permissions{
		Publish:   []string{n.prefix + ".>", mappedReply + ">"},
		Subscribe: []string{"_INBOX.>", n.subject(event, ">"), n.subject(take, "*.*")},
	}
	for _, kind := range kinds {
		for _, worker := range anyWorker {
			p.Subscribe = append(p.Subscribe, n.subject(kind, worker))
		}
	}
	apis := []string{n.api()}
	if n.domain != "" { // the servers that keep the streams judge a request by the subject without the domain
		apis = append(apis, n.at("").api())
	}
	for _, api := range apis {
		p.Publish = append(p.Publish, api+".INFO")
	}
	for _, stream := range []string{n.work, n.results, n.logs} {
		for _, api := range apis {
			p.Publish = append(p.Publish,
				api+".STREAM.*."+stream,
				api+".STREAM.MSG.*."+stream,
				api+".CONSUMER.*."+stream,
				api+".CONSUMER.*."+stream+".>",
				api+".CONSUMER.*.*."+stream+".>")
		}
		p.Publish = append(p.Publish,
			"$JS.ACK."+stream+".>",
			"$JS.ACK.*.*."+stream+".>")
		p.Subscribe = append(p.Subscribe,
			"$JS.EVENT.ADVISORY.STREAM.DELETED."+stream,
			"$JS.EVENT.ADVISORY.CONSUMER.DELETED."+stream+".>")
	}
	for _, api := range apis { // blocks are put, read by their subject and purged
		p.Publish = append(p.Publish, api+".STREAM.*."+n.artifacts, api+".STREAM.MSG.GET."+n.artifacts, api+".DIRECT.GET."+n.artifacts+".>")
	}
	return p
}

// ServerUser is a user of an external NATS server, for [ServerConfig]. Without password and key it shows a certificate, which has its name as
// a DNS name.
type ServerUser struct {
	Name     string   // the worker's id, or its group; any name for a coordinator
	Password string   // as text or as a bcrypt hash; the server takes both
	NKey     string   // public key, instead of a password
	Pools    []string // that the worker may serve, "*" for all; nil makes it a coordinator
	Group    bool     // it is the user of all workers whose ids are Name.member
}

// Worker is what the user's subjects have in the place of a worker's id: the name, or "group.*".
func (u ServerUser) Worker() string {
	if u.Group {
		return u.Name + whole
	}
	return u.Name
}

// Place is where a cluster has its subjects and streams. The zero value is the default.
type Place struct{ Prefix, Domain string }

func (p Place) names() names { return namesOf(p.Prefix).at(p.Domain) }

// ServerConfig renders the accounts block for an external nats-server with these users, see [ServerAccounts]. A password that
// begins with "$" is written unquoted: the server then reads it from its environment, and it need not be in the file.
func ServerConfig(prefix string, users []ServerUser) string {
	return Place{Prefix: prefix}.ServerConfig(users)
}

// ServerConfig is [ServerConfig] of this place.
func (p Place) ServerConfig(users []ServerUser) string {
	byName := make(map[string]ServerUser, len(users))
	for _, user := range users {
		byName[user.Name] = user
	}
	var b strings.Builder
	b.WriteString("accounts {\n")
	for _, account := range p.ServerAccounts(users) {
		fmt.Fprintf(&b, "  %q: {\n", account.Name)
		if account.JetStream {
			b.WriteString("    jetstream: enabled\n")
		}
		b.WriteString("    users: [\n")
		for _, name := range account.Users {
			writeUser(&b, byName[name], p.Permissions(byName[name]))
		}
		b.WriteString("    ]\n")
		writeObjects(&b, "exports", account.Exports)
		writeObjects(&b, "imports", account.Imports)
		b.WriteString("  }\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// Permissions are those of [CoordinatorPermissions] or [WorkerPermissions].
func (u ServerUser) Permissions(prefix string) Permissions {
	return Place{Prefix: prefix}.Permissions(u)
}

// Permissions are those of a user at this place.
func (p Place) Permissions(u ServerUser) Permissions {
	if u.Pools == nil {
		return p.names().coordinatorPermissions()
	}
	return namesOf(p.Prefix).workerPermissions(u.Worker(), u.Pools) // their pulls leave their account without a domain
}

// Account is the name of the user's account.
func (u ServerUser) Account(prefix string) string {
	if u.Pools == nil {
		return CoordinatorAccount(prefix)
	}
	return WorkerAccount(prefix, u.Name)
}

func writeUser(b *strings.Builder, user ServerUser, granted Permissions) {
	b.WriteString("      {\n")
	switch {
	case user.NKey != "":
		fmt.Fprintf(b, "        nkey: %q # %s\n", user.NKey, user.Name)
	case isVariable(user.Password):
		fmt.Fprintf(b, "        user: %q\n        password: %s\n", user.Name, user.Password)
	case user.Password != "":
		fmt.Fprintf(b, "        user: %q\n        password: %q\n", user.Name, user.Password)
	default: // the server finds it by the certificate (verify_and_map)
		fmt.Fprintf(b, "        user: %q\n", user.Name)
	}
	b.WriteString("        permissions: {\n")
	writeSubjects(b, "publish", granted.Publish)
	writeSubjects(b, "subscribe", granted.Subscribe)
	b.WriteString("        }\n      }\n")
}

// writeObjects writes exports or imports in JSON, which nats-server reads as well, one a line.
func writeObjects[T Export | Import](b *strings.Builder, name string, objects []T) {
	fmt.Fprintf(b, "    %s: [\n", name)
	for _, object := range objects {
		b.WriteString("      ")
		to := json.NewEncoder(b)
		to.SetEscapeHTML(false) // subjects contain ">"
		_ = to.Encode(object)   // of strings only: it can't fail
	}
	b.WriteString("    ]\n")
}

// isVariable tells whether a password is an environment reference ($NAME) and not a bcrypt hash ($2a$...).
func isVariable(password string) bool {
	return len(password) > 1 && password[0] == '$' && ValidName(password[1:]) && !strings.HasPrefix(password, "$2")
}

func writeSubjects(b *strings.Builder, verb string, subjects []string) {
	fmt.Fprintf(b, "          %s: { allow: [\n", verb)
	for _, subject := range subjects {
		fmt.Fprintf(b, "            %q\n", subject)
	}
	b.WriteString("          ] }\n")
}
