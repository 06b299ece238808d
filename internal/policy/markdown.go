package policy

import (
	"fmt"
	"strings"
)

//go:generate go run ./docgen ../../docs/access-control.md

// Where the tables stand in the page.
const (
	beginTables = "<!-- Generated from package policy by \"go generate ./internal/policy\". Do not edit up to the end mark. -->"
	endTables   = "<!-- End of what is generated. -->"
)

// Into puts the tables of roles and permissions into a page, between its two marks.
func Into(page string) (string, error) {
	before, rest, begins := strings.Cut(page, beginTables)
	_, after, ends := strings.Cut(rest, endTables)
	if !begins || !ends {
		return "", fmt.Errorf("the page lacks the marks %q and %q", beginTables, endTables)
	}
	return before + beginTables + "\n\n" + tables() + "\n" + endTables + after, nil
}

// tables are the roles and the table of the policy, as Markdown.
func tables() string {
	var out strings.Builder
	out.WriteString("| Role | |\n|---|---|\n")
	for _, r := range Roles {
		fmt.Fprintf(&out, "| `%s` | %s |\n", r.Name, r.Text)
	}
	for _, part := range []struct {
		where Where
		text  string
	}{
		{InNamespace, "In a namespace, whose things each role reaches: `own`, or `all`: also other users', and what nobody owns."},
		{OverCluster, "Over the cluster itself, for roles that are held in all namespaces (`*`):"},
	} {
		fmt.Fprintf(&out, "\n%s\n\n| Permission |", part.text)
		for _, r := range Roles {
			fmt.Fprintf(&out, " %s |", r.Name)
		}
		out.WriteString(" lets |\n|---|" + strings.Repeat("---|", len(Roles)+1) + "\n")
		for _, line := range Lines {
			if line.Where != part.where {
				continue
			}
			fmt.Fprintf(&out, "| `%s` |", line.Permission)
			for _, r := range Roles {
				fmt.Fprintf(&out, " %s |", line.Of(r.Name))
			}
			fmt.Fprintf(&out, " %s |\n", line.Text)
		}
	}
	return out.String()
}
