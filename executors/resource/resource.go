// Package resource turns the resources of flows, systems that are described by a kind, a driver, config and options, into the connections that executors take.
//
// It owns the table of kinds and drivers, what their config and options may hold, how layers of settings are merged, which values are decoded, and what connection
// comes of it. It must not know where secrets come from, how they are decoded, or what an executor does with a connection: callers hand in values, and look who takes
// the type of connection. It is pure.
package resource

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
)

// Bounds of an inline connection.
const (
	maxBytes  = 256 << 10
	maxValues = 2000
	maxDepth  = 16
)

// Part is a layer of a resource's settings: a profile, an overlay, or what the resource itself says. Values are of the types that [encoding/json] decodes to, numbers
// are [json.Number] or float64. Nobody changes them.
type Part struct {
	Config  map[string]any `json:"config,omitempty"`
	Options map[string]any `json:"options,omitempty"`
	Decode  map[string]any `json:"decode,omitempty"`
}

// Definition is an inline connection, as the input "connection" of a task holds it. Texts may name secrets as {{env.NAME}}.
type Definition struct {
	Name     string `json:"name,omitempty"` // of the resource, for people
	Kind     string `json:"kind"`
	Driver   string `json:"driver"`
	Profile  string `json:"profile,omitempty"`
	Defaults *Part  `json:"defaults,omitempty"` // what the profile was at submission, without what the definition says itself
	Part
}

// Parse reads a definition. Errors name keys, and show no values.
func Parse(value []byte) (*Definition, error) {
	if len(value) > maxBytes {
		return nil, fmt.Errorf("is larger than %d bytes", maxBytes)
	}
	var named struct{ Kind, Driver json.RawMessage }
	if err := json.Unmarshal(value, &named); err != nil || len(named.Kind) < 3 || named.Kind[0] != '"' || len(named.Driver) < 3 || named.Driver[0] != '"' {
		return nil, errors.New("must be the name of a connection, as text, or define one: an object with kind and driver")
	}
	var d Definition
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber()
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		if wrong, is := errors.AsType[*json.UnmarshalTypeError](err); is {
			return nil, fmt.Errorf("%s can't be %s", wrong.Field, article(wrong.Value))
		}
		if _, unknown, is := strings.Cut(err.Error(), "unknown field "); is {
			return nil, fmt.Errorf("%.80s is no key of a connection", unknown)
		}
		return nil, errors.New("can't be read")
	}
	parts := []*Part{&d.Part}
	if d.Defaults != nil {
		parts = append(parts, d.Defaults)
	}
	left := maxValues
	for _, p := range parts {
		for _, m := range []map[string]any{p.Config, p.Options, p.Decode} {
			if !measured(m, maxDepth, &left) {
				return nil, fmt.Errorf("has more than %d values, or is nested deeper than %d", maxValues, maxDepth)
			}
		}
	}
	return &d, nil
}

func article(kind string) string {
	switch kind {
	case "array", "object":
		return "an " + kind
	case "bool":
		return "true or false"
	}
	return "a " + kind
}

// measured reports whether a value stays below the bounds.
func measured(v any, depth int, left *int) bool {
	if *left--; depth == 0 || *left < 0 {
		return false
	}
	switch v := v.(type) {
	case map[string]any:
		for _, member := range v {
			if !measured(member, depth-1, left) {
				return false
			}
		}
	case []any:
		for _, e := range v {
			if !measured(e, depth-1, left) {
				return false
			}
		}
	}
	return true
}

// Merge lays a layer over another one: maps key by key, other values as a whole; lists of paths to decode are put together. Neither is changed.
func Merge(under, over Part) Part {
	return Part{Config: merged(under.Config, over.Config), Options: merged(under.Options, over.Options), Decode: mergedDecode(under.Decode, over.Decode)}
}

func merged(under, over map[string]any) map[string]any {
	if len(under) == 0 {
		return over
	}
	out := maps.Clone(under)
	for name, value := range over {
		below, are := out[name].(map[string]any)
		if above, is := value.(map[string]any); is && are {
			value = merged(below, above)
		}
		out[name] = value
	}
	return out
}

func mergedDecode(under, over map[string]any) map[string]any {
	out := merged(under, over)
	for name := range out {
		if below, are := under[name].([]any); are && strings.HasSuffix(name, "_paths") {
			above, _ := over[name].([]any)
			all := slices.Clone(below)
			for _, e := range above {
				if !slices.Contains(all, e) {
					all = append(all, e)
				}
			}
			out[name] = all
		}
	}
	return out
}

