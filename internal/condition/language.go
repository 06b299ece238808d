package condition

import (
	"strings"
	"sync"

	"cel.dev/cel-go/checker"
	"cel.dev/cel-go/common/containers"
	"cel.dev/cel-go/common/decls"
	"cel.dev/cel-go/common/stdlib"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// outcomes and statuses are the words that a dependency's fields of these names can be.
var (
	outcomes = []string{"success", "skipped", "failed", "cancelled", "blocked"}
	statuses = []string{"completed", "failed", "cancelled", "pending"}
)

// The types of what expressions name. Texts that may be missing are null then.
var (
	dependencyType = types.NewObjectType("tasks.Dependency")
	treeType       = types.NewObjectType("tasks.Tree")
	taskType       = types.NewObjectType("tasks.Task")
	anyMap         = types.NewMapType(types.StringType, types.DynType)
	nullable       = types.NewNullableType(types.StringType)
)

// roots are the names of all variables. The variable of a macro can't have one.
var roots = map[string]bool{"deps": true, "inputs": true, "tree": true, "task": true, "result": true, "attempt": true}

// variables are what the two languages know beside the types and functions of CEL.
var variables = [2][]*decls.VariableDecl{
	When: {decls.NewVariable("deps", types.NewMapType(types.StringType, dependencyType)), decls.NewVariable("inputs", anyMap),
		decls.NewVariable("tree", treeType), decls.NewVariable("task", taskType)},
	Until: {decls.NewVariable("result", types.DynType), decls.NewVariable("attempt", types.IntType), decls.NewVariable("inputs", anyMap),
		decls.NewVariable("tree", treeType), decls.NewVariable("task", taskType)},
}

// known is what CEL's checker and interpreter must know. It's made when the first expression is compiled: most processes never see one.
var known = sync.OnceValue(func() *knowledge {
	k := &knowledge{calls: interpreter.NewDispatcher()}
	own := standard()
	for _, f := range own {
		bindings, err := f.Bindings()
		mustBe(err)
		mustBe(k.calls.Add(bindings...))
	}
	for kind, vars := range variables {
		env, err := checker.NewEnv(containers.DefaultContainer, provider{}, checker.CrossTypeNumericComparisons(true))
		mustBe(err)
		mustBe(env.AddIdents(stdlib.Types()...))
		mustBe(env.AddIdents(vars...))
		mustBe(env.AddFunctions(own...))
		k.checks[kind] = env
	}
	k.attributes = interpreter.NewAttributeFactory(containers.DefaultContainer, types.DefaultTypeAdapter, provider{})
	k.interpret = interpreter.NewInterpreter(k.calls, containers.DefaultContainer, provider{}, types.DefaultTypeAdapter, k.attributes)
	// CEL labels some errors that all share with the place where the first of them happened. With a label they are left alone.
	types.LabelErrNode(-1, types.NoSuchOverloadErr())
	return k
})

type knowledge struct {
	calls      interpreter.Dispatcher
	checks     [2]*checker.Env
	attributes interpreter.AttributeFactory
	interpret  interpreter.Interpreter
}

// mustBe panics on an error of what is fixed when the program is built.
func mustBe(err error) {
	if err != nil {
		panic(err)
	}
}

// standard are the functions of gates of flows, and CEL's, but for those that read a time zone: which there are depends on the machine.
func standard() []*decls.FunctionDecl {
	var kept []*decls.FunctionDecl
	for _, f := range stdlib.Functions() {
		f = f.Subset(func(o *decls.OverloadDecl) bool {
			return !strings.HasPrefix(o.ID(), "timestamp_to_") || len(o.ArgTypes()) < 2
		})
		if f != nil {
			kept = append(kept, f)
		}
	}
	return append(kept, flowFunctions()...)
}

// field is one of an object, and how it is read.
type field[T any] struct {
	kind *types.Type
	get  func(T) ref.Val
}

var dependencyFields = map[string]field[*dependency]{
	"outcome":  {types.StringType, func(d *dependency) ref.Val { return types.String(d.Outcome) }},
	"status":   {types.StringType, func(d *dependency) ref.Val { return types.String(d.Status) }},
	"result":   {types.DynType, func(d *dependency) ref.Val { return d.result() }},
	"outputs":  {types.DynType, func(d *dependency) ref.Val { return d.outputs() }},
	"error":    {nullable, func(d *dependency) ref.Val { return orNull(d.Error) }},
	"attempts": {types.IntType, func(d *dependency) ref.Val { return types.Int(d.Attempts) }},
}

var treeFields = map[string]field[*Tree]{
	"id":      {types.StringType, func(t *Tree) ref.Val { return types.String(t.ID) }},
	"user_id": {nullable, func(t *Tree) ref.Val { return orNull(t.UserID) }},
}

var taskFields = map[string]field[*Task]{
	"id":   {types.StringType, func(t *Task) ref.Val { return types.String(t.ID) }},
	"name": {types.StringType, func(t *Task) ref.Val { return types.String(t.Name) }},
}

// orNull is a text, or null if there is none.
func orNull(s string) ref.Val {
	if s == "" {
		return types.NullValue
	}
	return types.String(s)
}

// provider knows the types of our objects, and those of CEL by name. There are no messages.
type provider struct{}

func (provider) EnumValue(name string) ref.Val { return types.NewErr("there is no %s", name) }

func (provider) FindIdent(name string) (ref.Val, bool) {
	for _, t := range []*types.Type{types.BoolType, types.BytesType, types.DoubleType, types.DurationType, types.IntType, types.ListType, types.MapType,
		types.NullType, types.StringType, types.TimestampType, types.TypeType, types.UintType, dependencyType, treeType, taskType} {
		if t.TypeName() == name {
			return t, true
		}
	}
	return nil, false
}

func (provider) FindStructType(name string) (*types.Type, bool) {
	for _, t := range []*types.Type{dependencyType, treeType, taskType} {
		if t.TypeName() == name {
			return types.NewTypeTypeWithParam(t), true
		}
	}
	return nil, false
}

func (provider) NewValue(name string, _ map[string]ref.Val) ref.Val {
	return types.NewErr("%s can't be made", name)
}

func (provider) FindStructFieldNames(object string) ([]string, bool) { return nil, false }

func (provider) FindStructFieldType(object, name string) (*types.FieldType, bool) {
	switch object {
	case dependencyType.TypeName():
		return fieldType(dependencyFields, name)
	case treeType.TypeName():
		return fieldType(treeFields, name)
	case taskType.TypeName():
		return fieldType(taskFields, name)
	}
	return nil, false
}

// fieldType is how CEL reads a field. One that is null is not set.
func fieldType[T any](fields map[string]field[T], name string) (*types.FieldType, bool) {
	f, ok := fields[name]
	if !ok {
		return nil, false
	}
	return &types.FieldType{
		Type: f.kind,
		IsSet: func(of any) bool {
			v, ok := of.(T)
			return ok && f.get(v) != types.NullValue
		},
		GetFrom: func(of any) (any, error) {
			if v, ok := of.(T); ok {
				return f.get(v), nil
			}
			return nil, errNoField
		},
	}, true
}
