package condition

import (
	"fmt"
	"strconv"
	"strings"

	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/parser"
)

// reserved are words that CEL keeps for later: no name of a variable or function.
var reserved = map[string]bool{"as": true, "break": true, "const": true, "continue": true, "else": true, "for": true, "function": true, "if": true,
	"import": true, "let": true, "loop": true, "package": true, "namespace": true, "return": true, "var": true, "void": true, "while": true}

// macros are those of CEL, by name, number of arguments, and whether they are called on a value.
var macros = func() map[string]parser.Macro {
	all := make(map[string]parser.Macro, len(parser.AllMacros))
	for _, m := range parser.AllMacros {
		all[macroKey(m.Function(), m.ArgCount(), m.IsReceiverStyle())] = m
	}
	return all
}()

func macroKey(name string, arguments int, method bool) string {
	return name + " " + strconv.Itoa(arguments) + " " + strconv.FormatBool(method)
}

// reader parses an expression by recursive descent. It gives up at the first fault by a panic with it, which parse recovers.
type reader struct {
	lexer
	here  token // what is read next
	info  *ast.SourceInfo
	make  ast.ExprFactory
	nodes int64
	depth int
}

// parse reads an expression into CEL's tree, with macros expanded.
func parse(text string, source common.Source) (tree *ast.AST, fault *Fault) {
	r := &reader{lexer: lexer{text: []rune(text)}, info: ast.NewSourceInfo(source), make: ast.NewExprFactoryWithAccumulator(parser.HiddenAccumulatorName)}
	defer func() {
		switch f := recover().(type) {
		case nil:
		case *Fault:
			tree, fault = nil, f
		default:
			panic(f)
		}
	}()
	r.advance()
	e := r.expression()
	if r.here.kind != end {
		r.unexpected("an operator or the end")
	}
	return ast.NewAST(e, r.info), nil
}

func (r *reader) fail(at int32, format string, args ...any) {
	panic(faultAt(r.text, int(at), fmt.Sprintf(format, args...)))
}

func (r *reader) unexpected(wanted string) {
	if r.here.kind == end {
		r.fail(r.here.start, "the expression ends where %s is expected", wanted)
	}
	shown := []rune(string(r.text[r.here.start:r.here.end]))
	if len(shown) > 30 {
		shown = append(shown[:30], '…')
	}
	r.fail(r.here.start, "unexpected %q where %s is expected", string(shown), wanted)
}

// advance takes the next token, and returns the one that was here.
func (r *reader) advance() token {
	was := r.here
	t, fault := r.next()
	if fault != nil {
		panic(fault)
	}
	r.here = t
	return was
}

// is says whether one of these signs is here.
func (r *reader) is(signs ...string) bool {
	for _, s := range signs {
		if r.here.kind == sign && r.here.text == s {
			return true
		}
	}
	return false
}

// want takes a sign that must be here.
func (r *reader) want(s string) token {
	if !r.is(s) {
		r.unexpected(strconv.Quote(s))
	}
	return r.advance()
}

// id numbers a new node that stands at a token.
func (r *reader) id(at token) int64 {
	if r.nodes++; r.nodes > MaxNodes {
		r.fail(at.start, "the expression has over %d parts", MaxNodes)
	}
	r.info.SetOffsetRange(r.nodes, ast.OffsetRange{Start: at.start, Stop: at.end})
	return r.nodes
}

// expression reads a whole expression: conditions, and what they choose between.
func (r *reader) expression() ast.Expr {
	if r.depth++; r.depth > MaxDepth {
		r.fail(r.here.start, "the expression is nested over %d deep", MaxDepth)
	}
	defer func() { r.depth-- }()
	e := r.chain(operators.LogicalOr, "||", func() ast.Expr {
		return r.chain(operators.LogicalAnd, "&&", r.relation)
	})
	if !r.is("?") {
		return e
	}
	id := r.id(r.advance())
	yes := r.chain(operators.LogicalOr, "||", func() ast.Expr {
		return r.chain(operators.LogicalAnd, "&&", r.relation)
	})
	r.want(":")
	return r.call(id, operators.Conditional, e, yes, r.expression())
}

