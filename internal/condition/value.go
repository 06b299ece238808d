package condition

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

var errNoField = errors.New("there is no such field")

// errNotJSON says that a value that was handed in is none.
var errNotJSON = errors.New("a value is no JSON")

// decode is the value of a JSON text; no text is null. A number without a fraction and an exponent is an int, or a uint if it's too large for that;
// any other is a double. If a name comes twice in an object, its last value counts.
func decode(text []byte) ref.Val {
	if len(bytes.TrimSpace(text)) == 0 {
		return types.NullValue
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil || d.More() {
		return types.WrapErr(errNotJSON)
	}
	return value(v)
}

// value is what was decoded, as a value of CEL.
func value(v any) ref.Val {
	switch v := v.(type) {
	case nil:
		return types.NullValue
	case bool:
		return types.Bool(v)
	case string:
		return types.String(v)
	case json.Number:
		return number(v.String())
	case []any:
		list := make([]ref.Val, len(v))
		for i, e := range v {
			list[i] = value(e)
		}
		return types.NewRefValList(types.DefaultTypeAdapter, list)
	case map[string]any:
		values := make(map[string]ref.Val, len(v))
		for k, e := range v {
			values[k] = value(e)
		}
		return newMembers(values)
	}
	return types.WrapErr(errNotJSON)
}

func number(s string) ref.Val {
	if !strings.ContainsAny(s, ".eE") {
		if i, err := strconv.ParseInt(s, 10, 64); err == nil {
			return types.Int(i)
		}
		if u, err := strconv.ParseUint(s, 10, 64); err == nil {
			return types.Uint(u)
		}
	}
	f, _ := strconv.ParseFloat(s, 64) // out of range: an infinity
	return types.Double(f)
}

// members is a map with texts for keys, which come in order. The order of Go's maps is a matter of chance, which verdicts must not be.
type members struct {
	keys   []ref.Val
	values map[string]ref.Val
}

func newMembers(values map[string]ref.Val) *members {
	m := &members{make([]ref.Val, 0, len(values)), values}
	for _, k := range slices.Sorted(maps.Keys(values)) {
		m.keys = append(m.keys, types.String(k))
	}
	return m
}

func (m *members) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return nil, false
	}
	v, found := m.values[string(name)]
	return v, found
}

func (m *members) Contains(key ref.Val) ref.Val {
	_, found := m.Find(key)
	return types.Bool(found)
}

func (m *members) Get(key ref.Val) ref.Val {
	if v, found := m.Find(key); found {
		return v
	}
	return types.NewErr("no such key: %v", key.Value())
}

// Equal is never used: a run compares by itself.
func (m *members) Equal(other ref.Val) ref.Val { return types.Bool(ref.Val(m) == other) }

func (m *members) Iterator() traits.Iterator {
	return types.NewRefValList(types.DefaultTypeAdapter, m.keys).Iterator()
}
func (m *members) Size() ref.Val                               { return types.Int(len(m.keys)) }
func (m *members) Type() ref.Type                              { return types.MapType }
func (m *members) Value() any                                  { return m.values }
func (m *members) ConvertToNative(t reflect.Type) (any, error) { return nil, noConversion(t) }
func (m *members) ConvertToType(t ref.Type) ref.Val {
	if t == types.MapType {
		return m
	}
	return converted(types.MapType, t)
}

func noConversion(t reflect.Type) error { return fmt.Errorf("no conversion to %s", t) }

// sorted is a map whose keys come in order, whatever their types.
type sorted struct{ traits.Mapper }

func (s sorted) Iterator() traits.Iterator {
	var keys []ref.Val
	for it := s.Mapper.Iterator(); it.HasNext() == types.True; {
		keys = append(keys, it.Next())
	}
	slices.SortFunc(keys, before)
	return types.NewRefValList(types.DefaultTypeAdapter, keys).Iterator()
}

