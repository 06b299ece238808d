package flows

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/executors/resource"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// Connector says what connections an executor takes.
type Connector struct {
	Types  []string
	Fields []string // inputs that they set, so that a step which names a resource can't
}

// part is a resource's own layer.
func (r *Resource) part() resource.Part {
	return resource.Part{Config: r.Config, Options: r.Options, Decode: r.Decode}
}

// layers are what the profile of a resource leaves open, without what the resource says itself, and both together.
func (c *checker) layers(r *Resource) (defaults, whole resource.Part) {
	defaults = resource.Without(c.opts.Profiles[r.Profile], r.part())
	return defaults, resource.Merge(defaults, r.part())
}

// ResourceCodes are the codes of what is wrong with a resource, by its kind.
var resourceCodes = map[resource.FaultKind]Code{
	resource.Wrong: CodeSchema, resource.UnknownKey: CodeUnknownKey, resource.Missing: CodeMissing, resource.UnknownDriver: CodeUnknownDriver, resource.Literal: CodeSecretLiteral,
	resource.Ignored: CodeIgnored, resource.NotStandalone: CodeNotStandalone,
}

// resources looks at the resources, and notes which names of the environment feed what is decoded.
func (c *checker) resources() {
	c.doc.decoded = map[string]bool{}
	maps.Copy(c.doc.decoded, c.opts.workers)
	c.registered()
	for i := range c.doc.Resources {
		r := &c.doc.Resources[i]
		known := true
		if r.Profile != "" && len(template.Tokens(r.Profile)) == 0 {
			_, known = c.opts.Profiles[r.Profile]
			if !known {
				all := slices.Sorted(maps.Keys(c.opts.Profiles))
				c.at(CodeUnknownProfile, r.value.Get("profile"), r.loc+".profile", "there is no profile %s%s", shorten(r.Profile), nearest(r.Profile, all, c.whence()))
			}
		}
		c.mayArchive(r)
		defaults, whole := c.layers(r)
		var faults []resource.Fault
		if driver, bad := resource.Find(r.Kind, r.Driver); bad == nil {
			faults = driver.Check(&whole, known && r.Profile == "")
		} else {
			if given := r.value.Get(bad.Path); given.Kind() == '"' && len(template.Tokens(given.Text())) == 0 {
				faults = []resource.Fault{*bad}
			}
			_, more := whole.DecodePaths()
			faults = append(append(faults, more...), resource.Literals(&whole, nil)...)
		}
		for _, f := range faults {
			at, own := r.at(f.Path)
			switch {
			case own:
				c.at(resourceCodes[f.Kind], at, r.loc+"."+f.Path, "%s", f.Reason)
			case f.Kind == resource.Missing:
				c.at(CodeMissing, r.value, r.loc+"."+f.Path, "%s", f.Reason)
			case f.Kind != resource.Literal && f.Kind != resource.Ignored: // the former is told of the profile itself
				c.at(resourceCodes[f.Kind], r.value.Get("profile"), r.loc+".profile", "%s, by the profile %s: %s", f.Path, shorten(r.Profile), f.Reason)
			}
		}
		decoded, _ := whole.DecodePaths()
		for _, path := range decoded {
			if text, _ := whole.Find(path); text != nil {
				for _, name := range namesIn(text) {
					c.doc.decoded[name] = true
				}
			}
		}
		c.profileUses(r, &defaults)
	}
}

