package resource

import (
	"fmt"
	"strings"
)

// Table is what each driver takes, in Markdown: for the documentation.
func Table() string {
	var b strings.Builder
	for i := range drivers {
		d := &drivers[i]
		becomes := "a connection of type `" + d.Type + "`"
		if d.Type == "" {
			becomes = "a connection to " + d.note
		}
		fmt.Fprintf(&b, "\n## %s:%s\n\nIt becomes %s.", d.Kind, d.Name, becomes)
		if d.absent != "" {
			fmt.Fprintf(&b, " No executor of Taskgrove takes it. %s.", d.absent)
		}
		if len(d.config)+len(d.options) > 1 || len(d.options) > 0 && d.options[0].path != cacheKey.path {
			b.WriteString("\n\n| setting | is | without it | |\n|---|---|---|---|\n")
			for _, one := range d.Settings() {
				b.WriteString(one.row())
			}
		} else {
			b.WriteString(" It has no settings.\n")
		}
	}
	return b.String()
}

// row is that of a setting.
func (s *Setting) row() string {
	var notes []string
	if len(s.Also) > 0 {
		notes = append(notes, "also `"+strings.Join(s.Also, "`, `")+"`")
	}
	if s.Secret {
		notes = append(notes, "a secret: named, never written")
	}
	if s.Note != "" {
		notes = append(notes, s.Note)
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s |\n", s.Path, s.Is, s.Without, strings.Join(notes, "; "))
}
