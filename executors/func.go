package executors

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// Func makes an executor of a function.
//
// The JSON Schemas of inputs and output are derived from the types; see [Schema] for how. Inputs that don't fit fail the
// task for good before f is called. Keys that In has no field for are ignored: results of dependencies arrive as such. If
// In is a map, they are among its keys, so that its values must be able to hold them, as those of map[string]any are.
//
// f must stop when its context ends, and may return ctx.Err() then. [FromContext] gives it the attempt: its number, its
// idempotency key, and where to log and to report progress. An error may be retried unless it was made by [Permanent]. The
// value that f returns together with an error, unless it is zero, is the partial result of a task that was cancelled. A function that may end
// otherwise than with a result returns an [*Outcome]: [Skip], [Expanding], [Awaiting], or [Completed] with its result, which then has no schema.
//
// Func panics if a type can't be described, if In is not a struct, map or interface, or if f is nil: that is a programmer's
// error, seen at start-up.
func Func[In, Out any](id string, f func(ctx context.Context, in In) (Out, error), options ...Option) Executor {
	if f == nil {
		panic(fmt.Sprintf("executors.Func %s: the function is nil", id))
	}
	e := &function[In, Out]{f: f, d: Description{
		ID: id, Name: id, Type: "go", Description: fmt.Sprintf("Go function of %s", reflect.TypeFor[In]()), Cancelable: true,
	}}
	for _, option := range options {
		option(&e.d)
	}
	in, err := inputsOf(reflect.TypeFor[In]())
	if err != nil {
		panic(fmt.Sprintf("executors.Func %s: inputs: %v", id, err))
	}
	e.required, e.named, e.d.Inputs = in.Required, slices.Collect(maps.Keys(in.Properties)), in.text()
	if reflect.TypeFor[Out]() == reflect.TypeFor[*Outcome]() {
		return e
	}
	out, err := derive(reflect.TypeFor[Out](), outward)
	if err != nil {
		panic(fmt.Sprintf("executors.Func %s: output: %v", id, err))
	}
	e.d.Output = out.text()
	return e
}

// Option changes the description of an executor made by [Func]. You may write your own.
type Option func(*Description)

// WithName sets the name that people see. The default is the id.
func WithName(name string) Option { return func(d *Description) { d.Name = name } }

// WithDescription sets the sentence that says what the executor does.
func WithDescription(text string) Option { return func(d *Description) { d.Description = text } }

// WithType sets the registry type; see [Description.Type]. The default is "go".
func WithType(typ string) Option { return func(d *Description) { d.Type = typ } }

// WithConcurrency sets how many attempts suit one worker; see [Description.Concurrency].
func WithConcurrency(n int) Option { return func(d *Description) { d.Concurrency = n } }

// WithSecrets lets tasks name secrets as values of the inputs; see [Description.Secrets]. f gets their values.
func WithSecrets() Option { return func(d *Description) { d.Secrets = true } }

// WithConnection lets tasks name a connection, which sets some of the inputs; see [Description.Connection]. f gets them like others, so a
// field that a connection may set must not be required.
func WithConnection(takes Connection) Option {
	return func(d *Description) { d.Connection = &takes }
}

// WithTimeout bounds an attempt, from its start, if the task has no timeout of its own.
func WithTimeout(most time.Duration) Option { return func(d *Description) { d.Timeout = most } }

// Repeatable says that running twice at once does no harm: f has no side effects, or they are idempotent by the key. It has no
// effect for an executor of your own: coordinators know it of the built-in ones only. Let the task say so (client.NewTask's
// field Repeatable); then its attempts may start earlier.
func Repeatable() Option { return func(d *Description) { d.Repeatable = true } }

// NotCancelable says that f does not look at its context. It then keeps its slot until it returns, whatever happens to the
// task.
func NotCancelable() Option { return func(d *Description) { d.Cancelable = false } }

type function[In, Out any] struct {
	f        func(context.Context, In) (Out, error)
	d        Description
	required []string
	named    []string // the fields of its inputs
}

// Describe implements [Executor].
func (e *function[In, Out]) Describe() Description { return e.d }

// Owner implements [Owner]: all these executors are of one type.
func (e *function[In, Out]) Owner() string {
	if f := runtime.FuncForPC(reflect.ValueOf(e.f).Pointer()); f != nil {
		return "function " + f.Name()
	}
	return "a function"
}