// chain reads terms between one sign. The tree is balanced, as that of CEL's own parser is: it's no deeper than it must be.
func (r *reader) chain(function, between string, term func() ast.Expr) ast.Expr {
	terms := []ast.Expr{term()}
	var ids []int64
	for r.is(between) {
		at := r.advance()
		terms = append(terms, term())
		ids = append(ids, r.id(at))
	}
	var balanced func(lo, hi int) ast.Expr
	balanced = func(lo, hi int) ast.Expr {
		if lo > hi {
			return terms[lo]
		}
		mid := (lo + hi + 1) / 2
		return r.make.NewCall(ids[mid], function, balanced(lo, mid-1), balanced(mid+1, hi))
	}
	return balanced(0, len(ids)-1)
}

func (r *reader) relation() ast.Expr {
	return r.binary(r.sum, "<", "<=", ">=", ">", "==", "!=", "in")
}

func (r *reader) sum() ast.Expr { return r.binary(r.product, "+", "-") }

func (r *reader) product() ast.Expr { return r.binary(r.unary, "*", "/", "%") }

// binary reads terms between signs that bind alike, from left to right.
func (r *reader) binary(term func() ast.Expr, signs ...string) ast.Expr {
	left := term()
	for r.is(signs...) {
		at := r.advance()
		function, _ := operators.Find(at.text)
		id := r.id(at)
		left = r.call(id, function, left, term())
	}
	return left
}

// unary reads signs before a value. A minus before a number is part of the number.
func (r *reader) unary() ast.Expr {
	if !r.is("!", "-") || r.negative() {
		return r.member()
	}
	first, odd := r.advance(), true
	for r.is(first.text) {
		r.advance()
		odd = !odd
	}
	if !odd {
		return r.member()
	}
	function := operators.LogicalNot
	if first.text == "-" {
		function = operators.Negate
	}
	id := r.id(first)
	return r.call(id, function, r.member())
}

// negative says whether a minus is here, and a number after it.
func (r *reader) negative() bool {
	if !r.is("-") {
		return false
	}
	ahead := r.lexer
	t, fault := ahead.next()
	return fault == nil && (t.kind == integer || t.kind == float)
}

// member reads a value, and what is selected from it or called on it.
func (r *reader) member() ast.Expr {
	e := r.primary()
	for {
		switch {
		case r.is("."):
			dot := r.advance()
			if r.is("?") {
				r.fail(r.here.start, "there are no optional fields here: has(…) tells whether a field is there")
			}
			if r.here.kind != word && r.here.kind != escaped {
				r.unexpected("a name")
			}
			name := r.advance()
			if name.kind == escaped || !r.is("(") {
				e = r.make.NewSelect(r.id(dot), e, name.text)
				continue
			}
			id := r.id(r.advance())
			e = r.method(id, e, name.text, r.arguments(")"))
		case r.is("["):
			id := r.id(r.advance())
			if r.is("?") {
				r.fail(r.here.start, "there are no optional fields here: has(…) tells whether a field is there")
			}
			index := r.expression()
			r.want("]")
			e = r.call(id, operators.Index, e, index)
		default:
			return e
		}
	}
}

// primary reads a value.
func (r *reader) primary() ast.Expr {
	switch at := r.here; {
	case r.is("("):
		r.advance()
		e := r.expression()
		r.want(")")
		return e
	case r.is("["):
		id := r.id(r.advance())
		return r.make.NewList(id, r.arguments("]"), nil)
	case r.is("{"):
		id := r.id(r.advance())
		return r.make.NewMap(id, r.entries())
	case r.is("true", "false"):
		return r.literal(r.advance(), types.Bool(at.text == "true"))
	case r.is("null"):
		return r.literal(r.advance(), types.NullValue)
	case at.kind == quoted:
		return r.literal(r.advance(), types.String(at.text))
	case r.is("-"), at.kind == integer, at.kind == float, at.kind == unsigned:
		return r.number()
	case r.is("."), at.kind == word:
		return r.name()
	}
	r.unexpected("a value")
	return nil
}