// registered takes the registered profiles that resources name.
func (c *checker) registered() {
	if c.opts.Registered == nil {
		return
	}
	var names []string
	for i := range c.doc.Resources {
		name := c.doc.Resources[i].Profile
		if _, known := c.opts.Profiles[name]; !known && ValidID(name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return
	}
	all := maps.Clone(c.opts.Profiles)
	if all == nil {
		all = map[string]resource.Part{}
	}
	maps.Copy(all, c.opts.Registered(names))
	c.opts.Profiles = all
}

// whence says where profiles come from, if one is not there.
func (c *checker) whence() string {
	if c.opts.Registered == nil {
		return "; profiles come from --profiles-file, and those that are registered are known with a cluster only"
	}
	return "; profiles come from --profiles-file, or are registered"
}

func nearest(word string, all []string, otherwise string) string {
	if found := dag.Closest(word, all); found != "" {
		return fmt.Sprintf("; did you mean %s?", found)
	}
	return otherwise
}

// namesIn are the names of the environment in a text.
func namesIn(v any) (names []string) {
	text, _ := v.(string)
	parsed, err := resourceRules.Parse(text)
	if err != nil {
		return nil
	}
	for _, path := range parsed.Refs() {
		if len(path) > 1 && path[0] == "env" {
			names = append(names, path[1])
		}
	}
	return names
}

// at is where in the flow a part of the resource stands. own: it does.
func (r *Resource) at(path string) (at treefile.Value, own bool) {
	at = r.value
	for _, name := range strings.Split(path, ".") {
		name, _, _ = strings.Cut(name, "[")
		below := at.Get(name)
		if below.Kind() == 0 {
			return at, false
		}
		at = below
	}
	return at, true
}

// profileUses looks at the templates of what a profile gives a resource.
func (c *checker) profileUses(r *Resource, defaults *resource.Part) {
	at, loc := r.value.Get("profile"), r.loc+".profile"
	for _, path := range defaults.Leaves() {
		v, _ := defaults.Find(path)
		eachText(v, func(text string) {
			for _, f := range resourceRules.Check(text, nil) {
				code := Code(f.Kind)
				if _, known := codes[code]; !known {
					code = CodeTemplateLarge
				}
				c.at(code, at, loc, "%s, by the profile %s: %s: %s", path, shorten(r.Profile), shorten(f.Token), f.Reason)
			}
			parsed, err := resourceRules.Parse(text)
			if err != nil {
				return
			}
			for _, piece := range parsed.Pieces() {
				if len(piece.Path) == 2 {
					c.profiled = append(c.profiled, use{phase: atResource, path: piece.Path, token: piece.Token, hasDefault: piece.HasDefault, value: at, loc: loc})
				}
			}
		})
	}
}

func eachText(v any, yield func(text string)) {
	switch v := v.(type) {
	case string:
		yield(v)
	case []any:
		for _, e := range v {
			eachText(e, yield)
		}
	}
}

// The kind of resources that say how archives are made, and the one that counts for steps which name none.
const (
	archiveKind    = "archive"
	archiveDefault = "archive_default"
)

// defaultOf is the resource that counts for a step which names none, and says nothing itself that a resource does; nil: there is none.
func (d *Document) defaultOf(takes Connector, inputs treefile.Value) *Resource {
	r := d.resource(archiveDefault)
	if r == nil || r.Kind != archiveKind || !slices.Contains(takes.Types, archiveKind) {
		return nil
	}
	for _, m := range inputs.Members() {
		if m.Given() && (m.Name == connectionKey || slices.Contains(takes.Fields, m.Name)) {
			return nil
		}
	}
	return r
}

// mayArchive tells of a driver that the mode of the flow does not allow.
func (c *checker) mayArchive(r *Resource) {
	if c.opts.Archives == nil || r.Kind != archiveKind {
		return
	}
	same := map[string]string{"aes": "pyzipper"}
	if r.Driver == "os" {
		c.at(CodeArchiveDriver, r.value.Get("driver"), r.loc+".driver", "the mode enterprise refuses os, whatever zip_drivers says: write pyzipper or zipfile")
		return
	}
	allowed := slices.ContainsFunc(c.opts.Archives, func(one string) bool { return cmp.Or(same[one], one) == cmp.Or(same[r.Driver], r.Driver) })
	if _, bad := resource.Find(r.Kind, r.Driver); bad == nil && !allowed {
		c.at(CodeArchiveDriver, r.value.Get("driver"), r.loc+".driver", "the mode enterprise allows %s", cmp.Or(strings.Join(c.opts.Archives, ", "), "none"))
	}
}

// reachable looks whether the executor of a step can reach the resource that it names.
func (c *checker) reachable(s *Step, executor string, inputs treefile.Value, loc string) {
	named := inputs.Get(resourceKey)
	takes, connects := c.opts.Connections[executor]
	if slices.Contains(notFlows, executor) || !connects {
		return
	}
	if !named.Given() {
		if c.opts.Archives != nil && slices.Contains(takes.Types, archiveKind) && c.doc.defaultOf(takes, inputs) == nil {
			c.at(CodeArchiveDriver, inputs, loc+"."+resourceKey, "in the mode enterprise %s must name a resource of the kind archive, or there must be one that is called %s", s.Type, archiveDefault)
		}
		return
	}
	at := loc + "."
	if named.Kind() != '"' || len(template.Tokens(named.Text())) > 0 {
		c.at(CodeSchema, named, at+resourceKey, "must be the name of a resource, as text without tokens")
		return
	}
	for _, m := range inputs.Members() {
		if m.Given() && m.Name != resourceKey && (m.Name == connectionKey || slices.ContainsFunc(takes.Fields, func(f string) bool { return strings.EqualFold(f, m.Name) })) {
			c.at(CodeWrongResource, m.Value, join(loc, m.Name), "the resource says where to go and as whom: leave it out")
		}
	}
	r := c.doc.resource(named.Text())
	if r == nil {
		return // it was told
	}
	driver, bad := resource.Find(r.Kind, r.Driver)
	if bad != nil {
		return // likewise
	}
	if !slices.ContainsFunc(driver.Types(), func(t string) bool { return slices.Contains(takes.Types, t) }) {
		if why := driver.Absent(); why != "" {
			c.at(CodeNotYet, named, at+resourceKey, "%s can't reach %s with the driver %s: %s", s.Type, r.Kind, r.Driver, why)
			return
		}
		c.at(CodeWrongResource, named, at+resourceKey, "%s can't reach %s with the driver %s: it takes connections to %s", s.Type, r.Kind, r.Driver, strings.Join(takes.Types, ", "))
		return
	}
	if _, whole := c.layers(r); takes.Fields != nil {
		if none := driver.Untaken(&whole, takes.Fields); len(none) > 0 {
			c.at(CodeWrongResource, named, at+resourceKey, "%s has no use for %s of the resource", s.Type, strings.Join(none, ", "))
		}
	}
}

// connectionKey is the input that holds a connection.
const connectionKey = "connection"

// resource is one by its name; nil: there is none.
func (d *Document) resource(name string) *Resource {
	if i, there := d.byName[name]; there {
		return &d.Resources[i]
	}
	return nil
}

// connect puts the resource that a step names into the inputs of its task, as the definition of a connection: what is known of the run stands there as a value, secrets by name.
func (c *compiler) connect(s *Step, executor string, t *taskDoc) {
	at := s.value.Get("inputs").Get(resourceKey)
	if slices.Contains(notFlows, executor) {
		return
	}
	if !at.Given() {
		if r := c.doc.defaultOf(c.opts.Connections[executor], s.value.Get("inputs")); r != nil {
			c.define(r, t)
		}
		return
	}
	loc := s.loc + ".inputs." + resourceKey
	if _, connects := c.opts.Connections[executor]; !connects {
		if !slices.Contains(c.opts.Inputs[executor].Names, resourceKey) {
			c.at(CodeNotYet, at, loc, "%s can't reach a resource: write its inputs out", s.Type)
		}
		return
	}
	delete(t.Inputs, resourceKey)
	c.define(c.doc.resource(at.Text()), t)
}

// define puts a resource into the inputs of a task.
func (c *compiler) define(r *Resource, t *taskDoc) { t.Inputs[connectionKey] = c.definition(r) }

// definition is what stands in the inputs of tasks for a resource.
func (c *compiler) definition(r *Resource) *resource.Definition {
	made := &resource.Definition{Name: r.Name, Kind: r.Kind, Driver: r.Driver, Profile: r.Profile}
	defaults := resource.Without(c.opts.Profiles[r.Profile], r.part())
	made.Part = c.known(r.part(), r.value, r.loc)
	if r.Profile != "" {
		defaults = c.known(defaults, r.value.Get("profile"), r.loc+".profile")
		made.Defaults = &defaults
	}
	return made
}

// known is a layer with the values of the environment that are known.
func (c *compiler) known(p resource.Part, at treefile.Value, loc string) resource.Part {
	scope := c.scope(nil)["env"].(map[string]any)
	var walk func(v any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case string:
			return c.withEnv(v, scope, at, loc)
		case map[string]any:
			out := make(map[string]any, len(v))
			for name, member := range v {
				out[name] = walk(member)
			}
			return out
		case []any:
			out := make([]any, len(v))
			for i, e := range v {
				out[i] = walk(e)
			}
			return out
		}
		return v
	}
	out := resource.Part{Decode: p.Decode}
	if len(p.Config) > 0 {
		out.Config, _ = walk(p.Config).(map[string]any)
	}
	if len(p.Options) > 0 {
		out.Options, _ = walk(p.Options).(map[string]any)
	}
	return out
}

// withEnv renders the tokens of a text that name no secret.
func (c *compiler) withEnv(text string, env map[string]any, at treefile.Value, loc string) string {
	parsed, err := resourceRules.Parse(text)
	if err != nil || parsed.Plain() {
		return text
	}
	var b strings.Builder
	for _, piece := range parsed.Pieces() {
		switch {
		case piece.Path == nil:
			b.WriteString(piece.Plain)
		case c.doc.Secret(piece.Path[1]):
			b.WriteString(piece.Token)
		default:
			value, err := (&template.Rules{}).Fill(piece.Token, template.Scope{"env": env}, maxRendered)
			if text, is := c.told(value, err, piece.Token, at, loc).(string); is {
				b.WriteString(text)
			}
		}
	}
	return b.String()
}
