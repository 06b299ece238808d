package executors_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/inputs"
)

type nap struct {
	Seconds float64 `json:"seconds" minimum:"0"`
	Note    string  `json:"note,omitempty"`
}

type slept struct {
	Seconds float64 `json:"seconds"`
}

func sleep(ctx context.Context, in nap) (slept, error) {
	begin := time.Now()
	call := executors.FromContext(ctx)
	call.Reporter.Progress(0, "falling asleep")
	call.Reporter.Log("log", fmt.Sprintf("attempt %d", call.Attempt))
	select {
	case <-time.After(time.Duration(in.Seconds * float64(time.Second))):
		return slept{in.Seconds}, nil
	case <-ctx.Done():
		return slept{time.Since(begin).Seconds()}, ctx.Err()
	}
}

func TestFuncConforms(t *testing.T) {
	conformance.Test(t, func(*testing.T) executors.Executor { return executors.Func("nap", sleep) }, conformance.Features{
		Quick:   `{"seconds": 0.01}`,
		Slow:    `{"seconds": 600}`,
		Missing: map[string]string{`{"note": "x"}`: "[nap] seconds is required in inputs"},
	})
	length := func(_ context.Context, in struct{ Text string }) (int, error) { return len(in.Text), nil }
	conformance.Test(t, func(*testing.T) executors.Executor { return executors.Func("length", length) }, conformance.Features{
		Quick: `{"Text": "abc"}`, Instant: true,
	})
}

func TestFuncDescribesItself(t *testing.T) {
	plain := executors.Func("nap", sleep).Describe()
	if plain.ID != "nap" || plain.Name != "nap" || plain.Type != "go" || !plain.Cancelable || plain.Repeatable || plain.Timeout != 0 ||
		plain.Description != "Go function of executors_test.nap" ||
		string(plain.Output) != `{"type":"object","properties":{"seconds":{"type":"number"}},"required":["seconds"]}` {
		t.Errorf("got %+v", plain)
	}
	d := executors.Func("nap", sleep, executors.WithName("Nap"), executors.WithDescription("Sleeps"), executors.WithType("time"),
		executors.WithTimeout(time.Minute), executors.Repeatable(), executors.NotCancelable(),
		func(d *executors.Description) { d.Tags = []string{"test"} }).Describe()
	if d.Name != "Nap" || d.Description != "Sleeps" || d.Type != "time" || d.Timeout != time.Minute || !d.Repeatable || d.Cancelable || len(d.Tags) != 1 {
		t.Errorf("got %+v", d)
	}
}

func TestFuncTakesSecretsAndConnections(t *testing.T) {
	takes := executors.Connection{Types: []string{"demo"}, Fields: []string{"host"}}
	d := executors.Func("f", func(context.Context, struct{}) (int, error) { return 0, nil }, executors.WithSecrets(), executors.WithConnection(takes)).Describe()
	if !d.Secrets || d.Connection == nil || !reflect.DeepEqual(*d.Connection, takes) {
		t.Errorf("got %v, %+v", d.Secrets, d.Connection)
	}
}

func TestFuncReturns(t *testing.T) {
	boom := errors.New("boom")
	for name, tt := range map[string]struct {
		inputs  string
		ctx     func(context.Context) context.Context
		partial any
		err     string
		is      error
	}{
		"a bad type":       {`{"seconds": "long", "note": 1}`, nil, nil, "[nap] seconds must not be a string", nil},
		"no object":        {`[]`, nil, nil, "[nap] inputs are not a JSON object", nil},
		"its own error":    {`{"seconds": -1}`, nil, nil, "boom", boom},
		"the cause":        {`{"seconds": -2}`, ended, nil, "task was cancelled", executors.ErrCancelled},
		"a partial result": {`{"seconds": -3}`, nil, slept{3}, "boom", boom},
	} {
		e := executors.Func("nap", func(ctx context.Context, in nap) (slept, error) {
			switch in.Seconds {
			case -1:
				return slept{}, boom
			case -3:
				return slept{3}, boom
			}
			t.Error("was called")
			return slept{}, nil
		})
		call, _ := conformance.Call(t, tt.inputs)
		ctx := t.Context()
		if tt.ctx != nil {
			ctx = tt.ctx(ctx)
		}
		got, err := e.Run(ctx, call)
		if err == nil || err.Error() != tt.err || tt.is != nil && !errors.Is(err, tt.is) || tt.is == nil && !executors.IsPermanent(err) || got.Value() != tt.partial {
			t.Errorf("%s: got %v, %v", name, got.Value(), err)
		}
	}
}

// own reads itself, and takes a text only.
type own string