func (r *reader) literal(at token, v ref.Val) ast.Expr { return r.make.NewLiteral(r.id(at), v) }

// number reads a number, with its sign.
func (r *reader) number() ast.Expr {
	first, minus := r.here, ""
	if r.is("-") {
		r.advance()
		minus = "-"
	}
	n := r.here
	digits, base := n.text, 10
	if hexadecimal, ok := strings.CutPrefix(n.text, "0x"); ok {
		digits, base = hexadecimal, 16
	}
	var v ref.Val
	var err error
	switch n.kind {
	case integer:
		var i int64
		i, err = strconv.ParseInt(minus+digits, base, 64)
		v = types.Int(i)
	case unsigned:
		var u uint64
		u, err = strconv.ParseUint(digits[:len(digits)-1], base, 64)
		v = types.Uint(u)
	case float:
		var f float64
		f, err = strconv.ParseFloat(minus+digits, 64)
		v = types.Double(f)
	default:
		r.unexpected("a number")
	}
	if err != nil {
		r.fail(first.start, "the number %s%s is too large", minus, n.text)
	}
	r.advance()
	return r.literal(first, v)
}

// name reads a variable, or a call of a function.
func (r *reader) name() ast.Expr {
	dot := ""
	if r.is(".") {
		r.advance()
		dot = "."
	}
	if r.here.kind != word {
		r.unexpected("a name")
	}
	name := r.advance()
	if reserved[name.text] {
		r.fail(name.start, "%q is a word that CEL keeps for itself", name.text)
	}
	if !r.is("(") {
		return r.make.NewIdent(r.id(name), dot+name.text)
	}
	id := r.id(r.advance())
	return r.call(id, dot+name.text, r.arguments(")")...)
}

// arguments reads expressions up to a closing bracket. A list may have a comma before it.
func (r *reader) arguments(closing string) []ast.Expr {
	list := []ast.Expr{}
	for !r.is(closing) {
		if r.is(",") && closing == "]" && len(list) == 0 {
			r.advance()
			break
		}
		if r.is("?") && closing == "]" {
			r.fail(r.here.start, "there are no optional elements here")
		}
		list = append(list, r.expression())
		if !r.is(",") {
			break
		}
		r.advance()
		if r.is(closing) && closing != "]" {
			r.unexpected("a value")
		}
	}
	r.want(closing)
	return list
}

// entries reads those of a map, and its closing bracket.
func (r *reader) entries() []ast.EntryExpr {
	list := []ast.EntryExpr{}
	for !r.is("}") {
		if r.is(",") && len(list) == 0 {
			r.advance()
			break
		}
		if r.is("?") {
			r.fail(r.here.start, "there are no optional entries here")
		}
		key := r.expression()
		id := r.id(r.want(":"))
		list = append(list, r.make.NewMapEntry(id, key, r.expression(), false))
		if !r.is(",") {
			break
		}
		r.advance()
	}
	r.want("}")
	return list
}

func (r *reader) call(id int64, function string, args ...ast.Expr) ast.Expr {
	if e := r.expand(id, function, nil, args); e != nil {
		return e
	}
	return r.make.NewCall(id, function, args...)
}

func (r *reader) method(id int64, target ast.Expr, function string, args []ast.Expr) ast.Expr {
	if e := r.expand(id, function, target, args); e != nil {
		return e
	}
	return r.make.NewMemberCall(id, function, target, args...)
}

