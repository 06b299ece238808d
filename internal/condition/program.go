package condition

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"cel.dev/cel-go/checker"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
)

// The bounds of an expression, and of one evaluation.
const (
	MaxText  = 4096      // bytes
	MaxDepth = 32        // of brackets and choices within each other
	MaxNodes = 1000      // parts, those that macros make counted
	MaxCost  = 1_000_000 // steps, of which a long text takes many
	MaxScope = 1 << 20   // bytes of the inputs and results of a scope together
)

// Kind says which language an expression is of.
type Kind int

// The languages.
const (
	When  Kind = iota // a task's condition, over what it depends on
	Until             // the end of a task's loop, over the last result
)

// Program is a compiled expression. It's safe for concurrent use.
type Program struct {
	text    string
	kind    Kind
	tree    *ast.AST
	needs   Needs
	named   []Name
	running sync.Pool // of *run
}

// Needs says what an expression may look at, so that nobody loads more. Outcomes, statuses and numbers of attempts are there in any case.
type Needs struct {
	Inputs  bool
	Errors  bool
	Results bool     // results or outputs, of dependencies
	Of      []string // the names of those whose results or outputs are meant; none, with Results: of any
}

// ResultOf says whether the expression may look at the result of a dependency.
func (n Needs) ResultOf(d *Dependency) bool {
	if !n.Results || len(n.Of) == 0 {
		return n.Results
	}
	for _, name := range n.Of {
		if name == d.Ref || name == d.ID || name == d.Name {
			return true
		}
	}
	return false
}

// Name is a dependency that an expression names by a literal, and where it does.
type Name struct {
	Name         string
	Line, Column int
}

// Text is the expression.
func (p *Program) Text() string { return p.text }

// Needs says what the expression may look at.
func (p *Program) Needs() Needs { return p.needs }

// Names are the dependencies that the expression names, in the order of their places.
func (p *Program) Names() []Name { return p.named }

// Compile reads and checks an expression. What it finds is in [Faults], in full as far as it gets: a fault of the grammar hides those of types.
// The names of dependencies are not checked: see [Program.Unknown].
func Compile(kind Kind, text string) (*Program, error) {
	if p := remembered.get(kind, text); p != nil {
		return p, nil
	}
	p, faults := compile(kind, text)
	if len(faults) > 0 {
		slices.SortStableFunc(faults, func(a, b *Fault) int {
			if a.Line != b.Line {
				return a.Line - b.Line
			}
			return a.Column - b.Column
		})
		return nil, faults
	}
	remembered.put(p)
	return p, nil
}

func compile(kind Kind, text string) (*Program, Faults) {
	switch {
	case len(text) > MaxText:
		return nil, Faults{{1, 1, fmt.Sprintf("the expression has %d bytes, at most %d are allowed", len(text), MaxText)}}
	case !utf8.ValidString(text):
		return nil, Faults{{1, 1, "the expression is not UTF-8"}}
	case strings.TrimSpace(text) == "":
		return nil, Faults{{1, 1, "the expression is empty"}}
	}
	source := common.NewTextSource(text)
	parsed, fault := parse(text, source)
	if fault != nil {
		return nil, Faults{fault}
	}
	tree, errs := checker.Check(parsed, source, known().checks[kind])
	var faults Faults
	for _, e := range errs.GetErrors() {
		faults = append(faults, &Fault{e.Location.Line(), e.Location.Column() + 1, plainly(e.Message)})
	}
	if len(faults) > 0 {
		return nil, faults
	}
	p := &Program{text: text, kind: kind, tree: tree}
	faults = append(faults, p.look()...)
	if t := tree.GetType(tree.Expr().ID()); t.Kind() != types.BoolKind && t.Kind() != types.DynKind {
		faults = append(faults, &Fault{1, 1, "the expression must give true or false, and gives " + checker.FormatCELType(t)})
	}
	if len(faults) > 0 {
		return nil, faults
	}
	first, err := p.plan()
	if err != nil {
		return nil, Faults{{1, 1, err.Error()}}
	}
	p.running.Put(first)
	return p, nil
}

// plainly says what CEL's checker found in words for people.
func plainly(message string) string {
	message = strings.ReplaceAll(message, " (in container '')", "")
	for _, op := range []string{operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo, operators.Equals, operators.NotEquals,
		operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals, operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot,
		operators.Negate, operators.In, operators.Index, operators.Conditional} {
		if shown, ok := operators.FindReverse(op); ok && shown != "" {
			message = strings.ReplaceAll(message, "'"+op+"'", "'"+shown+"'")
		}
	}
	message = strings.ReplaceAll(message, "'"+operators.Index+"'", "'[]'")
	message = strings.ReplaceAll(message, "'"+operators.Conditional+"'", "'?:'")
	return message
}

// look finds what the expression names and needs, and faults that CEL's checker does not see.
func (p *Program) look() (faults Faults) {
	anyResult := false
	ast.PreOrderVisit(p.tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.IdentKind:
			switch strings.TrimPrefix(e.AsIdent(), ".") {
			case "inputs":
				p.needs.Inputs = true
			}
		case ast.SelectKind:
			s := e.AsSelect()
			if isDeps(s.Operand()) {
				p.name(s.FieldName(), e)
			}
			if !p.isDependency(s.Operand()) {
				break
			}
			switch name, literal := named(s.Operand()); {
			case s.FieldName() == "error":
				p.needs.Errors = true
			case s.FieldName() != "result" && s.FieldName() != "outputs":
			case literal && !anyResult:
				p.needs.Results, p.needs.Of = true, append(p.needs.Of, name)
			default:
				p.needs.Results, p.needs.Of, anyResult = true, nil, true
			}
		case ast.CallKind:
			faults = append(faults, p.call(e)...)
		}
	}))
	return faults
}

