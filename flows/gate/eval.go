package gate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
)

// TypeError is why an expression has no verdict: `when.type_error`. Its text names types, and no value.
type TypeError struct{ Reason string }

// Error is the reason.
func (e *TypeError) Error() string { return e.Reason }

// Eval is the verdict. value gives what a reference leads to: a value as [encoding/json] decodes it, with [json.Number] or float64 for numbers; nil if nothing is
// there. The error is a *[TypeError].
func (e *Expr) Eval(value func(Ref) any) (bool, error) {
	if e.root == nil {
		return true, nil
	}
	v, err := e.value(e.root, value)
	if err != nil {
		return false, err
	}
	return Truth(v)
}

// value is that of a node. A term of and, or or a chain that decides is enough, whatever the others are.
func (e *Expr) value(n *node, value func(Ref) any) (any, error) {
	switch n.op {
	case opLiteral:
		return n.value, nil
	case opRef:
		return value(e.refs[n.ref]), nil
	case opNot:
		is, err := e.truth(n.of[0], value)
		return !is, err
	case opAnd, opOr:
		return joined(n.op == opOr, len(n.of), func(i int) (bool, error) { return e.truth(n.of[i], value) })
	}
	return joined(false, len(n.signs), func(i int) (bool, error) {
		left, err := e.value(n.of[i], value)
		if err != nil {
			return false, err
		}
		right, err := e.value(n.of[i+1], value)
		if err != nil {
			return false, err
		}
		return Compare(n.signs[i], left, right)
	})
}

// joined is the verdict of terms of which one that is so decides.
func joined(decides bool, terms int, term func(i int) (bool, error)) (bool, error) {
	var first error
	for i := range terms {
		is, err := term(i)
		switch {
		case err != nil && first == nil:
			first = err
		case err == nil && is == decides:
			return is, nil
		}
	}
	return !decides && first == nil, first
}

func (e *Expr) truth(n *node, value func(Ref) any) (bool, error) {
	v, err := e.value(n, value)
	if err != nil {
		return false, err
	}
	return Truth(v)
}

// Truth is a value as true or false: numbers but 0 and the text "true" are true, "false", the empty text and null are false, lists and objects are true if there is
// something in them. Other texts are a *[TypeError].
func Truth(v any) (bool, error) {
	switch v := plain(v).(type) {
	case nil:
		return false, nil
	case bool:
		return v, nil
	case string:
		switch v {
		case "true":
			return true, nil
		case "false", "":
			return false, nil
		}
		return false, &TypeError{"a text is neither true nor false: compare it with something"}
	case []any:
		return len(v) > 0, nil
	case map[string]any:
		return len(v) > 0, nil
	case *big.Float:
		return v.Sign() != 0, nil
	}
	return false, &TypeError{"a value is neither true nor false"}
}

// Compare compares two values by a sign. true equals 1, and false 0. A text beside a number is read as a number, and "true" and "false" beside a boolean as booleans. By order nothing compares
// with null, which is false; other values of different types, lists and objects are a *[TypeError].
func Compare(sign string, a, b any) (bool, error) {
	a, b = alike(plain(a), plain(b))
	if sign == "==" || sign == "!=" {
		return equal(bits(a, b), bits(b, a)) == (sign == "=="), nil
	}
	if a == nil || b == nil {
		return false, nil
	}
	order := 0
	switch x := a.(type) {
	case *big.Float:
		y, is := b.(*big.Float)
		if !is {
			return false, mismatch(sign, a, b)
		}
		order = x.Cmp(y)
	case string:
		y, is := b.(string)
		if !is {
			return false, mismatch(sign, a, b)
		}
		order = strings.Compare(x, y)
	case bool:
		y, is := b.(bool)
		if !is {
			return false, mismatch(sign, a, b)
		}
		order = cmp.Compare(bit(x), bit(y))
	default:
		return false, mismatch(sign, a, b)
	}
	switch sign {
	case ">":
		return order > 0, nil
	case ">=":
		return order >= 0, nil
	case "<":
		return order < 0, nil
	}
	return order <= 0, nil
}

