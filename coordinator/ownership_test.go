package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// owners are whose tasks are: the tasks of the default namespace.
type owners map[string]string

// ApproversOf takes the task "asks-x" for one that asks x.
func (o owners) ApproversOf(_ context.Context, _, id string) ([]string, int32, error) {
	if who, ok := strings.CutPrefix(id, "asks-"); ok {
		return []string{who}, 3, nil
	}
	return nil, 0, nil
}

// OwnerOf takes the webhook "of-x", the schedule "nightly-x" and the A2A task "for-x" for those of the tree x. Other webhooks are the cluster's.
func (o owners) OwnerOf(_ context.Context, namespace string, call coordinator.Call) (string, error) {
	id := call.ID
	switch {
	case call.Webhook == "whole":
		return "", nil
	case call.Webhook != "":
		id = strings.TrimPrefix(call.Webhook, "of-")
	case call.APIKey != "": // whoever has the key's name
		return call.APIKey, nil
	case call.Schedule != "":
		id = strings.TrimPrefix(call.Schedule, "nightly-")
	case call.Flow != "":
		id = call.Flow
	case call.Bundle != "":
		id = call.Bundle
	case call.Profile != "":
		id = call.Profile
	case call.Run != "":
		id = call.Run
	case call.AgentTask != "":
		id = strings.TrimPrefix(call.AgentTask, "for-")
	}
	owner, ok := o[id]
	if !ok || namespace != coordinator.DefaultNamespace {
		return "", coordinator.ErrNotFound
	}
	return owner, nil
}

var (
	amy  = coordinator.Caller{Name: "amy", User: "amy"}
	bob  = coordinator.Caller{Name: "bob", User: "bob"}
	root = holding("root", "admin@*")
)

// holding is a user with roles: "viewer@default".
func holding(user string, roles ...string) coordinator.Caller {
	c := coordinator.Caller{Name: user, User: user}
	for _, text := range roles {
		role, namespace, _ := strings.Cut(text, "@")
		c.Roles = append(c.Roles, coordinator.RoleIn{Role: role, Namespace: namespace})
	}
	return c
}

// byRoles is the policy without roles that are stored.
func byRoles(o owners) coordinator.Policy {
	return coordinator.ByRoles(o, coordinator.RoleSettings{Default: coordinator.DefaultRole})
}

// TestEveryMethodHasItsRow finds the methods by reflection: one that is added must have its row, else even admins are refused.
func TestEveryMethodHasItsRow(t *testing.T) {
	t.Parallel()
	policy := byRoles(owners{"x": "amy"})
	permissions := coordinator.MethodPermissions()
	svc := reflect.TypeFor[coordinator.Service]()
	for i := range svc.NumMethod() {
		method := svc.Method(i).Name
		call := coordinator.Call{Method: method, ID: "x"}
		if _, err := policy(t.Context(), root, call); err != nil {
			t.Errorf("%s: an admin is refused: %v", method, err)
		}
		_, err := policy(t.Context(), coordinator.Anonymous(coordinator.SurfaceGRPC, ""), call)
		if want := !slices.Contains([]string{"Ready", "LinkedApproval", "ApproveByLink", "TakeEvent"}, method); errors.Is(err, coordinator.ErrUnauthenticated) != want {
			t.Errorf("%s: who has not said who it is gets %v", method, err)
		}
		_, err = policy(t.Context(), bob, call)
		if open := permissions[method] == "" || slices.Contains(ofNobody, method); errors.Is(err, coordinator.ErrDenied) == open {
			t.Errorf("%s of another's task: got %v", method, err)
		}
	}
	if len(permissions) != svc.NumMethod() {
		t.Errorf("%d methods have a row, want %d", len(permissions), svc.NumMethod())
	}
	if _, err := policy(t.Context(), root, coordinator.Call{Method: "Novel"}); !errors.Is(err, coordinator.ErrDenied) {
		t.Errorf("a method without a row: got %v", err)
	}
}

