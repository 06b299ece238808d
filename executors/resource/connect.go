package resource

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/template"
)

// Secret is one that a layer names.
type Secret struct {
	Name, Path string // Path: where it is first
	Optional   bool   // each place has a default
}

// Secrets are those that the texts of config and options name, sorted by name.
func (p *Part) Secrets() (all []Secret) {
	at := map[string]int{}
	p.texts(func(path, text string) {
		parsed, err := dag.ConnectionTemplates().Parse(text)
		if err != nil {
			return
		}
		for _, piece := range parsed.Pieces() {
			if len(piece.Path) != 2 {
				continue
			}
			i, known := at[piece.Path[1]]
			if !known {
				i = len(all)
				at[piece.Path[1]] = i
				all = append(all, Secret{Name: piece.Path[1], Path: path, Optional: true})
			}
			all[i].Optional = all[i].Optional && piece.HasDefault
		}
	})
	slices.SortFunc(all, func(a, b Secret) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// texts yields the texts in config and options, in the order of their paths.
func (p *Part) texts(yield func(path, text string)) {
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case string:
			yield(path, v)
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				walk(path+"."+name, v[name])
			}
		case []any:
			for i, e := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), e)
			}
		}
	}
	walk("config", p.Config)
	walk("options", p.Options)
}

// Render puts values in the places of {{env.NAME}}. What stands where a URL has its user and password is escaped as URLs want it. It gives the texts of values as they
// were escaped. The error is that of the first text that can't be rendered, and shows no value.
func (p *Part) Render(env map[string]string) (out Part, escaped []string, err error) {
	rules := dag.ConnectionTemplates()
	var walk func(path string, v any) any
	walk = func(path string, v any) any {
		switch v := v.(type) {
		case string:
			parsed, bad := rules.Parse(v)
			if bad == nil && parsed.Plain() {
				return v
			}
			scope := map[string]any{}
			for name, value := range env {
				scope[name] = value
			}
			if bad == nil {
				for _, name := range inUserinfo(parsed.Pieces()) {
					if value, has := env[name]; has {
						if safe := escapeUserinfo(value); safe != value {
							scope[name], escaped = safe, append(escaped, safe)
						}
					}
				}
			}
			made, bad := rules.Render(v, template.Scope{"env": scope}, 0)
			if bad != nil && err == nil {
				err = fmt.Errorf("%s: %w", path, bad)
			}
			return made
		case map[string]any:
			made := make(map[string]any, len(v))
			for _, name := range slices.Sorted(maps.Keys(v)) {
				made[name] = walk(path+"."+name, v[name])
			}
			return made
		case []any:
			made := make([]any, len(v))
			for i, e := range v {
				made[i] = walk(fmt.Sprintf("%s[%d]", path, i), e)
			}
			return made
		}
		return v
	}
	out.Decode = p.Decode
	out.Config, _ = walk("config", p.Config).(map[string]any)
	out.Options, _ = walk("options", p.Options).(map[string]any)
	return out, escaped, err
}

// inUserinfo are the names that stand between a URL's scheme and its @.
func inUserinfo(pieces []template.Piece) (names []string) {
	var before []string
	begun := false
	for _, piece := range pieces {
		if piece.Path != nil {
			if begun && len(piece.Path) == 2 {
				before = append(before, piece.Path[1])
			}
			continue
		}
		text := piece.Plain
		if !begun {
			_, rest, found := strings.Cut(text, "://")
			if !found {
				return nil
			}
			begun, text = true, rest
		}
		if end := strings.IndexAny(text, "@/?#"); end >= 0 {
			if text[end] == '@' {
				return before
			}
			return nil
		}
	}
	return nil
}

