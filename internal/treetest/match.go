package treetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"

	"github.com/taskgrove/taskgrove/dag/treedoc"
)

// maxShown is how much of a value is shown.
const maxShown = 200

// short is the beginning of a text that may be long.
func short(s string) string {
	if len(s) <= maxShown {
		return s
	}
	return string(bytes.ToValidUTF8([]byte(s[:maxShown]), nil)) + "…"
}

// differs says where a value is not as it is wanted; empty: it is. Of objects, only the members that are wanted are compared; null is the same as a member
// that is not there.
func differs(at string, want, got json.RawMessage) string {
	w, err := decode(want)
	if err != nil {
		return at + ": " + err.Error()
	}
	g, err := decode(raw(got))
	if err != nil {
		return at + ": " + err.Error()
	}
	return differ(at, w, g)
}

func decode(text json.RawMessage) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

func differ(at string, want, got any) string {
	other := func() string { return fmt.Sprintf("%s: want %s, got %s", at, shown(want), shown(got)) }
	switch want := want.(type) {
	case map[string]any:
		object, is := got.(map[string]any)
		if !is {
			return other()
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if text := differ(at+"."+treedoc.Short(name), want[name], object[name]); text != "" {
				return text
			}
		}
	case []any:
		list, is := got.([]any)
		if !is || len(list) != len(want) {
			return other()
		}
		for i := range want {
			if text := differ(fmt.Sprintf("%s[%d]", at, i), want[i], list[i]); text != "" {
				return text
			}
		}
	case json.Number:
		number, is := got.(json.Number)
		if !is || !sameNumber(want, number) {
			return other()
		}
	default:
		if want != got {
			return other()
		}
	}
	return ""
}

// maxDigits is how long numbers are that are compared by their values: others are, as they are written.
const maxDigits = 100

func sameNumber(a, b json.Number) bool {
	if a == b {
		return true
	}
	if len(a) > maxDigits || len(b) > maxDigits || hugeExponent(a) || hugeExponent(b) {
		return false
	}
	x, okX := new(big.Rat).SetString(string(a))
	y, okY := new(big.Rat).SetString(string(b))
	return okX && okY && x.Cmp(y) == 0
}

// hugeExponent reports whether a number has an exponent of over three digits.
func hugeExponent(n json.Number) bool {
	i := bytes.IndexAny([]byte(n), "eE")
	return i >= 0 && len(n)-i > 5
}

func shown(v any) string {
	text, err := encode(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return short(string(text))
}
