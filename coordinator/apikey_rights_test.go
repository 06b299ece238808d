package coordinator

import (
	"context"
	"errors"
	"testing"
)

// keysOf are keys by id: what each may do. Other methods panic.
type keysOf map[string]Call

func (k keysOf) rightsOfAPIKey(_ context.Context, id string) ([]RoleIn, []Permission, error) {
	return k[id].Grants, k[id].GrantScopes, nil
}

// OwnerOf is amy for each key.
func (k keysOf) OwnerOf(context.Context, string, Call) (string, error) { return "amy", nil }

// ApproversOf is nobody.
func (k keysOf) ApproversOf(context.Context, string, string) ([]string, int32, error) {
	return nil, 0, nil
}

// TestAKeyIsNoMoreThanItself: neither what its owner has come by otherwise, nor a way to a key that may do more.
func TestAKeyIsNoMoreThanItself(t *testing.T) {
	t.Parallel()
	settings := RoleSettings{Admins: []string{"amy"}, Groups: map[string][]RoleIn{"ops": {{Role: "admin", Namespace: "default"}}}, Default: DefaultRole}
	key := func(scopes []Permission, roles ...RoleIn) Caller {
		return Caller{User: "amy", Kind: KeyCaller, Groups: []string{"ops"}, Roles: roles, Scopes: scopes}
	}
	role := func(name, namespace string) RoleIn { return RoleIn{Role: name, Namespace: namespace} }
	viewer, operator, admin := role("viewer", "default"), role("operator", "default"), role("admin", AllNamespaces)
	ask := ByRoles(keysOf{}, settings)
	for fact, tt := range map[string]struct {
		caller Caller
		call   Call
		may    bool
	}{
		"its owner is an admin by a setting":         {key(nil, viewer), Call{Method: "Workers"}, false},
		"its owner's group is":                       {key(nil, viewer), Call{Method: "CreateWebhook"}, false},
		"its owner":                                  {Caller{User: "amy", Kind: UserCaller}, Call{Method: "Workers"}, true},
		"no role, where others have the default one": {key(nil), Call{Method: "Submit"}, false},
		"a role of its own":                          {key(nil, role("submitter", "default")), Call{Method: "Submit"}, true},
		"a scope beside":                             {key([]Permission{"trees.read"}, role("submitter", "default")), Call{Method: "Submit"}, false},
		"itself":                                     {key(nil, operator), Call{Method: "RotateAPIKey", APIKey: "x", Grants: []RoleIn{operator}}, false},
		"with the scope":                             {key([]Permission{"keys.write"}, operator), Call{Method: "RotateAPIKey", APIKey: "x", Grants: []RoleIn{operator}, GrantScopes: []Permission{"keys.write"}}, true},
		"a key that is good for all":                 {key([]Permission{"keys.write"}, operator), Call{Method: "RotateAPIKey", APIKey: "x", Grants: []RoleIn{operator}}, false},
		"a key with another scope":                   {key([]Permission{"keys.write"}, operator), Call{Method: "RotateAPIKey", APIKey: "x", Grants: []RoleIn{operator}, GrantScopes: []Permission{"trees.read"}}, false},
		"a key of more":                              {key([]Permission{"keys.write"}, operator), Call{Method: "RotateAPIKey", APIKey: "x", Grants: []RoleIn{admin}, GrantScopes: []Permission{"keys.write"}}, false},
		"another's, by an admin of the namespace":    {Caller{User: "bob", Roles: []RoleIn{role("admin", "default")}}, Call{Method: "RotateAPIKey", APIKey: "x", Grants: []RoleIn{viewer}}, true},
		"another's of more":                          {Caller{User: "bob", Roles: []RoleIn{role("admin", "default")}}, Call{Method: "RotateAPIKey", APIKey: "x", Grants: []RoleIn{admin}}, false},
		"another's, by a user":                       {Caller{User: "bob", Roles: []RoleIn{operator}}, Call{Method: "RotateAPIKey", APIKey: "x", Grants: []RoleIn{viewer}}, false},
	} {
		_, err := ask(t.Context(), tt.caller, tt.call)
		if tt.may != (err == nil) || err != nil && !errors.Is(err, ErrDenied) {
			t.Errorf("%s: got %v", fact, err)
		}
	}
}

// TestWhoReplacesAKeyIsAskedForItsRights: the policy hears what the key may do.
func TestWhoReplacesAKeyIsAskedForItsRights(t *testing.T) {
	t.Parallel()
	var got Call
	refused := errors.New("refused")
	keys := keysOf{"k": {Grants: []RoleIn{{Role: "admin", Namespace: "*"}}, GrantScopes: []Permission{"trees.read"}}}
	svc := NewAccess(struct {
		Service
		keysOf
	}{nil, keys}, func(_ context.Context, _ Caller, call Call) (Grant, error) { got = call; return Grant{}, refused })
	if _, err := svc.For(Caller{User: "amy"}).RotateAPIKey(t.Context(), "k", 0); !errors.Is(err, refused) || len(got.Grants) != 1 || len(got.GrantScopes) != 1 || got.APIKey != "k" {
		t.Errorf("got %+v, %v", got, err)
	}
}
