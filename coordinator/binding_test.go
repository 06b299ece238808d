package coordinator_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// TestRolesAreGivenAndTaken in one coordinator, and count in another.
func TestRolesAreGivenAndTaken(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Coordinators: 2})
	one, two := c.Coordinators[0].P, c.Coordinators[1].P
	policy := coordinator.ByRoles(two, two.StoredRoles())
	amy := coordinator.Caller{Name: "amy", User: "amy", Kind: coordinator.UserCaller, Groups: []string{"devs"}}
	may := func() error { _, err := policy(t.Context(), amy, coordinator.Call{Method: "Workers"}); return err }
	devs := coordinator.Binding{Namespace: "*", Kind: coordinator.GroupSubject, Subject: "devs", Role: "operator"}
	if _, err := one.GrantRole(t.Context(), devs); err != nil {
		t.Fatal(err)
	}
	c.Eventually("the role counts", may)
	if err := one.RevokeRole(t.Context(), devs); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c.Eventually("the role is gone", func() error { return want(may(), coordinator.ErrDenied) })
	if took := time.Since(began); took > coordinator.BindingsFresh+20*time.Second { // a slow machine
		t.Errorf("it was gone after %v", took)
	}
	if err := one.RevokeRole(t.Context(), devs); !errors.Is(err, coordinator.ErrNotFound) {
		t.Errorf("taken again: got %v", err)
	}
	elsewhere := coordinator.Binding{Namespace: "nowhere", Kind: coordinator.UserSubject, Subject: "amy", Role: "viewer"}
	if _, err := one.GrantRole(t.Context(), elsewhere); !errors.Is(err, coordinator.ErrNotFound) {
		t.Errorf("in a namespace that there is not: got %v", err)
	}
	_, err := one.GrantRole(t.Context(), coordinator.Binding{Namespace: "No", Kind: "team", Role: "king"})
	for _, field := range []string{"namespace: ", "kind: ", "subject: ", "role: "} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("the refusal lacks %s: %v", field, err)
		}
	}
	lastAdmin(t, one, two)
	othersIDs(t, coordinator.NewAccess(one, coordinator.ByRoles(one, one.StoredRoles())))
}

// lastAdmin: two that are taken at once leave one.
func lastAdmin(t *testing.T, one, two coordinator.Bindings) {
	admin := func(name string) coordinator.Binding {
		return coordinator.Binding{Namespace: "*", Kind: coordinator.UserSubject, Subject: name, Role: "admin"}
	}
	for _, name := range []string{"ann", "ben"} {
		if _, err := one.GrantRole(t.Context(), admin(name)); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	errs := make([]error, 2)
	wg.Go(func() { errs[0] = one.RevokeRole(t.Context(), admin("ann")) })
	wg.Go(func() { errs[1] = two.RevokeRole(t.Context(), admin("ben")) })
	wg.Wait()
	if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs...), coordinator.ErrConflict) {
		t.Errorf("the two last admins: got %v", errs)
	}
	left, err := one.Bindings(t.Context(), coordinator.BindingFilter{Namespace: "*"})
	if err != nil || len(left.Items) != 1 || left.Items[0].Role != "admin" {
		t.Errorf("left: %+v, %v", left, err)
	}
}

// othersIDs: a tree whose ids must be stored does not tell which ids others have.
func othersIDs(t *testing.T, access *coordinator.Access) {
	submit := func(by coordinator.Caller, opts coordinator.SubmitOptions) error {
		_, err := access.For(by).Submit(t.Context(), opts, func(yield func(*dag.Task, error) bool) {
			yield(&dag.Task{ID: "amys", Name: "a", Executor: "noop_executor"}, nil)
		})
		return err
	}
	if err := submit(holding("amy", "submitter@default"), coordinator.SubmitOptions{Hold: true}); err != nil {
		t.Fatal(err)
	}
	existing := coordinator.SubmitOptions{Hold: true, RequireExisting: true}
	if err := submit(holding("bob", "submitter@default"), existing); err == nil || !strings.Contains(err.Error(), "Task amys not found") {
		t.Errorf("another's: got %v", err)
	}
	for _, by := range []coordinator.Caller{holding("amy", "submitter@default"), root} {
		if err := submit(by, existing); err != nil {
			t.Errorf("%s: got %v", by.User, err)
		}
	}
}