// Run implements [Executor].
func (e *function[In, Out]) Run(ctx context.Context, call *Call) (*Outcome, error) {
	var in In
	if err := e.read(call.Inputs, &in); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	out, err := e.f(context.WithValue(ctx, callKey{}, call), in)
	if outcome, ok := any(out).(*Outcome); ok {
		if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			err = context.Cause(ctx)
		}
		return outcome, err
	}
	if err == nil {
		return Completed(out), nil
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = context.Cause(ctx)
	}
	if reflect.ValueOf(&out).Elem().IsZero() {
		return nil, err
	}
	return Partial(out), err
}

// read decodes inputs that the worker has checked; those of a test may lack something.
func (e *function[In, Out]) read(inputs json.RawMessage, in *In) error {
	if len(e.required) > 0 {
		var present map[string]json.RawMessage
		if err := json.Unmarshal(inputs, &present); err != nil {
			return Invalid(e.d.ID, "inputs are not a JSON object")
		}
		for _, name := range e.required {
			if _, ok := present[name]; !ok {
				return Invalid(e.d.ID, name+" is required in inputs")
			}
		}
	}
	inputs = rawjson.Exact(inputs, e.named) // as for the schema, Text is not text
	err := json.Unmarshal(inputs, in)
	if bad, ok := errors.AsType[*json.UnmarshalTypeError](err); ok { // its text names Go types
		return Invalid(e.d.ID, misfit(reflect.TypeFor[In](), inputs, bad))
	}
	if err != nil {
		return Invalid(e.d.ID, fmt.Sprintf("inputs: %v", err))
	}
	return nil
}

// misfit says which field, or which key of a map, can't be decoded.
func misfit(t reflect.Type, inputs json.RawMessage, bad *json.UnmarshalTypeError) string {
	var entries map[string]json.RawMessage
	if json.Unmarshal(inputs, &entries) != nil {
		return "inputs are not a JSON object"
	}
	field := cmp.Or(bad.Field, unreadable(t, entries))
	if to, _ := pointee(t); to.Kind() == reflect.Map { // what encoding/json says of the key depends on its version
		keys := reflect.MapOf(to.Key(), reflect.TypeFor[any]())
		for _, key := range slices.Sorted(maps.Keys(entries)) {
			if decodeKey(keys, key) != nil {
				return key + " must not be a key in inputs"
			}
			err := json.Unmarshal(entries[key], reflect.New(to.Elem()).Interface())
			if at, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
				bad, field = at, strings.TrimSuffix(key+"."+at.Field, ".")
				break
			}
		}
	}
	if field == "" {
		field = "inputs"
	}
	if reason := errors.Unwrap(bad); reason != nil { // the type fits, and the text does not
		return fmt.Sprintf("%s: %v", field, reason)
	}
	return fmt.Sprintf("%s must not be a %s", field, kindOf(bad.Value))
}

// kindOf is what encoding/json says of a value's kind, without the value, which follows that of texts and numbers.
func kindOf(value string) string {
	for _, kind := range []string{"string", "number"} {
		if strings.HasPrefix(value, kind+" ") {
			return kind
		}
	}
	return value
}

// unreadable is the first field of a struct that can't be read; empty: none of them is to blame. encoding/json does not say it of types that
// read themselves.
func unreadable(t reflect.Type, entries map[string]json.RawMessage) string {
	if to, _ := pointee(t); to.Kind() != reflect.Struct {
		return ""
	}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		one, err := json.Marshal(map[string]json.RawMessage{name: entries[name]})
		if err == nil && json.Unmarshal(one, reflect.New(t).Interface()) != nil {
			return name
		}
	}
	return ""
}

// decodeKey reads an object with that key alone into a map type.
func decodeKey(t reflect.Type, key string) error {
	entry, err := json.Marshal(map[string]any{key: nil})
	if err != nil {
		return err
	}
	return json.Unmarshal(entry, reflect.New(t).Interface())
}

type callKey struct{}

// FromContext returns the call that the function of a [Func] runs for; ctx is the one it was given, or derived from that. In
// another context it returns an empty Call, so that a test may call the function itself: the attempt is 0, and what is
// reported is dropped.
func FromContext(ctx context.Context) *Call {
	if call, ok := ctx.Value(callKey{}).(*Call); ok {
		return call
	}
	return &Call{Reporter: deaf{}, Lease: unlimited{}}
}

// deaf is a reporter that drops everything.
type deaf struct{}

func (deaf) Log(string, string)       {}
func (deaf) Progress(float64, string) {}

// unlimited is a lease without an end.
type unlimited struct{}

func (unlimited) Until() time.Time         { return time.Time{} }
func (unlimited) Changed() <-chan struct{} { return nil }

func (deaf) Checkpoint(data json.RawMessage) error { return nil }
