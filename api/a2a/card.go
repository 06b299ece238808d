package a2a

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2acompat/a2av0"
)

// skills are those of spec 6.1, in its order.
var skills = []a2a.AgentSkill{
	skill("tasks.execute", "Execute Task Tree", "Runs a tree of tasks in the order of their dependencies, and answers with its result.",
		[]string{"task", "orchestration", "workflow", "execution"}, "run these tasks", "execute the task tree", "run the workflow again from this task"),
	skill("tasks.create", "Create Task", "Stores a task or a tree of tasks without running it.",
		[]string{"task", "create", "crud"}, "create a task", "store this task tree", "add a new task"),
	skill("tasks.get", "Get Task", "Shows a task with its inputs, state and result.",
		[]string{"task", "get", "read", "crud"}, "get a task", "show me the task", "what is the result of this task"),
	skill("tasks.update", "Update Task", "Changes fields of a stored task.",
		[]string{"task", "modify", "crud"}, "update the task", "change the inputs of the task", "rename the task"),
	skill("tasks.delete", "Delete Task", "Deletes a task and all below it.",
		[]string{"task", "remove", "crud"}, "delete the task", "remove this task", "delete the task tree"),
	skill("tasks.detail", "Get Task Detail", "Shows a task with all its fields.",
		[]string{"task", "detail", "query"}, "show all of the task", "get task details", "describe the task"),
	skill("tasks.tree", "Get Task Tree", "Shows the whole tree of a task.",
		[]string{"task", "tree", "query"}, "show the task tree", "get the tree of this task", "which tasks belong together"),
	skill("tasks.list", "List Tasks", "Lists tasks, with filters.",
		[]string{"task", "list", "query"}, "list tasks", "show my tasks", "which tasks have failed"),
	skill("tasks.children", "Get Task Children", "Lists the direct children of a task.",
		[]string{"task", "children", "query"}, "list the children of the task", "show subtasks", "what is below this task"),
	skill("tasks.running.list", "List Running Tasks", "Lists the trees that are being executed.",
		[]string{"task", "running", "monitoring"}, "list running tasks", "what is running", "show the active task trees"),
	skill("tasks.running.status", "Get Running Task Status", "Tells state and progress of tasks.",
		[]string{"task", "running", "monitoring"}, "how far is the task", "get the status of these tasks", "is the task still running"),
	skill("tasks.running.count", "Count Running Tasks", "Counts the trees that are being executed.",
		[]string{"task", "running", "monitoring"}, "how many tasks are running", "count running tasks", "is anything running"),
	skill("tasks.cancel", "Cancel Task", "Stops a task, or by its root a whole tree.",
		[]string{"task", "control"}, "cancel the task", "stop the execution", "abort the task tree"),
	skill("tasks.skip", "Skip Task", "Ends a task that has not begun, with the outcome skipped.",
		[]string{"task", "control"}, "skip the task", "leave this step out", "go on without it"),
	skill("tasks.approve", "Answer an Approval", "Answers what a task asks people, in the name of the person who was asked.",
		[]string{"task", "approval", "human"}, "approve the deployment", "reject it", "answer what the task asks"),
	skill("tasks.signal", "Send a Signal", "Sends a task the signal that it waits for, or will wait for.",
		[]string{"task", "signal", "event"}, "tell the task that it was paid", "send the signal go", "let the task go on"),
	skill("tasks.copy", "Copy Task", "Copies a task with what belongs to it, to be run again.",
		[]string{"task", "clone"}, "copy the task", "clone the task tree", "make a copy to run again"),
	skill("tasks.generate", "Generate Task Tree", "Makes a tree of tasks of a requirement in plain language.",
		[]string{"task", "llm", "ai", "automation"}, "plan this work as tasks", "generate a task tree", "make a workflow that fetches a page and sums it up"),
}

func skill(id, name, description string, tags []string, examples ...string) a2a.AgentSkill {
	return a2a.AgentSkill{ID: id, Name: name, Description: description, Tags: tags, Examples: examples}
}

