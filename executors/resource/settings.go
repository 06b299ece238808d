package resource

import (
	"slices"
	"strings"
)

// Setting is what a driver takes, for people. Texts are Markdown.
type Setting struct {
	Path    string   `json:"path"`           // dotted: config.retry.max_attempts
	Also    []string `json:"also,omitempty"` // other names, dotted
	Is      string   `json:"is"`             // a text, an integer, …
	Without string   `json:"without"`        // what counts without it, or that it is required; empty: nothing
	Secret  bool     `json:"secret"`         // it must be named, and not written
	Note    string   `json:"note,omitempty"`
}

// Drivers are all that there are, by their kinds.
func Drivers() (all []*Driver) {
	for i := range drivers {
		all = append(all, &drivers[i])
	}
	return all
}

// Settings are what the driver takes: config first.
func (d *Driver) Settings() []Setting {
	out := []Setting{}
	for _, part := range []string{"config", "options"} {
		for _, k := range d.keys(part) {
			s := Setting{Path: part + "." + k.path, Also: k.also, Is: formWords[k.form], Without: k.preset, Secret: k.secret, Note: k.note}
			for _, one := range d.needs {
				switch {
				case part != "config" || !slices.Contains(one, k.path):
				case len(one) == 1:
					s.Without = "required"
				default:
					s.Without = "required: one of `" + strings.Join(one, "`, `") + "`"
				}
			}
			if s.Note == "" && k.fields == nil {
				s.Note = "no effect: workers keep connections by themselves"
			}
			out = append(out, s)
		}
	}
	return out
}
