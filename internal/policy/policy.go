// Package policy says who may do what.
//
// It owns the roles, the permissions, and the one table that says how far each role reaches with each permission: [Lines]. It must not know how a
// caller has shown who it is, where roles are kept, or what a call does: it decides without a clock, a store or a network.
package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Permission is the right to make some calls: "trees.read".
type Permission string

// The permissions. What each lets do is in its line of [Lines].
const (
	TreesCreate     Permission = "trees.create"
	TreesRead       Permission = "trees.read"
	TreesExecute    Permission = "trees.execute"
	TreesSignal     Permission = "trees.signal"
	TreesCancel     Permission = "trees.cancel"
	TreesUpdate     Permission = "trees.update"
	TreesDelete     Permission = "trees.delete"
	TreesCopy       Permission = "trees.copy"
	WebhooksRead    Permission = "webhooks.read"
	WebhooksWrite   Permission = "webhooks.write"
	ApprovalsRead   Permission = "approvals.read"
	ApprovalsAnswer Permission = "approvals.answer"
	ModelKeysRead   Permission = "modelkeys.read"
	ModelKeysWrite  Permission = "modelkeys.write"
	ExecutorsRead   Permission = "executors.read"
	KeysRead        Permission = "keys.read"
	KeysWrite       Permission = "keys.write"
	BindingsRead    Permission = "bindings.read"
	BindingsWrite   Permission = "bindings.write"
	RecordRead      Permission = "record.read"
	RecordVerify    Permission = "record.verify"
	ClusterRead     Permission = "cluster.read"
	ClusterVerify   Permission = "cluster.verify"
	ClusterDiagnose Permission = "cluster.diagnose"
	PoolsRead       Permission = "pools.read"
	PoolsWrite      Permission = "pools.write"
	LimitsRead      Permission = "limits.read"
	LimitsWrite     Permission = "limits.write"
	SchedulesRead   Permission = "schedules.read"
	SchedulesRun    Permission = "schedules.run"
	SchedulesWrite  Permission = "schedules.write"
	FlowsRead       Permission = "flows.read"
	FlowsWrite      Permission = "flows.write"
	HoldsRead       Permission = "holds.read"
	HoldsWrite      Permission = "holds.write"
	ErasuresRead    Permission = "erasures.read"
	ErasuresWrite   Permission = "erasures.write"
	NamespacesRead  Permission = "namespaces.read"
	NamespacesWrite Permission = "namespaces.write"
	SealingRead     Permission = "sealing.read"
	SealingWrite    Permission = "sealing.write"
)

// Whose is a set of owners, seen from a caller. Its zero value is nobody's at all: no permission.
type Whose uint8

// The owners.
const (
	Own       Whose = 1 << iota // the caller's own
	Others                      // another user's
	Ownerless                   // what no user owns: trees without a user_id, and what is the namespace's or the cluster's as a whole

	None = Whose(0)
	All  = Own | Others | Ownerless
)

// Has reports whether all of these owners are in the set.
func (w Whose) Has(these Whose) bool { return w&these == these }

// String is a word for people: "own", "all", "-" for none.
func (w Whose) String() string {
	switch w {
	case None:
		return "-"
	case All:
		return "all"
	}
	var words []string
	for _, one := range []struct {
		whose Whose
		word  string
	}{{Own, "own"}, {Others, "others'"}, {Ownerless, "ownerless"}} {
		if w.Has(one.whose) {
			words = append(words, one.word)
		}
	}
	return strings.Join(words, "+")
}

// Where says over what a permission is.
type Where uint8

// The places of permissions.
const (
	InNamespace Where = iota + 1 // over what is in the namespace of the call
	OverCluster                  // over what is in no namespace: only roles that are held in all namespaces give it
)

// AllNamespaces is where a role is held that counts in each namespace, and over the cluster itself.
const AllNamespaces = "*"

// The roles. [Roles] has them in the order of the table's columns.
const (
	Admin     = "admin"
	Operator  = "operator"
	Submitter = "submitter"
	Approver  = "approver"
	Viewer    = "viewer"
	Worker    = "worker"
)

// Role is a role, and what it is for.
type Role struct {
	Name, Text string
}