func TestByRoles(t *testing.T) {
	t.Parallel()
	policy := byRoles(owners{"amys": "amy", "nobodys": ""})
	const own = "Permission denied: User %s can only %s their own resources; missing permission: %s"
	const lacks = "Permission denied: User %s has no right to do that %s; missing permission: %s"
	viewer, operator, worker := holding("vic", "viewer@default"), holding("ops", "operator@default"), holding("w", "worker@default")
	elsewhere := holding("vic", "admin@team-a")
	scoped := holding("root", "admin@*")
	scoped.Scopes = []coordinator.Permission{"trees.read"}
	runs, changes := holding("root", "admin@*"), holding("root", "admin@*")
	runs.Scopes, changes.Scopes = []coordinator.Permission{"schedules.run"}, []coordinator.Permission{"schedules.write"}
	for fact, tt := range map[string]struct {
		caller coordinator.Caller
		call   coordinator.Call
		only   string // of the grant
		err    string
	}{
		"own":                        {amy, coordinator.Call{Method: "Task", ID: "amys"}, "", ""},
		"another's":                  {bob, coordinator.Call{Method: "Task", ID: "amys"}, "", fmt.Sprintf(own, "bob", "access", "trees.read")},
		"nobody's":                   {bob, coordinator.Call{Method: "Task", ID: "nobodys"}, "", fmt.Sprintf(own, "bob", "access", "trees.read")},
		"not there":                  {bob, coordinator.Call{Method: "Task", ID: "nope"}, "", fmt.Sprintf(own, "bob", "access", "trees.read")},
		"another's, to be cancelled": {bob, coordinator.Call{Method: "Cancel", ID: "amys"}, "", fmt.Sprintf(own, "bob", "cancel task for", "trees.cancel")},
		"another's, as an admin":     {root, coordinator.Call{Method: "Delete", ID: "amys"}, "", ""},
		"nobody's, as an admin":      {root, coordinator.Call{Method: "Delete", ID: "nobodys"}, "", ""},
		"another's, as a viewer":     {viewer, coordinator.Call{Method: "Task", ID: "amys"}, "", ""},
		"a change, as a viewer":      {viewer, coordinator.Call{Method: "Cancel", ID: "amys"}, "", fmt.Sprintf(lacks, "vic", "in namespace default", "trees.cancel")},
		"a change, as an operator":   {operator, coordinator.Call{Method: "Cancel", ID: "amys"}, "", ""},
		"a delete, as an operator":   {operator, coordinator.Call{Method: "Delete", ID: "amys"}, "", fmt.Sprintf(lacks, "ops", "in namespace default", "trees.delete")},
		"the cluster, as an operator of a namespace": {operator, coordinator.Call{Method: "Workers"}, "", fmt.Sprintf(lacks, "ops", "over the cluster", "cluster.read")},
		"trees, as a worker":                         {worker, coordinator.Call{Method: "Trees"}, "", fmt.Sprintf(lacks, "w", "in namespace default", "trees.read")},
		"executors, as a worker":                     {worker, coordinator.Call{Method: "Executors"}, "", ""},
		"an admin of another namespace":              {elsewhere, coordinator.Call{Method: "Task", ID: "amys"}, "", fmt.Sprintf(lacks, "vic", "in namespace default", "trees.read")},
		"within its scopes":                          {scoped, coordinator.Call{Method: "Task", ID: "amys"}, "", ""},
		"beyond its scopes":                          {scoped, coordinator.Call{Method: "Delete", ID: "amys"}, "", fmt.Sprintf(lacks, "root", "in namespace default", "trees.delete")},
		"a list":                                     {bob, coordinator.Call{Method: "Trees"}, "bob", ""},
		"a list, as a viewer":                        {viewer, coordinator.Call{Method: "Trees"}, "", ""},
		"a list of one's own":                        {bob, coordinator.Call{Method: "Trees", UserID: "bob"}, "bob", ""},
		"a list of another's":                        {bob, coordinator.Call{Method: "Tasks", UserID: "amy"}, "", fmt.Sprintf(own, "bob", "list tasks for", "trees.read")},
		"a count of another's":                       {bob, coordinator.Call{Method: "Running", UserID: "amy"}, "", fmt.Sprintf(own, "bob", "count tasks for", "trees.read")},
		"a list, as an admin":                        {root, coordinator.Call{Method: "Trees"}, "", ""},
		"a list of a tree of nobody's":               {bob, coordinator.Call{Method: "Tasks", ID: "nobodys"}, "", fmt.Sprintf(own, "bob", "list tasks for", "trees.read")},
		"a submission":                               {bob, coordinator.Call{Method: "Submit"}, "bob", ""},
		"a submission for another":                   {bob, coordinator.Call{Method: "Submit", UserID: "amy"}, "", fmt.Sprintf(own, "bob", "create tasks for", "trees.create")},
		"a submission, as an admin":                  {root, coordinator.Call{Method: "Submit", UserID: "amy"}, "root", ""},
		"a submission, as a viewer":                  {viewer, coordinator.Call{Method: "Submit"}, "", fmt.Sprintf(lacks, "vic", "in namespace default", "trees.create")},
		"a webhook of one's own":                     {amy, coordinator.Call{Method: "DeleteWebhook", Webhook: "of-amys"}, "", ""},
		"a webhook of another's":                     {bob, coordinator.Call{Method: "DeleteWebhook", Webhook: "of-amys"}, "", fmt.Sprintf(own, "bob", "manage webhooks of", "webhooks.write")},
		"a webhook that is not there":                {bob, coordinator.Call{Method: "DeleteWebhook", Webhook: "of-none"}, "", fmt.Sprintf(own, "bob", "manage webhooks of", "webhooks.write")},
		"a webhook of the whole":                     {amy, coordinator.Call{Method: "GetWebhook", Webhook: "whole"}, "", fmt.Sprintf(own, "amy", "manage webhooks of", "webhooks.read")},
		"one, as an admin":                           {root, coordinator.Call{Method: "GetWebhook", Webhook: "whole"}, "", ""},
		"all webhooks":                               {amy, coordinator.Call{Method: "ListWebhooks"}, "", fmt.Sprintf(own, "amy", "manage webhooks of", "webhooks.read")},
		"those of one's own tree":                    {amy, coordinator.Call{Method: "ListWebhooks", ID: "amys"}, "", ""},
		"a schedule of one's own":                    {amy, coordinator.Call{Method: "TriggerSchedule", Schedule: "nightly-amys"}, "", ""},
		"a schedule of another's":                    {bob, coordinator.Call{Method: "TriggerSchedule", Schedule: "nightly-amys"}, "", fmt.Sprintf(own, "bob", "run schedules of", "schedules.run")},
		"one to be changed":                          {bob, coordinator.Call{Method: "UpdateSchedule", Schedule: "nightly-amys"}, "", fmt.Sprintf(own, "bob", "change schedules of", "schedules.write")},
		"to be run, as an operator":                  {operator, coordinator.Call{Method: "BackfillSchedule", Schedule: "nightly-amys"}, "", ""},
		"to be changed, as an operator":              {operator, coordinator.Call{Method: "UpdateSchedule", Schedule: "nightly-amys"}, "", fmt.Sprintf(lacks, "ops", "in namespace default", "schedules.write")},
		"to be run, as a viewer":                     {viewer, coordinator.Call{Method: "PauseSchedule", Schedule: "nightly-amys"}, "", fmt.Sprintf(lacks, "vic", "in namespace default", "schedules.run")},
		"to be run, with the scope to run":           {runs, coordinator.Call{Method: "ResumeSchedule", Schedule: "nightly-amys"}, "", ""},
		"to be deleted, with the scope to run":       {runs, coordinator.Call{Method: "DeleteSchedule", Schedule: "nightly-amys"}, "", fmt.Sprintf(lacks, "root", "in namespace default", "schedules.write")},
		"to be run, with the scope to change":        {changes, coordinator.Call{Method: "TriggerSchedule", Schedule: "nightly-amys"}, "", ""},
		"a schedule that is not there":               {bob, coordinator.Call{Method: "GetSchedule", Schedule: "nightly-none"}, "", fmt.Sprintf(own, "bob", "see schedules of", "schedules.read")},
		"a schedule, as a viewer":                    {viewer, coordinator.Call{Method: "ScheduleRuns", Schedule: "nightly-amys"}, "", ""},
		"a new one for another":                      {bob, coordinator.Call{Method: "CreateSchedule", UserID: "amy"}, "", fmt.Sprintf(own, "bob", "schedule trees for", "schedules.write")},
		"an agent's task of one's own":               {amy, coordinator.Call{Method: "AgentTask", AgentTask: "for-amys"}, "", ""},
		"one of another's":                           {bob, coordinator.Call{Method: "AgentTask", AgentTask: "for-amys"}, "", fmt.Sprintf(own, "bob", "access", "trees.read")},
		"one that is not there":                      {bob, coordinator.Call{Method: "AgentTask", AgentTask: "for-none"}, "", fmt.Sprintf(own, "bob", "access", "trees.read")},
		"who sees all learns that it is not there":   {holding("vic", "viewer@default", "submitter@default"), coordinator.Call{Method: "Cancel", ID: "nope"}, "", "not found"},
		"the cluster":                                {bob, coordinator.Call{Method: "Workers"}, "", fmt.Sprintf(lacks, "bob", "over the cluster", "cluster.read")},
	} {
		got, err := policy(t.Context(), tt.caller, tt.call)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if got.UserID != tt.only || text != tt.err {
			t.Errorf("%s: got %+v, %q, want %q, %q", fact, got, text, tt.only, tt.err)
		}
	}
}

