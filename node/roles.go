package node

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/policy"
)

// rolesConfig is what settings say of roles, as it is written.
type rolesConfig struct {
	admins, groups []string
	role           string // of who has no other
}

// maxRoleWords is how many admins, and how many roles of groups, settings may name.
const maxRoleWords = 10_000

// settings reads it. The error names every fault, by the setting.
func (r rolesConfig) settings() (coordinator.RoleSettings, error) {
	out := coordinator.RoleSettings{Admins: r.admins, Groups: map[string][]coordinator.RoleIn{}}
	var faults []error
	fault := func(setting, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s%s: %w", config.Prefix, setting, fmt.Errorf(format, args...)))
	}
	for setting, words := range map[string][]string{"ADMINS": r.admins, "GROUP_ROLES": r.groups} {
		if len(words) > maxRoleWords {
			fault(setting, "has %d words, and may have %d", len(words), maxRoleWords)
		}
	}
	for _, user := range r.admins {
		if utf8.RuneCountInString(user) > 255 {
			fault("ADMINS", "%.60q is longer than 255 characters", user)
		}
	}
	for _, word := range r.groups {
		at := strings.LastIndexByte(word, '=') // names of groups may have one themselves
		if at <= 0 {
			fault("GROUP_ROLES", "%.60q is not group=role or group=role@namespace", word)
			continue
		}
		held, err := policy.ParseHolding(word[at+1:], coordinator.DefaultNamespace)
		if err != nil {
			fault("GROUP_ROLES", "%w", err)
			continue
		}
		out.Groups[word[:at]] = append(out.Groups[word[:at]], held)
	}
	if r.role != "none" {
		held, err := policy.ParseHolding(r.role, coordinator.DefaultNamespace)
		if err != nil {
			fault("DEFAULT_ROLE", "%w", err)
		}
		out.Default = []coordinator.RoleIn{held}
	}
	return out, errors.Join(faults...)
}

// unavailable reports whether it may be there later.
func unavailable(err error) bool { return errors.Is(err, coordinator.ErrUnavailable) }