// Roles are all roles.
var Roles = []Role{
	{Admin, "everything in its namespace, also what nobody owns; held in all namespaces: the cluster, too"},
	{Operator, "sees everything in its namespace and keeps it going: starts, cancels, changes, and looks after webhooks; held in all namespaces: workers and pools, too"},
	{Submitter, "submits trees and does what it likes with its own"},
	{Approver, "sees everything in its namespace, and answers what waits for an approval"},
	{Viewer, "sees everything in its namespace and changes nothing"},
	{Worker, "what a process needs that runs tasks; nothing of trees"},
}

// Known reports whether there is a role of that name.
func Known(role string) bool {
	return slices.ContainsFunc(Roles, func(r Role) bool { return r.Name == role })
}

// Holding is a role that is held in a namespace.
type Holding struct {
	Role      string
	Namespace string // [AllNamespaces]: in each, and over the cluster itself
}

// String is how settings and tokens write it: "admin@*".
func (h Holding) String() string { return h.Role + "@" + h.Namespace }

// Reach says whose things a caller with these roles may touch by a permission, in a namespace; [AllNamespaces] stands for the cluster itself. More
// roles reach further. Scopes are the only permissions that the caller's credentials are good for; nil: all.
func Reach(held []Holding, scopes []Permission, namespace string, p Permission) Whose {
	line, known := LineOf(p)
	if !known || !InScopes(scopes, p) {
		return None
	}
	whose := None
	for _, h := range held {
		if h.Namespace == AllNamespaces || h.Namespace == namespace && line.Where == InNamespace {
			whose |= line.Of(h.Role)
		}
	}
	return whose
}

// wider names a permission that gives another one, too: who may change a schedule has it run whenever he likes.
var wider = map[Permission]Permission{SchedulesRun: SchedulesWrite}

// InScopes reports whether credentials of these scopes are good for a permission. A scope is a permission, with what that gives, too, or "trees.*" for all that begin so.
func InScopes(scopes []Permission, p Permission) bool {
	if scopes == nil {
		return true
	}
	group, _, _ := strings.Cut(string(p), ".")
	return slices.ContainsFunc(scopes, func(s Permission) bool { return s == p || string(s) == group+".*" || s == wider[p] })
}

// Covers reports whether a caller with these roles and scopes may do all that a role gives in a namespace: nobody may give away more.
func Covers(held []Holding, scopes []Permission, given Holding) bool {
	for _, line := range Lines {
		if line.Where == OverCluster && given.Namespace != AllNamespaces {
			continue
		}
		if !Reach(held, scopes, given.Namespace, line.Permission).Has(line.Of(given.Role)) {
			return false
		}
	}
	return Known(given.Role)
}

// Normal is holdings in one order, each once.
func Normal(held []Holding) []Holding {
	held = slices.Clone(held)
	slices.SortFunc(held, func(a, b Holding) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Role, b.Role))
	})
	return slices.Compact(held)
}

// ParseHolding reads "role" or "role@namespace", as settings write it. Without a namespace it is elsewhere's.
func ParseHolding(text, elsewhere string) (Holding, error) {
	role, namespace, named := strings.Cut(text, "@")
	if !named {
		namespace = elsewhere
	}
	return checked(Holding{Role: role, Namespace: namespace}, text)
}

// checked is a holding of a role that there is, in what can be a namespace.
func checked(h Holding, text string) (Holding, error) {
	switch {
	case !Known(h.Role):
		return Holding{}, fmt.Errorf("%.60q names no role: they are %s", text, RoleNames())
	case h.Namespace != AllNamespaces && !NamespaceName(h.Namespace):
		return Holding{}, fmt.Errorf("%.60q names no namespace: 1 to 63 of a-z, 0-9 and -, with a letter or digit at both ends, or *", text)
	}
	return h, nil
}

// NamespaceName reports whether a text can be the name of a namespace: 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit.
func NamespaceName(name string) bool {
	inside := func(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
	if len(name) < 1 || len(name) > 63 || !inside(name[0]) || !inside(name[len(name)-1]) {
		return false
	}
	for i := range len(name) {
		if !inside(name[i]) && name[i] != '-' {
			return false
		}
	}
	return true
}

// RoleNames are the names of all roles, for texts.
func RoleNames() string {
	var names []string
	for _, r := range Roles {
		names = append(names, r.Name)
	}
	return strings.Join(names, ", ")
}
