package treefile

import (
	"cmp"
	"strconv"
	"strings"
)

// maxDigits is how many digits an integer of a parameter has at most.
const maxDigits = 400

// decimal is a number of JSON as its digits, without zeros at the beginning and the end, and the place of the point among them.
func (n *node) decimal() (negative bool, digits string, point int, ok bool) {
	text, negative := strings.CutPrefix(n.text, "-")
	mantissa, exponent := text, 0
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		var err error
		if exponent, err = strconv.Atoi(text[i+1:]); err != nil || exponent > 1<<30 || exponent < -1<<30 {
			return false, "", 0, false
		}
		mantissa = text[:i]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits = whole + fraction
	stripped := strings.TrimLeft(digits, "0")
	point = len(whole) + exponent - (len(digits) - len(stripped))
	if digits = strings.TrimRight(stripped, "0"); digits == "" {
		return false, "", 0, true
	}
	return negative, digits, point, true
}

// plainInteger is an integer as plain digits, which says 3.0 and 1e3, too; nil: it is none, or has more of them than an integer may have.
func (n *node) plainInteger() *node {
	negative, digits, point, ok := n.decimal()
	if !ok || point > maxDigits || len(digits) > point {
		return nil
	}
	out := &node{at: n.at, kind: n.kind, text: digits + strings.Repeat("0", point-len(digits))}
	if out.text == "" {
		out.text = "0"
	}
	if negative {
		out.text = "-" + out.text
	}
	return out
}

// compare compares two numbers, digit by digit.
func (n *node) compare(other *node) int {
	a, aDigits, aPoint, aOK := n.decimal()
	b, bDigits, bPoint, bOK := other.decimal()
	if !aOK || !bOK { // an exponent beyond all that is compared
		x, _ := n.number()
		y, _ := other.number()
		return cmp.Compare(x, y)
	}
	sign := func(negative bool, digits string) int {
		switch {
		case digits == "":
			return 0
		case negative:
			return -1
		}
		return 1
	}
	if of := sign(a, aDigits); of == 0 || of != sign(b, bDigits) {
		return cmp.Compare(of, sign(b, bDigits))
	}
	larger := cmp.Or(cmp.Compare(aPoint, bPoint), strings.Compare(aDigits, bDigits))
	if a {
		return -larger
	}
	return larger
}

// plain is a value of the parameter as it is written out: integers as plain digits, however they were written.
func (p *parameter) plain(n *node) *node {
	switch {
	case n.kind == '0' && p.kind == "integer":
		if plain := n.plainInteger(); plain != nil {
			return plain
		}
	case n.kind == '[' && p.items != nil:
		out := &node{at: n.at, kind: n.kind, items: make([]*node, len(n.items))}
		for i, item := range n.items {
			out.items[i] = p.items.plain(item)
		}
		return out
	}
	return n
}