// escapeUserinfo escapes what would end a URL's user or password, and leaves escapes that are there.
func escapeUserinfo(value string) string {
	var b strings.Builder
	for i := range len(value) {
		c := value[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~!$&'()*+,;=:", c) >= 0:
			b.WriteByte(c)
		case c == '%' && i+2 < len(value) && isHex(value[i+1]) && isHex(value[i+2]):
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// Set puts a value at a path below config or options, which leads to one. Maps on the way are copied.
func (p *Part) Set(path string, value any) {
	first, rest, _ := strings.Cut(path, ".")
	put := func(m map[string]any) map[string]any {
		out := maps.Clone(m)
		at := out
		names := strings.Split(rest, ".")
		for _, name := range names[:len(names)-1] {
			below, _ := at[name].(map[string]any)
			below = maps.Clone(below)
			at[name] = below
			at = below
		}
		at[names[len(names)-1]] = value
		return out
	}
	if first == "options" {
		p.Options = put(p.Options)
	} else {
		p.Config = put(p.Config)
	}
}

// Connection is what comes of a resource.
type Connection struct {
	Type   string
	Fields []Field
}

// Field is a setting of a connection.
type Field struct {
	Path  string // where it comes from: "config.port"
	Names []string
	Value any
	// Soft: an executor that has no such field goes without it, or takes it as an input that the task leaves open.
	Soft bool
}

// Connect makes the connection of a resource whose texts are rendered and decoded. The faults show no values.
func (d *Driver) Connect(p *Part) (*Connection, []Fault) {
	var faults []Fault
	for _, f := range d.Check(&Part{Config: p.Config, Options: p.Options}, true) {
		if f.Kind != Ignored && f.Kind != Literal {
			faults = append(faults, f)
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	c := &Connection{Type: d.Type}
	for _, part := range []string{"config", "options"} {
		for i := range d.keys(part) {
			k := &d.keys(part)[i]
			v := d.value(p, part, k)
			if v == nil || k.fields == nil {
				continue
			}
			read, _ := k.form.read(v)
			c.Fields = append(c.Fields, Field{Path: part + "." + k.path, Names: k.fields, Value: read, Soft: part == "options"})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.fixed)) {
		c.Fields = append(c.Fields, Field{Path: "driver", Names: []string{name}, Value: d.fixed[name], Soft: true})
	}
	if bad := d.finish(c); bad != nil {
		return nil, []Fault{*bad}
	}
	return c, nil
}

// finish brings fields into the form that executors have for them.
func (d *Driver) finish(c *Connection) *Fault {
	for i := range c.Fields {
		f := &c.Fields[i]
		switch {
		case f.Path == "config.url":
			typ, text, reason := databaseURL(f.Value.(string))
			if d.Type != "" && typ != d.Type && reason == "" {
				reason = "names another kind of database than the driver"
			}
			if reason != "" {
				return &Fault{Path: f.Path, Kind: Wrong, Reason: reason}
			}
			c.Type, f.Value = typ, text
		case f.Path == "config.base_url":
			f.Value = strings.TrimRight(f.Value.(string), "/")
		case f.Names[0] == "retry":
			f.Value = map[string]any{"max_attempts": f.Value}
		case f.Path == "config.bearer_token":
			f.Value = map[string]any{"type": "bearer", "token": f.Value}
		}
	}
	return nil
}

// databaseURL is the type of a connection and its URL, without what only SQLAlchemy has a meaning for. The reason shows no value.
func databaseURL(text string) (typ, out, reason string) {
	scheme, rest, found := strings.Cut(text, ":")
	if !found {
		return "", "", "is no URL"
	}
	scheme, _, _ = strings.Cut(scheme, "+")
	if typ = schemes[strings.ToLower(scheme)]; typ == "" {
		return "", "", "must begin with postgresql://, mysql://, mariadb://, sqlite://, mssql:// or oracle://"
	}
	if before, query, has := strings.Cut(rest, "?"); has && typ == "mysql" { // it is UTF-8 always
		kept := slices.DeleteFunc(strings.Split(query, "&"), func(one string) bool { return strings.HasPrefix(one, "charset=") })
		if rest = before; len(kept) > 0 {
			rest += "?" + strings.Join(kept, "&")
		}
	}
	switch scheme = typ; {
	case strings.HasPrefix(text, "mariadb"):
		scheme = "mariadb"
	case typ == "sqlite" && !strings.HasPrefix(rest, "///"):
		return "", "", "must be sqlite:///path"
	}
	return typ, scheme + ":" + rest, ""
}

// Untaken are the settings in config that no field of an executor takes, by path, sorted.
func (d *Driver) Untaken(p *Part, fields []string) (paths []string) {
	for i := range d.config {
		k := &d.config[i]
		if k.fields != nil && d.value(p, "config", k) != nil && !slices.ContainsFunc(k.fields, func(name string) bool { return slices.Contains(fields, name) }) {
			paths = append(paths, "config."+k.path)
		}
	}
	slices.Sort(paths)
	return paths
}