// named is the name by which an expression of a dependency calls it, if that is written out.
func named(e ast.Expr) (string, bool) {
	switch {
	case e.Kind() == ast.SelectKind && isDeps(e.AsSelect().Operand()):
		return e.AsSelect().FieldName(), true
	case e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.Index && isDeps(e.AsCall().Args()[0]):
		return literal(e.AsCall().Args()[1])
	}
	return "", false
}

func (p *Program) isDependency(e ast.Expr) bool {
	return p.tree.GetType(e.ID()).TypeName() == dependencyType.TypeName()
}

func isDeps(e ast.Expr) bool {
	return e.Kind() == ast.IdentKind && strings.TrimPrefix(e.AsIdent(), ".") == "deps"
}

func (p *Program) name(name string, at ast.Expr) {
	where := p.tree.SourceInfo().GetStartLocation(at.ID())
	p.named = append(p.named, Name{name, where.Line(), where.Column() + 1})
}

// fault is one at a node.
func (p *Program) fault(at ast.Expr, format string, args ...any) *Fault {
	where := p.tree.SourceInfo().GetStartLocation(at.ID())
	return &Fault{where.Line(), where.Column() + 1, fmt.Sprintf(format, args...)}
}

// call looks at a call: dependencies that are named, words that can't be, and patterns.
func (p *Program) call(e ast.Expr) (faults Faults) {
	c := e.AsCall()
	args := c.Args()
	switch c.FunctionName() {
	case operators.Index:
		if name, ok := literal(args[1]); ok && isDeps(args[0]) {
			p.name(name, args[1])
		}
	case operators.Equals, operators.NotEquals:
		faults = append(faults, p.word(args[0], args[1])...)
		faults = append(faults, p.word(args[1], args[0])...)
	case operators.In:
		if args[1].Kind() == ast.ListKind {
			for _, word := range args[1].AsList().Elements() {
				faults = append(faults, p.word(args[0], word)...)
			}
		}
	case overloads.Matches:
		pattern := args[len(args)-1]
		text, ok := literal(pattern)
		if !ok {
			return Faults{p.fault(pattern, "the pattern of matches must be written out")}
		}
		if _, err := compilePattern(text); err != nil {
			return Faults{p.fault(pattern, "%s", err)}
		}
	}
	return faults
}

// word finds a word that an outcome or a status never is.
func (p *Program) word(of, word ast.Expr) Faults {
	text, ok := literal(word)
	if !ok || of.Kind() != ast.SelectKind {
		return nil
	}
	s := of.AsSelect()
	if !p.isDependency(s.Operand()) {
		return nil
	}
	for field, words := range map[string][]string{"outcome": outcomes, "status": statuses} {
		if s.FieldName() == field && !slices.Contains(words, text) {
			return Faults{p.fault(word, "no %s is %q: it is one of %s", field, text, strings.Join(words, ", "))}
		}
	}
	return nil
}

func literal(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}

// Unknown finds names that no dependency has, and names that several have. It's [Faults], or nil.
func (p *Program) Unknown(deps []Dependency) error {
	var faults Faults
	known := addresses(deps)
	for _, n := range p.named {
		switch i, ok := known[n.Name]; {
		case !ok:
			faults = append(faults, &Fault{n.Line, n.Column, fmt.Sprintf("the task does not depend on %q", n.Name)})
		case i < 0:
			faults = append(faults, &Fault{n.Line, n.Column, fmt.Sprintf("several dependencies have the name %q: call the one that is meant by its id", n.Name)})
		}
	}
	if faults == nil {
		return nil
	}
	return faults
}

// Check compiles an expression, and checks the names in it. It's [Faults], or nil.
func Check(kind Kind, text string, deps []Dependency) error {
	p, err := Compile(kind, text)
	if err != nil {
		return err
	}
	return p.Unknown(deps)
}

// AsFaults are the faults in an error of [Compile] or [Program.Unknown].
func AsFaults(err error) Faults {
	faults, _ := errors.AsType[Faults](err)
	return faults
}

// remembered are programs by their texts. Conditions of one tree, and of the next one, tend to say the same.
var remembered cache

// cache keeps programs of two generations: when the younger one is full, the older one goes.
type cache struct {
	mu         sync.Mutex
	young, old map[string]*Program
	bytes      int // of the texts in young
}

// A generation of programs has at most this many, and texts of at most this many bytes.
const (
	cachedPrograms = 512
	cachedBytes    = 128 << 10
)

func cacheKey(kind Kind, text string) string { return string(rune('0'+kind)) + text }

func (c *cache) get(kind Kind, text string) *Program {
	if len(text) > MaxText {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := cacheKey(kind, text)
	if p := c.young[key]; p != nil {
		return p
	}
	p := c.old[key]
	if p != nil {
		c.add(key, p)
	}
	return p
}

func (c *cache) put(p *Program) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(cacheKey(p.kind, p.text), p)
}

func (c *cache) add(key string, p *Program) {
	if len(c.young) >= cachedPrograms || c.bytes+len(key) > cachedBytes {
		c.old, c.young, c.bytes = c.young, nil, 0
	}
	if c.young == nil {
		c.young = make(map[string]*Program)
	}
	if c.young[key] == nil {
		c.bytes += len(key)
	}
	c.young[key] = p
}
