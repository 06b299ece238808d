package treefile

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
)

// Value is a value in a file of another form than a tree's, and where it stands: for readers that tell their faults as this package does. The zero value is none.
type Value struct {
	f    *File
	n    *node
	name *int // of a member: where its name stands
}

// Member is a part of an object, with its name.
type Member struct {
	Name string
	Value
}

// Value is the whole document. *[Error]
func (f *File) Value() (Value, error) {
	n, err := f.nodes()
	if err != nil {
		return Value{}, err
	}
	return Value{f: f, n: n}, nil
}

// Kind is '{', '[', '"', '0', 't', 'f' or 'n', as JSON's kinds begin; 0: there is no value.
func (v Value) Kind() byte {
	if v.n == nil {
		return 0
	}
	return byte(v.n.kind)
}

// Given reports whether there is a value that is not null.
func (v Value) Given() bool { return v.n != nil && v.n.kind != 'n' }

// Place is where the value stands, and a member where its name does: "mocks.yaml:3:5".
func (v Value) Place() string {
	switch {
	case v.n == nil:
		return ""
	case v.name != nil:
		return v.f.PlaceAt(*v.name)
	}
	return v.f.PlaceAt(v.n.at)
}

// Fault is a fault of the value.
func (v Value) Fault(format string, args ...any) Fault {
	return Fault{Place: v.Place(), Text: fmt.Sprintf(format, args...)}
}

// Text is a string's text, and the digits of a number.
func (v Value) Text() string { return v.n.text }

// Number is the value of a number; false: it is none.
func (v Value) Number() (x float64, ok bool) {
	if v.n == nil || v.n.kind != '0' {
		return 0, false
	}
	x, err := strconv.ParseFloat(v.n.text, 64)
	return x, err == nil
}

// Members are those of an object, in their order; a name may be there twice.
func (v Value) Members() []Member {
	if v.n == nil {
		return nil
	}
	out := make([]Member, len(v.n.members))
	for i := range v.n.members {
		m := &v.n.members[i]
		out[i] = Member{m.name, Value{v.f, m.value, &m.at}}
	}
	return out
}

// Get is the first member of a name.
func (v Value) Get(name string) Value {
	if v.n == nil {
		return Value{}
	}
	for i := range v.n.members {
		if m := &v.n.members[i]; m.name == name {
			return Value{v.f, m.value, &m.at}
		}
	}
	return Value{}
}

// Items are those of a list.
func (v Value) Items() []Value {
	if v.n == nil {
		return nil
	}
	out := make([]Value, len(v.n.items))
	for i, n := range v.n.items {
		out[i] = Value{f: v.f, n: n}
	}
	return out
}

// JSON is the value as JSON; nil: there is none.
func (v Value) JSON() json.RawMessage {
	if v.n == nil {
		return nil
	}
	return v.n.json()
}

// Clone is a copy, which may be given more.
func (a *Arguments) Clone() *Arguments {
	if a == nil {
		return &Arguments{}
	}
	return &Arguments{slices.Clone(a.list)}
}

// Object takes the members of an object in another file. *[Error]
func (a *Arguments) Object(v Value) error {
	if !v.Given() {
		return nil
	}
	if v.n.kind != '{' {
		return Refuse([]Fault{v.Fault("must be an object: a value for each name")}, 0)
	}
	var faults []Fault
	seen := map[string]bool{}
	for i := range v.n.members {
		m := &v.n.members[i]
		at := v.f.PlaceAt(m.at)
		switch {
		case seen[m.name]:
			faults = append(faults, Fault{Place: at, Text: treedoc.Short(m.name) + ": must not be there twice"})
		case len(a.list) == maxArguments:
			return Refuse([]Fault{v.Fault("must be at most %d values", maxArguments)}, 0)
		}
		seen[m.name] = true
		a.list = append(a.list, argument{name: m.name, place: at, says: treedoc.Short(m.name) + ": ", value: m.value})
	}
	if len(faults) > 0 {
		return Refuse(faults[:min(len(faults), maxFaults)], max(0, len(faults)-maxFaults))
	}
	return nil
}

// Look adds to a task what is wrong with its conditions, and with what it makes for items: what a cluster looks at beside [dag.Builder].
func Look(t *dag.Task, index int, known dag.Known) { lookAt(t, index, known) }
