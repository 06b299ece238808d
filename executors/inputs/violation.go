package inputs

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// maxReasons is how many violations one text names.
const maxReasons = 5

var english = message.NewPrinter(language.English)

// violations are the fields missing at the top level, in the order in which the schema requires them, and the other faults as
// "field: reason", sorted.
func violations(c *compiled, value any) (missing, other []string) {
	err := c.validate(value)
	if err == nil {
		return nil, nil
	}
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return nil, []string{err.Error()}
	}
	collect(invalid, &missing, &other)
	slices.SortFunc(missing, func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(c.schema, a), rank(c.schema, b)), cmp.Compare(a, b))
	})
	slices.Sort(other)
	missing, other = slices.Compact(missing), slices.Compact(other)
	if len(other) > maxReasons {
		other = append(other[:maxReasons], fmt.Sprintf("and %d more", len(other)-maxReasons))
	}
	return missing, other
}

// rank is where a schema requires a field; last, if only a part of it does.
func rank(schema *jsonschema.Schema, field string) int {
	if at := slices.Index(schema.Required, field); at >= 0 {
		return at
	}
	return len(schema.Required)
}

func collect(e *jsonschema.ValidationError, missing, other *[]string) {
	leaves(e, func(e *jsonschema.ValidationError) {
		if k, ok := e.ErrorKind.(*kind.Required); ok && len(e.InstanceLocation) == 0 {
			*missing = append(*missing, k.Missing...)
			return
		}
		*other = append(*other, reason(e))
	})
}

// leaves gives each violation that has no others for its causes, and those of a choice as one: the demands of each of its branches would be
// confusing.
func leaves(e *jsonschema.ValidationError, yield func(*jsonschema.ValidationError)) {
	if len(e.Causes) == 0 || chooses(e) {
		yield(e)
		return
	}
	for _, cause := range e.Causes {
		leaves(cause, yield)
	}
}

// chooses reports whether a violation is of a choice between schemas.
func chooses(e *jsonschema.ValidationError) bool {
	switch e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf, *kind.Not:
		return true
	}
	return false
}

// reason describes a violation, with its field.
func reason(e *jsonschema.ValidationError) string {
	if len(e.InstanceLocation) == 0 {
		return bareReason(e)
	}
	return strings.Join(e.InstanceLocation, ".") + ": " + bareReason(e)
}

// bareReason describes a violation without the value at fault, which may be a secret.
func bareReason(e *jsonschema.ValidationError) string {
	switch k := e.ErrorKind.(type) {
	case *kind.Pattern:
		return fmt.Sprintf("does not match the pattern %q", k.Want)
	case *kind.Format:
		return fmt.Sprintf("is no valid %s", k.Want)
	case *kind.Minimum, *kind.Maximum, *kind.ExclusiveMinimum, *kind.ExclusiveMaximum, *kind.MultipleOf:
		return number(k)
	case *kind.ContentMediaType, *kind.ContentEncoding:
		return "has the wrong content"
	case *kind.FalseSchema:
		return "is not allowed"
	case *kind.Type: // null stands for a field that is left out: nobody is told to write it
		return fmt.Sprintf("got %s, want %s", k.Got, strings.Join(without(k.Want, "null"), " or "))
	case *kind.Enum:
		return "value must be one of " + values(without(k.Want, nil))
	case *kind.AnyOf:
		return "matches none of the allowed forms"
	case *kind.OneOf:
		return "does not match exactly one of the allowed forms"
	case *kind.Not:
		return "matches what is not allowed"
	}
	return e.ErrorKind.LocalizedString(english)
}

// without is the list without a value, unless that is all.
func without[E comparable](list []E, value E) []E {
	left := slices.DeleteFunc(slices.Clone(list), func(e E) bool { return e == value })
	if len(left) == 0 {
		return list
	}
	return left
}

// values shows what a schema allows.
func values(list []any) string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = "null"
		if v != nil {
			texts[i] = fmt.Sprint(v)
		}
		if s, ok := v.(string); ok {
			texts[i] = "'" + s + "'"
		}
	}
	return strings.Join(texts, ", ")
}

func number(k any) string {
	switch k := k.(type) {
	case *kind.Minimum:
		return "must be at least " + k.Want.RatString()
	case *kind.Maximum:
		return "must be at most " + k.Want.RatString()
	case *kind.ExclusiveMinimum:
		return "must be above " + k.Want.RatString()
	case *kind.ExclusiveMaximum:
		return "must be below " + k.Want.RatString()
	case *kind.MultipleOf:
		return "must be a multiple of " + k.Want.RatString()
	}
	return "is out of range"
}
