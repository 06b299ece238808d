// Command sizes counts what makes the module hard to find one's way in: packages, long files and long functions.
//
//	go run -C tools ./sizes -dir ..          # what `make sizes` does
//	go run -C tools ./sizes -dir .. -list    # names each long file and function, longest first
//
// It reads the Go files that git knows, by their syntax alone. Generated files and testdata don't count.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// The lengths, in lines, above which a file or a function counts as long.
const (
	longFile     = 400
	longFunction = 60
)

// long is a file or function with more lines than it should have.
type long struct {
	name  string
	lines int
	test  bool
}

// sizes are the counts of one module.
type sizes struct {
	packages  map[string]bool // directories with Go files; false: only tests are in it
	files     []long
	functions []long
}

func main() {
	dir := flag.String("dir", ".", "top of the module")
	list := flag.Bool("list", false, "name each long file and function")
	flag.Parse()
	s, err := measure(*dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sizes:", err)
		os.Exit(1)
	}
	s.print(*list)
}

// measure reads the Go files below dir that git tracks or would track.
func measure(dir string) (*sizes, error) {
	git := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.go")
	git.Dir, git.Stderr = dir, os.Stderr
	out, err := git.Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	s := &sizes{packages: map[string]bool{}}
	for _, name := range strings.Fields(string(out)) {
		if strings.HasPrefix(name, "tools/") || strings.Contains("/"+name, "/testdata/") {
			continue
		}
		if err := s.add(dir, name); err != nil && !os.IsNotExist(err) { // deleted, and not committed yet
			return nil, err
		}
	}
	return s, nil
}

// add counts one file.
func (s *sizes) add(dir, name string) error {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, filepath.Join(dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	test := strings.HasSuffix(name, "_test.go")
	s.packages[path.Dir(name)] = s.packages[path.Dir(name)] || !test
	if ast.IsGenerated(file) {
		return nil
	}
	if n := files.File(file.FileStart).LineCount() - 1; n > longFile { // a file ends with a newline
		s.files = append(s.files, long{name, n, test})
	}
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		from, to := files.Position(f.Pos()), files.Position(f.End())
		if n := to.Line - from.Line + 1; n > longFunction {
			s.functions = append(s.functions, long{fmt.Sprintf("%s:%d %s", name, from.Line, f.Name.Name), n, test})
		}
	}
	return nil
}

// print writes the counts, and the names behind them if asked.
func (s *sizes) print(list bool) {
	code := 0
	for _, holdsCode := range s.packages {
		if holdsCode {
			code++
		}
	}
	fmt.Printf("packages                     %4d   and %d that hold only tests\n", code, len(s.packages)-code)
	row(fmt.Sprintf("files over %d lines", longFile), s.files, list)
	row(fmt.Sprintf("functions over %d lines", longFunction), s.functions, list)
}

func row(what string, all []long, list bool) {
	tests := 0
	for _, l := range all {
		if l.test {
			tests++
		}
	}
	fmt.Printf("%-28s %4d   and %d in test files\n", what, len(all)-tests, tests)
	if !list {
		return
	}
	slices.SortFunc(all, func(a, b long) int { return cmp.Compare(b.lines, a.lines) })
	for _, l := range all {
		fmt.Printf("  %5d  %s\n", l.lines, l.name)
	}
}
