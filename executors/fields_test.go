package executors_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/inputs"
)

type (
	unexported struct {
		Name string `json:"name"`
	}
	twice          struct{ shallow }
	thrice         struct{ shallow }
	generic[T any] struct {
		V    T
		Next *generic[T] `json:"next,omitempty"`
	}
	Level int
	Ring  struct {
		*Ring
		X int
	}
)

// structs are types that reflection can't make, as they embed what is not exported or are in themselves.
var structs = []reflect.Type{
	reflect.TypeFor[Node](), reflect.TypeFor[Ring](), reflect.TypeFor[generic[generic[int]]](),
	reflect.TypeFor[struct {
		shallow
		deeper
	}](),
	reflect.TypeFor[struct {
		twice
		thrice
		Z int
	}](),
	reflect.TypeFor[struct {
		shallow
		other
		naming
	}](),
	reflect.TypeFor[struct {
		unexported `json:"own"`
		Level
		Z int
	}](),
	reflect.TypeFor[struct {
		unexported
		Name  string `json:",omitempty"`
		name  string
		Bytes []byte
		Time  time.Time `json:"time,omitzero"`
		Raw   json.RawMessage
		Large json.Number `json:",string"`
	}](),
}

// The schemas of many structs agree with what encoding/json writes and reads: the names are the same, both a zero value and
// a full one fit, and what fits can be decoded.
func TestSchemaAgreesWithJSON(t *testing.T) {
	const seed, generated = 12, 400
	m := &maker{Rand: rand.New(rand.NewPCG(seed, seed))}
	types := slices.Clone(structs)
	for range generated {
		types = append(types, m.structure(3))
	}
	embedding, fields := 0, 0
	for _, typ := range types {
		if err := agrees(t, typ); err != nil {
			t.Fatalf("%s: %v", typ, err)
		}
		fields += typ.NumField()
		for f := range typ.Fields() {
			if f.Anonymous {
				embedding++
			}
		}
	}
	if embedding < generated/4 || fields < generated {
		t.Errorf("got %d embedded of %d fields: too few to show anything", embedding, fields)
	}
}

// The struct is made here since linters refuse such tags.
func TestSchemaOfUnusualTags(t *testing.T) {
	typ := reflect.StructOf([]reflect.StructField{
		{Name: "A", Type: reflect.TypeFor[*int](), Tag: `json:",string"`},
		{Name: "B", Type: reflect.TypeFor[[]int](), Tag: `json:",string"`},
		{Name: "C", Type: reflect.TypeFor[int](), Tag: `json:"it's"`},
		{Name: "D", Type: reflect.TypeFor[int](), Tag: `json:"-,"`},
	})
	want := `{"type":"object","properties":{"-":{"type":"integer"},"A":{"type":["string","null"]},` +
		`"B":{"type":["array","null"],"items":{"type":"integer"}},"C":{"type":"integer"}},"required":["B","C","-"]}`
	if written, err := json.Marshal(reflect.Zero(typ).Interface()); err != nil {
		t.Fatal(err)
	} else if strings.Contains(string(written), `"it"`) { // since Go 1.27
		want = strings.NewReplacer(`"C":{"type":"integer"}`, `"it":{"type":"integer"}`, `["B","C","-"]`, `["B","it","-"]`).Replace(want)
	}
	if got, _, err := executors.SchemasOf(typ); err != nil || string(got) != want {
		t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
	}
}

