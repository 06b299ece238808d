package treefile

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/dag/treedoc"
)

// Bounds of parameters.
const (
	maxParameters = 200
	maxArguments  = 10_000 // that are given in all
	maxPattern    = 1000   // characters of a pattern
)

// Arguments are what the parameters of a tree file are given. The zero value gives nothing. Of several for one parameter the last counts.
type Arguments struct{ list []argument }

// argument is one value.
type argument struct {
	name  string
	place string // as faults name it
	says  string // what begins the text of a fault, where the place does not say the name
	text  string // without value: as somebody typed it
	value *node
}

// Empty reports whether nothing is given.
func (a *Arguments) Empty() bool { return a == nil || len(a.list) == 0 }

// Set takes NAME=VALUE, as it was typed: the type of the parameter says what it means. place is what faults call it.
func (a *Arguments) Set(place, assignment string) error {
	name, text, ok := strings.Cut(assignment, "=")
	switch {
	case !ok || name == "":
		return fmt.Errorf("want NAME=VALUE, got %q", assignment)
	case !utf8.ValidString(assignment):
		return fmt.Errorf("%q is not UTF-8", assignment)
	case slices.ContainsFunc(a.list, func(one argument) bool { return one.value == nil && one.name == name }):
		return fmt.Errorf("%s is given twice", treedoc.Short(name))
	}
	a.list = append(a.list, argument{name: name, place: place + " " + treedoc.Short(name), text: text})
	return nil
}

// Read takes a text, in JSON or YAML, that is an object of values. *[Error]
func (a *Arguments) Read(name string, data []byte) error {
	f, err := Decode(name, data)
	if err != nil {
		return err
	}
	n, err := f.nodes()
	if err != nil {
		return err
	}
	return a.add(n, f.name, f.PlaceAt)
}

// JSON takes an object of values that came with a request; empty: none. *[Error]
func (a *Arguments) JSON(object []byte) error {
	switch {
	case len(object) == 0:
		return nil
	case !utf8.Valid(object):
		return refusedAt(root, "must be valid UTF-8")
	}
	f := &File{name: root, JSON: object}
	n, err := f.nodes()
	if err != nil {
		return err
	}
	return a.add(n, root, nil)
}

// add takes an object of values. path is what it is called, which faults name unless there is a place for them.
func (a *Arguments) add(n *node, path string, place func(offset int) string) error {
	where := func(offset int, path string) string {
		if place != nil {
			return place(offset)
		}
		return path
	}
	switch {
	case n.kind == 'n':
		return nil
	case n.kind != '{':
		return refusedAt(where(n.at, path), "must be an object: a value for each name")
	case len(n.members) > maxArguments:
		return refusedAt(where(n.at, path), fmt.Sprintf("must be at most %d values", maxArguments))
	}
	var faults []Fault
	seen := map[string]bool{}
	for _, m := range n.members {
		at, says := where(m.at, path+"."+treedoc.Short(m.name)), ""
		if place != nil {
			says = treedoc.Short(m.name) + ": "
		}
		if seen[m.name] {
			faults = append(faults, Fault{Place: at, Text: treedoc.Short(m.name) + ": must not be there twice"})
		}
		seen[m.name] = true
		a.list = append(a.list, argument{name: m.name, place: at, says: says, value: m.value})
	}
	if len(faults) > 0 {
		return Refuse(faults[:min(len(faults), maxFaults)], max(0, len(faults)-maxFaults))
	}
	return nil
}

// parameter is a parameter of a tree file, or what the items of one are.
type parameter struct {
	kind           string
	pattern        *regexp.Regexp
	enum           []*node
	known          map[string]bool // those of enum, canonically; nil: not looked at yet
	least, most    *node           // numbers
	shortest, long *float64
	items          *parameter
	byDefault      *node
	required       bool
	faulty         bool // its value is not judged
}

