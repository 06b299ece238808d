package gate

import (
	"encoding/json"
	"strconv"
	"strings"
)

// CEL is the expression in the language of tasks' conditions, which have functions for what gates mean. ref gives what a reference is there.
func (e *Expr) CEL(ref func(Ref) string) string {
	if e.root == nil {
		return ""
	}
	c := &compiler{expr: e, ref: ref}
	return c.truth(e.root)
}

type compiler struct {
	expr *Expr
	ref  func(Ref) string
}

// truth is a node as a boolean.
func (c *compiler) truth(n *node) string {
	if n.op == opLiteral || n.op == opRef {
		if is, boolean := n.value.(bool); boolean && n.op == opLiteral {
			return strconv.FormatBool(is)
		}
		return "flow_true(" + c.value(n) + ")"
	}
	return c.value(n)
}

func (c *compiler) value(n *node) string {
	switch n.op {
	case opLiteral:
		return literal(n.value)
	case opRef:
		return c.ref(c.expr.refs[n.ref])
	case opNot:
		return "!" + c.truth(n.of[0])
	case opAnd, opOr:
		sign := " && "
		if n.op == opOr {
			sign = " || "
		}
		var terms []string
		for _, one := range n.of {
			terms = append(terms, c.truth(one))
		}
		return "(" + strings.Join(terms, sign) + ")"
	}
	var terms []string
	for i, sign := range n.signs {
		terms = append(terms, "flow_compare("+Quote(sign)+", "+c.value(n.of[i])+", "+c.value(n.of[i+1])+")")
	}
	if len(terms) == 1 {
		return terms[0]
	}
	return "(" + strings.Join(terms, " && ") + ")"
}

func literal(v any) string {
	switch v := v.(type) {
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		text := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(text, ".e") {
			text += ".0"
		}
		return text
	case string:
		return Quote(v)
	}
	return "null"
}

// Quote is a text as CEL writes it.
func Quote(text string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a string
	return strings.TrimSuffix(b.String(), "\n")
}
