package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/applyfile"
	"github.com/taskgrove/taskgrove/internal/instrument"
	"github.com/taskgrove/taskgrove/internal/treefile"
	"github.com/taskgrove/taskgrove/internal/treetest"
)

func TestReferencePagesAreUpToDate(t *testing.T) {
	schema, err := TreeSchema()
	if err != nil {
		t.Fatal(err)
	}
	files, err := TreeFileSchema()
	if err != nil {
		t.Fatal(err)
	}
	mocks, err := treetest.Schema()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"mocks-reference.md": treetest.Reference(), "mocks.schema.json": string(mocks), "tree.md": treedoc.Reference(), "tree.schema.json": string(schema), "metrics.md": instrument.Reference(),
		"tree-file-reference.md": treedoc.FileReference(), "tree-file.schema.json": string(files)} {
		have, err := os.ReadFile("../docs/" + name)
		if err != nil || string(have) != want {
			t.Errorf(`docs/%s is not what its table says: run "go generate ./node" (%v)`, name, err)
		}
	}
}

// fit checks a document in a file against the reader's rules and the schema that docs/ has.
func fit(t *testing.T, path string) {
	t.Helper()
	if text, err := os.ReadFile(path); err == nil && ofNoTree(text) {
		if _, err := applyfile.ReadText(path, filepath.Dir(path), text); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		return
	}
	schema, document := "../docs/tree.schema.json", []byte(nil)
	if strings.Contains(filepath.Base(path), "mocks") { // which tree they are for, the tests of the documents know
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		mocks, err := treefile.Decode(path, text)
		if err != nil {
			t.Error(err)
			return
		}
		fits(t, path, "../docs/mocks.schema.json", mocks.JSON)
		return
	}
	f, err := treefile.Read(path, treefile.Options{Executors: Known(), Inputs: InputKeys()})
	if refused, ok := errors.AsType[*treefile.Error](err); ok && !slices.ContainsFunc(refused.Faults, func(f treefile.Fault) bool { return !strings.HasSuffix(f.Text, "no value is given") }) {
		err = nil // it has parameters
	}
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	if f == nil || f.Rendered() {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		written, err := treefile.Decode(path, text)
		if err != nil {
			t.Fatal(err)
		}
		schema, document = "../docs/tree-file.schema.json", written.JSON
	} else {
		document = f.JSON
	}
	fits(t, path, schema, document)
}

// ofNoTree reports whether a text is a file of what a cluster has, as schedules, for which there is no schema.
func ofNoTree(text []byte) bool {
	return slices.ContainsFunc([]string{"schedules", "limits", "webhooks"}, func(key string) bool { return bytes.Contains(text, []byte("\n"+key+":\n")) })
}

func fits(t *testing.T, path, schema string, document []byte) {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile(schema)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(value); err != nil {
		t.Errorf("%s: %v", path, err)
	}
}

// named is how an example names its schema, in YAML or JSON.
var named = regexp.MustCompile(`(?:# yaml-language-server: \$schema=|"\$schema": ")([^"\s]+)`)

func TestExamplesNameTheSchemaAndFitIt(t *testing.T) {
	n := 0
	err := filepath.WalkDir("../examples", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && (entry.Name() == "models" || entry.Name() == "flows") { // what models say, for package modeltest; flows have a schema of their own
			return filepath.SkipDir
		}
		ext := filepath.Ext(path)
		if err != nil || entry.IsDir() || ext != ".json" && ext != ".yaml" || strings.Contains(path, "expected") || strings.HasPrefix(entry.Name(), "package") { // npm's
			return err
		}
		n++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		m := named.FindSubmatch(text)
		if m == nil {
			if !ofNoTree(text) {
				t.Errorf("%s does not name its schema", path)
			}
		} else if _, err := os.Stat(filepath.Join(filepath.Dir(path), string(m[1]))); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		fit(t, path)
		return nil
	})
	if err != nil || n < 7 {
		t.Errorf("%d examples, %v", n, err)
	}
}

var (
	fence   = regexp.MustCompile("(?ms)^```(\\w*) ?([^\n]*)\n(.*?)^```$")
	request = regexp.MustCompile(`(?s)'(\{"jsonrpc".*?\})'`)
	begins  = regexp.MustCompile(`(?m)^(tasks:$|taskgrove: 1$|- \{?(id|name):|\[?\{"(tasks|name|id|\$schema)")`)
)

