package template

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// appendText appends a value as it appears in the middle of a text: strings as they are, all else as JSON without white space, keys sorted. Numbers
// with a fraction or an exponent are as short as they can be without another value.
func appendText(b []byte, v any) []byte {
	if s, is := v.(string); is {
		return append(b, s...)
	}
	return appendJSON(b, v)
}

func appendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case string:
		return appendQuoted(b, v)
	case bool:
		return strconv.AppendBool(b, v)
	case json.Number:
		return append(b, shortest(string(v))...)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		return appendFloat(b, v)
	case map[string]any:
		b = append(b, '{')
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(append(appendQuoted(b, name), ':'), v[name])
		}
		return append(b, '}')
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, e)
		}
		return append(b, ']')
	}
	text, err := encode(v)
	if err != nil {
		return append(b, "null"...) // what JSON has no word for
	}
	return append(b, text...)
}

func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

func appendQuoted(b []byte, s string) []byte {
	text, _ := encode(s) // a string can always be encoded
	return append(b, text...)
}

// appendFloat writes a number as encoding/json does.
func appendFloat(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, "null"...)
	}
	text, _ := json.Marshal(f) // a finite number can always be encoded
	return append(b, text...)
}

// shortest is a number of JSON as short as it can be: 1.50 is 1.5, and 1e2 is 100. An integer stays, and so does what a float can't hold.
func shortest(number string) string {
	if !strings.ContainsAny(number, ".eE") {
		return number
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return number
	}
	short := string(appendFloat(nil, f))
	if !same(number, short) {
		return number
	}
	return short
}

// same compares two decimals.
func same(a, b string) bool {
	aNegative, aDigits, aExponent, aOK := decimal(a)
	bNegative, bDigits, bExponent, bOK := decimal(b)
	return aOK && bOK && aNegative == bNegative && aDigits == bDigits && (aExponent == bExponent || aDigits == "")
}

// decimal is 0.DIGITS times a power of ten, the digits without zeros at either end.
func decimal(number string) (negative bool, digits string, exponent int, ok bool) {
	number, negative = strings.CutPrefix(number, "-")
	mantissa, power := number, ""
	if i := strings.IndexAny(number, "eE"); i >= 0 {
		mantissa, power = number[:i], number[i+1:]
		n, err := strconv.Atoi(power)
		if err != nil || n > math.MaxInt32 || n < math.MinInt32 {
			return false, "", 0, false
		}
		exponent = n
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	all := strings.TrimLeft(whole+fraction, "0")
	exponent += len(whole) - (len(whole) + len(fraction) - len(all))
	return negative, strings.TrimRight(all, "0"), exponent, true
}
