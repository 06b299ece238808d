package identity

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/taskgrove/taskgrove/coordinator"
)

// Claims says which claims of an issuer's tokens mean what. A name with dots that no claim has leads into objects: realm_access.roles.
type Claims struct {
	User       string // empty: user_id, else sub (spec K21)
	Groups     string // empty: groups
	Roles      string // empty: roles and role; [NoClaim]: its tokens give no roles
	Namespaces string // empty: namespaces
	// UserPrefix and GroupPrefix go before names, so that no two issuers speak of the same one.
	UserPrefix, GroupPrefix string
	// GroupRoles are roles that a group gives, written as in the claim of roles; groups are without prefix.
	GroupRoles map[string][]string
}

// NoClaim is the name of a claim that no token has.
const NoClaim = "none"

// caller is whom claims name.
func (c Claims) caller(claims jwt.MapClaims) (who coordinator.Caller, err error) {
	user, err := c.user(claims)
	if err != nil {
		return who, err
	}
	groups, err := texts(claims, or(c.Groups, "groups"), maxGroups)
	if err != nil {
		return who, err
	}
	names := []string{"roles", "role"}
	if c.Roles != "" {
		names = []string{c.Roles}
	}
	var roles []string
	for _, name := range names {
		some, err := texts(claims, name, maxRoles)
		if err != nil {
			return who, err
		}
		roles = append(roles, some...)
	}
	in, err := texts(claims, or(c.Namespaces, "namespaces"), maxRoles)
	if err != nil {
		return who, err
	}
	who = coordinator.Caller{Name: user, User: user, Kind: coordinator.UserCaller}
	who.Roles = RolesIn(roles, in)
	for _, g := range groups {
		if utf8.RuneCountInString(g) > maxGroupChars || strings.ContainsFunc(g, unicode.IsControl) {
			return who, fmt.Errorf("its groups have a name that no group can have")
		}
		who.Groups = append(who.Groups, c.GroupPrefix+g)
		who.Roles = appendRoles(who.Roles, RolesIn(c.GroupRoles[g], in))
	}
	return who, nil
}

func or(name, otherwise string) string {
	if name == "" {
		return otherwise
	}
	return name
}

// user is whom the claims name.
func (c Claims) user(claims jwt.MapClaims) (string, error) {
	names := []string{"user_id", "sub"}
	if c.User != "" {
		names = []string{c.User}
	}
	for _, name := range names {
		user := ""
		switch value := claim(claims, name).(type) {
		case nil:
			continue
		case string:
			user = value
		case interface{ Int64() (int64, error) }: // a number, as issuers that count their users write
			n, err := value.Int64()
			if err != nil {
				return "", fmt.Errorf("its %s is no text", name)
			}
			user = strconv.FormatInt(n, 10)
		default:
			return "", fmt.Errorf("its %s is no text", name)
		}
		if user == "" {
			continue
		}
		if verified, there := claims["email_verified"]; name == "email" && there && verified != true {
			return "", fmt.Errorf("its issuer has not verified its email")
		}
		user = c.UserPrefix + user
		if !validUser(user) {
			return "", fmt.Errorf("its %s can't be the id of a user", name)
		}
		return user, nil
	}
	return "", fmt.Errorf("it names no user")
}

func validUser(user string) bool {
	return user != "" && utf8.RuneCountInString(user) <= maxUserChars && utf8.ValidString(user) && !strings.ContainsFunc(user, unicode.IsControl)
}

// claim is what a claim says; nil: it is not there.
func claim(claims map[string]any, name string) any {
	if value, there := claims[name]; there {
		return value
	}
	first, rest, deeper := strings.Cut(name, ".")
	if inner, ok := claims[first].(map[string]any); ok && deeper {
		return claim(inner, rest)
	}
	return nil
}

// texts are those of a claim: a list, or one.
func texts(claims jwt.MapClaims, name string, most int) (out []string, err error) {
	switch value := claim(claims, name).(type) {
	case nil:
	case string:
		out = []string{value}
	case []any:
		if len(value) > most {
			return nil, fmt.Errorf("its %s are more than %d", name, most)
		}
		for _, one := range value {
			text, ok := one.(string)
			if !ok {
				return nil, fmt.Errorf("its %s are no texts", name)
			}
			out = append(out, text)
		}
	default:
		return nil, fmt.Errorf("its %s are no texts", name)
	}
	return out, nil
}

// RolesIn are roles as a token or a file writes them: role, or namespace:role. One without a namespace counts in those of the list; if that is
// empty, the admin's counts everywhere (spec 5.6), and others in the default namespace.
func RolesIn(roles, namespaces []string) (out []coordinator.RoleIn) {
	for _, text := range roles {
		namespace, role, placed := strings.Cut(text, ":")
		in := []string{namespace}
		switch {
		case placed:
		case len(namespaces) > 0:
			role, in = text, namespaces
		case text == AdminRole:
			role, in = text, []string{coordinator.AllNamespaces}
		default:
			role, in = text, []string{coordinator.DefaultNamespace}
		}
		for _, one := range in {
			out = appendRoles(out, []coordinator.RoleIn{{Role: role, Namespace: one}})
		}
	}
	return out
}

func appendRoles(roles, more []coordinator.RoleIn) []coordinator.RoleIn {
	for _, one := range more {
		if one.Role != "" && one.Namespace != "" && !slices.Contains(roles, one) {
			roles = append(roles, one)
		}
	}
	return roles
}
