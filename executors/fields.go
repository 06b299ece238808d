package executors

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// field is a struct's field as encoding/json sees it.
type field struct {
	reflect.StructField
	key      string // its name in JSON
	tagged   bool   // the tag has that name
	optional bool   // the tag has omitempty or omitzero
	quoted   bool   // the tag has string, and the type allows that: the value is a text that holds it
	lender   *lender
}

// lender is a struct that lends its fields to the one it is embedded in. The outermost struct counts as one, at depth 0.
type lender struct {
	typ     reflect.Type
	index   []int          // which field of the outermost struct, which field of that, and so on
	inside  []reflect.Type // the structs on the way, and this one; without the outermost
	pointer bool           // a pointer on the way may be nil
	locked  reflect.Type   // the first pointer on the way that can't be set; nil: none
	times   int            // how often the type is embedded at this depth
}

// fieldsOf are the fields that encoding/json reads and writes, in their order: what its function typeFields does.
// Unlike that, it refuses a struct of which two fields have the same name; path names the outermost one in errors.
func fieldsOf(t reflect.Type, path string) ([]field, error) {
	var found []field
	visited := map[reflect.Type]bool{}
	for level := []*lender{{typ: t, times: 1}}; len(level) > 0; {
		var next []*lender
		for _, l := range level {
			if visited[l.typ] {
				continue
			}
			visited[l.typ] = true
			own, deeper, err := l.scan(next)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			next = deeper
			for range min(l.times, 2) { // the same type twice at one depth: its fields are in each other's way
				found = append(found, own...)
			}
		}
		level = next
	}
	return dominant(found), nil
}

// scan gives the struct's own fields, and next with the structs that are embedded in it.
func (l *lender) scan(next []*lender) ([]field, []*lender, error) {
	var own []field
	names := map[string]bool{}
	for sf := range l.typ.Fields() {
		f, embedded, ok := fieldOf(sf)
		f.lender = l
		switch {
		case !ok:
			continue
		case embedded:
			next = l.embed(next, sf)
			continue
		case names[f.key]:
			return nil, nil, fmt.Errorf("two fields are called %s in JSON", f.key)
		}
		names[f.key] = true
		own = append(own, f)
	}
	return own, next, nil
}

func (l *lender) embed(next []*lender, sf reflect.StructField) []*lender {
	typ := sf.Type
	pointer := typ.Kind() == reflect.Pointer
	if pointer {
		typ = typ.Elem()
	}
	for _, other := range next {
		if other.typ == typ {
			other.times++
			return next
		}
	}
	e := &lender{
		typ: typ, index: append(slices.Clone(l.index), sf.Index...), inside: append(slices.Clone(l.inside), typ),
		pointer: l.pointer || pointer, locked: l.locked, times: 1,
	}
	if pointer && !sf.IsExported() && e.locked == nil {
		e.locked = sf.Type
	}
	return append(next, e)
}

// fieldOf reads a field's tag. An embedded one lends its fields and has no name of its own; what is not ok is left out.
func fieldOf(sf reflect.StructField) (f field, embedded, ok bool) {
	inner := sf.Type
	if inner.Name() == "" && inner.Kind() == reflect.Pointer {
		inner = inner.Elem()
	}
	tag := sf.Tag.Get("json")
	if tag == "-" || !sf.IsExported() && !(sf.Anonymous && inner.Kind() == reflect.Struct) {
		return field{}, false, false
	}
	name, rest, _ := strings.Cut(tag, ",")
	flags := strings.Split(rest, ",")
	key, tagged := keyOf(sf, name)
	f = field{
		StructField: sf, key: key, tagged: tagged,
		optional: slices.Contains(flags, "omitempty") || slices.Contains(flags, "omitzero"),
		quoted:   slices.Contains(flags, "string") && scalar(inner.Kind()),
	}
	return f, !f.tagged && sf.Anonymous && inner.Kind() == reflect.Struct, true
}

// keyOf is the field's name in JSON, and whether it is from the tag, where it is written as name. What becomes of an unusual
// name depends on the version of encoding/json, so that is asked.
func keyOf(sf reflect.StructField, name string) (key string, tagged bool) {
	if name == "" {
		return sf.Name, false
	}
	if validKey(name) || !sf.IsExported() {
		return name, validKey(name)
	}
	one := reflect.New(reflect.StructOf([]reflect.StructField{{Name: sf.Name, Type: reflect.TypeFor[bool](), Tag: sf.Tag}})).Elem()
	one.Field(0).SetBool(true) // so that no flag leaves it out
	var written map[string]any
	if text, err := json.Marshal(one.Interface()); err == nil && json.Unmarshal(text, &written) == nil {
		for key := range written {
			return key, key != sf.Name
		}
	}
	return sf.Name, false
}