// refused are trees that a document shows the refusal of, by their files there, and what it says.
var refused = map[string]string{"circle.yaml": "Circular dependency detected", "mistakes.yaml": "did you mean needs?", "wrong.yaml": "template.missing_key"}

// TestTreesInDocumentsFitTheSchema finds trees in the documents' blocks: in YAML and JSON, and in the bodies of requests.
func TestTreesInDocumentsFitTheSchema(t *testing.T) {
	dir := t.TempDir()
	n := 0
	check := func(name, file, text string) {
		n++
		path := filepath.Join(dir, strings.NewReplacer("/", "_", ".", "_").Replace(name+file))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if want := refused[file]; want == "" {
			fit(t, path)
		} else if _, err := treefile.Read(path, treefile.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s in %s: got %v, want it refused: %s", file, name, err, want)
		}
	}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".md" {
			return err
		}
		page, err := os.ReadFile(path)
		for _, block := range fence.FindAllStringSubmatch(string(page), -1) {
			if (block[1] == "yaml" || block[1] == "json") && begins.MatchString(block[3]) && block[2] != "mistakes.mocks.yaml" { // its faults are shown
				for _, one := range strings.Split(block[3], "\n---\n") {
					check(path, block[2], one)
				}
			}
			for _, body := range request.FindAllStringSubmatch(block[3], -1) {
				var r struct {
					Params struct {
						Tasks json.RawMessage `json:"tasks"`
					} `json:"params"`
				}
				if err := json.Unmarshal([]byte(body[1]), &r); err == nil && r.Params.Tasks != nil {
					check(path, "", string(r.Params.Tasks))
				}
			}
		}
		return err
	})
	if err != nil || n < 3 {
		t.Errorf("%d trees were found, %v", n, err)
	}
	t.Logf("%d trees", n)
}

// TestMisspeltInputsOfBuiltInExecutorsAreWarnedOf looks through the catalogue's own schemas; the documents of the examples give no warning.
func TestMisspeltInputsOfBuiltInExecutorsAreWarnedOf(t *testing.T) {
	keys := Options{}.inputKeys()
	var known dag.Known
	for id := range keys {
		known.Add(id, "")
	}
	warned := func(text []byte) (fields []string) {
		w := &treedoc.Warnings{Inputs: keys}
		for _, err := range w.See(treedoc.Parse(text, treedoc.Options{Executors: known})) {
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
		for _, one := range w.All() {
			fields = append(fields, one.Field+": "+one.Reason)
		}
		return fields
	}
	for text, want := range map[string]string{
		`{"name":"a","schemas":{"method":"rest_executor"},"inputs":{"uri":"x"}}`:                          "tasks[0].inputs.uri: has no effect: rest_executor has no such input, and needs url; did you mean url?",
		`{"name":"a","schemas":{"method":"command_executor"},"inputs":{"cmd":"x"}}`:                       "tasks[0].inputs.cmd: has no effect: command_executor has no such input, and needs command; did you mean command?",
		`{"name":"a","schemas":{"method":"comand_executor"},"inputs":{"command":"x"}}`:                    "tasks[0].schemas.method: no worker has such an executor; did you mean command_executor?",
		`{"name":"a","schemas":{"method":"rest_executor"},"inputs":{"url":"x","headrs":null}}`:            "tasks[0].inputs.headrs: has no effect: there is no such key; did you mean headers?",
		`{"name":"a","schemas":{"method":"command_executor"},"inputs":{"command":"x","connection":"db"}}`: "tasks[0].inputs.connection: has no effect: command_executor takes no connection",
	} {
		if got := warned([]byte(text)); len(got) != 1 || got[0] != want {
			t.Errorf("%s\n got %q\nwant %s", text, got, want)
		}
	}
	for _, text := range []string{
		`{"name":"a","schemas":{"method":"python_executor"},"inputs":{"script":"x","connection":"data"}}`,
		`{"name":"a","schemas":{"method":"rest_executor"},"inputs":{"url":"/x","connection":"api"}}`,
	} {
		if got := warned([]byte(text)); len(got) > 0 {
			t.Errorf("%s: got %q, want nothing", text, got)
		}
	}
	err := filepath.WalkDir("../examples", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !regexp.MustCompile(`(tree\.json|patterns/[a-z-]+\.(json|yaml))$`).MatchString(path) {
			return err
		}
		f, err := treefile.Read(path, treefile.Options{})
		if err != nil {
			return err
		}
		if got := warned(f.JSON); len(got) > 0 {
			t.Errorf("%s: %q", path, got)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