// An embedded pointer to a struct that is not exported can be written, though it can't be read.
func TestFuncReturnsWhatItCantRead(t *testing.T) {
	e := executors.Func("f", func(context.Context, any) (behind, error) { return behind{&shallow{1}}, nil })
	if got, want := string(e.Describe().Output), `{"type":"object","properties":{"X":{"type":"integer"}}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func agrees(t *testing.T, typ reflect.Type) error {
	in, out, err := executors.SchemasOf(typ)
	if err != nil {
		return err
	}
	zero, full := reflect.New(typ), reflect.New(typ)
	fill(full.Elem(), 0)
	for _, value := range []reflect.Value{zero, full} {
		text, err := json.Marshal(value.Interface())
		if err != nil {
			return err
		}
		for _, schema := range []json.RawMessage{in, out} {
			if err := fits(t, schema, text); err != nil {
				return fmt.Errorf("%s does not fit %s: %w", text, schema, err)
			}
		}
	}
	var described struct{ Properties map[string]map[string]any }
	var written map[string]json.RawMessage
	text, err := json.Marshal(full.Interface())
	if err := errors.Join(err, json.Unmarshal(in, &described), json.Unmarshal(text, &written)); err != nil {
		return err
	}
	got, want := slices.Sorted(maps.Keys(described.Properties)), slices.Sorted(maps.Keys(written))
	if !slices.Equal(got, want) {
		return fmt.Errorf("got the names %q, encoding/json writes %q", got, want)
	}
	for name, property := range described.Properties {
		if len(property) == 0 { // it may be anything, as a type in itself may
			continue
		}
		if err := decodesWhatFits(t, typ, in, written, name); err != nil {
			return err
		}
	}
	return nil
}

// decodesWhatFits puts a value of each kind into the field of that name.
func decodesWhatFits(t *testing.T, typ reflect.Type, schema json.RawMessage, written map[string]json.RawMessage, name string) error {
	object := maps.Clone(written)
	for _, value := range []string{string(written[name]), `null`, `true`, `1`, `"1"`, `[]`, `{}`} {
		object[name] = json.RawMessage(value)
		text, err := json.Marshal(object)
		if err != nil {
			return err
		}
		if fits(t, schema, text) != nil {
			continue
		}
		err = json.Unmarshal(text, reflect.New(typ).Interface())
		bad, misfit := errors.AsType[*json.UnmarshalTypeError](err)
		misfit = misfit && errors.Unwrap(bad) == nil // else the type fits and the text does not, as in base64
		if misfit || err != nil && (value == string(written[name]) || strings.Contains(err.Error(), "unquoted value")) {
			return fmt.Errorf("%s fits %s: %w", text, schema, err)
		}
	}
	return nil
}

var checker = inputs.NewChecker(0)

func fits(t *testing.T, schema, text json.RawMessage) error {
	call, _ := conformance.Call(t, string(text))
	return checker.Check(executors.Description{ID: "x", Inputs: schema}, call)
}

// fill gives a value of a field that encoding/json writes whatever the tag says.
func fill(v reflect.Value, depth int) {
	switch {
	case depth > 8 || !v.CanSet() && v.Kind() != reflect.Struct:
		return
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Unix(1, 0).UTC()))
		return
	case v.Type() == reflect.TypeFor[json.RawMessage]():
		v.SetBytes([]byte("1"))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.String:
		v.SetString("1")
	case reflect.Interface:
		v.Set(reflect.ValueOf("x"))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), depth+1)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, depth+1)
		fill(value, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), depth+1)
		}
	default:
		if v.CanInt() {
			v.SetInt(1)
		} else {
			v.SetUint(1)
		}
	}
}

// maker makes struct types, all of few names, so that many hide one another.
type maker struct {
	*rand.Rand
	made []reflect.Type
}

var (
	makerTypes = []reflect.Type{
		reflect.TypeFor[int](), reflect.TypeFor[*int](), reflect.TypeFor[**int](), reflect.TypeFor[string](), reflect.TypeFor[*string](),
		reflect.TypeFor[bool](), reflect.TypeFor[[]int](), reflect.TypeFor[map[string]bool](), reflect.TypeFor[uint8](), reflect.TypeFor[any](),
		reflect.TypeFor[float64](), reflect.TypeFor[[]byte](), reflect.TypeFor[Level](),
	}
	makerTags = []string{"", "", "", "A", "B", "C", "-", "-,", "it's", ",omitempty", ",omitzero", ",string", "A,string", "B,omitempty,string"}
)

func (m *maker) structure(depth int) reflect.Type {
	var fields []reflect.StructField
	used := map[string]bool{}
	for _, i := range m.Perm(4)[:1+m.IntN(4)] {
		f := reflect.StructField{Name: string(rune('A' + i))}
		tag := makerTags[m.IntN(len(makerTags))]
		f.Type = makerTypes[m.IntN(len(makerTypes))]
		if depth > 0 && m.IntN(2) == 0 {
			f.Anonymous = true
			f.Type = m.embedded(depth - 1)
			if m.IntN(4) > 0 || tag == "it's" { // of such a tag versions of encoding/json make what they like
				tag = ""
			}
		}
		if tag != "" {
			f.Tag = reflect.StructTag(`json:"` + tag + `"`)
		}
		name, _, _ := strings.Cut(tag, ",")
		names := []string{name}
		switch name {
		case "":
			names = []string{f.Name}
		case "it's": // versions of encoding/json differ
			names = []string{"it", f.Name}
		}
		if tag != "-" && slices.ContainsFunc(names, func(name string) bool { return used[name] }) { // two of one struct are an error
			continue
		}
		for _, name := range names {
			used[name] = true
		}
		fields = append(fields, f)
	}
	made := reflect.StructOf(fields)
	m.made = append(m.made, made)
	return made
}

func (m *maker) embedded(depth int) reflect.Type {
	var t reflect.Type
	if len(m.made) > 0 && m.IntN(3) == 0 {
		t = m.made[m.IntN(len(m.made))]
	} else {
		t = m.structure(depth)
	}
	if m.IntN(3) == 0 {
		t = reflect.PointerTo(t)
	}
	return t
}