// readParameters reads what the file says of its parameters, and what they are given.
func (r *renderer) readParameters(n *node, args *Arguments) {
	r.parameters, r.values = map[string]*parameter{}, map[string]*node{}
	if n != nil && n.kind != '{' {
		r.fault(n.at, r.below(root), "must be an object: a parameter for each name")
		r.unsure, n = true, nil
	}
	if n != nil && len(n.members) > maxParameters {
		r.fault(n.at, r.below(root), "must be at most %d, got %d", maxParameters, len(n.members))
		r.unsure, n = true, nil
	}
	where := map[string]int{}
	if n != nil {
		for _, m := range n.members {
			path := r.below(root) + "." + treedoc.Short(m.name)
			if _, twice := r.parameters[m.name]; twice {
				r.fault(m.at, path, "must not be there twice")
				continue
			}
			if !template.Identifier(m.name) {
				r.fault(m.at, path, "is no name of a parameter: write letters, digits and _, a digit not first")
			}
			where[m.name] = m.at
			r.parameters[m.name] = r.parameter(m.value, m.at, path, treedoc.ParameterKeys())
			r.names = append(r.names, m.name)
		}
	}
	r.take(args, where)
}

// parameter reads one, which has the keys.
func (r *renderer) parameter(n *node, at int, path string, keys []treedoc.Key) *parameter {
	p := &parameter{kind: "string"}
	if n.kind == 'n' {
		return p
	}
	if n.kind != '{' {
		r.fault(n.at, path, "must be an object, such as {type: string, required: true}")
		p.faulty = true
		return p
	}
	before := r.count()
	r.keys(n, path, keys, treedoc.Unknown)
	fault := func(key string, format string, args ...any) {
		r.fault(n.get(key).at, path+"."+key, format, args...)
	}
	number := func(key string, natural bool) *float64 {
		v := n.given(key)
		if v == nil {
			return nil
		}
		x, ok := v.number()
		if !ok || natural && (x < 0 || x != math.Trunc(x)) {
			fault(key, "must be a number%s", map[bool]string{true: " of characters"}[natural])
			return nil
		}
		return &x
	}
	p.byDefault = n.given("default")
	if enum := n.given("enum"); enum != nil {
		if p.enum = enum.items; len(enum.items) == 0 {
			fault("enum", "must be a list of values")
		}
	}
	switch kind := n.given("type"); {
	case kind == nil && p.byDefault != nil:
		p.kind = p.byDefault.kindName()
	case kind == nil && len(p.enum) > 0:
		p.kind = p.enum[0].kindName()
	case kind == nil:
	case kind.kind != '"' || !slices.Contains(treedoc.ParameterTypes, kind.text):
		hint := ""
		if near := dag.Nearest(kind.text, treedoc.ParameterTypes); near != "" {
			hint = "; did you mean " + near + "?"
		}
		fault("type", "must be %s%s", listed(treedoc.ParameterTypes, "or"), hint)
		p.kind = ""
	default:
		p.kind = kind.text
	}
	p.readPattern(n.given("pattern"), fault)
	if number("minimum", false) != nil {
		p.least = n.given("minimum")
	}
	if number("maximum", false) != nil {
		p.most = n.given("maximum")
	}
	p.shortest, p.long = number("minLength", true), number("maxLength", true)
	if p.least != nil && p.most != nil && p.least.compare(p.most) > 0 {
		fault("minimum", "is greater than maximum")
	}
	if p.shortest != nil && p.long != nil && *p.shortest > *p.long {
		fault("minLength", "is greater than maxLength")
	}
	for _, only := range []struct {
		of   []string
		keys []string
	}{{[]string{"string"}, []string{"pattern", "minLength", "maxLength"}}, {[]string{"integer", "number"}, []string{"minimum", "maximum"}}, {[]string{"array"}, []string{"items"}}} {
		for _, key := range only.keys {
			if n.given(key) != nil && p.kind != "" && !slices.Contains(only.of, p.kind) {
				fault(key, "is of type %s, and this is of type %s", listed(only.of, "or"), p.kind)
			}
		}
	}
	if items := n.given("items"); items != nil {
		p.items = r.parameter(items, items.at, path+".items", treedoc.ItemKeys())
		p.faulty = p.items.faulty
	}
	if d := n.given("description"); d != nil && d.kind != '"' {
		fault("description", "must be a string")
	}
	if required := n.given("required"); required != nil {
		if p.required = required.kind == 't'; required.kind != 't' && required.kind != 'f' {
			fault("required", "must be true or false")
		} else if p.required && p.byDefault != nil {
			fault("required", "is of no use beside default")
		}
	}
	if p.kind == "" {
		p.kind, p.faulty = "string", true
		return p
	}
	for i, one := range p.enum {
		at := fmt.Sprintf("%s.enum[%d]", path, i)
		if reason := p.wrongType(one); reason != "" {
			r.fault(one.at, at, "%s", reason)
		}
		one.unsound(at, func(_ int, path, reason string) { r.fault(one.at, path, "%s", reason) })
	}
	if p.byDefault != nil {
		p.check(p.byDefault, path+".default", func(path, reason string) { r.fault(p.byDefault.at, path, "%s", reason) })
	}
	p.faulty = p.faulty || r.count() > before
	return p
}

