package sql_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/sql"
	"github.com/taskgrove/taskgrove/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// object is inputs, or a part of them.
type object = map[string]any

func newExecutor(t testing.TB, cfg sql.Config) *sql.Executor {
	t.Helper()
	cfg.Network = network.New(network.Config{Guard: network.Guard{Loopback: true}})
	e := sql.New(cfg)
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// with is the inputs with more.
func with(base object, more object) object {
	all := object{}
	for _, from := range []object{base, more} {
		for k, v := range from {
			all[k] = v
		}
	}
	return all
}

// attempt runs the inputs as an attempt of that number. The result is as it would be stored.
func attempt(ctx context.Context, t testing.TB, e executors.Executor, number int, in object) (map[string]any, error) {
	t.Helper()
	call, _ := conformance.Call(t, in)
	call.Attempt = number
	return outcome(ctx, t, e, call)
}

// outcome is the result of a call, as it is stored.
func outcome(ctx context.Context, t testing.TB, e executors.Executor, call *executors.Call) (map[string]any, error) {
	t.Helper()
	out, err := e.Run(ctx, call)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(out.Value())
	if err != nil {
		t.Fatalf("result: %v", err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	var result map[string]any
	if err := decoder.Decode(&result); err != nil {
		t.Fatalf("result %s: %v", text, err)
	}
	return result, nil
}

func run(t testing.TB, e executors.Executor, in object) map[string]any {
	t.Helper()
	result, err := attempt(t.Context(), t, e, 1, in)
	if err != nil {
		t.Fatalf("%v: %v", in["query"], err)
	}
	return result
}

// rows are a result's rows as JSON.
func rows(t testing.TB, result map[string]any) string {
	t.Helper()
	text, err := json.Marshal(result["rows"])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wantRows runs a query and compares.
func wantRows(t testing.TB, e executors.Executor, in object, want string) {
	t.Helper()
	if got := rows(t, run(t, e, in)); got != want {
		t.Errorf("%v\n got %s\nwant %s", in["query"], got, want)
	}
}

// wantError runs what must fail. permanent says whether a retry must be pointless.
func wantError(t testing.TB, e executors.Executor, in object, permanent bool, parts ...string) {
	t.Helper()
	_, err := attempt(t.Context(), t, e, 1, in)
	if err == nil {
		t.Errorf("%v: no error, want one with %q", in["query"], parts)
		return
	}
	if executors.IsPermanent(err) != permanent {
		t.Errorf("%v: permanent is %v, want %v: %v", in["query"], !permanent, permanent, err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v: %q does not say %q", in["query"], err, part)
		}
	}
}

func decode(t testing.TB, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}
