package queue

import (
	"fmt"
	"slices"
	"strings"
)

// Permissions are the subjects that a NATS user may publish and subscribe to.
type Permissions struct{ Publish, Subscribe []string }

// WorkerPermissions are exactly those that a worker needs for its pools: take and acknowledge work; send requests, results
// and logs under its own id; read its own inbox and news. An empty prefix means the default; the pool "*" means every pool.
func WorkerPermissions(prefix, worker string, pools []string) Permissions {
	n := namesOf(prefix)
	p := Permissions{Subscribe: []string{n.inbox(worker) + ".>", n.subject(news, worker)}}
	for _, kind := range kinds {
		p.Publish = append(p.Publish, n.subject(kind, worker))
	}
	p.Publish = append(p.Publish, n.subject(result, worker), n.subject(logs, worker)+".*")
	var consumers []string
	if slices.Contains(pools, "*") {
		consumers = []string{"*"}
	} else {
		for _, pool := range pools {
			for priority := range priorities {
				consumers = append(consumers, consumerName(pool, priority))
			}
		}
	}
	for _, consumer := range consumers {
		p.Publish = append(p.Publish,
			nextSubject(n.work, consumer),
			fmt.Sprintf("$JS.ACK.%s.%s.>", n.work, consumer),
			fmt.Sprintf("$JS.ACK.*.*.%s.%s.>", n.work, consumer)) // the format with domain and account
	}
	return p
}

// CoordinatorPermissions are those that a coordinator needs: everything under the prefix, except reading inboxes and news,
// and the management of our three streams. An empty prefix means the default.
func CoordinatorPermissions(prefix string) Permissions {
	n := namesOf(prefix)
	p := Permissions{
		Publish:   []string{n.prefix + ".>", "$JS.API.INFO"},
		Subscribe: []string{"_INBOX.>", n.subject(event, ">")},
	}
	for _, kind := range kinds {
		p.Subscribe = append(p.Subscribe, n.subject(kind, "*"))
	}
	for _, stream := range []string{n.work, n.results, n.logs} {
		p.Publish = append(p.Publish,
			"$JS.API.STREAM.*."+stream,
			"$JS.API.STREAM.MSG.*."+stream,
			"$JS.API.CONSUMER.*."+stream,
			"$JS.API.CONSUMER.*."+stream+".>",
			"$JS.API.CONSUMER.*.*."+stream+".>",
			"$JS.ACK."+stream+".>",
			"$JS.ACK.*.*."+stream+".>")
		p.Subscribe = append(p.Subscribe,
			"$JS.EVENT.ADVISORY.STREAM.DELETED."+stream,
			"$JS.EVENT.ADVISORY.CONSUMER.DELETED."+stream+".>")
	}
	return p
}

// ServerUser is a user of an external NATS server, for [ServerConfig].
type ServerUser struct {
	Name     string   // the worker's id; any name for a coordinator
	Password string   // as text or as a bcrypt hash; the server takes both
	Pools    []string // that the worker may serve, "*" for all; nil makes it a coordinator
}

// ServerConfig renders the authorization block for an external nats-server with these users. A password that begins with
// "$" is written unquoted: the server then reads it from its environment, and it need not be in the file.
func ServerConfig(prefix string, users []ServerUser) string {
	var b strings.Builder
	b.WriteString("authorization {\n  users: [\n")
	for _, user := range users {
		granted := CoordinatorPermissions(prefix)
		if user.Pools != nil {
			granted = WorkerPermissions(prefix, user.Name, user.Pools)
		}
		password := fmt.Sprintf("%q", user.Password)
		if isVariable(user.Password) {
			password = user.Password
		}
		fmt.Fprintf(&b, "    {\n      user: %q\n      password: %s\n      permissions: {\n", user.Name, password)
		writeSubjects(&b, "publish", granted.Publish)
		writeSubjects(&b, "subscribe", granted.Subscribe)
		b.WriteString("      }\n    }\n")
	}
	b.WriteString("  ]\n}\n")
	return b.String()
}

// isVariable tells whether a password is an environment reference ($NAME) and not a bcrypt hash ($2a$...).
func isVariable(password string) bool {
	return len(password) > 1 && password[0] == '$' && ValidName(password[1:]) && !strings.HasPrefix(password, "$2")
}

func writeSubjects(b *strings.Builder, verb string, subjects []string) {
	fmt.Fprintf(b, "        %s: { allow: [\n", verb)
	for _, subject := range subjects {
		fmt.Fprintf(b, "          %q\n", subject)
	}
	b.WriteString("        ] }\n")
}
