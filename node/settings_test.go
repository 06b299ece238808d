package node

import (
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/config"
)

var update = flag.Bool("update", false, "write where settings go as it comes")

// elsewhere are the settings that no part of a process is given, and who uses them.
var elsewhere = map[string]string{
	"READY_FILE":       "the command writes it",
	"ENV_FILE":         "the command reads it before the settings",
	"LOG_LEVEL":        "Serve makes the log, see TestLogFormat",
	"LOG_FORMAT":       "Serve makes the log, see TestLogFormat",
	"INSECURE_LISTEN":  "config refuses addresses by it",
	"DATA_DIR":         "the command starts dev's servers",
	"EPHEMERAL":        "the command starts dev's servers",
	"POSTGRES_BIN_DIR": "the command starts dev's servers",
}

// TestEverySettingArrives changes one setting after the other: what the parts of the process are given must change, too.
func TestEverySettingArrives(t *testing.T) {
	t.Run("coordinator", func(t *testing.T) {
		eachSetting(t, func(cfg *config.Coordinator) []any { return []any{forCoordinator(cfg)} }, nil)
	})
	t.Run("worker", func(t *testing.T) {
		eachSetting(t, func(cfg *config.Worker) []any { return []any{forWorker(cfg)} }, nil)
	})
	t.Run("dev", func(t *testing.T) { // what both its coordinator and its worker have must arrive in both
		readers := [][]config.Variable{config.Variables((*config.Coordinator)(nil)), config.Variables((*config.Worker)(nil))}
		eachSetting(t, func(cfg *config.Dev) []any {
			c, w := cfg.Coordinator(cfg.PostgresURL, cfg.NATSURL), cfg.Worker(cfg.NATSURL)
			return []any{forCoordinator(&c), forWorker(&w)}
		}, readers)
	})
}

// TestEachSettingHasItsPlace: testdata/places.txt says which fields a setting changes. One that goes to another setting's
// field, or to two, shows as a difference; go test ./node -update writes the file as it comes.
func TestEachSettingHasItsPlace(t *testing.T) {
	got := "# The fields that each setting changes, of what the parts of a process are given.\n\n" +
		places(t, "coordinator", func(cfg *config.Coordinator) any { return forCoordinator(cfg) }) +
		places(t, "worker", func(cfg *config.Worker) any { return forWorker(cfg) })
	const file = "testdata/places.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("settings change these fields:\n%s\nwant, by %s:\n%s", got, file, want)
	}
}

// places tells of each setting of a process, in a line, which fields of its parts it changes. No two may change one field.
func places[P config.Process](t *testing.T, process string, parts func(P) any) string {
	t.Helper()
	var out strings.Builder
	setBy := map[string]string{} // by field
	before := fields("", reflect.ValueOf(parts(config.Defaults[P]())))
	for _, v := range config.Variables(config.Defaults[P]()) {
		name := strings.TrimPrefix(v.Name, config.Prefix)
		if elsewhere[name] != "" {
			continue
		}
		cfg := config.Defaults[P]()
		if !change(t, reflect.ValueOf(cfg).Elem(), name) {
			t.Fatalf("%s has no field", name)
		}
		after := fields("", reflect.ValueOf(parts(cfg)))
		fmt.Fprintf(&out, "%s %s:", process, name)
		for _, field := range slices.Sorted(maps.Keys(after)) {
			if after[field] == before[field] {
				continue
			}
			fmt.Fprintf(&out, " %s", field)
			if setBy[field] != "" {
				t.Errorf("%s and %s both change %s of a %s", setBy[field], name, field, process)
			}
			setBy[field] = name
		}
		out.WriteString("\n")
	}
	return out.String()
}

// fields are the values of a struct's fields, as text, by their paths. A struct within is told by its own fields.
func fields(at string, of reflect.Value) map[string]string {
	if of.Kind() == reflect.Interface {
		of = of.Elem()
	}
	out := map[string]string{}
	for i := range of.NumField() {
		name := strings.TrimPrefix(at+"."+of.Type().Field(i).Name, ".")
		switch field := of.Field(i); field.Kind() {
		case reflect.Struct:
			maps.Copy(out, fields(name, field))
		case reflect.Func, reflect.Pointer, reflect.Interface:
		default:
			out[name] = fmt.Sprintf("%#v", field)
		}
	}
	return out
}

