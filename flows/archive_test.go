package flows_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/flows"
)

// archiving has executors that pack.
func archiving() flows.Options {
	opts := connected()
	opts.Executors.Add("zip", "archive")
	opts.Connections["zip"] = flows.Connector{Types: []string{"archive"}, Fields: []string{"driver", "encryption", "aes_strength", "zip_cmd", "unzip_cmd", "quiet"}}
	return opts
}

// TestArchiveRules: in the mode enterprise archives are made by drivers that the manifest allows, and a step says by which.
func TestArchiveRules(t *testing.T) {
	flow := func(resources, inputs string) string {
		return "flow: {id: f}\nresources: {" + resources + "}\njobs: [{id: a, steps: [{id: s, type: zip, inputs: {dest_path: z.zip, items: [a]" + inputs + "}}]}]"
	}
	const at = "2 spec.archive_driver resources.a.driver"
	const step = "3 spec.archive_driver jobs[0].steps[0].inputs.resource"
	aes, plain := "a: {kind: archive, driver: aes}", "a: {kind: archive, driver: zipfile}"
	program := "a: {kind: archive, driver: external, config: {zip_cmd: [7z, a, '{archive}'], unzip_cmd: [7z, x, '{archive}']}}"
	for _, row := range []struct {
		name, text string
		drivers    []string
		want       string
	}{
		{"another mode", flow("", ""), nil, ""},
		{"another mode, any driver", flow(program, ", resource: a"), nil, ""},
		{"allowed", flow(plain, ", resource: a"), []string{"zipfile"}, ""},
		{"allowed by another name", flow(aes, ", resource: a"), []string{"pyzipper"}, ""},
		{"not allowed", flow(aes, ", resource: a"), []string{"zipfile"}, at},
		{"a program", flow(program, ", resource: a"), []string{"pyzipper", "zipfile"}, at},
		{"a program that is allowed", flow(program, ", resource: a"), []string{"external"}, ""},
		{"the system's tools", flow("a: {kind: archive, driver: os}", ", resource: a"), nil, ""},
		{"the system's tools, whoever allows them", flow("a: {kind: archive, driver: os}", ", resource: a"), []string{"os"}, at},
		{"none is", flow(plain, ", resource: a"), []string{}, at},
		{"not used", "flow: {id: f}\nresources: {" + aes + "}\njobs: []", []string{"zipfile"}, at},
		{"no resource", flow(plain, ""), []string{"zipfile"}, step},
		{"a driver instead", flow(plain, ", driver: zipfile"), []string{"zipfile"}, step},
		{"the default", flow("archive_default: {kind: archive, driver: zipfile}", ""), []string{"zipfile"}, ""},
		{"a default of another kind", flow("archive_default: {kind: db, driver: postgres, config: {host: h}}", ""), []string{"zipfile"}, step},
		{"within a lock", "flow: {id: f}\nresources: {}\njobs: [{id: a, steps: [{id: s, type: with_lock, inputs: {lock_key: k, step: {type: zip, inputs: {dest_path: z, items: [a]}}}}]}]", []string{"zipfile"},
			"3 spec.archive_driver jobs[0].steps[0].inputs.step.inputs.resource"},
	} {
		opts := archiving()
		opts.Archives = row.drivers
		_, report := flows.Compile("f.yaml", []byte(row.text), "r", opts)
		errors, _ := told(report)
		if got := columns.ReplaceAllString(strings.Join(errors, "\n"), "$1"); got != row.want {
			t.Errorf("%s: got\n%s\nwant\n%s\n%+v", row.name, got, row.want, report.Errors)
		}
	}
}

// TestArchiveDefault: the resource of that name counts for steps that name none, and say nothing of their own.
func TestArchiveDefault(t *testing.T) {
	const text = `
flow: {id: f}
resources: {archive_default: {kind: archive, driver: pyzipper, config: {aes_strength: 192}}, other: {kind: archive, driver: zipfile}}
jobs: [{id: a, steps: [
  {id: one, type: zip, inputs: {dest_path: z.zip, items: [a]}},
  {id: two, type: zip, inputs: {dest_path: z.zip, items: [a], resource: other}},
  {id: three, type: zip, inputs: {dest_path: z.zip, items: [a], driver: zipfile}}]}]
`
	tree, report := flows.Compile("f.yaml", []byte(text), "r", archiving())
	if tree == nil {
		t.Fatal(report.Errors)
	}
	var tasks []struct {
		Name   string
		Inputs struct{ Connection json.RawMessage }
	}
	if err := json.Unmarshal(tree.Document, &tasks); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"a__one": `{"name":"archive_default","kind":"archive","driver":"pyzipper","config":{"aes_strength":192}}`, "a__two": `{"name":"other","kind":"archive","driver":"zipfile"}`, "a__three": "",
	}
	for _, task := range tasks {
		if w, is := want[task.Name]; is && string(task.Inputs.Connection) != w {
			t.Errorf("%s: %s, want %s", task.Name, task.Inputs.Connection, w)
		}
	}
}
