package condition

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

// Eval is the verdict over a scope. The error is a [*Fault]: of a missing key, a wrong type, too much work, a scope that is too large. The same program
// and scope give the same verdict.
func (p *Program) Eval(scope *Scope) (verdict bool, err error) {
	if n := scope.size(); n > MaxScope {
		return false, &Fault{1, 1, fmt.Sprintf("the values to look at have %d bytes, at most %d are allowed", n, MaxScope)}
	}
	r, _ := p.running.Get().(*run)
	if r == nil {
		if r, err = p.plan(); err != nil {
			return false, &Fault{1, 1, err.Error()}
		}
	}
	value, fault := r.eval(&scopeVariables{Scope: scope})
	if fault == nil { // one that broke off may be in any state
		defer p.running.Put(r) // once its trail has told where an error came up
	}
	switch v := value.(type) {
	case types.Bool:
		return bool(v), nil
	case *types.Err:
		return false, r.fault(v.NodeID(), v)
	case nil:
		return false, r.fault(0, fault)
	default:
		return false, r.fault(p.tree.Expr().ID(), fmt.Errorf("the expression must give true or false, and gave %s", v.Type().TypeName()))
	}
}

// run is a plan of a program, for one evaluation at a time.
type run struct {
	p    *Program
	plan interpreter.InterpretableV2
	trail
}

// trail follows an evaluation step by step: it counts what they cost, and remembers where the evaluation is and where its last error came up. To
// CEL it's the state of an evaluation. CEL's own account of costs is not used: it walks over all steps that were not taken off its stack, and so
// takes a minute for a loop over a long list.
type trail struct {
	spent uint64
	last  int64
	err   ref.Val
	errID int64
}

func (t *trail) IDs() []int64                { return nil }
func (t *trail) Value(int64) (ref.Val, bool) { return nil, false }
func (t *trail) Reset()                      { *t = trail{} }
func (t *trail) SetValue(id int64, v ref.Val) {
	t.last = id
	if types.IsError(v) && v != t.err {
		t.err, t.errID = v, id
	}
	t.spend(weight(v))
}

// spend counts units of work, and breaks the evaluation off at the bound.
func (t *trail) spend(n uint64) {
	if t.spent = saturated(t.spent, n); t.spent > MaxCost {
		panic(tooMuch{})
	}
}

// tooMuch is the panic of an evaluation that reached its bound.
type tooMuch struct{}

func (tooMuch) Error() string {
	return fmt.Sprintf("it takes more than %d steps", MaxCost)
}

// eval runs the plan. A nil value means that it broke off.
func (r *run) eval(vars interpreter.Activation) (value ref.Val, fault error) {
	r.trail.Reset()
	defer func() {
		switch e := recover().(type) {
		case nil:
		case tooMuch:
			value, fault = nil, e
		default:
			value, fault = nil, fmt.Errorf("it can't be evaluated: %v", e)
		}
	}()
	frame, err := interpreter.NewExecutionFrame(vars)
	if err != nil {
		return nil, err
	}
	defer frame.Close()
	return r.plan.Exec(frame), nil
}

// fault is an error with its place: that of a node, or where the evaluation was.
func (r *run) fault(id int64, err error) *Fault {
	if e, ok := err.(*types.Err); ok && ref.Val(e) == r.err {
		id = r.errID
	}
	if id <= 0 {
		id = r.last
	}
	where := r.p.tree.SourceInfo().GetStartLocation(id)
	line, column := where.Line(), where.Column()+1
	if line < 1 || column < 1 {
		line, column = 1, 1
	}
	return &Fault{line, column, reason(err.Error())}
}

// maxReason bounds what an error says: a key that is missing may have any length.
const maxReason = 300

func reason(text string) string {
	if key, ok := strings.CutPrefix(text, "no such key: "); ok {
		text = fmt.Sprintf("there is no key %q", key)
	}
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}

// plan makes a run. Calls that may be much work are counted by what they do.
func (p *Program) plan() (*run, error) {
	r := &run{p: p}
	plan, err := known().interpret.NewInterpretable(p.tree,
		interpreter.CustomDecoratorV2(r.counted),
		interpreter.EvalStateObserver(interpreter.EvalStateFactory(func() interpreter.EvalState { return &r.trail })),
	)
	r.plan = plan
	return r, err
}

