// Command notice writes the licences of the modules that are linked into taskgrove.
//
//	go run -C tools ./notice -dir .. -out ../NOTICE    # what `make generate` does
//
// It asks the go command which packages each platform links, and reads the licence files beside them in the module cache.
// A module without such a file is an error. The same go.mod gives the same text on every machine.
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// program is the package that is shipped.
const program = "./cmd/taskgrove"

// pageTexts are the licence texts of the packages that are in the page's files, which make page writes beside them.
const pageTexts = "api/page/static/licences.txt"

// platforms are those that it is built for, with the parts that the tag etl adds. What one of them links stands in the notice.
var platforms = []string{"linux", "darwin"}

// library has the same LICENSE as Go's standard library, which some distributions install without its own.
const library = "golang.org/x/sys"

// licence matches the names of files that a copy of the module must come with.
var licence = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|unlicense|patents)[^/]*$`)

// source matches files that are code, whatever they are called.
var source = regexp.MustCompile(`\.go$`)

// module is one linked module.
type module struct {
	Path, Version, Dir string
	dirs               map[string]bool // of its linked packages, and those above them
}

// text is one licence text, and who uses it.
type text struct {
	body  string
	files []string // "module version: file"
}

func main() {
	dir := flag.String("dir", ".", "top of the module")
	out := flag.String("out", "NOTICE", "file to write")
	flag.Parse()
	if err := run(*dir, *out); err != nil {
		fmt.Fprintln(os.Stderr, "notice:", err)
		os.Exit(1)
	}
}

func run(dir, out string) error {
	modules := map[string]*module{}
	for _, platform := range platforms {
		if err := list(dir, platform, modules); err != nil {
			return fmt.Errorf("list what %s links: %w", platform, err)
		}
	}
	var texts []*text
	sorted := slices.SortedFunc(maps.Values(modules), func(a, b *module) int { return cmp.Compare(a.Path, b.Path) })
	for _, m := range sorted {
		if err := m.read(&texts); err != nil {
			return fmt.Errorf("%s %s: %w", m.Path, m.Version, err)
		}
	}
	ofPage, err := os.ReadFile(filepath.Join(dir, pageTexts))
	if err != nil {
		return err
	}
	return os.WriteFile(out, []byte(render(sorted, texts)+"\n"+strings.TrimSpace(string(ofPage))+"\n"), 0o644)
}

// list adds the modules that the program links on a platform.
func list(dir, platform string, modules map[string]*module) error {
	cmd := exec.Command("go", "list", "-tags=etl", "-deps", "-json=Dir,Module", program)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64", "GOOS="+platform)
	out, err := cmd.Output()
	if err != nil {
		return err
	}
	packages := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p struct {
			Dir    string
			Module *struct {
				module
				Main    bool
				Replace *module
			}
		}
		if err := packages.Decode(&p); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if p.Module == nil || p.Module.Main {
			continue
		}
		m := modules[p.Module.Path]
		if m == nil {
			m = &module{Path: p.Module.Path, Version: p.Module.Version, Dir: p.Module.Dir, dirs: map[string]bool{}}
			if r := p.Module.Replace; r != nil {
				m.Version, m.Dir = r.Path+" "+r.Version, r.Dir
			}
			modules[m.Path] = m
		}
		for d := p.Dir; len(d) >= len(m.Dir); d = filepath.Dir(d) {
			m.dirs[d] = true
		}
	}
}

// read adds the module's licence texts. A text that another module has, but for its line breaks, is added once.
func (m *module) read(texts *[]*text) error {
	found := false
	for _, dir := range slices.Sorted(maps.Keys(m.dirs)) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.IsDir() || !licence.MatchString(e.Name()) || source.MatchString(e.Name()) {
				continue
			}
			file := filepath.Join(dir, e.Name())
			body, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(m.Dir, file)
			if err != nil {
				return err
			}
			found = true
			m.add(texts, filepath.ToSlash(name), string(body))
		}
	}
	if !found {
		return errors.New("no licence file found")
	}
	return nil
}

// add notes that the module's file holds a text.
func (m *module) add(texts *[]*text, file, body string) {
	words := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	i := slices.IndexFunc(*texts, func(t *text) bool { return words(t.body) == words(body) })
	if i < 0 {
		i = len(*texts)
		*texts = append(*texts, &text{body: strings.TrimSpace(strings.ReplaceAll(body, "\r\n", "\n"))})
	}
	if m.Path == library {
		(*texts)[i].files = append((*texts)[i].files, "Go standard library: "+file)
	}
	(*texts)[i].files = append((*texts)[i].files, m.Path+" "+m.Version+": "+file)
}

// render writes the list of modules and the texts.
func render(modules []*module, texts []*text) string {
	rule := strings.Repeat("=", 80)
	var b strings.Builder
	b.WriteString("Generated by tools/notice from go.mod and the page's licences.txt. Do not edit.\n\n")
	b.WriteString("The program taskgrove contains Go's standard library, the packages of the page that stand at the end, and these modules, under the licences below:\n\n")
	for _, m := range modules {
		fmt.Fprintf(&b, "  %s %s\n", m.Path, m.Version)
	}
	for _, t := range texts {
		fmt.Fprintf(&b, "\n%s\n%s\n%s\n\n%s\n", rule, strings.Join(t.files, "\n"), rule, t.body)
	}
	return b.String()
}
