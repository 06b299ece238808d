package treefile

import (
	"sort"
	"strings"

	"github.com/taskgrove/taskgrove/dag/treedoc"
)

// DecodeStrict is [Decode] for files without tags, whose aliases stand for no more than so many bytes. The file and its value are there if the text can be read at
// all; err is an *[Error] with all that is wrong with it as a text: tags, keys that are there twice, what JSON has not.
func DecodeStrict(name string, data []byte, mostAliased int) (f *File, v Value, err error) {
	all, err := decodeBy(name, data, func(text []byte) ([]*yamlWriter, error) { return writeYAML(text, true, mostAliased) })
	switch {
	case err != nil:
		return nil, Value{}, err
	case len(all) > 1:
		return nil, Value{}, refusedAt(all[1].PlaceAt(0), manyDocuments)
	}
	f = all[0]
	if f.origins == nil {
		f.places = treedoc.NewPlaces(f.JSON)
	}
	n, err := f.nodes()
	if err != nil {
		return nil, Value{}, err
	}
	faults := f.unsaid
	n.unsound("", func(at int, path, reason string) {
		faults = append(faults, Fault{Place: f.PlaceAt(at), Text: Of(path, reason), Path: path})
	})
	if len(faults) > 0 {
		err = Refuse(faults[:min(len(faults), maxFaults)], max(0, len(faults)-maxFaults))
	}
	return f, Value{f: f, n: n}, err
}

// Plain reports whether the value is a text that stands in YAML without quotes.
func (v Value) Plain() bool {
	if v.n == nil || v.n.kind != '"' {
		return false
	}
	i := sort.SearchInts(v.f.plain, v.n.at)
	return i < len(v.f.plain) && v.f.plain[i] == v.n.at
}

// Position is where the value stands, and a member where its name does.
func (v Value) Position() treedoc.Position {
	at := 0
	switch {
	case v.n == nil:
		return treedoc.Position{}
	case v.name != nil:
		at = *v.name
	default:
		at = v.n.at
	}
	if v.f.origins != nil {
		return placeOf(v.f.origins, at)
	}
	if v.f.places != nil {
		return v.f.places.Of(at)
	}
	return treedoc.PositionOf(v.f.JSON, at)
}

// Decoded is the value as package json decodes it, with numbers as they are written; nil: there is none.
func (v Value) Decoded() any {
	if v.n == nil {
		return nil
	}
	return v.n.decoded()
}

// Position is where in the file the fault is; zero: the file as a whole.
func (f Fault) Position() treedoc.Position { return f.position() }

// Parameters reads the parameters of another kind of file, and the values that they are given; nil: none are given yet, and none is missed. base is the path of what they
// are a part of. The values are as package json decodes them. Parameters without a value are left out.
func Parameters(v Value, base string, given *Arguments) (values map[string]any, faults []Fault) {
	if v.f == nil {
		if given.Empty() {
			return nil, nil
		}
		v.f = &File{}
	}
	r := &renderer{file: v.f, base: base, told: map[Fault]bool{}, valueless: given == nil}
	r.readParameters(v.n.withBooleans("required"), given)
	values = map[string]any{}
	for name, n := range r.values {
		values[name] = n.decoded()
	}
	return values, r.faults
}

// withBooleans are objects in which yes and no, on and off are booleans in members of a name.
func (n *node) withBooleans(name string) *node {
	if n == nil || n.kind != '{' {
		return n
	}
	out := *n
	out.members = nil
	for _, m := range n.members {
		if m.value.kind == '{' {
			one := *m.value
			one.members = nil
			for _, inner := range m.value.members {
				if inner.name == name && inner.value.kind == '"' {
					if is, known := YesNo(inner.value.text); known {
						inner.value = boolNode(inner.value.at, is)
					}
				}
				one.members = append(one.members, inner)
			}
			m.value = &one
		}
		out.members = append(out.members, m)
	}
	return &out
}

// YesNo is what yes, no, on and off mean, in any case, where a boolean is expected.
func YesNo(word string) (is, known bool) {
	switch strings.ToLower(word) {
	case "yes", "on":
		return true, true
	case "no", "off":
		return false, true
	}
	return false, false
}