func mismatch(sign string, a, b any) error {
	return &TypeError{fmt.Sprintf("%s does not order %s and %s", sign, name(a), name(b))}
}

func name(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case string:
		return "a text"
	case *big.Float:
		return "a number"
	case []any:
		return "a list"
	}
	return "an object"
}

func bit(is bool) int {
	if is {
		return 1
	}
	return 0
}

// bits is a boolean that is compared with a number as one.
func bits(v, other any) any {
	if is, boolean := v.(bool); boolean {
		if _, number := other.(*big.Float); number {
			return new(big.Float).SetInt64(int64(bit(is)))
		}
	}
	return v
}

// alike reads a text as what it is compared with, if it can be.
func alike(a, b any) (any, any) {
	if text, is := a.(string); is {
		return as(text, b), b
	}
	if text, is := b.(string); is {
		return a, as(text, a)
	}
	return a, b
}

func as(text string, other any) any {
	switch other.(type) {
	case *big.Float:
		if n := digits(strings.Trim(text, blanks)); n != nil {
			return n
		}
	case bool:
		switch text {
		case "true":
			return true
		case "false":
			return false
		}
	}
	return text
}

// equal compares values of which numbers are as [plain] has them, at any depth.
func equal(a, b any) bool {
	switch x := a.(type) {
	case *big.Float:
		y, is := b.(*big.Float)
		return is && x.Cmp(y) == 0
	case []any:
		y, is := b.([]any)
		if !is || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equal(plain(x[i]), plain(y[i])) {
				return false
			}
		}
		return true
	case map[string]any:
		y, is := b.(map[string]any)
		if !is || len(x) != len(y) {
			return false
		}
		for key, v := range x {
			other, there := y[key]
			if !there || !equal(plain(v), plain(other)) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(a, b)
}

// plain has numbers in one form.
func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n := digits(string(v)); n != nil {
			return n
		}
		return string(v)
	case float64:
		if math.IsNaN(v) {
			return nil
		}
		return new(big.Float).SetFloat64(v)
	case int64:
		return new(big.Float).SetPrec(64).SetInt64(v)
	case uint64:
		return new(big.Float).SetPrec(64).SetUint64(v)
	case int:
		return new(big.Float).SetPrec(64).SetInt64(int64(v))
	}
	return v
}

// digits is a number in decimal; nil: the text is none. Integers of 64 bits are exact, others as exact as a float.
func digits(text string) *big.Float {
	p := &parser{text: text, expr: &Expr{}}
	if !isNumber(p) {
		return nil
	}
	switch v := number(strings.TrimPrefix(text, "+")).(type) {
	case int64:
		return new(big.Float).SetPrec(64).SetInt64(v)
	case float64:
		return new(big.Float).SetFloat64(v)
	}
	return nil
}

// isNumber reports whether the whole text is one number.
func isNumber(p *parser) (is bool) {
	defer func() {
		if _, fault := recover().(*Fault); fault {
			is = false
		}
	}()
	if p.text = strings.TrimPrefix(p.text, "+"); p.text == "" || len(p.text) > 400 {
		return false
	}
	p.next()
	return p.here.kind == kNumber && p.at == len(p.text)
}

// The words that jobs show to gates.
const (
	WhenFalse     = "when_false" // the reason of a task that was skipped by its condition
	SkippedByStep = "step"       // the trigger of a job that a step had skipped
	whenFalseText = "condition=false"
)

// Status is the status of a job whose task has ended in an outcome: SUCCESS, SKIPPED, FAILED, CANCELLED or BLOCKED.
func Status(outcome string) string { return strings.ToUpper(outcome) }

// SkipReason is why a job was skipped, in the words of AetherFlow.
func SkipReason(reason string) string {
	if reason == WhenFalse {
		return whenFalseText
	}
	return reason
}
