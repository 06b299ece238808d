package secrets

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/resource"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// Kinds of the faults of values that are to be decoded.
const (
	KindNoProvider    = "decode.no_provider"
	KindDecode        = "decode.failed"
	KindNotStandalone = "decode.not_standalone"
)

// inline makes a connection of the definition that a task's author has written. Who wrote it chose where it goes, so that its secrets are those that the task itself may
// name, and its addresses those that any task may go to. nil: a fault was noted.
func (r *resolver) inline(value []byte) *workerfile.Connection {
	d, err := resource.Parse(value)
	if err != nil {
		r.wrong("connection: " + err.Error())
		return nil
	}
	driver, bad := resource.Find(d.Kind, d.Driver)
	if bad != nil {
		r.wrong("connection." + bad.Error())
		return nil
	}
	rendered, ok := r.settings(d)
	if !ok {
		return nil
	}
	c, faults := driver.Connect(&rendered)
	for _, f := range faults {
		r.wrong("connection." + f.Error())
	}
	if c == nil {
		return nil
	}
	takes := r.use.connection
	if !slices.Contains(takes.Types, c.Type) {
		r.wrong(fmt.Sprintf("connection: a resource of %s, driver %s, is a connection of type %s, and this executor takes %s", d.Kind, d.Driver, c.Type, strings.Join(takes.Types, ", ")))
		return nil
	}
	return r.fit(c)
}

// wrong notes what only another task can mend.
func (r *resolver) wrong(text string) { r.fault(text, text, false) }

// settings are those of a definition, with the secrets that it names, and decoded. ok is false if a fault was noted.
func (r *resolver) settings(d *resource.Definition) (rendered resource.Part, ok bool) {
	file := r.use.store.file.File()
	raw, _ := effective(file, r.pool, d)
	before := len(r.faults)
	env := map[string]string{}
	for _, s := range raw.Secrets() {
		value, err := r.use.store.secret(r.ctx, s.Name, r.pool)
		switch _, later := errors.AsType[unreadable](err); {
		case err == nil:
			env[s.Name] = value
			r.values = append(r.values, value)
		case !s.Optional || later:
			r.refuse("connection."+s.Path, "secret", s.Name, err)
		}
	}
	if len(r.faults) > before {
		return rendered, false
	}
	rendered, escaped, err := raw.Render(env)
	r.values = append(r.values, escaped...)
	if err != nil {
		r.wrong("connection." + err.Error())
		if bad, is := errors.AsType[*template.Error](err); is {
			r.kind = string(bad.Kind)
		}
		return rendered, false
	}
	r.decode(file, &raw, &rendered)
	return rendered, len(r.faults) == before
}

// decode decodes what the settings say, in place.
func (r *resolver) decode(file *workerfile.File, raw, rendered *resource.Part) {
	paths, faults := raw.DecodePaths()
	for _, f := range faults {
		r.wrong("connection." + f.Error())
	}
	for _, path := range paths {
		at := "connection." + path
		value, found := rendered.Find(path)
		text, is := value.(string)
		before, _ := raw.Find(path)
		written, _ := before.(string)
		switch {
		case !found, !is:
			r.wrong(at + ": must be there, as a text: it is to be decoded")
			continue
		case !resource.Standalone(written):
			r.wrong(at + ": is to be decoded, and must be a plain text or one token")
			r.kind = KindNotStandalone
			continue
		case text == "":
			continue
		case !decodes(file):
			r.fault(noDecoder(at), at+": providers.age.decode is missing in the worker's file", false)
			r.kind = KindNoProvider
			continue
		}
		plain, later, err := decoded(file.Providers.Age, text)
		if err != nil {
			r.fault(at+": can't be decoded at this worker", fmt.Sprintf("%s: %v", at, err), later)
			r.kind = KindDecode
			continue
		}
		r.values = append(r.values, plain)
		rendered.Set(path, plain)
	}
}

// fit puts the fields of a connection into those that the executor has. The names that it has not are a fault, unless it may go without them.
func (r *resolver) fit(c *resource.Connection) *workerfile.Connection {
	takes := r.use.connection
	out := &workerfile.Connection{Type: c.Type, Fields: map[string]json.RawMessage{}}
	r.defaults = map[string]json.RawMessage{}
	for _, f := range c.Fields {
		text, err := json.Marshal(f.Value)
		if err != nil {
			r.wrong("connection." + f.Path + ": can't be written as JSON")
			continue
		}
		i := slices.IndexFunc(f.Names, func(name string) bool { return slices.Contains(takes.Fields, name) })
		switch {
		case i >= 0:
			if out.Fields[f.Names[i]] == nil {
				out.Fields[f.Names[i]] = text
			}
		case !f.Soft:
			r.wrong("connection." + f.Path + ": this executor does not take it from a connection")
		case r.use.fields[f.Names[0]] && r.defaults[f.Names[0]] == nil:
			r.defaults[f.Names[0]] = text
		}
	}
	return typed(out, takes)
}

// typed says the type of a connection in the field that its executor has for that.
func typed(c *workerfile.Connection, takes *executors.Connection) *workerfile.Connection {
	set := func(field string) {
		out := &workerfile.Connection{Type: c.Type, Pools: c.Pools, Fields: map[string]json.RawMessage{}}
		for name, value := range c.Fields {
			out.Fields[name] = value
		}
		out.Fields[field], _ = json.Marshal(c.Type) // text
		c = out
	}
	if field := takes.TypeField; field != "" && c.Fields[field] == nil {
		set(field)
	}
	if slices.Contains(takes.Fields, "driver") && c.Fields["driver"] == nil && c.Fields["url"] == nil {
		set("driver")
	}
	return c
}
