package coordinator_test

import (
	"context"
	"errors"
	"iter"
	"reflect"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// owners are whose tasks are.
type owners map[string]string

func (o owners) OwnerOf(_ context.Context, id string) (string, error) {
	owner, ok := o[id]
	if !ok {
		return "", coordinator.ErrNotFound
	}
	return owner, nil
}

// TreeOfWebhook is the tree whose name follows "of-" in the webhook's; others are the cluster's.
func (o owners) TreeOfWebhook(_ context.Context, id string) (string, error) {
	tree, _ := strings.CutPrefix(id, "of-")
	if tree == id {
		return "", nil
	}
	return tree, nil
}

// OwnerOfAPIKey is whoever has the key's name.
func (o owners) OwnerOfAPIKey(_ context.Context, id string) (string, error) { return id, nil }

var (
	amy  = coordinator.Caller{Name: "amy", User: "amy"}
	bob  = coordinator.Caller{Name: "bob", User: "bob"}
	root = coordinator.Caller{Name: "root", User: "root", Admin: true}
)

// TestOwnOnlyKnowsEveryMethod finds the methods by reflection: one that is added must have its row, else even admins are refused.
func TestOwnOnlyKnowsEveryMethod(t *testing.T) {
	t.Parallel()
	policy := coordinator.OwnOnly(owners{"x": "amy"})
	svc := reflect.TypeFor[coordinator.Service]()
	for i := range svc.NumMethod() {
		method := svc.Method(i).Name
		call := coordinator.Call{Method: method, ID: "x"}
		if _, err := policy(t.Context(), root, call); err != nil {
			t.Errorf("%s: an admin is refused: %v", method, err)
		}
		_, err := policy(t.Context(), coordinator.Anonymous(coordinator.SurfaceGRPC, ""), call)
		if want := method != "Ready"; errors.Is(err, coordinator.ErrUnauthenticated) != want {
			t.Errorf("%s: who has not said who it is gets %v", method, err)
		}
		_, err = policy(t.Context(), bob, call)
		if open := method == "Ready" || method == "Executors" || method == "Executor" || method == "CheckAttachment"; errors.Is(err, coordinator.ErrDenied) == open {
			t.Errorf("%s of another's task: got %v", method, err)
		}
	}
	if _, err := policy(t.Context(), root, coordinator.Call{Method: "Novel"}); !errors.Is(err, coordinator.ErrDenied) {
		t.Errorf("a method without a row: got %v", err)
	}
}

func TestOwnOnly(t *testing.T) {
	t.Parallel()
	policy := coordinator.OwnOnly(owners{"amys": "amy", "nobodys": ""})
	for fact, tt := range map[string]struct {
		caller coordinator.Caller
		call   coordinator.Call
		only   string // of the grant
		err    string
	}{
		"own":                          {amy, coordinator.Call{Method: "Task", ID: "amys"}, "", ""},
		"another's":                    {bob, coordinator.Call{Method: "Task", ID: "amys"}, "", "Permission denied: User bob can only access their own resources, not user amy's resources"},
		"another's, to be cancelled":   {bob, coordinator.Call{Method: "Cancel", ID: "amys"}, "", "Permission denied: User bob can only cancel task for their own resources, not user amy's resources"},
		"another's, as an admin":       {root, coordinator.Call{Method: "Delete", ID: "amys"}, "", ""},
		"nobody's":                     {bob, coordinator.Call{Method: "Update", ID: "nobodys"}, "", ""},
		"not there":                    {bob, coordinator.Call{Method: "Update", ID: "nope"}, "", "not found"},
		"a list":                       {bob, coordinator.Call{Method: "Trees"}, "bob", ""},
		"a list of one's own":          {bob, coordinator.Call{Method: "Trees", UserID: "bob"}, "bob", ""},
		"a list of another's":          {bob, coordinator.Call{Method: "Tasks", UserID: "amy"}, "", "Permission denied: User bob can only list tasks for their own resources, not user amy's resources"},
		"a count of another's":         {bob, coordinator.Call{Method: "Running", UserID: "amy"}, "", "Permission denied: User bob can only count tasks for their own resources, not user amy's resources"},
		"a list, as an admin":          {root, coordinator.Call{Method: "Trees"}, "", ""},
		"a list of a tree of nobody's": {bob, coordinator.Call{Method: "Tasks", ID: "nobodys"}, "", ""},
		"a submission":                 {bob, coordinator.Call{Method: "Submit"}, "bob", ""},
		"a submission for another":     {bob, coordinator.Call{Method: "Submit", UserID: "amy"}, "", "Permission denied: User bob can only create tasks for their own resources, not user amy's resources"},
		"a submission, as an admin":    {root, coordinator.Call{Method: "Submit", UserID: "amy"}, "root", ""},
		"a webhook of one's own":       {amy, coordinator.Call{Method: "DeleteWebhook", Webhook: "of-amys"}, "", ""},
		"a webhook of another's":       {bob, coordinator.Call{Method: "DeleteWebhook", Webhook: "of-amys"}, "", "Permission denied: User bob can only manage webhooks of their own resources, not user amy's resources"},
		"a webhook of the cluster":     {amy, coordinator.Call{Method: "GetWebhook", Webhook: "all"}, "", "Permission denied: User amy can't manage webhooks, which is for admins"},
		"one, as an admin":             {root, coordinator.Call{Method: "GetWebhook", Webhook: "all"}, "", ""},
		"all webhooks":                 {amy, coordinator.Call{Method: "ListWebhooks"}, "", "Permission denied: User amy can't manage webhooks, which is for admins"},
		"those of one's own tree":      {amy, coordinator.Call{Method: "ListWebhooks", ID: "amys"}, "", ""},
		"the cluster":                  {bob, coordinator.Call{Method: "Workers"}, "", "Permission denied: User bob can't manage workers, which is for admins"},
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
		"another's":                              {amy, []string{"", "bob"}, nil, "Permission denied: User amy can only create tasks for their own resources, not user bob's resources"},
		"another's, as an admin":                 {root, []string{"bob", "bob"}, []string{"root", "root"}, ""},
		"several":                                {amy, []string{"bob", "amy"}, nil, "All tasks must have the same user_id. Found multiple user_ids: {'bob', 'amy'}"},
		"several, as an admin":                   {root, []string{"bob", "amy"}, nil, "All tasks must have the same user_id. Found multiple user_ids: {'bob', 'amy'}"},
		"several, of which one is the admin's":   {root, []string{"root", "amy"}, nil, "All tasks must have the same user_id. Found multiple user_ids: {'root', 'amy'}"},
		"another's with a task of nobody's last": {amy, []string{"bob", ""}, nil, "not user bob's resources"},
	} {
		svc := &submissions{}
		var tasks []*dag.Task
		for _, owner := range tt.given {
			tasks = append(tasks, &dag.Task{UserID: owner})
		}
		_, err := coordinator.NewAccess(svc, coordinator.OwnOnly(owners{})).For(tt.caller).Submit(t.Context(), coordinator.SubmitOptions{IdempotencyKey: "k"},
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
		{amy, coordinator.OwnOnly(owners{"x": ""}), "", "amy", "x", ""}, {root, coordinator.OwnOnly(owners{"x": "amy"}), "", "", "x", ""},
		{root, coordinator.OwnOnly(owners{}), "bob", "bob", "", "bob"},
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
	access := coordinator.NewAccess(svc, coordinator.OwnOnly(owners{"x": ""}))
	bob := coordinator.Caller{Name: "bob", User: "bob"}
	key := func(by coordinator.Caller, name, key string) string {
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
	if id != "a" {
		return nil, coordinator.ErrNotFound
	}
	return &coordinator.AgentTask{ID: "a", TaskID: "x", Tree: &coordinator.TreeStatus{ID: "x"}}, nil
}

func (a agents) DropAgentTask(_ context.Context, id string) error {
	*a.dropped = append(*a.dropped, id)
	return nil
}

// TestAgentTasksAreOfTheirTree: who may not look at a tree learns nothing of its tasks of the A2A protocol, and drops none.
func TestAgentTasksAreOfTheirTree(t *testing.T) {
	t.Parallel()
	var dropped []string
	for _, tt := range []struct {
		caller coordinator.Caller
		owner  string
		id     string
		err    error
		drops  int
	}{
		{amy, "amy", "a", nil, 1}, {amy, "", "a", nil, 1}, {root, "amy", "a", nil, 1},
		{amy, "bob", "a", coordinator.ErrDenied, 0}, {coordinator.Caller{}, "", "a", coordinator.ErrUnauthenticated, 0},
		{amy, "amy", "none", coordinator.ErrNotFound, 0},
	} {
		dropped = nil
		on := coordinator.NewAccess(agents{dropped: &dropped}, coordinator.OwnOnly(owners{"x": tt.owner})).For(tt.caller)
		got, err := on.AgentTask(t.Context(), tt.id)
		if !errors.Is(err, tt.err) || (got == nil) != (tt.err != nil) {
			t.Errorf("%s asks for %s of %q: got %+v, %v, want %v", tt.caller.User, tt.id, tt.owner, got, err, tt.err)
		}
		want := tt.err
		if errors.Is(want, coordinator.ErrNotFound) { // there is none any more
			want = nil
		}
		if err := on.DropAgentTask(t.Context(), tt.id); !errors.Is(err, want) || len(dropped) != tt.drops {
			t.Errorf("%s drops %s of %q: got %v, %q dropped, want %v", tt.caller.User, tt.id, tt.owner, err, dropped, want)
		}
	}
}
