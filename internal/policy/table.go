package policy

import "slices"

// Line is what each role may do by one permission.
type Line struct {
	Permission Permission
	Text       string // what it lets do
	Where      Where
	// Whose things, by role.
	Admin, Operator, Submitter, Approver, Viewer, Worker Whose
}

// Of is whose things a role reaches by the line's permission. A role that there is not reaches nothing.
func (l Line) Of(role string) Whose {
	switch role {
	case Admin:
		return l.Admin
	case Operator:
		return l.Operator
	case Submitter:
		return l.Submitter
	case Approver:
		return l.Approver
	case Viewer:
		return l.Viewer
	case Worker:
		return l.Worker
	}
	return None
}

const (
	no  = None
	own = Own
	all = All
	in  = InNamespace
	at  = OverCluster
)

// Lines are the table of the policy. Docs/access-control.md is made of it.
var Lines = []Line{
	// permission, what it lets do, where                                                                admin op  sub  app  view worker
	{TreesCreate, "submit and generate trees, add tasks to one; a tree that is submitted may start", in, all, no, own, no, no, no},
	{TreesRead, "see trees: tasks, results, logs, events, usage, lists, why a task waits", in, all, all, own, all, all, no},
	{TreesExecute, "start trees, and run them again", in, all, all, own, no, no, no},
	{TreesSignal, "send tasks the signals that they wait for", in, all, all, own, no, no, no},
	{TreesCancel, "cancel tasks and trees, pause and resume trees", in, all, all, own, no, no, no},
	{TreesUpdate, "change stored tasks", in, all, all, own, no, no, no},
	{TreesDelete, "delete tasks and trees", in, all, no, own, no, no, no},
	{TreesCopy, "copy trees; a copy belongs to whom the original belongs to", in, all, no, own, no, no, no},
	{WebhooksRead, "see webhooks and their deliveries", in, all, all, own, no, all, no},
	{WebhooksWrite, "make, change, test and delete webhooks, which tell of trees and their results", in, all, all, own, no, no, no},
	{ApprovalsRead, "see what waits for an approval", in, all, all, own, all, all, no},
	{ApprovalsAnswer, "answer what waits for an approval, of tasks that name nobody, or the caller; who may run a tree may do the same in it", in, all, no, no, all, no, no},
	{ModelKeysRead, "see for which providers there are keys of models", in, all, no, own, no, no, no},
	{ModelKeysWrite, "store and delete keys of models", in, all, no, own, no, no, no},
	{ExecutorsRead, "see which executors tasks may name", in, all, all, all, all, all, all},
	{KeysRead, "see API keys, without what is secret", in, all, own, own, no, no, no},
	{KeysWrite, "make, rotate and revoke API keys, which reach no further than their maker", in, all, own, own, no, no, no},
	{BindingsRead, "see who holds which role, and ask what others may", in, all, no, no, no, no, no},
	{BindingsWrite, "give and take roles, none that reaches further than one's own", in, all, no, no, no, no, no},
	{RecordRead, "read the record of changes and refusals", in, all, no, no, no, no, no},
	{RecordVerify, "check that nobody changed the record of changes and refusals", at, all, all, no, no, no, no},
	{ClusterRead, "see workers, coordinators and pools", at, all, all, no, no, all, no},
	{ClusterVerify, "derive the rules of the system anew from what is stored", at, all, all, no, no, no, no},
	{ClusterDiagnose, "have the cluster diagnosed: Postgres, NATS, coordinators, workers", at, all, all, no, no, no, no},
	{PoolsRead, "see how much work each pool has, for autoscalers", at, all, all, no, no, all, all},
	{LimitsRead, "see limits of keys and users, and who holds how much", in, all, all, no, no, all, no},
	{LimitsWrite, "set limits of keys and users, and weights of users", in, all, all, no, no, no, no},
	{SchedulesRead, "see schedules and their runs", in, all, all, own, no, all, no},
	{SchedulesRun, "trigger, backfill, pause and resume schedules; `schedules.write` gives that, too", in, all, all, own, no, no, no},
	{SchedulesWrite, "make, change and delete schedules, whose trees belong to whom the schedule belongs to", in, all, no, own, no, no, no},
	{FlowsRead, "see registered flows, and run them; what runs may show, `trees.read` says", in, all, all, own, no, all, no},
	{FlowsWrite, "register and delete flows, which belong to who registered them first", in, all, no, own, no, no, no},
	{HoldsRead, "see which trees are held", in, all, all, own, no, all, no},
	{HoldsWrite, "hold trees, so that nobody deletes or changes them, and release them", in, all, all, no, no, no, no},
	{ErasuresRead, "see what was erased of users, in numbers", in, all, all, no, no, no, no},
	{ErasuresWrite, "erase all that is stored of a user", in, all, no, no, no, no, no},
	{PoolsWrite, "say what each pool may run and how much, pause pools and everything", at, all, all, no, no, no, no},
	{NamespacesRead, "see namespaces and their quotas", at, all, all, no, no, all, no},
	{NamespacesWrite, "make and change namespaces", at, all, no, no, no, no, no},
	{SealingRead, "see under which keys values are sealed", at, all, all, no, no, no, no},
	{SealingWrite, "change the keys that values are sealed under", at, all, no, no, no, no, no},
}

// LineOf is the line of a permission.
func LineOf(p Permission) (Line, bool) {
	i, ok := index[p]
	if !ok {
		return Line{}, false
	}
	return Lines[i], true
}

var index = func() map[Permission]int {
	m := make(map[Permission]int, len(Lines))
	for i, l := range Lines {
		m[l.Permission] = i
	}
	return m
}()

// Permissions are all permissions, in the order of the table.
func Permissions() []Permission {
	all := make([]Permission, len(Lines))
	for i, l := range Lines {
		all[i] = l.Permission
	}
	return slices.Clip(all)
}
