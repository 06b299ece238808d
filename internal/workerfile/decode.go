package workerfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/internal/treefile"
)

// maxFaults is how many faults are told; the rest is counted.
const maxFaults = 50

// Parse reads a file's text, in YAML or JSON; name is what faults call it. All faults are told at once, as a [treefile.Error]. They show
// names of keys and never values.
func Parse(name string, text []byte) (*File, error) {
	if len(text) > MaxBytes {
		return nil, treefile.Refuse([]treefile.Fault{{Place: name, Text: fmt.Sprintf("larger than %d bytes", MaxBytes)}}, 0)
	}
	file := &File{}
	if err := Fill(name, text, file); err != nil {
		return nil, err
	}
	return file, nil
}

// ParseConnection reads the text of one connection, as [Parse] does a file's.
func ParseConnection(name string, text []byte) (c Connection, err error) {
	err = Fill(name, text, &c)
	return c, err
}

// Fill reads the text of an operator's file of any kind into a struct like [File], with the same faults.
func Fill(name string, text []byte, to any) error {
	d := newDecoder(name, text)
	d.into(to)
	return d.err()
}

// decoder fills structs from nodes and collects faults.
type decoder struct {
	source *treefile.File
	root   *node // nil: the text can't be read
	broken error // why
	faults []treefile.Fault
	more   int
	faulty []string // paths of the faults that are told
}

func newDecoder(name string, text []byte) *decoder {
	d := &decoder{}
	if d.source, d.broken = treefile.Decode(name, text); d.broken != nil {
		return d
	}
	var bad *syntaxFault
	if d.root, bad = parse(d.source.JSON); bad != nil {
		d.root = nil
		d.fault(bad.at, "", "%s", bad.reason)
	}
	return d
}

// into fills what to points to.
func (d *decoder) into(to any) {
	if d.root != nil {
		d.value(d.root, reflect.ValueOf(to).Elem(), "")
	}
}

// err is every fault, in the order of their lines; nil: there is none.
func (d *decoder) err() error {
	switch {
	case d.broken != nil:
		return d.broken
	case len(d.faults) > 0:
		return treefile.Refuse(d.faults, d.more)
	}
	return nil
}

func (d *decoder) fault(at int, path, format string, args ...any) {
	if len(d.faults) == maxFaults {
		d.more++
		return
	}
	text := fmt.Sprintf(format, args...)
	if path != "" {
		text = path + ": " + text
	}
	d.faulty = append(d.faulty, path)
	d.faults = append(d.faults, treefile.Fault{Place: d.source.PlaceAt(at), Text: text})
}

// Size is a number of bytes, written as such or with a unit: 131072, 128KiB, 64MiB, 1GiB.
type Size int64

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}

// size reads one.
func size(text string) (Size, error) {
	for _, unit := range sizeUnits {
		number, ok := strings.CutSuffix(text, unit.suffix)
		if !ok {
			continue
		}
		var n int64
		if err := json.Unmarshal([]byte(number), &n); err != nil || n < 0 || n > (1<<62)/unit.bytes {
			break
		}
		return Size(n * unit.bytes), nil
	}
	return 0, errors.New("want a size, such as 131072, 128KiB, 64MiB or 1GiB")
}

// value fills to. Null is as if nothing had been written.
func (d *decoder) value(n *node, to reflect.Value, path string) {
	if n.kind == 'n' {
		return
	}
	wrong := func(want string) { d.fault(n.at, path, "want %s", want) }
	switch to.Interface().(type) {
	case json.RawMessage:
		to.SetBytes(n.raw)
		return
	case time.Duration:
		v, err := time.ParseDuration(d.textOf(n))
		if err != nil || v < 0 {
			wrong("a duration, such as 250ms, 30s or 1h")
		}
		to.SetInt(int64(v))
		return
	case Size:
		v, err := size(d.textOf(n))
		if err != nil {
			d.fault(n.at, path, "%v", err)
		}
		to.SetInt(int64(v))
		return
	}
	switch to.Kind() {
	case reflect.Pointer:
		to.Set(reflect.New(to.Type().Elem()))
		d.value(n, to.Elem(), path)
	case reflect.Struct:
		d.object(n, to, path)
	case reflect.Map:
		d.mapping(n, to, path)
	case reflect.Slice:
		d.list(n, to, path)
	case reflect.String:
		if n.kind != '"' {
			wrong("text (in quotes, if it looks like a number)")
			return
		}
		to.SetString(n.text())
	case reflect.Bool:
		if n.kind != 't' && n.kind != 'f' {
			wrong("true or false")
		}
		to.SetBool(n.kind == 't')
	case reflect.Int, reflect.Int64:
		if json.Unmarshal(n.raw, to.Addr().Interface()) != nil {
			wrong("a whole number")
		}
	case reflect.Float64:
		if json.Unmarshal(n.raw, to.Addr().Interface()) != nil {
			wrong("a number")
		}
	default:
		panic("workerfile: no field can be a " + to.Type().String())
	}
}