// counted replaces calls that walk over values of any size, which may be shared many times over within each other: a few lists of lists would keep
// a comparison busy for ever. Maps that are written out get an order.
func (r *run) counted(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	if c, ok := i.(interpreter.InterpretableConstructor); ok && c.Type() == types.MapType {
		return sortedLiteral{c}, nil
	}
	c, ok := i.(interpreter.InterpretableCall)
	if !ok {
		return i, nil
	}
	binary := func(f func(a, b ref.Val) ref.Val) interpreter.InterpretableV2 {
		return interpreter.NewCall(c.ID(), c.Function(), c.OverloadID(), c.Args(), func(args ...ref.Val) ref.Val { return f(args[0], args[1]) })
	}
	switch {
	case c.Function() == operators.Equals:
		return binary(func(a, b ref.Val) ref.Val { return types.Bool(r.equal(a, b)) }), nil
	case c.Function() == operators.NotEquals:
		return binary(func(a, b ref.Val) ref.Val { return types.Bool(!r.equal(a, b)) }), nil
	case c.Function() == operators.In:
		return binary(r.in), nil
	case c.Function() == operators.Add:
		return binary(r.add), nil
	case c.Function() == overloads.Matches:
		constant, ok := c.Args()[1].(interpreter.InterpretableConst)
		if !ok {
			return nil, fmt.Errorf("the pattern of matches must be written out")
		}
		text, _ := constant.Value().(types.String)
		compiled, err := compilePattern(string(text))
		if err != nil {
			return nil, err
		}
		return binary(func(a, _ ref.Val) ref.Val { return r.matches(a, compiled) }), nil
	}
	return i, nil
}

// equal says whether two values are, over types as CEL has it, and counts each pair that it looks at.
func (r *run) equal(a, b ref.Val) bool {
	r.spend(min(weight(a), weight(b)))
	switch a := a.(type) {
	case traits.Lister:
		b, ok := b.(traits.Lister)
		if !ok || a.Size() != b.Size() {
			return false
		}
		for i, j := a.Iterator(), b.Iterator(); i.HasNext() == types.True; {
			if !r.equal(i.Next(), j.Next()) {
				return false
			}
		}
		return true
	case traits.Mapper:
		b, ok := b.(traits.Mapper)
		if !ok || a.Size() != b.Size() {
			return false
		}
		for i := a.Iterator(); i.HasNext() == types.True; {
			key := i.Next()
			r.spend(1)
			other, found := b.Find(key)
			if !found || !r.equal(a.Get(key), other) {
				return false
			}
		}
		return true
	}
	return types.Equal(a, b) == types.True
}

// in says whether a list has an element, or a map a key.
func (r *run) in(element, of ref.Val) ref.Val {
	switch of := of.(type) {
	case traits.Mapper:
		return of.Contains(element)
	case traits.Lister:
		for i := of.Iterator(); i.HasNext() == types.True; {
			if r.equal(element, i.Next()) {
				return types.True
			}
		}
		return types.False
	}
	return types.NewErr("no such overload")
}

// add is CEL's, and counts the length of lists: they are joined without being copied, whatever their length.
func (r *run) add(a, b ref.Val) ref.Val {
	adder, ok := a.(traits.Adder)
	if !ok {
		return types.NewErr("no such overload")
	}
	if _, ok := a.(traits.MutableLister); ok { // of a macro: it grows in place
		r.spend(1)
		if added, ok := b.(traits.Lister); ok {
			r.spend(uint64(added.Size().(types.Int)))
		}
		return adder.Add(b)
	}
	sum := adder.Add(b)
	if list, ok := sum.(traits.Lister); ok {
		if n, ok := list.Size().(types.Int); ok && n > 0 {
			r.spend(uint64(n))
		}
	}
	return sum
}

// matches says whether a pattern is in a text. Its work is counted before it is done.
func (r *run) matches(v ref.Val, p pattern) ref.Val {
	text, ok := v.(types.String)
	if !ok {
		return types.NewErr("no such overload")
	}
	r.spend((uint64(len(text))/10 + 1) * (p.steps/4 + 1))
	return types.Bool(p.MatchString(string(text)))
}

// pattern is a compiled one, and how long its program is.
type pattern struct {
	*regexp.Regexp
	steps uint64
}

func compilePattern(text string) (pattern, error) {
	compiled, err := regexp.Compile(text)
	if err != nil {
		return pattern{}, fmt.Errorf("the pattern is none: %w", err)
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return pattern{}, fmt.Errorf("the pattern is none: %w", err)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return pattern{}, fmt.Errorf("the pattern is none: %w", err)
	}
	return pattern{compiled, uint64(len(program.Inst))}, nil
}

// sortedLiteral is a map that is written out.
type sortedLiteral struct {
	interpreter.InterpretableConstructor
}

func (s sortedLiteral) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	v := s.InterpretableConstructor.Exec(frame)
	if m, ok := v.(traits.Mapper); ok {
		return sorted{m}
	}
	return v
}

func (s sortedLiteral) Eval(vars interpreter.Activation) ref.Val {
	return s.Exec(interpreter.AsFrame(vars))
}