// TestRolesThatCannotBeKnown: what roles from elsewhere may allow is not refused for good, and nothing is allowed by roles that may have been taken.
func TestRolesThatCannotBeKnown(t *testing.T) {
	t.Parallel()
	policy := coordinator.ByRoles(owners{"amys": "amy"}, unknowable{})
	for fact, tt := range map[string]struct {
		caller coordinator.Caller
		method string
		err    error
	}{
		"what the token gives":      {root, "Task", nil},
		"what may be stored":        {amy, "Task", coordinator.ErrUnavailable},
		"a list that may be longer": {amy, "Trees", coordinator.ErrUnavailable},
		"what takes no role":        {coordinator.Caller{}, "Ready", nil},
		"nobody":                    {coordinator.Caller{}, "Task", coordinator.ErrUnauthenticated},
	} {
		call := coordinator.Call{Method: tt.method}
		if tt.method == "Task" {
			call.ID = "amys"
		}
		if _, err := policy(t.Context(), tt.caller, call); !errors.Is(err, tt.err) {
			t.Errorf("%s: got %v, want %v", fact, err, tt.err)
		}
	}
}

// unknowable has only the roles of credentials.
type unknowable struct{}

func (unknowable) Of(caller coordinator.Caller) ([]coordinator.RoleIn, bool) {
	return caller.Roles, false
}

