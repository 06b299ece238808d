package coordinator

import (
	"slices"

	"github.com/taskgrove/taskgrove/internal/policy"
)

// RoleSettings are what settings say of roles. They are [Roles] without any that is stored.
type RoleSettings struct {
	Admins []string            // users who hold admin in all namespaces
	Groups map[string][]RoleIn // what members of a group hold
	// Default is held by who is known and holds no other role anywhere; nil: nothing.
	Default []RoleIn
}

// DefaultRole is what [RoleSettings.Default] is unless a setting says otherwise.
var DefaultRole = []RoleIn{{Role: policy.Submitter, Namespace: DefaultNamespace}}

// Of are the roles of a caller by its credentials and the settings.
func (s RoleSettings) Of(caller Caller) (held []RoleIn, complete bool) {
	return s.orDefault(s.given(caller)), true
}

// given are the roles of a caller without the default.
func (s RoleSettings) given(caller Caller) []RoleIn {
	var held []RoleIn
	for _, h := range caller.Roles { // issuers have words of their own, too
		if policy.Known(h.Role) {
			held = append(held, h)
		}
	}
	if caller.Kind != MachineCaller && slices.Contains(s.Admins, caller.User) {
		held = append(held, RoleIn{Role: policy.Admin, Namespace: AllNamespaces})
	}
	for _, group := range caller.Groups {
		held = append(held, s.Groups[group]...)
	}
	return held
}

func (s RoleSettings) orDefault(held []RoleIn) []RoleIn {
	if len(held) == 0 {
		return s.Default
	}
	return held
}

// NamesAdmin reports whether somebody is an admin of the cluster whatever is stored.
func (s RoleSettings) NamesAdmin() bool {
	if len(s.Admins) > 0 {
		return true
	}
	for _, held := range s.Groups {
		if slices.Contains(held, RoleIn{Role: policy.Admin, Namespace: AllNamespaces}) {
			return true
		}
	}
	return false
}