// textOf is a string's text, or a number's digits.
func (d *decoder) textOf(n *node) string {
	if n.kind == '"' {
		return n.text()
	}
	return string(n.raw)
}

func (d *decoder) list(n *node, to reflect.Value, path string) {
	if n.kind != '[' {
		d.fault(n.at, path, "want a list")
		return
	}
	if len(n.items) > maxNames {
		d.fault(n.at, path, "%d elements, at most %d", len(n.items), maxNames)
		return
	}
	to.Set(reflect.MakeSlice(to.Type(), len(n.items), len(n.items)))
	for i, item := range n.items {
		d.value(item, to.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
}

func (d *decoder) mapping(n *node, to reflect.Value, path string) {
	if n.kind != '{' {
		d.fault(n.at, path, "want an object")
		return
	}
	if len(n.members) > maxNames {
		d.fault(n.at, path, "%d keys, at most %d", len(n.members), maxNames)
		return
	}
	to.Set(reflect.MakeMapWithSize(to.Type(), len(n.members)))
	for _, m := range n.members {
		if key := reflect.ValueOf(m.name); !to.MapIndex(key).IsValid() {
			value := reflect.New(to.Type().Elem()).Elem()
			d.value(m.node, value, join(path, m.name))
			to.SetMapIndex(key, value)
		} else {
			d.twice(m, path)
		}
	}
}

func (d *decoder) twice(m member, path string) {
	d.fault(m.at, join(path, m.name), "is there twice")
}

func join(path, name string) string {
	const most = 200
	if len(name) > most {
		name = name[:most] + "…"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// field is one of a struct that a key fills.
type field struct {
	value    reflect.Value
	required bool
}

// fieldsOf are the fields of a struct by their keys, and the map that takes other keys, if there is one.
func fieldsOf(of reflect.Value, fields map[string]field) (rest reflect.Value) {
	for i := range of.NumField() {
		sf := of.Type().Field(i)
		tag, tagged := sf.Tag.Lookup("file")
		name, option, _ := strings.Cut(tag, ",")
		switch {
		case sf.Anonymous && !tagged:
			fieldsOf(of.Field(i), fields)
		case option == "rest":
			rest = of.Field(i)
		case tagged:
			fields[name] = field{of.Field(i), option == "required"}
		}
	}
	return rest
}

// checker is a section with rules of its own.
type checker interface{ Check(at Place) }

// object fills a struct, then lets it check itself.
func (d *decoder) object(n *node, to reflect.Value, path string) {
	if n.kind != '{' {
		d.fault(n.at, path, "want an object")
		return
	}
	fields := map[string]field{}
	rest := fieldsOf(to, fields)
	if rest.IsValid() {
		rest.Set(reflect.MakeMap(rest.Type()))
	}
	seen := map[string]bool{}
	for _, m := range n.members {
		f, known := fields[m.name]
		switch {
		case seen[m.name]:
			d.twice(m, path)
		case known:
			d.value(m.node, f.value, join(path, m.name))
		case rest.IsValid():
			value := reflect.New(rest.Type().Elem()).Elem()
			d.value(m.node, value, join(path, m.name))
			rest.SetMapIndex(reflect.ValueOf(m.name), value)
		default:
			d.fault(m.at, join(path, m.name), "unknown key; known are: %s", strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
		}
		seen[m.name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if fields[name].required && !seen[name] {
			d.fault(n.at, join(path, name), "is missing")
		}
	}
	if c, ok := to.Addr().Interface().(checker); ok {
		c.Check(Place{d, n, n.at, path})
	}
}

// Place is where a part of the file stands, for the faults that a section finds itself.
type Place struct {
	d    *decoder
	n    *node // nil: it is not there
	at   int
	path string
}

// Key is the place of a key of an object.
func (p Place) Key(name string) Place {
	out := Place{p.d, nil, p.at, join(p.path, name)}
	if p.n == nil {
		return out
	}
	if m := p.n.key(name); m != nil {
		out.n, out.at = m.node, m.at
	}
	return out
}

// Index is the place of an element of a list.
func (p Place) Index(i int) Place {
	out := Place{p.d, nil, p.at, fmt.Sprintf("%s[%d]", p.path, i)}
	if p.n != nil && i < len(p.n.items) {
		out.n, out.at = p.n.items[i], p.n.items[i].at
	}
	return out
}

// Faulty reports whether something is wrong with a key here (with all of it if key is empty), or within it, that was told already.
func (p Place) Faulty(key string) bool {
	path := p.path
	if key != "" {
		path = join(path, key)
	}
	return slices.ContainsFunc(p.d.faulty, func(told string) bool {
		rest, ok := strings.CutPrefix(told, path)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// Fault tells what is wrong with a key here, or with all of it if key is empty. The text must not show values, which may be secrets.
func (p Place) Fault(key, format string, args ...any) {
	if key != "" {
		p = p.Key(key)
	}
	p.d.fault(p.at, p.path, format, args...)
}
