package flows

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors/resource"
)

// Origins of settings of a resource, the strongest first.
const (
	FromResource = "resource"
	FromOverlay  = "overlay" // of a pool, in the worker's file
	FromProfile  = "profile"
	FromDriver   = "default"
)

// Explanation says what the settings of resources come to, without secrets.
type Explanation struct {
	Resources map[string]Explained `json:"resources"`
}

// Explained is one resource.
type Explained struct {
	Kind    string            `json:"kind"`
	Driver  string            `json:"driver"`
	Profile string            `json:"profile,omitempty"`
	Config  map[string]any    `json:"config"`
	Options map[string]any    `json:"options"`
	Decode  map[string]any    `json:"decode"`
	Origin  map[string]string `json:"origin"` // of each value, by its path: "config.host"
	Decoded []string          `json:"decoded,omitempty"`
	Secret  []string          `json:"secret,omitempty"` // paths of values that a secret is part of
}

// Stars stand for what must not be shown.
const stars = "***"

// Explain says what the settings of a flow's resources come to, with the values of the environment that are known, and what the profiles of a pool's workers say over those of the options. nil: the
// report has errors.
func Explain(name string, text []byte, opts Options, overlays map[string]resource.Part) (*Explanation, *Report) {
	r, d := read(name, text, opts)
	if report := r.done(); !report.OK {
		return nil, report
	}
	c := &compiler{reader: r, doc: d}
	env := c.scope(nil)["env"].(map[string]any)
	out := &Explanation{Resources: map[string]Explained{}}
	for i := range d.Resources {
		out.Resources[d.Resources[i].Name] = d.explain(&d.Resources[i], r.opts.Profiles, overlays, env)
	}
	return out, r.done()
}

func (d *Document) explain(r *Resource, profiles, overlays map[string]resource.Part, env map[string]any) Explained {
	var defaults resource.Part
	if driver, bad := resource.Find(r.Kind, r.Driver); bad == nil {
		defaults = driver.Defaults()
	}
	layers := []struct {
		from string
		part resource.Part
	}{{FromDriver, defaults}, {FromProfile, profiles[r.Profile]}, {FromOverlay, overlays[r.Profile]}, {FromResource, r.part()}}
	var whole resource.Part
	for _, l := range layers {
		whole = resource.Merge(whole, l.part)
	}
	decoded, _ := whole.DecodePaths()
	out := Explained{Kind: r.Kind, Driver: r.Driver, Profile: r.Profile, Origin: map[string]string{}, Decoded: decoded, Decode: orEmpty(whole.Decode)}
	shown := whole
	for _, path := range whole.Leaves() {
		value, found := whole.Find(path)
		if !found { // its name has a dot, which paths can't tell
			continue
		}
		for _, l := range slices.Backward(layers) {
			if _, has := l.part.Find(path); has {
				out.Origin[path] = l.from
				break
			}
		}
		clean, secret := d.shown(value, env, out.Origin[path] == FromOverlay)
		if slices.Contains(decoded, path) {
			clean, secret = stars, true
		}
		if secret {
			out.Secret = append(out.Secret, path)
		}
		shown.Set(path, clean)
	}
	out.Config, out.Options = orEmpty(shown.Config), orEmpty(shown.Options)
	return out
}