func (o *own) UnmarshalJSON(text []byte) error {
	if text[0] != '"' {
		return &json.UnmarshalTypeError{Value: "number"}
	}
	return json.Unmarshal(text, (*string)(o))
}

func TestFuncNamesAFieldThatReadsItself(t *testing.T) {
	type in struct {
		A    int
		Size own
	}
	call, _ := conformance.Call(t, `{"A": 1, "Size": 5, "more": []}`)
	if _, err := echo[in]().Run(t.Context(), call); err == nil || err.Error() != "[echo] Size must not be a number" {
		t.Errorf("got %v", err)
	}
}

// Results of dependencies arrive as keys, which a map has room for.
func TestFuncNamesTheKeyOfAMap(t *testing.T) {
	for name, tt := range map[string]struct {
		executor     executors.Executor
		inputs, want string
	}{
		"a value":         {echo[map[string]int](), `{"a": 1, "dep": "text", "z": "text"}`, "[echo] dep must not be a string"},
		"behind pointers": {echo[**map[string]int](), `{"dep": {}}`, "[echo] dep must not be a object"},
		"a field in it":   {echo[map[string]slept](), `{"dep": {"seconds": "x"}}`, "[echo] dep.seconds must not be a string"},
		"the key":         {echo[map[int]int](), `{"1": 1, "dep": 2}`, "[echo] dep must not be a key in inputs"},
		"no object":       {echo[map[string]int](), `[]`, "[echo] inputs are not a JSON object"},
	} {
		call, _ := conformance.Call(t, tt.inputs)
		if _, err := tt.executor.Run(t.Context(), call); err == nil || err.Error() != tt.want {
			t.Errorf("%s: got %v, want %s", name, err, tt.want)
		}
	}
}

func echo[T any]() executors.Executor {
	return executors.Func("echo", func(_ context.Context, in T) (T, error) { return in, nil })
}

func ended(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	cancel(executors.ErrCancelled)
	return ctx
}

// What the schema refuses never reaches the function: the worker asks the checker first.
func TestFuncInputsAreChecked(t *testing.T) {
	d := executors.Func("nap", sleep).Describe()
	for in, want := range map[string]string{
		`{"seconds": 1, "dependency": {}}`: "",
		`{"seconds": -1}`:                  "seconds",
		`{"seconds": null}`:                "seconds",
		`{"seconds": 1, "note": 2}`:        "note",
	} {
		call, _ := conformance.Call(t, in)
		err := inputs.NewChecker(0).Check(d, call)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", in, err, want)
		}
	}
}

func TestFuncPanicsAtWhatItCantDescribe(t *testing.T) {
	for want, make := range map[string]func(){
		"executors.Func f: inputs: string is not a struct, but inputs are a JSON object": func() {
			executors.Func("f", func(context.Context, string) (int, error) { return 0, nil })
		},
		"executors.Func f: output: chan int: type chan int has no form in JSON": func() {
			executors.Func("f", func(context.Context, any) (chan int, error) { return nil, nil })
		},
		"executors.Func f: inputs: executors_test.circle: type executors_test.circle points only to itself": func() {
			executors.Func("f", func(context.Context, circle) (int, error) { return 0, nil })
		},
		"executors.Func f: the function is nil": func() { executors.Func[any, any]("f", nil) },
	} {
		func() {
			defer func() {
				if got := recover(); got != want {
					t.Errorf("got %v, want %s", got, want)
				}
			}()
			make()
		}()
	}
}

func TestFromContext(t *testing.T) {
	call, recorder := conformance.Call(t, `{"seconds": 0}`)
	call.Attempt = 3
	if _, err := executors.Func("nap", sleep).Run(t.Context(), call); err != nil || strings.Join(recorder.Lines(), ",") != "log: attempt 3" || len(recorder.Fractions()) != 1 {
		t.Errorf("got %v, %v, %v", recorder.Lines(), recorder.Fractions(), err)
	}
	if got, err := sleep(t.Context(), nap{}); err != nil || got.Seconds != 0 { // without a worker
		t.Errorf("got %v, %v", got, err)
	}
}

// TestFuncTakesNoNameForAnother: a dependency that is called Note does not become the note.
func TestFuncTakesNoNameForAnother(t *testing.T) {
	said := executors.Func("say", func(_ context.Context, in nap) (string, error) { return in.Note, nil })
	call, _ := conformance.Call(t, `{"seconds": 1, "Note": {"result": "of a dependency"}}`)
	got, err := said.Run(t.Context(), call)
	if err != nil || got.Value() != "" {
		t.Errorf("got %v, %v, want no note", got.Value(), err)
	}
}