// Without is what a layer says that another one over it leaves as it is. What is decoded stays.
func Without(under, over Part) Part {
	return Part{Config: without(under.Config, over.Config), Options: without(under.Options, over.Options), Decode: under.Decode}
}

func without(under, over map[string]any) map[string]any {
	out := map[string]any{}
	for name, value := range under {
		above, said := over[name]
		if !said {
			out[name] = value
			continue
		}
		lower, are := value.(map[string]any)
		if upper, is := above.(map[string]any); is && are {
			if rest := without(lower, upper); len(rest) > 0 {
				out[name] = rest
			}
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// part is config or options.
func (p *Part) part(name string) map[string]any {
	if name == "options" {
		return p.Options
	}
	return p.Config
}

// Find is the value at a path below config or options, as "config.retry.max_attempts".
func (p *Part) Find(path string) (value any, found bool) {
	first, rest, _ := strings.Cut(path, ".")
	if first != "config" && first != "options" {
		return nil, false
	}
	value = p.part(first)
	for _, name := range strings.Split(rest, ".") {
		object, is := value.(map[string]any)
		if !is {
			return nil, false
		}
		if value, found = object[name]; !found {
			return nil, false
		}
	}
	return value, true
}

// Leaves are the values of config and options that are no maps, by path, sorted. Maps that are empty are left out.
func (p *Part) Leaves() (paths []string) {
	var walk func(path string, m map[string]any)
	walk = func(path string, m map[string]any) {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if below, is := m[name].(map[string]any); is {
				walk(path+"."+name, below)
			} else {
				paths = append(paths, path+"."+name)
			}
		}
	}
	walk("config", p.Config)
	walk("options", p.Options)
	return paths
}

// DecodePaths are the values that are decoded, by path, sorted, each once. The faults say what of decode can't be read.
func (p *Part) DecodePaths() (paths []string, faults []Fault) {
	wrong := func(path, format string, args ...any) {
		faults = append(faults, Fault{Path: "decode." + path, Kind: Wrong, Reason: fmt.Sprintf(format, args...)})
	}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case nil:
		case bool:
			if v {
				paths = append(paths, path)
			}
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				walk(path+"."+name, v[name])
			}
		default:
			wrong(path, "must be true, false or a map of these")
		}
	}
	known := []string{"config", "options", "config_paths", "options_paths"}
	for _, name := range slices.Sorted(maps.Keys(p.Decode)) {
		value := p.Decode[name]
		part, isList := strings.CutSuffix(name, "_paths")
		switch {
		case !slices.Contains(known, name):
			faults = append(faults, unknown("decode."+name, name, known))
		case !isList:
			if _, is := value.(map[string]any); !is && value != nil {
				wrong(name, "must be a map")
				continue
			}
			walk(part, value)
		case value == nil:
		default:
			list, is := value.([]any)
			for _, e := range list {
				text, isText := e.(string)
				if is = is && isText && text != ""; isText {
					paths = append(paths, part+"."+text)
				}
			}
			if !is {
				wrong(name, "must be a list of dotted paths")
			}
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths), faults
}

// FaultKind says what a [Fault] is about.
type FaultKind int

// The kinds of faults.
const (
	Wrong         FaultKind = iota // a value is of another type than it must be, or says what can't be
	UnknownKey                     // there is no such key
	Missing                        // a key must be there
	UnknownDriver                  // there is no such kind or driver
	Literal                        // a secret stands there in clear
	Ignored                        // a warning: the key has no effect
	NotStandalone                  // a value that is to be decoded is neither plain nor one token
)

// Fault is what is wrong with a resource. It shows no value.
type Fault struct {
	Path   string // "config.port"; kind and driver by their names
	Kind   FaultKind
	Reason string
}

// Error names the place.
func (f Fault) Error() string { return f.Path + ": " + f.Reason }

func unknown(path, name string, known []string) Fault {
	reason := "is no key here"
	if near := dag.Nearest(name, known); near != "" {
		reason += "; did you mean " + near + "?"
	} else if len(known) > 0 {
		reason += ": there are " + strings.Join(known, ", ")
	}
	return Fault{Path: path, Kind: UnknownKey, Reason: reason}
}