// submissions is a service that takes submissions; its other methods panic.
type submissions struct {
	coordinator.Service
	opts   coordinator.SubmitOptions
	owners []string
}

func (s *submissions) Submit(_ context.Context, opts coordinator.SubmitOptions, tasks iter.Seq2[*dag.Task, error]) (*coordinator.Submitted, error) {
	s.opts, s.owners = opts, nil
	for t, err := range tasks {
		if err != nil {
			return nil, err
		}
		s.owners = append(s.owners, t.UserID)
	}
	return &coordinator.Submitted{}, nil
}

// TestOwnersOfSubmissions are the rules of spec 2.2.
func TestOwnersOfSubmissions(t *testing.T) {
	t.Parallel()
	for fact, tt := range map[string]struct {
		caller coordinator.Caller
		given  []string
		want   []string
		err    string
	}{
		"none":                                   {amy, []string{"", ""}, []string{"", ""}, ""}, // the options have it
		"one's own":                              {amy, []string{"amy", ""}, []string{"amy", ""}, ""},
		"another's":                              {amy, []string{"", "bob"}, nil, "Permission denied: User amy can only create tasks for their own resources; missing permission: trees.create"},
		"another's, as an admin":                 {root, []string{"bob", "bob"}, []string{"root", "root"}, ""},
		"several":                                {amy, []string{"bob", "amy"}, nil, "All tasks must have the same user_id. Found multiple user_ids: {'bob', 'amy'}"},
		"several, as an admin":                   {root, []string{"bob", "amy"}, nil, "All tasks must have the same user_id. Found multiple user_ids: {'bob', 'amy'}"},
		"several, of which one is the admin's":   {root, []string{"root", "amy"}, nil, "All tasks must have the same user_id. Found multiple user_ids: {'root', 'amy'}"},
		"another's with a task of nobody's last": {amy, []string{"bob", ""}, nil, "missing permission: trees.create"},
	} {
		svc := &submissions{}
		var tasks []*dag.Task
		for _, owner := range tt.given {
			tasks = append(tasks, &dag.Task{UserID: owner})
		}
		_, err := coordinator.NewAccess(svc, byRoles(owners{})).For(tt.caller).Submit(t.Context(), coordinator.SubmitOptions{IdempotencyKey: "k"},
			func(yield func(*dag.Task, error) bool) {
				for _, task := range tasks {
					if !yield(task, nil) {
						return
					}
				}
			})
		switch {
		case tt.err == "" && (err != nil || !reflect.DeepEqual(svc.owners, tt.want) || svc.opts.UserID != tt.caller.User):
			t.Errorf("%s: got owners %q, %q, %v, want %q", fact, svc.owners, svc.opts.UserID, err, tt.want)
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%s: got %v, want %s", fact, err, tt.err)
		}
		if key := svc.opts.IdempotencyKey; key == "k" || len(key) > 255 {
			t.Errorf("%s: the idempotency key is %q, which others may use, too", fact, key)
		}
		for i, task := range tasks {
			if task.UserID != tt.given[i] {
				t.Errorf("%s: what was submitted is changed", fact)
			}
		}
	}
}