// before orders keys: by type, then by value.
func before(a, b ref.Val) int {
	if a.Type() != b.Type() {
		return cmp.Compare(a.Type().TypeName(), b.Type().TypeName())
	}
	if c, ok := a.(traits.Comparer); ok {
		if n, ok := c.Compare(b).(types.Int); ok {
			return int(n)
		}
	}
	return 0
}

// dependency is one of a [Scope], as a value of CEL. Its result is decoded when it's asked for.
type dependency struct {
	*Dependency
	decoded, named ref.Val
}

func (d *dependency) result() ref.Val {
	if d.decoded == nil {
		d.decoded = decode(d.Result)
	}
	return d.decoded
}

func (d *dependency) outputs() ref.Val {
	if d.named == nil {
		d.named = decode(d.Outputs)
	}
	return d.named
}

func (d *dependency) ConvertToNative(t reflect.Type) (any, error) { return nil, noConversion(t) }
func (d *dependency) ConvertToType(t ref.Type) ref.Val            { return converted(dependencyType, t) }
func (d *dependency) Equal(other ref.Val) ref.Val                 { return types.Bool(ref.Val(d) == other) }
func (d *dependency) Type() ref.Type                              { return dependencyType }
func (d *dependency) Value() any                                  { return d }

// object is the tree or the task, as a value of CEL.
type object struct {
	kind  *types.Type
	value any // *Tree or *Task
}

func (o object) ConvertToNative(t reflect.Type) (any, error) { return nil, noConversion(t) }
func (o object) ConvertToType(t ref.Type) ref.Val            { return converted(o.kind, t) }
func (o object) Equal(other ref.Val) ref.Val                 { return types.Bool(ref.Val(o) == other) }
func (o object) Type() ref.Type                              { return o.kind }
func (o object) Value() any                                  { return o.value }

// converted is what type() gives for an object; it can be converted to nothing else.
func converted(kind *types.Type, to ref.Type) ref.Val {
	if to == types.TypeType {
		return kind
	}
	return types.NewErr("no conversion from %s to %s", kind.TypeName(), to.TypeName())
}

// dependencies are all of a scope, by what an expression may call them. To count or to walk over them takes each once, by its ref.
type dependencies struct {
	*members
	named map[string]*dependency // nil: several have the name
}

func newDependencies(of []Dependency) *dependencies {
	all := make([]dependency, len(of))
	d := &dependencies{named: make(map[string]*dependency, 2*len(of))}
	refs := make(map[string]ref.Val, len(of))
	for i := range of {
		all[i].Dependency = &of[i]
		refs[of[i].Key()] = &all[i]
	}
	for name, i := range addresses(of) {
		if i >= 0 {
			d.named[name] = &all[i]
		} else {
			d.named[name] = nil
		}
	}
	d.members = newMembers(refs)
	return d
}

func (d *dependencies) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return types.NewErr("dependencies have names, not keys of type %s", key.Type().TypeName()), false
	}
	one, named := d.named[string(name)]
	switch {
	case one != nil:
		return one, true
	case named:
		return types.NewErr("several dependencies have the name %q", string(name)), false
	}
	return nil, false
}

func (d *dependencies) Get(key ref.Val) ref.Val {
	v, found := d.Find(key)
	if !found && v == nil {
		return types.NewErr("no such key: %v", key.Value())
	}
	return v
}

func (d *dependencies) Contains(key ref.Val) ref.Val {
	v, found := d.Find(key)
	if v != nil && types.IsError(v) {
		return v
	}
	return types.Bool(found)
}

// weight is what it costs to have or to look at a value once: 1, and 1 for each ten bytes of a text. So what a function does with its arguments is paid
// with them, as long as it looks at each a fixed number of times.
func weight(v ref.Val) uint64 {
	switch v := v.(type) {
	case types.String:
		return 1 + uint64(len(v))/10
	case types.Bytes:
		return 1 + uint64(len(v))/10
	}
	return 1
}

// saturated adds without overflow.
func saturated(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}
