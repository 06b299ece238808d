package resource

import (
	"fmt"
	"slices"
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
		if len(d.config)+len(d.options) > 1 || len(d.options) > 0 && d.options[0].path != cacheKey.path {
			b.WriteString("\n\n| setting | is | without it | |\n|---|---|---|---|\n")
			for _, part := range []string{"config", "options"} {
				for _, k := range d.keys(part) {
					b.WriteString(d.row(part, &k))
				}
			}
		} else {
			b.WriteString(" It has no settings.\n")
		}
	}
	return b.String()
}

// row is that of a setting.
func (d *Driver) row(part string, k *key) string {
	preset := k.preset
	for _, one := range d.needs {
		switch {
		case part != "config" || !slices.Contains(one, k.path):
		case len(one) == 1:
			preset = "required"
		default:
			preset = "required: one of `" + strings.Join(one, "`, `") + "`"
		}
	}
	var notes []string
	if len(k.also) > 0 {
		notes = append(notes, "also `"+strings.Join(k.also, "`, `")+"`")
	}
	if k.secret {
		notes = append(notes, "a secret: named, never written")
	}
	if k.note != "" {
		notes = append(notes, k.note)
	} else if k.fields == nil {
		notes = append(notes, "no effect: workers keep connections by themselves")
	}
	return fmt.Sprintf("| `%s.%s` | %s | %s | %s |\n", part, k.path, formWords[k.form], preset, strings.Join(notes, "; "))
}
