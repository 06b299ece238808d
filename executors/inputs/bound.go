package inputs

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Schemas come from users, and what one check costs can grow with the power of a schema's size: alternatives that refer to alternatives, or patterns
// that repeat repetitions. So work is counted while it is done, and a check that needs more is given up.
const (
	baseVisits  = 200_000 // visits of a part of the schema, for any value
	valueVisits = 8       // more for each part of the value
	baseSteps   = 1 << 26 // steps of patterns' programs, for any value
	byteSteps   = 64      // more for each byte of the value
	maxProgram  = 20_000  // instructions of a pattern
	maxExponent = 1000    // of a number: comparing takes all its digits
)

var (
	errTooMuch = errors.New("the schema needs too much work to be checked")
	errNumber  = errors.New("a number is too large or too small to be checked")
)

// work is what is left for one check.
type work struct{ visits, steps int }

func (w *work) visit(n int) {
	if w.visits -= n; w.visits < 0 {
		panic(errTooMuch)
	}
}

func (w *work) step(n int) {
	if w.steps -= n; w.steps < 0 {
		panic(errTooMuch)
	}
}

// bounded is a compiled schema that counts. It serves one check at a time.
type bounded struct {
	schema *jsonschema.Schema
	left   *work
}

func (b *bounded) validate(value any) (err error) {
	defer func() {
		switch p := recover(); {
		case p == errTooMuch:
			err = errTooMuch
		case p != nil: // the library panics on some numbers that no float can hold
			err = errors.New("inputs hold something that can't be checked")
		}
	}()
	parts, bytes, ok := measure(value)
	if !ok {
		return errNumber
	}
	b.left.visits, b.left.steps = baseVisits+valueVisits*parts, baseSteps+byteSteps*bytes
	return b.schema.Validate(value)
}

// measure counts the parts of a value and the bytes of its texts. ok is false if a number is beyond the bound.
func measure(value any) (parts, bytes int, ok bool) {
	parts, ok = 1, true
	add := func(v any) bool {
		p, b, good := measure(v)
		parts, bytes = parts+p, bytes+b
		return good
	}
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			bytes += len(name)
			ok = add(member) && ok
		}
	case []any:
		for _, element := range v {
			ok = add(element) && ok
		}
	case string:
		bytes = len(v)
	case json.Number:
		bytes = len(v)
		if at := strings.IndexAny(string(v), "eE"); at >= 0 {
			exponent, err := strconv.Atoi(string(v[at+1:]))
			ok = err == nil && exponent <= maxExponent && exponent >= -maxExponent
		}
	}
	return parts, bytes, ok
}

// count has every part of a compiled schema count its visits: by the check of a format, which comes before what is below it, and which is no
// check here.
func (w *work) count(s *jsonschema.Schema) {
	seen := map[*jsonschema.Schema]bool{}
	var walk func(s *jsonschema.Schema)
	walk = func(s *jsonschema.Schema) {
		if s == nil || seen[s] || !strings.HasPrefix(s.Location, location+"#") {
			return // what is no part of the user's schema is shared, and as it should be
		}
		seen[s] = true
		once, each := below(s)
		costs, members, elements := 1, 0, 0
		for _, c := range once {
			costs += own(c)
		}
		for _, c := range s.Properties {
			members = max(members, own(c))
		}
		for _, c := range each {
			elements += own(c)
		}
		known := len(s.Properties)
		s.Format = &jsonschema.Format{Name: "counted", Validate: func(v any) error {
			n := costs
			switch v := v.(type) {
			case map[string]any:
				n += min(len(v), known)*members + len(v)*elements
			case []any:
				n += len(v) * elements
			}
			w.visit(n)
			return nil
		}}
		for _, list := range [][]*jsonschema.Schema{once, each} {
			for _, c := range list {
				walk(c)
			}
		}
		for _, c := range s.Properties {
			walk(c)
		}
	}
	walk(s)
}

// own is what the visit of a schema costs at least, by what it compares.
func own(s *jsonschema.Schema) int {
	if s.Enum == nil {
		return 1
	}
	return 1 + len(s.Enum.Values)
}

// below are the schemas directly below one but for properties: those that a value is checked by once, and those for each of its members or elements.
func below(s *jsonschema.Schema) (once, each []*jsonschema.Schema) {
	add := func(to *[]*jsonschema.Schema, values ...any) {
		for _, v := range values {
			switch v := v.(type) {
			case *jsonschema.Schema:
				if v != nil {
					*to = append(*to, v)
				}
			case []*jsonschema.Schema:
				*to = append(*to, v...)
			}
		}
	}
	add(&once, s.Ref, s.RecursiveRef, s.Not, s.AllOf, s.AnyOf, s.OneOf, s.If, s.Then, s.Else, s.PrefixItems, s.ContentSchema)
	add(&each, s.PropertyNames, s.AdditionalProperties, s.UnevaluatedProperties, s.Contains, s.AdditionalItems, s.Items2020, s.UnevaluatedItems)
	if s.DynamicRef != nil {
		add(&once, s.DynamicRef.Ref)
	}
	if list, ok := s.Items.([]*jsonschema.Schema); ok {
		add(&once, list)
	} else {
		add(&each, s.Items)
	}
	for _, v := range s.Dependencies {
		add(&once, v)
	}
	for _, v := range s.DependentSchemas {
		add(&once, v)
	}
	for _, v := range s.PatternProperties {
		add(&each, v)
	}
	return once, each
}

// program is a pattern that counts.
type program struct {
	*regexp.Regexp
	length int
	left   *work
}

// MatchString implements [jsonschema.Regexp].
func (p *program) MatchString(s string) bool {
	p.left.step((len(s) + 1) * p.length)
	return p.Regexp.MatchString(s)
}

// pattern compiles a pattern, if its program is of a bounded length.
func (w *work) pattern(text string) (jsonschema.Regexp, error) {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	n := length(parsed)
	if n > maxProgram {
		return nil, fmt.Errorf("the pattern %.40q is too large with its repetitions", text)
	}
	compiled, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return &program{compiled, n, w}, nil
}

// length is about how many instructions a pattern has; far beyond the bound it is not exact.
func length(re *syntax.Regexp) int {
	n := 1
	if re.Op == syntax.OpLiteral {
		n = len(re.Rune)
	}
	for _, sub := range re.Sub {
		n += length(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min+1, re.Max, 1)
	}
	return min(n, 1<<20)
}

// anchored reports whether a schema names a dynamic anchor: what is meant by a reference to it is found out only while it is checked.
func anchored(doc any) bool {
	switch v := doc.(type) {
	case map[string]any:
		if _, ok := v["$dynamicAnchor"].(string); ok {
			return true
		}
		for _, member := range v {
			if anchored(member) {
				return true
			}
		}
	case []any:
		for _, element := range v {
			if anchored(element) {
				return true
			}
		}
	}
	return false
}
