package pg

import (
	"regexp"

	"github.com/taskgrove/taskgrove/dag"
)

// Rows of default are in no index by their namespace, so that they cost nothing; those of other namespaces are. So statements that walk through
// a table have two forms, of which each leaves the planner one way: that of the name as it stands is for default, the other one for the others.
// They are written once, with
//
//	:within(column, $n)  only rows of the namespace $n; in default others are left out as they come
//	:among(column, $n)   rows that are looked at: in default all, of which others are to be left out by a condition of their own; a limit ends it
const inNamespace = "InNamespace"

var spaces = regexp.MustCompile(`:(within|among)\(([a-z_.]+), (\$\d+)\)`)

// eachNamespace are the forms of a statement, by their names.
func eachNamespace(name, text string) map[string]string {
	if !spaces.MatchString(text) {
		return map[string]string{name: text}
	}
	own := spaces.ReplaceAllStringFunc(text, func(found string) string {
		m := spaces.FindStringSubmatch(found)
		if m[1] == "among" {
			return "(" + m[3] + "::integer = 0)"
		}
		return "(" + m[2] + " + 0 = 0 and " + m[3] + "::integer = 0)" // a sum is in no index
	})
	return map[string]string{name: own, name + inNamespace: spaces.ReplaceAllString(text, "($2 = $3::integer and $2 <> 0)")}
}

// in is the name of the form of a statement that is for a namespace.
func in(namespace dag.NamespaceKey, statement string) string {
	if namespace == dag.DefaultNamespaceKey {
		return statement
	}
	return statement + inNamespace
}