// TestWhatMayBeGiven: nobody gives what reaches further than its own roles.
func TestWhatMayBeGiven(t *testing.T) {
	t.Parallel()
	policy := byRoles(owners{})
	scoped := holding("root", "admin@*")
	scoped.Scopes = []coordinator.Permission{"bindings.write"}
	key := holding("root", "admin@*")
	key.Kind = coordinator.KeyCaller
	for fact, tt := range map[string]struct {
		by      coordinator.Caller
		role    string
		in      string
		allowed bool
	}{
		"an admin of all, in all":               {root, "admin", "*", true},
		"an admin of all, elsewhere":            {root, "operator", "team-a", true},
		"an admin of a namespace, there":        {holding("ann", "admin@default"), "admin", "default", true},
		"an admin of a namespace, elsewhere":    {holding("ann", "admin@default"), "viewer", "team-a", false},
		"an admin of a namespace, in all":       {holding("ann", "admin@default"), "viewer", "*", false},
		"an operator":                           {holding("ops", "operator@*"), "viewer", "default", false},
		"a submitter":                           {bob, "submitter", "default", false},
		"what credentials are not good for":     {scoped, "viewer", "default", false},
		"an API key whose scopes do not say so": {key, "viewer", "default", false},
	} {
		_, err := policy(t.Context(), tt.by, coordinator.Call{Method: "GrantRole", Namespace: tt.in, Grants: []coordinator.RoleIn{{Role: tt.role, Namespace: tt.in}}})
		if (err == nil) != tt.allowed || err != nil && !errors.Is(err, coordinator.ErrDenied) {
			t.Errorf("%s: got %v", fact, err)
		}
	}
}

// TestWhatCallersLearn of themselves and of others.
func TestWhatCallersLearn(t *testing.T) {
	t.Parallel()
	access := coordinator.NewAccess(&submissions{}, byRoles(owners{"amys": "amy"}))
	me, err := access.For(holding("vic", "viewer@default", "admin@team-a")).WhoAmI(t.Context())
	if err != nil || me.User != "vic" || !me.Complete || !slices.Equal(me.Roles, []coordinator.RoleIn{{Role: "viewer", Namespace: "default"}, {Role: "admin", Namespace: "team-a"}}) {
		t.Errorf("who: %+v, %v", me, err)
	}
	for fact, tt := range map[string]struct {
		by   coordinator.Caller
		q    coordinator.AccessQuestion
		want string // allowed and reach, or the error
	}{
		"own things":                     {bob, coordinator.AccessQuestion{}, "true own"},
		"all things":                     {root, coordinator.AccessQuestion{}, "true all"},
		"one's own task":                 {amy, coordinator.AccessQuestion{TaskID: "amys"}, "true "},
		"another's task":                 {bob, coordinator.AccessQuestion{TaskID: "amys"}, "false "},
		"no task":                        {bob, coordinator.AccessQuestion{TaskID: "nope"}, "false "},
		"others, as who may not":         {bob, coordinator.AccessQuestion{User: "amy"}, "denied"},
		"roles, as who may not":          {bob, coordinator.AccessQuestion{Roles: []string{"admin"}}, "denied"},
		"oneself by name":                {bob, coordinator.AccessQuestion{User: "bob"}, "true own"},
		"another user":                   {root, coordinator.AccessQuestion{User: "bob"}, "true own"},
		"another user and a task":        {root, coordinator.AccessQuestion{User: "bob", TaskID: "amys"}, "false "},
		"the owner of a task":            {root, coordinator.AccessQuestion{User: "amy", TaskID: "amys"}, "true "},
		"a role":                         {root, coordinator.AccessQuestion{Roles: []string{"viewer"}}, "false -"},
		"a role elsewhere":               {root, coordinator.AccessQuestion{Roles: []string{"admin@team-a"}}, "false -"},
		"a role with a task and no user": {root, coordinator.AccessQuestion{Roles: []string{"viewer"}, TaskID: "amys"}, "user: "},
		"no role":                        {root, coordinator.AccessQuestion{Roles: []string{"king"}}, "roles: "},
	} {
		tt.q.Permissions = []coordinator.Permission{"trees.cancel"}
		got, err := access.For(tt.by).CanI(t.Context(), tt.q)
		text := ""
		switch {
		case err != nil:
			text = err.Error()
		case got[0].Allowed:
			text = "true " + got[0].Reach
		default:
			text = "false " + got[0].Reach
		}
		if err == nil && text != tt.want || err != nil && !strings.Contains(text, tt.want) {
			t.Errorf("%s: got %q, want %q", fact, text, tt.want)
		}
	}
}
