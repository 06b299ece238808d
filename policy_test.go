package taskgrove_test

import (
	"reflect"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/internal/policy"
)

// free are the methods that take no permission, and why.
var free = map[string]string{
	"Ready":          "processes ask for themselves",
	"WhoAmI":         "tells callers of themselves only",
	"CanI":           "tells callers of themselves; to ask about others takes bindings.read",
	"LinkedApproval": "shows who has the token of a link what that asks, and nothing else",
	"ApproveByLink":  "answers what the token of a link stands for: whoever may answer made it",
	"TakeEvent":      "takes what is signed with a secret of a schedule, which whoever may change that gave away",
	"ListRoles":      "is a table that is the same everywhere",
}

// TestEveryMethodHasALineInThePolicy: a method of the service without a permission that the policy has a line for can't be landed.
func TestEveryMethodHasALineInThePolicy(t *testing.T) {
	permissions := coordinator.MethodPermissions()
	service := reflect.TypeFor[coordinator.Service]()
	for i := range service.NumMethod() {
		name := service.Method(i).Name
		permission, has := permissions[name]
		_, line := policy.LineOf(permission)
		switch {
		case !has:
			t.Errorf("%s has no row in the table of methods (coordinator/methods.go)", name)
		case permission == "" && free[name] == "":
			t.Errorf("%s takes no permission, and nobody has said why", name)
		case permission != "" && !line:
			t.Errorf("%s takes the permission %q, which has no line in the policy (internal/policy/table.go)", name, permission)
		}
		delete(permissions, name)
	}
	for name := range permissions {
		t.Errorf("%s has a row in the table of methods, and is none", name)
	}
}
