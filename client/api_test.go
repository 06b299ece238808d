package client_test

import (
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestTheEngineIsNotExposed walks every type that a user of the package can see: none may be of the server's packages.
func TestTheEngineIsNotExposed(t *testing.T) {
	list, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-export", "-f", "{{.ImportPath}} {{.Export}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	exports := map[string]string{} // export data, by import path
	for line := range strings.Lines(string(list)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		exports[path] = file
	}
	pkg, err := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	}).Import("github.com/taskgrove/taskgrove/client")
	if err != nil {
		t.Fatal(err)
	}
	w := &walker{t: t, home: pkg, seen: map[types.Type]bool{}}
	for _, name := range pkg.Scope().Names() {
		if object := pkg.Scope().Lookup(name); object.Exported() {
			w.visit(name, object.Type())
		}
	}
	if len(w.seen) < 50 {
		t.Errorf("only %d types were looked at", len(w.seen))
	}
}

type walker struct {
	t    *testing.T
	home *types.Package
	seen map[types.Type]bool
}

// visit looks at a type and all that can be reached from it by exported names.
func (w *walker) visit(path string, of types.Type) {
	if w.seen[of] {
		return
	}
	w.seen[of] = true
	switch of := of.(type) {
	case *types.Named:
		if pkg := of.Obj().Pkg(); pkg != nil && pkg != w.home {
			if strings.HasPrefix(pkg.Path(), "github.com/taskgrove/taskgrove/") && !strings.HasPrefix(pkg.Path(), "github.com/taskgrove/taskgrove/proto/") {
				w.t.Errorf("%s exposes %s", path, of)
			}
			return // another module's types are its own affair
		}
		for i := range of.NumMethods() {
			if m := of.Method(i); m.Exported() {
				w.visit(path+"."+m.Name(), m.Type())
			}
		}
		for arg := range of.TypeArgs().Types() {
			w.visit(path, arg)
		}
		w.visit(path, of.Underlying())
	case *types.Struct:
		for field := range of.Fields() {
			if field.Exported() {
				w.visit(path+"."+field.Name(), field.Type())
			}
		}
	case *types.Signature:
		w.visit(path, of.Params())
		w.visit(path, of.Results())
	case *types.Tuple:
		for v := range of.Variables() {
			w.visit(path, v.Type())
		}
	case *types.Map:
		w.visit(path, of.Key())
		w.visit(path, of.Elem())
	case *types.Interface:
		for m := range of.Methods() {
			w.visit(path+"."+m.Name(), m.Type())
		}
	case interface{ Elem() types.Type }: // pointers, slices, arrays, channels
		w.visit(path, of.Elem())
	}
}
