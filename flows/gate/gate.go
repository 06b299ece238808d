// Package gate reads and evaluates what jobs of flows say as `when`: comparisons of other jobs' statuses and outputs.
//
//	expr  = or ;  or = and { "or" and } ;  and = not { "and" not } ;  not = [ "not" ] cmp
//	cmp   = term { ( "==" | "!=" | ">" | ">=" | "<" | "<=" ) term }       chains: a < b < c
//	term  = "(" expr ")" | "jobs" "." id "." ( "status" | "skip_reason" | "skip_trigger" | "outputs" "." key { "." key } ) | literal
//	literal = integer | float | 'string' | "string" | true | false | null     (also True False None, in any case)
//
// It owns the grammar, and what an expression means. It must not know where jobs and their values come from, or what follows from a verdict: it reads no
// clock, opens nothing, and is total: any text gives an expression or a fault, and any expression and values a verdict or an error.
package gate

import (
	"fmt"
	"strings"
)

// Bounds of an expression.
const (
	MaxText  = 4 << 10 // bytes
	MaxDepth = 64      // of brackets and nots within each other
)

// Expr is an expression that was read. It is never changed.
type Expr struct {
	root *node // nil: the empty text, which holds
	refs []Ref
}

// Ref is what an expression names of a job.
type Ref struct {
	Job    string
	Field  string   // status, skip_reason, skip_trigger or outputs
	Path   []string // of outputs: the key, and what is below it
	Offset int      // in the text, in bytes
}

// String is the reference as it is written.
func (r Ref) String() string {
	return strings.Join(append([]string{"jobs", r.Job, r.Field}, r.Path...), ".")
}

// Fault is why a text is no expression. Its text shows parts of the expression.
type Fault struct {
	Offset int // in bytes
	Reason string
}

// Error says where, in bytes from 1, and what.
func (f *Fault) Error() string { return fmt.Sprintf("at %d: %s", f.Offset+1, f.Reason) }

type op int

const (
	opLiteral op = iota
	opRef
	opAnd
	opOr
	opNot
	opCompare // of[0] signs[0] of[1] signs[1] of[2] …
)

type node struct {
	op    op
	value any // of a literal: nil, bool, int64, float64 or string
	ref   int // of refs
	of    []*node
	signs []string
}

// Fields are what a job shows to gates.
var Fields = []string{"status", "skip_reason", "skip_trigger", "outputs"}

// Parse reads an expression. An empty text always holds. The error is a *[Fault].
func Parse(text string) (*Expr, error) {
	if len(text) > MaxText {
		return nil, &Fault{MaxText, fmt.Sprintf("is longer than %d bytes", MaxText)}
	}
	e := &Expr{}
	if strings.Trim(text, blanks) == "" {
		return e, nil
	}
	p := &parser{text: text, expr: e}
	if fault := p.read(); fault != nil {
		return nil, fault
	}
	return e, nil
}

// Empty reports whether the expression says nothing, and so always holds.
func (e *Expr) Empty() bool { return e.root == nil }

// Refs are what the expression names, in its order.
func (e *Expr) Refs() []Ref { return e.refs }