func orEmpty(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

// shown is a value with what is known of the environment, and stars for secrets. workers: all names are secrets of a worker.
func (d *Document) shown(v any, env map[string]any, workers bool) (out any, secret bool) {
	switch v := v.(type) {
	case []any:
		made := make([]any, len(v))
		for i, e := range v {
			one, is := d.shown(e, env, workers)
			made[i], secret = one, secret || is
		}
		return made, secret
	case string:
		parsed, err := resourceRules.Parse(v)
		if err != nil || parsed.Plain() {
			return v, false
		}
		var b strings.Builder
		for _, piece := range parsed.Pieces() {
			switch {
			case piece.Path == nil:
				b.WriteString(piece.Plain)
			case workers || d.Secret(piece.Path[1]):
				b.WriteString(stars)
				secret = true
			default:
				value, _ := env[piece.Path[1]].(string)
				switch {
				case value != "":
					b.WriteString(value)
				case piece.HasDefault:
					b.WriteString(piece.Default)
				default:
					b.WriteString(piece.Token)
				}
			}
		}
		return b.String(), secret
	}
	return v, false
}

// Checkup is what a flow needs of the environment, and of workers.
type Checkup struct {
	OK         bool     `json:"ok"`
	FlowYAML   string   `json:"flow_yaml"`
	MissingEnv []string `json:"missing_env"` // names without a value and without a default
	Secrets    []Needed `json:"secrets"`     // that workers must have
	Errors     []Fault  `json:"errors"`
	Warnings   []Fault  `json:"warnings"`

	doc  *Document // nil: it can't be read
	read *reader
}

// Needed is a secret that a flow needs.
type Needed struct {
	Name     string `json:"name"`
	Loc      string `json:"loc"`                // where it is named first
	Optional bool   `json:"optional,omitempty"` // each place has a default
	Missing  string `json:"missing,omitempty"`  // why the workers of the pool don't have it; empty: they have it, or nobody has looked
}

// Doctor says what a flow needs of workers that lay these over the profiles of the options. Its faults are those of [Read], but for names without a value, which are in the list of these.
func Doctor(name string, text []byte, opts Options, overlays map[string]resource.Part) *Checkup {
	opts.StrictEnv = false
	opts.Profiles = maps.Clone(opts.Profiles)
	opts.workers = map[string]bool{}
	for name, overlay := range overlays {
		if profile, known := opts.Profiles[name]; known {
			opts.Profiles[name] = resource.Merge(profile, overlay)
			for _, s := range overlay.Secrets() {
				opts.workers[s.Name] = true
			}
		}
	}
	r, d := read(name, text, opts)
	if d != nil {
		(&checker{reader: r, doc: d}).reports()
	}
	report := r.done()
	out := &Checkup{doc: d, read: r, FlowYAML: report.FlowYAML, MissingEnv: []string{}, Secrets: []Needed{}, Errors: report.Errors, Warnings: slices.DeleteFunc(report.Warnings, func(f Fault) bool { return f.Code == CodeUnsetEnv })}
	if d != nil {
		d.needs(r, opts, out)
	}
	out.OK = report.OK && len(out.MissingEnv) == 0
	return out
}

// needs fills the lists of names.
func (d *Document) needs(r *reader, opts Options, out *Checkup) {
	missing := map[string]bool{}
	secrets := map[string]*Needed{}
	for _, u := range r.uses {
		if len(u.path) != 2 || u.path[0] != "env" {
			continue
		}
		name := u.path[1]
		switch value, given := opts.Env[name]; {
		case d.Secret(name):
			if secrets[name] == nil {
				secrets[name] = &Needed{Name: name, Loc: u.loc, Optional: true}
			}
			secrets[name].Optional = secrets[name].Optional && u.hasDefault
		case u.hasDefault, slices.Contains(systemEnv, name), given && value != "", !given && d.Env[name] != "":
		default:
			missing[name] = true
		}
	}
	out.MissingEnv = append(out.MissingEnv, slices.Sorted(maps.Keys(missing))...)
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		out.Secrets = append(out.Secrets, *secrets[name])
	}
}

// fillFromFile is the executor that fills regions of Excel reports from files.
const fillFromFile = "excel_fill_from_file"

// reports warns of regions of Excel reports whose rows nobody bounds.
func (c *checker) reports() {
	for _, j := range c.all() {
		for _, s := range j.Steps {
			run := s.innermost()
			if run.Type != fillFromFile {
				continue
			}
			inputs, loc := run.value.Get("inputs"), run.loc+".inputs"
			for i, target := range inputs.Get("targets").Items() {
				at := fmt.Sprintf("%s.targets[%d]", loc, i)
				switch guard := target.Get("fail_on_threshold"); {
				case textOf(target.Get("mode")) != "report_region":
				case guard.Kind() == 'f' || strings.EqualFold(textOf(guard), "false"):
					c.at(CodeReportGuard, guard, at+".fail_on_threshold", "lets the region have any number of rows, over what is below it")
				case !target.Get("rows_threshold").Given() && !inputs.Get("rows_threshold").Given():
					c.at(CodeReportGuard, target, at+".rows_threshold", "is not given: a region has 50000 rows at most; say how many the report has room for")
				}
			}
		}
	}
}
