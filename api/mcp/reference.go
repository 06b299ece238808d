package mcp

import (
	"fmt"
	"strings"
)

// Reference is the reference of tools and prompts in Markdown, as docs/mcp-server.md has it.
func Reference() string {
	var b strings.Builder
	for i := range toolTable {
		t := &toolTable[i]
		fmt.Fprintf(&b, "### %s\n\n%s.%s\n\n", t.name, strings.TrimSuffix(t.description, "."), effectWords[t.effect])
		b.WriteString("| argument | type | |\n|---|---|---|\n")
		for _, a := range t.arguments {
			if a.hidden {
				continue
			}
			name := "`" + a.name + "`"
			if a.required {
				name += " *"
			}
			said := a.description
			if a.of != nil {
				said = "`" + strings.Join(a.of, "`, `") + "`: " + said
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", name, a.kind, said)
		}
		if t.loose {
			b.WriteString("| … | | instead of `tasks`: the keys of a single task |\n")
		}
		b.WriteString("\n")
	}
	b.WriteString("### Prompts\n\n| prompt | argument | |\n|---|---|---|\n")
	for _, p := range promptTable {
		fmt.Fprintf(&b, "| `%s` | `%s` * | %s |\n", p.prompt.Name, p.prompt.Arguments[0].Name, strings.TrimSuffix(p.prompt.Description, "."))
	}
	return b.String()
}

var effectWords = map[effect]string{reads: " Changes nothing.", adds: "", changes: " May undo what somebody did."}