// validKey reports whether all versions of encoding/json take that name from a tag.
func validKey(name string) bool {
	for _, r := range name {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return false
		}
	}
	return name != ""
}

// scalar reports whether encoding/json heeds the flag string for such values.
func scalar(k reflect.Kind) bool {
	return k == reflect.String || k >= reflect.Bool && k <= reflect.Float64
}

// dominant leaves out the fields that others hide.
func dominant(found []field) []field {
	var left []field
	for i, f := range found {
		hidden := false
		for j, other := range found {
			hidden = hidden || i != j && f.key == other.key && !f.hides(other)
		}
		if !hidden {
			left = append(left, f)
		}
	}
	slices.SortFunc(left, func(a, b field) int { return slices.Compare(a.index(), b.index()) })
	return left
}

// hides reports whether f counts, and not the other field of its name.
func (f field) hides(other field) bool {
	if depth := len(other.lender.index) - len(f.lender.index); depth != 0 {
		return depth > 0
	}
	return f.tagged && !other.tagged
}

func (f field) index() []int { return append(slices.Clone(f.lender.index), f.Index...) }

// locked is the pointer without which the field can't be decoded, as only its own package could set it; nil: none.
func (f field) locked() reflect.Type {
	if f.lender.locked == nil && !f.IsExported() && f.Type.Kind() == reflect.Pointer {
		return f.Type
	}
	return f.lender.locked
}

// object describes a struct.
func (d *deriver) object(t reflect.Type, path string) (*schema, error) {
	fields, err := fieldsOf(t, path)
	if err != nil {
		return nil, err
	}
	s := &schema{Type: "object", Properties: map[string]*schema{}}
	for _, f := range fields {
		if locked := f.locked(); locked != nil && d.direction == inward {
			return nil, fmt.Errorf("%s.%s: encoding/json can't set the embedded %s, as that type is not exported: embed it without the pointer, or export it",
				path, f.Name, locked)
		}
		outer := len(d.inside)
		d.inside = append(d.inside, f.lender.inside...)
		property, err := d.property(f, path+"."+f.Name)
		d.inside = d.inside[:outer]
		if err != nil {
			return nil, err
		}
		s.Properties[f.key] = property
		if !d.mayLack(f) {
			s.Required = append(s.Required, f.key)
		}
	}
	return s, nil
}

// mayLack reports whether a value may come without the field.
func (d *deriver) mayLack(f field) bool {
	return f.optional || f.lender.pointer || d.direction == inward && f.Type.Kind() == reflect.Pointer
}

// property describes a field, with what its tags say.
func (d *deriver) property(f field, path string) (*schema, error) {
	s, err := d.of(f.Type, path)
	if err != nil {
		return nil, err
	}
	ownForm := d.direction == outward && s.Type == nil // a type's own MarshalJSON never hears of the flag
	if f.quoted && !ownForm {
		s = &schema{Type: "string"}
		if f.Type.Kind() == reflect.Pointer {
			s = s.orNull()
		}
	}
	s.Description = f.Tag.Get("jsonschema")
	if err := s.enumerate(f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := s.bound(f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// enumerate adds the values that the tag enum allows.
func (s *schema) enumerate(f field) error {
	values, ok := f.Tag.Lookup("enum")
	if !ok {
		return nil
	}
	if s.name() != "string" {
		return fmt.Errorf("enum is for a string, not for %s", f.Type)
	}
	for value := range strings.SplitSeq(values, ",") {
		s.Enum = append(s.Enum, value)
	}
	if s.Type != "string" {
		s.Enum = append(s.Enum, nil)
	}
	return nil
}

// bound adds what the tags minimum and maximum say.
func (s *schema) bound(f field) error {
	for _, bound := range []struct {
		tag string
		to  *json.Number
	}{{"minimum", &s.Minimum}, {"maximum", &s.Maximum}} {
		text, ok := f.Tag.Lookup(bound.tag)
		if !ok {
			continue
		}
		if err := bounded(s, text); err != nil {
			return fmt.Errorf("%s %q: %w", bound.tag, text, err)
		}
		*bound.to = json.Number(text)
	}
	return nil
}

func bounded(s *schema, text string) error {
	if name := s.name(); name != "integer" && name != "number" {
		return errors.New("only numbers have it")
	}
	if _, err := strconv.ParseFloat(text, 64); err != nil {
		return errors.New("not a number")
	}
	return nil
}
