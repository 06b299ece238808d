package taskgrove_test

import (
	"go/ast"
	"go/parser"
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
	{"coordinator.New", []string{"node"}},
	{"worker.New", []string{"worker_test"}},
	{"worker.Dial", []string{"node", "worker_test", "examples/..."}},
	{"worker.FromSettings", []string{"node"}},
	{"api/grpcserver.Listen", []string{"node", "api/grpcserver_test", "client_test", "cmd/taskgrove_test"}},
	{"api/httpserver.Listen", []string{"node", "api/httpserver_test"}},
	{"api/jsonrpc.New", []string{"node", "api/jsonrpc_test"}},
	{"pg.Open", []string{"node", "coordinator_test", "tests/faults_test"}},
	{"queue.Connect", []string{"node", "worker", "queue_test", "worker_test", "examples/custom-executor_test", "tests/hostile", "tests/hostile_test"}},
}

func TestOnlyNodeAssembles(t *testing.T) {
	used := map[[2]string]bool{} // makers and who, of callers, calls them
	for _, file := range append(sources(t, parser.SkipObjectResolution), tests(t, parser.SkipObjectResolution)...) {
		caller := path.Dir(file.name)
		if strings.HasSuffix(file.name, "_test.go") {
			caller += "_test"
		}
		imported := ours(file.syntax)
		ast.Inspect(file.syntax, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := selector.X.(*ast.Ident)
			if !ok {
				return true
			}
			maker := imported[pkg.Name] + "." + selector.Sel.Name
			for _, row := range assembly {
				if row.maker != maker {
					continue
				}
				i := slices.IndexFunc(row.callers, func(c string) bool { return fits(c, caller) })
				if i < 0 {
					t.Errorf("%s: %s makes what only package node assembles: start it by node", file.at(n), maker)
					continue
				}
				used[[2]string{maker, row.callers[i]}] = true
			}
			return true
		})
	}
	for _, row := range assembly {
		for _, caller := range row.callers {
			if !used[[2]string{row.maker, caller}] {
				t.Errorf("%s does not call %s: assembly need not allow it", caller, row.maker)
			}
		}
	}
}

// ours are the module's packages that a file imports, by the names that they have in it.
func ours(file *ast.File) map[string]string {
	out := map[string]string{}
	for _, spec := range file.Imports {
		pkg, is := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module)
		if !is {
			continue
		}
		name := path.Base(pkg)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		out[name] = pkg
	}
	return out
}