// TestKnownExecutorsReachAll: whoever takes submissions knows the same executors.
func TestKnownExecutorsReachAll(t *testing.T) {
	parts := partsOfCoordinator(config.Defaults[*config.Coordinator](), Options{}, slog.New(slog.DiscardHandler))
	if reflect.DeepEqual(Known(), dag.Known{}) {
		t.Fatal("no executor is known")
	}
	for part, got := range map[string]dag.Known{"coordinator": parts.coordinator.Known, "gRPC": parts.grpc.Known, "JSON-RPC": parts.jsonrpc.Known, "A2A": parts.a2a.Known} {
		if !reflect.DeepEqual(got, Known()) {
			t.Errorf("%s knows %v, want %v", part, got, Known())
		}
	}
}

func forCoordinator(cfg *config.Coordinator) any {
	return partsOfCoordinator(cfg, Options{}, slog.New(slog.DiscardHandler))
}

func forWorker(cfg *config.Worker) any {
	return partsOfWorker(cfg, slog.New(slog.DiscardHandler))
}

// eachSetting changes each setting of a process and compares what parts gives then. Where readers names a setting for an
// element of parts, that element must have changed; a setting that no reader has must change any.
func eachSetting[P config.Process](t *testing.T, parts func(P) []any, readers [][]config.Variable) {
	t.Helper()
	before := parts(config.Defaults[P]())
	for _, v := range config.Variables(config.Defaults[P]()) {
		name := strings.TrimPrefix(v.Name, config.Prefix)
		if elsewhere[name] != "" {
			continue
		}
		cfg := config.Defaults[P]()
		if !change(t, reflect.ValueOf(cfg).Elem(), name) {
			t.Fatalf("%s has no field", name)
		}
		after := parts(cfg)
		anywhere := false
		for i := range after {
			arrived := !reflect.DeepEqual(before[i], after[i])
			anywhere = anywhere || arrived
			if readers != nil && has(readers[i], v.Name) && !arrived {
				t.Errorf("%s does not arrive in part %d", v.Name, i)
			}
		}
		if !anywhere {
			t.Errorf("%s does not arrive anywhere", v.Name)
		}
	}
}

func has(variables []config.Variable, name string) bool {
	return slices.ContainsFunc(variables, func(v config.Variable) bool { return v.Name == name })
}

// change gives the setting another value, and reports whether there is one of that name.
func change(t *testing.T, of reflect.Value, name string) bool {
	t.Helper()
	for i := range of.NumField() {
		field, value := of.Type().Field(i), of.Field(i)
		switch tag := field.Tag.Get("envconfig"); {
		case tag == name:
			value.Set(other(t, value))
			return true
		case tag == "" && field.Anonymous && change(t, value, name):
			return true
		}
	}
	return false
}

// other is a value of the same type that differs.
func other(t *testing.T, value reflect.Value) reflect.Value {
	t.Helper()
	out := reflect.New(value.Type()).Elem()
	switch v := value.Interface().(type) {
	case config.Bool:
		return reflect.ValueOf(!v)
	case config.Pooler:
		return reflect.ValueOf(config.Pooler("yes"))
	case config.PostgresURL:
		return reflect.ValueOf(config.PostgresURL{Secret: "postgres://u:p@elsewhere/db"})
	case config.NATSURL:
		return reflect.ValueOf(config.NATSURL{Secret: "nats://other:p@elsewhere:4222"})
	case config.ProxyURL:
		return reflect.ValueOf(config.ProxyURL{Secret: "http://u:p@proxy:3128"})
	case config.Pools:
		return reflect.ValueOf(config.Pools{Named: []config.Pool{{Name: "elsewhere", Concurrency: 1}}})
	case config.List:
		return reflect.ValueOf(append(slices.Clone(v), "other"))
	case config.Command:
		return reflect.ValueOf(append(slices.Clone(v), "other"))
	case config.Hosts:
		return reflect.ValueOf(append(slices.Clone(v), "other"))
	case config.Origins:
		return reflect.ValueOf(append(slices.Clone(v), "http://other"))
	case config.Prefixes:
		return reflect.ValueOf(append(slices.Clone(v), netip.MustParsePrefix("192.0.2.0/24")))
	}
	switch value.Kind() {
	case reflect.Int, reflect.Int64:
		out.SetInt(value.Int() + 1)
	case reflect.Float64:
		out.SetFloat(value.Float() + 1)
	case reflect.String:
		out.SetString(value.String() + "1")
	default:
		t.Fatalf("no other value for a %s", value.Type())
	}
	return out
}