// TestListsAreNarrowed looks at what reaches the service of lists.
func TestListsAreNarrowed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		caller       coordinator.Caller
		policy       coordinator.Policy
		asked, want  string
		ofTree, tree string
	}{
		{coordinator.Caller{}, coordinator.AllowAll, "", "", "", ""}, {coordinator.Caller{}, coordinator.AllowAll, "bob", "bob", "", ""},
		{amy, byRoles(owners{"x": "amy"}), "", "amy", "x", ""}, {root, byRoles(owners{"x": "amy"}), "", "", "x", ""},
		{root, byRoles(owners{}), "bob", "bob", "", "bob"},
	} {
		svc := &narrowed{}
		guarded := coordinator.NewAccess(svc, tt.policy).For(tt.caller)
		for name, list := range map[string]func() error{
			"Tasks": func() error {
				_, err := guarded.Tasks(t.Context(), coordinator.TaskFilter{UserID: tt.asked})
				return err
			},
			"Trees": func() error {
				_, err := guarded.Trees(t.Context(), coordinator.TreeFilter{UserID: tt.asked})
				return err
			},
			"Usage": func() error {
				_, err := guarded.Usage(t.Context(), coordinator.UsageFilter{UserID: tt.asked})
				return err
			},
			"Running": func() error { _, err := guarded.Running(t.Context(), tt.asked); return err },
			"Resolve": func() error { _, err := guarded.Resolve(t.Context(), "x", tt.asked); return err },
		} {
			if err := list(); err != nil || svc.owner != tt.want {
				t.Errorf("%s by %q of %q: got %q, %v, want %q", name, tt.caller.User, tt.asked, svc.owner, err, tt.want)
			}
		}
		if tt.ofTree == "" {
			continue
		}
		if _, err := guarded.Tasks(t.Context(), coordinator.TaskFilter{TreeOf: tt.ofTree}); err != nil || svc.owner != tt.tree {
			t.Errorf("tasks of a tree by %q: got %q, %v, want %q", tt.caller.User, svc.owner, err, tt.tree)
		}
	}
}

// narrowed notes whose tasks are listed.
type narrowed struct {
	coordinator.Service
	owner string
}