func isSkill(id string) bool {
	return slices.ContainsFunc(skills, func(s a2a.AgentSkill) bool { return s.ID == id })
}

// CardPaths are where the card is (K15): where the protocol has it, where it had it, and where the documentation of the task-tree
// protocol has it.
var CardPaths = []string{"/.well-known/agent-card.json", "/.well-known/agent.json", "/.well-known/agent-card"}

// rest1 is the path of the REST binding. Version 0.3 has none here: the library's changes the names within the tasks that a message holds.
const rest1 = "/a2a/v1"

// cardFor is the agent's card: one document that clients of both versions read. origin is how a client calls this server.
func (c Config) cardFor(origin, grpc string) ([]byte, error) {
	const legacy = a2av0.Version
	if c.BaseURL == "" {
		c.BaseURL = origin
	}
	faces := []*a2a.AgentInterface{
		{URL: c.BaseURL, ProtocolBinding: a2a.TransportProtocolJSONRPC, ProtocolVersion: a2a.Version},
		{URL: c.BaseURL + rest1, ProtocolBinding: a2a.TransportProtocolHTTPJSON, ProtocolVersion: a2a.Version},
		{URL: c.BaseURL, ProtocolBinding: a2a.TransportProtocolJSONRPC, ProtocolVersion: legacy},
	}
	if grpc = reached(grpc, c.BaseURL); grpc != "" {
		faces = append(faces,
			&a2a.AgentInterface{URL: grpc, ProtocolBinding: a2a.TransportProtocolGRPC, ProtocolVersion: a2a.Version},
			&a2a.AgentInterface{URL: grpc, ProtocolBinding: a2a.TransportProtocolGRPC, ProtocolVersion: legacy})
	}
	schemes, required := c.security()
	card, err := a2av0.NewStaticAgentCardProducer(&a2a.AgentCard{
		Name: "taskgrove", Description: "Runs trees of tasks on a cluster of workers.", Version: c.Version,
		DefaultInputModes: []string{"data"}, DefaultOutputModes: []string{"data"},
		Capabilities:        a2a.AgentCapabilities{Streaming: true, PushNotifications: true},
		SupportedInterfaces: faces, Skills: skills, SecuritySchemes: schemes, SecurityRequirements: required,
	}).(interface {
		CardJSON(context.Context) ([]byte, error)
	}).CardJSON(context.Background())
	if err != nil {
		return nil, err
	}
	// The library leaves out what is false, and spec 6.1 has it.
	end := bytes.LastIndexByte(card, '}')
	card = append(bytes.TrimRight(card[:end], " \n"), ",\n  \"supportsAuthenticatedExtendedCard\": false\n}\n"...)
	return card, nil
}

// security says how callers say who they are.
func (c Config) security() (a2a.NamedSecuritySchemes, a2a.SecurityRequirementsOptions) {
	if !c.Tokens {
		return nil, nil
	}
	const name = "bearer"
	return a2a.NamedSecuritySchemes{name: a2a.HTTPAuthSecurityScheme{Scheme: "Bearer", BearerFormat: "JWT"}},
		a2a.SecurityRequirementsOptions{{name: {}}}
}

// NameGRPC has the card name the address where gRPC is served. Call it before anything is served over HTTP.
func (h *Handler) NameGRPC(addr string) { h.grpc = addr }

// originOf is how the client of a request calls this server.
func originOf(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// reached is where a listener is reached; one on all addresses is, under the base's host.
func reached(listener, base string) string {
	host, port, err := net.SplitHostPort(listener)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
		if u, err := url.Parse(base); err == nil && u.Hostname() != "" {
			host = u.Hostname()
		}
	}
	return net.JoinHostPort(host, port)
}

// serveCard answers with the card, which is public.
func (h *Handler) serveCard(w http.ResponseWriter, r *http.Request) {
	card, err := h.cfg.cardFor(originOf(r), h.grpc)
	if err != nil {
		panic(err) // the card is ours
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(card) // the client has gone, or is too slow: nobody is left to tell
}