// expand is what a macro makes of a call, or nil if it's none.
func (r *reader) expand(id int64, function string, target ast.Expr, args []ast.Expr) ast.Expr {
	macro, ok := macros[macroKey(function, len(args), target != nil)]
	if !ok {
		return nil
	}
	if target != nil && args[0].Kind() == ast.IdentKind {
		if name := args[0].AsIdent(); roots[name] {
			at, _ := r.info.GetOffsetRange(args[0].ID())
			r.fail(at.Start, "%q means something else: call the variable of %s otherwise", name, function)
		}
	}
	e, err := macro.Expander()(&expansion{r: r, ExprFactory: r.make, at: id}, target, args)
	if err != nil {
		at, _ := r.info.GetOffsetRange(err.ExprID)
		r.fail(at.Start, "%s: %s", function, err.Message)
	}
	return e
}

// expansion makes the nodes of a macro, all of which stand where the macro does.
type expansion struct {
	ast.ExprFactory
	r  *reader
	at int64
}

func (e *expansion) id() int64 {
	at, _ := e.r.info.GetOffsetRange(e.at)
	return e.r.id(token{start: at.Start, end: at.Stop})
}

func (e *expansion) Copy(x ast.Expr) ast.Expr       { return e.ExprFactory.CopyExpr(x) }
func (e *expansion) NewLiteral(v ref.Val) ast.Expr  { return e.ExprFactory.NewLiteral(e.id(), v) }
func (e *expansion) NewIdent(name string) ast.Expr  { return e.ExprFactory.NewIdent(e.id(), name) }
func (e *expansion) NewAccuIdent() ast.Expr         { return e.ExprFactory.NewAccuIdent(e.id()) }
func (e *expansion) NewList(l ...ast.Expr) ast.Expr { return e.ExprFactory.NewList(e.id(), l, nil) }
func (e *expansion) NewMap(l ...ast.EntryExpr) ast.Expr {
	return e.ExprFactory.NewMap(e.id(), l)
}

func (e *expansion) NewMapEntry(key, value ast.Expr, optional bool) ast.EntryExpr {
	return e.ExprFactory.NewMapEntry(e.id(), key, value, optional)
}

func (e *expansion) NewStruct(name string, fields ...ast.EntryExpr) ast.Expr {
	return e.ExprFactory.NewStruct(e.id(), name, fields)
}

func (e *expansion) NewStructField(name string, value ast.Expr, optional bool) ast.EntryExpr {
	return e.ExprFactory.NewStructField(e.id(), name, value, optional)
}

func (e *expansion) NewComprehension(over ast.Expr, variable, accumulator string, first, while, step, result ast.Expr) ast.Expr {
	return e.ExprFactory.NewComprehension(e.id(), over, variable, accumulator, first, while, step, result)
}

func (e *expansion) NewComprehensionTwoVar(over ast.Expr, variable, second, accumulator string, first, while, step, result ast.Expr) ast.Expr {
	return e.ExprFactory.NewComprehensionTwoVar(e.id(), over, variable, second, accumulator, first, while, step, result)
}

func (e *expansion) NewCall(function string, args ...ast.Expr) ast.Expr {
	return e.ExprFactory.NewCall(e.id(), function, args...)
}

func (e *expansion) NewMemberCall(function string, target ast.Expr, args ...ast.Expr) ast.Expr {
	return e.ExprFactory.NewMemberCall(e.id(), function, target, args...)
}

func (e *expansion) NewPresenceTest(operand ast.Expr, field string) ast.Expr {
	return e.ExprFactory.NewPresenceTest(e.id(), operand, field)
}

func (e *expansion) NewSelect(operand ast.Expr, field string) ast.Expr {
	return e.ExprFactory.NewSelect(e.id(), operand, field)
}

func (e *expansion) OffsetLocation(id int64) common.Location { return e.r.info.GetStartLocation(id) }

func (e *expansion) NewError(id int64, message string) *common.Error {
	return common.NewError(id, message, e.OffsetLocation(id))
}
