package taskgrove_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

// assembly says who may make a part of a process. Package node does, for everybody: whoever made a coordinator by himself
// has always forgotten something.
var assembly = []struct {
	maker   string   // package and function, as in imports and calls
	callers []string // packages, in the form of arrows; tests of a part itself are meant by "_test" at the end
}{
	{"coordinator.New", []string{"node", "coordinator_test"}},
	{"worker.New", []string{"worker_test"}},
	{"worker.Dial", []string{"node", "worker_test", "examples/..."}},
	{"worker.FromSettings", []string{"node"}},
	{"api/grpcserver.Listen", []string{"node", "api/grpcserver_test", "api/keda_test", "client_test", "cmd/taskgrove_test"}},
	{"api/grpcserver.NewWeb", []string{"node", "api/grpcserver_test"}},
	{"api/httpserver.Listen", []string{"node", "api/httpserver_test", "api/grpcserver_test"}},
	{"api/jsonrpc.New", []string{"node", "api/mcp", "api/openapi_test", "api/jsonrpc_test"}},
	{"api/mcp.New", []string{"node", "api/mcp_test", "api/mcp/stdio_test"}},
	{"pg.Open", []string{"node", "coordinator_test", "tests/faults_test"}},
	{"queue.Connect", []string{"node", "worker", "queue/natsserver", "queue_test", "worker_test", "examples/custom-executor_test", "tests/hostile", "tests/hostile_test"}},
}

func TestOnlyNodeAssembles(t *testing.T) {
	used := map[[2]string]bool{} // makers and who, of callers, calls them
	for _, file := range append(sources(t, parser.SkipObjectResolution), tests(t, parser.SkipObjectResolution)...) {
		caller := path.Dir(file.name)
		if strings.HasSuffix(file.name, "_test.go") {
			caller += "_test"
		}
		imported, dots := ours(file.syntax)
		for _, spec := range dots {
			t.Errorf("%s: a dot import hides what is made: name the package", file.at(spec))
		}
		for _, call := range selected(file.syntax, imported) {
			for _, row := range assembly {
				if row.maker != call.name {
					continue
				}
				i := slices.IndexFunc(row.callers, func(c string) bool { return fits(c, caller) })
				if i < 0 {
					t.Errorf("%s: %s makes what only package node assembles: start it by node", file.at(call.node), row.maker)
					continue
				}
				used[[2]string{row.maker, row.callers[i]}] = true
			}
		}
	}
	for _, row := range assembly {
		for _, caller := range row.callers {
			if !used[[2]string{row.maker, caller}] {
				t.Errorf("%s does not call %s: assembly need not allow it", caller, row.maker)
			}
		}
	}
}

// ours are the module's packages that a file imports, by the names that they have in it, and those that it
// imports by a dot.
func ours(file *ast.File) (names map[string]string, dots []*ast.ImportSpec) {
	names = map[string]string{}
	for _, spec := range file.Imports {
		pkg, is := strings.CutPrefix(strings.Trim(spec.Path.Value, "\"`"), module)
		switch {
		case !is:
		case spec.Name == nil:
			names[path.Base(pkg)] = pkg
		case spec.Name.Name == ".":
			dots = append(dots, spec)
		default:
			names[spec.Name.Name] = pkg
		}
	}
	return names, dots
}

// use is where a file names what another package has.
type use struct {
	name string // package and identifier, as in assembly
	node ast.Node
}

// selected are the uses of the imported packages in a file, called or not.
func selected(file *ast.File, imported map[string]string) (uses []use) {
	ast.Inspect(file, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if pkg, ok := ast.Unparen(selector.X).(*ast.Ident); ok && imported[pkg.Name] != "" {
			uses = append(uses, use{imported[pkg.Name] + "." + selector.Sel.Name, n})
		}
		return true
	})
	return uses
}

// TestImportsOfMakers: whatever a file calls a package, what it uses of it is seen.
func TestImportsOfMakers(t *testing.T) {
	for _, row := range []struct {
		fact, imports, use string
		want               string // use found
		dots               int
	}{
		{"by its own name", `"` + module + `worker"`, "worker.Dial()", "worker.Dial", 0},
		{"in a raw string", "`" + module + "worker`", "worker.Dial()", "worker.Dial", 0},
		{"renamed", `w "` + module + `worker"`, "w.Dial()", "worker.Dial", 0},
		{"renamed to another package's name", `pg "` + module + `worker"`, "pg.Dial()", "worker.Dial", 0},
		{"two of the same last name", `pg "` + module + `worker"; worker "` + module + `pg"`, "worker.Open()", "pg.Open", 0},
		{"another module's of that name", `"example.com/worker"`, "worker.Dial()", "", 0},
		{"kept in a variable", `w "` + module + `worker"`, "func() { f := w.Dial; f() }()", "worker.Dial", 0},
		{"by a dot", `. "` + module + `worker"`, "Dial()", "", 1},
		{"for its effects", `_ "` + module + `worker"`, "Dial()", "", 0},
		{"another module's dot", `. "example.com/worker"`, "Dial()", "", 0},
	} {
		text := "package p\nimport (" + row.imports + ")\nfunc f() { " + row.use + " }\n"
		file, err := parser.ParseFile(token.NewFileSet(), "p.go", text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatalf("%s: %v", row.fact, err)
		}
		imported, dots := ours(file)
		got := ""
		for _, u := range selected(file, imported) {
			got += u.name
		}
		if got != row.want || len(dots) != row.dots {
			t.Errorf("%s: got %q and %d dot imports, want %q and %d", row.fact, got, len(dots), row.want, row.dots)
		}
	}
}
