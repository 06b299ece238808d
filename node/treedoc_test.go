package node

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/instrument"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

func TestReferencePagesAreUpToDate(t *testing.T) {
	schema, err := TreeSchema()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"tree.md": treedoc.Reference(), "tree.schema.json": string(schema), "metrics.md": instrument.Reference()} {
		have, err := os.ReadFile("../docs/" + name)
		if err != nil || string(have) != want {
			t.Errorf(`docs/%s is not what its table says: run "go generate ./node" (%v)`, name, err)
		}
	}
}

// fit checks a document in a file against the reader's rules and the schema that docs/ has.
func fit(t *testing.T, path string) {
	t.Helper()
	f, err := treefile.Read(path, treefile.Options{})
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	s, err := jsonschema.NewCompiler().Compile("../docs/tree.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(f.JSON))
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
		ext := filepath.Ext(path)
		if err != nil || entry.IsDir() || ext != ".json" && ext != ".yaml" || strings.Contains(path, "expected") {
			return err
		}
		n++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		m := named.FindSubmatch(text)
		if m == nil {
			t.Errorf("%s does not name its schema", path)
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
	fence   = regexp.MustCompile("(?ms)^```(\\w*)[^\n]*\n(.*?)^```$")
	request = regexp.MustCompile(`(?s)'(\{"jsonrpc".*?\})'`)
	begins  = regexp.MustCompile(`(?m)^(tasks:$|- \{?(id|name):|\[?\{"(tasks|name|id|\$schema)")`)
)

// TestTreesInDocumentsFitTheSchema finds trees in the documents' blocks: in YAML and JSON, and in the bodies of requests.
func TestTreesInDocumentsFitTheSchema(t *testing.T) {
	dir := t.TempDir()
	n := 0
	check := func(name, text string) {
		n++
		path := filepath.Join(dir, strings.NewReplacer("/", "_", ".", "_").Replace(name))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		fit(t, path)
	}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".md" {
			return err
		}
		page, err := os.ReadFile(path)
		for _, block := range fence.FindAllStringSubmatch(string(page), -1) {
			if (block[1] == "yaml" || block[1] == "json") && begins.MatchString(block[2]) {
				check(path, block[2])
			}
			for _, body := range request.FindAllStringSubmatch(block[2], -1) {
				var r struct {
					Params struct {
						Tasks json.RawMessage `json:"tasks"`
					} `json:"params"`
				}
				if err := json.Unmarshal([]byte(body[1]), &r); err == nil && r.Params.Tasks != nil {
					check(path, string(r.Params.Tasks))
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