func (p *parameter) readPattern(n *node, fault func(key string, format string, args ...any)) {
	switch {
	case n == nil:
	case n.kind != '"' || n.text == "":
		fault("pattern", "must be a regular expression")
	case utf8.RuneCountInString(n.text) > maxPattern:
		fault("pattern", "must be at most %d characters", maxPattern)
	default:
		var err error
		if p.pattern, err = regexp.Compile(n.text); err != nil {
			fault("pattern", "is no regular expression: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
	}
}

// kindName is the type of a parameter whose value this is.
func (n *node) kindName() string {
	switch n.kind {
	case '0':
		if _, digits, point, ok := n.decimal(); ok && (len(digits) <= point || digits == "") {
			return "integer"
		}
		return "number"
	case 't', 'f':
		return "boolean"
	case '[':
		return "array"
	case '{':
		return "object"
	}
	return "string"
}

// number is the value of a number.
func (n *node) number() (x float64, ok bool) {
	if n.kind != '0' {
		return 0, false
	}
	x, _ = strconv.ParseFloat(n.text, 64) // what is too large is infinite
	return x, true
}

// wrongType is what is wrong with the type of a value; empty: nothing.
func (p *parameter) wrongType(n *node) string {
	have := n.kindName()
	if n.kind == 'n' {
		have = "null"
	}
	if have == p.kind || have == "integer" && p.kind == "number" {
		return ""
	}
	return fmt.Sprintf("must be %s, and is %s", article(p.kind), article(have))
}

func article(kind string) string {
	switch kind {
	case "integer", "array", "object":
		return "an " + kind
	case "null":
		return kind
	}
	return "a " + kind
}

// check tells what is wrong with a value.
func (p *parameter) check(n *node, path string, tell func(path, reason string)) {
	fault := func(format string, args ...any) { tell(path, fmt.Sprintf(format, args...)) }
	if reason := p.wrongType(n); reason != "" {
		fault("%s", reason)
		return
	}
	if len(p.enum) > 0 && !p.lists(n) {
		var words []string
		for _, one := range p.enum[:min(len(p.enum), 20)] {
			words = append(words, treedoc.Short(one.shown()))
		}
		if more := len(p.enum) - len(words); more > 0 {
			words = append(words, fmt.Sprintf("%d more", more))
		}
		hint := ""
		if near := dag.Nearest(n.text, words); near != "" {
			hint = "; did you mean " + near + "?"
		}
		fault("must be %s%s", listed(words, "or"), hint)
	}
	n.unsound(path, func(_ int, path, reason string) { tell(path, reason) })
	switch n.kind {
	case '"':
		length := float64(utf8.RuneCountInString(n.text))
		switch {
		case p.shortest != nil && length < *p.shortest:
			fault("must be at least %g characters", *p.shortest)
		case p.long != nil && length > *p.long:
			fault("must be at most %g characters", *p.long)
		}
		if p.pattern != nil && !p.pattern.MatchString(n.text) {
			fault("must match %s", p.pattern)
		}
	case '0':
		switch {
		case p.kind == "integer" && n.plainInteger() == nil:
			fault("must have at most %d digits", maxDigits)
		case p.least != nil && n.compare(p.least) < 0:
			fault("must be at least %s", treedoc.Short(p.least.text))
		case p.most != nil && n.compare(p.most) > 0:
			fault("must be at most %s", treedoc.Short(p.most.text))
		}
	case '[':
		if p.items == nil {
			return
		}
		for i, item := range n.items {
			p.items.check(item, fmt.Sprintf("%s[%d]", path, i), tell)
		}
	}
}

// shown is a value as people write it.
func (n *node) shown() string {
	if n.kind == '"' {
		return n.text
	}
	return string(n.json())
}

// lists reports whether a value is one of enum.
func (p *parameter) lists(n *node) bool {
	if p.known == nil {
		p.known = make(map[string]bool, len(p.enum))
		for _, one := range p.enum {
			p.known[p.plain(one).canonical()] = true
		}
	}
	return p.known[p.plain(n).canonical()]
}

// canonical is the same for equal values of one kind.
func (n *node) canonical() string {
	return string(dag.AppendCanonical([]byte{byte(n.kind)}, n.json()))
}

// typed is what somebody has typed for the parameter.
func (p *parameter) typed(text string) (n *node, reason string) {
	if p.kind == "string" {
		return textNode(0, text), ""
	}
	n, _, err := parseNode([]byte(text))
	if err != nil {
		return nil, fmt.Sprintf("must be %s, and is %s", article(p.kind), strconv.Quote(treedoc.Short(text)))
	}
	return n, ""
}

// take gives the parameters their values.
func (r *renderer) take(args *Arguments, where map[string]int) {
	given := map[string]*argument{}
	if args != nil {
		for i := range args.list {
			a := &args.list[i]
			if r.parameters[a.name] == nil {
				r.unknownArgument(a)
				continue
			}
			given[a.name] = a
		}
	}
	for _, name := range r.names {
		p, a := r.parameters[name], given[name]
		switch {
		case a != nil && (a.value == nil || a.value.kind != 'n'):
			r.takeOne(p, a)
		case p.byDefault != nil:
			r.values[name] = p.plain(p.byDefault)
		case p.required && !r.valueless:
			r.fault(where[name], r.below(root)+"."+treedoc.Short(name), "is required, and no value is given")
			p.faulty = true
		}
		if p.faulty {
			r.values[name] = p.placeholder()
		}
	}
}

func (r *renderer) takeOne(p *parameter, a *argument) {
	if p.faulty {
		return
	}
	n := a.value
	if n == nil {
		var reason string
		if n, reason = p.typed(a.text); reason != "" {
			r.faultAt(a.place, a.says+reason)
			p.faulty = true
			return
		}
	}
	name := treedoc.Short(a.name)
	p.check(n, name, func(path, reason string) {
		says := a.says
		if path != name {
			says = path + ": "
		}
		r.faultAt(a.place, says+reason)
		p.faulty = true
	})
	r.values[a.name] = p.plain(n)
}

func (r *renderer) unknownArgument(a *argument) {
	if r.unsure {
		return
	}
	switch near := dag.Nearest(a.name, r.names); {
	case near != "":
		r.faultAt(a.place, a.says+fmt.Sprintf("there is no such parameter; did you mean %s?", near))
	case len(r.names) == 0:
		r.faultAt(a.place, a.says+"the file has no parameters")
	default:
		r.faultAt(a.place, a.says+"there is no such parameter; "+r.there())
	}
}

// there are the parameters.
func (r *renderer) there() string {
	if len(r.names) == 1 {
		return "there is " + r.names[0]
	}
	return "there are " + listed(r.names[:min(len(r.names), 20)], "and")
}

// placeholder stands for the value that a parameter should have, so that what depends on it is looked at all the same.
func (p *parameter) placeholder() *node {
	switch p.kind {
	case "integer", "number":
		return &node{kind: '0', text: "1"}
	case "boolean":
		return boolNode(0, false)
	case "array":
		return &node{kind: '['}
	case "object":
		return &node{kind: '{'}
	}
	return textNode(0, "x")
}

// listed are words as a text lists them.
func listed(words []string, last string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	n := len(words) - 1
	return strings.Join(words[:n], ", ") + " " + cmp.Or(last, "and") + " " + words[n]
}
