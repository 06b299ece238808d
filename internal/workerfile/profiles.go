package workerfile

import (
	"bytes"
	"encoding/json"

	"github.com/taskgrove/taskgrove/executors/resource"
)

// Profile is a layer of settings of a resource. It is an object each, or nothing. No secret stands in it: a task that takes the profile may say itself where its connection
// goes, so that it would get at it.
type Profile struct {
	Config  json.RawMessage `file:"config"`
	Options json.RawMessage `file:"options"`
	Decode  json.RawMessage `file:"decode"`
}

// Part is the profile as a layer.
func (p *Profile) Part() (part resource.Part) {
	for _, one := range []struct {
		text json.RawMessage
		to   *map[string]any
	}{{p.Config, &part.Config}, {p.Options, &part.Options}, {p.Decode, &part.Decode}} {
		if len(one.text) > 0 {
			d := json.NewDecoder(bytes.NewReader(one.text))
			d.UseNumber()
			_ = d.Decode(one.to) // Check has seen to it
		}
	}
	return part
}

// Check looks at what every profile has.
func (p *Profile) Check(at Place) {
	objects := true
	for name, text := range map[string]json.RawMessage{"config": p.Config, "options": p.Options, "decode": p.Decode} {
		if len(text) > 0 && text[0] != '{' {
			at.Fault(name, "want an object")
			objects = false
		}
	}
	if !objects {
		return
	}
	part := p.Part()
	_, faults := part.DecodePaths()
	for _, f := range append(faults, resource.Literals(&part, nil)...) {
		at.Fault(f.Path, "%s", f.Reason)
	}
}