func (n *narrowed) Tasks(_ context.Context, f coordinator.TaskFilter) (page coordinator.Page[*coordinator.Task], err error) {
	n.owner = f.UserID
	return page, nil
}

func (n *narrowed) Trees(_ context.Context, f coordinator.TreeFilter) (page coordinator.Page[*coordinator.TreeStatus], err error) {
	n.owner = f.UserID
	return page, nil
}

func (n *narrowed) Usage(_ context.Context, f coordinator.UsageFilter) (page coordinator.Page[coordinator.UsageGroup], err error) {
	n.owner = f.UserID
	return page, nil
}

func (n *narrowed) Running(_ context.Context, owner string) (int, error) {
	n.owner = owner
	return 0, nil
}

func (n *narrowed) Resolve(_ context.Context, _, owner string) (*coordinator.Matches, error) {
	n.owner = owner
	return &coordinator.Matches{}, nil
}

// keyed is a service that notes idempotency keys; its other methods panic.
type keyed struct {
	coordinator.Service
	key string
}

func (k *keyed) Submit(_ context.Context, opts coordinator.SubmitOptions, _ iter.Seq2[*dag.Task, error]) (*coordinator.Submitted, error) {
	k.key = opts.IdempotencyKey
	return &coordinator.Submitted{}, nil
}

func (k *keyed) Add(_ context.Context, _ string, opts coordinator.SubmitOptions, _ iter.Seq2[*dag.Task, error]) (*coordinator.Submitted, error) {
	k.key = opts.IdempotencyKey
	return &coordinator.Submitted{}, nil
}

func (k *keyed) Copy(_ context.Context, _ string, opts coordinator.CopyOptions) (*coordinator.Copied, error) {
	k.key = opts.IdempotencyKey
	return &coordinator.Copied{}, nil
}

// TestIdempotencyKeysAreEachUsersOwn: nobody meets, or takes beforehand, the key of another, whichever call it goes with: nor by sending what
// another's key is kept as.
func TestIdempotencyKeysAreEachUsersOwn(t *testing.T) {
	t.Parallel()
	svc := &keyed{}
	calls := map[string]func(coordinator.Service, string) error{
		"Submit": func(on coordinator.Service, key string) error {
			_, err := on.Submit(t.Context(), coordinator.SubmitOptions{IdempotencyKey: key}, nil)
			return err
		},
		"Add": func(on coordinator.Service, key string) error {
			_, err := on.Add(t.Context(), "x", coordinator.SubmitOptions{IdempotencyKey: key}, nil)
			return err
		},
		"Copy": func(on coordinator.Service, key string) error {
			_, err := on.Copy(t.Context(), "x", coordinator.CopyOptions{IdempotencyKey: key})
			return err
		},
	}
	of := owners{}
	access := coordinator.NewAccess(svc, byRoles(of))
	key := func(by coordinator.Caller, name, key string) string {
		of["x"] = by.User
		if err := calls[name](access.For(by), key); err != nil {
			t.Fatal(err)
		}
		return svc.key
	}
	kept := key(amy, "Submit", "k")
	for name := range calls {
		if got := key(amy, name, "k"); got != kept {
			t.Errorf("%s by amy: her key is %q, want the same as that of Submit, %q", name, got, kept)
		}
		for _, sent := range []string{"k", kept} {
			if got := key(bob, name, sent); got == kept || got == sent {
				t.Errorf("%s by bob: the key %q is kept as %q, which is not his own", name, sent, got)
			}
		}
		if got := key(amy, name, ""); got != "" {
			t.Errorf("%s without a key: got %q", name, got)
		}
	}
}

// agents is a service with one task of the A2A protocol, that of the tree x; its other methods panic.
type agents struct {
	coordinator.Service
	dropped *[]string
}

func (agents) AgentTask(_ context.Context, id string) (*coordinator.AgentTask, error) {
	if id != "for-x" {
		return nil, coordinator.ErrNotFound
	}
	return &coordinator.AgentTask{ID: id, TaskID: "x", Tree: &coordinator.TreeStatus{ID: "x"}}, nil
}

