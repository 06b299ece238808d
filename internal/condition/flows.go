package condition

import (
	"cel.dev/cel-go/common/decls"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/taskgrove/taskgrove/flows/gate"
)

// flowFunctions are what the gates of flows compile to. Their meaning is that of package gate.
//
//	flow_get(value, name)           a member of a map; null if it is none, or has no such member
//	flow_output([outputs, …], name) the member of the first of these maps that has one; null if none does
//	flow_compare(sign, a, b)        whether a comparison holds
//	flow_true(value)                a value as true or false
//	flow_status(outcome)            SUCCESS, SKIPPED, FAILED, CANCELLED or BLOCKED
//	flow_skip_reason(result)        why a job was skipped, in AetherFlow's words; null if it was not
//	flow_skip_trigger(result)       "step" if a step had the job skipped; else null
func flowFunctions() []*decls.FunctionDecl {
	str, dyn := types.StringType, types.DynType
	of := func(name string, result *types.Type, args []*types.Type, do func(args ...ref.Val) ref.Val) *decls.FunctionDecl {
		f, err := decls.NewFunction(name, decls.Overload(name+"_any", args, result, decls.FunctionBinding(do)))
		mustBe(err)
		return f
	}
	return []*decls.FunctionDecl{
		of("flow_get", dyn, []*types.Type{dyn, str}, func(args ...ref.Val) ref.Val {
			if v, found := memberAt(args[0], args[1]); found {
				return v
			}
			return types.NullValue
		}),
		of("flow_output", dyn, []*types.Type{types.NewListType(dyn), str}, func(args ...ref.Val) ref.Val {
			list, ok := args[0].(traits.Lister)
			if !ok {
				return types.NewErr("no such overload")
			}
			for i := list.Iterator(); i.HasNext() == types.True; {
				if v, found := memberAt(i.Next(), args[1]); found {
					return v
				}
			}
			return types.NullValue
		}),
		of("flow_compare", types.BoolType, []*types.Type{str, dyn, dyn}, func(args ...ref.Val) ref.Val {
			sign, _ := args[0].(types.String)
			left := maxPlain
			a, okA := plainValue(args[1], &left)
			b, okB := plainValue(args[2], &left)
			if !okA || !okB {
				return types.NewErr("when.type_error: a value is too large to be compared")
			}
			is, err := gate.Compare(string(sign), a, b)
			return verdict(is, err)
		}),
		of("flow_true", types.BoolType, []*types.Type{dyn}, func(args ...ref.Val) ref.Val {
			left := maxPlain
			v, ok := plainValue(args[0], &left)
			if !ok {
				return types.True // it has something in it
			}
			is, err := gate.Truth(v)
			return verdict(is, err)
		}),
		of("flow_status", str, []*types.Type{str}, func(args ...ref.Val) ref.Val {
			outcome, _ := args[0].(types.String)
			return types.String(gate.Status(string(outcome)))
		}),
		of("flow_skip_reason", dyn, []*types.Type{dyn}, func(args ...ref.Val) ref.Val {
			reason, skipped := skipReason(args[0])
			if !skipped {
				return types.NullValue
			}
			return types.String(gate.SkipReason(reason))
		}),
		of("flow_skip_trigger", dyn, []*types.Type{dyn}, func(args ...ref.Val) ref.Val {
			if reason, skipped := skipReason(args[0]); skipped && reason != gate.WhenFalse {
				return types.String(gate.SkippedByStep)
			}
			return types.NullValue
		}),
	}
}

func verdict(is bool, err error) ref.Val {
	if err != nil {
		return types.NewErr("when.type_error: %s", err)
	}
	return types.Bool(is)
}

func memberAt(of, name ref.Val) (ref.Val, bool) {
	m, ok := of.(traits.Mapper)
	if !ok {
		return nil, false
	}
	return m.Find(name)
}

// skipReason is the reason in the result of a task, if it was skipped.
func skipReason(result ref.Val) (reason string, skipped bool) {
	if is, found := memberAt(result, types.String("skipped")); !found || is != types.True {
		return "", false
	}
	text, _ := memberAt(result, types.String("reason"))
	word, _ := text.(types.String)
	return string(word), true
}

// maxPlain is how many parts the values of one comparison may have: texts may share values within each other.
const maxPlain = 50_000

// plainValue is a value as package json decodes it, and takes its parts off what is left. false: there are more.
func plainValue(v ref.Val, left *int) (any, bool) {
	if *left--; *left < 0 {
		return nil, false
	}
	switch v := v.(type) {
	case types.Bool:
		return bool(v), true
	case types.Int:
		return int64(v), true
	case types.Uint:
		return uint64(v), true
	case types.Double:
		return float64(v), true
	case types.String:
		return string(v), true
	case traits.Mapper:
		out := map[string]any{}
		for i := v.Iterator(); i.HasNext() == types.True; {
			key := i.Next()
			name, _ := key.(types.String)
			one, ok := plainValue(v.Get(key), left)
			if !ok {
				return nil, false
			}
			out[string(name)] = one
		}
		return out, true
	case traits.Lister:
		out := []any{}
		for i := v.Iterator(); i.HasNext() == types.True; {
			one, ok := plainValue(i.Next(), left)
			if !ok {
				return nil, false
			}
			out = append(out, one)
		}
		return out, true
	}
	return nil, true
}
