package taskgrove_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// source is one Go file.
type source struct {
	name   string // relative to the module, with slashes
	syntax *ast.File
	files  *token.FileSet
}

// at is where a node is, as editors understand it.
func (s source) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.name, s.files.Position(n.Pos()).Line)
}

// sources parses the module's files but tests, those of every operating system.
func sources(t *testing.T, mode parser.Mode) []source {
	t.Helper()
	return parsed(t, mode, func(base string) bool { return !strings.HasSuffix(base, "_test.go") })
}

// tests parses the module's tests.
func tests(t *testing.T, mode parser.Mode) []source {
	t.Helper()
	return parsed(t, mode, func(base string) bool { return strings.HasSuffix(base, "_test.go") })
}

// parsed parses the module's Go files of the names wanted.
func parsed(t *testing.T, mode parser.Mode, wanted func(base string) bool) (all []source) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		base := entry.Name()
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && (strings.HasPrefix(base, ".") || base == "testdata" || name == "tools" || base == "node_modules"):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(base, ".go") || !wanted(base):
			return nil
		}
		files := token.NewFileSet()
		syntax, err := parser.ParseFile(files, name, nil, mode)
		if err != nil {
			return err
		}
		all = append(all, source{filepath.ToSlash(name), syntax, files})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEachPackageHasOneComment(t *testing.T) {
	comments := map[string][]string{} // by package, the files that comment on it
	for _, file := range sources(t, parser.PackageClauseOnly|parser.ParseComments) {
		if ast.IsGenerated(file.syntax) {
			continue
		}
		pkg := path.Dir(file.name)
		seen := comments[pkg]
		if file.syntax.Doc != nil {
			seen = append(seen, file.name)
		}
		comments[pkg] = seen // also when there is none: the package exists
	}
	for pkg, files := range comments {
		if len(files) != 1 {
			t.Errorf("package %s has %d package comments %v, want 1", pkg, len(files), files)
		}
	}
}

func TestExportedIdentifiersHaveComments(t *testing.T) {
	for _, file := range sources(t, parser.ParseComments|parser.SkipObjectResolution) {
		if ast.IsGenerated(file.syntax) {
			continue
		}
		for _, decl := range file.syntax.Decls {
			for _, name := range uncommented(decl) {
				t.Errorf("%s: %s has no doc comment", file.at(name), name.Name)
			}
		}
	}
}

// uncommented lists the exported names of a declaration that have no comment: neither their own nor their group's, nor,
// for constants and variables, one at the line's end.
func uncommented(decl ast.Decl) (names []*ast.Ident) {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		if decl.Doc == nil && decl.Name.IsExported() && exportedReceiver(decl.Recv) {
			names = append(names, decl.Name)
		}
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if spec.Name.IsExported() && spec.Doc == nil && (decl.Doc == nil || decl.Lparen.IsValid()) {
					names = append(names, spec.Name)
				}
			case *ast.ValueSpec:
				if decl.Doc == nil && spec.Doc == nil && spec.Comment == nil {
					names = append(names, slices.DeleteFunc(slices.Clone(spec.Names), func(n *ast.Ident) bool { return !n.IsExported() })...)
				}
			}
		}
	}
	return names
}

// exportedReceiver says whether a method can be seen from outside; functions can.
func exportedReceiver(recv *ast.FieldList) bool {
	if recv == nil {
		return true
	}
	exported := true
	ast.Inspect(recv.List[0].Type, func(n ast.Node) bool {
		if name, ok := n.(*ast.Ident); ok {
			exported = name.IsExported()
			return false
		}
		_, index := n.(*ast.IndexExpr)
		return !index || exported
	})
	return exported
}