func (a agents) DropAgentTask(_ context.Context, id string) error {
	*a.dropped = append(*a.dropped, id)
	return nil
}

// TestAgentTasksAreOfTheirTree: who may not look at a tree learns nothing of its tasks of the A2A protocol, and drops none: not even whether there
// is one.
func TestAgentTasksAreOfTheirTree(t *testing.T) {
	t.Parallel()
	var dropped []string
	for _, tt := range []struct {
		caller coordinator.Caller
		owner  string
		id     string
		err    error
	}{
		{amy, "amy", "for-x", nil}, {root, "amy", "for-x", nil}, {root, "", "for-x", nil},
		{amy, "", "for-x", coordinator.ErrDenied}, {amy, "bob", "for-x", coordinator.ErrDenied}, {amy, "amy", "for-none", coordinator.ErrDenied},
		{coordinator.Caller{}, "", "for-x", coordinator.ErrUnauthenticated}, {root, "amy", "for-none", coordinator.ErrNotFound},
	} {
		dropped = nil
		on := coordinator.NewAccess(agents{dropped: &dropped}, byRoles(owners{"x": tt.owner})).For(tt.caller)
		got, err := on.AgentTask(t.Context(), tt.id)
		if !errors.Is(err, tt.err) || (got == nil) != (tt.err != nil) {
			t.Errorf("%s asks for %s of %q: got %+v, %v, want %v", tt.caller.User, tt.id, tt.owner, got, err, tt.err)
		}
		err = on.DropAgentTask(t.Context(), tt.id)
		if denied := errors.Is(tt.err, coordinator.ErrDenied) || errors.Is(tt.err, coordinator.ErrUnauthenticated); denied != (err != nil) || denied != (len(dropped) == 0) {
			t.Errorf("%s drops %s of %q: got %v, %q dropped", tt.caller.User, tt.id, tt.owner, err, dropped)
		}
	}
}

// TestNamedApproversAnswerAndNobodyElse: who may answer is what the task says, by ids of users and by roles that they hold there; else whoever may run
// its tree, or answers approvals.
func TestNamedApproversAnswerAndNobodyElse(t *testing.T) {
	tasks := owners{"amys": "amy", "asks-bob": "amy", "asks-operator": "amy"}
	policy := byRoles(tasks)
	approver, elsewhere := holding("pia", "approver@default"), holding("eli", "operator@team-a")
	scoped := holding("bob", "submitter@default")
	scoped.Scopes = []coordinator.Permission{"trees.read"}
	for _, method := range []string{"Approve", "ApprovalLink"} {
		for fact, tt := range map[string]struct {
			caller  coordinator.Caller
			task    string
			may     bool
			attempt int32
		}{
			"the user that it names":                  {bob, "asks-bob", true, 3},
			"the tree's owner, where it names others": {amy, "asks-bob", false, 0},
			"an admin, where it names others":         {root, "asks-bob", false, 0},
			"an approver, where it names others":      {approver, "asks-bob", false, 0},
			"that user, beyond the token's scopes":    {scoped, "asks-bob", false, 0},
			"who holds the role that it names":        {holding("ops", "operator@default"), "asks-operator", true, 3},
			"who holds it everywhere":                 {holding("ops", "operator@*"), "asks-operator", true, 3},
			"who holds it in another namespace":       {elsewhere, "asks-operator", false, 0},
			"the owner, of one that names nobody":     {amy, "amys", true, 0},
			"another user":                            {bob, "amys", false, 0},
			"an approver, of one that names nobody":   {approver, "amys", true, 0},
			"a viewer":                                {holding("vic", "viewer@default"), "amys", false, 0},
			"an approver, of none":                    {bob, "none", false, 0},
		} {
			got, err := policy(t.Context(), tt.caller, coordinator.Call{Method: method, ID: tt.task})
			if (err == nil) != tt.may || got.Attempt != tt.attempt || err != nil && !errors.Is(err, coordinator.ErrDenied) {
				t.Errorf("%s by %s: got %+v, %v", method, fact, got, err)
			}
		}
	}
}
